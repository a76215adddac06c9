//! What is left of a small body when its request is refused: it is read before the answer. Over HTTP/2
//! an answer that comes before the end of a body is followed by a reset of its stream, and some clients
//! (curl 7.88) lose the answer by that.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::{Version, header};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::door::Inner;

/// Of a longer body nothing is read: its client gets the reset.
const BYTES_MAX: u64 = 64 * 1024;
/// How long the rest is waited for.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The body of a request that is looked at elsewhere.
pub(crate) struct RestOfBody(Option<Shared>);

#[derive(Clone)]
struct Shared(Arc<Mutex<BodyDataStream>>);

impl Shared {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}

impl RestOfBody {
    /// The request, and what keeps its body when that is small and comes over HTTP/2.
    pub(crate) fn of(request: Request) -> (Request, Self) {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let small = length.is_some_and(|length| (1..=BYTES_MAX).contains(&length));
        if !small || request.version() != Version::HTTP_2 {
            return (request, Self(None));
        }
        let (parts, body) = request.into_parts();
        let shared = Shared(Arc::new(Mutex::new(body.into_data_stream())));
        let read = shared.clone();
        let body = Body::from_stream(futures::stream::poll_fn(move |context| read.poll(context)));
        (Request::from_parts(parts, body), Self(Some(shared)))
    }

    /// Reads what is left, for a while.
    pub(crate) async fn read(self, door: &Inner) {
        let Some(shared) = self.0 else { return };
        let all = std::future::poll_fn(move |context| {
            loop {
                match shared.poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                }
            }
        });
        tokio::select! {
            biased;
            () = all => {}
            () = door.env().clock.sleep(WAIT_MAX) => {}
        }
    }
}
