//! Every bound of this door, in one place.

use std::time::Duration;

use cairn_kv::limits::COMMIT_BYTES_MAX;

/// Connections at a time; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 4096;
/// Words of one command.
pub const WORDS_MAX: usize = 32 * 1024;
/// Bytes of one command, with what each word costs beside its own.
pub const REQUEST_BYTES_MAX: usize = 20 * 1024 * 1024;
/// What a word costs beside its bytes.
pub const WORD_COST_BYTES: usize = 64;
/// Words of one command of somebody who is not let in yet.
pub const STRANGER_WORDS_MAX: usize = 10;
/// Bytes of such a command.
pub const STRANGER_BYTES_MAX: usize = 16 * 1024;
/// A command in one line, as people type it.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// The name that a client gives its connection.
pub const NAME_BYTES_MAX: usize = 64;
/// A pattern of keys.
pub const PATTERN_BYTES_MAX: usize = 1024;
/// Steps that one command takes to hold keys against a pattern: some tens of milliseconds.
pub const PATTERN_STEPS_MAX: usize = 10_000_000;

/// Commands between MULTI and EXEC.
pub const QUEUED_MAX: usize = 10_000;
/// Bytes of them.
pub const QUEUED_BYTES_MAX: usize = COMMIT_BYTES_MAX;
/// Keys that one connection watches.
pub const WATCHED_MAX: usize = 1_000;
/// Bytes that one command answers, or one EXEC, give or take one value.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of values that one command looks at, or one EXEC.
pub const LOOKED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Keys that KEYS looks at.
pub const KEYS_MAX: usize = 100_000;
/// Keys that DBSIZE counts.
pub const COUNTED_MAX: usize = 10_000_000;
/// Scans that may go on, on all connections; the one that was told first goes first.
pub const SCANS_MAX: usize = 16_384;
/// Entries that a call of SCAN looks at.
pub const SCAN_MAX: usize = 10_000;

/// Commands of a pipeline that are done together, and their bytes, give or take one command.
pub const TOGETHER_MAX: usize = 256;
/// As [`TOGETHER_MAX`].
pub const TOGETHER_BYTES: usize = 1024 * 1024;
/// Answers that are kept back before they are sent.
pub const OUT_BYTES: usize = 64 * 1024;
/// Bytes that are read at a time.
pub const READ_BYTES: usize = 16 * 1024;
/// What a connection holds of commands and of answers without asking for a place among those that hold much.
pub const FREE_BYTES: usize = 128 * 1024;
/// Connections that hold much at a time; more wait.
pub const HEAVY_MAX: usize = 16;

/// How often a change that depends on what was there is tried when others come before it.
pub const ATTEMPTS_MAX: u32 = 64;
/// Changes of one key that depend on what was there wait for each other; keys share so many places.
pub const TURNS: usize = 1024;

/// How long another one's turn is waited for: without one's own it takes more attempts.
pub const TURN_WAIT: Duration = Duration::from_millis(100);

/// How long a stranger has to say who it is.
pub const STRANGER_WAIT: Duration = Duration::from_secs(10);
/// How long a client may take to send a command, or to take an answer, beside the time for its bytes.
pub const STALL_WAIT: Duration = Duration::from_secs(30);
/// The pace of these bytes, in bytes a second.
pub const PACE_BYTES: usize = 128 * 1024;
/// How long a connection is kept on which nothing is asked.
pub const IDLE_WAIT: Duration = Duration::from_secs(3600);
/// How often a connection looks whether its time is over.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a client has to take the last answer.
pub const LAST_WAIT: Duration = Duration::from_secs(1);
/// How long connections are waited for when the node stops.
pub const STOP_WAIT: Duration = Duration::from_secs(10);
/// How often a connection asks whether it may go on.
pub const ASK_EVERY: Duration = Duration::from_millis(200);
