//! A function that a worker runs, as its node calls it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cairn_env::Task;
use cairn_wasm::{
    Body, Call, Chain, Code, Done, Failure, Kept, Kind, Limits, World, streamed, whole,
};
use http_body::{Frame, SizeHint};
use serde::de::DeserializeOwned;

use crate::messages::{Ask, RequestHead, ResponseHead, Run, Taken, Token};
use crate::wire::{Broken, Rest};
use crate::worker::{Using, Worker};
use crate::workers::Workers;
use crate::worlds::Underway;

/// What is waited beyond what the limits allow, for a worker that does not keep them.
const GRACE: Duration = Duration::from_secs(10);
/// How often a call looks for another worker when the one that it has found has just ended.
const WORKERS_TRIED_MAX: u32 = 3;
/// The longest text of a worker that is told to callers, and the longest backtrace, in bytes.
const TOLD_BYTES_MAX: usize = 1024;
const BACKTRACE_BYTES_MAX: usize = 64 << 10;

/// A function of a project. Cheap to clone; its worker lets go of it with the last one, and with what it still answers.
#[derive(Clone)]
pub struct Function {
    shared: Arc<Shared>,
}

struct Shared {
    workers: Workers,
    project: String,
    token: Token,
    code: Code,
    limits: Limits,
    world: World,
}

/// What a call keeps until it is over.
struct Held {
    _underway: Underway,
    _using: Using,
    _function: Function,
}

impl Function {
    pub(crate) fn new(
        workers: &Workers,
        project: &str,
        code: &Code,
        limits: Limits,
        world: World,
    ) -> Self {
        let mut token = [0; 16];
        workers.env().rng.fill(&mut token);
        let (workers, project) = (workers.clone(), project.to_owned());
        let (token, code) = (hex::encode(token), code.clone());
        Self { shared: Arc::new(Shared { workers, project, token, code, limits, world }) }
    }

