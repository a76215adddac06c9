//! Uses that are too many for a record each, such as reads and changes of keys (ACCESS-9).
//!
//! The first use by one caller of one action on one resource is recorded as any decision is. Those that
//! follow are counted, and every [`TALLY_EVERY`] one record says how many there were; of changes, which
//! commits they made. What is counted is in memory until then: `kill -9` loses the counts of the last
//! seconds, and a node that stops writes them ([`crate::Access::settle`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_audit::{Audit, BEHIND_MAX, Error, Outcome, Record, Text};
use cairn_env::Env;

/// How often counts are recorded.
pub const TALLY_EVERY: Duration = Duration::from_secs(10);
/// Callers, actions and resources that are counted at a time; others get a record for each use.
pub const TALLIES_MAX: usize = 4096;

/// What is counted together: all but the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    door: Text,
    peer: Text,
    caller: Text,
    credential: Text,
    action: Text,
    resource: Text,
}

/// What was counted since the last record.
#[derive(Clone, Debug, Default)]
struct Count {
    request: Text,
    /// The grant, of uses that changed nothing.
    grant: Text,
    /// Uses that changed nothing, after the first.
    reads: u64,
    changes: u64,
    first: u64,
    last: u64,
    failures: u64,
    failure: Text,
}

#[derive(Default)]
struct Counts {
    counts: BTreeMap<Key, Count>,
    /// The task that records them runs.
    running: bool,
}

/// What is counted by a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tally(Arc<Shared>);

struct Shared {
    audit: Audit,
    env: Env,
    counts: Mutex<Counts>,
}

/// A use that was allowed, and is counted. Whoever changes something says what came of it.
#[derive(Clone)]
pub struct Use {
    tally: Tally,
    noted: Arc<Noted>,
}

/// A decision that is counted, and by what.
struct Noted {
    /// The record of the decision.
    record: Record,
    key: Key,
    only_reads: bool,
}

impl Tally {
    pub(crate) fn new(audit: Audit, env: Env) -> Self {
        Self(Arc::new(Shared { audit, env, counts: Mutex::default() }))
    }

    /// Counts a use that was allowed as `record` says. Never waits. Call within a runtime.
    pub(crate) fn note(&self, record: Record, only_reads: bool) -> Result<Use, Error> {
        let noted = Arc::new(Noted { key: key(&record), record, only_reads });
        self.count(&noted, &noted.record.request)?;
        Ok(Use { tally: self.clone(), noted })
    }

    fn count(
        &self,
        Noted { record, key, only_reads }: &Noted,
        request: &Text,
    ) -> Result<(), Error> {
        let shared = &self.0;
        let mut counts = shared.counts();
        match counts.counts.get_mut(key) {
            Some(count) => {
                // AUDIT-4 holds for what is counted, too.
                if shared.audit.status().behind {
                    return Err(Error::Behind { seconds: BEHIND_MAX.as_secs() });
                }
                count.reads += u64::from(*only_reads);
            }
            None => {
                shared.audit.record(Record { request: request.clone(), ..record.clone() })?;
                if counts.counts.len() < TALLIES_MAX {
                    let count = Count {
                        request: request.clone(),
                        grant: record.detail.clone(),
                        ..Count::default()
                    };
                    counts.counts.insert(key.clone(), count);
                    self.start(&mut counts);
                }
            }
        }
        Ok(())
    }

    /// Adds what came of a use to its count; gives it back when there is no place for one.
    fn add(&self, Noted { record, key, .. }: &Noted, add: impl FnOnce(&mut Count)) -> bool {
        let mut counts = self.0.counts();
        if !counts.counts.contains_key(key) {
            if counts.counts.len() >= TALLIES_MAX {
                return false;
            }
            let count = Count { request: record.request.clone(), ..Count::default() };
            counts.counts.insert(key.clone(), count);
        }
        if let Some(count) = counts.counts.get_mut(key) {
            add(count);
        }
        self.start(&mut counts);
        true
    }

    fn start(&self, counts: &mut Counts) {
        if !std::mem::replace(&mut counts.running, true) {
            self.0.env.spawn.task(Box::pin(run(Arc::clone(&self.0))));
        }
    }

