//! Every bound of this door, in one place.

use std::time::Duration;

use cairn_kv::limits::COMMIT_BYTES_MAX;

/// Connections at a time; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 4096;
/// Words of one command.
pub const WORDS_MAX: usize = 32 * 1024;
/// Bytes of one command, with what each word costs beside its own.
pub const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a word costs beside its bytes.
pub const WORD_COST_BYTES: usize = 64;
/// Words of one command of somebody who is not let in yet, and bytes of it.
pub const STRANGER_WORDS_MAX: usize = 10;
/// As [`STRANGER_WORDS_MAX`].
pub const STRANGER_BYTES_MAX: usize = 16 * 1024;
/// A command in one line, as people type it, and the line before a word.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// Words up to this length are copied out of what they came in, so that what keeps one does not keep all
/// of it.
pub const COPIED_BYTES_MAX: usize = 16 * 1024;

/// Commands between MULTI and EXEC.
pub const QUEUED_MAX: usize = 10_000;
/// Bytes of them.
pub const QUEUED_BYTES_MAX: usize = COMMIT_BYTES_MAX;
/// Keys that one connection watches.
pub const WATCHED_MAX: usize = 1_000;
/// Bytes of keys and values that one command reads, or one EXEC, give or take one value.
pub const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Keys that KEYS and DBSIZE look at.
pub const KEYS_MAX: usize = 100_000;
/// Scans that may go on, on all connections; the one that was told first goes first.
pub const SCANS_MAX: usize = 4096;
/// Entries that a call of SCAN looks at.
pub const SCAN_MAX: usize = 10_000;

/// Changes of one connection that are under way.
pub const UNDER_WAY_MAX: usize = 1024;
/// Answers that are kept back before they are sent.
pub const OUT_BYTES: usize = 64 * 1024;
/// Bytes that are read at a time.
pub const READ_BYTES: usize = 16 * 1024;
/// Bytes of commands that a connection holds without asking for room.
pub const FREE_BYTES: usize = 128 * 1024;
/// Bytes of commands beyond those, on all connections; more wait.
pub const ROOM_BYTES: usize = 256 * 1024 * 1024;

/// How often a change that depends on what was there is tried when others come before it.
pub const ATTEMPTS_MAX: u32 = 64;
/// Changes of one key that depend on what was there wait for each other; keys share so many places.
pub const TURNS: usize = 1024;

/// How long a stranger has to say who it is.
pub const STRANGER_WAIT: Duration = Duration::from_secs(10);
/// How long a client may stand still in the middle of a command, and with an answer.
pub const STALL_WAIT: Duration = Duration::from_secs(30);
/// How long a connection is kept on which nothing is asked.
pub const IDLE_WAIT: Duration = Duration::from_secs(3600);
/// How long connections are waited for when the node stops.
pub const STOP_WAIT: Duration = Duration::from_secs(10);
/// How often a connection asks whether it may go on.
pub const ASK_EVERY: Duration = Duration::from_millis(200);
