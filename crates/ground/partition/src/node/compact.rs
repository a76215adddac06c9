//! Compaction of one view, while it needs it, and collection of what nobody refers to any more.

use std::sync::Arc;
use std::time::Duration;

use slatedb::config::{
    CompactionWorkerOptions, CompactorOptions, GarbageCollectorDirectoryOptions,
    GarbageCollectorOptions, GarbageCollectorScheduleOptions,
};
use slatedb::{CompactorBuilder, GarbageCollectorBuilder};

use super::acquire::L0_TABLES_MAX;
use super::records::Owner;
use super::{Opened, Shared};
use crate::Error;
use crate::view::{self, HistoryFilters, Horizon, failed};

/// How often a compactor looks for work while it runs.
const POLL: Duration = Duration::from_millis(500);
/// How long one run may take.
const RUN_MAX: Duration = Duration::from_secs(600);
/// Looks without any change after which a run is over.
const QUIET_LOOKS: u32 = 4;

/// Whether a view has so many tables without order that writing it may wait for compaction.
pub(super) fn is_crowded(opened: &Opened) -> bool {
    opened.db.manifest().l0().len() >= L0_TABLES_MAX / 2
}

/// Compacts until nothing is left to do.
pub(super) async fn compact(shared: &Shared, opened: &Opened) -> Result<(), Error> {
    // Where the tables have the newest commits too, what is let go of by age leaves the last one. Else
    // nothing is let go of.
    let horizon = if is_crowded(opened) {
        Horizon::default()
    } else {
        opened.flush().await?;
        opened.horizon.clone()
    };
    let compactor = compactor(shared, opened, horizon);
    let (running, ended) = (compactor.clone(), futures::channel::oneshot::channel());
    shared.env.spawn.task(Box::pin(async move {
        let outcome = running.run().await;
        // Whoever started it may have gone.
        drop(ended.0.send(outcome));
    }));
    let mut looks = 0;
    let mut before = shape(opened);
    let mut waited = Duration::ZERO;
    while looks < QUIET_LOOKS && waited < RUN_MAX && !opened.live.has_failed() {
        shared.env.clock.sleep(POLL).await;
        waited = waited.saturating_add(POLL);
        let refreshed = opened.db.refresh_manifest().await;
        refreshed.map_err(|error| failed("look at the view", &error))?;
        let now = shape(opened);
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
    }
    compactor.stop().await.map_err(|error| failed("stop a compaction", &error))?;
    if let Ok(Err(error)) = ended.1.await {
        return Err(failed("compact the view", &error));
    }
    collect(shared, opened).await
}

/// What compaction changes: tables without order, and runs with their tables.
fn shape(opened: &Opened) -> (usize, Vec<u32>) {
    let manifest = opened.db.manifest();
    (manifest.l0().len(), manifest.compacted().iter().map(|run| run.id).collect())
}

fn compactor(
    shared: &Shared,
    opened: &Opened,
    horizon: Horizon,
) -> Arc<slatedb::compactor::Compactor> {
    let worker = CompactionWorkerOptions {
        compactions_poll_interval: POLL,
        // A range of keys that is cut in two could lose the mark that hides an older version.
        max_subcompactions: 1,
        ..CompactionWorkerOptions::default()
    };
    let options = CompactorOptions {
        poll_interval: POLL,
        worker: Some(worker),
        ..CompactorOptions::default()
    };
    let built = CompactorBuilder::new(Owner::view(opened.id), shared.view_store())
        .with_options(options)
        .with_system_clock(Arc::new(opened.clock.clone()))
        .with_seed(shared.env.rng.next_u64())
        .with_filter_policies(vec![view::filters()])
        .with_compaction_filter_supplier(Arc::new(HistoryFilters(horizon)))
        .build();
    Arc::new(built)
}

async fn collect(shared: &Shared, opened: &Opened) -> Result<(), Error> {
    let after = |min_age| Some(GarbageCollectorDirectoryOptions { min_age, ..Default::default() });
    let min_age = shared.options.collect_after;
    let options = GarbageCollectorOptions {
        manifest_options: after(min_age),
        compacted_options: after(min_age),
        compactions_options: after(min_age),
        wal_options: None,
        wal_fence_options: None,
        detach_options: Some(GarbageCollectorScheduleOptions::default()),
        ..GarbageCollectorOptions::default()
    };
    let built = GarbageCollectorBuilder::new(Owner::view(opened.id), shared.view_store())
        .with_options(options)
        .with_system_clock(Arc::new(opened.clock.clone()))
        .with_seed(shared.env.rng.next_u64())
        .build();
    let clone = |opened: &Opened| !opened.db.manifest().external_dbs().is_empty();
    let was_clone = clone(opened);
    built.run_gc_once().await;
    if was_clone {
        let refreshed = opened.db.refresh_manifest().await;
        refreshed.map_err(|error| failed("look at the view", &error))?;
        if !clone(opened) {
            // Its source may have been removed since.
            shared.snapshots().sweep().await?;
        }
    }
    Ok(())
}
