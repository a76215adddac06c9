use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use cairn_base::ErrorKind;

/// Why a page was not decoded, or an entry not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not a page, or not in its one canonical form.
    #[error("corrupt page: expected {expected} at byte {offset}")]
    Corrupt {
        /// Where reading stopped, in bytes from the start of the page.
        offset: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// A page is valid in itself and is not what its parent says of it.
    #[error("corrupt tree: the page has not the {what} that its parent names")]
    Child {
        /// What differs: kind, level, first name, totals, length.
        what: &'static str,
    },
    /// The page was written by a newer program.
    #[error("the page has format version {found}, and this program reads version 1; upgrade it")]
    Version {
        /// The version in the page.
        found: u8,
    },
    /// An entry breaks a rule of the format.
    #[error("the entry {:?} is refused: expected {expected}", show(.name))]
    Entry {
        /// The entry's name.
        name: Vec<u8>,
        /// The rule.
        expected: &'static str,
    },
    /// A part of an entry is longer than the format allows, so that an entry always fits a page.
    #[error(
        "the entry {:?} is refused: its {what} has {bytes} bytes, more than {max}",
        show(.name)
    )]
    EntryTooLarge {
        /// The entry's name.
        name: Vec<u8>,
        /// Which part: name, symlink target, hard link target.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The most it may have.
        max: usize,
    },
    /// Extended attributes break a rule of the format.
    #[error("the extended attributes are refused: expected {expected}")]
    Xattrs {
        /// The rule.
        expected: &'static str,
    },
    /// Entries do not come in ascending order of their names, or a name comes twice.
    #[error(
        "the entry {:?} came after {:?}: names ascend and are unique",
        show(.name),
        show(.previous)
    )]
    Unsorted {
        /// The name that came.
        name: Vec<u8>,
        /// The name before it.
        previous: Vec<u8>,
    },
    /// A slice or a stream of slices breaks a rule of the format.
    #[error("the slice is refused: expected {expected}")]
    Slice {
        /// The rule.
        expected: &'static str,
    },
    /// The counts or bytes of a directory exceed 64 bits.
    #[error("the totals of the directory exceed 64 bits")]
    TotalsOverflow,
    /// The tree of pages would be higher than the format allows.
    #[error("the tree of pages is higher than {max} levels")]
    Deep {
        /// The most levels.
        max: u8,
    },
    /// An earlier call on this builder failed, so what it holds is not whole.
    #[error("the builder failed before: start again")]
    Failed,
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } | Self::Child { .. } => ErrorKind::Corrupt,
            Self::Failed => ErrorKind::Closed,
            Self::Version { .. }
            | Self::Entry { .. }
            | Self::EntryTooLarge { .. }
            | Self::Xattrs { .. }
            | Self::Unsorted { .. }
            | Self::Slice { .. }
            | Self::TotalsOverflow
            | Self::Deep { .. } => ErrorKind::Invalid,
        }
    }
}

fn show(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_string()
}

/// A broken rule, before it is known whether a builder or a decoder met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What was expected.
    Rule(&'static str),
    /// A part is too long.
    Large { what: &'static str, bytes: usize, max: usize, expected: &'static str },
}

impl Fault {
    /// The rule in words.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::Rule(expected) | Self::Large { expected, .. } => expected,
        }
    }

    /// The error of a builder that was given the entry `name`.
    pub(crate) fn of_entry(self, name: &[u8]) -> Error {
        let name = name.to_vec();
        match self {
            Self::Rule(expected) => Error::Entry { name, expected },
            Self::Large { what, bytes, max, .. } => Error::EntryTooLarge { name, what, bytes, max },
        }
    }
}
