//! What a node and a worker say to each other.

use std::time::Duration;

use cairn_wasm::{Blob, FileError, Limits, Listed};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// What a function may reach of the node, as its worker shows it: 128 random bits in hexadecimal.
pub(crate) type Token = String;
/// What a function has open at the node.
pub(crate) type Handle = u64;

/// What a node asks of a worker.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Whether it is there, and confined.
    Ready,
    /// Takes a function; its compiled code follows, when `code` says so.
    Function { token: Token, digest: String, code: bool, limits: Limits, environment: Variables },
    /// Lets go of one.
    Forget { token: Token },
    /// A request to one; its body follows.
    Request { token: Token, depth: u32, request: RequestHead },
    /// A run of one.
    Run { token: Token, run: Run },
}

/// Names with their values.
pub(crate) type Variables = Vec<(String, String)>;

/// What came of [`Ask::Function`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Taken {
    Ready,
    /// Its code is not there.
    Code,
    /// It cannot be run.
    Failed(String),
}

/// A run of a program.
#[derive(Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Variables,
    pub(crate) depth: u32,
    pub(crate) inputs: Vec<OpenFile>,
}

/// A file that is open at the node.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OpenFile {
    pub(crate) handle: Handle,
    pub(crate) size: Option<u64>,
    pub(crate) modified: Option<Duration>,
}

/// A request without its body. Values of headers are bytes, a character for each.
#[derive(Serialize, Deserialize)]
pub(crate) struct RequestHead {
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
}

/// An answer without its body.
#[derive(Serialize, Deserialize)]
pub(crate) struct ResponseHead {
    status: u16,
    headers: Vec<(String, String)>,
}

/// What a worker asks of its node, for one of its functions.
#[derive(Serialize, Deserialize)]
pub(crate) struct FromWorld {
    pub(crate) token: Token,
    pub(crate) what: What,
}

/// What it asks for, and what the answer is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// Lines were written: nothing.
    Log { lines: Vec<(Stream, String)>, left_out: u64 },
    /// Lets go of something open: nothing.
    Close { handle: Handle },
    /// Opens a store: `Result<Handle, StoreError>`.
    Store { name: String },
    /// What is at a path: `Result<Found, FileError>`.
    Find { path: String },
    /// Names in a folder: `Result<Vec<Listed>, FileError>`.
    List { path: String, after: Option<String> },
    /// Bytes of a file: `Result<(), FileError>`, and the bytes.
    Read { handle: Handle, at: u64, most: usize },
    /// Sends a request, whose body follows: `Result<ResponseHead, OutsideError>`, and the answer's body.
    Send { depth: u32, request: RequestHead },
    /// Something of a store that is open.
    Keys { handle: Handle, op: KeysOp },
    /// Opens a container, or makes it: `Result<Handle, BlobError>`.
    Container { name: String, create: bool },
    /// Removes a container: `Result<(), BlobError>`.
    RemoveContainer { name: String },
    /// Copies or moves an object: `Result<(), BlobError>`.
    Copy { from: Blob, to: Blob, moves: bool },
    /// Something of a container that is open.
    Blobs { handle: Handle, op: BlobsOp },
}

/// Where a line was written to.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stream {
    Out,
    Err,
}

/// What is at a path.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    Folder,
    File(OpenFile),
}

pub(crate) type ListedNames = Result<Vec<Listed>, FileError>;

/// What is done in a store; each answers with a `Result` of what is said, or a `StoreError`. Values are said by their
/// lengths, and follow one after the other.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeysOp {
    /// `Vec<Option<usize>>`, and the values.
    Get { keys: Vec<String> },
    /// `bool`.
    Exists { key: String },
    /// `()`. The values follow.
    Set { pairs: Vec<(String, usize)> },
    /// `()`.
    Delete { keys: Vec<String> },
    /// `(Vec<String>, bool)`.
    List { after: Option<String> },
    /// `i64`.
    Increment { key: String, delta: i64 },
    /// `(Option<usize>, u64)`, and the value.
    Versioned { key: String },
    /// `bool`. The value follows.
    Swap { key: String, version: u64, length: usize },
}

