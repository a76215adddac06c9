//! What is over, and what lies before the history window.

use std::sync::atomic::Ordering;

use futures::channel::oneshot;
use slatedb::WriteBatch;

use super::Shared;
use super::batch::Batch;
use super::read::first;
use super::sequencer::Message;
use crate::view::damaged;
use crate::view::rows::{self, END};
use crate::{Error, KeyRange, Seq};

/// Entries that are deleted at once because they are over.
const EXPIRE_MAX: usize = 1000;
/// Rows that a sweep removes at once.
const SWEEP_ROWS_MAX: usize = 1000;

impl Batch {
    /// Deletes what is over by now.
    pub(super) async fn expire(&mut self) -> Result<(), Error> {
        if !self.shared.ends_are_due() {
            return Ok(());
        }
        let to = rows::end_key(self.now_ms.saturating_add(1), Seq(0), &[]);
        let shared = std::sync::Arc::clone(&self.shared);
        let mut ends = shared.view.rows(first(END), to, false).await?;
        let mut over = Vec::new();
        while over.len() < EXPIRE_MAX {
            let Some((row, _)) = ends.next().await? else { break };
            let (_, seq, key) = rows::parse_end_key(&row).ok_or_else(|| damaged(&row))?;
            over.push((key, seq, row));
        }
        let more = over.len() == EXPIRE_MAX;
        over.sort();
        for (key, seq, row) in over {
            // It may have been written again since.
            if self.written_by(&key).await? == Some(seq) {
                let now = self.next_seq();
                self.delete(now, key, true);
            }
            self.forget_end(&row);
        }
        let from = rows::end_key(self.now_ms.saturating_add(1), Seq(0), &[]);
        let next = if more { Some(self.now_ms) } else { shared.next_end_after(from).await? };
        self.ends_next(next.unwrap_or(u64::MAX));
        Ok(())
    }
}

impl Shared {
    pub(super) fn ends_are_due(&self) -> bool {
        self.next_end_ms.load(Ordering::Acquire) <= self.now_ms()
    }

    /// When the next entry is over, of those whose ends come at or after a row.
    async fn next_end_after(&self, from: bytes::Bytes) -> Result<Option<u64>, Error> {
        let mut ends = self.view.rows(from, first(END + 1), false).await?;
        let Some((row, _)) = ends.next().await? else { return Ok(None) };
        rows::parse_end_key(&row).map(|(ms, _, _)| Some(ms)).ok_or_else(|| damaged(&row))
    }

    /// Waits until what is over is deleted.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        self.ask(Message::Settle).await
    }

    async fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Message,
    ) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let asked = async {
            self.queue.send(message(done)).await.ok()?;
            answer.await.ok()
        };
        let deadline = self.env.clock.sleep(self.commit_wait);
        tokio::select! {
            biased;
            answer = asked => answer.unwrap_or_else(|| Err(self.stopped())),
            () = deadline => Err(self.busy()),
        }
    }

    /// Moves the horizon on and sweeps deleted ranges before it. True: there is more to do.
    pub(super) async fn tidy(&self) -> Result<bool, Error> {
        self.check()?;
        let oldest = self.oldest().await?;
        if oldest > self.horizon.get() {
            let mut row = WriteBatch::new();
            row.put(rows::OLDEST, oldest.0.to_le_bytes());
            self.ask(|done| Message::Rows(row, done)).await?;
            self.horizon.pass(oldest);
        }
        match self.ranges.oldest(self.horizon.get()) {
            Some((seq, range)) => self.sweep(seq, &range).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Removes the versions that a deleted range hides from every state that can be read, and then
    /// what is kept of the range.
    async fn sweep(&self, seq: Seq, range: &KeyRange) -> Result<(), Error> {
        let to = range.to.as_ref().map_or_else(rows::keys_end, |to| rows::keys_from(to));
        let mut hidden = self.view.rows(rows::keys_from(&range.from), to, false).await?;
        let mut removed = WriteBatch::new();
        let mut count = 0;
        while let Some((row, _)) = hidden.next().await? {
            let (_, version) = rows::parse_version_key(&row).ok_or_else(|| damaged(&row))?;
            if version < seq {
                removed.delete(&row);
                count += 1;
            }
            if count == SWEEP_ROWS_MAX {
                self.ask(|done| Message::Rows(std::mem::take(&mut removed), done)).await?;
                count = 0;
            }
        }
        removed.delete(rows::seq_key_of_range(seq, range));
        self.ask(|done| Message::Rows(removed, done)).await?;
        self.ranges.remove(seq, range);
        Ok(())
    }
}
