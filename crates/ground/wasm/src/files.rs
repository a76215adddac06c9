//! Files that guests see, whatever is behind them.
//!
//! | path | also | what |
//! |---|---|---|
//! | `api://input`, `api://input/N` | `/api/input`, … | an input of a program; the first one is its standard input too |
//! | `api://output` | `/api/output` | its output, from the beginning to the end |
//! | `data://…` | `/data/…` | what its world gives it ([`Files`]) |
//! | `http://…`, `https://…` | | the answer to a GET, from the beginning to the end ([`crate::Outside`]) |
//!
//! Nothing else can be opened, and nothing but the output be written. The paths with two slashes are what programs open that
//! were made for My Own Cluster.

mod held;
mod host;
mod streams;
mod web;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::held::held;
pub(crate) use self::host::add_to_linker;
pub(crate) use self::streams::{FileStream, Stdin};
use crate::command::Output;

/// What a guest is given to read, as a tree of folders.
#[async_trait]
pub trait Files: Send + Sync + 'static {
    /// What is at a path: names with `/` between them, none of them empty, `.` or `..`; the top's is empty.
    ///
    /// # Errors
    /// [`FileError`], as of all that follow.
    async fn find(&self, path: &str) -> Result<Found, FileError>;

    /// Names in a folder, of which the first is after `after`, in an order of their own; none at the end.
    async fn list(&self, path: &str, after: Option<&str>) -> Result<Vec<Listed>, FileError>;
}

/// What is at a path.
#[derive(Clone)]
pub enum Found {
    /// A folder.
    Folder,
    /// A file.
    File(Arc<dyn File>),
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
}

/// Bytes that a guest reads.
#[async_trait]
pub trait File: Send + Sync + 'static {
    /// Its length in bytes, where that is known.
    async fn size(&self) -> Option<u64>;

    /// When it was changed last, since 1970.
    fn modified(&self) -> Option<Duration> {
        None
    }

    /// Some bytes from a place on, `most` at most; none at the end.
    ///
    /// # Errors
    /// [`FileError`].
    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError>;
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum FileError {
    /// There is nothing.
    #[error("there is no such file")]
    NotFound,
    /// The guest may not.
    #[error("the function may not")]
    Denied,
    /// It is a file.
    #[error("it is no folder")]
    NoFolder,
    /// It can be read from its beginning to its end only.
    #[error("it is read from its beginning to its end")]
    Seek,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What a program was called with, and what it writes.
pub(crate) struct Called {
    pub(crate) arguments: Vec<String>,
    /// Its environment, the call's after the release's.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) inputs: Vec<Arc<dyn File>>,
    pub(crate) output: Output,
    /// Bytes of it that were written to the file.
    pub(crate) written: AtomicU64,
}

/// Where a path leads.
#[derive(Clone)]
pub(crate) enum Tree {
    Called(Arc<Called>),
    Given(Arc<dyn Files>),
    Web(&'static str),
}

/// What a guest finds at its top, by the names that its paths begin with.
pub(crate) fn tops(called: Option<&Arc<Called>>, given: &Arc<dyn Files>) -> Vec<(String, Tree)> {
    let of_call = called.map(|called| Tree::Called(Arc::clone(called)));
    let given = Tree::Given(Arc::clone(given));
    let all = [
        ("api:", of_call.clone()),
        ("/api", of_call),
        ("data:", Some(given.clone())),
        ("/data", Some(given)),
        ("http:", Some(Tree::Web("http"))),
        ("https:", Some(Tree::Web("https"))),
    ];
    all.into_iter().filter_map(|(name, tree)| Some((name.to_owned(), tree?))).collect()
}

/// A path below another one: without `.`, `..` and empty names; none when it leads out.
fn below(folder: &str, path: &str) -> Option<String> {
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn paths_stay_below_their_folder() {
        for (folder, path, expected) in [
            ("", "a/b", Some("a/b")),
            ("a", "b", Some("a/b")),
            ("a/b", "../c", Some("a/c")),
            ("a", "./b//c/.", Some("a/b/c")),
            ("a", "/b", Some("a/b")),
            ("", ".", Some("")),
            ("a", "..", Some("")),
            ("", "..", None),
            ("a", "../../b", None),
            ("a", "b/../../../c", None),
        ] {
            assert_eq!(below(folder, path).as_deref(), expected, "{folder} {path}");
        }
    }
}
