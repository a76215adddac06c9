//! The one who waits until what was written is durable, and says so, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::channel::oneshot;
use slatedb::DbStatus;
use tokio::sync::{mpsc, watch};

use super::Shared;
use super::batch::answer;
use super::sequencer::Waiter;
use crate::view::View;
use crate::{Committed, Durable, Error, Seq};

/// Batches that are acknowledged together at most.
const TOGETHER_MAX: usize = 64;

/// Somebody who waits until a batch is durable at a level, and what he is told then.
pub(super) type Waiting = (Waiter, Result<Committed, Error>, Durable);

/// A batch that is on its way to being durable.
pub(super) struct Written {
    pub(super) slate_seq: u64,
    /// Its last commit, if it has any.
    pub(super) last: Option<Seq>,
    pub(super) waiters: Vec<Waiting>,
    pub(super) settled: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Written {
    /// Rows that are no commit.
    pub(super) fn rows(slate_seq: u64, done: oneshot::Sender<Result<(), Error>>) -> Self {
        Self { slate_seq, last: None, waiters: Vec::new(), settled: Some(done) }
    }

    /// Commits that change nothing are acknowledged when all before them are.
    pub(super) fn nothing(shared: &Shared, waiters: Vec<Waiting>) -> Option<Self> {
        let slate_seq = 0;
        let last = Some(shared.newest());
        (!waiters.is_empty()).then_some(Self { slate_seq, last, waiters, settled: None })
    }
}

pub(super) async fn run(shared: Arc<Shared>, mut written: mpsc::Receiver<Written>) {
    let View::Owned(db) = &shared.view else { return };
    let mut status = db.subscribe();
    let mut together = Vec::new();
    while written.recv_many(&mut together, TOGETHER_MAX).await > 0 {
        for batch in std::mem::take(&mut together) {
            let outcome = synced(&mut status, batch.slate_seq).await;
            acknowledge(&shared, batch, outcome).await;
        }
    }
}

/// Waits until the log has synced it and the node may say so.
async fn synced(status: &mut watch::Receiver<DbStatus>, seq: u64) -> Result<(), Error> {
    let reached = |status: &DbStatus| status.durable_seq >= seq || status.close_reason.is_some();
    let found = status.wait_for(reached).await;
    let durable = found.is_ok_and(|status| status.durable_seq >= seq);
    if durable {
        return Ok(());
    }
    Err(Error::InDoubt { why: String::from("the log closed before it confirmed it") })
}

async fn acknowledge(shared: &Arc<Shared>, batch: Written, outcome: Result<(), Error>) {
    let Written { last, waiters, settled, .. } = batch;
    let level = shared.settings().durable;
    let shipped = match (&outcome, level) {
        (Ok(()), Durable::Bucket) => shared.ownership.shipped().await,
        _ => outcome,
    };
    if let Err(why) = shipped.map_err(|why| why.in_doubt()) {
        waiters.into_iter().for_each(|(waiter, ..)| answer(waiter, Err(why.clone())));
        drop(settled.map(|done| done.send(Err(why.clone()))));
        shared.fail(&why);
        return;
    }
    if let Some(last) = last {
        shared.durable.fetch_max(last.0, Ordering::AcqRel);
        shared.moved.notify_waiters();
    }
    drop(settled.map(|done| done.send(Ok(()))));
    let mut raised = Vec::new();
    for (waiter, told, durable) in waiters {
        if durable > level {
            raised.push((waiter, told));
        } else {
            answer(waiter, told);
        }
    }
    if !raised.is_empty() {
        let shipped = shared.ownership.shipped();
        shared.env.spawn.task(Box::pin(async move {
            let outcome = shipped.await.map_err(|why| why.in_doubt());
            for (waiter, told) in raised {
                answer(waiter, outcome.clone().and(told));
            }
        }));
    }
}
