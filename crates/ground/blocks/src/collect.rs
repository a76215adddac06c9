//! Collection without a lock (BLOCKS-4).
//!
//! One run of it: (1) packs that were condemned long enough ago become *dying*, in one
//! compare-and-swap; (2) the caller marks every chunk that a root reaches, reading the roots now;
//! (3) dying packs that were reached live on, the others leave the index, in one compare-and-swap
//! that no other collection's deletion came before, and are deleted; packs that nothing reaches are condemned; packs that are mostly garbage have
//! their living chunks copied and are condemned; (4) objects of dead sessions that no run names are
//! deleted.
//!
//! Memory: one bit a chunk, and the heads of the runs. A crash at any point leaves a catalog that the
//! next run goes on from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_chunk::ChunkId;
use futures::StreamExt as _;

use crate::catalog::Catalog;
use crate::error::Error;
use crate::frame::OpenFrame;
use crate::index::{View, Want, pages_load};
use crate::pack::PackId;
use crate::run::{IndexEntry, RunHead, run_key};
use crate::session::{Session, SessionId};
use crate::store::Blocks;

/// Pages read at a time when a run is walked.
const WALK_PAGES: u32 = 256;

/// How a collection goes about it.
#[derive(Clone, Copy, Debug)]
pub struct CollectOptions {
    /// How long a pack stays condemned before it may be deleted.
    pub grace: Duration,
    /// A session that was silent for so long has lost its lease.
    pub lease: Duration,
    /// A pack with less than this share of living bytes, in percent, is rewritten.
    pub rewrite_below_percent: u8,
    /// Only look: nothing is changed.
    pub dry_run: bool,
}

impl Default for CollectOptions {
    /// A day, an hour, 60 %.
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 3600),
            lease: Duration::from_secs(3600),
            rewrite_below_percent: 60,
            dry_run: false,
        }
    }
}

/// What a collection found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CollectReport {
    /// Chunks in the index.
    pub chunks: u64,
    /// Chunks that a root reaches.
    pub chunks_live: u64,
    /// Stored bytes of chunks (before compression).
    pub bytes: u64,
    /// Those of them that a root reaches.
    pub bytes_live: u64,
    /// Packs newly condemned.
    pub packs_condemned: u64,
    /// Condemned packs that are needed again.
    pub packs_rescued: u64,
    /// Packs whose living chunks were copied.
    pub packs_rewritten: u64,
    /// Packs deleted.
    pub packs_deleted: u64,
    /// Objects of dead sessions deleted.
    pub orphans_deleted: u64,
    /// Sessions that lost their lease.
    pub sessions_expired: u64,
}

/// A collection in progress, between its first step and its last.
pub struct Collection {
    blocks: Blocks,
    options: CollectOptions,
    view: Arc<View>,
    /// One bit an entry, for each run of the view.
    marks: Vec<Vec<u64>>,
    /// Chunks that were registered after the view was taken and reached since.
    late: BTreeSet<ChunkId>,
    report: CollectReport,
}

#[derive(Clone, Copy, Default)]
struct PackUse {
    bytes: u64,
    live_bytes: u64,
    live_chunks: u64,
}

impl Blocks {
    /// Step 1. Read the roots that are to be marked *after* this returns.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`], [`Error::Contended`].
    pub async fn collect(&self, options: CollectOptions) -> Result<Collection, Error> {
        let mut report = CollectReport::default();
        if !options.dry_run {
            let now = self.inner.env.clock.wall_ns();
            report.sessions_expired =
                self.inner.catalog.update(|catalog| Ok(promote(catalog, options, now))).await?;
        }
        let view = self.refreshed().await?;
        let marks = view.runs.iter().map(|run| vec![0; marks_len(run)]).collect();
        Ok(Collection { blocks: self.clone(), options, view, marks, late: BTreeSet::new(), report })
    }
}

fn marks_len(run: &RunHead) -> usize {
    usize::try_from(run.entries.div_ceil(64)).expect("a run has few entries")
}

