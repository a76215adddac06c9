//! A partition at its most naive: a copy of all entries for every commit. It is told what is committed,
//! learns from a watch which entries the partition ended by itself, and knows for every read what may be
//! shown.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Change, Entry, KeyRange, Op, Seq, What};

/// All entries after one commit.
pub(super) type Entries = BTreeMap<Bytes, Entry>;

/// Whether a read shows an entry. Where its time ends while the read is under way, it may or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
    Either,
}

/// The clock before and after a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) before_ms: u64,
    pub(super) after_ms: u64,
}

/// A commit of the player's own.
pub(super) struct Own<'a> {
    pub(super) seq: Seq,
    pub(super) ops: &'a [Op],
    pub(super) span: Span,
}

struct State {
    entries: Entries,
    /// When it was made, between these.
    made: Span,
}

/// The states of a partition.
pub(super) struct Oracle {
    states: Vec<State>,
    told: Vec<Change>,
}

impl Oracle {
    pub(super) fn new() -> Self {
        let made = Span { before_ms: 0, after_ms: 0 };
        Self { states: vec![State { entries: Entries::new(), made }], told: Vec::new() }
    }

    pub(super) fn newest(&self) -> Seq {
        Seq(self.states.len() as u64 - 1)
    }

    pub(super) fn entries(&self, seq: Seq) -> &Entries {
        &self.states[seq.0 as usize].entries
    }

    /// What a watch told after `after`, to `upto`.
    pub(super) fn told(&self, after: Seq, upto: Seq) -> Vec<Change> {
        let asked = |change: &&Change| change.seq > after && change.seq <= upto;
        self.told.iter().filter(asked).cloned().collect()
    }

    /// Takes what a watch told after the newest state, to `upto`.
    pub(super) fn learn(
        &mut self,
        changes: &[Change],
        upto: Seq,
        own: Option<&Own>,
    ) -> Result<(), String> {
        if let Some(stray) = changes.iter().find(|one| one.seq <= self.newest() || one.seq > upto) {
            return Err(format!("a watch after {} to {upto} told {stray:?}", self.newest()));
        }
        if changes.windows(2).any(|pair| pair[0].seq > pair[1].seq) {
            return Err(format!("a watch told commits out of their order: {changes:?}"));
        }
        while self.newest() < upto {
            let seq = self.newest().next();
            let group: Vec<&Change> = changes.iter().filter(|change| change.seq == seq).collect();
            let own = own.filter(|own| own.seq == seq);
            let state = match own {
                Some(own) => self.made(own, &group)?,
                None => self.ended(seq, &group)?,
            };
            self.told.extend(group.into_iter().cloned());
            self.states.push(state);
        }
        Ok(())
    }

    /// The state after a commit of the player's own: what was told must lead to the same one.
    fn made(&self, own: &Own, group: &[&Change]) -> Result<State, String> {
        let before = self.entries(self.newest());
        let entries = after(before, own.seq, own.ops);
        let mut replayed = before.clone();
        for change in group {
            match &change.what {
                What::Put(entry) => drop(replayed.insert(entry.key.clone(), entry.clone())),
                What::Deleted { key, .. } => drop(replayed.remove(key)),
                What::RangeDeleted(range) => replayed.retain(|key, _| !range.contains(key)),
            }
        }
        if replayed != entries {
            return Err(format!("commit {} is not what a watch told of it: {group:?}", own.seq));
        }
        let made = group.first().map_or(own.span, |change| exactly(change.time_ms));
        self.in_order(made)?;
        if group.iter().any(|change| change.time_ms != made.before_ms) && !group.is_empty() {
            return Err(format!("commit {} has several times: {group:?}", own.seq));
        }
        Ok(State { entries, made })
    }

    /// The state after a commit by which the partition ended entries whose time was over.
    fn ended(&self, seq: Seq, group: &[&Change]) -> Result<State, String> {
        let mut entries = self.entries(self.newest()).clone();
        let Some(first) = group.first() else { return Err(format!("nobody made commit {seq}")) };
        let made = exactly(first.time_ms);
        self.in_order(made)?;
        for change in group {
            let What::Deleted { key, expired: true } = &change.what else {
                return Err(format!("nobody made commit {seq}: {change:?}"));
            };
            let found = entries.remove(key);
            let end = found.and_then(|entry| entry.expires_ms);
            if end.is_none_or(|end| end > change.time_ms) {
                return Err(format!("{key:?} ends at {end:?}, and was ended by {change:?}"));
            }
        }
        Ok(State { entries, made })
    }

    fn in_order(&self, made: Span) -> Result<(), String> {
        let last = self.states.last().map_or(0, |state| state.made.before_ms);
        if made.after_ms < last {
            return Err(format!("time went back from {last} to {}", made.after_ms));
        }
        Ok(())
    }

