//! KvAPI: changes of keys as they come. Nothing is left out (KV-3): a client that comes back with the
//! last position that it was told goes on there, or is told that it cannot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_env::Clock;
use cairn_kv::{Changes, Follow, KeyRange, Seq, What};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

use crate::door::Api;
use crate::error::Error;
use crate::follow::stop;
use crate::gate::Call;
use crate::kv_messages::{self as messages, namespace, range};
use crate::limits::{ASK_EVERY, FOLLOWS_MAX, KV_PART_BYTES, WATCH_HEARTBEAT_EVERY};
use crate::proto::kv::v1::{WatchRequest, WatchResponse};

/// A caller that watches keys.
struct Watching {
    call: Call,
    follow: Follow,
    ready: VecDeque<WatchResponse>,
    /// All commits up to here are in what was made ready.
    position: Seq,
    clock: Arc<dyn Clock>,
    stopped: Option<watch::Receiver<bool>>,
    /// Kept to the end of the stream.
    _place: OwnedSemaphorePermit,
}

impl Api {
    pub(crate) async fn watch_keys(
        &self,
        mut call: Call,
        asked: WatchRequest,
    ) -> Result<BoxStream<'static, Result<WatchResponse, Status>>, Error> {
        let place = Arc::clone(&self.follows).try_acquire_owned();
        let place = place.map_err(|_| Error::Busy { what: "streams", max: FOLLOWS_MAX })?;
        drop(call.held());
        let named = namespace(asked.namespace.as_ref())?;
        let range = range(asked.range)?.unwrap_or_else(KeyRange::all);
        let mut follow = self.kv()?.follow(&named, range, asked.after.map(Seq)).await?;
        let position = follow.after();
        // Whether it can be followed is said by the status.
        let first = follow.next(Duration::ZERO).await?;
        let begin = WatchResponse { changes: Vec::new(), position: position.0 };
        let mut watching = Watching {
            call,
            follow,
            ready: VecDeque::from([begin]),
            position,
            clock: Arc::clone(&self.env().clock),
            stopped: self.stopped.clone(),
            _place: place,
        };
        if !first.changes.is_empty() {
            watching.make_ready(first);
        }
        let parts = futures::stream::try_unfold(watching, |mut watching| async move {
            let part = watching.part().await?;
            Ok::<_, Status>(Some((part, watching)))
        });
        Ok(parts.boxed())
    }
}

impl Watching {
    async fn part(&mut self) -> Result<WatchResponse, Error> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(part);
            }
            let told = self.next().await?;
            self.make_ready(told);
        }
    }

    /// The next changes, or none when there were none for a while, for a caller that may still see them
    /// (ACCESS-5).
    async fn next(&mut self) -> Result<Changes, Error> {
        let until = self.clock.monotonic() + WATCH_HEARTBEAT_EVERY;
        loop {
            let left = until.saturating_sub(self.clock.monotonic()).min(ASK_EVERY);
            let told = tokio::select! {
                biased;
                () = stop(self.stopped.as_mut()) => return Err(Error::Stopping),
                told = self.follow.next(left) => told,
            };
            self.call.again().await?;
            let over = self.clock.monotonic() >= until;
            match told {
                Ok(told) if !told.changes.is_empty() || over => return Ok(told),
                Ok(_) => {}
                // It is looked at again in a moment; what came meanwhile is told then.
                Err(error) if matches!(error.kind(), ErrorKind::Retry) && !over => {
                    tracing::debug!(%error, "keys that are watched could not be looked at");
                    self.clock.sleep(left).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Cuts changes into parts. A part's position is the last commit of which nothing is left.
    fn make_ready(&mut self, told: Changes) {
        let mut changes = told.changes.into_iter().peekable();
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(change) = changes.next() {
            bytes += match &change.what {
                What::Put(entry) => entry.key.len() + entry.value.len(),
                What::Deleted { key, .. } => key.len(),
                What::RangeDeleted(range) => range.from.len(),
            };
            let seq = change.seq;
            part.push(messages::change(change));
            if changes.peek().is_none_or(|next| next.seq != seq) {
                self.position = seq;
            }
            if bytes >= KV_PART_BYTES && changes.peek().is_some() {
                let changes = std::mem::take(&mut part);
                self.ready.push_back(WatchResponse { changes, position: self.position.0 });
                bytes = 0;
            }
        }
        self.position = told.upto;
        self.ready.push_back(WatchResponse { changes: part, position: told.upto.0 });
    }
}
