//! Filters: functions that the requests of others pass first.

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::{Action, Resource};
use cairn_base::DatasetName;

use super::functions::named;
use super::route;
use crate::api::{AddFilter, FilterPage, schema};
use crate::call::{Call, changed, json, no_content};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const FILTER: &[Query] = &[Query::new("filter", "Its name.", Holds::Text)];
/// The priority where none is given.
const PRIORITY: u16 = 100;

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "functions", ..Doc::default() };
    let filters = "/api/v1/functions/{project}/{name}/filters";
    vec![
        route!(GET "/api/v1/filters/{project}", list).permission(route::LIST).doc(Doc {
            summary: "The filters of a project's functions that the caller may read, those of each in their \
                      order.",
            answers: BodyDoc::Json(shape::<FilterPage>),
            ..doc
        }),
        route!(POST filters, add).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Lets the requests that routes lead to a function pass another one first, which the caller \
                      may invoke, or with another priority than before.",
            takes: BodyDoc::Json(shape::<AddFilter>),
            answers: BodyDoc::Json(shape::<schema::Filter>),
            status: 201,
            ..doc
        }),
        route!(DELETE filters, remove).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Removes a filter of a function.",
            query: FILTER,
            status: 204,
            ..doc
        }),
    ]
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let visit = call.visit()?;
    let mut filters = call.door.functions()?.filters(&project).await?;
    filters.retain(|filter| {
        filter.function.parse().is_ok_and(|function| visit.may_read(&project, &function))
    });
    json(StatusCode::OK, &FilterPage { filters })
}

async fn add(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let AddFilter { filter, priority } = call.json().await?;
    let filter: DatasetName = filter.parse()?;
    let resource = Resource::Dataset(function.project.clone(), filter.clone());
    call.visit()?.authorize(Action::InvokeFunction, &resource)?;
    let priority = priority.unwrap_or(PRIORITY);
    let made = functions.add_filter(&function, &filter, priority, &call.by()?).await?;
    let what = format!("its requests pass {filter} first");
    Ok(changed(json(StatusCode::CREATED, &made)?, what))
}

async fn remove(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let filter = call.query("filter")?.ok_or_else(|| Error::invalid("give ?filter="))?;
    functions.remove_filter(&function, &filter.parse()?).await?;
    Ok(changed(no_content(), format!("its requests pass {filter} no more")))
}
