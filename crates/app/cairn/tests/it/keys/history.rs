//! What clients asked and heard, what a watch told, and whether the two agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

/// What marks the end of a history is written to this key, without a value.
pub(super) const MARK: &str = "end";

/// A change, asked for or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put { key: String, value: String, expires_ms: Option<u64> },
    Delete { key: String, expired: bool },
    DeleteRange { from: String, to: String },
}

/// What a client knows of a commit that it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Acknowledged at this position.
    Done(u64),
    /// Refused: nothing was changed.
    Not,
    /// It may have been made.
    Unknown,
}

/// A commit that was asked for. Its first change is a put whose value begins with its name.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) changes: Vec<Change>,
    pub(super) began: Duration,
    pub(super) ended: Duration,
    pub(super) outcome: Outcome,
}

/// A read of one key and what it found: the commit that wrote it, and the value.
pub(super) struct Got {
    pub(super) key: String,
    pub(super) began: Duration,
    pub(super) ended: Duration,
    pub(super) found: Option<(u64, String)>,
}

/// A scan of a prefix and what it found.
pub(super) struct Scanned {
    pub(super) prefix: String,
    pub(super) began: Duration,
    pub(super) ended: Duration,
    pub(super) at: u64,
    pub(super) found: BTreeMap<String, (u64, String)>,
}

/// All that one client asked and heard.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) asked: Vec<Asked>,
    pub(super) got: Vec<Got>,
    pub(super) scanned: Vec<Scanned>,
}

impl Notes {
    pub(super) fn add(&mut self, more: Self) {
        self.asked.extend(more.asked);
        self.got.extend(more.got);
        self.scanned.extend(more.scanned);
    }

    /// Takes out what was acknowledged and is not there, and what showed it.
    pub(super) fn lost(&mut self, told: &[Told]) -> Vec<Asked> {
        let there: BTreeSet<&str> = told.iter().filter_map(Told::id).collect();
        let is_lost = |asked: &mut Asked| {
            matches!(asked.outcome, Outcome::Done(_)) && !there.contains(asked.id.as_str())
        };
        let lost: Vec<Asked> = self.asked.extract_if(.., is_lost).collect();
        // What was read from then on may show it, and be it that something is not there.
        if let Some(first) = lost.iter().map(|asked| asked.began).min() {
            self.got.retain(|got| got.ended < first);
            self.scanned.retain(|scan| scan.ended < first);
        }
        lost
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.asked.iter().filter(|asked| matches!(asked.outcome, Outcome::Done(_))).count()
    }

    pub(super) fn unknown(&self) -> usize {
        self.asked.iter().filter(|asked| asked.outcome == Outcome::Unknown).count()
    }
}

/// A commit that a watch told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) seq: u64,
    pub(super) time_ms: u64,
    pub(super) changes: Vec<Change>,
}

/// What is there: the commit that wrote each key, and its value.
pub(super) type State = BTreeMap<String, (u64, String)>;

fn text(line: &Value, name: &str) -> String {
    line[name].as_str().unwrap_or_else(|| panic!("{line} has no {name}")).to_owned()
}

impl Told {
    /// Takes a line of a watch in; the commit, when it is whole.
    pub(super) fn take(begun: &mut Option<Self>, line: &Value) -> Option<Self> {
        let seq = line["seq"].as_u64().unwrap();
        let change = match line["type"].as_str().unwrap() {
            "put" => {
                let (key, value) = (text(line, "key"), text(line, "value"));
                Change::Put { key, value, expires_ms: line["expires_ms"].as_u64() }
            }
            "delete" => {
                let expired = line["expired"].as_bool().unwrap();
                Change::Delete { key: text(line, "key"), expired }
            }
            "delete_range" => {
                Change::DeleteRange { from: text(line, "from"), to: text(line, "to") }
            }
            _ => return None,
        };
        let time_ms = line["time_ms"].as_u64().unwrap();
        let told = begun.get_or_insert(Self { seq, time_ms, changes: Vec::new() });
        assert_eq!(told.seq, seq, "a commit is told whole (LOG-4)");
        told.changes.push(change);
        line["last"].as_bool().unwrap().then(|| begun.take()).flatten()
    }

