//! Streams of messages from clients.

use tonic::Streaming;

use crate::error::Error;
use crate::gate::is_too_large;

/// The next message, which the stream takes up to `max` bytes of; none at the end of the stream.
///
/// # Errors
/// [`Error::TooLarge`]; [`Error::Stream`] when it breaks off, stands still or cannot be read.
pub(crate) async fn next_message<T>(
    stream: &mut Streaming<T>,
    max: usize,
) -> Result<Option<T>, Error> {
    stream.message().await.map_err(|status| {
        if is_too_large(&status) { Error::TooLarge { max } } else { status.into() }
    })
}
