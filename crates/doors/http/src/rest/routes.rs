//! Routes: which function answers which requests.

use axum::http::StatusCode;
use axum::response::Response;
use cairn_functions::Pattern;

use super::functions::named;
use super::route;
use crate::api::{AddRoute, RoutePage, schema};
use crate::call::{Call, changed, json, no_content};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const REPLACE: &[Query] = &[Query::new(
    "replace",
    "Change the one for the same requests to the same, at once, where there is one.",
    Holds::Flag,
)];
const PATTERN: &[Query] = &[Query::new("pattern", "Its pattern.", Holds::Text)];

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "functions", ..Doc::default() };
    let routes = "/api/v1/functions/{project}/{name}/routes";
    vec![
        route!(GET "/api/v1/routes/{project}", list).permission(route::LIST).doc(Doc {
            summary: "The routes of a project to functions that the caller may read, by pattern.",
            answers: BodyDoc::Json(shape::<RoutePage>),
            ..doc
        }),
        route!(POST routes, add).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Leads requests to a function, or to files of the dataset with this name: those that \
                      fit a pattern, such as `GET example.org/hello/{who}`, and no more particular one.",
            query: REPLACE,
            takes: BodyDoc::Json(shape::<AddRoute>),
            answers: BodyDoc::Json(shape::<schema::FunctionRoute>),
            status: 201,
            ..doc
        }),
        route!(DELETE routes, remove).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Removes a route of a function.",
            query: PATTERN,
            status: 204,
            ..doc
        }),
    ]
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let visit = call.visit()?;
    let mut routes = call.door.functions()?.routes(&project).await?;
    routes.retain(|route| {
        route.function.parse().is_ok_and(|function| visit.may_read(&project, &function))
    });
    json(StatusCode::OK, &RoutePage { routes })
}

async fn add(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let replace = call.flag("replace")?;
    let AddRoute { pattern, auth, files } = call.json().await?;
    let (pattern, by): (Pattern, _) = (pattern.parse()?, call.by()?);
    let route = (&pattern, files.as_ref());
    let auth = auth.unwrap_or_default();
    let made = match replace {
        true => functions.set_route(&function, route, auth, &by).await?,
        false => functions.add_route(&function, route, auth, &by).await?,
    };
    let what = format!("led {} to it", made.pattern);
    Ok(changed(json(StatusCode::CREATED, &made)?, what))
}

async fn remove(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let pattern = call.query("pattern")?.ok_or_else(|| Error::invalid("give ?pattern="))?;
    let pattern: Pattern = pattern.parse()?;
    let removed = functions.remove_route(&function, &pattern).await?;
    Ok(changed(no_content(), format!("leads {} to it no more", removed.pattern)))
}