    /// The name of the commit; none of one that the node made itself, of what was over, and of marks.
    fn id(&self) -> Option<&str> {
        let id = self.changes.iter().find_map(|change| match change {
            Change::Put { value, .. } => Some(id_of(value)),
            _ => None,
        });
        id.filter(|id| !id.is_empty())
    }
}

fn id_of(value: &str) -> &str {
    value.split('|').next().unwrap()
}

/// What these changes make of one key.
fn after<'a>(
    changes: &'a [Change],
    seq: u64,
    key: &str,
    before: Option<(u64, &'a str)>,
) -> Option<(u64, &'a str)> {
    let mut entry = before;
    for change in changes {
        match change {
            Change::Put { key: put, value, .. } if put == key => entry = Some((seq, value)),
            Change::Delete { key: deleted, .. } if deleted == key => entry = None,
            Change::DeleteRange { from, to } if key >= from.as_str() && key < to.as_str() => {
                entry = None;
            }
            _ => {}
        }
    }
    entry
}

/// The keys that these changes may change.
fn touched(changes: &[Change], state: &State) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for change in changes {
        match change {
            Change::Put { key, .. } | Change::Delete { key, .. } => {
                keys.insert(key.clone());
            }
            Change::DeleteRange { from, to } => {
                keys.extend(state.range(from.clone()..to.clone()).map(|(key, _)| key.clone()));
            }
        }
    }
    keys
}

fn puts(changes: &[Change]) -> BTreeMap<&str, (&str, bool)> {
    let puts = changes.iter().filter_map(|change| match change {
        Change::Put { key, value, expires_ms } => {
            Some((key.as_str(), (value.as_str(), expires_ms.is_some())))
        }
        _ => None,
    });
    puts.collect()
}

/// LOG-2, LOG-4: insists that what was told from the first commit on is what was asked, each commit whole
/// and once, everything acknowledged where it was said to be, everything refused absent, and that all
/// that was read and acknowledged fits into its order as it happened. Returns the last state.
pub(super) fn check(notes: &Notes, told: &[Told]) -> State {
    let mut asked = BTreeMap::new();
    for one in &notes.asked {
        assert!(asked.insert(one.id.as_str(), one).is_none(), "{} was asked twice", one.id);
    }
    let (mut state, mut timeline) = (State::new(), Timeline::default());
    let mut seen = BTreeMap::new();
    // Before the first commit nothing is there.
    let (begun, empty): (Vec<_>, Vec<_>) = notes.scanned.iter().partition(|scan| scan.at > 0);
    assert!(empty.iter().all(|scan| scan.found.is_empty()));
    let mut scans: Vec<&Scanned> = begun;
    scans.sort_by_key(|scan| scan.at);
    let mut scans = scans.into_iter().peekable();
    for (index, commit) in told.iter().enumerate() {
        assert_eq!(commit.seq, index as u64 + 1, "no commit is missing or told twice");
        let wanted = wanted(commit, &asked);
        if let Some(id) = commit.id() {
            let before = seen.insert(id, commit.seq);
            assert_eq!(before, None, "{id} was made twice, the second time at {}", commit.seq);
        }
        let mut keys = touched(&commit.changes, &state);
        keys.extend(touched(wanted, &state));
        for key in keys {
            let before = state.get(&key).map(|(seq, value)| (*seq, value.as_str()));
            let is = after(&commit.changes, commit.seq, &key, before);
            let shall = after(wanted, commit.seq, &key, before);
            assert_eq!(is, shall, "{key} after commit {} is what was asked", commit.seq);
            let is = is.map(|(seq, value)| (seq, value.to_owned()));
            timeline.keys.entry(key.clone()).or_default().push((commit.seq, is.clone()));
            match is {
                Some(entry) => drop(state.insert(key, entry)),
                None => drop(state.remove(&key)),
            }
        }
        while let Some(scan) = scans.next_if(|scan| scan.at == commit.seq) {
            let there = state.range(scan.prefix.clone()..);
            let there = there.take_while(|(key, _)| key.starts_with(&scan.prefix));
            let there: State = there.map(|(key, entry)| (key.clone(), entry.clone())).collect();
            assert_eq!(scan.found, there, "{:?} at {}", scan.prefix, scan.at);
        }
    }
    let beyond = scans.next().map(|scan| scan.at);
    assert_eq!(beyond, None, "a scan has shown a state that is lost");
    for one in &notes.asked {
        if let Outcome::Done(seq) = one.outcome {
            assert_eq!(seen.get(one.id.as_str()), Some(&seq), "{one:?} is lost");
        }
    }
    in_real_time(notes, &timeline, &asked);
    counters(told);
    state.remove(MARK);
    state
}

