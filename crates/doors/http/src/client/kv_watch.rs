//! Watching keys on a node.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_datasets::Error as NodeError;
use cairn_kv::{Changes, Error, KeyRange, Lines, Namespace, Seq};
use futures::{Stream, StreamExt as _};

use super::http::{Node, strange};
use super::kv::{add, add_range, path, told};
use crate::api::{KeyChange, KeyChangeKind};
use crate::limits::FOLLOW_HEARTBEAT_EVERY;

/// The pauses between attempts to reach the node: the first, and what they grow to.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// One that watches keys on a node, over as many connections as it takes.
pub(super) struct Watcher {
    node: Node,
    of: Namespace,
    range: KeyRange,
    /// All up to here was told; the first answer says it where nothing was asked for.
    after: Option<Seq>,
    open: Option<Told>,
    pause: Option<Duration>,
}

/// The lines of one answer.
struct Told {
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, NodeError>> + Send>>,
    lines: Lines,
    /// Changes of a commit that is not whole yet.
    part: Changes,
}

impl Watcher {
    /// A watch that is open.
    pub(super) async fn open(
        node: Node,
        of: Namespace,
        range: KeyRange,
        after: Option<Seq>,
    ) -> Result<Self, Error> {
        let mut watcher = Self { node, of, range, after, open: None, pause: None };
        watcher.open = Some(watcher.connect().await?);
        Ok(watcher)
    }

    pub(super) async fn next(&mut self) -> Result<Changes, Error> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.connect().await {
                    Ok(open) => self.open.insert(open),
                    // It comes back, or another node takes its place.
                    Err(Error::Remote { kind: ErrorKind::Closed | ErrorKind::Retry, message }) => {
                        tracing::debug!(message, "keys that are watched cannot be reached");
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let silence = 3 * FOLLOW_HEARTBEAT_EVERY;
            let told = tokio::select! {
                biased;
                told = open.next() => told?,
                // A node that says nothing at all is not there any more.
                () = self.node.env_ref().clock.sleep(silence) => None,
            };
            match told {
                Some(changes) => {
                    self.pause = None;
                    self.after = Some(changes.upto);
                    return Ok(changes);
                }
                None => self.open = None,
            }
        }
    }

    /// Asks for changes after the last that were told, with a pause before all but the first time.
    async fn connect(&mut self) -> Result<Told, Error> {
        if let Some(pause) = self.pause {
            self.node.env_ref().clock.sleep(pause).await;
        }
        self.pause = Some(self.pause.map_or(PAUSE, |pause| (2 * pause).min(PAUSE_MAX)));
        let mut query = String::new();
        add_range(&mut query, &self.range);
        if let Some(after) = self.after {
            add(&mut query, "after", &after.to_string());
        }
        let response = self.node.kv_lines(&path(&self.of, "watch"), &query).await?;
        let pieces = Box::pin(self.node.pieces(response));
        Ok(Told { pieces, lines: Lines::default(), part: Changes::default() })
    }
}

impl Told {
    /// The next whole commit, or a position; none when the connection is lost. Cancel safe.
    async fn next(&mut self) -> Result<Option<Changes>, Error> {
        loop {
            while let Some(line) = self.lines.next_line()? {
                let line: KeyChange = serde_json::from_slice(&line).map_err(|error| {
                    told(strange(&format!("a line of a watch is wrong: {error}")))
                })?;
                if line.kind == KeyChangeKind::End {
                    let end = line.error.unwrap_or_else(|| crate::api::FollowEnd {
                        kind: String::new(),
                        message: "the watch ended".to_owned(),
                    });
                    let kind = ErrorKind::parse(&end.kind).unwrap_or(ErrorKind::Internal);
                    return Err(Error::Remote { kind, message: end.message });
                }
                let (seq, last) = (Seq(line.seq), line.last);
                self.part.changes.extend(line.change()?);
                if last {
                    let part = std::mem::take(&mut self.part);
                    return Ok(Some(Changes { upto: seq, ..part }));
                }
            }
            match self.pieces.next().await {
                Some(Ok(piece)) => self.lines.push(&piece),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a watch broke off");
                    return Ok(None);
                }
                None => return Ok(None),
            }
        }
    }
}
