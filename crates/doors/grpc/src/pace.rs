//! Bodies of requests whose clients keep a pace.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use cairn_env::{Clock, Patience};
use futures::StreamExt as _;
use tonic::Status;

use crate::error::Error;

/// The body, of which no piece is waited for too long. What breaks off, breaks off as it did.
pub(crate) fn paced(body: Body, wait: Duration, clock: Arc<dyn Clock>) -> Body {
    let state = (body.into_data_stream(), Patience::new(wait), clock);
    Body::from_stream(futures::stream::try_unfold(
        state,
        move |(mut body, mut patience, clock)| async move {
            let asked_at = clock.monotonic();
            let next = tokio::select! {
                biased;
                next = body.next() => next,
                () = clock.sleep(patience.left()) => {
                    return Err(Status::from(Error::Stalled { seconds: wait.as_secs() }).into());
                }
            };
            let Some(piece) = next.transpose()? else { return Ok(None) };
            patience.got(piece.len(), clock.monotonic().saturating_sub(asked_at));
            Ok::<_, axum::BoxError>(Some((piece, (body, patience, clock))))
        },
    ))
}