/// What somebody asked for when he asked for this commit.
fn wanted<'a>(commit: &'a Told, asked: &BTreeMap<&str, &'a Asked>) -> &'a [Change] {
    let Some(id) = commit.id() else {
        let over = |change: &Change| match change {
            Change::Delete { expired, .. } => *expired,
            Change::Put { key, .. } => key == MARK,
            Change::DeleteRange { .. } => false,
        };
        assert!(commit.changes.iter().all(over), "nobody asked for {commit:?}");
        return &commit.changes;
    };
    let one = asked.get(id).unwrap_or_else(|| panic!("nobody asked for {commit:?}"));
    match one.outcome {
        Outcome::Done(seq) => assert_eq!(seq, commit.seq, "{one:?} is elsewhere"),
        Outcome::Unknown => {}
        Outcome::Not => panic!("{one:?} was refused, and is commit {}", commit.seq),
    }
    assert_eq!(puts(&commit.changes), puts(&one.changes), "{id} is whole");
    &one.changes
}

/// A key with the commit that wrote it, or without.
type Entry = Option<(u64, String)>;

/// What each key was, one after the other.
#[derive(Default)]
struct Timeline {
    keys: BTreeMap<String, Vec<(u64, Entry)>>,
}

impl Timeline {
    /// Whether some state from `least` on shows this of the key.
    fn shows(&self, key: &str, found: Option<(u64, &str)>, least: u64) -> bool {
        let none = Vec::new();
        let changes = self.keys.get(key).unwrap_or(&none);
        let ends = |index: usize| changes.get(index + 1).map_or(u64::MAX, |(seq, _)| *seq);
        match found {
            Some((seq, value)) => changes.iter().enumerate().any(|(index, (at, what))| {
                let is = what.as_ref().map(|(seq, value)| (*seq, value.as_str()));
                *at == seq && is == Some((seq, value)) && ends(index) > least
            }),
            None => {
                let first = changes.first().map_or(u64::MAX, |(seq, _)| *seq);
                let mut absent = changes.iter().enumerate().filter(|(_, (_, what))| what.is_none());
                first > least || absent.any(|(index, _)| ends(index) > least)
            }
        }
    }
}

/// What began after an acknowledgement comes after it.
fn in_real_time(notes: &Notes, timeline: &Timeline, asked: &BTreeMap<&str, &Asked>) {
    let mut acknowledged: Vec<(Duration, u64)> = Vec::new();
    for one in &notes.asked {
        if let Outcome::Done(seq) = one.outcome {
            acknowledged.push((one.ended, seq));
        }
    }
    acknowledged.sort_unstable();
    let mut newest = 0;
    for (_, seq) in &mut acknowledged {
        newest = newest.max(*seq);
        *seq = newest;
    }
    let known = |when: Duration| {
        let before = acknowledged.partition_point(|(ended, _)| *ended < when);
        before.checked_sub(1).map_or(0, |last| acknowledged[last].1)
    };
    for one in &notes.asked {
        if let Outcome::Done(seq) = one.outcome {
            assert!(seq > known(one.began), "{one:?} comes before what was acknowledged before it");
        }
    }
    for scan in &notes.scanned {
        assert!(scan.at >= known(scan.began), "a scan at {} is stale", scan.at);
    }
    for got in &notes.got {
        let found = got.found.as_ref().map(|(seq, value)| (*seq, value.as_str()));
        let least = known(got.began);
        let key = &got.key;
        assert!(timeline.shows(key, found, least), "{key} is {found:?}, and {least} was known");
        if let Some((_, value)) = found {
            assert!(asked[id_of(value)].began < got.ended, "{key} is of the future");
        }
    }
}

