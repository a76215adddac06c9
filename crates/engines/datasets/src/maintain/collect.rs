//! Retention rules, and collection of what no version reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_base::ErrorKind;
use cairn_blocks::{CollectOptions, CollectReport, Collection};
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_tree::Reference;
use serde::Serialize;

use super::WAVE;
use crate::error::Error;
use crate::local::Datasets;
use crate::model::{Dataset, Rules, Target, Version};
use crate::refs::RefState;

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

/// How a collection came to a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
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
        self.collect_telling(options, Arc::new(|_| {})).await
    }

    /// As [`Datasets::collect`], and tells how far it is: versions whose chunks were marked, and how many
    /// there are.
    ///
    /// # Errors
    /// As there.
    pub async fn collect_telling(
        &self,
        options: CollectOptions,
        told: Arc<dyn Fn((u64, u64)) + Send + Sync>,
    ) -> Result<Collected, Error> {
        let mut before = Collected::default();
        self.retain(options, &mut before).await?;
        for attempt in 1.. {
            match self.sweep(options, before, &*told).await {
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
        told: &(dyn Fn((u64, u64)) + Send + Sync),
    ) -> Result<Collected, Error> {
        // The roots are read after the collection has begun: that order is what BLOCKS-4 rests on.
        let mut collection = self.blocks.collect(options).await?;
        let states = self.refs.all(None, None).await?;
        let count =
            |state: &RefState| u64::from(state.current.is_some()) + state.history.len() as u64;
        let all: u64 = states.iter().map(|(_, state)| count(state)).sum();
        for (target, state) in &states {
            let stale = i64::try_from(options.lease.as_nanos()).unwrap_or(i64::MAX);
            if !options.dry_run && !state.pending.is_empty() {
                self.refs.drop_stale(target, stale).await?;
            }
            let key = self.key(&target.dataset.project);
            for version in state.current.iter().chain(&state.history) {
                collected.versions += 1;
                self.mark(&mut collection, &key, version.root, Reached::Published).await?;
                told((collected.versions, all));
            }
            for pending in &state.pending {
                self.mark(&mut collection, &key, pending.version.root, Reached::Announced).await?;
            }
        }
        self.mark_pins(&mut collection).await?;
        self.mark_holds(&mut collection).await?;
        collected.blocks = collection.finish().await?;
        Ok(collected)
    }

    /// Marks what pins reach. Its writer may find yet that one lacks something, and give it up.
    async fn mark_pins(&self, collection: &mut Collection) -> Result<(), Error> {
        for (of, _, root) in self.pin_roots().await? {
            let key = self.key(&of.project);
            self.mark(collection, &key, root?, Reached::Announced).await?;
        }
        Ok(())
    }

    /// Marks all that a root reaches. What was marked before is not walked again, so whatever this
    /// marks it also walks, even below a root that is not whole: another root may share it.
    pub(crate) async fn mark(
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
