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

/// How often a stream that waits asks whether it may go on.
pub const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often somebody who watches the health is told of a change.
pub const HEALTH_EVERY: Duration = Duration::from_secs(5);

// A frame fits a message, with its table of chunks: 32 bytes of id, a length, and what tells them apart.
const _: () =
    assert!(FRAME_BYTES_MAX + FRAME_BYTES_MAX / 64 + FRAME_CHUNKS_MAX * 48 < MESSAGE_BYTES_MAX);
