//! A sealed object is its pages, one after the other. Each is
//!
//! | bytes | what |
//! |---|---|
//! | 16 | the writing: random, the same in all pages of one writing of an object |
//! | n | a page of [`PAGE_BYTES`], sealed under `KEY#WRITING#NUMBER#more` |
//!
//! The last page may be shorter, is never empty but in an empty object, and is sealed under
//! `KEY#WRITING#NUMBER#last`. `KEY` is the object's key in the bucket, `WRITING` in hexadecimal, `NUMBER`
//! counts pages from 0. The seal adds the same number of bytes to each page, so that the size of the
//! plain bytes is known from the size of the object.

use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Seal, SealError};
use cairn_env::Rng;
use object_store::path::Path;
use object_store::{Error, GetRange, PutPayload};

use super::generic;

/// Plain bytes of a page: a block of the tree is 4 KiB, so that most point reads need one page, and the
/// seal's 124 bytes weigh less than one in a hundred.
pub(super) const PAGE_BYTES: usize = 16 << 10;
const WRITING_BYTES: usize = 16;

type WritingId = [u8; WRITING_BYTES];

/// Where pages are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Plain bytes of a page.
    pub(super) plain: u64,
    /// Bytes of a whole page in the bucket.
    pub(super) stored: u64,
}

impl Layout {
    /// How many plain bytes an object of this size has; `None` when no object has this size.
    pub(super) fn plain_size(self, stored: u64) -> Option<u64> {
        let added = self.stored - self.plain;
        let whole = self.last_page(stored);
        let rest = (stored - whole * self.stored).checked_sub(added)?;
        if rest == 0 && whole > 0 { None } else { Some(whole * self.plain + rest) }
    }

    /// The number of the last page of an object of this size.
    pub(super) fn last_page(self, stored: u64) -> u64 {
        stored.saturating_sub(1) / self.stored
    }

    /// What to read of the object for a range of its plain bytes. It begins before or with the page that
    /// the range begins in.
    pub(super) fn covering(self, range: &GetRange) -> GetRange {
        let begin = |at: u64| (at / self.plain).saturating_mul(self.stored);
        match range {
            GetRange::Bounded(range) => {
                let pages = range.end.div_ceil(self.plain);
                GetRange::Bounded(begin(range.start)..pages.saturating_mul(self.stored))
            }
            GetRange::Offset(from) => GetRange::Offset(begin(*from)),
            // The last page may be short, so that the range reaches into one page more.
            GetRange::Suffix(len) => {
                let pages = len.div_ceil(self.plain).saturating_add(1);
                GetRange::Suffix(pages.saturating_mul(self.stored))
            }
        }
    }
}

/// Seals pages and opens them.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) layout: Layout,
    seal: Arc<dyn Seal>,
    rng: Arc<dyn Rng>,
}

impl Pages {
    pub(super) fn new(seal: Arc<dyn Seal>, rng: Arc<dyn Rng>, page_bytes: usize) -> Self {
        let added = WRITING_BYTES + seal.seal("", &[]).len();
        let layout = Layout { plain: page_bytes as u64, stored: (page_bytes + added) as u64 };
        Self { layout, seal, rng }
    }

    /// Begins to write an object.
    pub(super) fn writing(&self, location: &Path) -> Writing {
        let mut id = [0; WRITING_BYTES];
        self.rng.fill(&mut id);
        Writing { pages: self.clone(), key: location.to_string(), id, next: 0 }
    }

    /// Begins to read an object of a size.
    pub(super) fn reading(&self, location: &Path, stored_size: u64) -> Reading {
        let last = self.layout.last_page(stored_size);
        let last_bytes = stored_size - last * self.layout.stored;
        Reading { pages: self.clone(), key: location.to_string(), id: None, last, last_bytes }
    }
}

fn name(key: &str, id: &WritingId, number: u64, last: bool) -> String {
    let end = if last { "last" } else { "more" };
    format!("{key}#{}#{number}#{end}", hex::encode(id))
}

/// One writing of an object.
pub(super) struct Writing {
    pages: Pages,
    key: String,
    id: WritingId,
    next: u64,
}

impl Writing {
    /// Seals what comes next: whole pages, or, with `last`, all that is left.
    pub(super) fn seal(&mut self, plain: &Bytes, last: bool) -> PutPayload {
        let page_bytes = usize::try_from(self.pages.layout.plain).expect("pages are small");
        assert!(last || plain.len().is_multiple_of(page_bytes), "only the last page is short");
        let mut pages = plain.chunks(page_bytes).peekable();
        let mut sealed = Vec::with_capacity(plain.len() / page_bytes + 1);
        if plain.is_empty() && last {
            sealed.push(self.page(&[], true));
        }
        while let Some(page) = pages.next() {
            sealed.push(self.page(page, last && pages.peek().is_none()));
        }
        PutPayload::from_iter(sealed)
    }

    fn page(&mut self, plain: &[u8], last: bool) -> Bytes {
        let name = name(&self.key, &self.id, self.next, last);
        self.next += 1;
        let sealed = self.pages.seal.seal(&name, plain);
        let page = Bytes::from([&self.id[..], &sealed].concat());
        let layout = self.pages.layout;
        assert_eq!(
            page.len() as u64 - plain.len() as u64,
            layout.stored - layout.plain,
            "a seal adds the same number of bytes to all it is given"
        );
        page
    }
}

/// One read of an object. All pages are of one writing.
pub(super) struct Reading {
    pub(super) pages: Pages,
    key: String,
    id: Option<WritingId>,
    last: u64,
    last_bytes: u64,
}

impl Reading {
    /// Whether the object has no plain bytes.
    pub(super) fn is_empty(&self) -> bool {
        let layout = self.pages.layout;
        self.last == 0 && self.last_bytes == layout.stored - layout.plain
    }

    /// Bytes of a page in the bucket.
    pub(super) fn page_bytes(&self, number: u64) -> u64 {
        if number == self.last { self.last_bytes } else { self.pages.layout.stored }
    }

    /// Opens a page.
    pub(super) fn open(&mut self, number: u64, page: &[u8]) -> Result<Bytes, Error> {
        let Some((id, sealed)) = page.split_first_chunk::<WRITING_BYTES>() else {
            return Err(cut(&self.key));
        };
        if *self.id.get_or_insert(*id) != *id {
            return Err(refused(&self.key, &format!("page {number} is of another writing of it")));
        }
        let name = name(&self.key, id, number, number == self.last);
        let plain = self.pages.seal.open(&name, sealed).map_err(|error| {
            let detail = format!("{}, page {number}: {}", self.key, error.detail);
            generic(SealError { kind: error.kind, detail })
        })?;
        let layout = self.pages.layout;
        assert_eq!(
            (page.len() - plain.len()) as u64,
            layout.stored - layout.plain,
            "a seal adds the same number of bytes to all it is given"
        );
        Ok(plain.into())
    }
}

/// The object ends within a page's seal.
pub(super) fn cut(key: &str) -> Error {
    refused(key, "it was cut short, or is no sealed object")
}

fn refused(key: &str, why: &str) -> Error {
    let detail = format!("{key} was damaged: {why}");
    generic(SealError { kind: ErrorKind::Corrupt, detail })
}
