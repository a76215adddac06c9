//! KvAPI: a stream of commits, many under way at once. Each is handed to the engine in its turn, so that
//! the log writes many together, and each is answered in its turn when it is durable (GRPC-5).
//!
//! What comes beyond what may be under way is read ahead, up to a bound: a connection on which thousands of
//! small frames lie unread is cut by HTTP/2's guard against them.

use std::collections::VecDeque;
use std::sync::Arc;

use cairn_env::{Clock, Finish};
use cairn_kv::{Committed, Kv, Namespace, Seq};
use cairn_partition::AnyPartition;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesOrdered};
use futures::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::{Status, Streaming};

use crate::door::Api;
use crate::error::Error;
use crate::follow::stop;
use crate::gate::Call;
use crate::kv_messages::{self as messages, namespace};
use crate::limits::{
    ASK_EVERY, KV_MESSAGE_BYTES_MAX, WRITE_COST_BYTES, WRITES_AHEAD_BYTES_MAX, WRITES_BYTES_MAX,
    WRITES_MAX, WRITES_UNDER_WAY_MAX,
};
use crate::proto::kv::v1::write_response::Outcome;
use crate::proto::kv::v1::{self as api, WriteError, WriteRequest, WriteResponse};
use crate::stream::next_message;

/// A stream of commits.
struct Writing {
    call: Call,
    kv: Option<Kv>,
    places: Arc<Semaphore>,
    /// What it writes to; none before its first message was let in.
    to: Option<Target>,
    messages: Streaming<WriteRequest>,
    /// What was sent and waits for its turn, and its bytes.
    ahead: VecDeque<Ahead>,
    ahead_bytes: usize,
    under_way: FuturesOrdered<BoxFuture<'static, Answer>>,
    /// Bytes of what is under way.
    bytes: usize,
    /// Why no more is taken, and how the stream ends.
    ending: Option<Result<(), Error>>,
    /// When the permission is asked for again.
    ask: BoxFuture<'static, ()>,
    clock: Arc<dyn Clock>,
    stopped: Option<watch::Receiver<bool>>,
}

/// What a stream writes to.
struct Target {
    kv: Kv,
    /// What the commits are handed to in their order; opened before the first of them, and again when it was
    /// closed.
    open: Option<AnyPartition>,
    namespace: Namespace,
    named: Option<api::Namespace>,
    /// Kept to the end of the stream.
    _place: OwnedSemaphorePermit,
}

/// A commit that waits for its turn.
struct Ahead {
    message: WriteRequest,
    bytes: usize,
    held: Option<OwnedSemaphorePermit>,
}

/// What came of one commit.
struct Answer {
    id: u64,
    bytes: usize,
    done: Result<Seq, Error>,
}

/// What a stream of commits does next.
enum Event {
    Answered(Answer),
    Message(Result<Option<WriteRequest>, Error>),
    Ask,
    Stop,
}

impl Api {
    /// Answers at once: a client may wait for that before it sends anything. Who may not write, or names
    /// no namespace, gets that as the end of the stream.
    pub(crate) fn write_stream(
        &self,
        call: Call,
        messages: Streaming<WriteRequest>,
    ) -> Result<BoxStream<'static, Result<WriteResponse, Status>>, Error> {
        call.decides_later();
        let clock = Arc::clone(&self.env().clock);
        let writing = Writing {
            kv: self.kv.clone(),
            places: Arc::clone(&self.writes),
            to: None,
            call,
            messages,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            under_way: FuturesOrdered::new(),
            bytes: 0,
            ending: None,
            ask: in_a_moment(&clock),
            clock,
            stopped: self.stopped.clone(),
        };
        let answers = futures::stream::unfold(Some(writing), |writing| async move {
            let mut writing = writing?;
            match writing.next().await {
                Ok(Some(answer)) => Some((Ok(answer), Some(writing))),
                Ok(None) => None,
                Err(error) => Some((Err(Status::from(error)), None)),
            }
        });
        Ok(answers.boxed())
    }
}

impl Writing {
    /// The next answer; none after the last. What is under way when no more is taken is answered first.
    async fn next(&mut self) -> Result<Option<WriteResponse>, Error> {
        loop {
            if let Err(error) = self.open().await {
                self.end(error);
            }
            self.begin();
            if self.under_way.is_empty()
                && let Some(ended) = self.ending.take()
            {
                return ended.map(|()| None);
            }
            match self.event().await {
                Event::Answered(answer) => {
                    if let (Err(error), Some(to)) = (&answer.done, &mut self.to)
                        && is_closed(error)
                    {
                        to.open = None;
                    }
                    self.bytes = self.bytes.saturating_sub(answer.bytes);
                    return Ok(Some(told(answer)));
                }
                Event::Message(Ok(Some(message))) => {
                    if let Err(error) = self.take(message) {
                        self.end(error);
                    }
                }
                Event::Message(Ok(None)) if self.to.is_some() => self.ending = Some(Ok(())),
                Event::Message(Ok(None)) => {
                    let why = "a stream of commits has at least one, which names the namespace";
                    self.end(Error::invalid(why));
                }
                Event::Message(Err(error)) => self.end(error),
                Event::Stop => self.end(Error::Stopping),
                Event::Ask => {
                    self.ask = in_a_moment(&self.clock);
                    if let Err(error) = self.call.again().await {
                        self.end(error);
                    }
                }
            }
        }
    }