/// Ends silent sessions, and makes packs dying that were condemned before every session that is left
/// began and longer ago than the grace.
fn promote(catalog: &mut Catalog, options: CollectOptions, now: i64) -> u64 {
    let before =
        |age: Duration| now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
    let count = catalog.sessions.len();
    catalog.sessions.retain(|lease| lease.renewed_ns >= before(options.lease));
    let expired = count - catalog.sessions.len();
    let oldest = catalog.sessions.iter().map(|lease| lease.started_ns).min().unwrap_or(i64::MAX);
    let due: Vec<PackId> = catalog
        .condemned
        .iter()
        .filter(|(_, since)| **since <= before(options.grace) && **since < oldest)
        .map(|(pack, _)| *pack)
        .collect();
    for pack in due {
        catalog.condemned.remove(&pack);
        catalog.sweeps += 1;
        let stamp = catalog.sweeps;
        catalog.dying.entry(pack).or_insert(stamp);
    }
    expired as u64
}

impl Collection {
    /// Step 2: marks chunks, and says for each whether this call was the first to. A page that was
    /// marked before needs no second walk, so a page that this calls first must be walked.
    ///
    /// # Errors
    /// [`Error::MissingChunk`] for a chunk that no pack has: the caller reached it from a root, so
    /// something published is damaged, and the collection must stop rather than delete more.
    pub async fn mark(&mut self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        let marked = self.mark_known(ids).await?.into_iter().zip(ids);
        marked.map(|(first, id)| first.ok_or(Error::MissingChunk { id: *id })).collect()
    }

    /// [`Collection::mark`] for what a root reaches that may turn out incomplete: `None` for a chunk
    /// that no pack has.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`].
    pub async fn mark_known(&mut self, ids: &[ChunkId]) -> Result<Vec<Option<bool>>, Error> {
        let found = self.view.find(&self.blocks.inner, ids, Want::Any).await?;
        let mut first = Vec::with_capacity(ids.len());
        for (found, id) in found.into_iter().zip(ids) {
            first.push(match found {
                Some(found) => Some(self.set(found.run, found.position)),
                None => self.registered_since(id).await?,
            });
        }
        Ok(first)
    }

    fn set(&mut self, run: usize, position: u64) -> bool {
        let word = usize::try_from(position / 64).expect("a run has few entries");
        let bit = 1 << (position % 64);
        let fresh = self.marks[run][word] & bit == 0;
        self.marks[run][word] |= bit;
        fresh
    }

    /// A chunk that the view does not know may have been registered after it was taken. Such chunks
    /// are no candidates for deletion, but what they refer to may be: they are walked.
    async fn registered_since(&mut self, id: &ChunkId) -> Result<Option<bool>, Error> {
        let known = self.blocks.locate(&[*id]).await?[0].is_some();
        Ok(known.then(|| self.late.insert(*id)))
    }

    /// Steps 3 and 4.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`], [`Error::Contended`]. The next collection goes on.
    pub async fn finish(mut self) -> Result<CollectReport, Error> {
        let packs = self.packs().await?;
        let (mut condemn, mut rewrite) = (Vec::new(), BTreeSet::new());
        for (pack, used) in &packs {
            if !self.view.catalog.offers(pack) {
                continue;
            }
            let percent = used.live_bytes * 100 / used.bytes.max(1);
            if used.live_chunks == 0 {
                condemn.push(*pack);
            } else if percent < u64::from(self.options.rewrite_below_percent) {
                rewrite.insert(*pack);
            }
        }
        self.report.packs_condemned = condemn.len() as u64;
        self.report.packs_rewritten = rewrite.len() as u64;
        if self.options.dry_run {
            return Ok(self.report);
        }
        let session = self.blocks.session().await?;
        self.rewrite(&session, &rewrite).await?;
        condemn.extend(rewrite);
        let dead = self.swap(&session, &packs, &condemn).await?;
        session.end().await?;
        for pack in &dead {
            self.blocks.inner.bucket.delete(&pack.key()).await?;
        }
        self.report.packs_deleted = dead.len() as u64;
        self.report.orphans_deleted = self.blocks.delete_orphans().await?;
        Ok(self.report)
    }

