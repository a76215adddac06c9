//! Schedules: when functions are called without anybody asking.

use axum::http::StatusCode;
use axum::response::Response;
use cairn_base::DatasetName;
use cairn_functions::{Function, Functions, Plan};

use super::functions::named;
use super::route;
use crate::api::{AddSchedule, RunPage, SchedulePage, schema};
use crate::call::{Call, changed, json, no_content};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const SCHEDULE: &[Query] =
    &[Query::new("schedule", "Its name; `default` when not given.", Holds::Text)];
const REPLACE: &[Query] = &[Query::new(
    "replace",
    "Change the one of this name where there is one: what is remembered of its runs stays.",
    Holds::Flag,
)];
const DEFAULT: &str = "default";

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "functions", ..Doc::default() };
    let schedules = "/api/v1/functions/{project}/{name}/schedules";
    let runs = "/api/v1/functions/{project}/{name}/runs";
    vec![
        route!(GET "/api/v1/schedules/{project}", list).permission(route::LIST).doc(Doc {
            summary: "The schedules of a project's functions that the caller may read.",
            answers: BodyDoc::Json(shape::<SchedulePage>),
            ..doc
        }),
        route!(POST schedules, add).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Calls a function at times, one run after the other; what a node's end cuts off is begun again.",
            query: REPLACE,
            takes: BodyDoc::Json(shape::<AddSchedule>),
            answers: BodyDoc::Json(shape::<schema::Schedule>),
            status: 201,
            ..doc
        }),
        route!(DELETE schedules, remove).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Removes a schedule of a function with what is remembered of its runs.",
            query: SCHEDULE,
            status: 204,
            ..doc
        }),
        route!(GET runs, history).permission(route::READ_FUNCTION).doc(Doc {
            summary: "The last runs of a schedule, the newest first.",
            query: SCHEDULE,
            answers: BodyDoc::Json(shape::<RunPage>),
            ..doc
        }),
    ]
}

/// The engine, and the schedule that is asked for.
fn scheduled(call: &Call) -> Result<(Functions, (Function, DatasetName)), Error> {
    let (functions, function) = named(call)?;
    let name = call.query("schedule")?;
    Ok((functions, (function, parsed(name.as_deref())?)))
}

fn parsed(name: Option<&str>) -> Result<DatasetName, Error> {
    let name = name.unwrap_or(DEFAULT);
    name.parse().map_err(|error| Error::invalid(format!("the name of a schedule: {error}")))
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let visit = call.visit()?;
    let mut schedules = call.door.functions()?.schedules(&project).await?;
    schedules.retain(|schedule| {
        schedule.function.parse().is_ok_and(|function| visit.may_read(&project, &function))
    });
    json(StatusCode::OK, &SchedulePage { schedules })
}

async fn add(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let asked: AddSchedule = call.json().await?;
    let key = (function, parsed(asked.name.as_deref())?);
    let (plan, by) = (Plan::from(asked), call.by()?);
    let made = match call.flag("replace")? {
        true => functions.set_schedule(&key, &plan, &by).await?,
        false => functions.add_schedule(&key, &plan, &by).await?,
    };
    let what = format!("made its schedule {}: {}", made.name, made.plan.schedule);
    Ok(changed(json(StatusCode::CREATED, &made)?, what))
}

async fn remove(call: Call) -> Result<Response, Error> {
    let (functions, key) = scheduled(&call)?;
    functions.remove_schedule(&key).await?;
    Ok(changed(no_content(), format!("removed its schedule {}", key.1)))
}

async fn history(call: Call) -> Result<Response, Error> {
    let (functions, key) = scheduled(&call)?;
    json(StatusCode::OK, &RunPage { runs: functions.runs(&key).await? })
}
