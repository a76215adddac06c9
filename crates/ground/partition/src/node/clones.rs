//! Clones: partitions that begin as others are, and share the tables of their views until compaction has
//! written tables of their own.
//!
//! CLONE-1 A clone has every commit of its source that was acknowledged before it was asked for. What else
//! it has is a beginning of those that came after: its source's view is written before it is cloned, and
//! a view is always a beginning of its log.
//!
//! CLONE-2 No table goes while a view needs it, whichever of source and clone is removed first: a clone
//! holds a checkpoint of each view that it has tables of, without a label and without an end. It is
//! released when no state of the clone has such tables any more, or before its view is deleted. A view
//! that is pinned stays, with or without its partition.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_bucket::Version;
use slatedb::CloneSourceSpec;
use slatedb::manifest::VersionedManifest;

use super::records::{Owner, State};
use super::snapshot::{Pin, Snapshot, Snapshots, manifests_of, pins, sources_of};
use super::{Opened, Shared};
use crate::view::wal::Written;
use crate::view::{Clock, failed};
use crate::{Error, Name, Partition as _, PartitionId, Step};

/// How often snapshots are taken again when what they are of is being cloned.
const TRIES_MAX: usize = 8;

/// Makes a partition that begins as this node's `name` is.
pub(super) async fn clone_to(
    shared: &Arc<Shared>,
    name: &Name,
    to: &Name,
    before: Step<'_>,
) -> Result<(), Error> {
    let source = shared.open_soon(name).await?;
    let mut owner = Owner::new(shared.new_id(), source.live.status().settings);
    owner.loss = source.live.loss();
    owner.state = State::Making;
    owner.making_ms = u64::try_from(shared.env.clock.wall_ns() / 1_000_000).ok();
    let version = shared.found(to, &owner).await?;
    if let Err(error) = make(shared, &source, &owner, before).await {
        if let Err(error) = give_up(shared, to, owner, &version).await {
            tracing::debug!(clone = %to, %error, "a clone that failed is given up later");
        }
        return Err(error);
    }
    (owner.state, owner.making_ms) = (State::Closed, None);
    let made = shared.records.swap(&Owner::key(to), Some(&version), &owner).await?;
    let raced = || Error::Busy { why: format!("{to} was made by somebody else: try again") };
    made.map(drop).ok_or_else(raced)
}

/// Leaves nothing of a clone that failed.
async fn give_up(
    shared: &Shared,
    to: &Name,
    mut owner: Owner,
    version: &Version,
) -> Result<(), Error> {
    owner.state = State::Removed;
    let removed = shared.records.swap(&Owner::key(to), Some(version), &owner).await?;
    if removed.is_some() { shared.snapshots().drop_view(owner.id()?).await } else { Ok(()) }
}

async fn make(
    shared: &Shared,
    source: &Opened,
    clone: &Owner,
    before: Step<'_>,
) -> Result<(), Error> {
    source.flush().await?;
    shared.snapshots().clone_view(source.id, clone.id()?).await?;
    before.await?;
    // Who owns it now has it all to here in its view (CLONE-1). And if it is there yet, what removes it
    // finds what the clone pins of it (CLONE-2).
    let found = shared.owner(&source.name).await?;
    let found = found.filter(|found| found.record.is_there());
    shared.check_mine(source, &found.ok_or_else(|| source.name.missing())?.record)
}

impl Snapshots {
    /// Makes a view that begins as another one is in the bucket.
    async fn clone_view(&self, from: PartitionId, to: PartitionId) -> Result<(), Error> {
        let source = CloneSourceSpec::new(Owner::view(from));
        let builder = self.admin(to).create_clone_builder_from_source(source);
        let built = builder
            .with_wal_admin(Arc::new(Written))
            .with_system_clock(Arc::new(Clock::new(&self.env)))
            .with_seed(self.env.rng.next_u64())
            .build()
            .await;
        built.map_err(|error| failed("clone a view", &error))
    }