    /// Opens the namespace when there is something to begin.
    async fn open(&mut self) -> Result<(), Error> {
        let Some(to) = self.to.as_mut().filter(|to| to.open.is_none()) else { return Ok(()) };
        // What was begun on the one before ends first.
        if !self.ahead.is_empty() && self.under_way.is_empty() {
            to.open = Some(to.kv.open(&to.namespace).await?);
        }
        Ok(())
    }

    /// Begins nothing more.
    fn end(&mut self, error: Error) {
        self.ahead.clear();
        self.ending = Some(Err(error));
    }

    async fn event(&mut self) -> Event {
        let takes = self.ending.is_none();
        let room = self.ahead_bytes < WRITES_AHEAD_BYTES_MAX;
        let lasts = takes || !self.ahead.is_empty();
        tokio::select! {
            biased;
            () = &mut self.ask, if lasts => Event::Ask,
            () = stop(self.stopped.as_mut()), if lasts => Event::Stop,
            Some(answer) = self.under_way.next() => Event::Answered(answer),
            message = next_message(&mut self.messages, KV_MESSAGE_BYTES_MAX), if takes && room => {
                Event::Message(message)
            }
        }
    }

    /// Lets the stream in by its first message. Each waits for its turn.
    fn take(&mut self, message: WriteRequest) -> Result<(), Error> {
        let held = self.call.room_of_next();
        if self.to.is_none() {
            self.to = Some(self.let_in(&message)?);
        }
        let bytes = message.encoded_len() + WRITE_COST_BYTES;
        self.ahead_bytes += bytes;
        self.ahead.push_back(Ahead { message, bytes, held });
        Ok(())
    }

    /// Hands commits to the engine, as many as may be under way. They are made whether or not anybody waits
    /// for their answers.
    fn begin(&mut self) {
        let Some(to) = self.to.as_ref().filter(|to| to.open.is_some()) else { return };
        while self.under_way.len() < WRITES_UNDER_WAY_MAX
            && self.bytes < WRITES_BYTES_MAX
            && let Some(Ahead { message, bytes, held }) = self.ahead.pop_front()
        {
            self.ahead_bytes = self.ahead_bytes.saturating_sub(bytes);
            let id = message.id;
            let (bytes, work) = match to.work(&self.call, message, held) {
                Ok(begun) => begun,
                Err(error) => {
                    let refused = Answer { id, bytes: 0, done: Err(error) };
                    self.under_way.push_back(futures::future::ready(refused).boxed());
                    continue;
                }
            };
            self.bytes += bytes;
            // Those who are polled in their order wait in their order, unless one is told to yield.
            let work = tokio::task::unconstrained(work);
            let answered = move |done: Result<Committed, Error>| Answer {
                id,
                bytes,
                done: done.map(|done| done.seq),
            };
            self.under_way.push_back(work.map(answered).boxed());
        }
    }

    fn let_in(&mut self, first: &WriteRequest) -> Result<Target, Error> {
        self.call.decide(first)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        Ok(Target {
            kv: self.kv.clone().ok_or(Error::NoKeys)?,
            open: None,
            namespace: namespace(first.namespace.as_ref())?,
            named: first.namespace.clone(),
            _place: place.map_err(|_| Error::Busy { what: "streams", max: WRITES_MAX })?,
        })
    }
}

impl Target {
    fn work(
        &self,
        call: &Call,
        message: WriteRequest,
        held: Option<OwnedSemaphorePermit>,
    ) -> Result<(usize, Finish<Result<Committed, Error>>), Error> {
        let WriteRequest { namespace, ops, conditions, durable, .. } = message;
        if namespace.is_some() && namespace != self.named {
            return Err(Error::invalid("one stream writes to one namespace"));
        }
        let commit = messages::commit(&self.kv, ops, conditions, durable)?;
        let closed = || Error::Internal { detail: "a namespace is not open".to_owned() };
        let (bytes, partition) = (commit.bytes(), self.open.clone().ok_or_else(closed)?);
        let work = async move { Ok(partition.commit(commit).await?) };
        Ok((bytes, call.counted(held, work, |done: &Committed| done.seq)))
    }
}

/// Whether nothing can be handed to what said so any more.
fn is_closed(error: &Error) -> bool {
    use cairn_partition::Error as Partition;
    let Error::Kv(cairn_kv::Error::Partition(error)) = error else { return false };
    matches!(error, Partition::Closed { .. } | Partition::Fenced { .. } | Partition::Missing { .. })
}

fn in_a_moment(clock: &Arc<dyn Clock>) -> BoxFuture<'static, ()> {
    let clock = Arc::clone(clock);
    async move { clock.sleep(ASK_EVERY).await }.boxed()
}

fn told(Answer { id, done, .. }: Answer) -> WriteResponse {
    let outcome = match done {
        Ok(seq) => Outcome::Seq(seq.0),
        Err(error) => {
            let found = match &error {
                Error::Kv(keys) => keys.found().flatten().map(|seq| seq.0),
                _ => None,
            };
            let reason = error.kind().to_string().to_ascii_uppercase();
            let (code, message) = (i32::from(error.code()), error.to_string());
            Outcome::Error(WriteError { code, reason, message, found })
        }
    };
    WriteResponse { id, outcome: Some(outcome) }
}
