//! An archive that comes in while it is pushed: from whoever receives it, in pieces, to the thread
//! that reads it. Only a feed that was ended gives a push that publishes: one that breaks off is an
//! error of the archive, wherever it does.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// Pieces on their way to the reader.
const PIECES_AHEAD: usize = 4;

/// The side that receives an archive. Dropped without [`ArchiveFeed::end`], it makes the push fail.
pub struct ArchiveFeed(mpsc::Sender<Option<Bytes>>);

/// The push reads no more: it failed, and says why itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedClosed;

/// The side that is pushed, as [`crate::Source::Stream`]. It can be read once.
#[derive(Clone)]
pub struct ArchiveStream(Arc<Mutex<Option<Incoming>>>);

struct Incoming {
    pieces: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    ended: bool,
}

/// A way for an archive from whoever receives it to a push.
#[must_use]
pub fn archive_feed() -> (ArchiveFeed, ArchiveStream) {
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let incoming = Incoming { pieces, piece: Bytes::new(), ended: false };
    (ArchiveFeed(sender), ArchiveStream(Arc::new(Mutex::new(Some(incoming)))))
}

impl ArchiveFeed {
    /// Gives the next bytes, when there is room for them.
    ///
    /// # Errors
    /// [`FeedClosed`].
    pub async fn send(&self, piece: Bytes) -> Result<(), FeedClosed> {
        self.0.send(Some(piece)).await.map_err(|_| FeedClosed)
    }

    /// Says that the archive is whole.
    ///
    /// # Errors
    /// [`FeedClosed`].
    pub async fn end(self) -> Result<(), FeedClosed> {
        self.0.send(None).await.map_err(|_| FeedClosed)
    }
}

impl ArchiveStream {
    pub(super) fn take(&self) -> io::Result<Box<dyn Read>> {
        let incoming = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let incoming = incoming.ok_or_else(|| io::Error::other("it was read already"))?;
        Ok(Box::new(incoming))
    }
}

impl fmt::Debug for ArchiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArchiveStream")
    }
}

impl Read for Incoming {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => self.piece = piece,
                Some(None) => self.ended = true,
                None => {
                    let broken = "the stream broke off before the archive was whole";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, broken));
                }
            }
        }
        let len = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..len]);
        Ok(len)
    }
}
