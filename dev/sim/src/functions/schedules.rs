//! FUNCTIONS-6: runs of a schedule are begun one after the other, and what was begun is run to its end or run again, and
//! told which attempt it is; what came of it is in the schedule's history before the next is begun. Ticks are left out
//! only as the schedule says.

use std::collections::BTreeMap;

use cairn_functions::{Missed, Outcome, RUNS_KEPT, Run};

use super::history::{Effect, History, Ms, Scheduled};
use crate::partition::history::Broken;

/// What finds it.
pub const CHECKER: &str = "FUNCTIONS-6";
/// How long after a node's end others may need until they do its work: they look every minute, and wait for its lease.
pub const TAKEN_OVER_MS: Ms = 110_000;
/// How soon after its tick a run is begun where nothing happens.
const SOON_MS: Ms = 15_000;
/// How often a run is begun at most.
const ATTEMPTS_MAX: u32 = 3;

/// Every schedule.
///
/// # Errors
/// The first thing that must not be.
pub fn check(history: &History) -> Result<(), Broken> {
    history.schedules.iter().try_for_each(|schedule| {
        let broken = |detail: String| Broken {
            checker: CHECKER.into(),
            detail: format!("schedule {}: {detail}", schedule.name),
        };
        one_after_the_other(history, schedule).map_err(broken)?;
        remembered(history, schedule).map_err(broken)?;
        all_ticks(history, schedule).map_err(broken)
    })
}

fn effects<'a>(
    history: &'a History,
    schedule: &'a Scheduled,
) -> impl Iterator<Item = (&'a Effect, (Ms, u32))> {
    let ours = history.effects_of("s");
    let ours = ours.filter(|effect| effect.arguments.get(1) == Some(&schedule.name));
    ours.filter_map(|effect| Some((effect, effect.tick?)))
}

fn one_after_the_other(history: &History, schedule: &Scheduled) -> Result<(), String> {
    let mut last: Option<(&Effect, (Ms, u32))> = None;
    let mut ended = true;
    for (effect, (tick, attempt)) in effects(history, schedule) {
        let now = effect.at_ms;
        if effect.end {
            let ours = last.is_some_and(|(_, of)| of == (tick, attempt));
            if !ours && !history.was_cut_off(tick, now) {
                return Err(format!(
                    "two runs went on at the same time: {effect:?}, after {last:?}"
                ));
            }
            ended |= ours;
            continue;
        }
        if !(1..=ATTEMPTS_MAX).contains(&attempt) {
            return Err(format!("it was begun too often: {effect:?}"));
        }
        if let Some((before, of)) = last {
            if (tick, attempt) <= of
                || (attempt > 1 && tick != of.0 && !unseen(history, before, now))
            {
                return Err(format!("{effect:?} came after {of:?}"));
            }
            if (!ended || tick == of.0) && !history.was_unrest(before.at_ms, now) {
                return Err(format!("{effect:?} was begun before {of:?} had ended"));
            }
        }
        (last, ended) = (Some((effect, (tick, attempt))), false);
    }
    Ok(())
}

/// Whether a run may have been begun of which nothing is written down: its node ended before that.
fn unseen(history: &History, before: &Effect, now: Ms) -> bool {
    history.was_unrest(before.at_ms, now)
}

fn remembered(history: &History, schedule: &Scheduled) -> Result<(), String> {
    let mut seen = BTreeMap::<Ms, (u32, Vec<u32>)>::new();
    for (effect, (tick, attempt)) in effects(history, schedule) {
        let (begun, ended) = seen.entry(tick).or_default();
        if effect.end { ended.push(attempt) } else { *begun = attempt.max(*begun) }
    }
    for run in &schedule.runs {
        let (begun, ended) = seen.get(&run.tick_ms).cloned().unwrap_or_default();
        let right = match run.outcome {
            Outcome::Ok => ended.contains(&run.attempt),
            Outcome::Missed => begun == 0,
            Outcome::Failed => run.what.contains("again and again") && run.attempt == ATTEMPTS_MAX,
        };
        if !right {
            return Err(format!(
                "its history says {run:?}, where {begun} were begun and {ended:?} ended"
            ));
        }
    }
    let oldest = forgotten_upto(schedule);
    let known = |tick: &Ms| *tick < oldest || schedule.runs.iter().any(|run| run.tick_ms == *tick);
    // The last one may still go on.
    let before_last = seen.keys().rev().skip(1);
    match before_last.into_iter().find(|tick| !known(tick)) {
        Some(tick) => Err(format!("its history does not know the run of {tick}")),
        None => Ok(()),
    }
}

/// Before which tick nothing is remembered: the last hundred runs are.
fn forgotten_upto(schedule: &Scheduled) -> Ms {
    let full = schedule.runs.len() >= RUNS_KEPT;
    schedule.runs.first().filter(|_| full).map_or(0, |run| run.tick_ms)
}

fn all_ticks(history: &History, schedule: &Scheduled) -> Result<(), String> {
    let Scheduled { every_ms, missed, made_ms, runs, .. } = schedule;
    if let Some(run) =
        runs.iter().find(|run| run.tick_ms % every_ms != 0 || run.tick_ms <= *made_ms)
    {
        return Err(format!("{run:?} is no tick of it"));
    }
    let first = ((made_ms / every_ms + 1) * every_ms).max(forgotten_upto(schedule));
    let until = history.looked_ms.saturating_sub(SOON_MS);
    let mut tick = first;
    while tick <= until {
        if !runs.iter().any(|run| run.tick_ms == tick) {
            // One that is left out is so for one that comes after it.
            let later = runs.iter().find(|run| run.tick_ms > tick);
            let busy = |run: &Run| run.tick_ms < tick && run.ended_ms >= tick;
            let why = runs.iter().any(busy)
                || history.was_unrest(tick.saturating_sub(TAKEN_OVER_MS), tick + SOON_MS);
            if *missed == Missed::All || later.is_none() || !why {
                return Err(format!("nothing became of its tick {tick}"));
            }
        }
        tick += every_ms;
    }
    Ok(())
}
