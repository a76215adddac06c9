//! Filters: functions that a request passes before the one that it is for (WEB-3).
//!
//! A filter is asked as the function would be, without the body. With a status of 200 to 299 the request goes on, changed as the filter
//! says: `cairn-set-NAME` sets its header NAME, `cairn-path` its path and query. With any other status the
//! filter's answer is the answer.

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Response, Uri, header};
use cairn_access::Peer;
use cairn_functions::{Body, Function};

use crate::error::Error;
use crate::{Shared, headers};

/// What a filter is told beside the request, which the function is told too.
const SET: &str = "cairn-set-";
const PATH: &str = "cairn-path";
/// Headers that no filter sets: they are the connection's, or say where the body ends.
const UNSET: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Lets a request pass a filter: it goes on, or this is the answer.
pub(crate) async fn pass(
    door: &Shared,
    filter: &Function,
    parts: &mut Parts,
) -> Result<Option<Response<Body>>, Error> {
    let mut asked = axum::http::Request::new(cairn_functions::whole(Bytes::new()));
    *asked.method_mut() = parts.method.clone();
    *asked.uri_mut() = parts.uri.clone();
    *asked.version_mut() = parts.version;
    *asked.headers_mut() = parts.headers.clone();
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT] {
        asked.headers_mut().remove(name);
    }
    if let Some(peer) = parts.extensions.get::<Peer>() {
        asked.extensions_mut().insert(*peer);
    }
    let answered = door.functions.request_filter(filter, asked).await.map_err(Error::Function)?;
    if !answered.status().is_success() {
        return Ok(Some(answered));
    }
    change(parts, answered.headers())?;
    Ok(None)
}

fn change(parts: &mut Parts, says: &HeaderMap) -> Result<(), Error> {
    for (name, value) in says {
        let Some(name) = name.as_str().strip_prefix(SET) else { continue };
        let name = HeaderName::try_from(name).map_err(|_| Error::Filter("sets no header"))?;
        if UNSET.contains(&name) || headers::is_ours(&name) {
            return Err(Error::Filter("sets a header that is not a filter's to set"));
        }
        parts.headers.insert(name, value.clone());
    }
    let Some(path) = says.get(PATH) else { return Ok(()) };
    let path = path.to_str().ok().filter(|path| path.starts_with('/'));
    let path = path.and_then(|path| path.parse::<axum::http::uri::PathAndQuery>().ok());
    let path = path.ok_or(Error::Filter("gives a path that is none"))?;
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(path);
    parts.uri = Uri::from_parts(uri).map_err(|_| Error::Filter("gives a path that is none"))?;
    Ok(())
}
