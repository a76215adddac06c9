//! How the command ends.
//!
//! | code | what |
//! |---|---|
//! | 0 | done |
//! | 1 | a bug, or something that should not be |
//! | 2 | wrong usage or input |
//! | 3 | there is no such thing |
//! | 4 | not allowed, or not known who you are |
//! | 5 | it exists already, was changed meanwhile, or is in the way |
//! | 6 | transient: try again (a node that does not answer, too many writers) |
//! | 7 | stored bytes are damaged |
//! | 8 | a limit was reached: disk, quota, a bound |
//! | 9 | done, but some files were left out or changed while they were read |

use std::process::ExitCode;

use cairn_base::ErrorKind;

/// Done, with things left out.
pub(crate) const PARTIAL: u8 = 9;

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Internal => 1,
        ErrorKind::Invalid => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Conflict => 5,
        ErrorKind::Retry | ErrorKind::Closed => 6,
        ErrorKind::Corrupt => 7,
        ErrorKind::Exhausted => 8,
    }
}

fn kind(error: &anyhow::Error) -> ErrorKind {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<cairn_datasets::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_blocks::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_bucket::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_node::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_base::name::Error>() {
            return error.kind();
        }
        if cause.is::<Usage>() {
            return ErrorKind::Invalid;
        }
    }
    ErrorKind::Internal
}

/// Wrong usage that clap does not see.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A reader of our output that went away, as `head` does, is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Says what went wrong, and with which code to end.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let kind = kind(error);
    let message = message(error);
    if json {
        let error = serde_json::json!({"error": {"kind": kind.as_str(), "message": message}});
        eprintln!("{error}");
    } else {
        eprintln!("cairn: {message}");
    }
    ExitCode::from(code(kind))
}

/// The error with its causes, each once.
fn message(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}
