//! What an edit has so far: files, and what it takes out. The version to come is the one that the tag
//! points to, without what is taken out, with the files.

use std::collections::{BTreeMap, BTreeSet};

use cairn_tree::{Content, NAME_BYTES_MAX, STREAM_BYTES_MAX, Time};
use serde::Serialize;

use super::plan::{Plan, Put};
use super::writing::Writing;
use super::{
    EDIT_DEPTH_MAX, EDIT_FILES_MAX, EDIT_NAMES_BYTES_MAX, EDIT_OPEN_FILES_MAX, EDIT_PATH_BYTES_MAX,
    FileWrite, PathNames,
};
use crate::error::Error;

/// A file of an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EditFile {
    /// Its path.
    pub path: String,
    /// The length that it will have.
    pub size: u64,
    /// Bytes that were received.
    pub received: u64,
    /// Whether it is whole.
    pub done: bool,
}

/// What became of a piece.
pub(super) enum Stored {
    Part(Box<Writing>),
    Whole(Box<Content>),
}

enum State {
    /// Its next piece is waited for.
    Waiting(Box<Writing>),
    /// A piece of it is being stored.
    Busy,
    Done(Box<Content>),
}

struct File {
    size: u64,
    received: u64,
    /// As its client said, if it did.
    asked_mtime: Option<Time>,
    mtime: Time,
    executable: Option<bool>,
    state: State,
}

impl File {
    fn is_open(&self) -> bool {
        !matches!(self.state, State::Done(_))
    }
}

/// The changes of an edit.
#[derive(Default)]
pub(super) struct Draft {
    files: BTreeMap<PathNames, File>,
    removed: BTreeSet<PathNames>,
    /// Nothing that the current version has stays.
    cleared: bool,
    /// Bytes of all their paths.
    names_bytes: usize,
    /// Files that are not done.
    open: usize,
    /// While it is published nothing changes.
    sealed: bool,
}

/// The rules for a path: those of a push, and it is text.
pub(super) fn check_path(path: &[Vec<u8>]) -> Result<(), Error> {
    let wrong =
        |why: String| Err(Error::invalid(format!("{:?} is no path of a file: {why}", shown(path))));
    if path.is_empty() {
        return wrong("it has no name".to_owned());
    }
    if path.len() > EDIT_DEPTH_MAX {
        return wrong(format!("it has more than {EDIT_DEPTH_MAX} names"));
    }
    if names_bytes(path) > EDIT_PATH_BYTES_MAX {
        return wrong(format!("it is longer than {EDIT_PATH_BYTES_MAX} bytes"));
    }
    for name in path {
        let text = std::str::from_utf8(name);
        if text.is_err() {
            return wrong("it is not UTF-8".to_owned());
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return wrong(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return wrong("a name is neither . nor .. and has no / and no NUL".to_owned());
        }
    }
    Ok(())
}

/// A path as people see it.
pub(super) fn shown(path: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&path.join(&b'/')).into_owned()
}

fn names_bytes(path: &[Vec<u8>]) -> usize {
    path.iter().map(|name| name.len() + 1).sum()
}

impl Draft {
    /// Takes the file out for its next piece; none when there is nothing to do, for it is done and the
    /// piece is empty.
    pub(super) fn begin(
        &mut self,
        write: &FileWrite,
        len: u64,
        new: impl FnOnce() -> (Box<Writing>, i64),
    ) -> Result<Option<Box<Writing>>, Error> {
        self.check_open()?;
        check_path(&write.path)?;
        if write.size > STREAM_BYTES_MAX {
            return Err(Error::invalid(format!("a file has at most {STREAM_BYTES_MAX} bytes")));
        }
        if write.offset.checked_add(len).is_none_or(|end| end > write.size) {
            let (shown, size) = (shown(&write.path), write.size);
            return Err(Error::invalid(format!(
                "{shown:?} is longer than the {size} bytes that it is said to have"
            )));
        }
        if self.is_new(write)? {
            self.make_place(&write.path)?;
            let (writing, now) = new();
            let file = File {
                size: write.size,
                received: 0,
                asked_mtime: write.mtime,
                mtime: write.mtime.unwrap_or_else(|| time_of(now)),
                executable: write.executable,
                state: State::Busy,
            };
            self.forget(&write.path);
            self.names_bytes += names_bytes(&write.path);
            self.open += 1;
            self.files.insert(write.path.clone(), file);
            return Ok(Some(writing));
        }
        let file = self.files.get_mut(&write.path).expect("it is not new");
        match std::mem::replace(&mut file.state, State::Busy) {
            State::Waiting(writing) => Ok(Some(writing)),
            other => {
                file.state = other;
                Ok(None)
            }
        }
    }

