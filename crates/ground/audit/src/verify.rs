//! Verification: the chain from its start, or from a mark, to its end (AUDIT-3).

use std::collections::BTreeMap;
use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::error::Error;
use crate::log::{Found, Log, PREFIX, seq_of};
use crate::read::AHEAD;
use crate::segment::{Hash, Mark, Segment};

/// The most findings that a verification tells; more are counted.
pub const FINDINGS_MAX: usize = 1000;

/// What is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verify {
    /// Begin here, taking what is before for verified; else at the start.
    pub from: Option<Mark>,
    /// The log must hold this one: the end of an earlier verification.
    pub head: Option<Mark>,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Segments that are as they should be.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// The last segment, as `SEQ:HASH`, to be kept elsewhere; none when there is none or it is
    /// damaged.
    pub head: Option<String>,
    /// What is wrong, in the order of the log.
    pub findings: Vec<Finding>,
    /// How many findings are not told.
    pub findings_left_out: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The number of the segment.
    pub seq: u64,
    /// What kind of wrong.
    pub kind: FindingKind,
    /// What was found.
    pub detail: String,
}

/// What kind of wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// There is no such segment, and there are later ones or a mark that says so.
    Missing,
    /// It was changed, or is another one.
    Damaged,
    /// It is whole, and does not follow the one before.
    OutOfChain,
    /// It is whole, and not the one that a mark names.
    OtherThanMarked,
    /// An object that is no segment lies among them.
    Stranger,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::OutOfChain => "out of chain",
            Self::OtherThanMarked => "other than marked",
            Self::Stranger => "stranger",
        })
    }
}

/// What is known of the segment before.
#[derive(Clone, Copy)]
enum Before {
    Is(Hash),
    Unreadable(Hash),
    Unknown,
}

impl Verified {
    fn found(&mut self, seq: u64, kind: FindingKind, detail: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { seq, kind, detail: detail.into() });
        } else {
            self.findings_left_out += 1;
        }
    }

    /// Takes one segment up, and returns what the next one must name.
    fn take(&mut self, seq: u64, found: Found, before: Before) -> Before {
        self.head = None;
        match found {
            Found::Missing => {
                self.found(seq, FindingKind::Missing, "there is no such object");
                Before::Unknown
            }
            Found::Damaged { stored, detail } => {
                self.found(seq, FindingKind::Damaged, detail);
                Before::Unreadable(stored)
            }
            Found::Segment(segment, hash) => {
                match out_of_chain(&segment, before) {
                    Some(detail) => self.found(seq, FindingKind::OutOfChain, detail),
                    None => {
                        self.segments += 1;
                        self.records += segment.records.len() as u64;
                    }
                }
                self.head = Some(Mark { seq, hash }.to_string());
                Before::Is(hash)
            }
        }
    }
}

fn out_of_chain(segment: &Segment, before: Before) -> Option<&'static str> {
    match before {
        Before::Is(hash) if segment.before.unreadable => Some(if hash == segment.before.hash {
            "it names an object that is none"
        } else {
            "it was written after a segment that could not be read, and another one is there now"
        }),
        Before::Is(hash) if hash != segment.before.hash => {
            Some("it follows another segment than the one before it")
        }
        Before::Unreadable(stored)
            if segment.before.unreadable && stored != segment.before.hash =>
        {
            Some("the segment before it was damaged when it was written, and in another way")
        }
        _ => None,
    }
}

