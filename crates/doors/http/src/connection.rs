//! One connection: its requests are answered; it ends when nothing is asked for a while, and is cut
//! when its client leaves what it asked for lying.
//!
//! For HTTP/1 the socket sees both. HTTP/2 hides them: pings keep a connection alive on which
//! nothing is asked, and flow control lets a client leave a response where it is while the
//! connection moves. So what counts here is requests and the pieces of their answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use cairn_access::Peer;
use cairn_env::{Clock, earned};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::options::Waits;
use crate::socket::Socket;

/// How connections are served.
pub(crate) type Server = auto::Builder<TokioExecutor>;

/// Lets `answer` answer the requests of one connection from `peer`, until it ends, its client is not worth waiting for, or
/// `shutdown` changes and the requests under way are answered.
pub(crate) async fn serve<S, F>(
    server: &Server,
    socket: Socket<S>,
    peer: Peer,
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    watch: Watch,
    mut shutdown: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let begun = watch.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (active, answer) = (begun.begin(), answer(request));
        async move { Ok::<_, Infallible>(answer.await.map(|body| Watched::new(body, active))) }
    });
    let mut connection =
        std::pin::pin!(server.serve_connection_with_upgrades(TokioIo::new(socket), service));
    let mut ending = None;
    loop {
        tokio::select! {
            served = &mut connection => {
                if let Err(error) = served {
                    tracing::debug!(error, "a connection ended early");
                }
                return;
            }
            _ = shutdown.changed(), if ending.is_none() => ending = Some(watch.clock.monotonic()),
            () = watch.clock.sleep(watch.tick()) => match watch.look(ending) {
                Verdict::Fine => continue,
                Verdict::Idle => ending = Some(watch.clock.monotonic()),
                Verdict::Hopeless => {
                    tracing::debug!("a connection is cut: its client takes nothing");
                    return;
                }
            },
        }
        connection.as_mut().graceful_shutdown();
    }
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// Nothing was asked for too long.
    Idle,
    /// A piece of an answer lies there for too long, or the connection does not end when asked to.
    Hopeless,
}

/// Sees the requests of one connection.
#[derive(Clone)]
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    waits: Waits,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Requests that are not answered to the end.
    active: usize,
    idle_since: Duration,
    next: u64,
    /// Answers of which a piece waits for the client, and until when it may.
    handed: BTreeMap<u64, Duration>,
}

impl Watch {
    pub(crate) fn new(clock: &Arc<dyn Clock>, waits: &Waits) -> Self {
        let state = State { idle_since: clock.monotonic(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        Self { clock: Arc::clone(clock), waits: *waits, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Active {
        let mut state = self.state();
        state.active += 1;
        state.next += 1;
        Active { watch: self.clone(), id: state.next }
    }

    fn tick(&self) -> Duration {
        self.waits.headers.min(self.waits.write) / 2
    }

    /// `ending` is when the connection was asked to end.
    fn look(&self, ending: Option<Duration>) -> Verdict {
        let (state, now) = (self.state(), self.clock.monotonic());
        if state.handed.values().any(|until| *until < now) {
            return Verdict::Hopeless;
        }
        let idle = state.active == 0;
        match ending {
            None if idle && now.saturating_sub(state.idle_since) > self.waits.headers => {
                Verdict::Idle
            }
            Some(since) if idle && now.saturating_sub(since) > self.waits.write => {
                Verdict::Hopeless
            }
            _ => Verdict::Fine,
        }
    }
}

/// A request whose answer is not over.
struct Active {
    watch: Watch,
    id: u64,
}

impl Active {
    /// So many bytes were handed to the protocol, which asks for more when the client took them.
    fn handed(&self, bytes: usize) {
        let until = self.watch.clock.monotonic() + self.watch.waits.write + earned(bytes);
        self.watch.state().handed.insert(self.id, until);
    }

    fn asked(&self) {
        self.watch.state().handed.remove(&self.id);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let now = self.watch.clock.monotonic();
        let mut state = self.watch.state();
        state.handed.remove(&self.id);
        state.active -= 1;
        state.idle_since = now;
    }
}

/// The body of an answer.
struct Watched {
    body: Body,
    active: Active,
}

impl Watched {
    fn new(body: Body, active: Active) -> Self {
        active.handed(0);
        Self { body, active }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.active.asked();
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.active.handed(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