    /// How it is called.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.shared.code.kind()
    }

    /// Answers a request. The answer's body is made while it is read.
    ///
    /// # Errors
    /// [`Failure`]: no answer was begun. What fails later breaks the body.
    pub async fn handle(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Failure> {
        let depth = request.extensions().get::<Chain>().copied().unwrap_or_default().depth;
        let (using, underway) = self.begin(depth).await?;
        let (parts, body) = request.into_parts();
        let (token, request) = (self.shared.token.clone(), RequestHead::of(&parts));
        let ask = Ask::Request { token, depth, request };
        let (answered, rest) = self.asked(&using.worker, &ask, Some(body)).await?;
        let answered: Result<ResponseHead, Failure> = answered;
        let head = answered.map_err(tamed)?;
        let until = self.shared.workers.env().clock.clone();
        let longest = self.longest();
        let late: Task = Box::pin(async move { until.sleep(longest).await });
        let _function = self.clone();
        let kept = Held { _underway: underway, _using: using, _function };
        let body = streamed(Kept::new(Ending { body: rest, late }, kept));
        head.with(body).map_err(|detail| Failure::NoAnswer { detail })
    }

    /// Runs it to its end. Its standard error goes to the logs.
    ///
    /// # Errors
    /// [`Failure`]; an exit code is none.
    pub async fn run(&self, call: Call) -> Result<Done, Failure> {
        let depth = call.chain.depth;
        let (using, mut underway) = self.begin(depth).await?;
        let token = &self.shared.token;
        let inputs = underway.inputs(token, &call.inputs).await;
        let inputs = inputs.map_err(|error| Failure::NoAnswer { detail: error.to_string() })?;
        let Call { arguments, environment, .. } = call;
        let run = Run { arguments, environment, depth, inputs };
        let ask = Ask::Run { token: token.clone(), run };
        let (ran, output) = self.asked(&using.worker, &ask, None).await?;
        let ran: Result<i32, Failure> = ran;
        let exit = ran.map_err(tamed)?;
        let limit_bytes = self.shared.limits.output_bytes;
        let max = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        match self.in_time(output.all(max)).await? {
            Ok(output) => Ok(Done { output, exit }),
            Err(Broken::TooLong { .. }) => Err(Failure::Output { limit_bytes }),
            Err(_) => Err(self.lost(&using.worker).await),
        }
    }

    /// A worker that has it, and the call of it.
    async fn begin(&self, depth: u32) -> Result<(Using, Underway), Failure> {
        let Shared { workers, project, token, .. } = &*self.shared;
        for _ in 0..WORKERS_TRIED_MAX {
            let Some(using) = workers.of(project).await?.begin() else { continue };
            self.give(&using.worker).await?;
            if let Some(underway) = using.worker.worlds.begin(token, depth) {
                return Ok((using, underway));
            }
        }
        Err(Failure::Full)
    }

    /// Gives it to a worker that does not have it.
    async fn give(&self, worker: &Worker) -> Result<(), Failure> {
        let Shared { token, world, limits, .. } = &*self.shared;
        let taken = worker.taken(token);
        let given = taken.get_or_try_init(|| async {
            worker.worlds.add(token, world, limits);
            match self.given(worker, None).await? {
                Taken::Ready => return Ok(()),
                Taken::Code => {}
                Taken::Failed(why) => return Err(Failure::Isolation { why }),
            }
            let code = self.shared.code.bytes().await;
            let code = code.map_err(|error| Failure::Isolation { why: error.to_string() })?;
            match self.given(worker, Some(whole(code))).await? {
                Taken::Ready => Ok(()),
                Taken::Code => Err(Failure::Isolation { why: "its code was lost".to_owned() }),
                Taken::Failed(why) => Err(Failure::Isolation { why }),
            }
        });
        given.await.map(drop)
    }

    async fn given(&self, worker: &Worker, code: Option<Body>) -> Result<Taken, Failure> {
        let Shared { token, limits, world, code: of, .. } = &*self.shared;
        let ask = Ask::Function {
            token: token.clone(),
            digest: hex::encode(of.digest()),
            code: code.is_some(),
            limits: limits.clone(),
            environment: world.environment.clone(),
        };
        Ok(self.asked::<Taken>(worker, &ask, code).await?.0)
    }

    async fn asked<A: DeserializeOwned>(
        &self,
        worker: &Worker,
        ask: &Ask,
        body: Option<Body>,
    ) -> Result<(A, Rest), Failure> {
        match self.in_time(worker.ask(ask, body)).await? {
            Ok(answered) => Ok(answered),
            Err(Broken::Connection(_)) => Err(self.lost(worker).await),
            Err(error) => Err(Failure::NoAnswer { detail: error.to_string() }),
        }
    }

    /// What a call may take, and those before it that it waits for, when all take as long as they may.
    fn longest(&self) -> Duration {
        let Limits { wall_ms, queue, concurrency, .. } = &self.shared.limits;
        let rounds = u64::from(queue / (*concurrency).max(1)) + 2;
        Duration::from_millis(wall_ms.saturating_mul(rounds)) + GRACE
    }

    /// What a worker answers in time; one that keeps its limits does.
    async fn in_time<T>(&self, answered: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answered = answered => Ok(answered),
            () = self.shared.workers.env().clock.sleep(self.longest()) => {
                Err(Failure::Wall { limit_ms: self.shared.limits.wall_ms })
            }
        }
    }

    /// The worker has ended in the middle of it.
    async fn lost(&self, worker: &Worker) -> Failure {
        self.shared.workers.count_lost();
        Failure::Crashed { how: worker.end().await.how }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(worker) = self.workers.present(&self.project) {
            worker.forget(&self.token);
        }
    }
}

/// What a worker says of a failure: such as guests have, and no longer than they are told.
fn tamed(failure: Failure) -> Failure {
    fn cut(mut text: String, max: usize) -> String {
        text.truncate(text.floor_char_boundary(max));
        text
    }
    match failure {
        Failure::Trap { message, backtrace } => Failure::Trap {
            message: cut(message, TOLD_BYTES_MAX),
            backtrace: cut(backtrace, BACKTRACE_BYTES_MAX),
        },
        Failure::NoAnswer { detail } => Failure::NoAnswer { detail: cut(detail, TOLD_BYTES_MAX) },
        Failure::Crashed { .. } | Failure::Isolation { .. } => {
            Failure::NoAnswer { detail: "its worker says that it ended".to_owned() }
        }
        failure => failure,
    }
}

/// A body that comes to its end in time.
struct Ending {
    body: Rest,
    late: Task,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
enum BrokeOff {
    #[error("the function's worker has ended, or the function was stopped: {0}")]
    Connection(#[from] hyper::Error),
    #[error("it took too long")]
    Late,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| Ok(frame?)));
        }
        self.late.as_mut().poll(context).map(|()| Some(Err(BrokeOff::Late)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
