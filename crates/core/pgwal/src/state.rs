//! What a server knows beyond its files at a position of its log: counters, settings, origins.

use alloc::collections::BTreeMap;

use crate::effects::{Checkpoint, Effect, Finished, Parameters};
use crate::lsn::Lsn;
use crate::record::Record;

/// The first id of an ordinary transaction.
const FIRST_XID: u32 = 3;
/// Seconds from 1970 to 2000, when PostgreSQL's time begins.
const EPOCH_SECONDS: u64 = 946_684_800;
const MICROSECONDS: u64 = 1_000_000;

/// Follows the log as recovery does (`xlog_redo` and what it calls).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Counters, in the form in which a checkpoint has them.
    pub counters: Checkpoint,
    /// Settings that a standby depends on.
    pub parameters: Parameters,
    /// How far the changes of each replication origin are here.
    pub origins: BTreeMap<u16, Lsn>,
    /// The last checkpoint, and where its record begins.
    pub checkpoint: Option<(Lsn, Checkpoint)>,
    /// When the last transaction ended, in microseconds since 2000; 0 for unknown.
    pub last_end: u64,
}

/// Whether `a` is behind `b`, or is it, on the circle of ids.
const fn reaches(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

impl State {
    /// The state at a checkpoint.
    #[must_use]
    pub const fn new(
        counters: Checkpoint,
        parameters: Parameters,
        origins: BTreeMap<u16, Lsn>,
    ) -> Self {
        Self { counters, parameters, origins, checkpoint: None, last_end: 0 }
    }

    /// When the last transaction ended, in seconds since 1970; the last checkpoint's time when none
    /// did.
    #[must_use]
    pub fn time(&self) -> u64 {
        match self.last_end {
            0 => self.counters.time,
            ended => (ended / MICROSECONDS + EPOCH_SECONDS).max(self.counters.time),
        }
    }

    /// Takes up a record: its transaction, and what [`effects`](crate::effects::effects) says of it.
    pub fn apply(&mut self, record: &Record<'_>, effects: &[Effect<'_>]) {
        self.seen(record.xid);
        for effect in effects {
            self.effect(record, effect);
        }
    }

    fn effect(&mut self, record: &Record<'_>, effect: &Effect<'_>) {
        let counters = &mut self.counters;
        match effect {
            Effect::Finished(finished) => self.finished(finished),
            Effect::NextOid { oid } => counters.next_oid = *oid,
            Effect::MultiXact { id, offset, members } => {
                let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
                self.multixact(id.wrapping_add(1).max(1), offset.wrapping_add(count));
                members.iter().for_each(|member| self.seen(member.xid));
            }
            Effect::MultiXactsTruncated { database, oldest, .. } => {
                counters.oldest_multi = *oldest;
                counters.oldest_multi_database = *database;
            }
            Effect::StatusTruncated { oldest_xid, database, .. } => {
                if reaches(*oldest_xid, counters.oldest_xid) {
                    counters.oldest_xid = *oldest_xid;
                    counters.oldest_xid_database = *database;
                }
            }
            Effect::TimestampsTruncated { oldest_xid, .. } => {
                if counters.oldest_timestamp_xid != 0
                    && reaches(*oldest_xid, counters.oldest_timestamp_xid)
                {
                    counters.oldest_timestamp_xid = *oldest_xid;
                }
            }
            Effect::Parameters(parameters) => {
                if !parameters.track_commit_timestamp {
                    (counters.oldest_timestamp_xid, counters.newest_timestamp_xid) = (0, 0);
                }
                self.parameters = *parameters;
            }
            Effect::FullPageWrites(on) => counters.full_page_writes = *on,
            Effect::Checkpoint(checkpoint) => {
                self.checkpoint = Some((record.start, *checkpoint));
                self.at_checkpoint(checkpoint);
            }
            Effect::EndOfRecovery { timeline, previous } => {
                counters.timeline = *timeline;
                counters.previous_timeline = *previous;
            }
            Effect::OriginProgress { origin, remote } => {
                self.origins.insert(*origin, *remote);
            }
            Effect::OriginDropped { origin } => {
                self.origins.remove(origin);
            }
            _ => {}
        }
    }

    fn finished(&mut self, finished: &Finished<'_>) {
        self.last_end = finished.time;
        for xid in finished.subtransactions.iter().chain([&finished.xid]) {
            self.seen(*xid);
            let counters = &mut self.counters;
            if finished.committed && self.parameters.track_commit_timestamp && *xid >= FIRST_XID {
                if counters.oldest_timestamp_xid == 0 {
                    counters.oldest_timestamp_xid = *xid;
                }
                let newest = counters.newest_timestamp_xid;
                if newest == 0 || reaches(*xid, newest) {
                    counters.newest_timestamp_xid = *xid;
                }
            }
        }
    }

    /// The next transaction comes behind this one.
    fn seen(&mut self, xid: u32) {
        let next_full = self.counters.next_xid;
        let next = u32::try_from(next_full & u64::from(u32::MAX)).expect("it is the lower half");
        if xid < FIRST_XID || !reaches(xid, next) {
            return;
        }
        let after = match xid.wrapping_add(1) {
            ..FIRST_XID => FIRST_XID,
            after => after,
        };
        let epoch = (next_full >> 32) + u64::from(after < next);
        self.counters.next_xid = epoch << 32 | u64::from(after);
    }

    /// The next multixact and member come not before these.
    fn multixact(&mut self, next: u32, next_member: u32) {
        let counters = &mut self.counters;
        if reaches(next, counters.next_multi) {
            counters.next_multi = next;
        }
        if reaches(next_member, counters.next_member) {
            counters.next_member = next_member;
        }
    }

    fn at_checkpoint(&mut self, checkpoint: &Checkpoint) {
        let counters = &mut self.counters;
        if checkpoint.shutdown {
            *counters = *checkpoint;
            return;
        }
        let (timeline, previous) = (checkpoint.timeline, checkpoint.previous_timeline);
        (counters.timeline, counters.previous_timeline) = (timeline, previous);
        (counters.time, counters.redo) = (checkpoint.time, checkpoint.redo);
        counters.full_page_writes = checkpoint.full_page_writes;
        counters.next_xid = counters.next_xid.max(checkpoint.next_xid);
        if reaches(checkpoint.oldest_multi, counters.oldest_multi) {
            counters.oldest_multi = checkpoint.oldest_multi;
            counters.oldest_multi_database = checkpoint.oldest_multi_database;
        }
        if reaches(checkpoint.oldest_xid, counters.oldest_xid) {
            counters.oldest_xid = checkpoint.oldest_xid;
            counters.oldest_xid_database = checkpoint.oldest_xid_database;
        }
        self.multixact(checkpoint.next_multi, checkpoint.next_member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(next_xid: u64) -> State {
        let body = [0; Checkpoint::BYTES];
        let counters = Checkpoint { next_xid, ..Checkpoint::read(&body).unwrap() };
        let parameters = Parameters {
            max_connections: 1,
            max_worker_processes: 1,
            max_wal_senders: 1,
            max_prepared_transactions: 1,
            max_locks_per_transaction: 1,
            wal_level: 1,
            wal_log_hints: false,
            track_commit_timestamp: true,
        };
        State::new(counters, parameters, BTreeMap::new())
    }

    #[test]
    fn the_next_transaction_is_behind_all_that_were_seen() {
        let mut state = state(100);
        state.seen(99);
        assert_eq!(state.counters.next_xid, 100);
        state.seen(100);
        assert_eq!(state.counters.next_xid, 101);
        state.seen(5000);
        assert_eq!(state.counters.next_xid, 5001);
        for special in 0..3 {
            state.seen(special);
        }
        assert_eq!(state.counters.next_xid, 5001);
    }

    #[test]
    fn ids_go_round() {
        let mut state = state(7 << 32 | 0xffff_fff0);
        state.seen(u32::MAX);
        assert_eq!(state.counters.next_xid, 8 << 32 | 3);
        state.seen(0xffff_fff5);
        assert_eq!(state.counters.next_xid, 8 << 32 | 3);
        state.seen(10);
        assert_eq!(state.counters.next_xid, 8 << 32 | 11);
    }

    #[test]
    fn an_online_checkpoint_takes_nothing_back() {
        let mut state = state(1000);
        state.multixact(50, 500);
        let online = Checkpoint { next_xid: 900, next_multi: 40, ..state.counters };
        state.at_checkpoint(&online);
        assert_eq!((state.counters.next_xid, state.counters.next_multi), (1000, 50));
        state.at_checkpoint(&Checkpoint { shutdown: true, ..online });
        assert_eq!((state.counters.next_xid, state.counters.next_multi), (900, 40));
    }

    #[test]
    fn time_is_that_of_the_last_end() {
        let mut state = state(100);
        state.counters.time = 5;
        assert_eq!(state.time(), 5);
        state.last_end = 2 * MICROSECONDS;
        assert_eq!(state.time(), EPOCH_SECONDS + 2);
    }
}
