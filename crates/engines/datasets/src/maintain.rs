//! Retention, collection, verification: what an operator runs, and what proves a publication.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_base::{ErrorKind, ProjectName};
use cairn_blocks::{
    CollectOptions, CollectReport, Collection, Damage, Finding, VerifyReport, Want,
};
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_tree::{DirectoryPage, Entry, Kind, MapPage, Reference, Root, Step, Stream, Totals};
use serde::Serialize;

use crate::error::Error;
use crate::local::Datasets;
use crate::model::{Dataset, Rules, Target, Version};
use crate::refs::RefState;

/// References marked or looked up with one call, and pages read with one.
const WAVE: usize = 512;
/// How often a collection starts again because another one ran beside it.
const COLLECT_ATTEMPTS_MAX: u32 = 4;
const NS_PER_S: i64 = 1_000_000_000;

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Tags removed by rules or because they expired.
    pub tags_removed: u64,
    /// Superseded versions removed by rules.
    pub versions_removed: u64,
    /// Versions whose chunks were marked.
    pub versions: u64,
    /// The block store's part.
    #[serde(flatten)]
    pub blocks: CollectReport,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Versions whose manifests were walked.
    pub versions: u64,
    /// Chunks that they reach, each counted once a version.
    pub references: u64,
    /// The block store's part, with what is wrong.
    #[serde(flatten)]
    pub blocks: VerifyReport,
}

/// How a collection came to a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// It is current or in a history: nothing that it reaches may be missing.
    Published,
    /// It may yet turn out incomplete; then it will not be published.
    Announced,
}

