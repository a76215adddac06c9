//! One file, in a sandbox, with what its pusher says of it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use cairn_datasets::Browser;
use cairn_files::{Ask, set};
use cairn_tree::{Content, Entry};

use crate::call::Call;
use crate::error::Error;
use crate::rest::BLAKE3;

pub(crate) async fn serve(
    call: Call,
    browser: &Browser,
    entry: &Entry,
    content: &Content,
    name: &[u8],
) -> Result<Response, Error> {
    let rng = call.door.env().rng.as_ref();
    let ask = Ask { method: &call.method, headers: &call.headers, rng };
    let mut response = cairn_files::serve(&ask, browser, (content, entry.meta.mtime), name).await?;
    let unchanged = response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    // Tags move and grants change, so a cache asks each time; with the tag that costs little.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
    if unchanged {
        return Ok(response);
    }
    super::sandbox(headers);
    if let Some(root) = &content.root {
        // Who pushed it says so; a client that must know asks for a proof.
        set(headers, BLAKE3, &hex::encode(root));
    }
    Ok(response)
}