    /// Where the views are that some of `views` have tables of.
    pub(super) async fn shared_views(
        &self,
        views: &[PartitionId],
    ) -> Result<BTreeSet<String>, Error> {
        let mut shared = BTreeSet::new();
        for id in views {
            if let Some(manifest) = self.manifest(*id).await? {
                shared.extend(manifest.external_dbs().iter().map(|other| other.path.clone()));
            }
        }
        Ok(shared)
    }

    /// Releases what a clone pins, before its view goes.
    pub(super) async fn let_go(&self, clone: &VersionedManifest) -> Result<(), Error> {
        for source in sources_of(clone) {
            self.unpin(&source.path, |pin| pin == source.pin).await?;
        }
        Ok(())
    }

    /// Releases checkpoints of a view.
    async fn unpin(&self, path: &str, which: impl Fn(Pin) -> bool) -> Result<(), Error> {
        let (admin, what) = (self.admin_at(path), "release what a clone pinned");
        let found = admin.read_manifest(None).await.map_err(|error| failed(what, &error))?;
        let pinned = found.iter().flat_map(|manifest| manifest.checkpoints());
        for checkpoint in pinned.filter(|made| pins(made) && which(made.id.into_bytes())) {
            let deleted = admin.delete_checkpoint(checkpoint.id).await;
            deleted.map_err(|error| failed(what, &error))?;
        }
        Ok(())
    }

    /// Of copies of partitions, of which nobody knows labels: nothing is pinned but what their clones need.
    ///
    /// # Errors
    /// Of the bucket and the views.
    pub async fn settle_views(&self) -> Result<(), Error> {
        let views = self.views().await?;
        let mut needed = BTreeSet::new();
        for id in &views {
            let manifest = self.manifest(*id).await?;
            needed.extend(manifest.iter().flat_map(sources_of).map(|source| source.pin));
        }
        for id in &views {
            self.unpin(&Owner::view(*id), |pin| !needed.contains(&pin)).await?;
        }
        Ok(())
    }

    /// Snapshots that can be restored together: a partition that was cloned after its snapshot was taken,
    /// and before that of its clone, does not know of the clone, and its snapshot is taken again.
    ///
    /// # Errors
    /// As [`Snapshots::take`].
    pub async fn together(
        &self,
        mut all: Vec<Snapshot>,
        label: &str,
    ) -> Result<Vec<Snapshot>, Error> {
        for _ in 0..TRIES_MAX {
            let Some(at) = all.iter().position(|source| lacks_a_clone(source, &all)) else {
                return Ok(all);
            };
            let early = all.swap_remove(at);
            self.release(early.id, label).await?;
            all.extend(self.take(&early.name, label).await?);
        }
        Err(Error::Busy { why: String::from("partitions are being cloned: try again") })
    }

    /// What else is needed of views that `all` have tables of, and of which none of `all` is: of partitions
    /// that were removed.
    ///
    /// # Errors
    /// Of the bucket and the views.
    pub async fn removed_sources(&self, all: &[Snapshot]) -> Result<Vec<String>, Error> {
        let mut paths: BTreeSet<&str> =
            all.iter().flat_map(|taken| &taken.sources).map(|source| &*source.path).collect();
        let there: BTreeSet<String> = all.iter().map(|taken| Owner::view(taken.id)).collect();
        paths.retain(|path| !there.contains(*path));
        let mut objects = Vec::new();
        for path in paths {
            let found = self.admin_at(path).read_manifest(None).await;
            let found = found.map_err(|error| failed("look at a view", &error))?;
            objects.extend(found.iter().flat_map(|found| manifests_of(path, found, found.id())));
        }
        Ok(objects)
    }

    /// Deletes a view whose partition was removed, and those that stayed only for it.
    pub(super) async fn drop_view(&self, id: PartitionId) -> Result<(), Error> {
        let clone = self.manifest(id).await?.is_some_and(|found| !found.external_dbs().is_empty());
        self.delete_view(id).await?;
        if clone { self.sweep().await.map(drop) } else { Ok(()) }
    }
}

fn lacks_a_clone(source: &Snapshot, all: &[Snapshot]) -> bool {
    let path = Owner::view(source.id);
    let pins = all.iter().flat_map(|taken| &taken.sources).filter(|of| of.path == path);
    pins.map(|of| of.pin).any(|pin| !source.pinned.contains(&pin))
}
