//! What a function is told of a request beside what its client sent (WEB-2).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64ct::{Base64, Encoding as _};
use cairn_access::TOKEN_PREFIX;
use cairn_functions::{Auth, Match};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// How the cookies of the console begin.
const COOKIES: &str = "cairn_";

/// Takes away what is not for the function, and adds what is.
pub(crate) fn prepare(headers: &mut HeaderMap, found: &Match, caller: &str, request: &str) {
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    let target = &found.target;
    if target.auth == Auth::Cairn {
        set(headers, HeaderName::from_static("cairn-caller"), caller);
    }
    if target.auth == Auth::Cairn || shows_token(headers) {
        headers.remove(header::AUTHORIZATION);
    }
    without_sessions(headers);
    set(headers, HeaderName::from_static("cairn-route"), &target.pattern);
    set(headers, HeaderName::from_static("cairn-request-id"), request);
    for (name, value) in &found.named {
        if let Ok(name) = HeaderName::try_from(format!("cairn-param-{name}")) {
            set(headers, name, value);
        }
    }
}

/// Whether only this door sets a header: `cairn-`, also as others write it who take `_` for `-`.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    name.as_str().strip_prefix("cairn").is_some_and(|rest| rest.starts_with(['-', '_']))
}

/// Takes away what an answer may not do in a browser, for it would be done to the console too: cookies in its name,
/// and what is about all ports of a host.
pub(crate) fn clean(headers: &mut HeaderMap) {
    headers.remove("clear-site-data");
    headers.remove(header::STRICT_TRANSPORT_SECURITY);
    // One without a name is sent as its value alone.
    let ours = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        let from = bytes.iter().position(|byte| !b" \t=".contains(byte)).unwrap_or(bytes.len());
        bytes[from..].starts_with(COOKIES.as_bytes())
    };
    if !headers.get_all(header::SET_COOKIE).iter().any(ours) {
        return;
    }
    let others = headers.get_all(header::SET_COOKIE).iter().filter(|value| !ours(value));
    let others: Vec<HeaderValue> = others.cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in others {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Whether an `Authorization` header has a token of the cluster, as a bearer's or as a password.
fn shows_token(headers: &HeaderMap) -> bool {
    let token =
        |text: &[u8]| text.windows(TOKEN_PREFIX.len()).any(|at| at == TOKEN_PREFIX.as_bytes());
    headers.get_all(header::AUTHORIZATION).iter().any(|value| {
        let credential = value.as_bytes().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        let basic =
            std::str::from_utf8(credential).ok().and_then(|text| Base64::decode_vec(text).ok());
        token(value.as_bytes()) || basic.is_some_and(|pair| token(&pair))
    })
}

/// Takes the cookies of the console away: browsers send them to all ports of a host.
fn without_sessions(headers: &mut HeaderMap) {
    let ours = |pair: &[u8]| pair.trim_ascii().starts_with(COOKIES.as_bytes());
    let sent = headers.get_all(header::COOKIE);
    let pairs: Vec<&[u8]> =
        sent.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';')).collect();
    if !pairs.iter().any(|pair| ours(pair)) {
        return;
    }
    let left: Vec<&[u8]> =
        pairs.into_iter().filter(|pair| !ours(pair)).map(<[u8]>::trim_ascii).collect();
    let left = HeaderValue::from_bytes(&left.join(&b"; "[..]));
    headers.remove(header::COOKIE);
    if let Ok(left) = left
        && !left.is_empty()
    {
        headers.insert(header::COOKIE, left);
    }
}

/// A text that is no header as it is, is told percent-encoded.
fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'%');
    let value = if plain {
        HeaderValue::from_str(text)
    } else {
        HeaderValue::from_str(&utf8_percent_encode(text, NON_ALPHANUMERIC).to_string())
    };
    if let Ok(value) = value {
        headers.insert(name, value);
    }
}
