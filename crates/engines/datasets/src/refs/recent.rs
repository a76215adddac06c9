//! Where tags pointed a moment ago: for readers who ask for the same tag thousands of times a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::Refs;
use crate::error::Error;
use crate::model::{Target, Version};

/// The greatest age of what `Refs::recent` answers.
pub const TAG_AGE_MAX: Duration = Duration::from_millis(500);
/// Tags that are remembered.
const TAGS_MAX: usize = 4096;

pub(super) struct Recent {
    slots: Cache<Target, Arc<Slot>>,
    /// Counts what moved through this handle: what was read before the last move is not used after it.
    moves: AtomicU64,
}

#[derive(Default)]
struct Slot {
    /// One reader at a time, so that many requests cause one read.
    reading: tokio::sync::Mutex<()>,
    held: Mutex<Option<Held>>,
}

struct Held {
    version: Arc<Version>,
    /// When reading began, by the monotonic clock.
    read_at: Duration,
    /// [`Recent::moves`] when reading began.
    moves: u64,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self { slots: Cache::new(TAGS_MAX), moves: AtomicU64::new(0) }
    }

    /// Something moved, or may have.
    pub(super) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    fn slot(&self, target: &Target) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(target) {
            return slot;
        }
        let slot = Arc::<Slot>::default();
        self.slots.insert(target.clone(), Arc::clone(&slot));
        slot
    }
}

impl Slot {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refs {
    /// The current version of a tag. A move through this handle is seen at once, one through another
    /// within [`TAG_AGE_MAX`].
    pub(crate) async fn recent(&self, target: &Target) -> Result<Arc<Version>, Error> {
        let clock = &self.blocks.env().clock;
        let asked_at = clock.monotonic();
        let slot = self.recent.slot(target);
        if let Some(version) = self.fresh(&slot, asked_at) {
            return Ok(version);
        }
        let _turn = slot.reading.lock().await;
        if let Some(version) = self.fresh(&slot, asked_at) {
            return Ok(version);
        }
        let moves = self.recent.moves.load(Ordering::Acquire);
        let read_at = clock.monotonic();
        let version = Arc::new(self.tag(target).await?.current);
        *slot.held() = Some(Held { version: Arc::clone(&version), read_at, moves });
        Ok(version)
    }

    /// What may serve one who asked at `asked_at`: it is young enough, or reading it began after the
    /// question, and either way after the last move through this handle.
    fn fresh(&self, slot: &Slot, asked_at: Duration) -> Option<Arc<Version>> {
        let now = self.blocks.env().clock.monotonic();
        let moves = self.recent.moves.load(Ordering::Acquire);
        let held = slot.held();
        let held = held.as_ref().filter(|held| held.moves == moves)?;
        let young = now.saturating_sub(held.read_at) <= TAG_AGE_MAX || held.read_at >= asked_at;
        young.then(|| Arc::clone(&held.version))
    }
}