/// Counters, `c/…`, go up by one: none is lost, none counts twice.
fn counters(told: &[Told]) {
    let mut counters: BTreeMap<&str, u64> = BTreeMap::new();
    for change in told.iter().flat_map(|commit| &commit.changes) {
        if let Change::Put { key, value, .. } = change
            && key.starts_with("c/")
        {
            let counter = counters.entry(key).or_default();
            *counter += 1;
            let found: u64 = value.split('|').nth(1).unwrap().parse().unwrap();
            assert_eq!(found, *counter, "{key} in {value}");
        }
    }
}

/// The checker finds what it is there for.
mod finds {
    use super::*;

    fn put(id: &str, key: &str) -> Change {
        Change::Put { key: key.to_owned(), value: format!("{id}|"), expires_ms: None }
    }

    fn asked(id: &str, seq: u64, keys: &[&str]) -> Asked {
        let changes = keys.iter().map(|key| put(id, key)).collect();
        let (began, ended) = (Duration::from_secs(seq * 2), Duration::from_secs(seq * 2 + 1));
        Asked { id: id.to_owned(), changes, began, ended, outcome: Outcome::Done(seq) }
    }

    fn told(id: &str, seq: u64, keys: &[&str]) -> Told {
        Told { seq, time_ms: seq, changes: keys.iter().map(|key| put(id, key)).collect() }
    }

    fn notes() -> Notes {
        let asked = vec![asked("a", 1, &["x", "y"]), asked("b", 2, &["x"])];
        Notes { asked, ..Notes::default() }
    }

    fn found(notes: &Notes, told: &[Told]) -> String {
        let checked = || check(notes, told);
        let why = std::panic::catch_unwind(std::panic::AssertUnwindSafe(checked)).unwrap_err();
        why.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn what_is_lost_half_there_elsewhere_or_refused() {
        let whole = [told("a", 1, &["x", "y"]), told("b", 2, &["x"])];
        assert_eq!(check(&notes(), &whole)["x"], (2, "b|".to_owned()));
        assert!(found(&notes(), &whole[..1]).contains("is lost"));
        let half = [told("a", 1, &["x"]), whole[1].clone()];
        assert!(found(&notes(), &half).contains("a is whole"));
        let gap = [whole[0].clone(), told("b", 3, &["x"])];
        assert!(found(&notes(), &gap).contains("no commit is missing"));
        let twice = [whole[0].clone(), whole[1].clone(), told("b", 3, &["x"])];
        assert!(found(&notes(), &twice).contains("is elsewhere"));
        let mut refused = notes();
        refused.asked[1].outcome = Outcome::Not;
        assert!(found(&refused, &whole).contains("was refused"));
    }

    #[test]
    fn what_is_stale_or_never_was() {
        let whole = [told("a", 1, &["x", "y"]), told("b", 2, &["x"])];
        let seconds = Duration::from_secs;
        let read = |key: &str, found: Option<(u64, &str)>| {
            let found = found.map(|(seq, value)| (seq, value.to_owned()));
            let got = Got { key: key.to_owned(), began: seconds(9), ended: seconds(10), found };
            Notes { got: vec![got], ..notes() }
        };
        check(&read("x", Some((2, "b|"))), &whole);
        check(&read("z", None), &whole);
        assert!(found(&read("x", Some((1, "a|"))), &whole).contains("2 was known"));
        assert!(found(&read("y", None), &whole).contains("2 was known"));
        let mut swapped = notes();
        (swapped.asked[0].began, swapped.asked[0].ended) = (seconds(8), seconds(9));
        assert!(found(&swapped, &whole).contains("comes before"));
        let counts = |first, second| {
            let counted = |seq, number| {
                let value = format!("{seq}|{number}");
                let change = Change::Put { key: "c/0".to_owned(), value, expires_ms: None };
                let told = Told { seq, time_ms: 0, changes: vec![change.clone()] };
                (told, Asked { changes: vec![change], ..asked(&seq.to_string(), seq, &[]) })
            };
            let (told, asked): (Vec<_>, Vec<_>) =
                [counted(1, first), counted(2, second)].into_iter().unzip();
            (Notes { asked, ..Notes::default() }, told)
        };
        let (notes, told) = counts(1, 2);
        check(&notes, &told);
        let (notes, told) = counts(1, 1);
        assert!(found(&notes, &told).contains("c/0 in 2|1"));
    }
}
