//! Look-up: which pack, frame and place has a chunk. A [`View`] is the catalog at one moment with the
//! heads of its runs in memory (fences and filters, about 1.5 bytes a chunk); pages are read when
//! asked for, in batches, through a bounded cache.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use cairn_bucket::Version;
use cairn_chunk::ChunkId;
use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};

use crate::catalog::Catalog;
use crate::error::Error;
use crate::run::{self, IndexEntry, RunHead, TRAILER_BYTES, run_key};
use crate::store::Inner;

/// Pages this near to each other are read together.
const PAGE_GAP_MAX: u32 = 4;
/// The most pages of one read: 850 KiB.
const PAGE_SPAN_MAX: u32 = 256;
const RUN_LOADS_AT_ONCE: usize = 8;

/// Which places of a chunk count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Only packs that are neither condemned nor dying: what deduplication may offer.
    Live,
    /// Packs that are not dying: what a publisher may rely on that has announced its root. A pack that
    /// is only condemned then is reached by every mark that could follow (BLOCKS-4).
    Kept,
    /// Any pack; a live one when there is a choice.
    Any,
}

/// A found chunk: where it is, and its position in the run, for marking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) entry: IndexEntry,
    pub(crate) run: usize,
    pub(crate) position: u64,
}

/// The index at one moment.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) catalog: Catalog,
    pub(crate) version: Option<Version>,
    pub(crate) runs: Vec<Arc<RunHead>>,
}

impl View {
    /// The view of `catalog`, with the heads that `old` has already taken over from it.
    pub(crate) async fn load(
        inner: &Inner,
        catalog: Catalog,
        version: Option<Version>,
        old: &Self,
    ) -> Result<Self, Error> {
        let known: BTreeMap<&str, &Arc<RunHead>> =
            old.runs.iter().map(|run| (run.name.as_str(), run)).collect();
        let loads: Vec<_> = catalog
            .runs
            .iter()
            .map(|reference| {
                let head = known.get(reference.name.as_str()).map(|head| Arc::clone(head));
                load_head(inner, reference.name.clone(), reference.bytes, head)
            })
            .collect();
        let runs = stream::iter(loads).buffered(RUN_LOADS_AT_ONCE).try_collect().await?;
        Ok(Self { catalog, version, runs })
    }

    pub(crate) fn empty() -> Self {
        Self { catalog: Catalog::default(), version: None, runs: Vec::new() }
    }

    /// Finds a batch of chunks, an answer for each id.
    pub(crate) async fn find(
        &self,
        inner: &Inner,
        ids: &[ChunkId],
        want: Want,
    ) -> Result<Vec<Option<Found>>, Error> {
        let mut answers: Vec<Option<Found>> = vec![None; ids.len()];
        let mut open: Vec<usize> = (0..ids.len()).collect();
        open.sort_unstable_by_key(|at| ids[*at]);
        for (number, run) in self.runs.iter().enumerate() {
            if open.is_empty() {
                break;
            }
            let asked: Vec<usize> =
                open.iter().copied().filter(|at| run.may_have(&ids[*at])).collect();
            if asked.is_empty() {
                continue;
            }
            for (at, found) in self.find_in_run(inner, number, ids, &asked).await? {
                let pack = &found.entry.frame.pack;
                let counts = match want {
                    Want::Live => false,
                    Want::Kept => !self.catalog.dying.contains_key(pack),
                    Want::Any => true,
                };
                if self.catalog.offers(pack) || (counts && answers[at].is_none()) {
                    answers[at] = Some(found);
                }
            }
            open.retain(|at| {
                !answers[*at].is_some_and(|found| self.catalog.offers(&found.entry.frame.pack))
            });
        }
        Ok(answers)
    }

