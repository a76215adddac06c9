//! What a function is told of a request beside what its client sent (WEB-2).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use cairn_functions::{Auth, Match};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// How the headers begin that this door alone sets.
const OURS: &str = "cairn-";

/// Takes away what is not for the function, and adds what is.
pub(crate) fn prepare(headers: &mut HeaderMap, found: &Match, caller: &str, request: &str) {
    let ours: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(OURS)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    if found.auth == Auth::Cairn {
        headers.remove(header::AUTHORIZATION);
        set(headers, "cairn-caller", caller);
    }
    set(headers, "cairn-route", &found.pattern);
    set(headers, "cairn-request-id", request);
    for (name, value) in &found.named {
        set(headers, &format!("cairn-param-{name}"), value);
    }
}

/// A text that is no header as it is, is told percent-encoded.
fn set(headers: &mut HeaderMap, name: &str, text: &str) {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
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
