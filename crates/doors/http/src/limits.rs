//! Every bound of this door, in one place.

use std::time::Duration;

pub use cairn_env::PACE_BYTES_MIN;

/// Requests that are worked on at a time; more wait a moment, and get 503 with `Retry-After` then.
pub const REQUESTS_MAX: usize = 512;
/// Requests that wait for such a place at a time; each is held with its headers alone.
pub const WAITERS_MAX: usize = 4096;
/// How long a request waits for a place: what many clients ask for at one moment is soon answered.
pub const PLACE_WAIT_MAX: Duration = Duration::from_millis(500);
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
/// Bytes that a client may send on one stream of HTTP/2 before they are read.
pub const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// And on all streams of a connection. The guard against small frames lets half of this go unread in frames
/// of 256 bytes at most, what they lack of that counted: a stream whose window is full of frames of 40 bytes
/// stays within it.
pub const CONNECTION_WINDOW_BYTES: u32 = 6 * 1024 * 1024;
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
pub const CHUNKS_PER_REQUEST_MAX: usize = cairn_datasets::CHUNKS_AT_ONCE_MAX;
/// The body of such a request.
pub const IDS_BYTES_MAX: usize = CHUNKS_PER_REQUEST_MAX * cairn_chunk::ID_BYTES;
/// The body of one request with frames.
pub const FRAMES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Content of chunks that is read from the bucket at a time while a response streams.
pub const READ_BYTES: u64 = 4 * 1024 * 1024;
/// Targets of one upload.
pub const TARGETS_MAX: usize = cairn_datasets::UPLOAD_TARGETS_MAX;

/// The body of one request with a part of a file of an edit: what a client sends again at most when a
/// connection breaks.
pub const EDIT_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So much of such a body is taken at a time.
pub const EDIT_PIECE_BYTES: usize = 1024 * 1024;
/// Paths of one page of an edit.
pub const EDIT_PAGE_MAX: usize = 1000;

/// The body of one request with a value of a key: what is longer than the next bound is not held.
pub const KV_LARGE_BYTES_MAX: usize = 1 << 30;
const _: () = assert!(KV_LARGE_BYTES_MAX as u64 == cairn_kv::LARGE_BYTES_MAX);
/// A value that is held whole.
pub const KV_VALUE_BYTES_MAX: usize = cairn_kv::limits::VALUE_BYTES_MAX;
/// The body of one commit of keys, in JSON.
pub const KV_COMMIT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The body of one import: it is taken in pieces.
pub const KV_IMPORT_BYTES_MAX: usize = 1 << 40;
/// Bodies with values that are held at a time, in KiB; more wait a moment, and get 503 then.
pub const KV_BODIES_KIB_MAX: usize = 256 * 1024;

/// The body of one release of a function.
pub const FUNCTION_BYTES_MAX: usize = cairn_functions::COMPONENT_BYTES_MAX;
/// The input of one call of a function without a route.
pub const FUNCTION_INPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Seconds that are waited at most for a release to be compiled, or for a line that a function writes.
pub const FUNCTION_WAIT_MAX: u64 = cairn_functions::DECIDED_WAIT_MAX.as_secs();

/// Entries of a page when the request does not say.
pub const PAGE_DEFAULT: usize = 1000;
/// Entries of a page at most.
pub const PAGE_MAX: usize = 10_000;

/// The longest request path and query, in bytes.
pub const URI_BYTES_MAX: usize = 16 * 1024;
pub use cairn_files::{DEPTH_MAX, RANGES_MAX};
