//! The node's log as the tree's write-ahead log.
//!
//! A batch of the tree's rows is one append; a frame holds the appends of one group. In a frame each
//! append is:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the tree's sequence number, little-endian |
//! | varint | rows |
//! | for each row | flags (1 byte: bits 0-1 kind, 0 value, 1 merge, 2 tombstone; bit 2 made at; bit 3 over at), [made at, 8 bytes], [over at, 8 bytes], length of the key as a varint, the key, and unless it is a tombstone the length of the value as a varint and the value |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use cairn_base::varint;
use cairn_env::Env;
use slatedb::manifest::{SsTableView, VersionedManifest};
use slatedb::object_store::path::Path;
use slatedb::wal::{
    WalAdmin, WalError, WalEvent, WalFileRange, WalFlushResult, WalGc, WalIterator, WalObserver,
    WalRows, WalStatus, WalStatusListener, WalWriter, WriterInit, WriterInitResult, WriterManifest,
};
use slatedb::{RowEntry, ValueDeletable};
use tokio::sync::mpsc;

use super::Clock;
use crate::log::{Event, Frame, Writer, WriterStatus};
use crate::{Error, Seq};

/// Frames that are decoded before their turn.
const FRAMES_AHEAD: usize = 4;

const KIND: u8 = 3;
const MADE: u8 = 4;
const OVER: u8 = 8;

/// Frames of a partition, the oldest first, out of one log or several.
#[async_trait]
pub(crate) trait Frames: Send + 'static {
    async fn next(&mut self) -> Result<Option<Frame>, Error>;
}

/// Where frames come from, and who writes those that follow: made before the tree is opened, after
/// the ownership was taken.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// The frames after `after`, which the tree does not have: it has every batch up to `seq`, and
    /// each batch's number is one more than that of the one before.
    async fn frames(&self, after: u64, seq: Seq) -> Result<Box<dyn Frames>, Error>;
    /// The writer, at least after `after`.
    fn writer(&self, after: u64) -> Result<Writer, Error>;
}

/// When a memtable is flushed before it is full.
#[derive(Clone, Copy)]
pub(crate) struct FlushWhen {
    /// So many bytes of the log are only in memory and in the log.
    pub(crate) log_bytes: u64,
}

/// Opens the log for the tree.
pub(crate) struct Init {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) flush_when: FlushWhen,
    /// The tree's clock, which is no earlier than what earlier owners wrote.
    pub(crate) clock: Clock,
    pub(crate) env: Env,
}

#[async_trait]
impl WriterInit for Init {
    async fn fence_and_init(
        &self,
        manifest: &mut WriterManifest,
    ) -> Result<WriterInitResult, WalError> {
        let after = manifest.replay_after_wal_id();
        pass(&self.clock, &manifest.manifest());
        let seq = Seq(manifest.manifest().last_l0_seq());
        let frames = self.source.frames(after, seq).await.map_err(wal_error)?;
        // The manifest may count frames that were lost with their node: their numbers are not used
        // again, and the tree refuses a log that ends before what it has heard of.
        let heard_of = manifest.manifest().next_wal_sst_id().saturating_sub(1);
        let writer = self.source.writer(after.max(heard_of)).map_err(wal_error)?;
        let wal_writer = Box::new(Wal { writer, flush_when: self.flush_when });
        let replay_iterator = Box::new(Replay::start(frames, self.clock.clone(), &self.env));
        Ok(WriterInitResult { replay_iterator, wal_writer })
    }
}

/// The tree refuses rows and tables that are older than those it has.
fn pass(clock: &Clock, manifest: &VersionedManifest) {
    clock.pass(manifest.last_l0_clock_tick());
    let made = |view: &SsTableView| view.id.timestamp_ms().max(view.sst.id.value().timestamp_ms());
    if let Some(ms) = manifest.all_sst_views().map(made).max() {
        clock.pass(i64::try_from(ms).unwrap_or(i64::MAX));
    }
}

/// The log of a view of which all that counts has been written, as those see it who clone views.
pub(crate) struct Written;

#[async_trait]
impl WalAdmin for Written {
    fn garbage_collector(&self, _: &Path) -> Arc<dyn WalGc> {
        Arc::new(Self)
    }

    async fn delete_wal(&self, _: &Path, _: bool) -> Result<Vec<String>, WalError> {
        Ok(Vec::new())
    }

    async fn is_empty(&self, _: &Path, after: u64, last: u64) -> Result<bool, WalError> {
        Ok(after >= last)
    }

