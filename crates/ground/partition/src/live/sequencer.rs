//! The one who changes a partition: takes what waits, decides in which order it happens, and writes it
//! together. The next batch is made while the one before is being synced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use tokio::sync::mpsc;

use super::Shared;
use super::acknowledge::{self, Written};
use super::batch::Batch;
use crate::{Commit, Committed, Error};

/// Commits that are written together at most.
const BATCH_COMMITS_MAX: usize = 512;
/// Bytes that are written together at most, give or take one commit.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Batches that may be on their way to being durable.
const BATCHES_MAX: usize = 64;
/// How long a timer runs at most: wall time may jump.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the sequencer is asked for.
pub(super) enum Message {
    Commit(Request),
    /// Delete what is over, and tell when that is acknowledged.
    Settle(oneshot::Sender<Result<(), Error>>),
    /// Write rows that are no commit.
    Rows(slatedb::WriteBatch, oneshot::Sender<Result<(), Error>>),
    /// Stop for this reason.
    Stop(String, oneshot::Sender<()>),
}

/// Who asked, and waits.
pub(super) type Waiter = oneshot::Sender<Result<Committed, Error>>;

/// A commit that waits for its turn.
pub(super) struct Request {
    pub(super) commit: Commit,
    ticket: Ticket,
    pub(super) waiter: Waiter,
}

impl Request {
    pub(super) fn new(commit: Commit) -> (Self, oneshot::Receiver<Result<Committed, Error>>) {
        let (waiter, answer) = oneshot::channel();
        let ticket = Ticket(Arc::new(AtomicU8::new(WAITS)));
        (Self { commit, ticket, waiter }, answer)
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }
}

const WAITS: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Whether a commit was taken, or its caller went away before that.
#[derive(Clone)]
pub(super) struct Ticket(Arc<AtomicU8>);

impl Ticket {
    /// True: it will never be made.
    pub(super) fn give_up(&self) -> bool {
        self.turn(GIVEN_UP)
    }

    fn take(&self) -> bool {
        self.turn(TAKEN)
    }

    fn turn(&self, to: u8) -> bool {
        self.0.compare_exchange(WAITS, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

pub(super) fn start(shared: Arc<Shared>, messages: mpsc::Receiver<Message>) {
    let (written, acknowledging) = mpsc::channel(BATCHES_MAX);
    let env = shared.env.clone();
    env.spawn.task(Box::pin(acknowledge::run(Arc::clone(&shared), acknowledging)));
    let sequencer = Sequencer { shared, messages, written };
    env.spawn.task(Box::pin(sequencer.run()));
}

struct Sequencer {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Message>,
    written: mpsc::Sender<Written>,
}

impl Sequencer {
    async fn run(mut self) {
        loop {
            let Some(message) = self.next().await else { continue };
            if let Message::Stop(why, done) = message {
                let what = self.shared.name.to_string();
                self.shared.fail(&Error::Closed { what, why });
                self.messages.close();
                // Gone on purpose: dropping tells that it has stopped.
                drop(done);
                return;
            }
            if let Err(why) = self.handle(message).await {
                self.shared.fail(&why);
            }
        }
    }

    /// The next message; `None` when what is over may be due first.
    async fn next(&mut self) -> Option<Message> {
        let due = self.shared.next_end_ms.load(Ordering::Acquire);
        if due == u64::MAX || self.shared.failed.get().is_some() {
            return self.messages.recv().await;
        }
        let left = Duration::from_millis(due.saturating_sub(self.shared.now_ms()));
        let room = self.shared.ownership.admit().is_ok();
        if left.is_zero() && room {
            return Some(Message::Settle(oneshot::channel().0));
        }
        let left = if room { left } else { LOOK_EVERY };
        let timer = self.shared.env.clock.sleep(left.min(LOOK_EVERY));
        tokio::select! {
            biased;
            message = self.messages.recv() => message,
            () = timer => None,
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        if let Some(why) = self.shared.failed.get() {
            refuse(message, why);
            return Ok(());
        }
        // A write that the log refuses would end the view.
        if let Err(why) = self.shared.ownership.admit() {
            refuse(message, &why);
            return Ok(());
        }
        let mut batch = Batch::begin(&self.shared);
        batch.expire().await?;
        let mut settled = None;
        match message {
            Message::Commit(request) => self.fill(&mut batch, request).await?,
            Message::Settle(done) => settled = Some(done),
            Message::Rows(rows, done) => {
                let seq = self.shared.view.write(rows).await?;
                return self.hand_on(Written::rows(seq, done)).await;
            }
            Message::Stop(..) => {}
        }
        match batch.write().await? {
            Some(mut written) => {
                written.settled = settled;
                self.hand_on(written).await
            }
            None => {
                if let Some(done) = settled {
                    // Whoever asked may be gone.
                    drop(done.send(Ok(())));
                }
                Ok(())
            }
        }
    }

    /// Takes what waits, as far as it fits.
    async fn fill(&mut self, batch: &mut Batch, request: Request) -> Result<(), Error> {
        let mut waiting = vec![request];
        let mut bytes = 0;
        while waiting.len() < BATCH_COMMITS_MAX && bytes < BATCH_BYTES_MAX {
            // Other messages are rare: one that is met here goes to the end of the queue.
            match self.messages.try_recv() {
                Ok(Message::Commit(request)) => {
                    bytes += request.commit.bytes();
                    waiting.push(request);
                }
                Ok(other) => {
                    self.put_back(other);
                    break;
                }
                Err(_) => break,
            }
        }
        batch.expect(&waiting);
        for request in waiting {
            if request.ticket.take() {
                batch.add(request).await?;
            }
        }
        Ok(())
    }

    fn put_back(&self, message: Message) {
        let queue = self.shared.queue.clone();
        self.shared.env.spawn.task(Box::pin(async move {
            // A queue that is closed has nobody who would wait for it.
            drop(queue.send(message).await);
        }));
    }

    async fn hand_on(&mut self, written: Written) -> Result<(), Error> {
        let stopped = || Error::Closed { what: self.shared.name.to_string(), why: String::new() };
        self.written.send(written).await.map_err(|_| stopped())
    }
}

fn refuse(message: Message, why: &Error) {
    // Whoever asked may be gone.
    match message {
        Message::Commit(request) => drop(request.waiter.send(Err(why.clone()))),
        Message::Settle(done) | Message::Rows(_, done) => drop(done.send(Err(why.clone()))),
        Message::Stop(_, done) => drop(done.send(())),
    }
}