    /// The entries of `range` after commit `seq`, and whether a read shows them. `present`: of a read
    /// of the newest state.
    pub(super) fn view(
        &self,
        seq: Seq,
        present: bool,
        range: &KeyRange,
        span: Span,
    ) -> Vec<(Entry, Shown)> {
        let entries = self.entries(seq).values().filter(|entry| range.contains(&entry.key));
        let shown = |entry: &Entry| {
            let over = |now_ms| entry.expires_ms.is_some_and(|end| end <= now_ms);
            match (over(span.before_ms), over(span.after_ms)) {
                (true, _) if present => Shown::No,
                (false, false) => Shown::Yes,
                _ if !present && self.was_ended(entry, seq) => Shown::Yes,
                _ => Shown::Either,
            }
        };
        entries.map(|entry| (entry.clone(), shown(entry))).collect()
    }

    /// Whether the partition ended this entry in a commit after `seq`.
    fn was_ended(&self, entry: &Entry, seq: Seq) -> bool {
        let ended = |change: &&Change| {
            matches!(&change.what, What::Deleted { key, expired: true } if *key == entry.key)
                && change.seq > seq
                && self.entries(Seq(change.seq.0 - 1)).get(&entry.key) == Some(entry)
        };
        self.told.iter().any(|change| ended(&change))
    }

    /// The first and the last commit that may be the last one at or before a time.
    pub(super) fn at_time(&self, time_ms: u64) -> (Seq, Seq) {
        let last = |made: &dyn Fn(&State) -> u64| {
            let found = self.states.iter().rposition(|state| made(state) <= time_ms);
            Seq(found.unwrap_or(0) as u64)
        };
        (last(&|state| state.made.after_ms), last(&|state| state.made.before_ms))
    }

    /// Whether a state may be gone: it was not the present after `time_ms`.
    pub(super) fn may_be_gone(&self, seq: Seq, time_ms: u64) -> bool {
        let next = self.states.get(seq.0 as usize + 1);
        next.is_some_and(|next| next.made.before_ms <= time_ms)
    }

    /// Whether a transaction that read these at `at` must, or may, be told of a conflict.
    pub(super) fn conflict(&self, at: Seq, reads: &[KeyRange], now_ms: u64) -> (bool, bool) {
        let (then, now) = (self.entries(at), self.entries(self.newest()));
        let over = |entry: &Entry| entry.expires_ms.is_some_and(|end| end <= now_ms);
        let read = |key: &Bytes| reads.iter().any(|range| range.contains(key));
        let lost = |(key, entry): (&Bytes, &Entry)| {
            read(key) && !over(entry) && now.get(key).map(|entry| entry.seq) != Some(entry.seq)
        };
        let new =
            |(key, entry): (&Bytes, &Entry)| read(key) && !over(entry) && !then.contains_key(key);
        let must = then.iter().any(lost) || now.iter().any(new);
        let touched = |change: &Change| match &change.what {
            What::Put(entry) => read(&entry.key),
            What::Deleted { key, .. } => read(key),
            What::RangeDeleted(range) => reads.iter().any(|one| overlap(one, range)),
        };
        let ended = then.values().any(|entry| read(&entry.key) && over(entry));
        let may = must || ended || self.told(at, self.newest()).iter().any(touched);
        // What was removed without being there may have gone untold.
        let untold = (at.0 + 1..=self.newest().0)
            .any(|seq| !self.told.iter().any(|change| change.seq == Seq(seq)));
        (must, may || untold)
    }
}

fn exactly(time_ms: u64) -> Span {
    Span { before_ms: time_ms, after_ms: time_ms }
}

fn overlap(one: &KeyRange, other: &KeyRange) -> bool {
    let before = |end: &Option<Bytes>, start: &Bytes| end.as_ref().is_some_and(|end| end <= start);
    !before(&one.to, &other.from) && !before(&other.to, &one.from)
}

/// The entries after a commit.
fn after(before: &Entries, seq: Seq, ops: &[Op]) -> Entries {
    let mut entries = before.clone();
    for op in ops {
        match op.clone() {
            Op::Put { key, value, expires_ms } => {
                let entry = Entry { key: key.clone(), value, reference: None, seq, expires_ms };
                entries.insert(key, entry);
            }
            Op::Refer { key, reference, expires_ms } => {
                let (value, reference) = (Bytes::new(), Some(reference));
                let entry = Entry { key: key.clone(), value, reference, seq, expires_ms };
                entries.insert(key, entry);
            }
            Op::Delete { key } => drop(entries.remove(&key)),
            Op::DeleteRange(range) => entries.retain(|key, _| !range.contains(key)),
        }
    }
    entries
}