    /// Records what was counted so far.
    pub(crate) fn settle(&self) {
        self.0.settle();
    }
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what was counted. What the log does not take is kept, and counted on. Whether nothing is
    /// left.
    fn settle(&self) -> bool {
        let mut counts = self.counts();
        let kept = std::mem::take(&mut counts.counts).into_iter().filter_map(|(key, mut count)| {
            let recorded =
                count.records(&key, |record, uses| self.audit.record_counted(record, uses));
            recorded.err().map(|_| (key, count))
        });
        counts.counts = kept.collect();
        counts.counts.is_empty()
    }
}

impl Count {
    /// Hands on its records, each with how many uses it stands for, and forgets those that were taken.
    fn records(
        &mut self,
        key: &Key,
        mut take: impl FnMut(Record, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let record = |outcome, detail: Text| Record {
            request: self.request.clone(),
            door: key.door.clone(),
            peer: key.peer.clone(),
            caller: key.caller.clone(),
            credential: key.credential.clone(),
            action: key.action.clone(),
            resource: key.resource.clone(),
            detail,
            ..Record::new(outcome)
        };
        if self.reads > 0 {
            take(record(Outcome::Allowed, self.grant.clone()), self.reads)?;
            self.reads = 0;
        }
        if self.changes > 0 {
            let detail = match (self.first, self.last) {
                (first, last) if first == last => format!("commit {first}"),
                (first, last) => format!("commits {first} to {last}"),
            };
            take(record(Outcome::Changed, Text::new(&detail)), self.changes)?;
            self.changes = 0;
        }
        if self.failures > 0 {
            take(record(Outcome::Failed, self.failure.clone()), self.failures)?;
            self.failures = 0;
        }
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Use {
    /// Counts one more use, of the same thing as decided on the same state.
    ///
    /// # Errors
    /// When it could be neither counted nor recorded: it is not allowed then.
    pub fn again(&self) -> Result<(), crate::Error> {
        Ok(self.tally.count(&self.noted, &self.noted.record.request)?)
    }

    /// The same for another request.
    pub(crate) fn again_for(&self, request: &str) -> Result<(), crate::Error> {
        Ok(self.tally.count(&self.noted, &request.into())?)
    }

    /// Says that it changed nothing.
    ///
    /// # Errors
    /// As [`Use::changed`].
    pub fn unchanged(&self) -> Result<(), crate::Error> {
        let counted = self.tally.add(&self.noted, |count| count.reads += 1);
        self.or_record(counted, Outcome::Allowed, "it changed nothing")
    }

    /// Says that it made this commit.
    ///
    /// # Errors
    /// When it could be neither counted nor recorded.
    pub fn changed(&self, commit: u64) -> Result<(), crate::Error> {
        let counted = self.tally.add(&self.noted, |count| {
            count.first = if count.changes == 0 { commit } else { count.first.min(commit) };
            count.last = if count.changes == 0 { commit } else { count.last.max(commit) };
            count.changes += 1;
        });
        self.or_record(counted, Outcome::Changed, &format!("commit {commit}"))
    }

    /// Says that it failed. It may have been made.
    ///
    /// # Errors
    /// As [`Use::changed`].
    pub fn failed(&self, why: &str) -> Result<(), crate::Error> {
        let counted = self.tally.add(&self.noted, |count| {
            count.failures += 1;
            count.failure = Text::new(why);
        });
        self.or_record(counted, Outcome::Failed, why)
    }

    fn or_record(&self, counted: bool, outcome: Outcome, detail: &str) -> Result<(), crate::Error> {
        if counted {
            return Ok(());
        }
        let record = Record { outcome, detail: detail.into(), ..self.noted.record.clone() };
        self.tally.0.audit.record(record).map_err(crate::Error::Unrecorded)
    }
}

fn key(record: &Record) -> Key {
    Key {
        door: record.door.clone(),
        peer: record.peer.clone(),
        caller: record.caller.clone(),
        credential: record.credential.clone(),
        action: record.action.clone(),
        resource: record.resource.clone(),
    }
}

/// Records counts now and then, until there are none.
async fn run(shared: Arc<Shared>) {
    loop {
        shared.env.clock.sleep(TALLY_EVERY).await;
        if shared.settle() {
            let mut counts = shared.counts();
            // Another one may have begun since.
            if counts.counts.is_empty() {
                counts.running = false;
                return;
            }
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tally")
    }
}

impl fmt::Debug for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Use").field(&self.noted.record).finish()
    }
}
