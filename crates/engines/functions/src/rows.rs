//! How functions are kept: rows of a namespace of keys in each project, which only this engine reaches.
//!
//! | key | value |
//! |---|---|
//! | `function/NAME` | [`FunctionRow`], JSON |
//! | `release/NAME/NUMBER` | [`crate::Release`], JSON; the number in ten digits |
//! | `compiling/NAME/NUMBER` | nothing: a release whose state is not decided |
//! | `uses/DIGEST/NAME/NUMBER` | nothing: a release with this component |
//! | `code/DIGEST` | a component |
//! | `schedule/NAME/SCHEDULE` | [`ScheduleRow`], JSON |
//! | `tick/NAME/SCHEDULE` | [`TickRow`], JSON: how far a schedule was done |
//! | `ran/NAME/SCHEDULE/TICK` | [`crate::Run`], JSON; the tick in ms since 1970, in fifteen digits |
//! | `trigger/NAME/TRIGGER` | [`TriggerRow`], JSON |
//! | `told/NAME/TRIGGER` | [`ToldRow`], JSON: how far a trigger is |
//! | `filter/NAME/PRIORITY/FILTER` | [`FilterRow`], JSON; the priority in five digits |
//! | `call/NAME/ID` | [`CallRow`], JSON: a call that is to be done |
//! | `called/NAME/ID` | [`CallRow`], JSON: one that is done, for a day |
//! | `input/NAME/ID/HASH` | what a call is given |
//! | `output/NAME/ID` | what came of a call |
//! | `plan/NAME/ID` | [`PlanRow`], JSON: a plan that is to be done |
//! | `planned/NAME/ID` | [`PlanRow`], JSON: one that has ended, for a week |
//! | `step/NAME/ID/STEP` | the runs of a step that is done, JSON |
//! | `made/RUN` | [`MadeRow`], JSON: a run that is done, for a week |
//! | `made-output/RUN` | what it made |
//! | `route/SHAPE` | [`RouteRow`], JSON; the shape is its pattern without names |

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_datasets::Version;
use cairn_kv::Namespace;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::calls::{Asked, CallState};
use crate::model::{Auth, RouteFiles};
use crate::plans::{PlanInfo, PlanSpec};
use crate::routes::Pattern;
use crate::schedules::Plan;
use crate::triggers::TriggerSpec;

/// The name of the namespace.
pub(crate) const NAME: &str = "cairn.functions";

/// A function: which of its releases answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionRow {
    pub(crate) current: Option<u32>,
    pub(crate) newest: u32,
    pub(crate) made_ms: u64,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteRow {
    pub(crate) pattern: String,
    pub(crate) function: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<RouteFiles>,
    pub(crate) auth: Auth,
    pub(crate) made_ms: u64,
    pub(crate) by: String,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduleRow {
    #[serde(flatten)]
    pub(crate) plan: Plan,
    pub(crate) made_ms: u64,
    pub(crate) by: String,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TriggerRow {
    #[serde(flatten)]
    pub(crate) spec: TriggerSpec,
    pub(crate) made_ms: u64,
    pub(crate) by: String,
}

/// How far a trigger is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldRow {
    /// All up to this commit is told.
    pub(crate) seq: u64,
    /// How often in a row what comes next could not be told, why not, and when it is tried again.
    pub(crate) failures: u32,
    pub(crate) error: Option<String>,
    pub(crate) again_ms: u64,
}

/// A function that requests pass before another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilterRow {
    pub(crate) made_ms: u64,
    pub(crate) by: String,
}

/// A call that is done later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallRow {
    pub(crate) asked: Asked,
    /// The hash of its input, in hexadecimal.
    pub(crate) input: String,
    pub(crate) made_ms: u64,
    pub(crate) by: String,
    pub(crate) state: CallState,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanRow {
    pub(crate) info: PlanInfo,
    pub(crate) spec: PlanSpec,
    /// The versions that its steps read files of, by step.
    pub(crate) versions: BTreeMap<String, Version>,
    /// Nothing that others made is taken for its own.
    pub(crate) fresh: bool,
}

/// A run that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MadeRow {
    pub(crate) bytes: u64,
}

/// How far a schedule was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TickRow {
    /// All ticks up to this one were run or left out.
    pub(crate) last_ms: u64,
    /// What was begun and did not end yet.
    pub(crate) begun: Option<Begun>,
}

/// A run that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) tick_ms: u64,
    pub(crate) attempt: u32,
    pub(crate) at_ms: u64,
}

pub(crate) fn namespace(project: &ProjectName) -> Namespace {
    let name = NAME.parse().expect("it is a name of a dataset");
    Namespace { project: project.clone(), name }
}

pub(crate) const FUNCTIONS: &str = "function/";
pub(crate) const ROUTES: &str = "route/";
pub(crate) const COMPILING: &str = "compiling/";
pub(crate) const SCHEDULES: &str = "schedule/";
pub(crate) const CALLS: &str = "call/";
pub(crate) const PLANS: &str = "plan/";
pub(crate) const PLANNED: &str = "planned/";
pub(crate) const TRIGGERS: &str = "trigger/";
pub(crate) const FILTERS: &str = "filter/";

pub(crate) fn function(name: &DatasetName) -> String {
    format!("{FUNCTIONS}{name}")
}

pub(crate) fn releases(name: &DatasetName) -> String {
    format!("release/{name}/")
}

pub(crate) fn release(name: &DatasetName, number: u32) -> String {
    format!("release/{name}/{number:010}")
}

