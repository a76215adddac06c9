//! The worker itself: confined, it takes functions and calls of its node.

mod functions;
mod remote;

use std::convert::Infallible;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use cairn_env::Env;
use cairn_wasm::{Options, Runtime};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use self::functions::Functions;
use self::remote::Remote;
use crate::process::UNCONFINED;
use crate::wire;

/// Threads that run guests.
const THREADS_MAX: usize = 4;
/// Instances of one worker at a time.
const INSTANCES_MAX: u32 = 512;
/// The exit codes of one that was not started by a node, and of one that lost it.
const MISUSED: u8 = 2;
const LOST: u8 = 1;

/// Is a worker until its node ends it. To be called at the beginning of the program, while there is one thread and
/// nothing was opened; it closes what is open. Returns the exit code of the process.
pub(crate) fn run() -> u8 {
    let (Some(calls), Some(asks)) = (socket(std::io::stdin()), socket(std::io::stdout())) else {
        eprintln!("cairn: a worker is started by a node, which runs functions in it");
        return MISUSED;
    };
    drop((calls, asks));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    if let Err(why) = crate::confine::confine() {
        eprintln!("{why}");
        return UNCONFINED;
    }
    match served(threads) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            LOST
        }
    }
}

/// A standard stream that is a socket.
fn socket(stream: impl AsFd) -> Option<UnixStream> {
    rustix::net::sockopt::socket_domain(&stream).ok()?;
    let socket: OwnedFd = stream.as_fd().try_clone_to_owned().ok()?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

fn served(threads: usize) -> std::io::Result<()> {
    let gone = || std::io::Error::other("its sockets are gone");
    let calls = socket(std::io::stdin()).ok_or_else(gone)?;
    let asks = socket(std::io::stdout()).ok_or_else(gone)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_io()
        .enable_time()
        .build()?;
    // The node goes away in the middle of anything: nothing is waited for.
    let ended = runtime.block_on(serve(calls, asks));
    runtime.shutdown_background();
    ended
}

async fn serve(calls: UnixStream, asks: UnixStream) -> std::io::Result<()> {
    let (env, other) =
        (Env::real(), std::io::Error::other::<Box<dyn std::error::Error + Send + Sync>>);
    let asks = TokioIo::new(tokio::net::UnixStream::from_std(asks)?);
    let connected = wire::asks(&env).handshake(asks).await;
    let (sender, connection) = connected.map_err(|error| other(error.into()))?;
    env.spawn.task(Box::pin(async move { drop(connection.await) }));
    let options = Options { instances_max: INSTANCES_MAX, ..Options::default() };
    let runtime = Runtime::start(options, &env).map_err(|error| other(error.into()))?;
    let functions = Arc::new(Functions::new(runtime, Remote::new(sender, &env)));
    let answer = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let functions = Arc::clone(&functions);
        async move { Ok::<_, Infallible>(functions.answer(request.into_body()).await) }
    });
    let calls = TokioIo::new(tokio::net::UnixStream::from_std(calls)?);
    wire::answers(&env).serve_connection(calls, answer).await.map_err(|error| other(error.into()))
}