    /// How much of every pack of the view is alive.
    async fn packs(&mut self) -> Result<BTreeMap<PackId, PackUse>, Error> {
        let mut packs: BTreeMap<PackId, PackUse> = BTreeMap::new();
        let view = Arc::clone(&self.view);
        for (number, run) in view.runs.iter().enumerate() {
            let mut position = 0;
            for start in (0..run.pages()).step_by(WALK_PAGES as usize) {
                let span = start..(start + WALK_PAGES).min(run.pages());
                for page in pages_load(&self.blocks.inner, run, &span).await? {
                    for entry in page.iter() {
                        let live = self.is_marked(number, position);
                        position += 1;
                        let used = packs.entry(entry.frame.pack).or_default();
                        self.report.chunks += 1;
                        self.report.bytes += u64::from(entry.len);
                        used.bytes += u64::from(entry.len);
                        if live {
                            used.live_bytes += u64::from(entry.len);
                            used.live_chunks += 1;
                            self.report.chunks_live += 1;
                            self.report.bytes_live += u64::from(entry.len);
                        }
                    }
                }
            }
        }
        Ok(packs)
    }

    fn is_marked(&self, run: usize, position: usize) -> bool {
        self.marks[run][position / 64] & (1 << (position % 64)) != 0
    }

    /// Copies the living chunks of packs that are mostly garbage.
    async fn rewrite(&self, session: &Session, packs: &BTreeSet<PackId>) -> Result<(), Error> {
        let mut living: BTreeMap<PackId, BTreeSet<ChunkId>> = BTreeMap::new();
        for (number, run) in self.view.runs.iter().enumerate() {
            if !run.packs.iter().any(|pack| packs.contains(pack)) {
                continue;
            }
            for (position, entry) in self.blocks.run_entries(run).await?.iter().enumerate() {
                if packs.contains(&entry.frame.pack) && self.is_marked(number, position) {
                    living.entry(entry.frame.pack).or_default().insert(entry.id);
                }
            }
        }
        let mut open = OpenFrame::default();
        for (pack, chunks) in &living {
            self.rewrite_pack(session, *pack, chunks, &mut open).await?;
        }
        if !open.is_empty() {
            self.add(session, open).await?;
        }
        session.flush().await
    }

    async fn rewrite_pack(
        &self,
        session: &Session,
        pack: PackId,
        living: &BTreeSet<ChunkId>,
        open: &mut OpenFrame,
    ) -> Result<(), Error> {
        for (row, chunks) in self.blocks.footer(pack).await?.frames {
            if !chunks.iter().any(|chunk| living.contains(&chunk.id)) {
                continue;
            }
            let content = self.blocks.frame_checked(pack, &row, &chunks).await?;
            let mut at = 0;
            for chunk in chunks {
                let end = at + chunk.len as usize;
                if living.contains(&chunk.id) {
                    open.push(chunk.id, &content[at..end]);
                    if open.is_full() {
                        self.add(session, std::mem::take(open)).await?;
                    }
                }
                at = end;
            }
        }
        Ok(())
    }

    async fn add(&self, session: &Session, open: OpenFrame) -> Result<(), Error> {
        let level = self.blocks.inner.options.level;
        let frame = self.blocks.inner.env.spawn.run(move || open.encode(level)).await?;
        session.add(frame).await
    }

    /// Step 3's compare-and-swap: condemn, rescue, and take dead packs out of the index. Returns the
    /// dead packs, whose objects nobody can reach any more.
    async fn swap(
        &mut self,
        session: &Session,
        packs: &BTreeMap<PackId, PackUse>,
        condemn: &[PackId],
    ) -> Result<Vec<PackId>, Error> {
        let alive = |pack: &PackId| packs.get(pack).is_some_and(|used| used.live_chunks > 0);
        let before = &self.view.catalog;
        let rescued: Vec<PackId> = before
            .condemned
            .keys()
            .chain(before.dying.keys())
            .filter(|p| alive(p))
            .copied()
            .collect();
        self.report.packs_rescued = rescued.len() as u64;
        for _ in 0..crate::catalog::SWAP_ATTEMPTS_MAX {
            let now = self.blocks.refreshed().await?;
            // Another collection may have deleted or rescued something since, perhaps the very copy
            // of a chunk that our marks rely on. Then the next collection decides.
            let current = now.catalog.sweeps == before.sweeps;
            let dead: BTreeSet<PackId> =
                before.dying.keys().filter(|pack| current && !alive(pack)).copied().collect();
            if condemn.is_empty() && dead.is_empty() && rescued.is_empty() {
                return Ok(Vec::new());
            }
            if self.swap_once(session, &dead, &rescued, condemn).await? {
                return Ok(dead.into_iter().collect());
            }
        }
        Err(Error::Contended {
            object: crate::catalog::CATALOG_KEY.to_owned(),
            attempts: crate::catalog::SWAP_ATTEMPTS_MAX,
        })
    }

