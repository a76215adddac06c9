//! Connections: accepted, timed, counted, and ended in order.

use std::future::Future;
use std::sync::Arc;

use cairn_env::Env;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::door::{Door, Waits};
use crate::error::Error;
use crate::limits::{HEADER_BYTES_MAX, HEADERS_MAX, STREAMS_MAX};
use crate::socket::Socket;

/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Door {
    /// Answers connections of `listener` until `shutdown` is ready; then it takes no more, lets the
    /// requests under way end for a bounded while, and returns.
    ///
    /// # Errors
    /// [`Error::Listener`] when the listener is broken.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let env = self.inner().env().clone();
        let waits = self.inner().options().waits;
        let server = Arc::new(server(&waits));
        let graceful = GracefulShutdown::new();
        let places = Arc::clone(self.inner().connections());
        let service = TowerToHyperService::new(self.router());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &places, &env) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let (server, service) = (Arc::clone(&server), service.clone());
            let watcher = graceful.watcher();
            let socket = Socket::new(stream, Arc::clone(&env.clock), &waits);
            env.spawn.task(Box::pin(async move {
                let connection = server.serve_connection(TokioIo::new(socket), service);
                let served = watcher.watch(connection.into_owned()).await;
                if let Err(error) = served {
                    tracing::debug!(error, "a connection ended early");
                }
                drop(place);
            }));
        }
        drop(listener);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = env.clock.sleep(waits.shutdown) => {
                tracing::warn!("requests were cut off by the shutdown");
            }
        }
        Ok(())
    }
}

type Accepted = (TcpStream, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>, env: &Env) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection cannot send without delay");
            }
            Some((stream, place))
        }
        // A client that was gone again, or too many open files: neither ends the node.
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            env.clock.sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn server(waits: &Waits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
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
        .keep_alive_interval(waits.headers)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("it is 32 KiB"));
    server
}
