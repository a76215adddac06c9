//! Principals, tokens and grants.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::{
    Decision, Grant, GrantId, Principal, PrincipalName, Resource, Scopes, TokenId, TokenSpec,
};

use super::maintenance::told;
use super::route;
use crate::api::{
    CreatePrincipal, CreateToken, CreatedToken, Explain, Explained, GrantBody, Grants, JudgedGrant,
    NamedGrant, PrincipalBody, Principals, ScopesBody, Tokens, WhoAmIBody,
};
use crate::call::{Call, changed, json, no_content};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Permission, Route};

pub(super) fn routes() -> Vec<Route> {
    who_routes().into_iter().chain(what_routes()).collect()
}

fn manage(route: Route, doc: Doc) -> Route {
    route.permission(route::ACCESS).doc(Doc { group: "access", ..doc })
}

/// Principals, tokens, and who the caller is.
fn who_routes() -> Vec<Route> {
    let doc = Doc { group: "access", ..Doc::default() };
    let principals = "/api/v1/access/principals";
    let tokens = "/api/v1/access/tokens";
    vec![
        manage(
            route!(GET principals, list_principals),
            Doc { summary: "All principals.", answers: BodyDoc::Json(shape::<Principals>), ..doc },
        ),
        manage(
            route!(POST principals, create_principal),
            Doc {
                summary: "Makes a principal, without a token or a grant.",
                takes: BodyDoc::Json(shape::<CreatePrincipal>),
                answers: BodyDoc::Json(shape::<PrincipalBody>),
                status: 201,
                ..doc
            },
        ),
        manage(
            route!(DELETE "/api/v1/access/principals/{id}", remove_principal),
            Doc { summary: "Removes a principal with its tokens and grants.", status: 204, ..doc },
        ),
        manage(
            route!(GET tokens, list_tokens),
            Doc {
                summary: "All tokens, without what they are.",
                answers: BodyDoc::Json(shape::<Tokens>),
                ..doc
            },
        ),
        manage(
            route!(POST tokens, create_token),
            Doc {
                summary: "Makes a token, which is shown this once.",
                takes: BodyDoc::Json(shape::<CreateToken>),
                answers: BodyDoc::Json(shape::<CreatedToken>),
                status: 201,
                ..doc
            },
        ),
        manage(
            route!(DELETE "/api/v1/access/tokens/{id}", revoke_token),
            Doc { summary: "Revokes a token.", status: 204, ..doc },
        ),
        route!(GET "/api/v1/access/whoami", whoami).permission(Permission::SignedIn).doc(Doc {
            summary: "What the caller may know of itself.",
            answers: BodyDoc::Json(shape::<WhoAmIBody>),
            ..doc
        }),
    ]
}

/// Grants, and what they come to.
fn what_routes() -> Vec<Route> {
    let doc = Doc::default();
    let grants = "/api/v1/access/grants";
    vec![
        manage(
            route!(GET grants, list_grants),
            Doc { summary: "All grants.", answers: BodyDoc::Json(shape::<Grants>), ..doc },
        ),
        manage(
            route!(POST grants, add_grant),
            Doc {
                summary: "Adds a grant. One that is there already stays.",
                takes: BodyDoc::Json(shape::<GrantBody>),
                answers: BodyDoc::Json(shape::<NamedGrant>),
                status: 201,
                ..doc
            },
        ),
        manage(
            route!(DELETE "/api/v1/access/grants/{id}", remove_grant),
            Doc { summary: "Removes a grant.", status: 204, ..doc },
        ),
        manage(
            route!(POST "/api/v1/access/explain", explain).changes_nothing(),
            Doc {
                summary: "What would be decided, and why.",
                takes: BodyDoc::Json(shape::<Explain>),
                answers: BodyDoc::Json(shape::<Explained>),
                ..doc
            },
        ),
    ]
}

async fn list_principals(call: Call) -> Result<Response, Error> {
    let snapshot = call.snapshot()?;
    let body = |principal: &Principal| PrincipalBody {
        name: principal.name.to_string(),
        created_ms: principal.created_ms,
        groups: principal.groups.iter().map(ToString::to_string).collect(),
        has_password: snapshot.has_password(principal),
    };
    json(StatusCode::OK, &Principals { principals: snapshot.principals().map(body).collect() })
}

async fn create_principal(mut call: Call) -> Result<Response, Error> {
    let asked: CreatePrincipal = call.json().await?;
    let (access, name) = (call.door.access().clone(), asked.name.parse()?);
    let work = async move { access.create_principal(&name).await };
    let made = call.to_its_end(work).await??;
    let (name, created_ms) = (made.name.to_string(), made.created_ms);
    let what = format!("made principal {name}");
    let body = PrincipalBody { name, created_ms, groups: Vec::new(), has_password: false };
    Ok(changed(json(StatusCode::CREATED, &body)?, what))
}

async fn remove_principal(call: Call) -> Result<Response, Error> {
    let (access, name) = (call.door.access().clone(), call.args.id()?.parse()?);
    let what = format!("removed principal {name} with its tokens and grants");
    call.to_its_end(async move { access.remove_principal(&name).await }).await??;
    Ok(changed(no_content(), what))
}

