//! Timelines: which one a position of the log belongs to.
//!
//! A history file, `00000003.history`, has a line for each timeline before: its number, the position
//! where it was left, and why.

use cairn_pgwal::Lsn;

use crate::error::Error;

/// A timeline with those it came from, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    before: Vec<Ancestor>,
    /// The last timeline.
    timeline: u32,
    /// The file's text, as it was.
    text: String,
}

/// A timeline that was left for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ancestor {
    timeline: u32,
    /// Where.
    left: Lsn,
    reason: String,
}

impl History {
    /// A timeline that came from no other.
    #[must_use]
    pub const fn first(timeline: u32) -> Self {
        Self { before: Vec::new(), timeline, text: String::new() }
    }

    /// Reads the history of a timeline.
    ///
    /// # Errors
    /// [`Error::Damaged`] for what is none.
    pub fn parse(timeline: u32, text: &str) -> Result<Self, Error> {
        let wrong = |line: &str| Error::Damaged {
            path: Self::file_name(timeline).into(),
            detail: format!("{line:?} is no line of a timeline's history"),
        };
        let mut before: Vec<Ancestor> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let ancestor = Ancestor::parse(line).ok_or_else(|| wrong(line))?;
            let later =
                |last: &Ancestor| ancestor.timeline > last.timeline && ancestor.left >= last.left;
            if !before.last().is_none_or(later) || ancestor.timeline >= timeline {
                return Err(wrong(line));
            }
            before.push(ancestor);
        }
        Ok(Self { before, timeline, text: text.to_owned() })
    }

    /// The name of a timeline's history file.
    #[must_use]
    pub fn file_name(timeline: u32) -> String {
        format!("{timeline:08X}.history")
    }

    /// The last timeline.
    #[must_use]
    pub const fn timeline(&self) -> u32 {
        self.timeline
    }

    /// The timeline whose segment has a position: where one was left inside of a segment, that of the
    /// next, which begins with a copy of what came before.
    #[must_use]
    pub fn timeline_of_segment(&self, number: u64, segment_bytes: u64) -> u32 {
        let end = (number + 1).saturating_mul(segment_bytes);
        let owner = self.before.iter().find(|before| before.left.0 >= end);
        owner.map_or(self.timeline, |before| before.timeline)
    }

    /// The timeline that a record which ends here belongs to.
    #[must_use]
    pub fn timeline_of(&self, end: Lsn) -> u32 {
        let owner = self.before.iter().find(|before| end <= before.left);
        owner.map_or(self.timeline, |before| before.timeline)
    }

    /// The text of the history file of a timeline that leaves this one's line here.
    #[must_use]
    pub fn child(&self, at: Lsn, reason: &str) -> String {
        let parent = self.timeline_of(at);
        let last = Ancestor { timeline: parent, left: at, reason: reason.to_owned() };
        let before = self.before.iter().filter(|before| before.timeline < parent);
        before.chain([&last]).map(Ancestor::line).collect()
    }

    /// The file's text; none for a timeline that came from no other.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        (!self.before.is_empty()).then_some(&self.text)
    }
}

impl Ancestor {
    fn parse(line: &str) -> Option<Self> {
        let (timeline, rest) = line.split_once(char::is_whitespace)?;
        let rest = rest.trim_start();
        let (left, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (timeline, left) = (timeline.parse().ok()?, left.parse().ok()?);
        Some(Self { timeline, left, reason: reason.trim().to_owned() })
    }

    fn line(&self) -> String {
        format!("{}\t{}\t{}\n", self.timeline, self.left, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn sample() -> History {
        History::parse(5, "1\t0/280000\tbecause\n\n# a remark\n3\t0/500000\tno reason\n").unwrap()
    }

    #[test]
    fn a_position_has_its_timeline() {
        let history = sample();
        let of = |lsn| history.timeline_of(Lsn(lsn));
        assert_eq!([of(0x10), of(0x28_0000), of(0x28_0008), of(0x50_0001)], [1, 1, 3, 5]);
        let segments: Vec<u32> =
            (0..7).map(|number| history.timeline_of_segment(number, MIB)).collect();
        assert_eq!(segments, [1, 1, 3, 3, 3, 5, 5]);
    }

    #[test]
    fn a_child_has_the_lines_before_it() {
        let text = sample().child(Lsn(0x30_0000), "here");
        assert_eq!(text, "1\t0/280000\tbecause\n3\t0/300000\there\n");
        assert_eq!(History::parse(9, &text).unwrap().timeline_of(Lsn(0x28_0001)), 3);
        let text = History::first(1).child(Lsn(8), "here");
        assert_eq!(text, "1\t0/8\there\n");
    }

    #[test]
    fn what_is_no_history_is_refused() {
        for bad in ["x", "1", "1 0/g", "5\t0/1\tself", "2\t0/9\t\n1\t0/10\t", "1\t0/9\n2\t0/8"] {
            assert!(History::parse(5, bad).is_err(), "{bad}");
        }
    }
}
