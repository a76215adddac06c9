//! FUNCTIONS-8: a plan that was acknowledged is done to its end or its failure, whatever nodes end meanwhile; a run that is
//! done is not done again while what it made is kept, unless that was asked for. A run that fails is tried three times.

use cairn_functions::{PlanState, StepState};

use super::again;
use super::history::{Effect, History, Planned};
use crate::partition::history::Broken;

/// What finds it.
pub const CHECKER: &str = "FUNCTIONS-8";
/// How often a run is tried that fails.
const TRIES: usize = 3;

/// Every plan.
///
/// # Errors
/// The first thing that must not be.
pub fn check(history: &History) -> Result<(), Broken> {
    for (at, plan) in history.plans.iter().enumerate() {
        let before = history.plans[..at].iter().filter(|other| other.series == plan.series);
        let done_before = before.clone().any(|other| other.made.is_some());
        one(history, plan, done_before)
            .or_else(|why| Broken::err(CHECKER, format!("plan {}: {why}", plan.info.id)))?;
    }
    let runs = history.effects.iter().filter(|effect| is_run(effect));
    let fresh = |effect: &Effect| {
        let asked = history.plans.iter().map(|plan| (&plan.series, plan.fresh, plan.asked_ms));
        let lost = history.lost.iter().map(|plan| (&plan.series, plan.fresh, plan.asked_ms));
        let fresh = asked.chain(lost).filter(|(series, fresh, asked_ms)| {
            *fresh && *asked_ms <= effect.at_ms && ours(series, effect)
        });
        fresh.count()
    };
    let identity = |effect| (fresh(effect), &effect.arguments, &effect.input);
    let excused = |effect: &Effect, began_ms| {
        effect.what().ends_with('!') || history.was_moody(&effect.function, began_ms, effect.at_ms)
    };
    again::check(CHECKER, history, runs, identity, excused)
}

fn is_run(effect: &Effect) -> bool {
    matches!(effect.what(), "w" | "w!" | "t")
}

fn ours(series: &String, effect: &Effect) -> bool {
    is_run(effect) && effect.arguments.last() == Some(series)
}

fn one(history: &History, plan: &Planned, done_before: bool) -> Result<(), String> {
    let Planned { info, asked_ms, .. } = plan;
    let ended_ms = info.ended_ms.unwrap_or(u64::MAX);
    let effects: Vec<&Effect> =
        history.effects.iter().filter(|one| ours(&plan.series, one)).collect();
    let asked = history.plans.iter().map(|other| (&other.series, other.asked_ms));
    let lost = history.lost.iter().map(|other| (&other.series, other.asked_ms));
    let next =
        asked.chain(lost).filter(|(series, at_ms)| **series == plan.series && at_ms > asked_ms);
    let next = next.map(|(_, at_ms)| at_ms).min();
    let meanwhile = |one: &&&Effect| {
        one.at_ms >= *asked_ms && next.is_none_or(|next| one.at_ms < next) && !one.end
    };
    let begun: Vec<&&Effect> = effects.iter().filter(meanwhile).collect();
    if let Some(late) = begun.iter().find(|one| one.at_ms > ended_ms) {
        return Err(format!("it had ended, and went on: {late:?}"));
    }
    let Some(makes) = &plan.makes else { return failed(plan, &begun) };
    let begins_with = |made: &bytes::Bytes| made.starts_with(makes);
    if info.state != PlanState::Done || !plan.made.as_ref().is_some_and(begins_with) {
        return Err(format!("it made {:?} instead of {makes:?}: {info:?}", plan.made));
    }
    if let Some(step) = info.steps.iter().find(|step| {
        step.state != StepState::Done || step.runs != Some(step.done) || step.reused > step.done
    }) {
        return Err(format!("it is done, and its step is {step:?}"));
    }
    if done_before && !plan.fresh {
        if let Some(one) = begun.first() {
            return Err(format!("it was done before, and again: {one:?}"));
        }
        if let Some(step) = info.steps.iter().find(|step| step.reused != step.done) {
            return Err(format!("all was done before, and its step is {step:?}"));
        }
    }
    Ok(())
}

/// It fails, says why, and not before its run was tried often enough.
fn failed(plan: &Planned, begun: &[&&Effect]) -> Result<(), String> {
    let info = &plan.info;
    if info.state != PlanState::Failed || !info.what.contains("exit code 1") || plan.made.is_some()
    {
        return Err(format!("it must fail, and is {info:?}"));
    }
    let of = |state| info.steps.iter().filter(|step| step.state == state).count();
    let (failed, open) = (of(StepState::Failed), of(StepState::Running));
    if (failed, open) != (1, 0)
        || info.steps.last().map(|last| last.state) != Some(StepState::Waiting)
    {
        return Err(format!("one step fails, and none after it is begun: {:?}", info.steps));
    }
    let tries = |run: &Effect| begun.iter().filter(|one| one.input == run.input).count();
    match begun.iter().map(|run| tries(run)).max() {
        Some(most) if most >= TRIES => Ok(()),
        tried => Err(format!("it failed after {tried:?} tries")),
    }
}
