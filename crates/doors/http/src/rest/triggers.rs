//! Triggers: functions that are told of changes of keys.

use axum::http::StatusCode;
use axum::response::Response;
use cairn_base::DatasetName;

use super::functions::named;
use super::route;
use crate::api::{AddTrigger, TriggerPage, schema};
use crate::call::{Call, changed, json, no_content};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const TRIGGER: &[Query] =
    &[Query::new("trigger", "Its name; `default` when not given.", Holds::Text)];
const REPLACE: &[Query] = &[Query::new(
    "replace",
    "Change the one of this name where there is one: it goes on where it is in the same namespace.",
    Holds::Flag,
)];
const DEFAULT: &str = "default";

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "functions", ..Doc::default() };
    let triggers = "/api/v1/functions/{project}/{name}/triggers";
    vec![
        route!(GET "/api/v1/triggers/{project}", list).permission(route::LIST).doc(Doc {
            summary: "The triggers of a project's functions that the caller may read, and how far they are.",
            answers: BodyDoc::Json(shape::<TriggerPage>),
            ..doc
        }),
        route!(POST triggers, add).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Tells a function what changes in a namespace from now on, in the order of commits, at least once; \
                      the function itself needs to be a reader of the namespace.",
            query: REPLACE,
            takes: BodyDoc::Json(shape::<AddTrigger>),
            answers: BodyDoc::Json(shape::<schema::Trigger>),
            status: 201,
            ..doc
        }),
        route!(DELETE triggers, remove).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Removes a trigger of a function.",
            query: TRIGGER,
            status: 204,
            ..doc
        }),
    ]
}

fn parsed(name: Option<&str>) -> Result<DatasetName, Error> {
    let name = name.unwrap_or(DEFAULT);
    name.parse().map_err(|error| Error::invalid(format!("the name of a trigger: {error}")))
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let visit = call.visit()?;
    let mut triggers = call.door.functions()?.triggers(&project).await?;
    triggers.retain(|trigger| {
        trigger.function.parse().is_ok_and(|function| visit.may_read(&project, &function))
    });
    json(StatusCode::OK, &TriggerPage { triggers })
}

async fn add(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let asked: AddTrigger = call.json().await?;
    let key = (function, parsed(asked.name.as_deref())?);
    let (spec, by) = (asked.into(), call.by()?);
    let made = match call.flag("replace")? {
        true => functions.set_trigger(&key, &spec, &by).await?,
        false => functions.add_trigger(&key, &spec, &by).await?,
    };
    let what = format!("made its trigger {} of {}", made.name, made.spec.namespace);
    Ok(changed(json(StatusCode::CREATED, &made)?, what))
}

async fn remove(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let name = call.query("trigger")?;
    let key = (function, parsed(name.as_deref())?);
    functions.remove_trigger(&key).await?;
    Ok(changed(no_content(), format!("removed its trigger {}", key.1)))
}
