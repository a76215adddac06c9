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

use slatedb::CloneSourceSpec;
use slatedb::manifest::VersionedManifest;

use super::Shared;
use super::records::{Owner, State};
use super::snapshot::Snapshots;
use crate::view::wal::Written;
use crate::view::{Clock, failed};
use crate::{Error, Name, Partition as _, PartitionId};

/// Makes a partition that begins as this node's `name` is.
pub(super) async fn clone_to(shared: &Arc<Shared>, name: &Name, to: &Name) -> Result<(), Error> {
    let source = shared.open_soon(name).await?;
    let mut owner = Owner::new(shared.new_id(), source.live.status().settings);
    owner.loss = source.live.loss();
    owner.state = State::Making;
    let version = shared.found(to, &owner).await?;
    source.flush().await?;
    shared.snapshots().clone_view(source.id, owner.id()?).await?;
    owner.state = State::Closed;
    let made = shared.records.swap(&Owner::key(to), Some(&version), &owner).await?;
    let raced = || Error::Busy { why: format!("{to} was made by somebody else: try again") };
    made.map(drop).ok_or_else(raced)
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
        for other in clone.external_dbs() {
            let admin = self.admin_at(&other.path);
            let Some(pin) = other.final_checkpoint_id else { continue };
            let what = "release what a clone pinned";
            let found = admin.read_manifest(None).await.map_err(|error| failed(what, &error))?;
            let held = |manifest: VersionedManifest| {
                manifest.checkpoints().iter().any(|checkpoint| checkpoint.id == pin)
            };
            if found.is_some_and(held) {
                let deleted = admin.delete_checkpoint(pin).await;
                deleted.map_err(|error| failed(what, &error))?;
            }
        }
        Ok(())
    }

    /// Deletes a view whose partition was removed, and those that stayed only for it.
    pub(super) async fn drop_view(&self, id: PartitionId) -> Result<(), Error> {
        let clone = self.manifest(id).await?.is_some_and(|found| !found.external_dbs().is_empty());
        self.delete_view(id).await?;
        if clone { self.sweep().await.map(drop) } else { Ok(()) }
    }
}
