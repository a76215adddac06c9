//! The newest changes of a partition, kept in memory: for those who watch, and for finding what has
//! changed since a transaction began.

use std::collections::VecDeque;

use crate::limits::{CHANGES_MAX, PAGE_BYTES_MAX};
use crate::{Change, Changes, Seq, What};

/// Changes that are kept at most.
const TAIL_CHANGES_MAX: usize = 16_384;
/// Bytes of keys and values that are kept at most, give or take one commit.
const TAIL_BYTES_MAX: usize = 4 << 20;

/// All changes after `floor`, in order.
#[derive(Default)]
pub(super) struct Tail {
    floor: Seq,
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Tail {
    pub(super) fn starting_after(floor: Seq) -> Self {
        Self { floor, ..Self::default() }
    }

    /// The last commit whose changes are not here any more.
    pub(super) fn floor(&self) -> Seq {
        self.floor
    }

    /// Adds the changes of whole commits.
    pub(super) fn push(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.bytes += bytes(&change);
            self.changes.push_back(change);
        }
        while self.changes.len() > TAIL_CHANGES_MAX || self.bytes > TAIL_BYTES_MAX {
            let Some(seq) = self.changes.front().map(|change| change.seq) else { break };
            self.forget(seq);
        }
    }

    /// Forgets changes to `through`.
    pub(super) fn forget(&mut self, through: Seq) {
        while let Some(change) = self.changes.front().filter(|change| change.seq <= through) {
            self.bytes -= bytes(change);
            self.changes.pop_front();
        }
        self.floor = self.floor.max(through);
        if self.changes.is_empty() {
            self.changes = VecDeque::new();
        }
    }

    /// Changes after `after`, which is not below the floor.
    pub(super) fn since(&self, after: Seq) -> impl Iterator<Item = &Change> {
        let from = self.changes.partition_point(|change| change.seq <= after);
        self.changes.range(from..)
    }

    /// When commit `seq` was made, if it is here.
    pub(super) fn time_of(&self, seq: Seq) -> Option<u64> {
        let change = self.since(Seq(seq.0.checked_sub(1)?)).next()?;
        (self.floor < seq && change.seq == seq).then_some(change.time_ms)
    }

    /// One answer of a watch: changes after `after` to `through`.
    pub(super) fn part(&self, after: Seq, through: Seq) -> Changes {
        let mut part = Part::new(through);
        let changes = self.since(after).take_while(|change| change.seq <= through);
        for change in changes {
            if !part.takes(change.seq) {
                break;
            }
            part.add(change.clone());
        }
        part.done()
    }
}

/// An answer of a watch in the making: it ends between commits.
pub(super) struct Part {
    told: Changes,
    bytes: usize,
}

impl Part {
    pub(super) fn new(through: Seq) -> Self {
        Self { told: Changes { changes: Vec::new(), upto: through }, bytes: 0 }
    }

    /// Whether a change of this commit still belongs to it. When it does not, it is done.
    pub(super) fn takes(&mut self, seq: Seq) -> bool {
        let full = self.told.changes.len() >= CHANGES_MAX || self.bytes >= PAGE_BYTES_MAX;
        let last = self.told.changes.last().map(|last| last.seq);
        match last.filter(|last| full && *last < seq) {
            Some(last) => {
                self.told.upto = last;
                false
            }
            None => true,
        }
    }

    pub(super) fn add(&mut self, change: Change) {
        self.bytes += bytes(&change);
        self.told.changes.push(change);
    }

    pub(super) fn done(self) -> Changes {
        self.told
    }
}

fn bytes(change: &Change) -> usize {
    match &change.what {
        What::Put(entry) => entry.key.len() + entry.value.len(),
        What::Deleted { key, .. } => key.len(),
        What::RangeDeleted(range) => range.from.len() + range.to.as_ref().map_or(0, |to| to.len()),
    }
}
