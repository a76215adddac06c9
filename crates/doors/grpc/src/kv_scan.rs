//! KvAPI: entries of one state, part by part.

use std::collections::VecDeque;
use std::sync::Arc;

use cairn_kv::{Entry, KeyRange, Kv, Namespace, Page, Scan, Seq};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

use crate::door::Api;
use crate::error::Error;
use crate::follow::stop;
use crate::gate::Call;
use crate::kv_messages::{self as messages, namespace, range};
use crate::limits::{KV_PART_BYTES, SCAN_ENTRIES};
use crate::proto::kv::v1::{ScanRequest, ScanResponse, scan_request};

/// A scan under way.
struct Scanning {
    call: Call,
    kv: Kv,
    namespace: Namespace,
    /// The next page; none after the last.
    scan: Option<Scan>,
    /// Entries that are still asked for.
    left: u64,
    read: VecDeque<Entry>,
    at: Seq,
    begun: bool,
    stopped: Option<watch::Receiver<bool>>,
    /// Kept to the end of the stream.
    _place: OwnedSemaphorePermit,
}

impl Api {
    pub(crate) async fn scan_keys(
        &self,
        mut call: Call,
        asked: ScanRequest,
    ) -> Result<BoxStream<'static, Result<ScanResponse, Status>>, Error> {
        drop(call.held());
        let at = match asked.at {
            None => messages::state(None, None),
            Some(scan_request::At::AtSeq(seq)) => messages::state(Some(seq), None),
            Some(scan_request::At::AtMs(time_ms)) => messages::state(None, Some(time_ms)),
        };
        let scan = Scan {
            range: range(asked.range)?.unwrap_or_else(KeyRange::all),
            reverse: asked.reverse,
            limit: SCAN_ENTRIES,
            keys_only: asked.keys_only,
            at,
            cursor: None,
        };
        let place = Arc::clone(&self.scans).acquire_owned().await;
        let mut scanning = Scanning {
            call,
            kv: self.kv()?.clone(),
            namespace: namespace(asked.namespace.as_ref())?,
            scan: Some(scan),
            left: if asked.limit == 0 { u64::MAX } else { asked.limit },
            read: VecDeque::new(),
            at: Seq::default(),
            begun: false,
            stopped: self.stopped.clone(),
            _place: place.map_err(|_| cairn_env::Lost)?,
        };
        // Whether it can be read is said by the status.
        scanning.read_page().await?;
        let parts = futures::stream::try_unfold(scanning, |mut scanning| async move {
            let part = scanning.part().await?;
            Ok::<_, Status>(part.map(|part| (part, scanning)))
        });
        Ok(parts.boxed())
    }
}

impl Scanning {
    async fn read_page(&mut self) -> Result<(), Error> {
        let Some(mut scan) = self.scan.take() else { return Ok(()) };
        scan.limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(SCAN_ENTRIES);
        let reading = self.kv.scan(&self.namespace, &scan);
        let Page { entries, at, next } = tokio::select! {
            biased;
            () = stop(self.stopped.as_mut()) => return Err(Error::Stopping),
            page = reading => page?,
        };
        self.left = self.left.saturating_sub(entries.len() as u64);
        (self.read, self.at) = (entries.into(), at);
        if next.is_some() && self.left > 0 {
            scan.cursor = next;
            self.scan = Some(scan);
        }
        Ok(())
    }

    /// The next part; none after the last. Nobody is told who may not read it any more (ACCESS-5).
    async fn part(&mut self) -> Result<Option<ScanResponse>, Error> {
        while self.read.is_empty() && self.scan.is_some() {
            self.call.again().await?;
            self.read_page().await?;
        }
        if self.read.is_empty() && std::mem::replace(&mut self.begun, true) {
            return Ok(None);
        }
        self.begun = true;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = self.read.front() {
            bytes += entry.key.len() + entry.value.len();
            if bytes > KV_PART_BYTES && !entries.is_empty() {
                break;
            }
            entries.extend(self.read.pop_front().map(messages::entry));
        }
        Ok(Some(ScanResponse { entries, at: self.at.0 }))
    }
}
