//! One connection: commands in, answers out in the order of the commands, and nobody waited for without
//! end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use cairn_env::{Clock, Patience};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::limits::{
    FREE_BYTES, IDLE_WAIT, OUT_BYTES, READ_BYTES, STALL_WAIT, STRANGER_WAIT, UNDER_WAY_MAX,
};
use crate::reply::Reply;
use crate::request::Reader;
use crate::session::{Session, Step};

/// Commands that were answered, and errors among them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) commands: AtomicU64,
    pub(crate) errors: AtomicU64,
}

/// What a connection has of its door.
pub(crate) struct Home {
    pub(crate) clock: Arc<dyn Clock>,
    /// Room for commands that are long, in KiB.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) counts: Arc<Counts>,
    /// Turns `true` when the node stops.
    pub(crate) ending: watch::Receiver<bool>,
}

/// A connection under way.
pub(crate) struct Connection<S> {
    stream: S,
    home: Home,
    session: Session,
    reader: Reader,
    buffer: BytesMut,
    out: BytesMut,
    /// Changes whose answers are still to come (REDIS-2).
    under_way: FuturesOrdered<BoxFuture<'static, Reply>>,
    room: Option<OwnedSemaphorePermit>,
    patience: Patience,
}

/// Why a connection ends.
type Ended = &'static str;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(crate) fn new(stream: S, home: Home, session: Session) -> Self {
        Self {
            stream,
            home,
            session,
            reader: Reader::default(),
            buffer: BytesMut::new(),
            out: BytesMut::new(),
            under_way: FuturesOrdered::new(),
            room: None,
            patience: Patience::new(STALL_WAIT),
        }
    }

    /// Answers until the client goes, is not worth waiting for, or the node stops.
    pub(crate) async fn run(mut self) {
        if let Err(why) = self.answer_all().await {
            tracing::debug!(why, "a connection ended");
        }
    }

    async fn answer_all(&mut self) -> Result<(), Ended> {
        let began = self.home.clock.monotonic();
        loop {
            self.answer_what_came().await?;
            self.settle(0).await;
            self.flush().await?;
            if self.reader.held() == 0 && !self.session.holds_words() {
                self.room = None;
            }
            if *self.home.ending.borrow() {
                return Err("the node stops");
            }
            let since = self.home.clock.monotonic().saturating_sub(began);
            let wait = match self.session.is_known() {
                false => STRANGER_WAIT.saturating_sub(since),
                true if self.reader.held() == 0 && self.buffer.is_empty() => IDLE_WAIT,
                true => self.patience.left(),
            };
            self.read(wait).await?;
        }
    }

    /// Does every command that is here as a whole.
    async fn answer_what_came(&mut self) -> Result<(), Ended> {
        loop {
            self.reader.lets_in(self.session.is_known());
            let words = match self.reader.next(&mut self.buffer) {
                Ok(Some(words)) => words,
                Ok(None) => return Ok(()),
                Err(wrong) => {
                    self.settle(0).await;
                    self.put(&Reply::Error(format!("ERR {wrong}")));
                    self.flush().await?;
                    return Err("what was sent is no command");
                }
            };
            self.patience = Patience::new(STALL_WAIT);
            // A page in a browser can send this, and nobody who means this door does.
            if [&b"POST"[..], b"Host:"].iter().any(|word| words[0].eq_ignore_ascii_case(word)) {
                return Err("it speaks HTTP");
            }
            let blind = self.session.is_blind(&words);
            self.settle(if blind { UNDER_WAY_MAX - 1 } else { 0 }).await;
            match self.session.take(words).await {
                Step::Done(reply) => {
                    // An error may come before what is under way is answered.
                    self.settle(0).await;
                    self.put(&reply);
                }
                Step::UnderWay(work) => {
                    // Those that are polled in their order wait in their order, unless one is told to yield.
                    self.under_way.push_back(Box::pin(tokio::task::unconstrained(work)));
                }
                Step::Last(reply) => {
                    self.put(&reply);
                    self.flush().await?;
                    return Err("the client is done");
                }
            }
            if self.out.len() > OUT_BYTES {
                self.flush().await?;
            }
        }
    }

    /// Waits until no more changes than so many are under way.
    async fn settle(&mut self, most: usize) {
        while self.under_way.len() > most {
            if let Some(reply) = self.under_way.next().await {
                self.put(&reply);
            }
        }
    }

    fn put(&mut self, reply: &Reply) {
        self.home.counts.commands.fetch_add(1, Ordering::Relaxed);
        if matches!(reply, Reply::Error(_)) {
            self.home.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
        reply.write(self.session.protocol, &mut self.out);
    }

    /// Reads something, within `wait`.
    async fn read(&mut self, wait: Duration) -> Result<(), Ended> {
        self.make_room().await?;
        let begun = self.home.clock.monotonic();
        let read = tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.buffer) => read.map_err(|_| "it broke")?,
            _ = self.home.ending.wait_for(|ending| *ending) => return Err("the node stops"),
            () = self.home.clock.sleep(wait) => return Err("the client is silent"),
        };
        let waited = self.home.clock.monotonic().saturating_sub(begun);
        self.patience.got(read, waited);
        if read == 0 { Err("the client is gone") } else { Ok(()) }
    }

    /// Makes room for what comes: beyond a little it is taken from all connections.
    async fn make_room(&mut self) -> Result<(), Ended> {
        let held = self.reader.held() + self.buffer.len();
        if held > FREE_BYTES {
            let has = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let lacks = u32::try_from((held / 1024 + 1).saturating_sub(has)).unwrap_or(u32::MAX);
            if lacks > 0 {
                let more = tokio::select! {
                    biased;
                    more = Arc::clone(&self.home.room).acquire_many_owned(lacks) => more,
                    () = self.home.clock.sleep(STALL_WAIT) => return Err("there is no room"),
                };
                let more = more.map_err(|_| "there is no room")?;
                match &mut self.room {
                    Some(room) => room.merge(more),
                    None => self.room = Some(more),
                }
            }
        }
        let awaited = self.reader.awaited().saturating_sub(self.buffer.len());
        self.buffer.reserve(awaited.max(READ_BYTES));
        Ok(())
    }

    /// Sends all answers, to a client that takes them.
    async fn flush(&mut self) -> Result<(), Ended> {
        let mut patience = Patience::new(STALL_WAIT);
        while !self.out.is_empty() {
            let begun = self.home.clock.monotonic();
            let sent = tokio::select! {
                biased;
                sent = self.stream.write(&self.out) => sent.map_err(|_| "it broke")?,
                () = self.home.clock.sleep(patience.left()) => return Err("it takes nothing"),
            };
            if sent == 0 {
                return Err("it broke");
            }
            patience.got(sent, self.home.clock.monotonic().saturating_sub(begun));
            self.out.advance(sent);
        }
        self.stream.flush().await.map_err(|_| "it broke")
    }
}
