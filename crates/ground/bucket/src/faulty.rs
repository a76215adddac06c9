//! A store that fails as real ones do, decided by one seed.
//!
//! [`Faulty`] wraps any `ObjectStore`. Each operation gets a number and a throw of dice when it begins;
//! the dice decide its latency and what goes wrong. All randomness comes from the seed of the [`Env`],
//! all time from its clock: on a current-thread runtime with paused time the same seed gives the same
//! trace ([`Faulty::trace`]).
//!
//! An operation runs as a task of its own. A caller that gives up does not take its request back: as
//! on a network, a write may take effect after its writer has stopped waiting.

mod store;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_env::{Env, Rng as _, SeededRng};
use futures::channel::oneshot;
use object_store::{ObjectStore, Result};

/// One in a million, the unit of chances.
pub const PPM: u32 = 1_000_000;
/// Entries of the log that are kept; [`Faulty::trace`] covers also what is not.
pub const LOG_ENTRIES_MAX: usize = 1 << 20;

/// What goes wrong, and how often. Chances are in millionths; the default is nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The shortest time an operation takes.
    pub latency_min: Duration,
    /// The longest time an operation takes.
    pub latency_max: Duration,
    /// An error, and nothing was done.
    pub before_ppm: u32,
    /// An error, although it was done.
    pub after_ppm: u32,
    /// No answer for [`Faults::stall`], then an error. Half of them take effect at the end.
    pub stall_ppm: u32,
    /// How long a stalled operation stays silent.
    pub stall: Duration,
    /// A listing that ends with an error somewhere.
    pub list_ppm: u32,
    /// A read with one bit flipped.
    pub corrupt_ppm: u32,
    /// A read that ends too early.
    pub truncate_ppm: u32,
}

impl Faults {
    /// A mixture that a program must live with: slow answers, errors of all kinds, no lies.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(80),
            before_ppm: 30_000,
            after_ppm: 30_000,
            stall_ppm: 3_000,
            stall: Duration::from_secs(600),
            list_ppm: 20_000,
            corrupt_ppm: 0,
            truncate_ppm: 10_000,
        }
    }
}

/// What happens to operations after the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// They fail at once.
    Fail,
    /// They never return.
    Hang,
}

/// What an operation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A read of an object or a part of it.
    Get,
    /// A look at an object.
    Head,
    /// An unconditional write.
    Put,
    /// A write that must be the first.
    Create,
    /// A write over one version.
    Update,
    /// A delete.
    Delete,
    /// A listing of everything below.
    List,
    /// A listing of one level.
    ListLevel,
    /// A copy.
    Copy,
    /// The begin of an upload in parts.
    UploadBegin,
    /// A part.
    UploadPart,
    /// The end of an upload in parts.
    UploadEnd,
    /// An upload that was given up.
    UploadAbort,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// The store said no: missing, exists, changed.
    Refused,
    /// A fault, without effect.
    FailedBefore,
    /// A fault, after the effect.
    FailedAfter,
    /// A long silence without effect.
    Stalled,
    /// A long silence, then the effect.
    StalledAfter,
    /// A read with wrong or missing bytes, or a listing that broke off.
    Damaged,
    /// After the crash.
    Crashed,
    /// The operation in which the crash happened, after its effect.
    CrashedAfter,
}

/// One line of the log, written when the operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, counted from 0 in the order of begin.
    pub number: u64,
    /// When it ended, by the clock of the [`Env`].
    pub at: Duration,
    /// What it was.
    pub kind: Kind,
    /// The key or prefix.
    pub key: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// The store. Clones share everything.
#[derive(Clone)]
pub struct Faulty {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn ObjectStore>,
    env: Env,
    rng: SeededRng,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    faults: Faults,
    next: u64,
    crash: Option<(u64, Crash)>,
    log: Vec<Entry>,
    trace: u64,
    /// Promises that are never kept.
    hung: Vec<Box<dyn Send>>,
}

/// A fault that was made, as the source of an `object_store` error.
#[derive(Debug, thiserror::Error)]
#[error("a simulated fault ({outcome:?}) in operation {number}")]
struct Fault {
    number: u64,
    outcome: Outcome,
}

/// What was thrown for one operation: always the same number of dice, so that one fault does not
/// change all that follow.
#[derive(Clone, Copy)]
struct Dice {
    latency: Duration,
    outcome: Outcome,
    /// For reads: damage the bytes; for listings: break off.
    damage: Option<Damage>,
    place: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    Corrupt,
    Truncate,
    BreakOff,
}