impl Log {
    /// Walks the chain and checks every segment. `progress` is told how many were looked at.
    ///
    /// # Errors
    /// Only when the bucket itself fails, or a segment is of a later version or under another key;
    /// what is wrong is in the report.
    pub async fn verify(
        &self,
        what: Verify,
        progress: impl Fn(u64) + Send,
    ) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        let runs = self.listed(&mut verified).await?;
        let last = runs.last();
        let (mut at, mut before) = match what.from {
            Some(mark) => (mark.seq, Before::Unknown),
            None => (1, Before::Is(Hash::default())),
        };
        if let Some(mark) = what.from.filter(|mark| mark.seq > last) {
            verified.found(mark.seq, FindingKind::Missing, cut_off(last));
        }
        let marks = [what.from, what.head];
        let find = |seq| async move { Ok::<_, Error>((seq, self.find(seq).await?)) };
        let mut segments = stream::iter(runs.numbers(at)).map(find).buffered(AHEAD);
        while let Some((seq, found)) = segments.try_next().await? {
            if seq > at {
                let detail = format!("there are no segments {at} to {}", seq - 1);
                verified.found(at, FindingKind::Missing, detail);
                before = Before::Unknown;
            }
            if let Found::Segment(_, hash) = &found
                && marks.iter().flatten().any(|mark| mark.seq == seq && mark.hash != *hash)
            {
                let detail = format!("it has the hash {hash}: the log was made anew");
                verified.found(seq, FindingKind::OtherThanMarked, detail);
            }
            before = verified.take(seq, found, before);
            progress(seq);
            at = seq + 1;
        }
        match what.head {
            Some(mark) if mark.seq > last => {
                verified.found(mark.seq, FindingKind::Missing, cut_off(last));
            }
            Some(mark) if what.from.is_some_and(|from| from.seq > mark.seq) => {
                let detail = "it is before the one to begin with, so it was not looked at";
                verified.found(mark.seq, FindingKind::Missing, detail);
            }
            _ => {}
        }
        Ok(verified)
    }

    /// Which segments there are, by a list of all objects: what is missing in the middle does not hide
    /// what is behind it.
    async fn listed(&self, verified: &mut Verified) -> Result<Runs, Error> {
        let (mut heads, mut runs) = (self.bucket.list(PREFIX), Runs::default());
        while let Some(head) = heads.try_next().await? {
            match seq_of(&head.key) {
                Some(seq) => runs.add(seq),
                None => verified.found(0, FindingKind::Stranger, head.key),
            }
        }
        Ok(runs)
    }
}

fn cut_off(last: u64) -> String {
    format!("the log ends at {last}: its end was cut off")
}

/// Numbers as runs without a gap, from the first to one past the last: a whole log is one.
#[derive(Default)]
struct Runs(BTreeMap<u64, u64>);

impl Runs {
    /// Adds a number that is not there yet.
    fn add(&mut self, seq: u64) {
        let before = self.0.range(..=seq).next_back().map(|(first, end)| (*first, *end));
        let first = match before {
            Some((first, end)) if end == seq => first,
            _ => seq,
        };
        let end = self.0.remove(&(seq + 1)).unwrap_or(seq + 1);
        self.0.insert(first, end);
    }

    /// The greatest number; 0 when there is none.
    fn last(&self) -> u64 {
        self.0.values().next_back().map_or(0, |end| end - 1)
    }

    /// All numbers from `first` on, in order.
    fn numbers(self, first: u64) -> impl Iterator<Item = u64> + Send {
        self.0.into_iter().flat_map(move |(begin, end)| begin.max(first)..end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_the_numbers_in_any_order(
            numbers in proptest::collection::btree_set(1_u64..60, 0..60),
            order in any::<u64>(),
            first in 1_u64..60,
        ) {
            let mut shuffled: Vec<u64> = numbers.iter().copied().collect();
            shuffled.sort_by_key(|seq| (seq + 1).wrapping_mul(order | 1));
            let mut runs = Runs::default();
            shuffled.iter().for_each(|seq| runs.add(*seq));
            prop_assert_eq!(runs.last(), numbers.last().copied().unwrap_or(0));
            let starts = numbers.iter().filter(|seq| !numbers.contains(&(*seq - 1))).count();
            prop_assert_eq!(runs.0.len(), starts);
            let rest: Vec<u64> = numbers.range(first..).copied().collect();
            prop_assert_eq!(runs.numbers(first).collect::<Vec<_>>(), rest);
        }
    }
}
