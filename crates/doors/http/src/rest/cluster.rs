//! The cluster's authority, and nodes that join.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use cairn_access::Action;
use cairn_audit::Outcome;

use super::maintenance::told;
use super::route;
use crate::api::{ClusterNode, ClusterNodes, Join, JoinToken, JoinedNode, MakeJoinToken};
use crate::call::{Call, json, respond};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Permission, Route};

const PEM: &str = "application/x-pem-file";

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "cluster", ..Doc::default() };
    vec![
        route!(GET "/api/v1/cluster/authority", authority).permission(Permission::Login).doc(Doc {
            summary: "The certificate of the cluster's authority, by which its nodes are known. It is \
                      no secret; compare its SHA-256 with what `cairn up` prints.",
            answers: BodyDoc::Other(PEM, "The certificate."),
            ..doc
        }),
        route!(POST "/api/v1/cluster/join-tokens", make_token).permission(route::ACCESS).doc(Doc {
            summary: "Makes a token by which one node can join, once.",
            takes: BodyDoc::Json(shape::<MakeJoinToken>),
            answers: BodyDoc::Json(shape::<JoinToken>),
            status: 201,
            ..doc
        }),
        route!(POST "/api/v1/cluster/join", join).permission(Permission::Login).doc(Doc {
            summary: "Signs a certificate for the key of a node that shows a join token.",
            takes: BodyDoc::Json(shape::<Join>),
            answers: BodyDoc::Json(shape::<JoinedNode>),
            status: 201,
            ..doc
        }),
        route!(GET "/api/v1/cluster/nodes", nodes).permission(route::ACCESS).doc(Doc {
            summary: "The nodes that joined.",
            answers: BodyDoc::Json(shape::<ClusterNodes>),
            ..doc
        }),
    ]
}

async fn authority(call: Call) -> Result<Response, Error> {
    let pem = call.door.authority()?.certificate_pem().to_owned();
    let mut response = respond(StatusCode::OK, PEM, pem);
    let cache = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    Ok(response)
}

async fn make_token(mut call: Call) -> Result<Response, Error> {
    let asked: MakeJoinToken = call.json().await?;
    let authority = call.door.authority()?.clone();
    let life = Duration::from_secs(asked.expires_in_seconds);
    let work = async move { authority.make_join_token(life).await };
    let (token, expires_ms) = call.to_its_end(work).await??;
    json(StatusCode::CREATED, &JoinToken { token: token.expose().to_owned(), expires_ms })
}

async fn join(mut call: Call) -> Result<Response, Error> {
    let asked: Join = call.json().await?;
    let authority = call.door.authority()?.clone();
    let access = call.door.access().clone();
    let work = async move {
        let record =
            |outcome, what: &str| access.record("rest", Action::ManageAccess, outcome, what);
        record(Outcome::Allowed, "a node that shows a join token asks to join")?;
        access.audit().commit().await.map_err(cairn_access::Error::Audit)?;
        let joined = authority.join(&asked.token, &asked.name, &asked.request).await;
        match &joined {
            Ok(_) => record(Outcome::Changed, &format!("node {} joined", asked.name))?,
            Err(error) => record(Outcome::Failed, &error.to_string())?,
        }
        access.audit().commit().await.map_err(cairn_access::Error::Unrecorded)?;
        Ok::<_, Error>(joined?)
    };
    let joined = call.to_its_end(work).await??;
    let node = told::<_, ClusterNode>(&joined.node)?;
    json(StatusCode::CREATED, &JoinedNode { node, chain: joined.chain })
}

async fn nodes(call: Call) -> Result<Response, Error> {
    let nodes = call.door.authority()?.nodes().await?;
    json(StatusCode::OK, &ClusterNodes { nodes: told(&nodes)? })
}