impl Faulty {
    /// Wraps `inner`. The seed is the next number of `env`'s generator.
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Faults, env: &Env) -> Self {
        let rng = SeededRng::new(env.rng.next_u64());
        let state = Mutex::new(State { faults, ..State::default() });
        Self { shared: Arc::new(Shared { inner, env: env.clone(), rng, state }) }
    }

    /// Changes what goes wrong from the next operation on.
    pub fn set(&self, faults: Faults) {
        self.shared.state().faults = faults;
    }

    /// How many operations have begun.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shared.state().next
    }

    /// Crashes in operation `number`, counted from 0: it may still take effect, the dice decide;
    /// nothing after it does.
    pub fn crash_at(&self, number: u64, crash: Crash) {
        self.shared.state().crash = Some((number, crash));
    }

    /// Crashes now: also what is under way has no effect any more.
    pub fn crash(&self, crash: Crash) {
        self.shared.state().crash = Some((0, crash));
    }

    /// Ends the crash. What hung stays so.
    pub fn heal(&self) {
        self.shared.state().crash = None;
    }

    /// The log, in the order of ends.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        self.shared.state().log.clone()
    }

    /// A number that is the same for the same log.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.shared.state().trace
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn below(&self, end: u64) -> u64 {
        let draw = self.rng.next_u64();
        if end == 0 { 0 } else { draw % end }
    }

    fn happens(&self, ppm: u32) -> bool {
        self.below(u64::from(PPM)) < u64::from(ppm)
    }

    fn throw(&self) -> (u64, Dice) {
        let (number, faults) = {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            (number, state.faults.clone())
        };
        let span = faults.latency_max.saturating_sub(faults.latency_min);
        let share =
            self.below(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).saturating_add(1));
        let [stall, late, before, after] = [
            self.happens(faults.stall_ppm),
            self.happens(PPM / 2),
            self.happens(faults.before_ppm),
            self.happens(faults.after_ppm),
        ];
        let damages = [
            (self.happens(faults.list_ppm), Damage::BreakOff),
            (self.happens(faults.corrupt_ppm), Damage::Corrupt),
            (self.happens(faults.truncate_ppm), Damage::Truncate),
        ];
        let outcome = match (stall, before, after) {
            (true, ..) if late => Outcome::StalledAfter,
            (true, ..) => Outcome::Stalled,
            (_, true, _) => Outcome::FailedBefore,
            (.., true) => Outcome::FailedAfter,
            _ => Outcome::Done,
        };
        let damage = damages.into_iter().find(|(happens, _)| *happens).map(|(_, damage)| damage);
        let latency = faults.latency_min
            + Duration::from_nanos(share)
            + if stall { faults.stall } else { Duration::ZERO };
        (number, Dice { latency, outcome, damage, place: self.rng.next_u64() })
    }

    fn note(&self, number: u64, kind: Kind, key: &str, outcome: Outcome) {
        let at = self.env.clock.monotonic();
        let entry = Entry { number, at, kind, key: key.to_owned(), outcome };
        let mut state = self.state();
        // FNV-1a over a text that says everything.
        for byte in format!("{entry:?}").bytes() {
            state.trace = (state.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if state.log.len() < LOG_ENTRIES_MAX {
            state.log.push(entry);
        }
    }

    /// What the crash, if there is one, does to operation `number`.
    fn crashed(&self, number: u64) -> Option<(Crash, bool)> {
        let state = self.state();
        let (at, crash) = state.crash?;
        (number >= at).then_some((crash, number == at && at > 0))
    }

    /// Runs one operation as a task. The dice reach `effect`, for the damage that they ask for.
    fn act<T, Effect, Answer>(
        self: &Arc<Self>,
        kind: Kind,
        key: String,
        effect: Effect,
    ) -> impl Future<Output = Result<T>> + Send + 'static
    where
        T: Send + 'static,
        Effect: FnOnce(Arc<dyn ObjectStore>, Dice) -> Answer + Send + 'static,
        Answer: Future<Output = Result<(T, bool)>> + Send + 'static,
    {
        let shared = Arc::clone(self);
        let (number, dice) = self.throw();
        let (sender, receiver) = oneshot::channel();
        self.env.spawn.task(Box::pin(async move {
            if dice.latency > Duration::ZERO {
                shared.env.clock.sleep(dice.latency).await;
            }
            let crashed = shared.crashed(number);
            let outcome = match crashed {
                Some((_, true)) if dice.place % 2 == 0 => Outcome::CrashedAfter,
                Some(_) => Outcome::Crashed,
                None => dice.outcome,
            };
            let (outcome, answer) = shared.carry_out(number, dice, outcome, effect).await;
            shared.note(number, kind, &key, outcome);
            match crashed {
                Some((Crash::Hang, _)) => shared.state().hung.push(Box::new(sender)),
                // A caller that gave up does not listen.
                _ => drop(sender.send(answer)),
            }
        }));
        async move {
            let lost = |_| {
                let source = "the runtime stopped before the operation ended".into();
                Err(object_store::Error::Generic { store: "faulty", source })
            };
            receiver.await.unwrap_or_else(lost)
        }
    }

    async fn carry_out<T, Effect, Answer>(
        &self,
        number: u64,
        dice: Dice,
        outcome: Outcome,
        effect: Effect,
    ) -> (Outcome, Result<T>)
    where
        Effect: FnOnce(Arc<dyn ObjectStore>, Dice) -> Answer,
        Answer: Future<Output = Result<(T, bool)>>,
    {
        let fault = |outcome| {
            let source = Box::new(Fault { number, outcome });
            Err(object_store::Error::Generic { store: "faulty", source })
        };
        match outcome {
            Outcome::Crashed | Outcome::FailedBefore | Outcome::Stalled => {
                (outcome, fault(outcome))
            }
            Outcome::Done => match effect(Arc::clone(&self.inner), dice).await {
                Ok((answer, false)) => (Outcome::Done, Ok(answer)),
                Ok((answer, true)) => (Outcome::Damaged, Ok(answer)),
                Err(error) => (Outcome::Refused, Err(error)),
            },
            outcome => {
                // Whether it was refused is lost with the answer.
                drop(effect(Arc::clone(&self.inner), dice).await);
                (outcome, fault(outcome))
            }
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.shared.inner)
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("count", &self.count()).finish_non_exhaustive()
    }
}
