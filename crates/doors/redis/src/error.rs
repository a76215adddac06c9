use cairn_base::ErrorKind;

use crate::reply::Reply;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The namespace.
    #[error(transparent)]
    Kv(#[from] cairn_kv::Error),
    /// Who may do what.
    #[error(transparent)]
    Access(#[from] cairn_access::Error),
    /// The command is wrong, or what it is about is. The text begins with a code.
    #[error("{0}")]
    Said(String),
}

impl From<cairn_partition::Error> for Error {
    fn from(error: cairn_partition::Error) -> Self {
        Self::Kv(error.into())
    }
}

impl Error {
    /// With the code that most errors have.
    pub(crate) fn said(text: impl std::fmt::Display) -> Self {
        Self::Said(format!("ERR {text}"))
    }

    pub(crate) fn syntax() -> Self {
        Self::said("syntax error")
    }

    pub(crate) fn no_integer() -> Self {
        Self::said("value is not an integer or out of range")
    }

    /// Whether the same may succeed at once: others changed what was read, or it is not kept any more.
    pub(crate) fn is_conflict(&self) -> bool {
        use cairn_partition::Error as Partition;
        let Self::Kv(cairn_kv::Error::Partition(error)) = self else { return false };
        matches!(error, Partition::Conflict { .. } | Partition::Gone { .. })
    }

    /// Whether it concerns one command alone, and not the state that all of a transaction is made on.
    pub(crate) fn is_of_one_command(&self) -> bool {
        match self {
            Self::Said(_) => true,
            Self::Kv(error) => error.kind() == ErrorKind::Invalid,
            Self::Access(_) => false,
        }
    }

    fn code(&self) -> &'static str {
        use cairn_partition::Error as Partition;
        match self {
            // It may have been made: nobody tries it again without a look.
            Self::Kv(cairn_kv::Error::Partition(
                Partition::InDoubt { .. } | Partition::Fenced { .. } | Partition::Closed { .. },
            )) => "INDOUBT",
            Self::Kv(_) if self.is_conflict() => "TRYAGAIN",
            Self::Kv(cairn_kv::Error::Partition(Partition::Elsewhere { .. })) => "ELSEWHERE",
            Self::Kv(error) if error.kind() == ErrorKind::Retry => "TRYAGAIN",
            Self::Access(error) if error.asks_for_credential() => "WRONGPASS",
            Self::Access(error) if error.kind() == ErrorKind::Denied => "NOPERM",
            Self::Access(error) if error.kind() == ErrorKind::Retry => "TRYAGAIN",
            _ => "ERR",
        }
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        Self::Error(match &error {
            Error::Said(text) => text.clone(),
            other => format!("{} {other}", other.code()),
        })
    }
}