    async fn find_in_run(
        &self,
        inner: &Inner,
        number: usize,
        ids: &[ChunkId],
        asked: &[usize],
    ) -> Result<Vec<(usize, Found)>, Error> {
        let run = &self.runs[number];
        let mut pages: Vec<u32> = asked.iter().flat_map(|at| run.pages_for(&ids[*at])).collect();
        pages.sort_unstable();
        pages.dedup();
        let mut found = Vec::new();
        let mut waiting = asked;
        for span in spans(&pages) {
            let loaded = pages_load(inner, run, &span).await?;
            let last = span.end - 1;
            while let [at, rest @ ..] = waiting {
                let candidates = run.pages_for(&ids[*at]);
                if candidates.end > span.end && candidates.start > last {
                    break;
                }
                if let Some(hit) = look_in(&loaded, span.start, candidates.clone(), &ids[*at]) {
                    let (page, index, entry) = hit;
                    let position = u64::from(page) * run::PAGE_ENTRIES as u64 + index as u64;
                    found.push((*at, Found { entry, run: number, position }));
                } else if candidates.end > span.end {
                    break;
                }
                waiting = rest;
            }
        }
        Ok(found)
    }
}

type Page = Arc<Vec<IndexEntry>>;

fn look_in(
    loaded: &[Page],
    first: u32,
    candidates: Range<u32>,
    id: &ChunkId,
) -> Option<(u32, usize, IndexEntry)> {
    candidates.into_iter().find_map(|number| {
        let page = loaded.get(number.checked_sub(first)? as usize)?;
        let index = page.binary_search_by_key(id, |entry| entry.id).ok()?;
        Some((number, index, page[index]))
    })
}

/// Joins sorted page numbers into spans worth one read each.
fn spans(pages: &[u32]) -> Vec<Range<u32>> {
    let mut spans: Vec<Range<u32>> = Vec::new();
    for page in pages {
        match spans.last_mut() {
            Some(last)
                if *page <= last.end + PAGE_GAP_MAX && page + 1 - last.start <= PAGE_SPAN_MAX =>
            {
                last.end = page + 1;
            }
            _ => spans.push(*page..page + 1),
        }
    }
    spans
}

/// The pages of `span`, from the cache or with one read.
pub(crate) async fn pages_load(
    inner: &Inner,
    run: &Arc<RunHead>,
    span: &Range<u32>,
) -> Result<Vec<Page>, Error> {
    let cached: Vec<Option<Page>> =
        span.clone().map(|page| inner.pages.get(&(run.name.clone(), page))).collect();
    if let Some(pages) = cached.iter().cloned().collect::<Option<Vec<Page>>>() {
        return Ok(pages);
    }
    let pages = pages_fetch(inner, run, span).await?;
    for (page, entries) in span.clone().zip(&pages) {
        inner.pages.insert((run.name.clone(), page), Arc::clone(entries));
    }
    Ok(pages)
}

/// The pages of `span` as they are in the bucket now.
pub(crate) async fn pages_fetch(
    inner: &Inner,
    run: &RunHead,
    span: &Range<u32>,
) -> Result<Vec<Page>, Error> {
    let range = run.page_bytes(span);
    let stored = inner.bucket.get_range(&run_key(&run.name), range.clone()).await?;
    let mut pages = Vec::with_capacity(span.len());
    for page in span.clone() {
        let part = run.page_bytes(&(page..page + 1));
        let at = |offset: u64| usize::try_from(offset - range.start).expect("a span is small");
        let part = &stored[at(part.start)..at(part.end)];
        pages.push(Arc::new(run.page_decode(page, part, inner.master.as_ref())?));
    }
    Ok(pages)
}

async fn load_head(
    inner: &Inner,
    name: String,
    size: u64,
    known: Option<Arc<RunHead>>,
) -> Result<Arc<RunHead>, Error> {
    if let Some(head) = known {
        return Ok(head);
    }
    let key = run_key(&name);
    if size < TRAILER_BYTES {
        return Err(Error::corrupt(&key, 0, format!("{size} bytes are no run")));
    }
    let trailer = inner.bucket.get_range(&key, size - TRAILER_BYTES..size).await?;
    let range = run::head_range(&name, &trailer, size)?;
    let head = inner.bucket.get_range(&key, range).await?;
    Ok(Arc::new(RunHead::decode(&name, &trailer, &head, inner.master.as_ref())?))
}
