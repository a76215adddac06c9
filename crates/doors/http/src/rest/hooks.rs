//! Webhooks of a dataset.

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::Action;
use cairn_functions::inside;

use super::route;
use crate::api::{CreateHook, CreatedHook, Hooks};
use crate::call::{Call, json, no_content};
use crate::courier::secret_text;
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Route};

const ALL_TAGS: &str = "*";

/// They are settings of a dataset: who may set how long it is kept may say who is told of it.
pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "hooks", ..Doc::default() };
    let hooks = "/api/v1/projects/{project}/datasets/{name}/hooks";
    let hook = "/api/v1/projects/{project}/datasets/{name}/hooks/{id}";
    let test = "/api/v1/projects/{project}/datasets/{name}/hooks/{id}/test";
    vec![
        route!(GET hooks, list).permission(route::RETAIN).doc(Doc {
            summary: "The webhooks of a dataset, and how their deliveries go.",
            answers: BodyDoc::Json(shape::<Hooks>),
            ..doc
        }),
        route!(POST hooks, create).permission(route::RETAIN).doc(Doc {
            summary: "Makes a webhook, which is told moves of tags from now on. Its secret is shown \
                      this once.",
            takes: BodyDoc::Json(shape::<CreateHook>),
            answers: BodyDoc::Json(shape::<CreatedHook>),
            status: 201,
            ..doc
        }),
        route!(DELETE hook, remove).permission(route::RETAIN).doc(Doc {
            summary: "Removes a webhook.",
            status: 204,
            ..doc
        }),
        route!(POST test, try_out).changes_nothing().permission(route::RETAIN).doc(Doc {
            summary: "Sends a webhook an event of the type `test`, once and now. 502 says what its \
                      receiver did.",
            status: 204,
            ..doc
        }),
    ]
}

async fn list(call: Call) -> Result<Response, Error> {
    let hooks = call.door.datasets().hooks(&call.args.dataset()?).await?;
    json(StatusCode::OK, &Hooks { hooks })
}

async fn create(mut call: Call) -> Result<Response, Error> {
    let CreateHook { url, tags } = call.json().await?;
    let (dataset, by) = (call.args.dataset()?, call.by()?);
    // Who has a function told may invoke it.
    if let Some(function) = url.parse().ok().and_then(|uri| inside(&uri, &dataset.project)) {
        let function = function.map_err(Error::invalid)?;
        call.visit()?.authorize(Action::InvokeFunction, &function.resource())?;
        let functions = call.door.functions()?.clone();
        let reached = functions.reach(&function).await?;
        reached.past_filters(call.visit()?)?;
    }
    let datasets = call.door.datasets().clone();
    let tags = tags.unwrap_or_else(|| ALL_TAGS.to_owned());
    let work = async move { datasets.add_hook(&dataset, &url, &tags, &by).await };
    let (hook, secret) = call.to_its_end(work).await??;
    json(StatusCode::CREATED, &CreatedHook { hook, secret: secret_text(&secret) })
}

async fn remove(call: Call) -> Result<Response, Error> {
    call.door.datasets().remove_hook(&call.args.dataset()?, call.args.id()?).await?;
    Ok(no_content())
}

async fn try_out(call: Call) -> Result<Response, Error> {
    let (dataset, courier) = (call.args.dataset()?, call.door.courier());
    call.door.datasets().test_hook(&dataset, call.args.id()?, courier.as_ref()).await?;
    Ok(no_content())
}
