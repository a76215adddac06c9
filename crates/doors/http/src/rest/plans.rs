//! Plans: steps that programs do on data.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use cairn_access::{Action, Resource};
use cairn_functions::{Error as Failure, Function, Functions, PlanInfo, PlanSpec};

use super::calls::{caller, made_up};
use super::functions::{BYTES, WAIT, named, wait};
use super::route;
use crate::api::{PlanPage, schema};
use crate::call::{Call, changed, json, respond};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const TOML: &str = "application/toml";
const FRESH: &[Query] =
    &[Query::new("fresh", "Do all of it, also what was done before.", Holds::Flag)];
const OUTPUT: &[Query] = &[
    Query::new("step", "The step; the last one when not given.", Holds::Text),
    Query::new("run", "Which of its runs; its only one when not given.", Holds::Number(0, 1 << 20)),
];

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "functions", ..Doc::default() };
    let plans = "/api/v1/plans/{project}/{name}";
    let plan = "/api/v1/plans/{project}/{name}/{id}";
    let output = "/api/v1/plans/{project}/{name}/{id}/output";
    vec![
        route!(GET "/api/v1/plans/{project}", list).permission(route::LIST).doc(Doc {
            summary: "The plans of a project that wait, run or ended in the last week, of names that the caller \
                      may read, the newest first.",
            answers: BodyDoc::Json(shape::<PlanPage>),
            ..doc
        }),
        route!(POST plans, add).permission(route::INVOKE_FUNCTION).doc(Doc {
            summary: "Has a plan done, whose programs the caller may invoke and whose files it may read. It is JSON, \
                      or with `content-type: application/toml` TOML. Runs that were done before, by this plan or \
                      another, are not done again.",
            takes: BodyDoc::Json(shape::<schema::PlanSpec>),
            query: FRESH,
            answers: BodyDoc::Json(shape::<schema::Plan>),
            status: 202,
            ..doc
        }),
        route!(GET plan, one).lasting().permission(route::READ_FUNCTION).doc(Doc {
            summary: "How far a plan is, once it has ended or `?wait=` is over.",
            query: &[WAIT],
            answers: BodyDoc::Json(shape::<schema::Plan>),
            ..doc
        }),
        route!(DELETE plan, cancel).permission(route::INVOKE_FUNCTION).doc(Doc {
            summary: "Ends a plan where it is. What its runs made is kept for the next one.",
            answers: BodyDoc::Json(shape::<schema::Plan>),
            ..doc
        }),
        route!(GET output, output_of).permission(route::INVOKE_FUNCTION).doc(Doc {
            summary: "What a run of a step of a plan of the caller's has made.",
            query: OUTPUT,
            answers: BodyDoc::Other(BYTES, "its output"),
            ..doc
        }),
    ]
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let visit = call.visit()?;
    let mut plans = call.door.functions()?.plans(&project).await?;
    plans.retain(|plan| plan.name.parse().is_ok_and(|name| visit.may_read(&project, &name)));
    json(StatusCode::OK, &PlanPage { plans })
}

async fn add(mut call: Call) -> Result<Response, Error> {
    let (functions, of) = named(&call)?;
    let by = caller(&call)?;
    let fresh = call.flag("fresh")?;
    let spec = spec(&mut call).await?;
    spec.order()?;
    for step in spec.steps.values() {
        let function = Function { project: of.project.clone(), name: step.function.parse()? };
        call.visit()?.authorize(Action::InvokeFunction, &function.resource())?;
        let reached = functions.reach(&function).await?;
        reached.past_filters(call.visit()?)?;
        if let Some((dataset, _)) = step.source(&of.project)? {
            let resource = Resource::Dataset(dataset.project, dataset.name);
            call.visit()?.authorize(Action::ReadDataset, &resource)?;
        }
        if let Some((namespace, _)) = step.keys_of(&of.project)? {
            let resource = Resource::Dataset(namespace.project, namespace.name);
            call.visit()?.authorize(Action::ReadKeys, &resource)?;
        }
    }
    let made = functions.add_plan(&(of, made_up(&call)), &spec, fresh, &by).await?;
    Ok(changed(json(StatusCode::ACCEPTED, &made)?, format!("plan {}", made.id)))
}

/// What is to be done, as it was sent.
async fn spec(call: &mut Call) -> Result<PlanSpec, Error> {
    let media_type = call.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_toml = media_type.is_some_and(|sent| sent.starts_with(TOML.as_bytes()));
    if !is_toml {
        return call.json().await;
    }
    let body = call.bytes().await?;
    let text = std::str::from_utf8(&body)
        .map_err(|error| Error::invalid(format!("the TOML body is refused: {error}")))?;
    Ok(PlanSpec::from_toml(text)?)
}

/// The engine, and the plan that is asked for.
fn asked_for(call: &Call) -> Result<(Functions, (Function, String)), Error> {
    let (functions, of) = named(call)?;
    Ok((functions, (of, call.args.id()?.to_owned())))
}

async fn one(call: Call) -> Result<Response, Error> {
    let (functions, key) = asked_for(&call)?;
    let info = functions.plan(&key, wait(&call)?).await?;
    // It may have been waited for long (ACCESS-5).
    call.visit()?.again().await?.authorize(Action::ReadFunction, &key.0.resource())?;
    json(StatusCode::OK, &info)
}

async fn cancel(call: Call) -> Result<Response, Error> {
    let (functions, key) = asked_for(&call)?;
    let info = functions.cancel_plan(&key).await?;
    Ok(changed(json(StatusCode::OK, &info)?, format!("plan {}: {}", info.id, info.state.as_str())))
}

async fn output_of(call: Call) -> Result<Response, Error> {
    let (functions, key) = asked_for(&call)?;
    let by = caller(&call)?;
    let info: PlanInfo = functions.plan(&key, Duration::ZERO).await?;
    // What it made of data that its maker may read is not everybody's.
    if info.by != by {
        let (plan, id) = key;
        return Err(Failure::NoPlan { plan, id }.into());
    }
    let run = super::kv::number(&call, "run")?.map(usize::try_from).transpose();
    let run = run.map_err(|_| Error::invalid("?run= is too large"))?;
    let step = call.query("step")?;
    let _room = super::kv::room(&call, crate::limits::FUNCTION_INPUT_BYTES_MAX).await?;
    let output = functions.plan_output(&key, step.as_deref(), run).await?;
    let mut response = respond(StatusCode::OK, BYTES, output);
    crate::fs::sandbox(response.headers_mut());
    Ok(response)
}
