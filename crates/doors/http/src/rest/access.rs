//! Principals, tokens and grants.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::{
    Action, Decision, Grant, GrantId, Owner, Pattern, Principal, Resource, Scopes, TokenId,
    TokenSpec,
};

use super::maintenance::told;
use super::route;
use crate::api::{
    CreatePrincipal, CreateToken, CreatedToken, Explain, Explained, GrantBody, Grants, JudgedGrant,
    NamedGrant, PrincipalBody, Principals, ScopesBody, Tokens, WhoAmIBody,
};
use crate::args::Args;
use crate::call::{Call, changed, json, no_content, parse_json};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Permission, Route, Rule, Scope};

pub(super) fn routes() -> Vec<Route> {
    who_routes().into_iter().chain(what_routes()).collect()
}

/// To give the role in the body, which is read only for those who are admin of something.
const GIVE: Permission = Permission::Needs(&[
    Rule { action: Action::ListGrants, scope: Scope::Cluster },
    Rule { action: Action::ManageGrants, scope: Scope::Body(granted) },
]);

/// A route to manage access of everybody.
pub(super) fn manage(route: Route, doc: Doc) -> Route {
    with(route, route::ACCESS, doc)
}

fn with(route: Route, permission: Permission, doc: Doc) -> Route {
    route.permission(permission).doc(Doc { group: "access", ..doc })
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
        with(
            route!(GET tokens, list_tokens),
            route::TOKENS,
            Doc {
                summary: "All tokens, without what they are; for who does not manage access, its own.",
                answers: BodyDoc::Json(shape::<Tokens>),
                ..doc
            },
        ),
        with(
            route!(POST tokens, create_token),
            route::TOKENS,
            Doc {
                summary: "Makes a token, which is shown this once. Who does not manage access, but is \
                          admin of something, makes its own, no stronger than what it came with.",
                takes: BodyDoc::Json(shape::<CreateToken>),
                answers: BodyDoc::Json(shape::<CreatedToken>),
                status: 201,
                ..doc
            },
        ),
        with(
            route!(DELETE "/api/v1/access/tokens/{id}", revoke_token),
            route::TOKENS,
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
        with(
            route!(GET grants, list_grants),
            route::GRANTS,
            Doc {
                summary: "The grants on what the caller is admin of.",
                answers: BodyDoc::Json(shape::<Grants>),
                ..doc
            },
        ),
        with(
            route!(POST grants, add_grant),
            GIVE,
            Doc {
                summary: "Adds a grant on what the caller is admin of. One that is there already stays.",
                takes: BodyDoc::Json(shape::<GrantBody>),
                answers: BodyDoc::Json(shape::<NamedGrant>),
                status: 201,
                ..doc
            },
        ),
        with(
            route!(DELETE "/api/v1/access/grants/{id}", remove_grant),
            route::TAKE_BACK,
            Doc { summary: "Removes a grant on what the caller is admin of.", status: 204, ..doc },
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
    json(StatusCode::OK, &Tokens { tokens: told(&call.visit()?.tokens())? })
}

async fn create_token(mut call: Call) -> Result<Response, Error> {
    let asked: CreateToken = call.json().await?;
    let scopes = asked.scopes.unwrap_or(ScopesBody::All);
    let scopes: Scopes = serde_json::to_value(&scopes)
        .and_then(serde_json::from_value)
        .map_err(|error| Error::invalid(format!("the scopes are refused: {error}")))?;
    let owner: Owner = asked.principal.parse()?;
    let expires_in = asked.expires_in_seconds.map(Duration::from_secs);
    let spec = TokenSpec { scopes, expires_in, ..TokenSpec::api(owner, asked.label.parse()?) };
    let visit = call.visit()?.clone();
    let made = call.to_its_end(async move { visit.create_token(spec).await }).await??;
    let made = CreatedToken { info: told(&made.info)?, token: made.token.expose().to_owned() };
    let until = match made.info.expires_ms {
        Some(at) => format!(", until {at} ms after 1970"),
        None => String::new(),
    };
    let what = format!("made token {} of {}{until}", made.info.id, made.info.principal);
    Ok(changed(json(StatusCode::CREATED, &made)?, what))
}

async fn revoke_token(call: Call) -> Result<Response, Error> {
    let (visit, id): (_, TokenId) = (call.visit()?.clone(), call.args.id()?.parse()?);
    let what = format!("revoked token {id}");
    call.to_its_end(async move { visit.revoke_token(&id).await }).await??;
    Ok(changed(no_content(), what))
}

async fn list_grants(call: Call) -> Result<Response, Error> {
    let grants = call.visit()?.grants().into_iter().map(named).collect::<Result<_, Error>>()?;
    json(StatusCode::OK, &Grants { grants })
}

fn named(grant: &Grant) -> Result<NamedGrant, Error> {
    Ok(NamedGrant { id: grant.id().to_string(), grant: told(grant)? })
}

fn grant(body: &[u8]) -> Result<Grant, Error> {
    let asked: GrantBody = parse_json(body)?;
    Ok(Grant {
        subject: asked.subject.parse()?,
        role: asked.role.parse()?,
        pattern: asked.pattern.parse()?,
    })
}

fn granted(_: &Args, body: &[u8]) -> Result<Vec<Resource>, Error> {
    Ok(vec![grant(body)?.pattern.into()])
}

async fn add_grant(mut call: Call) -> Result<Response, Error> {
    let grant = grant(&call.bytes().await?)?;
    let (visit, adding) = (call.visit()?.clone(), grant.clone());
    let id = call.to_its_end(async move { visit.add_grant(&adding).await }).await??;
    Ok(changed(json(StatusCode::CREATED, &named(&grant)?)?, format!("granted {id}: {grant}")))
}

async fn remove_grant(call: Call) -> Result<Response, Error> {
    let (visit, id): (_, GrantId) = (call.visit()?.clone(), call.args.id()?.parse()?);
    let grant = visit.snapshot().grant(&id).map(Grant::to_string);
    let what = format!("removed grant {id}: {}", grant.unwrap_or_default());
    call.to_its_end(async move { visit.remove_grant(&id).await }).await??;
    Ok(changed(no_content(), what))
}

async fn whoami(call: Call) -> Result<Response, Error> {
    let who = call.visit()?.whoami()?;
    json(StatusCode::OK, &told::<_, WhoAmIBody>(&who)?)
}

async fn explain(mut call: Call) -> Result<Response, Error> {
    let asked: Explain = call.json().await?;
    let (subject, action) = (asked.subject.parse()?, asked.action.parse()?);
    let resource = asked.resource.parse::<Pattern>()?.into();
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
