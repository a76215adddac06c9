//! What functions did on this node, for those who look.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_base::{DatasetName, ProjectName};
use cairn_env::Env;
use cairn_wasm::Failure;

use super::Functions;
use crate::error::Error;
use crate::latency::ENDS_MS;
use crate::model::{Function, Info};
use crate::slot::Slot;

/// Bytes of what tells one start of a node from the others.
const START_BYTES: usize = 8;

/// What a function did on this node since it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// It.
    pub function: Function,
    /// Calls that were begun.
    pub calls: u64,
    /// Those among them that did not end well.
    pub failures: u64,
}

impl Functions {
    /// What it did here.
    pub(super) fn put_here(&self, info: &mut Info) {
        let (Ok(project), Ok(name)) = (info.project.parse(), info.name.parse()) else { return };
        if let Some(slot) = self.shared.live.known(&Function { project, name }) {
            info.here = slot.here(self.shared.env.clock.monotonic());
        }
    }

    /// The projects that have functions of which one `is_readable`, by name, as far as this node knows.
    #[must_use]
    pub fn projects(
        &self,
        is_readable: impl Fn(&ProjectName, &DatasetName) -> bool,
    ) -> BTreeSet<ProjectName> {
        let all = self.shared.live.all().into_iter().map(|slot| slot.of.clone());
        all.filter(|of| is_readable(&of.project, &of.name)).map(|of| of.project).collect()
    }

    /// How long calls took on this node since it started: how many are in each bucket, of which all but the last end at
    /// [`crate::ENDS_MS`], and the sum of all.
    #[must_use]
    pub fn durations(&self) -> ([u64; ENDS_MS.len() + 1], Duration) {
        self.shared.durations.told()
    }

    /// Counts a call, and writes into the function's own log what went wrong.
    pub(super) fn ended<T>(
        &self,
        (slot, began): (&Slot, Duration),
        ended: Result<T, Failure>,
    ) -> Result<T, Error> {
        let now = self.shared.env.clock.monotonic();
        let took = now.saturating_sub(began);
        self.shared.durations.add(took);
        slot.count(ended.is_err(), (took, now));
        ended.map_err(|failure| {
            slot.journal.write("cairn", &failure.to_string());
            if let Failure::Trap { backtrace, .. } = &failure {
                backtrace.lines().for_each(|line| slot.journal.write("cairn", line));
            }
            Error::Failed { function: slot.of.clone(), failure }
        })
    }

    /// What the functions of this node did.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        let all = self.shared.live.all();
        let counted = all.iter().map(|slot| Counted {
            function: slot.of.clone(),
            calls: slot.counts.calls.load(Ordering::Relaxed),
            failures: slot.counts.failures.load(Ordering::Relaxed),
        });
        counted.collect()
    }
}

/// What no other start of a node is called.
pub(super) fn start(env: &Env) -> String {
    let mut bytes = [0; START_BYTES];
    env.rng.fill(&mut bytes);
    hex::encode(bytes)
}
