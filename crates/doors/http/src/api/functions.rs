//! Functions and routes to them.

use cairn_functions::{
    Auth, CallInfo, FilterInfo, Info, Line, Missed, Plan, PlanInfo, Release, RouteFiles, RouteInfo,
    Run, ScheduleInfo, TriggerInfo, TriggerSpec,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema;

/// A page of functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionPage {
    /// Those of this page, by name.
    #[schema(value_type = Vec<schema::Function>)]
    pub functions: Vec<Info>,
    /// `?after=` of the next page; none on the last.
    pub next: Option<String>,
}

/// The releases of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleasePage {
    /// The newest first.
    #[schema(value_type = Vec<schema::Release>)]
    pub releases: Vec<Release>,
}

/// Which release is to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseRelease {
    /// Its number.
    #[schema(minimum = 1)]
    pub release: u32,
}

/// The last lines that a function wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// Which start of which node counts the lines: with another one they are counted anew.
    pub start: String,
    /// In their order.
    #[schema(value_type = Vec<schema::LogLine>)]
    pub lines: Vec<Line>,
}

/// A route to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRoute {
    /// Which requests it is for: `[METHOD ][HOST]/PATH`, with `{name}` for a segment of the path and `{*name}` for
    /// all that is left.
    #[schema(max_length = 1024)]
    pub pattern: String,
    /// Whether callers show a credential of the cluster (`cairn`, when not given), or none (`none`): then nobody
    /// in particular must be an invoker of the function.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(cairn|none)$")]
    pub auth: Option<Auth>,
    /// The files that it leads to, of the dataset with this name, which callers may read, in place of a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::RouteFiles>)]
    pub files: Option<RouteFiles>,
}

/// The routes of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutePage {
    /// By pattern.
    #[schema(value_type = Vec<schema::FunctionRoute>)]
    pub routes: Vec<RouteInfo>,
}

/// A schedule to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSchedule {
    /// Its name, one of its function's; `default` when not given.
    #[serde(default)]
    pub name: Option<String>,
    /// Minute, hour, day of the month, month and day of the week, with seconds before them where there are six.
    #[schema(max_length = 256)]
    pub schedule: String,
    /// The time zone, by its name in the IANA database; UTC when not given.
    #[serde(default)]
    pub zone: Option<String>,
    /// What becomes of ticks that were missed by more than a minute: left out (`skip`, when not given), the last is run
    /// (`once`), or all of the last day (`all`).
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(skip|once|all)$")]
    pub missed: Option<Missed>,
    /// What a function that answers requests is asked to POST to; `/` when not given.
    #[serde(default)]
    pub path: Option<String>,
    /// Arguments of a program.
    #[serde(default)]
    pub arguments: Vec<String>,
}

impl From<AddSchedule> for Plan {
    fn from(asked: AddSchedule) -> Self {
        let plain = Self::new(asked.schedule);
        Self {
            zone: asked.zone.unwrap_or(plain.zone),
            missed: asked.missed.unwrap_or(plain.missed),
            path: asked.path.unwrap_or(plain.path),
            arguments: asked.arguments,
            schedule: plain.schedule,
        }
    }
}

/// A trigger to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTrigger {
    /// Its name, one of its function's; `default` when not given.
    #[serde(default)]
    pub name: Option<String>,
    /// The namespace whose changes are told: `NAME` in the function's project, or `@PROJECT/NAME`.
    #[schema(max_length = 256)]
    pub namespace: String,
    /// What its keys begin with; all when not given.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub prefix: Option<String>,
    /// What a function that answers requests is asked to POST to; `/` when not given.
    #[serde(default)]
    pub path: Option<String>,
}

impl From<AddTrigger> for TriggerSpec {
    fn from(AddTrigger { namespace, prefix, path, .. }: AddTrigger) -> Self {
        let path = path.unwrap_or_else(|| "/".to_owned());
        Self { namespace, prefix: prefix.unwrap_or_default(), path }
    }
}

/// The triggers of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggerPage {
    /// By function and name.
    #[schema(value_type = Vec<schema::Trigger>)]
    pub triggers: Vec<TriggerInfo>,
}

/// The schedules of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchedulePage {
    /// By function and name.
    #[schema(value_type = Vec<schema::Schedule>)]
    pub schedules: Vec<ScheduleInfo>,
}

/// What is remembered of the runs of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// The newest first.
    #[schema(value_type = Vec<schema::ScheduleRun>)]
    pub runs: Vec<Run>,
}

/// The plans of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanPage {
    /// The newest first.
    #[schema(value_type = Vec<schema::Plan>)]
    pub plans: Vec<PlanInfo>,
}

/// Calls of a function that are done later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaterCallPage {
    /// The newest first.
    #[schema(value_type = Vec<schema::LaterCall>)]
    pub calls: Vec<CallInfo>,
    /// Whether there are no others.
    pub complete: bool,
}

/// What a function answered to a call without a route, in the header `cairn-answer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its headers: name and value. Bytes of values that are not ASCII are letters of ISO 8859-1.
    pub headers: Vec<(String, String)>,
    /// Headers that were too long or too many to be told.
    pub left_out: usize,
}

/// A filter to make, or to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddFilter {
    /// The function that requests pass first, of the same project.
    pub filter: String,
    /// Lower ones are passed first; 100 when not given.
    #[serde(default)]
    #[schema(maximum = 65535)]
    pub priority: Option<u16>,
}

/// The filters of a project's functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilterPage {
    /// By function, those of each in their order.
    #[schema(value_type = Vec<schema::Filter>)]
    pub filters: Vec<FilterInfo>,
}
