//! Every bound of this door, in one place.

use std::time::Duration;

/// Requests that are worked on at a time; more get 503 with `Retry-After`.
pub const REQUESTS_MAX: usize = 512;
/// Followers of tags at a time; more get 503 with `Retry-After`. They take none of the places of
/// requests.
pub const FOLLOWERS_MAX: usize = 1024;
/// Seconds that a long poll waits at most.
pub const FOLLOW_WAIT_MAX: u64 = 60;
/// States in one answer of a long poll.
pub const FOLLOW_STATES_MAX: usize = 512;
/// How often a follower to whom nothing is told hears that the node is there.
pub const FOLLOW_HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How often a follower's credential is looked at while nothing is told.
pub const FOLLOW_CHECK_EVERY: Duration = Duration::from_millis(250);
/// Connections at a time; more wait to be accepted. One that is idle costs some kilobytes.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Headers of one request.
pub const HEADERS_MAX: usize = 64;
/// Bytes of all headers of one request.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Streams of one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 128;
/// Answers with chunks that are made at a time; each holds a few megabytes, and more wait.
pub const CHUNK_STREAMS_MAX: usize = 64;
/// How long a client may take to send the headers of a request, and how long an idle connection is
/// kept.
pub const HEADERS_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a body may stand still before the request fails.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a client may read nothing of a response before the connection is closed.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes a second that a client sends or takes at least; one that is slower is waited for as one that
/// stands still.
pub const PACE_BYTES_MIN: u64 = 2048;
/// How long requests may go on after a shutdown was asked for.
pub const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long the receiver of a hook may take to answer.
pub const HOOK_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection to the receiver of a hook may take.
pub const HOOK_CONNECT_MAX: Duration = Duration::from_secs(5);

/// The body of a PROPFIND.
pub const PROPFIND_BYTES_MAX: usize = 64 * 1024;
/// Properties that one PROPFIND asks for.
pub const PROPFIND_PROPS_MAX: usize = 64;

/// A JSON body.
pub const JSON_BYTES_MAX: usize = 256 * 1024;
/// Chunks in one request for chunks and in one claim.
pub const CHUNKS_PER_REQUEST_MAX: usize = 4096;
/// The body of such a request.
pub const IDS_BYTES_MAX: usize = CHUNKS_PER_REQUEST_MAX * cairn_chunk::ID_BYTES;
/// The body of one request with frames.
pub const FRAMES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Content of chunks that is read from the bucket at a time while a response streams.
pub const READ_BYTES: u64 = 4 * 1024 * 1024;
/// Targets of one upload.
pub const TARGETS_MAX: usize = 64;

/// Entries of a page when the request does not say.
pub const PAGE_DEFAULT: usize = 1000;
/// Entries of a page at most.
pub const PAGE_MAX: usize = 10_000;

/// The longest request path and query, in bytes.
pub const URI_BYTES_MAX: usize = 16 * 1024;
/// Symbolic links that are followed for one path.
pub const LINKS_MAX: usize = 40;
/// Names of a path inside a version.
pub const DEPTH_MAX: usize = 2048;
/// Ranges in one request for a file.
pub const RANGES_MAX: usize = 16;
