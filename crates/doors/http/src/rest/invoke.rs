//! What a function is asked without a route, and how it is told what it answered.

use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use cairn_functions::takes_header;

use crate::api::Answered;
use crate::call::Call;
use crate::error::Error;

/// What was answered, as JSON ([`Answered`]).
pub(crate) const ANSWER: &str = "cairn-answer";
/// What a header is sent as that the function is to be asked with.
pub(crate) const SET: &str = "cairn-set-";
/// Bytes of headers that are told of an answer.
const TOLD_BYTES_MAX: usize = 8 << 10;

/// The method that is asked with.
pub(super) fn method(call: &Call) -> Result<Method, Error> {
    let Some(text) = call.query("method")? else { return Ok(Method::POST) };
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|method| {
        method != Method::CONNECT && !text.chars().any(|letter| letter.is_ascii_lowercase())
    });
    method.ok_or_else(|| Error::invalid("?method= takes a method in capitals, as PUT"))
}

/// The headers that are asked with: the type of the body, and what was sent to be set.
pub(super) fn headers(call: &Call) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let own = call.headers.get(header::CONTENT_TYPE);
    if let Some(media_type) = own.filter(|_| !call.headers.contains_key("cairn-set-content-type")) {
        headers.insert(header::CONTENT_TYPE, media_type.clone());
    }
    for (sent, value) in &call.headers {
        let Some(name) = sent.as_str().strip_prefix(SET) else { continue };
        let parsed: Option<HeaderName> = name.parse().ok();
        let name = parsed.filter(takes_header).ok_or_else(|| {
            Error::invalid(format!("{sent}: a function is not asked with the header {name:?}"))
        })?;
        headers.append(name, value.clone());
    }
    Ok(headers)
}

/// The status and the headers of an answer, as a header.
pub(super) fn answered(parts: &Parts) -> HeaderValue {
    let mut told = Answered { status: parts.status.as_u16(), headers: Vec::new(), left_out: 0 };
    let mut bytes = 0;
    for (name, value) in &parts.headers {
        bytes += name.as_str().len() + value.len();
        if bytes > TOLD_BYTES_MAX {
            told.left_out += 1;
            continue;
        }
        let text = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        told.headers.push((name.as_str().to_owned(), text));
    }
    let json = serde_json::to_string(&told).expect("it is plain data");
    let mut ascii = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter.is_ascii() && letter != '\x7f' {
            true => ascii.push(letter),
            // No letter of ISO 8859-1 has more than four digits.
            false => ascii.push_str(&format!("\\u{:04x}", u32::from(letter))),
        }
    }
    HeaderValue::try_from(ascii).expect("JSON without control characters is a header's value")
}
