//! Reading on while what was read is on its way to a client.

use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{ContentStream, Inner, Piece, Plain, read_slices};
use crate::error::Error;

/// Bytes of chunks that are read at a time: their frames make a read of less than a mebibyte, which a
/// local bucket gives in one piece. A stream holds one more batch that waits and one that is being
/// given.
pub(super) const AHEAD_BYTES: u64 = 640 * 1024;
/// How many batches are read at once from a bucket that is far away. From one that is near it is one:
/// it is read and checked by one thread while another one sends what it read before, and the next batch
/// finds in memory the frame that both share.
const REMOTE_BATCHES_AT_ONCE: usize = 6;

/// Batches that a task reads.
pub(super) struct Ahead {
    batches: mpsc::Receiver<Result<Vec<Piece>, Error>>,
    /// Read and not yet given, the next one last.
    ready: Vec<Piece>,
}

impl Ahead {
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            if let Some(piece) = self.ready.pop() {
                return Ok(Some(piece));
            }
            let Some(batch) = self.batches.recv().await else { return Ok(None) };
            self.ready = batch?;
            self.ready.reverse();
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

impl ContentStream {
    /// From here on the rest is read by a task, a few megabytes ahead of who takes it; the task ends
    /// when this stream is dropped. What is rebuilt has its own thread already.
    #[must_use]
    pub fn reading_ahead(mut self) -> Self {
        if self.left == 0 {
            return self;
        }
        self.inner = match self.inner {
            Inner::Plain(plain) => {
                let (sender, batches) = mpsc::channel(1);
                let env = plain.browser.store().env().clone();
                let mut plain = *plain;
                let ready = std::mem::take(&mut plain.ready);
                let left = self.left.saturating_sub(ready.iter().map(Piece::len).sum());
                env.spawn.task(Box::pin(read_on(plain, left, sender)));
                Inner::Ahead(Box::new(Ahead { batches, ready }))
            }
            other => other,
        };
        self
    }
}

async fn read_on(plain: Plain, left: u64, sender: mpsc::Sender<Result<Vec<Piece>, Error>>) {
    let browser = plain.browser.clone();
    let at_once = if browser.is_remote() { REMOTE_BATCHES_AT_ONCE } else { 1 };
    // Where the slices lie is read in order, what they hold side by side.
    let batches = stream::try_unfold((plain, left), |(mut plain, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let (batch, bytes) = plain.batch(AHEAD_BYTES.min(left)).await?;
        if batch.is_empty() {
            return Ok(None);
        }
        Ok::<_, Error>(Some((batch, (plain, left.saturating_sub(bytes)))))
    });
    let reads = batches.map(|batch| {
        let browser = browser.clone();
        async move { read_slices(&browser, &batch?).await }
    });
    let mut reads = std::pin::pin!(reads.buffered(at_once));
    loop {
        let read = tokio::select! {
            biased;
            () = sender.closed() => return,
            read = reads.next() => read,
        };
        let Some(read) = read else { return };
        let failed = read.is_err();
        if sender.send(read).await.is_err() || failed {
            return;
        }
    }
}
