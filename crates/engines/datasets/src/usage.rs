//! What a bucket's bytes are of. Reads every ref and the list of packs: for an operator, now and then.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use serde::Serialize;

use crate::error::Error;
use crate::local::Datasets;

/// What a project has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProjectUsage {
    /// Its name.
    pub project: String,
    /// Datasets.
    pub datasets: u64,
    /// Tags.
    pub tags: u64,
    /// Versions that tags point to, and those in their histories.
    pub versions: u64,
    /// Bytes of all files of the versions that tags point to, before deduplication.
    pub bytes: u64,
    /// Bytes that its versions added to the bucket when they were published.
    pub added_bytes: u64,
}

impl Datasets {
    /// What each project has, by name.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Blocks`].
    pub async fn usage_by_project(&self) -> Result<Vec<ProjectUsage>, Error> {
        let mut all: BTreeMap<String, ProjectUsage> = BTreeMap::new();
        let mut datasets = BTreeSet::new();
        for (target, state) in self.refs.all(None, None).await? {
            let Some(current) = &state.current else { continue };
            let project = target.dataset.project.to_string();
            let new = || ProjectUsage { project: project.clone(), ..ProjectUsage::default() };
            let usage = all.entry(project.clone()).or_insert_with(new);
            usage.datasets += u64::from(datasets.insert(target.dataset));
            usage.tags += 1;
            usage.versions += 1 + state.history.len() as u64;
            usage.bytes = usage.bytes.saturating_add(current.bytes);
            let versions = std::iter::once(current).chain(&state.history);
            let added = versions.map(|version| version.stored_bytes);
            usage.added_bytes = added.fold(usage.added_bytes, u64::saturating_add);
        }
        Ok(all.into_values().collect())
    }

    /// Bytes of all packs in the bucket.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn pack_bytes(&self) -> Result<u64, Error> {
        let packs = self.blocks.bucket().list("packs").map_err(Error::from);
        packs.try_fold(0_u64, |sum, head| async move { Ok(sum.saturating_add(head.size)) }).await
    }
}
