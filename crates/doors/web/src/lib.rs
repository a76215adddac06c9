//! The door of functions: requests from anywhere, answered by the function that a route leads to.
//!
//! It has a port, and so an origin, of its own: what functions answer runs in browsers, and reaches nothing of
//! the console or the API there.
//!
//! # Invariants
//!
//! - WEB-1 A request reaches a function only by a route, and only when its caller may invoke the function: whoever shows a
//!   credential of the cluster where the route asks for one, else nobody in particular.
//! - WEB-2 A function sees no token and no session of the cluster, and sets no cookie of the console by its headers, where
//!   browsers share them among all ports of a host; what it is told of a request by `cairn-` headers is told by this door alone.
//! - WEB-3 A request reaches a function that has filters only after each of them let it go on; one that fails stops it.
//!
//! Nothing is kept here.

#![forbid(unsafe_code)]

mod answer;
mod error;
mod filter;
mod headers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::Request;
use cairn_access::{Access, RequestIds};
use cairn_env::Env;
use cairn_functions::Functions;
use tokio::sync::Semaphore;

/// Requests that are worked on at a time; more get 503.
pub const REQUESTS_MAX: usize = 4096;
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
}

impl Door {
    /// The door to these functions.
    #[must_use]
    pub fn new(functions: Functions, access: Access, env: &Env) -> Self {
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        let (requests, errors) = (AtomicU64::new(0), AtomicU64::new(0));
        let ids = RequestIds::new(env.rng.as_ref());
        let shared = Shared { functions, access, places, ids, requests, errors };
        Self { shared: Arc::new(shared) }
    }

    /// What answers requests. Listeners put the [`cairn_access::Peer`] into their extensions.
    pub fn router(&self) -> Router {
        let shared = Arc::clone(&self.shared);
        Router::new().fallback(move |request: Request| {
            let shared = Arc::clone(&shared);
            async move { answer::answer(&shared, request).await }
        })
    }

    /// What was counted.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Numbers { requests: read(&self.shared.requests), errors: read(&self.shared.errors) }
    }
}