/// What is done in a container; each answers with a `Result` of what is said, or a `BlobError`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BlobsOp {
    /// `Duration`.
    Made,
    /// `OpenFile`.
    Object { name: String },
    /// `Vec<String>`.
    List { after: Option<String> },
    /// `()`. The bytes follow.
    Put { name: String, length: usize },
    /// `()`.
    Delete { names: Vec<String> },
    /// `()`.
    Clear,
}

/// What is said of one connection: guests neither see nor set it. By `host` the engine knows whom a request is for, and
/// keeps it from guests itself; what they send goes by its address.
fn is_forbidden(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
    let known = [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];
    let more = ["keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"];
    known.contains(name) || more.contains(&name.as_str())
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| *byte as char).collect();
    let told = headers.iter().filter(|(name, _)| !is_forbidden(name));
    told.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn headers(texts: Vec<(String, String)>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(texts.len());
    for (name, text) in texts {
        let wrong = || format!("{name:?} is no header");
        let parsed: HeaderName = name.parse().map_err(|_| wrong())?;
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let value = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        if !is_forbidden(&parsed) {
            let added = headers.try_append(parsed, value.ok_or_else(wrong)?);
            added.map_err(|_| "there are too many headers".to_owned())?;
        }
    }
    Ok(headers)
}

impl RequestHead {
    pub(crate) fn of(request: &http::request::Parts) -> Self {
        let (method, uri) = (request.method.to_string(), request.uri.to_string());
        Self { method, uri, headers: texts(&request.headers) }
    }

    pub(crate) fn with<B>(self, body: B) -> Result<http::Request<B>, String> {
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method.parse().map_err(|_| "it has no method".to_owned())?;
        *request.uri_mut() = self.uri.parse().map_err(|_| "it has no address".to_owned())?;
        *request.headers_mut() = headers(self.headers)?;
        Ok(request)
    }
}

impl ResponseHead {
    pub(crate) fn of(response: &http::response::Parts) -> Self {
        Self { status: response.status.as_u16(), headers: texts(&response.headers) }
    }

    pub(crate) fn with<B>(self, body: B) -> Result<http::Response<B>, String> {
        let mut response = http::Response::new(body);
        let status = http::StatusCode::from_u16(self.status);
        *response.status_mut() = status.map_err(|_| "it has no status".to_owned())?;
        *response.headers_mut() = headers(self.headers)?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_as_they_were_without_what_is_of_a_connection() {
        let value = HeaderValue::from_bytes(b"caf\xe9").unwrap();
        let request = http::Request::put("http://a.example:81/b?c=d%20e")
            .header("x-twice", "1")
            .header("x-twice", value.clone())
            .header("connection", "upgrade")
            .header("keep-alive", "1")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let json = serde_json::to_string(&RequestHead::of(&parts)).unwrap();
        let again = serde_json::from_str::<RequestHead>(&json).unwrap().with(()).unwrap();
        assert_eq!((again.method(), again.uri()), (&parts.method, &parts.uri));
        let all: Vec<_> = again.headers().get_all("x-twice").iter().collect();
        assert_eq!((all, again.headers().len()), (vec![&HeaderValue::from_static("1"), &value], 2));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        for (status, headers) in [
            (42, Vec::new()),
            (200, header("a b", "")),
            (200, header("a", "\n")),
            (200, header("a", "\u{100}")),
        ] {
            assert!(ResponseHead { status, headers }.with(()).is_err());
        }
        let smuggled =
            ResponseHead { status: 200, headers: header("Transfer-Encoding", "chunked") };
        assert!(smuggled.with(()).unwrap().headers().is_empty());
    }
}
