//! What a node does for its partitions in the background: keeping its lease, writing views to the
//! bucket, letting go of history, compaction. A partition that does not change causes nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use slatedb::config::{FlushOptions, FlushType};

use super::records::Owner;
use super::{Opened, Shared, compact};
use crate::Error;
use crate::view::failed;

/// Tables without order after which a view is compacted.
const L0_TABLES: usize = 4;

/// Partitions that are seen to at a time: each holds what it writes in memory meanwhile.
pub(super) const CHORES_MAX: usize = 16;

/// What is known of a partition's chores.
#[derive(Default)]
pub(super) struct Chores {
    busy: AtomicBool,
    releasing: AtomicBool,
    /// What the bucket's view has of the log, when it was looked at last.
    released: AtomicU64,
    /// The last commit at which history was let go, and when, in milliseconds.
    tidied_at: AtomicU64,
    tidied_ms: AtomicU64,
}

pub(super) fn start(shared: &Arc<Shared>) {
    let keeping = Arc::clone(shared);
    shared.env.spawn.task(Box::pin(async move {
        let (moved, done) = (Arc::clone(&keeping), Arc::clone(&keeping));
        let changed = move || moved.log.gate_changed();
        let kept = keeping.keeper.keep(changed, move || done.closing.load(Ordering::Acquire)).await;
        if let Err(lost) = kept {
            tracing::error!(error = %lost, "this node owns nothing any more");
            keeping.log.poison(lost);
            keeping.deposed.store(true, Ordering::Release);
        }
    }));
    let looking = Arc::downgrade(shared);
    shared.env.spawn.task(Box::pin(look(looking)));
}

async fn look(node: Weak<Shared>) {
    loop {
        let Some(shared) = node.upgrade().filter(|node| !node.closing.load(Ordering::Acquire))
        else {
            return;
        };
        for opened in shared.opened() {
            visit(&shared, &opened);
        }
        if let Err(error) = shared.shipper.collect().await {
            tracing::debug!(%error, "shipped logs were not collected: trying again");
        }
        let (env, wait) = (shared.env.clone(), shared.options.look_every);
        // The node must be able to go while nobody looks.
        drop(shared);
        env.clock.sleep(wait).await;
    }
}

/// Looks at one partition, and sees to it in the background when there is something to do.
fn visit(shared: &Arc<Shared>, opened: &Arc<Opened>) {
    if opened.live.has_failed() {
        return;
    }
    let status = opened.db.status();
    if let Some(reason) = status.close_reason {
        // An owner of before was still opening it, and came late: nothing can be read here any more.
        opened.live.lost_view(format!("its engine ended: {reason:?}"));
        return;
    }
    let manifest = status.current_manifest;
    let replay_after = manifest.replay_after_wal_id();
    release(shared, opened, replay_after);
    let now_ms = u64::try_from(shared.env.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
    let chore = Chore {
        flush: must_flush(shared, opened, replay_after),
        compact: manifest.l0().len() >= L0_TABLES,
        tidy: opened.chores.may_tidy(opened, now_ms, shared.options.tidy_every),
    };
    if !chore.any() || opened.chores.busy.swap(true, Ordering::AcqRel) {
        return;
    }
    let (shared, opened) = (Arc::clone(shared), Arc::clone(opened));
    shared.env.clone().spawn.task(Box::pin(async move {
        let place = shared.chores.acquire().await;
        if let Err(error) = see_to(&shared, &opened, chore, now_ms).await {
            tracing::warn!(partition = %opened.name, %error, "background work failed: trying again");
        }
        drop(place);
        opened.chores.busy.store(false, Ordering::Release);
    }));
}

/// Lets go of what is in the bucket's view. The open view says what is about to be there: only what the
/// bucket has counts, for after a crash the log must have all that it has not.
fn release(shared: &Arc<Shared>, opened: &Arc<Opened>, about_to_be: u64) {
    let chores = &opened.chores;
    let news = about_to_be > chores.released.load(Ordering::Acquire);
    if !news || opened.live.has_failed() || chores.releasing.swap(true, Ordering::AcqRel) {
        return;
    }
    let (shared, opened) = (Arc::clone(shared), Arc::clone(opened));
    shared.env.clone().spawn.task(Box::pin(async move {
        match opened.in_bucket(&shared).await {
            Ok(through) => {
                opened.writer.release(through);
                opened.chores.released.store(through, Ordering::Release);
            }
            Err(error) => {
                tracing::debug!(partition = %opened.name, %error, "the log lets go of nothing yet");
            }
        }
        opened.chores.releasing.store(false, Ordering::Release);
    }));
}

/// Whether the log waits for this partition.
fn must_flush(shared: &Shared, opened: &Opened, replay_after: u64) -> bool {
    if opened.writer.bytes_since(replay_after) == 0 {
        return false;
    }
    let laggards = shared.log.laggards();
    let holds_up = laggards.iter().any(|(partition, _)| *partition == opened.id);
    holds_up || opened.idle(&shared.options.flush_idle)
}

#[derive(Clone, Copy)]
struct Chore {
    flush: bool,
    compact: bool,
    tidy: bool,
}

impl Chore {
    fn any(self) -> bool {
        self.flush || self.compact || self.tidy
    }
}

async fn see_to(shared: &Shared, opened: &Opened, chore: Chore, now_ms: u64) -> Result<(), Error> {
    if compact::is_crowded(opened) {
        // What is written would wait for this.
        compact::compact(shared, opened).await?;
    }
    if chore.flush {
        opened.flush().await?;
    }
    if chore.tidy {
        let newest = opened.live.newest();
        if !opened.live.tidy().await? {
            opened.chores.tidied_at.store(newest.0, Ordering::Release);
        }
        opened.chores.tidied_ms.store(now_ms, Ordering::Release);
    }
    if chore.compact {
        compact::compact(shared, opened).await?;
    }
    Ok(())
}

impl Chores {
    /// Whether history may have left the window since it was looked at last.
    fn may_tidy(&self, opened: &Opened, now_ms: u64, every: Duration) -> bool {
        let waited = now_ms.saturating_sub(self.tidied_ms.load(Ordering::Acquire));
        let all = self.tidied_at.load(Ordering::Acquire) >= opened.live.newest().0;
        u128::from(waited) >= every.as_millis() && (!all || opened.live.has_history())
    }
}

impl Opened {
    /// Whether nothing was appended for so long.
    fn idle(&self, wait: &Duration) -> bool {
        let last = self.writer.status().last_durable_id;
        self.writer.age_since(last.saturating_sub(1)) >= *wait
    }

    /// The last frame that the view in the bucket has: nobody needs those to it any more.
    async fn in_bucket(&self, shared: &Shared) -> Result<u64, Error> {
        let path = Owner::view(self.id);
        let admin = slatedb::admin::Admin::builder(path, shared.view_store())
            .with_system_clock(Arc::new(self.clock.clone()))
            .build();
        let manifest = admin.read_manifest(None).await;
        let manifest = manifest.map_err(|error| failed("look at the view", &error))?;
        Ok(manifest.map_or(0, |manifest| manifest.replay_after_wal_id()))
    }

    /// Writes what is in memory to the bucket.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let options = FlushOptions { flush_type: FlushType::MemTable };
        let flushed = self.db.flush_with_options(options).await;
        flushed.map_err(|error| failed("write the view", &error))
    }
}
