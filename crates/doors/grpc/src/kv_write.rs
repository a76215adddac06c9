//! KvAPI: a stream of commits, many under way at once. Each is handed to the engine in its turn, so that
//! the log writes many together, and each is answered in its turn when it is durable (GRPC-5).

use std::sync::Arc;

use cairn_env::{Clock, Finish};
use cairn_kv::{Committed, Kv, Namespace, Seq};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesOrdered};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::{Status, Streaming};

use crate::door::Api;
use crate::error::Error;
use crate::follow::stop;
use crate::gate::Call;
use crate::kv_messages::{self as messages, namespace};
use crate::limits::{
    ASK_EVERY, KV_MESSAGE_BYTES_MAX, WRITES_BYTES_MAX, WRITES_MAX, WRITES_UNDER_WAY_MAX,
};
use crate::proto::kv::v1::write_response::Outcome;
use crate::proto::kv::v1::{self as api, WriteError, WriteRequest, WriteResponse};
use crate::stream::next_message;

/// A stream of commits.
struct Writing {
    call: Call,
    kv: Kv,
    namespace: Namespace,
    named: Option<api::Namespace>,
    messages: Streaming<WriteRequest>,
    under_way: FuturesOrdered<BoxFuture<'static, Answer>>,
    /// Bytes of what is under way.
    bytes: usize,
    /// Why no more is taken, and how the stream ends.
    ending: Option<Result<(), Error>>,
    /// When the permission is asked for again.
    ask: BoxFuture<'static, ()>,
    clock: Arc<dyn Clock>,
    stopped: Option<watch::Receiver<bool>>,
    /// Kept to the end of the stream.
    _place: OwnedSemaphorePermit,
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
    pub(crate) async fn write_stream(
        &self,
        mut call: Call,
        mut messages: Streaming<WriteRequest>,
    ) -> Result<BoxStream<'static, Result<WriteResponse, Status>>, Error> {
        let place = Arc::clone(&self.writes).try_acquire_owned();
        let place = place.map_err(|_| Error::Busy { what: "streams", max: WRITES_MAX })?;
        let empty =
            || Error::invalid("a stream of commits has at least one, which names the namespace");
        let first = next_message(&mut messages, KV_MESSAGE_BYTES_MAX).await?.ok_or_else(empty)?;
        call.decide(&first)?;
        let clock = Arc::clone(&self.env().clock);
        let mut writing = Writing {
            kv: self.kv()?.clone(),
            namespace: namespace(first.namespace.as_ref())?,
            named: first.namespace.clone(),
            call,
            messages,
            under_way: FuturesOrdered::new(),
            bytes: 0,
            ending: None,
            ask: in_a_moment(&clock),
            clock,
            stopped: self.stopped.clone(),
            _place: place,
        };
        writing.begin(first);
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
            if self.under_way.is_empty()
                && let Some(ended) = self.ending.take()
            {
                return ended.map(|()| None);
            }
            match self.event().await {
                Event::Answered(answer) => {
                    self.bytes = self.bytes.saturating_sub(answer.bytes);
                    return Ok(Some(told(answer)));
                }
                Event::Message(Ok(Some(message))) => self.begin(message),
                Event::Message(Ok(None)) => self.ending = Some(Ok(())),
                Event::Message(Err(error)) => self.ending = Some(Err(error)),
                Event::Stop => self.ending = Some(Err(Error::Stopping)),
                Event::Ask => {
                    self.ask = in_a_moment(&self.clock);
                    if let Err(error) = self.call.again().await {
                        self.ending = Some(Err(error));
                    }
                }
            }
        }
    }

    async fn event(&mut self) -> Event {
        let takes = self.ending.is_none();
        let room = self.under_way.len() < WRITES_UNDER_WAY_MAX && self.bytes < WRITES_BYTES_MAX;
        tokio::select! {
            biased;
            () = &mut self.ask, if takes => Event::Ask,
            () = stop(self.stopped.as_mut()), if takes => Event::Stop,
            message = next_message(&mut self.messages, KV_MESSAGE_BYTES_MAX), if takes && room => {
                Event::Message(message)
            }
            Some(answer) = self.under_way.next() => Event::Answered(answer),
        }
    }

    /// Hands a commit to the engine. It is made whether or not anybody waits for its answer.
    fn begin(&mut self, message: WriteRequest) {
        let held = self.call.room_of_next();
        let id = message.id;
        let (bytes, work) = match self.work(message, held) {
            Ok(begun) => begun,
            Err(error) => {
                let refused = Answer { id, bytes: 0, done: Err(error) };
                return self.under_way.push_back(futures::future::ready(refused).boxed());
            }
        };
        // Those who are polled in their order wait in their order, unless one is told to yield.
        let work = tokio::task::unconstrained(work);
        let answered = work.map(move |done| Answer { id, bytes, done: done.map(|done| done.seq) });
        self.under_way.push_back(answered.boxed());
    }

    fn work(
        &self,
        message: WriteRequest,
        held: Option<OwnedSemaphorePermit>,
    ) -> Result<(usize, Finish<Result<Committed, Error>>), Error> {
        let WriteRequest { namespace, ops, conditions, durable, .. } = message;
        if namespace.is_some() && namespace != self.named {
            return Err(Error::invalid("one stream writes to one namespace"));
        }
        let commit = messages::commit(&self.kv, ops, conditions, durable)?;
        let (bytes, kv, named) = (commit.bytes(), self.kv.clone(), self.namespace.clone());
        let work = async move { kv.commit(&named, commit).await };
        Ok((bytes, self.call.counted(held, work, |done: &Committed| done.seq)))
    }
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
