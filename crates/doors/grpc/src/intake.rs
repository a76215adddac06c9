//! Bodies of requests on their way in: clients keep a pace, and messages with values have room before
//! they are read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cairn_env::{Clock, Patience};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::error::Error;
use crate::limits::{KV_MESSAGE_BYTES_MAX, KV_ROOM_WAIT_MAX};

/// Bytes before each message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// How a body is taken in.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) clock: Arc<dyn Clock>,
    /// How long the client may stand still.
    pub(crate) wait: Duration,
    /// After the first message the client may rest between them.
    pub(crate) rests: bool,
    /// What messages have room in, where they need it.
    pub(crate) room: Option<Room>,
}

/// The room of the messages of one call, in their order.
#[derive(Clone)]
pub(crate) struct Room(Arc<Shared>);

struct Shared {
    places: Arc<Semaphore>,
    taken: Mutex<VecDeque<OwnedSemaphorePermit>>,
}

/// A body under way.
struct Coming {
    body: axum::body::BodyDataStream,
    intake: Intake,
    patience: Patience,
    frames: Frames,
}

/// Where in its messages a body is.
#[derive(Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// Bytes of the message that are to come.
    left: usize,
    begun: bool,
}

/// The body, taken in so. What breaks off, breaks off as it did.
pub(crate) fn taken_in(body: Body, intake: Intake) -> Body {
    let (patience, frames) = (Patience::new(intake.wait), Frames::default());
    let coming = Coming { body: body.into_data_stream(), intake, patience, frames };
    Body::from_stream(futures::stream::try_unfold(coming, |mut coming| async move {
        let piece = coming.next().await?;
        Ok::<_, axum::BoxError>(piece.map(|piece| (piece, coming)))
    }))
}

impl Coming {
    async fn next(&mut self) -> Result<Option<Bytes>, axum::BoxError> {
        if self.intake.rests && self.frames.begun && self.frames.is_between() {
            self.patience = Patience::new(self.intake.wait);
            let Some(piece) = self.body.next().await.transpose()? else { return Ok(None) };
            return Ok(Some(self.took(piece).await?));
        }
        let clock = &self.intake.clock;
        let asked_at = clock.monotonic();
        let next = tokio::select! {
            biased;
            next = self.body.next() => next,
            () = clock.sleep(self.patience.left()) => {
                let seconds = self.intake.wait.as_secs();
                return Err(Status::from(Error::Stalled { seconds }).into());
            }
        };
        let Some(piece) = next.transpose()? else { return Ok(None) };
        self.patience.got(piece.len(), clock.monotonic().saturating_sub(asked_at));
        Ok(Some(self.took(piece).await?))
    }

    /// Passes a piece on when there is room for the messages that begin in it.
    async fn took(&mut self, piece: Bytes) -> Result<Bytes, Status> {
        let Some(room) = &self.intake.room else { return Ok(piece) };
        let mut rest = &piece[..];
        while let Some(len) = self.frames.pass(&mut rest) {
            room.take(len, &self.intake).await?;
        }
        Ok(piece)
    }
}

impl Frames {
    fn is_between(&self) -> bool {
        self.left == 0 && self.head_len == 0
    }

    /// Goes on to where the next message begins, and says how long it is; none when that is not here.
    fn pass(&mut self, rest: &mut &[u8]) -> Option<usize> {
        loop {
            let step = self.left.min(rest.len());
            (self.left, *rest) = (self.left - step, &rest[step..]);
            let (byte, after) = rest.split_first()?;
            (self.head[self.head_len], *rest) = (*byte, after);
            self.head_len += 1;
            if self.head_len == HEAD_BYTES {
                self.begun = true;
                let [_, len @ ..] = self.head;
                self.head_len = 0;
                self.left = u32::from_be_bytes(len) as usize;
                return Some(self.left);
            }
        }
    }
}

impl Room {
    pub(crate) fn new(places: &Arc<Semaphore>) -> Self {
        Self(Arc::new(Shared { places: Arc::clone(places), taken: Mutex::default() }))
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<OwnedSemaphorePermit>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a message of so many bytes; one that is too long is refused when it is read. A stream
    /// that rests waits for as long as it takes, a single call for a moment.
    async fn take(&self, len: usize, intake: &Intake) -> Result<(), Error> {
        let len = if len > KV_MESSAGE_BYTES_MAX { 0 } else { len };
        let len = u32::try_from(len).expect("the longest message is far below 4 GiB");
        let places = &self.0.places;
        let permit = match Arc::clone(places).try_acquire_many_owned(len) {
            Ok(permit) => permit,
            Err(_) => {
                let waited = Arc::clone(places).acquire_many_owned(len);
                let permit = tokio::select! {
                    biased;
                    permit = waited => permit.ok(),
                    () = intake.clock.sleep(KV_ROOM_WAIT_MAX), if !intake.rests => None,
                };
                permit.ok_or(Error::NoRoom)?
            }
        };
        self.taken().push_back(permit);
        Ok(())
    }

    /// The room of the next message, for as long as it is kept.
    pub(crate) fn of_next(&self) -> Option<OwnedSemaphorePermit> {
        self.taken().pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(body: &[u8], piece: usize) -> (Vec<usize>, bool) {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for mut rest in body.chunks(piece) {
            while let Some(len) = frames.pass(&mut rest) {
                found.push(len);
            }
        }
        (found, frames.is_between())
    }

    #[test]
    fn messages_are_found_however_the_body_is_cut() {
        let mut body = Vec::new();
        for len in [0_usize, 1, 300, 0, 7] {
            body.push(0);
            body.extend(u32::try_from(len).unwrap().to_be_bytes());
            body.extend(std::iter::repeat_n(9, len));
        }
        for piece in 1..=body.len() {
            assert_eq!(lengths(&body, piece), (vec![0, 1, 300, 0, 7], true));
            assert_eq!(lengths(&body[..body.len() - 1], piece), (vec![0, 1, 300, 0, 7], false));
        }
        assert_eq!(lengths(&body[..3], 1), (vec![], false));
    }
}