    /// Whether a piece begins its file: then what was there of it before is given up.
    fn is_new(&self, write: &FileWrite) -> Result<bool, Error> {
        let Some(file) = self.files.get(&write.path) else {
            return if write.offset == 0 { Ok(true) } else { Err(offset(&write.path, 0)) };
        };
        if matches!(file.state, State::Busy) {
            let shown = shown(&write.path);
            let detail = format!("{shown:?} is being sent by another request; wait for its end");
            return Err(Error::Edit { detail });
        }
        let same = file.size == write.size
            && (write.mtime.is_none() || write.mtime == file.asked_mtime)
            && (write.executable.is_none() || write.executable == file.executable);
        let done = matches!(file.state, State::Done(_));
        if write.offset == 0 && (done || !same) {
            return Ok(true);
        }
        if !same {
            let (shown, size) = (shown(&write.path), file.size);
            return Err(Error::invalid(format!(
                "{shown:?} began with other attributes, and {size} bytes; begin it again at offset 0"
            )));
        }
        if write.offset == file.received {
            Ok(false)
        } else {
            Err(offset(&write.path, file.received))
        }
    }

    /// Whether there may be a file of this path.
    fn make_place(&self, path: &[Vec<u8>]) -> Result<(), Error> {
        for end in 1..path.len() {
            if self.files.contains_key(&path[..end]) {
                let (found, expected) = ("a file", "a directory");
                return Err(Error::WrongKind { path: shown(&path[..end]), found, expected });
            }
        }
        let below = self.files.range(path.to_vec()..).map(|(at, _)| at);
        if below.take(2).any(|at| at.len() > path.len() && at.starts_with(path)) {
            let (found, expected) = ("a directory", "a file");
            return Err(Error::WrongKind { path: shown(path), found, expected });
        }
        let again = self.files.get(path).is_some_and(File::is_open);
        if !again && self.open >= EDIT_OPEN_FILES_MAX {
            let detail = format!(
                "{EDIT_OPEN_FILES_MAX} files of this edit have begun and are not done; finish or remove one"
            );
            return Err(Error::Edit { detail });
        }
        self.check_room(path)
    }