pub(crate) fn compiling(name: &DatasetName, number: u32) -> String {
    format!("{COMPILING}{name}/{number:010}")
}

pub(crate) fn code(digest: &str) -> String {
    format!("code/{digest}")
}

pub(crate) fn uses(digest: &str) -> String {
    format!("uses/{digest}/")
}

pub(crate) fn used(digest: &str, name: &DatasetName, number: u32) -> String {
    format!("uses/{digest}/{name}/{number:010}")
}

pub(crate) fn route(pattern: &Pattern) -> String {
    format!("{ROUTES}{}", pattern.shape())
}

pub(crate) fn schedule(of: &DatasetName, name: &DatasetName) -> String {
    format!("{SCHEDULES}{of}/{name}")
}

pub(crate) fn tick(of: &DatasetName, name: &DatasetName) -> String {
    format!("tick/{of}/{name}")
}

pub(crate) fn runs(of: &DatasetName, name: &DatasetName) -> String {
    format!("ran/{of}/{name}/")
}

pub(crate) fn ran(of: &DatasetName, name: &DatasetName, tick_ms: u64) -> String {
    format!("ran/{of}/{name}/{tick_ms:015}")
}

pub(crate) fn trigger(of: &DatasetName, name: &DatasetName) -> String {
    format!("{TRIGGERS}{of}/{name}")
}

pub(crate) fn told(of: &DatasetName, name: &DatasetName) -> String {
    format!("told/{of}/{name}")
}

pub(crate) fn filter_prefix(of: &DatasetName) -> String {
    format!("{FILTERS}{of}/")
}

pub(crate) fn filter(of: &DatasetName, priority: u16, filter: &DatasetName) -> String {
    format!("{FILTERS}{of}/{priority:05}/{filter}")
}

/// The function, the priority and the filter at the end of a key.
pub(crate) fn filtered(key: &str) -> Option<(DatasetName, u16, DatasetName)> {
    let mut parts = key.strip_prefix(FILTERS)?.splitn(3, '/');
    let (of, priority, filter) = (parts.next()?, parts.next()?, parts.next()?);
    Some((of.parse().ok()?, priority.parse().ok()?, filter.parse().ok()?))
}

pub(crate) fn call(of: &DatasetName, id: &str) -> String {
    format!("{CALLS}{of}/{id}")
}

pub(crate) fn done(of: &DatasetName, id: &str) -> String {
    format!("called/{of}/{id}")
}

/// An input is kept under its hash too: one of another call with this id takes no one's place.
pub(crate) fn input(of: &DatasetName, id: &str, hash: &str) -> String {
    format!("input/{of}/{id}/{hash}")
}

pub(crate) fn output(of: &DatasetName, id: &str) -> String {
    format!("output/{of}/{id}")
}

pub(crate) fn plan(of: &DatasetName, id: &str) -> String {
    format!("{PLANS}{of}/{id}")
}

pub(crate) fn planned(of: &DatasetName, id: &str) -> String {
    format!("{PLANNED}{of}/{id}")
}

pub(crate) fn step(of: &DatasetName, id: &str, step: &str) -> String {
    format!("step/{of}/{id}/{step}")
}

pub(crate) fn made(run: &str) -> String {
    format!("made/{run}")
}

pub(crate) fn made_output(run: &str) -> String {
    format!("made-output/{run}")
}

/// The function and the id at the end of a call's key.
pub(crate) fn called(key: &str) -> Option<(DatasetName, String)> {
    identified(key, CALLS)
}

/// The name and the id at the end of a plan's key.
pub(crate) fn asked(key: &str) -> Option<(DatasetName, String)> {
    identified(key, PLANS)
}

fn identified(key: &str, prefix: &str) -> Option<(DatasetName, String)> {
    let (of, id) = key.strip_prefix(prefix)?.split_once('/')?;
    Some((of.parse().ok()?, id.to_owned()))
}

/// The two names at the end of a schedule's key.
pub(crate) fn scheduled(key: &str) -> Option<(DatasetName, DatasetName)> {
    two_names(key, SCHEDULES)
}

/// The two names at the end of a trigger's key.
pub(crate) fn triggered(key: &str) -> Option<(DatasetName, DatasetName)> {
    two_names(key, TRIGGERS)
}

fn two_names(key: &str, prefix: &str) -> Option<(DatasetName, DatasetName)> {
    let (of, name) = key.strip_prefix(prefix)?.split_once('/')?;
    Some((of.parse().ok()?, name.parse().ok()?))
}

/// What all rows of a function begin with that its schedules and calls have.
pub(crate) fn called_by_others(of: &DatasetName) -> [String; 10] {
    let all = [
        "schedule", "tick", "ran", "trigger", "told", "call", "called", "input", "output", "filter",
    ];
    all.map(|what| format!("{what}/{of}/"))
}

/// A name that a row has.
pub(crate) fn name(key: &str, text: &str) -> Result<DatasetName, Error> {
    let wrong = |error: cairn_base::name::Error| row_error(key, &error.to_string());
    text.parse().map_err(wrong)
}

/// The name and number at the end of a key.
pub(crate) fn numbered(rest: &str) -> Option<(DatasetName, u32)> {
    let (name, number) = rest.split_once('/')?;
    Some((name.parse().ok()?, number.parse().ok()?))
}

pub(crate) fn encode<T: Serialize>(row: &T) -> Bytes {
    serde_json::to_vec(row).expect("rows are plain data").into()
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| row_error(key, &error.to_string()))
}

fn row_error(key: &str, why: &str) -> Error {
    Error::Row { key: key.to_owned(), why: why.to_owned() }
}
