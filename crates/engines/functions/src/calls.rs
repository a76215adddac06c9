//! Calls that are done later: they are kept with their input, done by the node that has the project's partition,
//! and what came of them is kept for a day (FUNCTIONS-7).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Function;
use crate::schedules::Outcome;

/// How long it is kept what came of a call.
pub const CALL_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Calls of a project's functions that wait.
pub(crate) const CALLS_MAX: usize = 10_000;
/// Calls that are listed.
pub const CALLS_LISTED_MAX: usize = 200;
/// Rows of calls, open ones and others, that are looked through for a list.
pub(crate) const CALLS_SEEN_MAX: usize = 20_000;
/// Bytes of the id of a call or a plan.
pub(crate) const ID_BYTES: usize = 16;

/// What is asked of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What one that answers requests is asked to POST to.
    pub path: String,
    /// The type of its input.
    pub media_type: Option<String>,
    /// Arguments of a program.
    pub arguments: Vec<String>,
}

/// How far a call is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum CallState {
    /// It waits, and was begun so often.
    Waiting {
        /// How often.
        attempt: u32,
    },
    /// It runs.
    Running {
        /// For the how manyth time.
        attempt: u32,
        /// Since when, in milliseconds since 1970.
        began_ms: u64,
    },
    /// It has ended.
    Done {
        /// How often it was begun.
        attempt: u32,
        /// When it was begun last, in milliseconds since 1970.
        began_ms: u64,
        /// When it ended.
        ended_ms: u64,
        /// Whether it went well.
        outcome: Outcome,
        /// What came of it, for people.
        what: String,
        /// The status of an answer.
        status: Option<u16>,
        /// The exit code of a program.
        exit: Option<i32>,
        /// The type of its output.
        media_type: Option<String>,
    },
}

impl CallState {
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self, Self::Done { .. })
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Running { .. } => "running",
            Self::Done { .. } => "done",
        }
    }
}

/// A call that is done later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallInfo {
    /// Its id.
    pub id: String,
    /// The function's project.
    pub project: String,
    /// The function.
    pub function: String,
    /// When it was asked for, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: CallState,
}

/// The id of a call: of the same caller with the same idempotency key the same.
#[must_use]
pub fn call_id(function: &Function, by: &str, idempotency_key: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("cairn id of a call 1");
    for part in [function.to_string().as_bytes(), by.as_bytes(), idempotency_key] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hex::encode(&hasher.finalize().as_bytes()[..ID_BYTES])
}