    async fn clone_wal(
        &self,
        _: &Path,
        from: VersionedManifest,
        _: &Path,
    ) -> Result<(u64, u64), WalError> {
        Ok((from.replay_after_wal_id(), from.replay_after_wal_id()))
    }
}

/// A node's log holds frames of all its partitions, and lets go of them by itself.
#[async_trait]
impl WalGc for Written {
    async fn collect(&self, _: Vec<WalFileRange>, _: Duration, _: bool) -> Result<(), WalError> {
        Ok(())
    }
}

/// Frames are read and decoded while the rows of those before go into the tree.
struct Replay {
    decoded: mpsc::Receiver<Result<Option<WalRows>, WalError>>,
    clock: Clock,
}

impl Replay {
    fn start(mut frames: Box<dyn Frames>, clock: Clock, env: &Env) -> Self {
        let (sender, decoded) = mpsc::channel(FRAMES_AHEAD);
        env.spawn.task(Box::pin(async move {
            let mut more = true;
            while more {
                let next = match frames.next().await {
                    Ok(frame) => frame.as_ref().map(decoded_rows).transpose(),
                    Err(error) => Err(wal_error(error)),
                };
                more = matches!(next, Ok(Some(_)));
                // The replay may have been given up.
                more &= sender.send(next).await.is_ok();
            }
        }));
        Self { decoded, clock }
    }
}

/// What the tree takes of a frame.
pub(crate) fn decoded_rows(frame: &Frame) -> Result<WalRows, WalError> {
    Ok(WalRows { rows: rows_of(frame)?, last_consumed_wal_file_id: frame.id })
}

#[async_trait]
impl WalIterator for Replay {
    async fn next(&mut self) -> Result<Option<WalRows>, WalError> {
        // Whoever ends without a word was cut off (LOG-3).
        let next = self.decoded.recv().await.unwrap_or(Err(WalError::Closed))?;
        let Some(decoded) = next else { return Ok(None) };
        decoded.rows.iter().filter_map(|row| row.create_ts).for_each(|ms| self.clock.pass(ms));
        Ok(Some(decoded))
    }
}

fn rows_of(frame: &Frame) -> Result<Vec<RowEntry>, WalError> {
    decode(frame.payload.clone()).ok_or_else(|| {
        let what = format!("frame {} of {:?}", frame.id, frame.epoch);
        let why = String::from("its rows have no valid encoding");
        wal_error(Error::Corrupt { what, offset: 0, why })
    })
}

struct Wal {
    writer: Writer,
    flush_when: FlushWhen,
}

#[async_trait]
impl WalWriter for Wal {
    async fn append(&mut self, rows: &[RowEntry]) -> Result<(), WalError> {
        let Some(seq) = rows.first().map(|row| row.seq) else { return Ok(()) };
        let appended = self.writer.append_with(Seq(seq), Seq(seq), |out| encode(rows, seq, out));
        appended.map_err(wal_error)
    }

    async fn flush(&mut self) -> Result<WalFlushResult, WalError> {
        let (wal_id, done) = self.writer.flush();
        let completion = Box::pin(async move { done.await.map_err(wal_error) });
        Ok(WalFlushResult { wal_id, completion })
    }

    fn should_flush_memtable(&self, replay_after_wal_id: u64) -> bool {
        self.writer.bytes_since(replay_after_wal_id) >= self.flush_when.log_bytes
    }

    fn observer(&self) -> Box<dyn WalObserver> {
        Box::new(Observer(self.writer.clone()))
    }

    fn status(&self) -> Result<WalStatus, WalStatus> {
        status(self.writer.status())
    }

    async fn close(&mut self) -> Result<(), WalError> {
        self.writer.close().await.map_err(wal_error)
    }
}

struct Observer(Writer);

impl WalObserver for Observer {
    fn status(&self) -> Result<WalStatus, WalStatus> {
        status(self.0.status())
    }

    fn subscribe(&self, listener: WalStatusListener) -> Result<(), WalError> {
        self.0.subscribe(Arc::new(move |event| match event {
            Event::Durable(now) => listener(WalEvent::WalFlushed(wal_status(now))),
            Event::Closed(now) => listener(WalEvent::WalClosed(wal_status(now))),
        }));
        Ok(())
    }
}

fn status(now: WriterStatus) -> Result<WalStatus, WalStatus> {
    let closed = now.closed.is_some();
    let now = wal_status(now);
    if closed { Err(now) } else { Ok(now) }
}

