//! Sessions: opened by a password or by a provider's word, and closed.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::{GroupName, NewToken, Owner, Password, Vouched};

use super::Here;
use crate::api::{LoginProvider, LoginWays, Opened, PasswordLogin};
use crate::call::{Call, json, no_content, to_its_end};
use crate::error::Error;

/// How long a session lives.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Opens a session for whoever has this name and password.
pub(super) async fn open_by_password(
    here: &Here,
    name: &str,
    password: String,
) -> Result<NewToken, Error> {
    let (access, origin) = (here.door.access(), &here.origin);
    let caller = access.check_own_password(name, Password::shown(password), origin).await?;
    let owner = caller.owner().cloned().ok_or(cairn_access::Error::WrongPassword)?;
    open(here, owner, BTreeSet::new()).await
}

/// Opens a session for whom a provider vouches.
pub(super) async fn open_vouched(here: &Here, vouched: Vouched) -> Result<NewToken, Error> {
    open(here, Owner::User(vouched.user), vouched.groups).await
}

async fn open(here: &Here, owner: Owner, groups: BTreeSet<GroupName>) -> Result<NewToken, Error> {
    let access = here.door.access().clone();
    let origin = here.origin.clone();
    let work = async move { access.open_session(owner, groups, SESSION_LIFE, &origin).await };
    Ok(to_its_end(&here.door, here.place.clone(), work).await??)
}

/// A session as programs get it.
pub(super) fn opened(session: &NewToken) -> Result<Response, Error> {
    let body = Opened {
        token: session.token.expose().to_owned(),
        principal: session.info.principal.to_string(),
        expires_ms: session.info.expires_ms.unwrap_or(i64::MAX),
    };
    json(StatusCode::CREATED, &body)
}

pub(super) async fn ways(call: Call) -> Result<Response, Error> {
    let snapshot = call.door.access().snapshot().await?;
    let way = |provider: &cairn_access::Provider| LoginProvider { name: provider.name.to_string() };
    json(StatusCode::OK, &LoginWays { providers: snapshot.providers().map(way).collect() })
}

pub(super) async fn by_password(mut call: Call) -> Result<Response, Error> {
    let asked: PasswordLogin = call.json().await?;
    opened(&open_by_password(&Here::of(&call), &asked.user, asked.password).await?)
}

pub(super) async fn close(call: Call) -> Result<Response, Error> {
    let (access, visit) = (call.door.access().clone(), call.visit()?.clone());
    call.to_its_end(async move { access.close_session(&visit).await }).await??;
    Ok(no_content())
}
