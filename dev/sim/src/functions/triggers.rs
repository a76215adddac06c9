//! FUNCTIONS-10: a trigger tells its function the changes of its keys in the order of commits, at least once: what comes next
//! is told when the function took what came before.

use bytes::Bytes;
use cairn_partition::{Change, What};
use serde::Deserialize;

use super::history::{Effect, History, Ms, Triggered};
use crate::partition::history::Broken;

/// What finds it.
pub const CHECKER: &str = "FUNCTIONS-10";

/// A change as it is told.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    seq: u64,
    key: Option<String>,
    value: Option<String>,
}

impl Line {
    fn is(&self, change: &Change) -> bool {
        let (kind, key, value) = match &change.what {
            What::Put(entry) => ("put", Some(&entry.key), Some(&entry.value)),
            What::Deleted { key, .. } => ("delete", Some(key), None),
            What::RangeDeleted(_) => ("delete_range", None, None),
        };
        let same = |text: &Option<String>, bytes: Option<&Bytes>| {
            text.as_deref().map(str::as_bytes) == bytes.map(|bytes| &bytes[..])
        };
        self.kind == kind
            && self.seq == change.seq.0
            && same(&self.key, key)
            && same(&self.value, value)
    }
}

/// Every trigger.
///
/// # Errors
/// The first thing that must not be.
pub fn check(history: &History) -> Result<(), Broken> {
    history.triggers.iter().try_for_each(|trigger| {
        one(history, trigger)
            .or_else(|why| Broken::err(CHECKER, format!("trigger {}: {why}", trigger.name)))
    })
}

/// What was told at a time: its place among all changes, and when.
struct Part<'a> {
    effect: &'a Effect,
    from: usize,
    to: usize,
}

fn one(history: &History, trigger: &Triggered) -> Result<(), String> {
    let mut begun: Vec<Part<'_>> = Vec::new();
    let (mut taken, mut taken_ms) = (0, 0);
    for effect in history.effects_of(&trigger.name) {
        if effect.end {
            let part = begun.iter().rev().find(|part| part.effect.input == effect.input);
            let part = part.ok_or_else(|| format!("{effect:?} ended before it began"))?;
            let newest = begun.last().is_some_and(|last| last.effect.at_ms == part.effect.at_ms);
            if !newest && !history.was_cut_off(part.effect.at_ms, effect.at_ms) {
                return Err(format!("it told two parts at the same time: {effect:?}"));
            }
            (taken, taken_ms) = (taken.max(part.to), effect.at_ms);
            continue;
        }
        let (from, to) = place(trigger, effect)?;
        if from > taken {
            let left = &trigger.truth[taken];
            return Err(format!("it told {effect:?} before the function took {left:?}"));
        }
        let before = begun.last().map_or(0, |part| part.effect.at_ms);
        if from < taken && !excused(history, effect, before.min(taken_ms)) {
            return Err(format!("it told {effect:?} again for no reason"));
        }
        begun.push(Part { effect, from, to });
    }
    if let Some(left) = trigger.truth.get(taken) {
        return Err(format!("it never told {left:?}"));
    }
    let last = trigger.truth.last().map_or(0, |change| change.seq.0);
    if trigger.told < last {
        return Err(format!("it says that it has told up to {}, of {last}", trigger.told));
    }
    // Told once at least, and in order: each part begins where one before it began or ended.
    let starts = |at: usize| begun.iter().any(|part| part.from == at || part.to == at) || at == 0;
    match begun.iter().find(|part| !starts(part.from)) {
        Some(part) => Err(format!("it begins in the middle of a part: {:?}", part.effect)),
        None => Ok(()),
    }
}

fn excused(history: &History, effect: &Effect, since: Ms) -> bool {
    history.was_unrest(since, effect.at_ms)
}

fn place(trigger: &Triggered, effect: &Effect) -> Result<(usize, usize), String> {
    let text = String::from_utf8_lossy(&effect.input);
    let lines: Result<Vec<Line>, _> = text.lines().map(serde_json::from_str).collect();
    let lines = lines.map_err(|error| format!("{error}: {effect:?}"))?;
    let first = lines.first().ok_or_else(|| format!("it told nothing: {effect:?}"))?;
    let from = trigger.truth.iter().position(|change| first.is(change));
    let from = from.ok_or_else(|| format!("it told what never was: {first:?}"))?;
    let to = from + lines.len();
    let truth = trigger.truth.get(from..to).unwrap_or_default();
    let right = truth.len() == lines.len() && lines.iter().zip(truth).all(|(l, c)| l.is(c));
    // A commit is told whole.
    let torn = |at: usize| {
        let seq = |at: usize| trigger.truth.get(at).map(|change| change.seq);
        at > 0 && seq(at).is_some() && seq(at - 1) == seq(at)
    };
    if !right || torn(from) || torn(to) {
        return Err(format!("it left something out, or tore a commit: {effect:?}"));
    }
    Ok((from, to))
}
