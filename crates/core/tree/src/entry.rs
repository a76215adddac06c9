//! What a directory holds, and the rules for it. Builders and decoders check the same rules.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use crate::error::Fault;
use crate::stream::{STREAM_BYTES_MAX, Stream};
use crate::xattrs::Xattrs;
use crate::{NAME_BYTES_MAX, PATH_BYTES_MAX, TARGET_BYTES_MAX};

/// A moment: seconds since 1970-01-01 UTC, and the nanoseconds after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds, before the epoch negative.
    pub secs: i64,
    /// Less than a milliard (10^9).
    pub nanos: u32,
}

/// The attributes that every entry has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Meta {
    pub(crate) const fn check(&self) -> Result<(), Fault> {
        if self.mode > 0o7777 {
            return Err(Fault::Rule("a mode of permission bits (at most 0o7777)"));
        }
        if self.mtime.nanos >= 1_000_000_000 {
            return Err(Fault::Rule("fewer than 1000000000 nanoseconds"));
        }
        Ok(())
    }
}

/// One name in a directory, and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 1 to [`NAME_BYTES_MAX`] bytes without `/` and NUL, neither `.` nor `..`. Not always UTF-8.
    pub name: Vec<u8>,
    /// Its attributes.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its bytes.
        content: Content,
    },
    /// A directory.
    Directory {
        /// The page at the top of it; `None` when and only when it is empty.
        page: Option<ChunkId>,
        /// What is below it.
        totals: Totals,
    },
    /// A symbolic link.
    Symlink {
        /// 1 to [`TARGET_BYTES_MAX`] bytes without NUL.
        target: Vec<u8>,
    },
    /// A further name of a file that has several.
    Hardlink {
        /// The path of the first name, from the root of the tree: valid names between `/`, at most
        /// [`PATH_BYTES_MAX`] bytes.
        target: Vec<u8>,
    },
}

/// What is below a directory at any depth, itself not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files.
    pub hardlinks: u64,
    /// The lengths of all files.
    pub bytes: u64,
}

impl Totals {
    /// The sum, or `None` when a number exceeds 64 bits.
    #[must_use]
    pub fn checked_add(self, other: &Self) -> Option<Self> {
        Some(Self {
            files: self.files.checked_add(other.files)?,
            directories: self.directories.checked_add(other.directories)?,
            symlinks: self.symlinks.checked_add(other.symlinks)?,
            hardlinks: self.hardlinks.checked_add(other.hardlinks)?,
            bytes: self.bytes.checked_add(other.bytes)?,
        })
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.files == 0 && self.directories == 0 && self.symlinks == 0 && self.hardlinks == 0
    }

    /// The rule for a directory whose top page is `page`: there is a page when there is an entry.
    pub(crate) const fn check(&self, page: Option<&ChunkId>) -> Result<(), Fault> {
        if self.is_empty() == page.is_some() {
            return Err(Fault::Rule("a directory with a page when it has entries, and none else"));
        }
        if self.bytes > 0 && self.files == 0 {
            return Err(Fault::Rule("no bytes where there are no files"));
        }
        Ok(())
    }
}

/// The bytes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The file's length.
    pub len: u64,
    /// The stored bytes. Without a recipe they are the file's; with one, what the recipe takes to
    /// make the file again, and of another length.
    pub stream: Stream,
    /// The BLAKE3 hash of the file's bytes, kept for files of more than one chunk.
    pub root: Option<[u8; 32]>,
    /// The nodes of the file's hash tree, with which a range of it is verified.
    pub outboard: Option<Box<Stream>>,
    /// How the file (an archive) is made from `stream`.
    pub recipe: Option<Box<Stream>>,
}

impl Content {
    fn check(&self) -> Result<(), Fault> {
        if self.len > STREAM_BYTES_MAX {
            return Err(Fault::Rule("a length of at most 2^63 - 1"));
        }
        if self.recipe.is_none() && self.stream.len() != self.len {
            return Err(Fault::Rule("a stream as long as the file"));
        }
        for stream in self.streams() {
            stream.check()?;
        }
        let mut extra = [&self.outboard, &self.recipe].into_iter().flatten();
        if extra.any(|stream| stream.is_empty()) {
            return Err(Fault::Rule("a hash tree or recipe that is not empty"));
        }
        Ok(())
    }

    /// The content, the hash tree and the recipe, those that there are, in the order of storage.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        let extra = [&self.outboard, &self.recipe].into_iter().flatten();
        core::iter::once(&self.stream).chain(extra.map(|stream| &**stream))
    }

    pub(crate) fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        let extra = [&mut self.outboard, &mut self.recipe].into_iter().flatten();
        core::iter::once(&mut self.stream).chain(extra.map(|stream| &mut **stream))
    }
}

impl Entry {
    /// What this entry adds to the totals of its directory.
    ///
    /// # Errors
    /// [`Error::TotalsOverflow`](crate::Error::TotalsOverflow).
    pub fn totals(&self) -> Result<Totals, crate::Error> {
        let none = Totals::default();
        Ok(match &self.kind {
            Kind::File { content } => Totals { files: 1, bytes: content.len, ..none },
            Kind::Directory { totals, .. } => totals
                .checked_add(&Totals { directories: 1, ..none })
                .ok_or(crate::Error::TotalsOverflow)?,
            Kind::Symlink { .. } => Totals { symlinks: 1, ..none },
            Kind::Hardlink { .. } => Totals { hardlinks: 1, ..none },
        })
    }

    /// Every rule but that of the order among entries.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        check_name(&self.name)?;
        self.meta.check()?;
        self.kind.check()
    }
}

impl Kind {
    /// The rules for what an entry is.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self {
            Self::File { content } => content.check(),
            Self::Directory { page, totals } => totals.check(page.as_ref()),
            Self::Symlink { target } => check_target(target),
            Self::Hardlink { target } => check_path(target),
        }
    }
}

/// The rules for a name.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Fault> {
    const EXPECTED: &str = "a name of 1 to 1024 bytes";
    if name.len() > NAME_BYTES_MAX {
        let (what, bytes) = ("name", name.len());
        return Err(Fault::Large { what, bytes, max: NAME_BYTES_MAX, expected: EXPECTED });
    }
    match name {
        [] => Err(Fault::Rule(EXPECTED)),
        b"." | b".." => Err(Fault::Rule("a name other than . and ..")),
        _ if name.iter().any(|byte| matches!(byte, 0 | b'/')) => {
            Err(Fault::Rule("a name without / and NUL"))
        }
        _ => Ok(()),
    }
}

fn check_target(target: &[u8]) -> Result<(), Fault> {
    const EXPECTED: &str = "a symlink target of 1 to 4096 bytes without NUL";
    if target.len() > TARGET_BYTES_MAX {
        let (what, bytes) = ("symlink target", target.len());
        return Err(Fault::Large { what, bytes, max: TARGET_BYTES_MAX, expected: EXPECTED });
    }
    if target.is_empty() || target.contains(&0) { Err(Fault::Rule(EXPECTED)) } else { Ok(()) }
}

fn check_path(target: &[u8]) -> Result<(), Fault> {
    const EXPECTED: &str = "a hard link target: valid names between single slashes";
    if target.len() > PATH_BYTES_MAX {
        let (what, bytes) = ("hard link target", target.len());
        return Err(Fault::Large { what, bytes, max: PATH_BYTES_MAX, expected: EXPECTED });
    }
    let valid = target.split(|&byte| byte == b'/').all(|name| check_name(name).is_ok());
    if valid { Ok(()) } else { Err(Fault::Rule(EXPECTED)) }
}

#[cfg(test)]
mod tests;
