//! One connection: commands in, answers out in the order of the commands, and nobody waited for without
//! end.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use cairn_env::Clock;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Semaphore, watch};

use crate::command::Command;
use crate::keys::Heavy;
use crate::limits::{
    FREE_BYTES, IDLE_WAIT, LAST_WAIT, LOOK_EVERY, OUT_BYTES, PACE_BYTES, READ_BYTES,
    REQUEST_BYTES_MAX, STALL_WAIT, STRANGER_WAIT,
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
    /// Places of connections that hold much of commands.
    pub(crate) heavy: Arc<Semaphore>,
    pub(crate) counts: Arc<Counts>,
    /// Turns `true` when the node stops.
    pub(crate) ending: watch::Receiver<bool>,
}

/// A connection under way.
pub(crate) struct Connection<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    places: Arc<Semaphore>,
    session: Session,
    reader: Reader,
    buffer: BytesMut,
    /// Answers, and how much of them is sent; what was sent may still be in TLS.
    out: Vec<u8>,
    sent: usize,
    unflushed: bool,
    /// A place, as long as there is much in `buffer` or in what it has become; and one of what is in `out`.
    heavy: Option<Heavy>,
    heavy_out: Option<Heavy>,
    /// When the client became a stranger, if it is one.
    stranger: Option<Duration>,
    /// When the command under way began, or the last one was done; when the first answer in `out` was there.
    since: Duration,
    out_since: Duration,
    /// Runs until the times are looked at again.
    look: BoxFuture<'static, ()>,
    ending: BoxFuture<'static, ()>,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// There is nobody to talk to any more.
    Broken(&'static str),
    /// The client has its last answer.
    Done,
    /// The node stops.
    Stopped,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(crate) fn new(stream: S, home: Home, session: Session) -> Self {
        let Home { clock, heavy, counts, mut ending } = home;
        let now = clock.monotonic();
        Self {
            stream,
            counts,
            places: heavy,
            session,
            reader: Reader::default(),
            buffer: BytesMut::new(),
            out: Vec::new(),
            sent: 0,
            unflushed: false,
            heavy: None,
            heavy_out: None,
            stranger: Some(now),
            since: now,
            out_since: now,
            look: later(&clock),
            ending: async move { drop(ending.wait_for(|ending| *ending).await) }.boxed(),
            clock,
        }
    }

    /// Answers until the client goes, is not worth waiting for, or the node stops.
    pub(crate) async fn run(mut self) {
        let Err(ended) = self.answer_all().await;
        tracing::debug!(?ended, "a connection ended");
        if !matches!(ended, Ended::Broken(_)) {
            self.part(ended == Ended::Done).await;
        }
    }

    async fn answer_all(&mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            if !self.is_sending() {
                self.rest();
                self.answer_what_came().await?;
            }
            if !self.is_sending() {
                self.make_room().await?;
            }
            self.move_something().await?;
        }
    }

    fn is_sending(&self) -> bool {
        self.unflushed || self.sent < self.out.len()
    }

    /// All answers are sent: what they took is given back.
    fn rest(&mut self) {
        (self.sent, self.heavy_out) = (0, None);
        self.out.clear();
        if self.out.capacity() > FREE_BYTES {
            self.out = Vec::new();
        }
    }

    /// Does every command that is here as a whole, until there is enough to send.
    async fn answer_what_came(&mut self) -> Result<(), Ended> {
        while self.out.len() < OUT_BYTES {
            let words = match self.reader.next(&mut self.buffer) {
                Ok(Some(words)) => words,
                Ok(None) => break,
                Err(wrong) => {
                    self.settle().await;
                    return self.last(Reply::Error(format!("ERR {wrong}"))).await;
                }
            };
            self.since = self.clock.monotonic();
            // A page in a browser can send this, and nobody who means this door does.
            if [&b"POST"[..], b"Host:"].iter().any(|word| words[0].eq_ignore_ascii_case(word)) {
                return Err(Ended::Broken("it speaks HTTP"));
            }
            let called = Command::find(&words[0]);
            if !self.session.keeps(called) {
                self.settle().await;
            }
            match self.session.take(called, words).await {
                Step::Kept => {}
                Step::Done(reply) => {
                    // It may be an error, and those that were kept come before it.
                    self.settle().await;
                    self.put(&reply);
                }
                Step::Last(reply) => return self.last(reply).await,
            }
            self.meet();
        }
        self.settle().await;
        self.let_go();
        Ok(())
    }

    /// Looks whether the client is somebody.
    fn meet(&mut self) {
        let known = self.session.is_known();
        self.reader.lets_in(known);
        if known {
            self.stranger = None;
        } else if self.stranger.is_none() {
            self.stranger = Some(self.clock.monotonic());
        }
    }

    /// Gives back what nothing is in any more.
    fn let_go(&mut self) {
        if self.needs() <= FREE_BYTES && self.heavy.take().is_some() {
            // What is left is little; what it lies in is not.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }

    /// What there is of commands, or is announced.
    fn needs(&self) -> usize {
        self.reader.held().max(self.buffer.len()) + self.session.queued()
    }

    /// Does what was kept.
    async fn settle(&mut self) {
        for reply in self.session.finish().await {
            self.put(&reply);
        }
    }

    fn put(&mut self, reply: &Reply) {
        if self.out.is_empty() {
            self.out_since = self.clock.monotonic();
        }
        self.counts.commands.fetch_add(1, Ordering::Relaxed);
        if matches!(reply, Reply::Error(_)) {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
        reply.write(self.session.protocol, &mut self.out);
        if let Some(heavy) = self.session.heavy() {
            self.heavy_out = Some(heavy);
        }
    }

    /// The last answer.
    async fn last(&mut self, reply: Reply) -> Result<(), Ended> {
        self.put(&reply);
        self.buffer.clear();
        while self.is_sending() {
            self.move_something().await?;
        }
        Err(Ended::Done)
    }

    /// Beyond a little, only so many connections hold commands at a time.
    async fn make_room(&mut self) -> Result<(), Ended> {
        if self.needs() > FREE_BYTES && self.heavy.is_none() {
            let place = tokio::select! {
                biased;
                place = Arc::clone(&self.places).acquire_owned() => place,
                () = self.clock.sleep(STALL_WAIT) => return Err(Ended::Broken("there is no room")),
            };
            self.heavy = place.ok();
            // The time until then was not the client's.
            self.since = self.clock.monotonic();
        }
        Ok(())
    }

    /// Whether more may be read: also while answers are sent, for there are clients that send all they have
    /// before they read anything.
    fn may_read(&mut self) -> bool {
        if self.needs() > FREE_BYTES && self.heavy.is_none() {
            self.heavy = Arc::clone(&self.places).try_acquire_owned().ok();
        }
        let max = if self.heavy.is_some() { REQUEST_BYTES_MAX } else { FREE_BYTES };
        self.buffer.len() < max
    }

    /// Sends or reads something, or finds that it is time to end.
    async fn move_something(&mut self) -> Result<(), Ended> {
        let reads = self.may_read();
        if reads {
            let awaited = self.reader.awaited().saturating_sub(self.buffer.len());
            self.buffer.reserve(awaited.max(READ_BYTES));
        }
        let resting = self.buffer.is_empty() && !self.reader.is_under_way();
        poll_fn(|context| self.poll_move(context, reads)).await?;
        if resting && !self.buffer.is_empty() {
            self.since = self.clock.monotonic();
        }
        Ok(())
    }

    fn poll_move(&mut self, context: &mut Context<'_>, reads: bool) -> Poll<Result<(), Ended>> {
        if self.is_sending()
            && let Poll::Ready(sent) = self.poll_send(context)
        {
            return Poll::Ready(sent);
        }
        if reads && let Poll::Ready(read) = self.poll_read(context) {
            return Poll::Ready(read);
        }
        if !self.is_sending() && self.ending.poll_unpin(context).is_ready() {
            return Poll::Ready(Err(Ended::Stopped));
        }
        while self.look.poll_unpin(context).is_ready() {
            self.look = later(&self.clock);
            if let Some(why) = self.overdue() {
                return Poll::Ready(Err(Ended::Broken(why)));
            }
        }
        Poll::Pending
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let broke = |_| Ended::Broken("it broke");
        if self.sent == self.out.len() {
            ready!(Pin::new(&mut self.stream).poll_flush(context)).map_err(broke)?;
            self.unflushed = false;
            return Poll::Ready(Ok(()));
        }
        let left = &self.out[self.sent..];
        let sent = ready!(Pin::new(&mut self.stream).poll_write(context, left)).map_err(broke)?;
        (self.sent, self.unflushed) = (self.sent + sent, true);
        Poll::Ready(if sent == 0 { Err(Ended::Broken("it broke")) } else { Ok(()) })
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let read = self.stream.read_buf(&mut self.buffer);
        let read = ready!(std::pin::pin!(read).poll(context));
        Poll::Ready(match read {
            Ok(0) => Err(Ended::Broken("the client is gone")),
            Ok(_) => Ok(()),
            Err(_) => Err(Ended::Broken("it broke")),
        })
    }

    /// Why it should end now, if it should.
    fn overdue(&self) -> Option<&'static str> {
        let now = self.clock.monotonic();
        let over = |since: Duration, wait: Duration| now.saturating_sub(since) >= wait;
        if self.stranger.is_some_and(|since| over(since, STRANGER_WAIT)) {
            return Some("a stranger did not say who it is");
        }
        if self.is_sending() {
            return over(self.out_since, paced(self.out.len())).then_some("it takes nothing");
        }
        let under_way = self.reader.is_under_way() || !self.buffer.is_empty();
        let wait = match under_way || self.heavy.is_some() {
            true => paced(self.needs()),
            false => IDLE_WAIT,
        };
        over(self.since, wait).then_some("the client is silent")
    }

    /// Ends. So that a client gets its last answer, what it still sends is taken, for a moment.
    async fn part(&mut self, takes: bool) {
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        let goodbye = async {
            stream.shutdown().await?;
            buffer.clear();
            buffer.reserve(READ_BYTES);
            while takes && stream.read_buf(buffer).await? > 0 {
                buffer.clear();
                buffer.reserve(READ_BYTES);
            }
            Ok::<(), std::io::Error>(())
        };
        tokio::select! {
            biased;
            _ = goodbye => {}
            () = self.clock.sleep(LAST_WAIT) => {}
        }
    }
}

/// How long so many bytes may take.
fn paced(bytes: usize) -> Duration {
    let ms = bytes as u64 * 1000 / PACE_BYTES as u64;
    STALL_WAIT + Duration::from_millis(ms)
}

fn later(clock: &Arc<dyn Clock>) -> BoxFuture<'static, ()> {
    let clock = Arc::clone(clock);
    async move { clock.sleep(LOOK_EVERY).await }.boxed()
}
