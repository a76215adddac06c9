//! What must be true, kept beside what happens. Calls whose outcome is not known stay open for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_chunk::ChunkId;
use cairn_datasets::Target;

use crate::trees::{Files, Numbers};

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Publications that were acknowledged.
    pub published: u64,
    /// Publications with an error.
    pub refused: u64,
    /// Tags removed.
    pub removed: u64,
    /// Versions read whole.
    pub read: u64,
    /// Collections that ended well.
    pub collected: u64,
    /// Packs that they deleted.
    pub packs_deleted: u64,
    /// Packs that they wrote again.
    pub packs_rewritten: u64,
    /// Packs that they took back from death.
    pub packs_rescued: u64,
    /// Actors that crashed.
    pub crashed: u64,
    /// Actors that stood still for a while.
    pub frozen: u64,
    /// Forged frames that were refused.
    pub forged: u64,
    /// Operations that failed otherwise.
    pub failed: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, more: &Self) {
        self.published += more.published;
        self.refused += more.refused;
        self.removed += more.removed;
        self.read += more.read;
        self.collected += more.collected;
        self.packs_deleted += more.packs_deleted;
        self.packs_rewritten += more.packs_rewritten;
        self.packs_rescued += more.packs_rescued;
        self.crashed += more.crashed;
        self.frozen += more.frozen;
        self.forged += more.forged;
        self.failed += more.failed;
    }
}

/// A call that changes refs, between two ticks of the model's clock. `ended` is none for ever when its
/// outcome is not known.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) targets: Vec<Target>,
    pub(crate) began: u64,
    pub(crate) ended: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub(crate) call: Call,
    /// What it should read as; none for a copy of what another call published.
    pub(crate) files: Option<Arc<Files>>,
    /// It may stand twice in a history: the pusher tries again by itself.
    pub(crate) repeats: bool,
}

/// An error that is fine when the version was on its way out, and else is not.
pub(crate) struct Suspicion {
    pub(crate) target: Target,
    pub(crate) by: String,
    pub(crate) error: String,
}

#[derive(Default)]
pub(crate) struct State {
    tick: u64,
    pub(crate) counts: Counts,
    pub(crate) publishes: Vec<Publish>,
    pub(crate) removes: Vec<Call>,
    pub(crate) contents: BTreeMap<ChunkId, Arc<Files>>,
    pub(crate) trees: Vec<Numbers>,
    pub(crate) suspicions: Vec<Suspicion>,
    pub(crate) broken: Vec<String>,
}

/// Shared by all actors.
#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

impl State {
    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    pub(crate) fn publish(&self, by: &str) -> Option<&Publish> {
        self.publishes.get(by.strip_prefix("op-")?.parse::<usize>().ok()?)
    }
}

impl Model {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A publication begins: the number under which it will be known.
    pub(crate) fn publish(
        &self,
        targets: &[Target],
        files: Option<Arc<Files>>,
        repeats: bool,
    ) -> usize {
        let mut state = self.state();
        let call = Call { targets: targets.to_vec(), began: state.tick(), ended: None };
        state.publishes.push(Publish { call, files, repeats });
        state.publishes.len() - 1
    }

    pub(crate) fn published(&self, number: usize) {
        let mut state = self.state();
        let tick = state.tick();
        state.publishes[number].call.ended = Some(tick);
        state.counts.published += 1;
    }

    pub(crate) fn remove(&self, target: &Target) -> usize {
        let mut state = self.state();
        let call = Call { targets: vec![target.clone()], began: state.tick(), ended: None };
        state.removes.push(call);
        state.removes.len() - 1
    }

    pub(crate) fn removed(&self, number: usize) {
        let mut state = self.state();
        let tick = state.tick();
        state.removes[number].ended = Some(tick);
        state.counts.removed += 1;
    }

    pub(crate) fn broken(&self, invariant: &str, detail: impl std::fmt::Display) {
        self.state().broken.push(format!("{invariant}: {detail}"));
    }
}
