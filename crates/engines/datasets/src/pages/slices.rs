//! Where the bytes of a file are.

use cairn_chunk::ChunkId;
use cairn_tree::{MapChild, MapFind, MapPage, Slice, Stream};

use super::Browser;
use crate::error::Error;

/// The slices of a stream in order.
pub struct Slices {
    browser: Browser,
    ready: Vec<Slice>,
    pages: Vec<(ChunkId, Expected)>,
    /// Bytes to skip before the first slice.
    skip: u64,
}

enum Expected {
    Top(u64),
    Child(MapChild),
}

impl Slices {
    pub(super) fn new(browser: Browser, stream: &Stream, offset: u64) -> Self {
        let mut slices = Self { browser, ready: Vec::new(), pages: Vec::new(), skip: offset };
        match stream {
            Stream::Map { page, len } => slices.pages.push((*page, Expected::Top(*len))),
            other => {
                slices.ready = other.inline().unwrap_or_default();
                slices.ready.reverse();
            }
        }
        slices
    }

    /// The next slice; the first may begin in the middle of one.
    ///
    /// # Errors
    /// [`Error::Tree`], [`Error::Blocks`].
    pub async fn next(&mut self) -> Result<Option<Slice>, Error> {
        loop {
            while let Some(slice) = self.ready.pop() {
                if self.skip < slice.len {
                    return Ok(Some(self.cut(slice)));
                }
                self.skip -= slice.len;
            }
            let Some((id, expected)) = self.pages.pop() else { return Ok(None) };
            let page = self.browser.map(id).await?;
            match &expected {
                Expected::Top(len) => page.check_len(*len)?,
                Expected::Child(child) => child.check(&page)?,
            }
            self.open(&page);
        }
    }

    fn cut(&mut self, mut slice: Slice) -> Slice {
        let skip = std::mem::take(&mut self.skip);
        slice.len -= skip;
        if let cairn_tree::Source::Chunk { skip: at, .. } = &mut slice.source {
            *at += u32::try_from(skip).expect("a slice of a chunk is below 1 MiB");
        }
        slice
    }

    fn open(&mut self, page: &MapPage) {
        let (index, start) = match page.find(self.skip) {
            MapFind::Slice { index, start, .. } | MapFind::Child { index, start, .. } => {
                (index, start)
            }
            MapFind::Beyond => {
                self.skip = self.skip.saturating_sub(page.byte_count());
                return;
            }
        };
        self.skip -= start;
        match page {
            MapPage::Leaf(leaf) => {
                self.ready = leaf.slices()[index..].to_vec();
                self.ready.reverse();
            }
            MapPage::Index(map) => {
                let children = map.children()[index..].iter().rev();
                self.pages.extend(children.map(|c| (c.page, Expected::Child(*c))));
            }
        }
    }
}
