use std::time::Duration;

use crate::limits::{
    BODY_WAIT_MAX, CONNECTIONS_MAX, FOLLOWERS_MAX, HEADERS_WAIT_MAX, REQUESTS_MAX,
    SHUTDOWN_WAIT_MAX, WRITE_WAIT_MAX,
};

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests that are worked on at a time.
    pub requests_max: usize,
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// Followers of tags at a time.
    pub followers_max: usize,
    /// The version that `/api/v1/version` tells.
    pub version: String,
    /// How long clients are waited for.
    pub waits: Waits,
    /// Where browsers reach this node, when that is not where they say: behind a proxy.
    pub public_url: Option<String>,
    /// Whether the receivers of hooks may be on this machine and its networks.
    pub hooks_to_private: bool,
}

/// How long clients are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For the headers of a request, and for the next request of a connection.
    pub headers: Duration,
    /// For the next piece of a body.
    pub body: Duration,
    /// For a client to take the next piece of a response.
    pub write: Duration,
    /// For the requests under way when the door is closed.
    pub shutdown: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            headers: HEADERS_WAIT_MAX,
            body: BODY_WAIT_MAX,
            write: WRITE_WAIT_MAX,
            shutdown: SHUTDOWN_WAIT_MAX,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let waits = Waits::default();
        Self {
            requests_max: REQUESTS_MAX,
            connections_max: CONNECTIONS_MAX,
            followers_max: FOLLOWERS_MAX,
            version,
            waits,
            public_url: None,
            hooks_to_private: false,
        }
    }
}
