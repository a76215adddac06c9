//! FUNCTIONS-7: a call that was acknowledged to be done later is begun again until it ends, three times at most; of calls
//! with one idempotency key there is one, and what came of it is kept.

use cairn_functions::{CallState, Outcome};

use super::again;
use super::history::{Called, Effect, History, Ms, Told};
use crate::partition::history::Broken;

/// What finds it.
pub const CHECKER: &str = "FUNCTIONS-7";
/// How far a node that reads in the bucket what another one has is behind.
const BEHIND_MS: Ms = 20_000;
/// How often a call is begun at most.
const ATTEMPTS_MAX: usize = 3;

/// Every call.
///
/// # Errors
/// The first thing that must not be.
pub fn check(history: &History) -> Result<(), Broken> {
    for call in &history.calls {
        one(history, call).or_else(|why| {
            Broken::err(CHECKER, format!("call {} ({}): {why}", call.number, call.id))
        })?;
    }
    let all = history.effects_of("c");
    again::check(CHECKER, history, all, |effect| &effect.arguments, |_, _| false)
}

fn one(history: &History, call: &Called) -> Result<(), String> {
    if call.taken_for_another {
        return Err("its key was taken for another request".to_owned());
    }
    if let Some(other) = call.again.iter().find(|id| **id != call.id) {
        return Err(format!("the same key is another call, {other}"));
    }
    let of = |effect: &&Effect| effect.arguments.get(1) == Some(&call.number);
    let effects: Vec<&Effect> = history.effects_of("c").filter(of).collect();
    let begun = effects.iter().filter(|effect| !effect.end).count();
    if begun > ATTEMPTS_MAX {
        return Err(format!("it was begun {begun} times"));
    }
    if let Some(effect) = effects.iter().find(|effect| effect.input != call.input) {
        return Err(format!("it was given another input: {effect:?}"));
    }
    let mut done = call.told.iter().filter(|told| told.is_done());
    let Some(first) = done.next() else { return Err("it was never done".to_owned()) };
    if let Some(other) =
        done.find(|told| (&told.info, &told.output) != (&first.info, &first.output))
    {
        return Err(format!("it was told twice what came of it, {first:?} and {other:?}"));
    }
    let late = |told: &&Told| told.at_ms > first.at_ms + BEHIND_MS && !told.is_done();
    if let Some(other) = call.told.iter().find(late) {
        return Err(format!("it was done, and then {other:?}"));
    }
    if let Some(effect) = effects.iter().find(|effect| !effect.end && effect.at_ms > first.at_ms) {
        return Err(format!("it was done, and begun again: {effect:?}"));
    }
    came_right(call, first, &effects)
}

fn came_right(call: &Called, told: &Told, effects: &[&Effect]) -> Result<(), String> {
    let CallState::Done { attempt, outcome, what, .. } = &told.info.state else {
        return Err("it is not done".to_owned());
    };
    let ended = effects.iter().any(|effect| effect.end);
    match outcome {
        Outcome::Ok if !ended => Err("it never ended, and went well".to_owned()),
        Outcome::Ok if told.output.as_ref() != Some(&call.input) => {
            Err(format!("it made {:?}", told.output))
        }
        Outcome::Ok => Ok(()),
        Outcome::Failed
            if what.contains("again and again") && *attempt as usize == ATTEMPTS_MAX =>
        {
            Ok(())
        }
        _ => Err(format!("it failed: {what}")),
    }
}
