//! One's own sessions: which there are, and their end.

use axum::http::{StatusCode, header};
use axum::response::Response;
use cairn_access::{Access, TokenId, TokenInfo, TokenKind};

use super::{Here, cookie};
use crate::api::{OwnSession, OwnSessions, SessionsEnded};
use crate::call::{Call, changed, json, no_content};
use crate::error::Error;

/// The caller's sessions that hold, the newest first.
fn sessions(call: &Call) -> Result<Vec<TokenInfo>, Error> {
    let now_ms = call.door.env().clock.wall_ns().div_euclid(1_000_000);
    let owner = call.caller().owner();
    let own = call.snapshot()?.tokens().filter(|token| {
        token.kind == TokenKind::Session
            && Some(&token.principal) == owner
            && !token.expired(now_ms)
    });
    let mut own: Vec<TokenInfo> = own.cloned().collect();
    own.sort_by(|a, b| (b.created_ms, &b.id).cmp(&(a.created_ms, &a.id)));
    Ok(own)
}

pub(super) async fn list(call: Call) -> Result<Response, Error> {
    let shown = call.caller().credential();
    let told = |token: TokenInfo| OwnSession {
        current: shown == format!("token {}", token.id),
        id: token.id.to_string(),
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
    };
    let sessions = sessions(&call)?.into_iter().map(told).collect();
    json(StatusCode::OK, &OwnSessions { sessions })
}

/// Ends sessions, of which one may have ended by itself meanwhile.
async fn end(access: &Access, ids: Vec<TokenId>) -> Result<u64, Error> {
    let mut ended = 0;
    for id in ids {
        match access.revoke_token(&id).await {
            Ok(()) => ended += 1,
            Err(cairn_access::Error::NoToken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ended)
}

pub(super) async fn end_all(call: Call) -> Result<Response, Error> {
    let ids: Vec<TokenId> = sessions(&call)?.into_iter().map(|token| token.id).collect();
    let here = Here::of(&call);
    let ended = end(&call.door.access().clone(), ids).await?;
    let mut response = json(StatusCode::OK, &SessionsEnded { ended })?;
    response.headers_mut().append(header::SET_COOKIE, cookie::forget_session(&here));
    Ok(changed(response, format!("ended all {ended} sessions")))
}

pub(super) async fn end_one(call: Call) -> Result<Response, Error> {
    let id = call.args.id()?.to_owned();
    let own = sessions(&call)?.into_iter().map(|token| token.id);
    let Some(found) = own.into_iter().find(|own| own.as_str() == id) else {
        return Err(Error::NoPath { detail: "none of your sessions has this id".to_owned() });
    };
    end(&call.door.access().clone(), vec![found]).await?;
    Ok(changed(no_content(), format!("ended session {id}")))
}
