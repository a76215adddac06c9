//! Ranges of files with what proves them.
//!
//! `GET …/tags/{tag}/proof/{path}?offset=N&length=N` answers bytes of a file together with the part
//! of its hash tree that leads to them, so that a client that knows only the file's BLAKE3 hash can
//! check what it gets, whoever pushed the version and whatever lies between. The body, the media type
//! [`PROOF`], begins with the length of the file; numbers are little endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the length of the file |
//! | 64 | a node: the chaining values of the left and of the right child |
//! | 1 to 16384 | a group: bytes of the file |
//!
//! Nodes and groups come from the root on, a node before its left child and that before the right
//! one, for all subtrees that the range touches; [`cairn_datasets::Proof`] says how they are cut and
//! hashed. The header [`BLAKE3`] has the hash that the node found, for looking at; a client checks
//! against the one that it knows from elsewhere. Listings, trees and downloads tell it too.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::Response;
use cairn_datasets::{Browser, Proof};
use cairn_tree::STREAM_BYTES_MAX;

use super::route;
use crate::call::{Call, begun, respond};
use crate::error::Error;
use crate::fs::set;
use crate::openapi::{BodyDoc, Doc, Holds, Query};
use crate::route::{self, Route};

/// The media type of a proof.
pub(crate) const PROOF: &str = "application/vnd.cairn.proof";
/// The header with the BLAKE3 hash of a whole file, 64 hexadecimal digits.
pub(crate) const BLAKE3: HeaderName = HeaderName::from_static("x-cairn-blake3");

const QUERY: &[Query] = &[
    Query::new("offset", "The first byte; 0 when not given.", Holds::Number(0, STREAM_BYTES_MAX)),
    Query::new("length", "Bytes; to the end when not given.", Holds::Number(1, STREAM_BYTES_MAX)),
];

pub(super) fn routes() -> Vec<Route> {
    let pattern = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}/proof/{*path}";
    vec![route!(GET pattern, proof).permission(route::READ).doc(Doc {
        group: "versions",
        summary: "A range of a file, and what proves to whoever knows the file's BLAKE3 hash that \
                  it is one.",
        query: QUERY,
        answers: BodyDoc::Other(
            PROOF,
            "The length of the file (8 bytes, little endian), then the part of its BLAKE3 tree that \
             the range touches, a parent before its left child and that before the right one: for \
             a subtree of more than 16384 bytes a node of 64 bytes, the chaining values of its \
             children; for another one its bytes. A left child has the largest number of bytes \
             that is 16384 times a power of two and less than its parent has. The header \
             x-cairn-blake3 has the hash of the file.",
        ),
        ..Doc::default()
    })]
}

async fn proof(call: Call) -> Result<Response, Error> {
    let (browser, target) = (call.browser()?, call.args.target()?);
    let (offset, length) = (number(&call, "offset")?, number(&call, "length")?);
    let (_, root) = browser.open(&target.tag).await?;
    let content = crate::fs::file_exact(&browser, &root, call.args.tail()).await?;
    let range = range(content.len, offset, length)?;
    let proof = Browser::proof(&browser, &content, range).await?;
    let mut response = respond(StatusCode::OK, PROOF, Body::empty());
    let headers = response.headers_mut();
    set(headers, BLAKE3, &hex::encode(proof.root()));
    set(headers, header::CONTENT_LENGTH, &proof.len_bytes().to_string());
    set(headers, header::CACHE_CONTROL, "private, no-cache");
    set(headers, header::VARY, "Authorization");
    if call.method != Method::HEAD {
        let pieces = futures::stream::try_unfold(proof, next_piece);
        *response.body_mut() = Body::from_stream(begun(pieces).await?);
    }
    Ok(response)
}

async fn next_piece(mut proof: Proof) -> Result<Option<(bytes::Bytes, Proof)>, Error> {
    Ok(proof.next().await?.map(|piece| (piece, proof)))
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, Error> {
    let Some(text) = call.query(name)? else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.map(Some).ok_or_else(|| Error::invalid(format!("?{name}= takes a number of bytes")))
}

/// What is asked for, cut to what is there. Only an empty file has an empty range.
fn range(len: u64, offset: Option<u64>, length: Option<u64>) -> Result<Range<u64>, Error> {
    let start = offset.unwrap_or(0);
    let end = length.map_or(len, |length| start.saturating_add(length)).min(len);
    if length == Some(0) || start > len || (start == len && len > 0) {
        let detail = format!(
            "there is no such range; the file has {len} bytes, ?offset= is below that and \
             ?length= at least 1"
        );
        return Err(Error::invalid(detail));
    }
    Ok(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file_and_never_empty() {
        for (len, offset, length, found) in [
            (10, None, None, Some(0..10)),
            (10, Some(9), None, Some(9..10)),
            (10, Some(3), Some(4), Some(3..7)),
            (10, Some(3), Some(u64::MAX), Some(3..10)),
            (10, Some(10), None, None),
            (10, Some(u64::MAX), Some(u64::MAX), None),
            (10, None, Some(0), None),
            (0, None, None, Some(0..0)),
            (0, Some(0), Some(5), Some(0..0)),
            (0, Some(1), None, None),
        ] {
            assert_eq!(range(len, offset, length).ok(), found, "{len} {offset:?} {length:?}");
        }
    }
}
