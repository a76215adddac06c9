//! The web console: files that are part of the program, for anybody. What they show they ask the REST API
//! for, as who is logged in.
//!
//! Files below `assets/` have a hash in their names and are kept for ever; the page is asked for each time,
//! so a node that is replaced brings its console along. Every address that is no file is the page: the
//! console reads it.

use std::borrow::Cow;
use std::io::Read as _;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_console::Asset;

use crate::call::{Call, no_content, respond};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc};
use crate::rest::route;
use crate::route::{Permission, Route};

/// Nothing is loaded from elsewhere, no script or style stands in a page, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; \
    frame-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
const FOREVER: &str = "public, max-age=31536000, immutable";
const HTML: &str = "text/html; charset=utf-8";
const ABSENT: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content=\"width=device-width\"><title>Cairn</title>\
    <h1>This build has no console</h1>\
    <p>It was built on a machine without Node. With Node 20 or later, in the source of this program:</p>\
    <pre>cargo xtask console &amp;&amp; cargo build --release</pre>\
    <p>All else works: <a href=\"/fs/\">files</a>, <a href=\"/api/docs/index.html\">the REST API</a>, \
    and the command line.</p></html>\n";

/// Whether this build has the web console.
#[must_use]
pub fn has_console() -> bool {
    cairn_console::index().is_some()
}

pub(crate) fn routes() -> Vec<Route> {
    let doc = Doc {
        group: "console",
        answers: BodyDoc::Other("*/*", "A page, or what it is made of."),
        also: &[(304, "The client has it already.")],
        ..Doc::default()
    };
    vec![
        route!(GET "/console", entrance).permission(Permission::Description).doc(Doc {
            summary: "Leads to /console/.",
            status: 307,
            group: "console",
            ..Doc::default()
        }),
        route!(GET "/console/", page)
            .permission(Permission::Description)
            .doc(Doc { summary: "The web console.", ..doc }),
        route!(GET "/console/{*path}", file).permission(Permission::Description).doc(Doc {
            summary: "A file of the web console; its page for an address that is none.",
            ..doc
        }),
    ]
}

async fn entrance(_call: Call) -> Result<Response, Error> {
    let mut response = respond(StatusCode::TEMPORARY_REDIRECT, "text/plain; charset=utf-8", "");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/console/"));
    Ok(response)
}

async fn page(call: Call) -> Result<Response, Error> {
    index(&call.headers)
}

async fn file(call: Call) -> Result<Response, Error> {
    let names: Vec<Cow<'_, str>> =
        call.args.tail().iter().map(|name| String::from_utf8_lossy(name)).collect();
    let path = names.join("/");
    let kept = path.starts_with("assets/");
    match cairn_console::find(&path) {
        Some(asset) => answer(&call.headers, asset, if kept { FOREVER } else { "no-cache" }),
        // A page that was opened before the node was replaced asks for parts that are gone.
        None if kept
            || (!is_navigation(&call.headers)
                && names.last().is_some_and(|name| name.contains('.'))) =>
        {
            Err(Error::NoPath { detail: format!("there is no /console/{path}") })
        }
        None => index(&call.headers),
    }
}

/// Whether a person goes there, and not a page that wants a part of itself.
pub(crate) fn is_navigation(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn index(headers: &HeaderMap) -> Result<Response, Error> {
    if let Some(asset) = cairn_console::index() {
        return answer(headers, asset, "no-cache");
    }
    let mut response = respond(StatusCode::OK, HTML, ABSENT);
    response.headers_mut().insert("x-cairn-console", HeaderValue::from_static("absent"));
    dress(&mut response, "no-store");
    Ok(response)
}

fn answer(headers: &HeaderMap, asset: &Asset, keep: &'static str) -> Result<Response, Error> {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(','));
    let opaque = asset.etag().trim_start_matches("W/");
    let mut same = known.map(|tag| tag.trim().trim_start_matches("W/"));
    let mut response = if same.any(|tag| tag == opaque || tag == "*") {
        let mut response = no_content();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let (bytes, encoding) = encoded(headers, asset)?;
        let mut response = respond(StatusCode::OK, asset.media_type, bytes);
        if let Some(encoding) = encoding {
            let encoding = HeaderValue::from_static(encoding);
            response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
        }
        response
    };
    response.headers_mut().insert(header::ETAG, HeaderValue::from_static(asset.etag()));
    dress(&mut response, keep);
    Ok(response)
}

/// The bytes as the client takes them, and what they are packed with.
fn encoded(headers: &HeaderMap, asset: &Asset) -> Result<(Bytes, Option<&'static str>), Error> {
    for (name, packed) in [("br", asset.brotli), ("gzip", asset.gzip)] {
        if let Some(bytes) = packed
            && takes(headers, name)
        {
            return Ok((Bytes::from_static(bytes), Some(name)));
        }
    }
    if let Some(bytes) = asset.plain {
        return Ok((Bytes::from_static(bytes), None));
    }
    let packed = asset.gzip.unwrap_or_default();
    let mut bytes = Vec::new();
    let unpacked = flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes);
    unpacked.map_err(|error| Error::Internal { detail: format!("{}: {error}", asset.path) })?;
    Ok((bytes.into(), None))
}

/// Whether `Accept-Encoding` has `name`, after RFC 9110, section 12.5.3. What it leaves open is taken
/// for no: everybody can read plain bytes.
fn takes(headers: &HeaderMap, name: &str) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter();
    let all = all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    all.map(|one| one.split_once(';').unwrap_or((one, ""))).any(|(coding, weight)| {
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        coding.trim().eq_ignore_ascii_case(name) && weight.is_none_or(|q| q.is_ok_and(|q| q > 0.0))
    })
}

fn dress(response: &mut Response, keep: &'static str) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, keep),
        (header::VARY, "Accept, Accept-Encoding"),
        // With `no-referrer` a browser would not say either that a form is ours.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_takes() {
        for (value, brotli, gzip) in [
            ("gzip, deflate, br, zstd", true, true),
            ("br;q=0, gzip;q=0.5", false, true),
            ("GZIP; q=1", false, true),
            ("identity", false, false),
            ("brotli, x-gzip", false, false),
            ("br;q=high", false, false),
            ("", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!((takes(&headers, "br"), takes(&headers, "gzip")), (brotli, gzip), "{value}");
        }
    }

    #[test]
    fn a_file_comes_as_the_client_takes_it() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(b"let a = 1").unwrap();
        let gzip: &'static [u8] = gzip.finish().unwrap().leak();
        let media_type = "text/javascript; charset=utf-8";
        let asset = Asset {
            path: "assets/a.js",
            media_type,
            plain: None,
            gzip: Some(gzip),
            brotli: Some(b"brotli"),
        };
        let mut headers = HeaderMap::new();
        assert_eq!(encoded(&headers, &asset).unwrap(), ("let a = 1".into(), None));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(encoded(&headers, &asset).unwrap(), (gzip.into(), Some("gzip")));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
        assert_eq!(encoded(&headers, &asset).unwrap(), ("brotli".into(), Some("br")));
    }
}