    async fn swap_once(
        &self,
        session: &Session,
        dead: &BTreeSet<PackId>,
        rescued: &[PackId],
        condemn: &[PackId],
    ) -> Result<bool, Error> {
        let (old, new) = self.blocks.runs_without(session, dead).await?;
        let now = self.blocks.inner.env.clock.wall_ns();
        let swapped = self
            .blocks
            .inner
            .catalog
            .update(|catalog| {
                let standing = dead.is_empty() || catalog.sweeps == self.view.catalog.sweeps;
                if !standing || !catalog.swap_runs(&old, new.clone()) {
                    return Ok(false);
                }
                for pack in rescued {
                    catalog.condemned.remove(pack);
                }
                for pack in rescued.iter().chain(dead) {
                    catalog.sweeps += u64::from(catalog.dying.remove(pack).is_some());
                }
                for pack in condemn.iter().filter(|pack| !catalog.dying.contains_key(pack)) {
                    catalog.condemned.entry(*pack).or_insert(now);
                }
                Ok(true)
            })
            .await?;
        self.blocks.refresh().await?;
        let gone = if swapped { old } else { new.into_iter().map(|run| run.name).collect() };
        for name in gone {
            self.blocks.inner.bucket.delete(&run_key(&name)).await?;
        }
        Ok(swapped)
    }
}

impl Blocks {
    /// All entries of a run: up to 26 MiB.
    pub(crate) async fn run_entries(&self, run: &Arc<RunHead>) -> Result<Vec<IndexEntry>, Error> {
        let mut entries = Vec::new();
        for start in (0..run.pages()).step_by(WALK_PAGES as usize) {
            let span = start..(start + WALK_PAGES).min(run.pages());
            for page in pages_load(&self.inner, run, &span).await? {
                entries.extend_from_slice(&page);
            }
        }
        Ok(entries)
    }

    /// Writes the runs of the newest catalog that name dead packs again, without them.
    async fn runs_without(
        &self,
        session: &Session,
        dead: &BTreeSet<PackId>,
    ) -> Result<(Vec<String>, Vec<crate::catalog::RunRef>), Error> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let view = self.refreshed().await?;
        for run in view.runs.iter().filter(|run| run.packs.iter().any(|p| dead.contains(p))) {
            let mut entries = self.run_entries(run).await?;
            entries.retain(|entry| !dead.contains(&entry.frame.pack));
            old.push(run.name.clone());
            if !entries.is_empty() {
                new.push(session.run_put_leased(entries).await?);
            }
        }
        Ok((old, new))
    }

    /// Step 4. The objects are listed first and the catalog is read afterwards: a session that is not
    /// in it by then can register nothing any more (BLOCKS-2).
    async fn delete_orphans(&self) -> Result<u64, Error> {
        let mut names: Vec<(String, PackId)> = Vec::new();
        for prefix in ["packs", "index"] {
            let mut listing = self.inner.bucket.list(prefix);
            while let Some(head) = listing.next().await {
                let key = head?.key;
                if let Some(id) = PackId::from_key(&key) {
                    names.push((key, id));
                }
            }
        }
        let view = self.refreshed().await?;
        let leased: BTreeSet<SessionId> =
            view.catalog.sessions.iter().map(|lease| lease.session).collect();
        let mut named: BTreeSet<String> =
            view.runs.iter().flat_map(|run| run.packs.iter().map(PackId::key)).collect();
        named.extend(view.runs.iter().map(|run| run_key(&run.name)));
        let mut deleted = 0;
        for (key, id) in names {
            if !leased.contains(&id.session()) && !named.contains(&key) {
                self.inner.bucket.delete(&key).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collection({} runs)", self.view.runs.len())
    }
}