async fn list_tokens(call: Call) -> Result<Response, Error> {
    let all: Vec<_> = call.snapshot()?.tokens().cloned().collect();
    json(StatusCode::OK, &Tokens { tokens: told(&all)? })
}

async fn create_token(mut call: Call) -> Result<Response, Error> {
    let asked: CreateToken = call.json().await?;
    let scopes = asked.scopes.unwrap_or(ScopesBody::All);
    let scopes: Scopes = serde_json::to_value(&scopes)
        .and_then(serde_json::from_value)
        .map_err(|error| Error::invalid(format!("the scopes are refused: {error}")))?;
    let principal: PrincipalName = asked.principal.parse()?;
    let expires_in = asked.expires_in_seconds.map(Duration::from_secs);
    let spec = TokenSpec { scopes, expires_in, ..TokenSpec::api(principal, asked.label.parse()?) };
    let access = call.door.access().clone();
    let made = call.to_its_end(async move { access.create_token(spec).await }).await??;
    let made = CreatedToken { info: told(&made.info)?, token: made.token.expose().to_owned() };
    let until = match made.info.expires_ms {
        Some(at) => format!(", until {at} ms after 1970"),
        None => String::new(),
    };
    let what = format!("made token {} of {}{until}", made.info.id, made.info.principal);
    Ok(changed(json(StatusCode::CREATED, &made)?, what))
}

async fn revoke_token(call: Call) -> Result<Response, Error> {
    let (access, id): (_, TokenId) = (call.door.access().clone(), call.args.id()?.parse()?);
    let what = format!("revoked token {id}");
    call.to_its_end(async move { access.revoke_token(&id).await }).await??;
    Ok(changed(no_content(), what))
}

async fn list_grants(call: Call) -> Result<Response, Error> {
    let named = |grant: &Grant| {
        Ok::<_, Error>(NamedGrant { id: grant.id().to_string(), grant: told(grant)? })
    };
    let grants = call.snapshot()?.grants().map(named).collect::<Result<Vec<_>, Error>>()?;
    json(StatusCode::OK, &Grants { grants })
}

async fn add_grant(mut call: Call) -> Result<Response, Error> {
    let asked: GrantBody = call.json().await?;
    let grant = Grant {
        subject: asked.subject.parse()?,
        role: asked.role.parse()?,
        pattern: asked.pattern.parse()?,
    };
    let (access, adding) = (call.door.access().clone(), grant.clone());
    let id = call.to_its_end(async move { access.add_grant(&adding).await }).await??;
    let named = NamedGrant { id: id.to_string(), grant: told(&grant)? };
    Ok(changed(json(StatusCode::CREATED, &named)?, format!("granted {id}: {grant}")))
}

async fn remove_grant(call: Call) -> Result<Response, Error> {
    let (access, id): (_, GrantId) = (call.door.access().clone(), call.args.id()?.parse()?);
    let grant = call.snapshot()?.grants().find(|grant| grant.id() == id).map(Grant::to_string);
    let what = format!("removed grant {id}: {}", grant.unwrap_or_default());
    call.to_its_end(async move { access.remove_grant(&id).await }).await??;
    Ok(changed(no_content(), what))
}

async fn whoami(call: Call) -> Result<Response, Error> {
    let who = call.visit()?.whoami()?;
    json(StatusCode::OK, &told::<_, WhoAmIBody>(&who)?)
}

/// `@PROJECT/NAME`, `@PROJECT/*` or `@*/*`; without a project it is in `main`.
fn resource(text: &str) -> Result<Resource, Error> {
    let (project, name) = match text.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').ok_or_else(|| {
            Error::invalid(format!("{text:?} is no resource; write @PROJECT/NAME"))
        })?,
        None => ("main", text),
    };
    Ok(match (project, name) {
        ("*", "*") => Resource::Cluster,
        (project, "*") => Resource::Project(project.parse()?),
        (project, name) => Resource::Dataset(project.parse()?, name.parse()?),
    })
}

async fn explain(mut call: Call) -> Result<Response, Error> {
    let asked: Explain = call.json().await?;
    let (subject, action) = (asked.subject.parse()?, asked.action.parse()?);
    let resource = resource(&asked.resource)?;
    let explained = call.snapshot()?.explain(&subject, action, &resource)?;
    let (reason, by) = match &explained.decision {
        Decision::Allowed { by } => (None, Some(by.to_string())),
        Decision::Denied { reason } => (Some(reason.to_string()), None),
    };
    let judged = explained.grants.iter().map(|(grant, verdict)| {
        Ok::<_, Error>(JudgedGrant { grant: told(grant)?, verdict: told(verdict)? })
    });
    let grants = judged.collect::<Result<Vec<_>, Error>>()?;
    let allowed = explained.decision.is_allowed();
    json(
        StatusCode::OK,
        &Explained { allowed, reason, by, needs: explained.needs.to_string(), grants },
    )
}
