//! Cookies: of a session, and of a login by a provider that is under way.

use axum::http::{HeaderMap, HeaderValue, header};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use cairn_oidc::Pending;

use super::Here;
use crate::error::Error;

/// The cookie of a session: a token.
const SESSION: &str = "cairn_session";
/// The cookie of a login that is under way.
const PENDING: &str = "cairn_login";
/// How long a login may take.
const PENDING_SECONDS: u64 = 600;
/// The longest cookie that is looked at, in bytes.
const COOKIE_BYTES_MAX: usize = 4096;

/// The value of a cookie, when exactly one of that name was sent.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs =
        sent.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    let only = found.next().filter(|value| !value.is_empty() && value.len() <= COOKIE_BYTES_MAX);
    only.filter(|_| found.next().is_none())
}

/// The token of the session that a browser shows.
pub(crate) fn session_of(headers: &HeaderMap) -> Option<&str> {
    value(headers, SESSION)
}

/// Whether the browser talks to this node over TLS, as far as can be known: cookies are kept for it
/// alone then.
pub(super) fn over_tls(here: &Here) -> bool {
    match &here.door.options().public_url {
        Some(url) => url.starts_with("https://"),
        None => here.origin.peer.tls,
    }
}

fn set(here: &Here, name: &str, value: &str, path: &str, seconds: u64) -> HeaderValue {
    let secure = if over_tls(here) { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::from_str(&text).expect("base32, base64 and names fit a header");
    value.set_sensitive(true);
    value
}

/// Keeps a session.
pub(super) fn keep_session(here: &Here, token: &str, seconds: u64) -> HeaderValue {
    set(here, SESSION, token, "/", seconds)
}

/// Forgets a session.
pub(super) fn forget_session(here: &Here) -> HeaderValue {
    set(here, SESSION, "", "/", 0)
}

/// Keeps a login that goes by a provider.
pub(super) fn keep_pending(here: &Here, pending: &Pending) -> Result<HeaderValue, Error> {
    let json = serde_json::to_vec(pending)
        .map_err(|error| Error::Internal { detail: format!("a login is no JSON: {error}") })?;
    let text = Base64UrlUnpadded::encode_string(&json);
    if text.len() > COOKIE_BYTES_MAX {
        return Err(Error::invalid("?next= is too long"));
    }
    Ok(set(here, PENDING, &text, "/auth", PENDING_SECONDS))
}

/// Forgets a login that went by a provider.
pub(super) fn forget_pending(here: &Here) -> HeaderValue {
    set(here, PENDING, "", "/auth", 0)
}

/// The login that this browser began.
pub(super) fn pending_of(headers: &HeaderMap) -> Result<Pending, Error> {
    let none = || Error::invalid("this browser began no login, or too long ago; begin again");
    let text = value(headers, PENDING).ok_or_else(none)?;
    let json = Base64UrlUnpadded::decode_vec(text).map_err(|_| none())?;
    serde_json::from_slice(&json).map_err(|_| none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cookie_of_a_name_is_believed_and_two_are_not() {
        let headers = |cookies: &[&str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            }
            headers
        };
        let long = format!("cairn_session={}", "a".repeat(COOKIE_BYTES_MAX + 1));
        for (cookies, found) in [
            (&["cairn_session=a"][..], Some("a")),
            (&["x=1; cairn_session=a; y=2"], Some("a")),
            (&["x=1", "cairn_session=a"], Some("a")),
            (&["cairn_session=a=b"], Some("a=b")),
            (&[], None),
            (&["cairn_session="], None),
            (&["cairn_session"], None),
            (&["xcairn_session=a"], None),
            (&["cairn_session=a; cairn_session=b"], None),
            (&[long.as_str()], None),
        ] {
            assert_eq!(session_of(&headers(cookies)), found, "{cookies:?}");
        }
    }
}
