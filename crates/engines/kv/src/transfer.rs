//! Whole namespaces as lines, out and in.

use bytes::Bytes;
use cairn_partition::{AnyPartition, At, Commit, KeyRange, Op, Scan};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::lines::{Lines, decode, encode};
use crate::{Error, Pieces};

/// Entries that are put by one commit of an import at most, and their bytes, give or take one entry.
const BATCH_ENTRIES_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Entries that are read at a time for an export.
const EXPORT_ENTRIES: usize = 1000;

/// What an import put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Entries.
    pub entries: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// The last commit; 0 when there was nothing to put.
    pub seq: u64,
}

/// All of a range, of one state (KV-1).
pub(crate) fn export(partition: AnyPartition, range: KeyRange, at: At) -> Pieces {
    let scan = Scan { at, limit: EXPORT_ENTRIES, ..Scan::of(range) };
    Box::pin(futures::stream::try_unfold(Some((partition, scan)), |state| async move {
        let Some((partition, mut scan)) = state else { return Ok(None) };
        let page = partition.scan(&scan).await?;
        let mut lines = Vec::new();
        page.entries.iter().for_each(|entry| encode(entry, &mut lines));
        let next = page.next.map(|cursor| {
            scan.cursor = Some(cursor);
            (partition, scan)
        });
        Ok(Some((Bytes::from(lines), next)))
    }))
}

/// An import under way.
struct Import {
    partition: AnyPartition,
    done: Imported,
    ops: Vec<Op>,
    bytes: usize,
    /// The line that was read last, and the last one that is in.
    line: u64,
    line_in: u64,
}

/// Puts what the lines say, in their order.
pub(crate) async fn import(partition: AnyPartition, mut pieces: Pieces) -> Result<Imported, Error> {
    let done = Imported::default();
    let mut import = Import { partition, done, ops: Vec::new(), bytes: 0, line: 0, line_in: 0 };
    let mut lines = Lines::default();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => lines.push(&piece),
            Err(error) => return Err(import.ended(&error)),
        }
        loop {
            match lines.next_line() {
                Ok(Some(line)) => import.take(&line).await?,
                Ok(None) => break,
                Err(error) => {
                    import.line += 1;
                    return Err(import.refused(error).await);
                }
            }
        }
    }
    import.take(&lines.last()).await?;
    import.flush().await?;
    Ok(import.done)
}

impl Import {
    async fn take(&mut self, line: &[u8]) -> Result<(), Error> {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match decode(line) {
            Ok((key, value, expires_ms)) => {
                self.bytes += key.len() + value.len();
                self.ops.push(Op::Put { key, value, expires_ms });
            }
            Err(error) => return Err(self.refused(error).await),
        }
        if self.ops.len() >= BATCH_ENTRIES_MAX || self.bytes >= BATCH_BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let ops = std::mem::take(&mut self.ops);
        if !ops.is_empty() {
            let (entries, bytes) = (ops.len() as u64, std::mem::take(&mut self.bytes) as u64);
            let commit = Commit { ops, ..Commit::default() };
            let committed = self.partition.commit(commit).await;
            let committed = committed.map_err(|error| self.ended(&error.into()))?;
            self.done.entries += entries;
            self.done.bytes += bytes;
            self.done.seq = committed.seq.0;
        }
        self.line_in = self.line;
        Ok(())
    }

    /// What is said of a line that is none, when those before it are in.
    async fn refused(&mut self, error: Error) -> Error {
        let line = self.line;
        match self.flush().await {
            Ok(()) => Error::Line { line, why: error.to_string(), entries: self.done.entries },
            Err(failed) => failed,
        }
    }

    fn ended(&self, error: &Error) -> Error {
        let Imported { entries, .. } = self.done;
        Error::Import { line: self.line_in, entries, why: error.to_string(), kind: error.kind() }
    }
}
