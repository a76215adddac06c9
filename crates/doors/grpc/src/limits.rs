//! Every bound of this door, in one place.

use std::time::Duration;

use cairn_blocks::frame::{FRAME_BYTES_MAX, FRAME_CHUNKS_MAX};

/// One message from a client.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024 + 64 * 1024;
/// How long a client may stand still while it sends.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Entries of a page at most, and when the request does not say.
pub const PAGE_MAX: usize = 1000;
/// The longest page token, in characters.
pub const TOKEN_CHARS_MAX: usize = 4096;

/// Targets of one upload or push.
pub const TARGETS_MAX: usize = cairn_datasets::UPLOAD_TARGETS_MAX;
/// Chunks in one request for chunks, and of one claim.
pub const IDS_MAX: usize = cairn_datasets::CHUNKS_AT_ONCE_MAX;
/// The longest path inside a version, in bytes.
pub const PATH_BYTES_MAX: usize = 16 * 1024;
/// Names of such a path.
pub const DEPTH_MAX: usize = 2048;
/// Members that a push left out and names in its answer.
pub const SKIPPED_MAX: usize = 100;

/// Data of one message of a download.
pub const PART_BYTES_MAX: usize = 64 * 1024;
/// Content of chunks that is read from the bucket at a time for a download.
pub const READ_BYTES: u64 = 4 * 1024 * 1024;
/// Downloads at a time; each holds a few megabytes, and more wait.
pub const DOWNLOADS_MAX: usize = 64;
/// Pushes at a time; each has a thread and holds some tens of megabytes.
pub const PUSHES_MAX: usize = 16;
/// Streams that follow a tag, at a time.
pub const FOLLOWS_MAX: usize = 1024;
/// Calls of health and reflection at a time.
pub const OPEN_MAX: usize = 256;

/// One message from a client with changes of keys: a commit of the greatest size, with its conditions.
pub const KV_MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of messages with values that are held at a time; more wait.
pub const KV_MESSAGES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a single call waits for room among them.
pub const KV_ROOM_WAIT_MAX: Duration = Duration::from_millis(500);
/// Keys and values up to this length are copied out of the message that they came in, so that what keeps
/// one does not keep all of it.
pub const KV_COPIED_BYTES_MAX: usize = 16 * 1024;
/// Scans at a time; each holds a page, and more wait.
pub const SCANS_MAX: usize = 64;
/// Entries that a scan reads at a time.
pub const SCAN_ENTRIES: usize = 1000;
/// Keys and values in one message of a scan or a watch, give or take one.
pub const KV_PART_BYTES: usize = 1024 * 1024;
/// How often a watch that has nothing to tell says how far it is.
pub const WATCH_HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// Streams of commits, at a time.
pub const WRITES_MAX: usize = 1024;
/// Commits of one such stream that are under way.
pub const WRITES_UNDER_WAY_MAX: usize = 1024;
/// Their bytes, give or take one commit.
pub const WRITES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that such a stream reads ahead of what is under way, give or take one message.
pub const WRITES_AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a message that waits costs beside its bytes.
pub const WRITE_COST_BYTES: usize = 256;

/// How often a stream that waits asks whether it may go on.
pub const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often somebody who watches the health is told of a change.
pub const HEALTH_EVERY: Duration = Duration::from_secs(5);

// Room for one message can be had, and a commit fits one.
const _: () = assert!(KV_MESSAGE_BYTES_MAX <= KV_MESSAGES_BYTES_MAX);
const _: () = assert!(cairn_kv::limits::COMMIT_BYTES_MAX < KV_MESSAGE_BYTES_MAX);
// A frame fits a message, with its table of chunks: 32 bytes of id, a length, and what tells them apart.
const _: () =
    assert!(FRAME_BYTES_MAX + FRAME_BYTES_MAX / 64 + FRAME_CHUNKS_MAX * 48 < MESSAGE_BYTES_MAX);
