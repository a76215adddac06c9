//! The door of functions: requests from anywhere, answered by the function that a route leads to, or with files of the
//! dataset that it leads to.
//!
//! It has a port, and so an origin, of its own: what functions answer runs in browsers, and reaches nothing of
//! the console or the API there.
//!
//! # Invariants
//!
//! - WEB-1 A request reaches a function or a file only by a route, and only when its caller may invoke the function, or read the
//!   dataset: whoever shows a credential of the cluster where the route asks for one, else nobody in particular.
//! - WEB-2 A function sees no token and no session of the cluster, and sets no cookie of the console by its headers, where
//!   browsers share them among all ports of a host; what it is told of a request by `cairn-` headers is told by this door alone.
//! - WEB-3 A request reaches a function that has filters only after each of them let it go on; one that fails stops it.
//! - WEB-4 stands in `sockets.rs`.
//!
//! Nothing is kept here.

#![forbid(unsafe_code)]

mod answer;
mod error;
mod files;
mod filter;
mod headers;
mod sockets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use cairn_access::{Access, RequestIds};
use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_functions::Functions;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, watch};

pub use sockets::{MESSAGE_BYTES_MAX, SOCKETS_MAX};

/// Requests that are worked on at a time; more get 503.
pub const REQUESTS_MAX: usize = 4096;
/// How long WebSockets may take to end when the node stops.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// The longest path and query, in bytes.
pub const URI_BYTES_MAX: usize = 16 * 1024;

/// The door of functions. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    functions: Functions,
    access: Access,
    datasets: Datasets,
    env: Env,
    /// Room for WebSockets.
    sockets: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    places: Arc<Semaphore>,
    ids: RequestIds,
    requests: AtomicU64,
    errors: AtomicU64,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Requests.
    pub requests: u64,
    /// Those among them that no function answered.
    pub errors: u64,
    /// WebSockets that are open.
    pub sockets: u64,
}

impl Door {
    /// The door to these functions, and to files of these datasets.
    #[must_use]
    pub fn new(functions: Functions, datasets: Datasets, access: Access, env: &Env) -> Self {
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        let (requests, errors) = (AtomicU64::new(0), AtomicU64::new(0));
        let ids = RequestIds::new(env.rng.as_ref());
        let sockets = Arc::new(Semaphore::new(SOCKETS_MAX));
        let (env, stopping) = (env.clone(), watch::Sender::new(false));
        let shared = Shared {
            functions,
            access,
            datasets,
            env,
            sockets,
            stopping,
            places,
            ids,
            requests,
            errors,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Answers a request. Listeners put the [`cairn_access::Peer`] into its extensions.
    pub async fn answer(&self, request: Request<Incoming>) -> Response {
        let is_head = request.method() == Method::HEAD;
        let response = answer::answer(&self.shared, request.map(Body::new)).await;
        if is_head { answer::without_body(response) } else { response }
    }

    /// What was counted.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let sockets = SOCKETS_MAX - self.shared.sockets.available_permits();
        Numbers {
            requests: read(&self.shared.requests),
            errors: read(&self.shared.errors),
            sockets: sockets as u64,
        }
    }

    /// Ends all WebSockets, and waits a while until they are told.
    pub async fn close(&self) {
        self.shared.stopping.send_replace(true);
        let all = u32::try_from(SOCKETS_MAX).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            all = self.shared.sockets.acquire_many(all) => drop(all),
            () = self.shared.env.clock.sleep(CLOSE_WAIT) => {}
        }
    }
}