fn wal_status(now: WriterStatus) -> WalStatus {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    WalStatus {
        closed_reason: now.closed.map(wal_error),
        estimated_bytes: count(now.buffered_bytes),
        last_flushed_wal_id: now.last_durable_id,
        last_flushed_seq: now.last_durable_seq.map(|seq| seq.0),
        buffered_wal_entries_count: count(now.buffered_appends),
    }
}

pub(crate) fn wal_error(error: Error) -> WalError {
    match error {
        Error::Fenced { .. } => WalError::Fenced,
        Error::Closed { .. } => WalError::Closed,
        Error::Corrupt { .. } => WalError::DataError(Arc::new(error)),
        error => WalError::Unavailable(Arc::new(error)),
    }
}

pub(super) fn encode(rows: &[RowEntry], seq: u64, out: &mut Vec<u8>) {
    out.extend(seq.to_le_bytes());
    varint::put(out, rows.len() as u64);
    for row in rows {
        let (kind, value) = match &row.value {
            ValueDeletable::Value(value) => (0, Some(value)),
            ValueDeletable::Merge(value) => (1, Some(value)),
            ValueDeletable::Tombstone => (2, None),
        };
        let made = if row.create_ts.is_some() { MADE } else { 0 };
        let over = if row.expire_ts.is_some() { OVER } else { 0 };
        out.push(kind | made | over);
        out.extend(row.create_ts.map(i64::to_le_bytes).iter().flatten());
        out.extend(row.expire_ts.map(i64::to_le_bytes).iter().flatten());
        bytes(&row.key, out);
        if let Some(value) = value {
            bytes(value, out);
        }
    }
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The rows of a frame; `None` when they are none.
pub(super) fn decode(mut frame: Bytes) -> Option<Vec<RowEntry>> {
    let mut rows = VecDeque::new();
    while !frame.is_empty() {
        let seq = frame.try_get_u64_le().ok()?;
        let count = take_varint(&mut frame)?;
        for _ in 0..count {
            rows.push_back(decode_row(seq, &mut frame)?);
        }
    }
    Some(rows.into())
}

fn decode_row(seq: u64, frame: &mut Bytes) -> Option<RowEntry> {
    let flags = frame.try_get_u8().ok()?;
    let time = |frame: &mut Bytes, has| match flags & has {
        0 => Some(None),
        _ => frame.try_get_i64_le().ok().map(Some),
    };
    let create_ts = time(frame, MADE)?;
    let expire_ts = time(frame, OVER)?;
    let key = take_bytes(frame)?;
    let value = match flags & KIND {
        0 => ValueDeletable::Value(take_bytes(frame)?),
        1 => ValueDeletable::Merge(take_bytes(frame)?),
        2 => ValueDeletable::Tombstone,
        _ => return None,
    };
    Some(RowEntry { key, value, seq, create_ts, expire_ts })
}

fn take_varint(frame: &mut Bytes) -> Option<u64> {
    let mut rest: &[u8] = frame;
    let value = varint::take(&mut rest)?;
    frame.advance(frame.len() - rest.len());
    Some(value)
}

fn take_bytes(frame: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(take_varint(frame)?).ok().filter(|len| *len <= frame.len())?;
    Some(frame.split_to(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = RowEntry> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let value = prop_oneof![
            bytes().prop_map(ValueDeletable::Value),
            bytes().prop_map(ValueDeletable::Merge),
            Just(ValueDeletable::Tombstone),
        ];
        (bytes(), value, any::<Option<i64>>(), any::<Option<i64>>()).prop_map(
            |(key, value, create_ts, expire_ts)| RowEntry {
                key,
                value,
                seq: 0,
                create_ts,
                expire_ts,
            },
        )
    }

    proptest! {
        #[test]
        fn rows_come_back(batches in proptest::collection::vec(proptest::collection::vec(row(), 1..5), 0..4)) {
            let (mut frame, mut expected) = (Vec::new(), Vec::new());
            for (seq, batch) in batches.into_iter().enumerate() {
                let seq = seq as u64 * 7;
                encode(&batch, seq, &mut frame);
                expected.extend(batch.into_iter().map(|row| RowEntry { seq, ..row }));
            }
            prop_assert_eq!(decode(frame.into()), Some(expected));
        }

        #[test]
        fn any_bytes_end(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(frame.into()));
        }
    }
}
