use std::path::PathBuf;

use cairn_base::ErrorKind;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why something cannot be a function here.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No WebAssembly.
    #[error(
        "this is no WebAssembly: {detail}; upload a component, a core module or its text (.wat)"
    )]
    NotWasm {
        /// Why not.
        detail: String,
    },
    /// More bytes than are taken.
    #[error("it has {size} bytes, and {limit} are allowed")]
    TooLarge {
        /// How many it has.
        size: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// It does not export what a function exports.
    #[error(
        "it exports {found}, and none of what can be run: wasi:http/incoming-handler or wasi:http/handler to \
         answer requests, wasi:cli/run (a `main`) or transform, reduce, schedule or filter of cairn:compute to be run \
         as a command"
    )]
    World {
        /// What it exports instead.
        found: String,
    },
    /// It imports what nobody provides.
    #[error("it imports what is not provided here: {detail}")]
    Imports {
        /// What, and what is known of it.
        detail: String,
    },
    /// The compiler refused it.
    #[error("it cannot be compiled: {detail}")]
    Compile {
        /// Why not.
        detail: String,
    },
    /// Files of compiled code.
    #[error("cannot {what} {}: {source}", path.display())]
    Cache {
        /// What was tried, as a verb.
        what: &'static str,
        /// Of which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The engine does not start on this machine.
    #[error("the WebAssembly engine does not start: {detail}")]
    Engine {
        /// Why not.
        detail: String,
    },
    /// Work was lost with its thread.
    #[error("the compilation ended early: {detail}")]
    Lost {
        /// Why.
        detail: String,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotWasm { .. }
            | Self::TooLarge { .. }
            | Self::World { .. }
            | Self::Imports { .. }
            | Self::Compile { .. } => ErrorKind::Invalid,
            Self::Cache { .. } | Self::Engine { .. } | Self::Lost { .. } => ErrorKind::Internal,
        }
    }
}

/// Why a call of a function did not end well. It harmed nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Failure {
    /// It computed for too long.
    #[error("it computed for more than {limit_ms} ms: raise limits.cpu_ms, or let it do less")]
    Cpu {
        /// The limit.
        limit_ms: u64,
    },
    /// It took too long.
    #[error("it took more than {limit_ms} ms: raise limits.wall_ms, or let it wait for less")]
    Wall {
        /// The limit.
        limit_ms: u64,
    },
    /// It failed after it was refused memory.
    #[error(
        "it needs more than {limit_bytes} bytes of memory: raise limits.memory_bytes, or let it hold less"
    )]
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// It wrote more than it may.
    #[error("its output has more than {limit_bytes} bytes: raise limits.output_bytes")]
    Output {
        /// The limit.
        limit_bytes: u64,
    },
    /// It trapped.
    #[error("it trapped: {message}")]
    Trap {
        /// Why, in one line.
        message: String,
        /// Where, a line for each frame.
        backtrace: String,
    },
    /// It answered with an error of its protocol, or not at all.
    #[error("it gave no answer: {detail}")]
    NoAnswer {
        /// What happened instead.
        detail: String,
    },
    /// As many calls run and wait as may.
    #[error("{running} calls of it run and {waiting} wait already: try again in a moment")]
    Busy {
        /// How many may run.
        running: u32,
        /// How many may wait.
        waiting: u32,
    },
    /// The node runs as many instances as it may.
    #[error("this node runs as many instances as it has room for: try again in a moment")]
    Full,
    /// The process that ran it ended in the middle of it.
    #[error("the process that ran it ended: {how}; the next call has another one")]
    Crashed {
        /// How: by a signal, or with an exit code.
        how: String,
    },
    /// It is to be run isolated as this node cannot do it, and is never run with less.
    #[error("this node cannot run it in a process of its project: {why}")]
    Isolation {
        /// Why not.
        why: String,
    },
    /// It is of another kind.
    #[error("it {is}, and was asked to {asked}")]
    Kind {
        /// What it does.
        #[serde(skip)]
        is: &'static str,
        /// What it was asked for.
        #[serde(skip)]
        asked: &'static str,
    },
}

impl Failure {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy { .. } | Self::Full => ErrorKind::Retry,
            Self::Kind { .. } => ErrorKind::Invalid,
            Self::Cpu { .. } | Self::Wall { .. } | Self::Memory { .. } | Self::Output { .. } => {
                ErrorKind::Exhausted
            }
            Self::Trap { .. }
            | Self::NoAnswer { .. }
            | Self::Crashed { .. }
            | Self::Isolation { .. } => ErrorKind::Internal,
        }
    }

    /// One stable word for it, for metrics and machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cpu",
            Self::Wall { .. } => "wall",
            Self::Memory { .. } => "memory",
            Self::Output { .. } => "output",
            Self::Trap { .. } => "trap",
            Self::NoAnswer { .. } => "no_answer",
            Self::Busy { .. } => "busy",
            Self::Full => "full",
            Self::Crashed { .. } => "crashed",
            Self::Isolation { .. } => "isolation",
            Self::Kind { .. } => "kind",
        }
    }
}