impl Datasets {
    /// Applies the rules, then collects what nothing reaches any more. Pushes and pulls go on
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Blocks`] with a corrupt kind when a published version misses a chunk: then nothing is
    /// deleted.
    pub async fn collect(&self, options: CollectOptions) -> Result<Collected, Error> {
        let mut before = Collected::default();
        self.retain(options, &mut before).await?;
        for attempt in 1.. {
            match self.sweep(options, before).await {
                // Another collection replaced a run that this one was reading.
                Err(error)
                    if error.kind() == ErrorKind::NotFound && attempt < COLLECT_ATTEMPTS_MAX =>
                {
                    tracing::info!(%error, "collecting again");
                }
                other => return other,
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Collects what no version reaches, and goes on counting in `collected`.
    async fn sweep(
        &self,
        options: CollectOptions,
        mut collected: Collected,
    ) -> Result<Collected, Error> {
        // The roots are read after the collection has begun: that order is what BLOCKS-4 rests on.
        let mut collection = self.blocks.collect(options).await?;
        let states = self.refs.all(None, None).await?;
        for (target, state) in &states {
            let stale = i64::try_from(options.lease.as_nanos()).unwrap_or(i64::MAX);
            if !options.dry_run && !state.pending.is_empty() {
                self.refs.drop_stale(target, stale).await?;
            }
            let key = self.key(&target.dataset.project);
            for version in state.current.iter().chain(&state.history) {
                collected.versions += 1;
                self.mark(&mut collection, &key, version.root, Reached::Published).await?;
            }
            for pending in &state.pending {
                self.mark(&mut collection, &key, pending.version.root, Reached::Announced).await?;
            }
        }
        collected.blocks = collection.finish().await?;
        Ok(collected)
    }

    /// Marks all that a root reaches. What was marked before is not walked again, so whatever this
    /// marks it also walks, even below a root that is not whole: another root may share it.
    async fn mark(
        &self,
        collection: &mut Collection,
        key: &ChunkKey,
        root: ChunkId,
        from: Reached,
    ) -> Result<(), Error> {
        let mut open = vec![Reference::Root(root)];
        while !open.is_empty() {
            let wave = open.split_off(open.len().saturating_sub(WAVE));
            let ids: Vec<ChunkId> = wave.iter().map(Reference::id).collect();
            let fresh: Vec<bool> = match from {
                Reached::Published => collection.mark(&ids).await?,
                Reached::Announced => {
                    let known = collection.mark_known(&ids).await?;
                    known.into_iter().map(|first| first == Some(true)).collect()
                }
            };
            let pages: Vec<Reference> = wave
                .into_iter()
                .zip(fresh)
                .filter(|(reference, fresh)| *fresh && !reference.is_data())
                .map(|(reference, _)| reference)
                .collect();
            self.children(key, &pages, &mut open).await?;
        }
        Ok(())
    }

    /// Reads pages and appends what they refer to.
    async fn children(
        &self,
        key: &ChunkKey,
        pages: &[Reference],
        to: &mut Vec<Reference>,
    ) -> Result<(), Error> {
        for few in pages.chunks(64) {
            let ids: Vec<ChunkId> = few.iter().map(Reference::id).collect();
            for (bytes, reference) in self.blocks.read(key, &ids).await?.iter().zip(few) {
                let children = reference.decode(bytes)?.children();
                to.extend(children);
            }
        }
        Ok(())
    }

    /// Removes what the rules of each dataset let go.
    async fn retain(
        &self,
        options: CollectOptions,
        collected: &mut Collected,
    ) -> Result<(), Error> {
        let now = self.blocks.env().clock.wall_ns();
        let mut datasets: BTreeMap<Dataset, Vec<(Target, RefState)>> = BTreeMap::new();
        for (target, state) in self.refs.all(None, None).await? {
            datasets.entry(target.dataset.clone()).or_default().push((target, state));
        }
        for (dataset, mut refs) in datasets {
            let rules = self.refs.rules(&dataset).await?;
            refs.retain(|(_, state)| state.current.is_some());
            refs.sort_by_key(|(_, state)| {
                std::cmp::Reverse(state.current.as_ref().map(|version| version.time_ns))
            });
            for (rank, (target, state)) in refs.iter().enumerate() {
                let Some(current) = &state.current else { continue };
                if tag_goes(&rules, rank, current, now) {
                    collected.tags_removed += 1;
                    collected.versions_removed += state.history.len() as u64;
                    if !options.dry_run {
                        self.remove_as_read(target, current).await?;
                    }
                    continue;
                }
                let kept = history_kept(&rules, &state.history, now);
                let gone = state.history.len() - kept;
                collected.versions_removed += gone as u64;
                if gone > 0 && !options.dry_run {
                    self.trim(target, &rules, now).await?;
                }
            }
        }
        Ok(())
    }

    /// Removes a tag unless it moved since it was read.
    async fn remove_as_read(&self, target: &Target, read: &Version) -> Result<(), Error> {
        let now = self.blocks.env().clock.wall_ns();
        self.refs
            .update(target, |state| {
                if state.current.as_ref() == Some(read) {
                    state.current = None;
                    state.history.clear();
                    state.removed_ns = Some(now);
                }
                Ok(())
            })
            .await
    }

    async fn trim(&self, target: &Target, rules: &Rules, now: i64) -> Result<(), Error> {
        self.refs
            .update(target, |state| {
                let kept = history_kept(rules, &state.history, now);
                state.history.truncate(kept);
                Ok(())
            })
            .await
    }

    /// Reads every byte of the bucket back, and walks every version.
    ///
    /// # Errors
    /// Only when the bucket itself fails; damage is in the report.
    pub async fn verify(
        &self,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Verified, Error> {
        let states = self.refs.all(None, None).await?;
        let mut projects: Vec<ProjectName> =
            states.iter().map(|(target, _)| target.dataset.project.clone()).collect();
        projects.push(ProjectName::default());
        projects.sort();
        projects.dedup();
        let keys: Vec<ChunkKey> = projects.iter().map(|project| self.key(project)).collect();
        let blocks = self.blocks.verify(&keys, &progress).await?;
        let damage = blocks.damage.clone();
        let mut verified = Verified { blocks, ..Verified::default() };
        for (target, state) in &states {
            let versions = state.current.iter().chain(&state.history);
            for version in versions {
                verified.versions += 1;
                let project = &target.dataset.project;
                let walked = self.walk(project, version.root, &[], Want::Any, &damage).await;
                match walked {
                    Ok(walk) => {
                        verified.references += walk.references;
                        if walk.missing > 0 {
                            let first = walk.first_missing;
                            let detail = format!("{} chunks are missing, {first:?}", walk.missing);
                            verified.blocks.found(finding(target, version, detail, walk.missing));
                        }
                        if walk.damaged > 0 {
                            let detail = format!("{} chunks are damaged", walk.damaged);
                            verified.blocks.found(finding(target, version, detail, walk.damaged));
                        }
                    }
                    Err(error) => {
                        let detail = error.to_string();
                        verified.blocks.found(finding(target, version, detail, 1));
                    }
                }
            }
        }
        Ok(verified)
    }

    /// DATASETS-2: every chunk that the root reaches is stored in a pack that stays, which a pack that
    /// was condemned before the root was announced does (BLOCKS-4). What `base` roots reach needs no
    /// look.
    pub(crate) async fn check_complete(
        &self,
        project: &ProjectName,
        root: ChunkId,
        base: &[ChunkId],
    ) -> Result<(), Error> {
        let damage = Damage::default();
        let walk = self.walk(project, root, base, Want::Kept, &damage).await?;
        match walk.first_missing {
            None => Ok(()),
            Some(first) => Err(Error::Incomplete { count: walk.missing, first: first.to_string() }),
        }
    }

    /// What a root says it has.
    pub(crate) async fn root_totals(
        &self,
        project: &ProjectName,
        root: ChunkId,
    ) -> Result<Totals, Error> {
        let missing = || Error::Incomplete { count: 1, first: root.to_string() };
        let mut pages = match self.blocks.read(&self.key(project), &[root]).await {
            Err(cairn_blocks::Error::MissingChunk { .. }) => return Err(missing()),
            other => other?,
        };
        Ok(Root::decode(&pages.pop().ok_or_else(missing)?)?.totals)
    }

    /// Walks a version beside the versions it builds on, and looks every chunk up that they do not
    /// share page by page, in packs that `want` counts. Pages are checked against what their parents
    /// say.
    async fn walk<'a>(
        &'a self,
        project: &ProjectName,
        root: ChunkId,
        base: &[ChunkId],
        want: Want,
        damage: &'a Damage,
    ) -> Result<Walk<'a>, Error> {
        let mut walk = Walk::new(self, project, want, damage);
        if !walk.look_up(&[root]).await? {
            return Ok(walk);
        }
        let new = walk.root(root).await?;
        let mut old = None;
        for root in base {
            old = old.or(walk.root(*root).await.ok().and_then(|root| root.page));
        }
        walk.directories.push((old, new.page, new.totals));
        while let Some((old, new, totals)) = walk.directories.pop() {
            walk.directory(old, new, &totals).await?;
        }
        walk.flush().await?;
        Ok(walk)
    }
}

struct Walk<'a> {
    datasets: &'a Datasets,
    key: ChunkKey,
    want: Want,
    /// Directories to compare: the old page, the new one, and what the new one's parent says of it.
    directories: Vec<(Option<ChunkId>, Option<ChunkId>, Totals)>,
    waiting: Vec<ChunkId>,
    references: u64,
    missing: u64,
    first_missing: Option<ChunkId>,
    /// What is known to be unreadable, and how many of the references lead there.
    damage: &'a Damage,
    damaged: u64,
}

impl<'a> Walk<'a> {
    fn new(datasets: &'a Datasets, project: &ProjectName, want: Want, damage: &'a Damage) -> Self {
        Self {
            datasets,
            key: datasets.key(project),
            want,
            directories: Vec::new(),
            waiting: Vec::new(),
            references: 0,
            missing: 0,
            first_missing: None,
            damage,
            damaged: 0,
        }
    }

    /// Looks chunks up at once. Whether all are there.
    async fn look_up(&mut self, ids: &[ChunkId]) -> Result<bool, Error> {
        self.references += ids.len() as u64;
        let has = self.datasets.blocks.has(ids, self.want).await?;
        let before = self.missing;
        for (id, has) in ids.iter().zip(has) {
            if !has {
                self.missing += 1;
                self.first_missing.get_or_insert(*id);
            }
        }
        if !self.damage.is_empty() {
            let places = self.datasets.blocks.locate(ids).await?;
            let hits = places.iter().flatten().filter(|place| self.damage.hits(place)).count();
            self.damaged += hits as u64;
        }
        Ok(self.missing == before)
    }

    async fn data(&mut self, id: ChunkId) -> Result<(), Error> {
        self.waiting.push(id);
        if self.waiting.len() >= WAVE * 8 {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.waiting);
        self.look_up(&waiting).await?;
        Ok(())
    }

    async fn page(&self, id: ChunkId) -> Result<bytes::Bytes, Error> {
        let mut pages = self.datasets.blocks.read(&self.key, &[id]).await?;
        Ok(pages.pop().expect("a read answers every id"))
    }

    async fn root(&self, id: ChunkId) -> Result<Root, Error> {
        Ok(Root::decode(&self.page(id).await?)?)
    }

    async fn directory(
        &mut self,
        old: Option<ChunkId>,
        new: Option<ChunkId>,
        totals: &Totals,
    ) -> Result<(), Error> {
        let mut diff = cairn_tree::Diff::new(old, new);
        let mut top = true;
        loop {
            match diff.step() {
                Step::Done => return Ok(()),
                Step::Left(_) => {}
                Step::Need { side, page } => {
                    let is_new = side == cairn_tree::Side::Right;
                    if is_new && !self.look_up(&[page]).await? {
                        return Ok(());
                    }
                    let decoded = DirectoryPage::decode(&self.page(page).await?)?;
                    if is_new && std::mem::take(&mut top) {
                        decoded.check_totals(totals)?;
                    }
                    diff.supply(side, decoded)?;
                }
                Step::Right(entry) => self.entry(None, entry).await?,
                Step::Both { left, right } => self.entry(Some(left), right).await?,
            }
        }
    }

    async fn entry(&mut self, old: Option<Entry>, new: Entry) -> Result<(), Error> {
        let old = old.map(|entry| entry.kind);
        match new.kind {
            Kind::Directory { page, totals } => {
                let before = match old {
                    Some(Kind::Directory { page, .. }) => page,
                    _ => None,
                };
                self.directories.push((before, page, totals));
                Ok(())
            }
            Kind::File { content } => {
                let before: Vec<Stream> = match old {
                    Some(Kind::File { content }) => content.streams().cloned().collect(),
                    _ => Vec::new(),
                };
                for stream in content.streams().filter(|stream| !before.contains(stream)) {
                    self.stream(stream).await?;
                }
                Ok(())
            }
            Kind::Symlink { .. } | Kind::Hardlink { .. } => Ok(()),
        }
    }

    async fn stream(&mut self, stream: &Stream) -> Result<(), Error> {
        let Stream::Map { page, len } = stream else {
            for slice in stream.inline().unwrap_or_default() {
                if let cairn_tree::Source::Chunk { id, .. } = slice.source {
                    self.data(id).await?;
                }
            }
            return Ok(());
        };
        let mut open = vec![(*page, None, *len)];
        while let Some((id, child, len)) = open.pop() {
            if !self.look_up(&[id]).await? {
                return Ok(());
            }
            let page = MapPage::decode(&self.page(id).await?)?;
            match &child {
                Some(child) => cairn_tree::MapChild::check(child, &page)?,
                None => page.check_len(len)?,
            }
            match page {
                MapPage::Leaf(leaf) => {
                    for id in leaf.ids() {
                        self.data(*id).await?;
                    }
                }
                MapPage::Index(index) => {
                    open.extend(index.children().iter().map(|c| (c.page, Some(*c), c.len)));
                }
            }
        }
        Ok(())
    }
}

fn finding(target: &Target, version: &Version, detail: String, chunks: u64) -> Finding {
    let object = format!("version {} of {target}", version.root);
    Finding { object, offset: 0, detail, chunks }
}

fn seconds_ago(now: i64, seconds: u64) -> i64 {
    now.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(NS_PER_S))
}

/// Whether the tag that is the `rank`-th newest of its dataset (from 0) is to be removed.
fn tag_goes(rules: &Rules, rank: usize, current: &Version, now: i64) -> bool {
    if current.expires_ns.is_some_and(|at| at <= now) {
        return true;
    }
    let Rules { tags_keep, tags_seconds, .. } = rules;
    if tags_keep.is_none() && tags_seconds.is_none() {
        return false;
    }
    let by_rank = tags_keep.is_some_and(|keep| rank < keep as usize);
    let by_age = tags_seconds.is_some_and(|seconds| current.time_ns >= seconds_ago(now, seconds));
    rank > 0 && !by_rank && !by_age
}

/// How many of a history's versions, from the newest on, the rules keep.
fn history_kept(rules: &Rules, history: &[Version], now: i64) -> usize {
    let limit = seconds_ago(now, rules.history_seconds);
    let young = history.iter().take_while(|version| version.time_ns >= limit).count();
    young.max(rules.history_keep as usize).min(history.len())
}
