//! The REST API below `/api/v1`, and what an operator looks at.
//!
//! A dataset is `/projects/{project}/datasets/{name}` in a path, never `@project/name`: every name
//! is one segment that needs no escaping, the project cannot be forgotten or given twice as a query
//! could be, and the permission of a request is read from the very path that the router matched.

mod access;
mod audit;
mod calls;
mod chunks;
mod cluster;
mod datasets;
mod doctor;
mod edits;
mod filters;
pub(crate) mod follow;
mod functions;
mod hooks;
mod invoke;
mod kv;
mod kv_bulk;
mod kv_value;
mod kv_watch;
mod maintenance;
mod node;
mod people;
mod plans;
mod progress;
mod proofs;
mod routes;
mod schedules;
mod triggers;
mod uploads;
mod versions;

pub(crate) use calls::IDEMPOTENCY_KEY;
pub(crate) use doctor::disk_space;
pub(crate) use functions::{EXIT, SETTINGS};
pub(crate) use invoke::{ANSWER, SET};
pub(crate) use proofs::BLAKE3;

use crate::route::Route;

/// All routes of the REST API.
pub(crate) fn routes() -> Vec<Route> {
    [
        node::routes(),
        datasets::routes(),
        follow::routes(),
        hooks::routes(),
        versions::routes(),
        proofs::routes(),
        chunks::routes(),
        uploads::routes(),
        edits::routes(),
        maintenance::routes(),
        doctor::routes(),
        access::routes(),
        people::routes(),
        cluster::routes(),
        audit::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The routes to namespaces of keys, of a node that has them.
pub(crate) fn kv_routes() -> Vec<Route> {
    [kv::routes(), kv_value::routes(), kv_bulk::routes(), kv_watch::routes()]
        .into_iter()
        .flatten()
        .collect()
}

/// The routes to functions, of a node that runs them.
pub(crate) fn function_routes() -> Vec<Route> {
    let all = [
        functions::routes(),
        calls::routes(),
        filters::routes(),
        plans::routes(),
        routes::routes(),
        schedules::routes(),
        triggers::routes(),
    ];
    all.into_iter().flatten().collect()
}

/// A route to an async function.
macro_rules! route {
    ($method:ident $pattern:expr, $handler:path) => {
        $crate::route::Route::new(axum::http::Method::$method, $pattern, |call| {
            Box::pin($handler(call))
        })
    };
}
pub(crate) use route;
