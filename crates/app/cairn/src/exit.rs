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

use crate::output::{self, ReaderGone};

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

/// The end of a command that found this.
pub(crate) fn code_of(kind: ErrorKind) -> ExitCode {
    ExitCode::from(code(kind))
}

fn kind(error: &anyhow::Error) -> ErrorKind {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<cairn_datasets::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_kv::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_functions::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_databases::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_backup::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_blocks::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_bucket::Error>() {
            return error.kind();
        }
        if let Some(error) = cause.downcast_ref::<cairn_audit::Error>() {
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
    let local = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    local.map_or(ErrorKind::Internal, |error| local_kind(error.kind()))
}

/// The kind of an error of this machine's files.
fn local_kind(kind: std::io::ErrorKind) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match kind {
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::Exhausted,
        Io::AlreadyExists => ErrorKind::Conflict,
        Io::InvalidData | Io::IsADirectory | Io::NotADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
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

/// Says what went wrong, and with which code to end.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    // A reader of our output that has seen enough is no error.
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    let kind = kind(error);
    let message = message(error);
    if json {
        let error = serde_json::json!({"error": {"kind": kind.as_str(), "message": message}});
        output::stderr(&error.to_string());
    } else {
        output::note(&message);
    }
    code_of(kind)
}

/// What `object_store` puts before the text of a cause, which comes next itself.
const GENERIC: &str = "Generic local error: ";

/// The error with its causes, each once.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = text.strip_prefix(GENERIC).unwrap_or(&text).to_owned();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> std::io::Error {
        std::io::ErrorKind::BrokenPipe.into()
    }

    #[test]
    fn only_our_own_reader_may_go_away() {
        let said = |error: anyhow::Error| report(&error, false);
        assert_eq!(said(ReaderGone.into()), ExitCode::SUCCESS);
        let path = std::path::PathBuf::from("f");
        let pushed = cairn_datasets::Error::Local { operation: "read", path, source: broken() };
        assert_eq!(said(pushed.into()), ExitCode::from(1));
        assert_eq!(said(anyhow::Error::new(broken()).context("sending")), ExitCode::from(1));
    }

    #[test]
    fn files_of_this_machine_have_kinds() {
        for (kind, expected) in [
            (std::io::ErrorKind::NotFound, 3),
            (std::io::ErrorKind::PermissionDenied, 4),
            (std::io::ErrorKind::StorageFull, 8),
            (std::io::ErrorKind::Other, 1),
        ] {
            let error = anyhow::Error::new(std::io::Error::from(kind)).context("reading f");
            assert_eq!(report(&error, true), ExitCode::from(expected), "{kind}");
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(cause).context("cannot open x: Generic local error: disk");
        assert_eq!(message(&error), "cannot open x: Generic local error: disk: disk on fire");
        let twice = anyhow::anyhow!("{GENERIC}no space").context("cannot put: no space");
        assert_eq!(message(&twice), "cannot put: no space");
    }
}
