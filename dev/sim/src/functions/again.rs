//! Whether runs were begun again for a reason.

use std::collections::BTreeMap;

use super::history::{Effect, History, Ms};
use crate::partition::history::Broken;

/// How long it may take until it is written down what a run made: a write is tried again every five seconds.
pub const WRITTEN_MS: Ms = 65_000;

struct Before {
    began_ms: Ms,
    ended_ms: Option<Ms>,
}

/// A run is begun again only when something happened to a node meanwhile, or when `excused` says why else.
///
/// # Errors
/// [`Broken`] in the name of `checker`.
pub fn check<'a, I: Ord>(
    checker: &'static str,
    history: &History,
    effects: impl Iterator<Item = &'a Effect>,
    identity: impl Fn(&'a Effect) -> I,
    excused: impl Fn(&Effect, Ms) -> bool,
) -> Result<(), Broken> {
    let mut known = BTreeMap::<I, Before>::new();
    for effect in effects {
        let (of, now) = (identity(effect), effect.at_ms);
        if effect.end {
            match known.get_mut(&of) {
                Some(before) => before.ended_ms = Some(now),
                None => {
                    return Broken::err(checker, format!("it ended before it began: {effect:?}"));
                }
            }
            continue;
        }
        let begun = Before { began_ms: now, ended_ms: None };
        let Some(before) = known.insert(of, begun) else { continue };
        let reason = match before.ended_ms {
            // It is written down what it made.
            Some(ended_ms) => history.was_unrest(before.began_ms, now.min(ended_ms + WRITTEN_MS)),
            None => history.was_unrest(before.began_ms, now) || excused(effect, before.began_ms),
        };
        if !reason {
            return Broken::err(checker, format!("it was begun again for no reason: {effect:?}"));
        }
    }
    Ok(())
}
