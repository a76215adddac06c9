//! Requests to others: addresses, functions, and requests that are passed on.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use wasmtime_wasi_http::RequestOptions;

use super::OUTPUT;
use crate::body::whole;
use crate::guest::Guest;

/// What is said of one connection, or of the one who says it.
const OF_CONNECTIONS: [HeaderName; 5] =
    [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE];

/// A request that is passed on, as a guest says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proxied {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(rename = "inputBufferId")]
    input: i32,
    #[serde(rename = "outputBufferId")]
    output: i32,
}

impl Guest {
    /// What is answered to a GET, in a buffer with its headers and status.
    pub(super) async fn got(&mut self, url: &str) -> Result<i32, String> {
        let id = self.made("a buffer for it", &[]);
        let request = request("GET", url, BTreeMap::new(), Bytes::new());
        let answered = match request {
            Ok(request) => self.answered(request, id).await,
            Err(why) => Err(why),
        };
        // What went wrong stands in the log, and the buffer is empty.
        answered.map(|_| id).or_else(|why| {
            self.say(&format!("get_url of {url}: {why}"));
            self.free(id);
            Ok(self.made("a buffer for it", &[]))
        })
    }

    /// Asks a function of this cluster, `NAME` or `@PROJECT/NAME`; its status.
    pub(super) async fn function(
        &mut self,
        name: &str,
        (input, output): (i32, i32),
    ) -> Result<u16, String> {
        let host = match name.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
            Some((project, name)) => format!("{name}.{project}"),
            None => name.to_owned(),
        };
        let mut headers = self.headers(input);
        headers.retain(|name, _| !name.starts_with("x-moc-"));
        let bytes = self.whole(input).await?;
        let url = format!("http://{host}.cairn.internal/");
        self.answered(request("POST", &url, headers, bytes)?, output).await
    }

    /// Passes a request on as a JSON text says; its status.
    pub(super) async fn proxied(&mut self, spec: &[u8]) -> Result<u16, String> {
        let spec: Proxied = serde_json::from_slice(spec).map_err(|error| error.to_string())?;
        if !spec.url.starts_with("http") {
            return Err(
                "it passes http:// and https:// on: for a WebSocket use a component with wasi:http"
                    .to_owned(),
            );
        }
        let bytes = self.whole(spec.input).await?;
        let request = request(&spec.method, &spec.url, spec.headers, bytes)?;
        self.answered(request, spec.output).await
    }

    /// Sends a request, and writes what is answered to a buffer as it comes.
    async fn answered(
        &mut self,
        request: Request<crate::body::Body>,
        to: i32,
    ) -> Result<u16, String> {
        let sent = self.outbound.sent(request, RequestOptions::default());
        let answer = sent.await.map_err(|error| error.to_string())?;
        let (parts, mut body) = answer.into_parts();
        let status = parts.status.as_u16();
        for (name, value) in &parts.headers {
            if let (false, Ok(value)) = (OF_CONNECTIONS.contains(name), value.to_str()) {
                self.set_header(to, name.as_str(), value)?;
            }
        }
        self.set_status(to, status.into())?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            if let Ok(bytes) = frame.into_data() {
                self.append(to, &bytes)?;
            }
        }
        if to == OUTPUT {
            self.append(to, &[])?;
        }
        Ok(status)
    }
}

fn request(
    method: &str,
    url: &str,
    headers: BTreeMap<String, String>,
    bytes: Bytes,
) -> Result<Request<crate::body::Body>, String> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(&value);
        let (Ok(name), Ok(value)) = (name, value) else { continue };
        if !OF_CONNECTIONS.contains(&name) {
            request = request.header(name, value);
        }
    }
    request.body(whole(bytes)).map_err(|error| error.to_string())
}
