//! Connections: accepted, timed, counted, and ended in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use cairn_access::Peer;
use cairn_env::{Clock, Spawn};
use cairn_mesh::listen::{self, Transport};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::connection::{self, Server, Watch};
use crate::door::Door;
use crate::error::Error;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HEADER_BYTES_MAX, HEADERS_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::options::Waits;
use crate::socket::Socket;
use crate::tls;

impl Door {
    /// Answers connections of `listener` until `shutdown` is ready; then it takes no more, lets the
    /// requests under way end for a bounded while, and returns.
    ///
    /// # Errors
    /// [`Error::Listener`] when the listener is broken.
    pub async fn serve(
        &self,
        listener: TcpListener,
        transport: Transport,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let router = self.router();
        let answer = move |request| {
            let answer = router.clone().oneshot(request);
            async move { answer.await.unwrap_or_else(|never| match never {}) }
        };
        self.serve_with(answer, listener, transport, shutdown).await
    }

    /// The same where `answer` answers, with the bounds of this door; the [`Peer`] is among a request's extensions.
    ///
    /// # Errors
    /// As [`Door::serve`].
    pub async fn serve_with<F>(
        &self,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        listener: TcpListener,
        transport: Transport,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error>
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let env = self.inner().env().clone();
        let waits = self.inner().options().waits;
        let server = Arc::new(server(&waits));
        // Each connection has a receiver, so the sender knows when the last one is gone.
        let (end, ending) = watch::channel(false);
        let places = Arc::clone(self.inner().connections());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = listen::accept(&listener, &places, &env) => accepted,
            };
            let Some((stream, address, place)) = accepted else { continue };
            let connection = Connection {
                server: Arc::clone(&server),
                answer: answer.clone(),
                clock: Arc::clone(&env.clock),
                spawn: Arc::clone(&env.spawn),
                waits,
                ending: ending.clone(),
            };
            let transport = transport.clone();
            env.spawn.lane(Box::pin(async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => connection.run(stream, address, transport).await,
                    Err(error) => tracing::warn!(%error, "a connection was not taken over"),
                }
                drop(place);
            }));
        }
        drop((listener, ending));
        self.inner().close();
        end.send_replace(true);
        tokio::select! {
            () = end.closed() => {}
            () = env.clock.sleep(waits.shutdown) => {
                tracing::warn!("requests were cut off by the shutdown");
            }
        }
        Ok(())
    }
}

/// How what a client of HTTP/2 sends begins (RFC 9113, 3.4).
const HTTP2: [u8; 3] = *b"PRI";
/// How long it is waited for.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(1);

/// What a connection is answered with.
struct Connection<A> {
    server: Arc<Server>,
    answer: A,
    clock: Arc<dyn Clock>,
    spawn: Arc<dyn Spawn>,
    waits: Waits,
    ending: watch::Receiver<bool>,
}

impl<A, F> Connection<A>
where
    A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    async fn run(self, stream: TcpStream, address: SocketAddr, transport: Transport) {
        match transport {
            Transport::Plain if self.speaks_http2(&stream).await => {
                // Many small calls on one connection, and what they wake is at home: there it wakes no
                // other thread.
                let spawn = Arc::clone(&self.spawn);
                let ended = spawn.to_its_end(async move {
                    match stream.into_std().and_then(TcpStream::from_std) {
                        Ok(stream) => self.answer(stream, listen::plain_peer(address)).await,
                        Err(error) => tracing::warn!(%error, "a connection was not taken over"),
                    }
                });
                if let Err(lost) = ended.await {
                    tracing::warn!(%lost, "a connection was not answered to its end");
                }
            }
            Transport::Plain => self.answer(stream, listen::plain_peer(address)).await,
            Transport::Tls(config) => {
                let within = (&self.clock, self.waits.headers);
                let accepted =
                    listen::shake_hands(config, stream, address, within, tls::PLAIN).await;
                if let Some((stream, peer)) = accepted {
                    Box::pin(self.answer(stream, peer)).await;
                }
            }
        }
    }

    /// Whether a client begins as one of HTTP/2 does, soon: whoever takes his time is answered all the same.
    async fn speaks_http2(&self, stream: &TcpStream) -> bool {
        let mut begun = [0; HTTP2.len()];
        let mut ending = self.ending.clone();
        let wait = FIRST_BYTES_WAIT.min(self.waits.headers / 2);
        tokio::select! {
            biased;
            peeked = stream.peek(&mut begun) => peeked.is_ok() && begun == HTTP2,
            _ = ending.wait_for(|ending| *ending) => false,
            () = self.clock.sleep(wait) => false,
        }
    }

    async fn answer<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let socket = Socket::new(stream, Arc::clone(&self.clock), &self.waits);
        let watch = Watch::new(&self.clock, &self.waits);
        connection::serve(&self.server, socket, peer, self.answer, watch, self.ending).await;
    }
}

fn server(waits: &Waits) -> Server {
    let mut server = Server::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(waits.headers)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX.max(64 * 1024));
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(waits.headers)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("it is 32 KiB"));
    server
}
