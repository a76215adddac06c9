//! Lines that functions write, on their way to the node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cairn_wasm::{Logs, Stream};

use super::Remote;
use crate::messages::{self, What};

/// Bytes of lines of one function that wait; more are counted and left out.
const WAITING_BYTES_MAX: usize = 1 << 20;

pub(in crate::inside) struct RemoteLogs {
    remote: Remote,
    waiting: Mutex<Waiting>,
    /// One at a time tells of lines, so that they come in their order.
    telling: tokio::sync::Mutex<()>,
    me: Weak<Self>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<(messages::Stream, String)>,
    bytes: usize,
    left_out: u64,
}

impl RemoteLogs {
    pub(super) fn new(remote: &Remote) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let (waiting, telling) = (Mutex::default(), tokio::sync::Mutex::default());
            Self { remote: remote.clone(), waiting, telling, me: me.clone() }
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all was told.
    pub(in crate::inside) fn is_empty(&self) -> bool {
        self.waiting().is_empty() && self.telling.try_lock().is_ok()
    }

    /// Tells all that was written before; returns when that is done.
    pub(in crate::inside) async fn flush(&self) {
        if self.is_empty() {
            return;
        }
        let _turn = self.telling.lock().await;
        let Waiting { lines, left_out, .. } = std::mem::take(&mut *self.waiting());
        if !lines.is_empty() || left_out > 0 {
            // A node that is gone wants no lines.
            drop(self.remote.alone::<()>(What::Log { lines, left_out }).await);
        }
    }

    /// Something more waits: it is told soon.
    fn added(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        add(&mut waiting);
        drop(waiting);
        if let Some(logs) = self.me.upgrade().filter(|_| first) {
            self.remote.env.spawn.task(Box::pin(async move { logs.flush().await }));
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.left_out == 0
    }
}

impl Logs for RemoteLogs {
    fn line(&self, stream: Stream, line: &str) {
        let stream = match stream {
            Stream::Stdout => messages::Stream::Out,
            Stream::Stderr => messages::Stream::Err,
        };
        self.added(|waiting| {
            let length = line.len() + 1;
            if waiting.bytes + length > WAITING_BYTES_MAX {
                waiting.left_out += length as u64;
                return;
            }
            waiting.bytes += length;
            waiting.lines.push((stream, line.to_owned()));
        });
    }

    fn left_out(&self, bytes: u64) {
        self.added(|waiting| waiting.left_out += bytes);
    }
}
