//! Records that wait to be written.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::error::Error;
use crate::record::Record;

/// The most bytes of records that wait to be written (AUDIT-4).
pub const BUFFER_BYTES_MAX: usize = 8 << 20;

/// Records in the order in which they came. Each has a ticket, counted from 0.
#[derive(Default)]
pub(crate) struct Buffer {
    waiting: VecDeque<Waiting>,
    /// The ticket of the first one that waits.
    first: u64,
    bytes: usize,
    /// Where an identical record waits.
    folds: BTreeMap<[u8; 32], u64>,
}

struct Waiting {
    /// When it came, by the monotonic clock.
    at: Duration,
    bytes: usize,
    record: Record,
}

impl Buffer {
    /// Keeps a record, or counts it to an identical one.
    ///
    /// # Errors
    /// [`Error::Full`]: it was not kept.
    pub(crate) fn push(&mut self, at: Duration, record: Record) -> Result<(), Error> {
        let key = record.fold_key();
        if let Some(same) = key.and_then(|key| self.identical(&key)) {
            same.count = same.count.saturating_add(record.count);
            return Ok(());
        }
        let bytes = record.bytes_max();
        if self.bytes + bytes > BUFFER_BYTES_MAX {
            return Err(Error::Full { max: BUFFER_BYTES_MAX });
        }
        if let Some(key) = key {
            self.folds.insert(key, self.end());
        }
        self.bytes += bytes;
        self.waiting.push_back(Waiting { at, bytes, record });
        Ok(())
    }

    fn identical(&mut self, key: &[u8; 32]) -> Option<&mut Record> {
        let back = self.folds.get(key)?.checked_sub(self.first)?;
        let waiting = self.waiting.get_mut(usize::try_from(back).ok()?)?;
        Some(&mut waiting.record)
    }

    /// One past the last ticket: what was recorded until now.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    /// The ticket of the first one that waits.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first one that waits came.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.waiting.front().map(|waiting| waiting.at)
    }

    /// Takes records from the front, at least one when there is one, of together at most `bytes_max`.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Vec<Record> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.front() {
            if !taken.is_empty() && bytes + next.bytes > bytes_max {
                break;
            }
            bytes += next.bytes;
            taken.extend(self.waiting.pop_front().map(|waiting| waiting.record));
        }
        self.bytes -= bytes;
        self.first += taken.len() as u64;
        let first = self.first;
        self.folds.retain(|_, ticket| *ticket >= first);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;
    use crate::segment::tests::record;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn identical_decisions_are_one_record_with_a_count() {
        let mut buffer = Buffer::default();
        let read = record(Outcome::Allowed, "@main/a");
        let later = Record { time_ms: 7, request: "other".into(), ..read.clone() };
        for each in [&read, &later, &record(Outcome::Allowed, "@main/b"), &later] {
            buffer.push(NOW, each.clone()).unwrap();
        }
        assert_eq!(buffer.end(), 2);
        let taken = buffer.take(usize::MAX);
        assert_eq!(taken[0], Record { count: 3, ..read.clone() });
        assert_eq!(taken[1].count, 1);
        buffer.push(NOW, later.clone()).unwrap();
        assert_eq!(buffer.take(usize::MAX), [later], "what was taken is not counted to");
    }

    #[test]
    fn changes_are_told_each_by_itself() {
        let mut buffer = Buffer::default();
        for outcome in [Outcome::Changed, Outcome::Failed] {
            for _ in 0..2 {
                buffer.push(NOW, record(outcome, "@main/a")).unwrap();
            }
        }
        assert_eq!(buffer.take(usize::MAX).len(), 4);
    }

    /// AUDIT-4: what does not fit is refused, never dropped, and what was kept stays in order.
    #[test]
    fn audit_4_a_full_buffer_refuses() {
        let mut buffer = Buffer::default();
        let mut kept = 0_u64;
        let name = |number: u64| format!("@main/{number}");
        while buffer.push(NOW, record(Outcome::Denied, &name(kept))).is_ok() {
            kept += 1;
        }
        assert!(buffer.bytes() <= BUFFER_BYTES_MAX && kept > 1000);
        assert!(matches!(
            buffer.push(NOW, record(Outcome::Changed, "@main/x")),
            Err(Error::Full { .. })
        ));
        buffer.push(NOW, record(Outcome::Denied, &name(0))).unwrap();
        let mut seen = 0;
        while buffer.oldest().is_some() {
            for taken in buffer.take(64 << 10) {
                assert_eq!(taken.resource.as_str(), name(seen));
                seen += 1;
            }
        }
        assert_eq!((seen, buffer.bytes(), buffer.end()), (kept, 0, kept));
    }
}
