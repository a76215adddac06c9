//! Logins by an identity provider: a browser goes there and comes back, or a program shows a code.

use axum::http::{StatusCode, header};
use axum::response::Response;
use cairn_access::{Provider, ProviderName, Vouched};
use cairn_oidc::{Pending, Polled};

use super::page::{leads_to, next_of};
use super::session::{SESSION_LIFE, open_vouched, opened};
use super::{Here, cookie, page};
use crate::api::{DeviceAsked, DeviceBegun, DeviceWaits};
use crate::call::{Call, json};
use crate::door::Inner;
use crate::error::Error;

/// The provider that the path names.
async fn provider(door: &Inner, id: &str) -> Result<Provider, Error> {
    let name: ProviderName = id.parse()?;
    Ok(door.access().snapshot().await?.provider(&name)?.clone())
}

/// Where a provider sends browsers back to.
fn redirect_address(call: &Call) -> Result<String, Error> {
    if let Some(url) = &call.door.options().public_url {
        return Ok(format!("{}/auth/callback", url.trim_end_matches('/')));
    }
    let host = call.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = host.or_else(|| {
        let host = call.headers.get(header::HOST)?.to_str().ok()?;
        Some(host.to_owned())
    });
    let host = host.ok_or_else(|| Error::invalid("the request names no host"))?;
    let scheme = if cookie::over_tls(&Here::of(call)) { "https" } else { "http" };
    Ok(format!("{scheme}://{host}/auth/callback"))
}

pub(super) async fn start(call: Call) -> Result<Response, Error> {
    let provider = provider(&call.door.clone(), call.args.id()?).await?;
    let next = next_of(call.query("next")?.as_deref());
    let begun = call.door.oidc().begin(&provider, &redirect_address(&call)?, &next).await?;
    let kept = cookie::keep_pending(&Here::of(&call), &begun.pending)?;
    let mut response = leads_to(&begun.url)?;
    response.headers_mut().append(header::SET_COOKIE, kept);
    Ok(response)
}

pub(super) async fn callback(call: Call) -> Result<Response, Error> {
    let here = Here::of(&call);
    let pending = match cookie::pending_of(&call.headers) {
        Ok(pending) => pending,
        Err(error) => return page::refused(&here, &next_of(None), error).await,
    };
    let next = next_of(Some(&pending.next));
    let session = match come_back(&here, &pending, Brought::of(&call)).await {
        Ok(vouched) => open_vouched(&here, vouched).await?,
        Err(error) => return page::refused(&here, &next, error).await,
    };
    let mut response = leads_to(&next)?;
    let kept = cookie::keep_session(&here, session.token.expose(), SESSION_LIFE.as_secs());
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, kept);
    headers.append(header::SET_COOKIE, cookie::forget_pending(&here));
    Ok(response)
}

/// What a browser came back with.
struct Brought {
    error: Option<String>,
    code: Option<String>,
    state: Option<String>,
    issuer: Option<String>,
}

impl Brought {
    fn of(call: &Call) -> Result<Self, Error> {
        let (error, code) = (call.query("error")?, call.query("code")?);
        Ok(Self { error, code, state: call.query("state")?, issuer: call.query("iss")? })
    }
}

/// Whom the provider vouches for by what the browser came back with.
async fn come_back(
    here: &Here,
    pending: &Pending,
    brought: Result<Brought, Error>,
) -> Result<Vouched, Error> {
    let Brought { error, code, state, issuer } = brought?;
    if let Some(error) = error {
        let shown: String = error.chars().filter(|c| !c.is_control()).take(100).collect();
        let reason = format!("the provider says: {shown}");
        return Err(here.refuse(cairn_access::Error::LoginRefused { reason }));
    }
    let (Some(code), Some(state)) = (code, state) else {
        return Err(Error::invalid("?code= or ?state= is missing; begin again"));
    };
    let provider = provider(&here.door, &pending.provider).await?;
    let oidc = here.door.oidc();
    let finished = oidc.finish(&provider, pending, &state, &code, issuer.as_deref()).await;
    finished.map_err(|error| here.refuse(error))
}

pub(super) async fn begin_device(call: Call) -> Result<Response, Error> {
    let begun = call
        .door
        .oidc()
        .begin_device(&provider(&call.door.clone(), call.args.id()?).await?)
        .await?;
    let body = DeviceBegun {
        device_code: begun.device_code,
        user_code: begun.user_code,
        verification_uri: begun.verification_uri,
        verification_uri_complete: begun.verification_uri_complete,
        expires_in_seconds: begun.expires_in_s,
        interval_seconds: begun.interval_s,
    };
    json(StatusCode::CREATED, &body)
}

pub(super) async fn poll_device(mut call: Call) -> Result<Response, Error> {
    let asked: DeviceAsked = call.json().await?;
    let provider = provider(&call.door.clone(), call.args.id()?).await?;
    let here = Here::of(&call);
    let polled = call.door.oidc().poll_device(&provider, &asked.device_code).await;
    let slow_down = match polled.map_err(|error| here.refuse(error))? {
        Polled::Done(vouched) => return opened(&open_vouched(&here, vouched).await?),
        Polled::Pending => false,
        Polled::SlowDown => true,
    };
    json(StatusCode::ACCEPTED, &DeviceWaits { slow_down })
}