    fn check_room(&self, path: &[Vec<u8>]) -> Result<(), Error> {
        if self.files.len() + self.removed.len() >= EDIT_FILES_MAX {
            let what = "number of files and removals of an edit";
            return Err(Error::TooMany { what, max: EDIT_FILES_MAX as u64 });
        }
        if self.names_bytes + names_bytes(path) > EDIT_NAMES_BYTES_MAX {
            let what = "length of the paths of an edit";
            return Err(Error::TooMany { what, max: EDIT_NAMES_BYTES_MAX as u64 });
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.sealed {
            let detail = "the edit is being published; open another".to_owned();
            return Err(Error::Edit { detail });
        }
        Ok(())
    }

    /// Puts the file back, with `len` more bytes.
    pub(super) fn took(&mut self, path: &[Vec<u8>], len: u64, stored: Stored) {
        let file = self.files.get_mut(path).expect("a file that is busy is not removed");
        file.received += len;
        file.state = match stored {
            Stored::Part(writing) => State::Waiting(writing),
            Stored::Whole(content) => {
                self.open -= 1;
                State::Done(content)
            }
        };
    }

    /// Gives up a file of which a piece was lost.
    pub(super) fn lost(&mut self, path: &[Vec<u8>]) {
        self.forget(path);
    }

    fn forget(&mut self, path: &[Vec<u8>]) {
        if let Some(file) = self.files.remove(path) {
            self.names_bytes -= names_bytes(path);
            self.open -= usize::from(file.is_open());
        }
    }

    /// A file as clients see it.
    pub(super) fn file(&self, path: &[Vec<u8>]) -> Result<EditFile, Error> {
        let file = self.files.get(path).ok_or_else(|| offset(path, 0))?;
        Ok(told(path, file))
    }

    /// Takes a path out; `there` says whether the current version has it.
    pub(super) fn remove(&mut self, path: PathNames, there: bool) -> Result<(), Error> {
        self.check_open()?;
        let below = self.files.range(path.clone()..);
        let below: Vec<_> = below.take_while(|(at, _)| at.starts_with(&path)).collect();
        if let Some((at, _)) = below.iter().find(|(_, file)| matches!(file.state, State::Busy)) {
            let detail = format!("{:?} is being sent; wait for its end", shown(at));
            return Err(Error::Edit { detail });
        }
        let out = (1..=path.len()).any(|end| self.removed.contains(&path[..end]));
        if below.is_empty() && (!there || out) {
            let version = "the edit, or in the version that it changes".to_owned();
            return Err(Error::NoPath { path: shown(&path), version });
        }
        if there && !out {
            self.check_room(&path)?;
        }
        let below: Vec<PathNames> = below.into_iter().map(|(at, _)| at.clone()).collect();
        below.iter().for_each(|at| self.forget(at));
        if there && !out {
            let inner = self.removed.range(path.clone()..).take_while(|at| at.starts_with(&path));
            let inner: Vec<PathNames> = inner.cloned().collect();
            for at in inner {
                self.removed.remove(&at);
                self.names_bytes -= names_bytes(&at);
            }
            self.names_bytes += names_bytes(&path);
            self.removed.insert(path);
        }
        Ok(())
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.check_open()?;
        let busy = self.files.iter().find(|(_, file)| matches!(file.state, State::Busy));
        if let Some((at, _)) = busy {
            let detail = format!("{:?} is being sent; wait for its end", shown(at));
            return Err(Error::Edit { detail });
        }
        *self = Self { cleared: true, ..Self::default() };
        Ok(())
    }

    /// At most `limit` paths after `after`: files, removals, and the last path when there are more.
    pub(super) fn page(
        &self,
        limit: usize,
        after: Option<&[Vec<u8>]>,
    ) -> (Vec<EditFile>, Vec<String>, Option<String>) {
        let left = |path: &&PathNames| after.is_none_or(|after| path.as_slice() > after);
        let files = self.files.keys().filter(left).take(limit + 1);
        let removed = self.removed.iter().filter(left).take(limit + 1);
        let paths: BTreeSet<&PathNames> = files.chain(removed).collect();
        let page: Vec<&PathNames> = paths.iter().take(limit).copied().collect();
        let next = page.last().filter(|_| paths.len() > limit).map(|path| shown(path));
        let (mut files, mut removed) = (Vec::new(), Vec::new());
        for path in page {
            files.extend(self.files.get(path).map(|file| told(path, file)));
            removed.extend(self.removed.get(path).map(|path| shown(path)));
        }
        (files, removed, next)
    }

    /// Lets nothing change any more, once every file is done.
    pub(super) fn seal(&mut self) -> Result<(), Error> {
        self.check_open()?;
        let open = self.files.iter().find(|(_, file)| !matches!(file.state, State::Done(_)));
        if let Some((path, file)) = open {
            let (shown, received, size) = (shown(path), file.received, file.size);
            let detail = format!(
                "{shown:?} has {received} of {size} bytes; send the rest or remove it, then publish"
            );
            return Err(Error::Edit { detail });
        }
        self.sealed = true;
        Ok(())
    }

    pub(super) fn unseal(&mut self) {
        self.sealed = false;
    }

    /// The changes as a tree.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan { removed: self.cleared, ..Plan::default() };
        for path in &self.removed {
            plan.remove(path);
        }
        for (path, file) in &self.files {
            if let State::Done(content) = &file.state {
                let (content, mtime, executable) =
                    ((**content).clone(), file.mtime, file.executable);
                plan.put(path, Put { content, mtime, executable });
            }
        }
        plan
    }
}

fn told(path: &[Vec<u8>], file: &File) -> EditFile {
    let done = matches!(file.state, State::Done(_));
    EditFile { path: shown(path), size: file.size, received: file.received, done }
}

fn offset(path: &[Vec<u8>], received: u64) -> Error {
    Error::Offset { path: shown(path), received }
}

fn time_of(ns: i64) -> Time {
    let nanos = u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or_default();
    Time { secs: ns.div_euclid(1_000_000_000), nanos }
}
