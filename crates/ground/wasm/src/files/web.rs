//! Files that others serve: the answer to a GET, read as it comes.

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::Mutex;
use wasmtime_wasi_http::RequestOptions;

use super::{File, FileError};
use crate::body::{Body, whole};
use crate::outside::{Outbound, OutsideError};

/// What is left of an answer.
struct Web {
    size: Option<u64>,
    answer: Mutex<Answer>,
}

struct Answer {
    body: Body,
    /// Where what is ready begins.
    at: u64,
    ready: Bytes,
}

/// Asks for a URL.
pub(super) fn open(
    outbound: &mut Outbound,
    url: &str,
) -> impl Future<Output = Result<impl File + use<>, FileError>> + Send + use<> {
    let request = http::Request::get(url).body(whole(Bytes::new()));
    let sent = request.map(|request| outbound.sent(request, RequestOptions::default()));
    async move {
        let sent = sent.map_err(|error| FileError::Other(error.to_string()))?;
        let answer = sent.await.map_err(|error| match error {
            OutsideError::Denied(_) => FileError::Denied,
            error => FileError::Other(error.to_string()),
        })?;
        match answer.status().as_u16() {
            200..=299 => {}
            401 | 403 => return Err(FileError::Denied),
            404 | 410 => return Err(FileError::NotFound),
            status => return Err(FileError::Other(format!("status {status}"))),
        }
        let size = answer.headers().get(http::header::CONTENT_LENGTH);
        let size = size.and_then(|value| value.to_str().ok()?.parse().ok());
        let answer = Answer { body: answer.into_body(), at: 0, ready: Bytes::new() };
        Ok(Web { size, answer: Mutex::new(answer) })
    }
}

#[async_trait]
impl File for Web {
    async fn size(&self) -> Option<u64> {
        self.size
    }

    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError> {
        let mut answer = self.answer.lock().await;
        if answer.at != at {
            return Err(FileError::Seek);
        }
        while answer.ready.is_empty() {
            match answer.body.frame().await {
                None => return Ok(Bytes::new()),
                Some(Ok(frame)) => answer.ready = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Err(FileError::Other(error.to_string())),
            }
        }
        let some = answer.ready.len().min(most);
        answer.at += some as u64;
        Ok(answer.ready.split_to(some))
    }
}
