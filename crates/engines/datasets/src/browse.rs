//! Looking into versions: paths, listings, differences.

use std::sync::Arc;

use cairn_tree::{Content, DirectoryPage, Entry, Kind, Root, Step};
use serde::Serialize;

use crate::error::Error;
use crate::model::{Target, Version};
use crate::pages::{Browser, kind_name};

/// How deep directories may nest: far above what a file system allows in a path.
pub(crate) const DEPTH_MAX: usize = 2048;

/// An entry of a version as people and JSON see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The path from the root, with U+FFFD in place of what is not UTF-8.
    pub path: String,
    /// The exact bytes of the path in hexadecimal, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// `file`, `directory`, `symlink` or `hardlink`.
    pub kind: &'static str,
    /// The length of a file; of a directory, of all files below.
    pub size: u64,
    /// Files below a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Permission bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Seconds since 1970 UTC.
    pub mtime: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
    /// The target of a symbolic link, or the first name of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The BLAKE3 hash of a file of more than one chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// An entry with the path it was found at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Names from the root on.
    pub path: Vec<u8>,
    /// The entry.
    pub entry: Entry,
}

impl Listed {
    /// As people and JSON see it.
    #[must_use]
    pub fn node(&self) -> Node {
        let (kind, size, files, target, content): (_, _, _, Option<&[u8]>, Option<&Content>) =
            match &self.entry.kind {
                Kind::File { content } => ("file", content.len, None, None, Some(content)),
                Kind::Directory { totals, .. } => {
                    ("directory", totals.bytes, Some(totals.files), None, None)
                }
                Kind::Symlink { target } => ("symlink", 0, None, Some(target), None),
                Kind::Hardlink { target } => ("hardlink", 0, None, Some(target), None),
            };
        let root = content.and_then(|content| content.root);
        let (path, path_hex) = shown(&self.path);
        Node {
            path,
            path_hex,
            kind,
            size,
            files,
            mode: self.entry.meta.mode,
            uid: self.entry.meta.uid,
            gid: self.entry.meta.gid,
            mtime: self.entry.meta.mtime.secs,
            mtime_ns: self.entry.meta.mtime.nanos,
            target: target.map(|target| String::from_utf8_lossy(target).into_owned()),
            blake3: root.map(|root| hex(&root)),
        }
    }
}

/// Bytes as text, and in hexadecimal where that is not exact.
fn shown(path: &[u8]) -> (String, Option<String>) {
    let exact = std::str::from_utf8(path).is_ok();
    (String::from_utf8_lossy(path).into_owned(), (!exact).then(|| hex(path)))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all text");
        text
    })
}

/// What happened to a path between two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Only the new version has it.
    Added,
    /// Only the old version has it.
    Removed,
    /// Its content, its target or what it is changed.
    Modified,
    /// Only attributes changed.
    Attributes,
}

/// A path that differs between two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Names from the root on.
    pub path: Vec<u8>,
    /// The old entry.
    pub old: Option<Entry>,
    /// The new entry.
    pub new: Option<Entry>,
}

/// The same as others may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// What happened.
    pub change: ChangeKind,
    /// The path from the root, with U+FFFD in place of what is not UTF-8.
    pub path: String,
    /// The exact bytes of the path in hexadecimal, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The old entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Node>,
    /// The new entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Node>,
}

impl Change {
    /// The change as others may see it.
    #[must_use]
    pub fn changed(&self) -> Changed {
        let node = |entry: &Option<Entry>| {
            let listed = entry.clone().map(|entry| Listed { path: self.path.clone(), entry });
            listed.map(|listed| listed.node())
        };
        let (path, path_hex) = shown(&self.path);
        Changed { change: self.kind, path, path_hex, old: node(&self.old), new: node(&self.new) }
    }
}

pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

impl Browser {
    /// The version that a tag points to, and its root.
    ///
    /// # Errors
    /// [`Error::NoTag`]; [`Error::Blocks`], [`Error::Tree`].
    pub async fn open(&self, tag: &cairn_base::TagName) -> Result<(Version, Root), Error> {
        let version = self.version(tag).await?;
        let root = self.root(version.root).await?;
        Ok((Arc::unwrap_or_clone(version), root))
    }

    /// The version that a tag points to.
    ///
    /// # Errors
    /// [`Error::NoTag`]; [`Error::Blocks`].
    pub async fn version(&self, tag: &cairn_base::TagName) -> Result<Arc<Version>, Error> {
        let target = Target { dataset: self.dataset().clone(), tag: tag.clone() };
        match self.warm_engine() {
            Some(datasets) => datasets.refs.recent(&target).await,
            None => Ok(Arc::new(self.store().tag(&target).await?.current)),
        }
    }

    /// The entry at a path of names, which may be any bytes.
    ///
    /// # Errors
    /// [`Error::NoPath`]; [`Error::Blocks`], [`Error::Tree`].
    pub async fn at<N: AsRef<[u8]>>(&self, root: &Root, path: &[N]) -> Result<Entry, Error> {
        let names: Vec<Vec<u8>> = path.iter().map(|name| name.as_ref().to_vec()).collect();
        self.lookup_file(root, &names).await?.ok_or_else(|| Error::NoPath {
            path: shown(&names.join(&b'/')).0,
            version: self.dataset().to_string(),
        })
    }

    /// The file at a path.
    ///
    /// # Errors
    /// [`Error::WrongKind`]; as [`Browser::at`].
    pub async fn file_at<N: AsRef<[u8]>>(
        &self,
        root: &Root,
        path: &[N],
    ) -> Result<(Entry, Content), Error> {
        let entry = self.at(root, path).await?;
        match &entry.kind {
            Kind::File { content } => {
                let content = content.clone();
                Ok((entry, content))
            }
            other => Err(Error::WrongKind {
                path: shown(&path.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(&b'/')).0,
                found: kind_name(other),
                expected: "a file",
            }),
        }
    }

    /// Calls `visit` for every entry below `top`, directories before what is in them. `path` is where
    /// `top` stands. `visit` says whether to go into a directory.
    ///
    /// # Errors
    /// [`Error::Blocks`], [`Error::Tree`]; what `visit` returns.
    pub async fn walk<E: From<Error>>(
        &self,
        top: &Entry,
        path: &[u8],
        visit: &mut (dyn FnMut(&Listed) -> Result<bool, E> + Send),
    ) -> Result<(), E> {
        let Kind::Directory { page, .. } = top.kind else { return Ok(()) };
        let mut open = vec![(path.to_vec(), self.entries(page))];
        while let Some((directory, entries)) = open.last_mut() {
            let Some(entry) = entries.next().await? else {
                open.pop();
                continue;
            };
            let listed = Listed { path: join(directory, &entry.name), entry };
            let inside = visit(&listed)?;
            if let Kind::Directory { page, .. } = listed.entry.kind
                && inside
            {
                if open.len() >= DEPTH_MAX {
                    return Err(too_deep().into());
                }
                open.push((listed.path, self.entries(page)));
            }
        }
        Ok(())
    }

    /// Calls `visit` for every path that differs. Directories that both share are not read.
    ///
    /// # Errors
    /// [`Error::Blocks`], [`Error::Tree`]; what `visit` returns.
    pub async fn diff<E: From<Error>>(
        &self,
        old: &Root,
        new: &Root,
        visit: &mut (dyn FnMut(&Change) -> Result<(), E> + Send),
    ) -> Result<(), E> {
        let mut open = vec![(Vec::new(), cairn_tree::Diff::new(old.page, new.page))];
        while let Some((directory, diff)) = open.last_mut() {
            let (old, new) = match diff.step() {
                Step::Done => {
                    open.pop();
                    continue;
                }
                Step::Need { side, page } => {
                    let page: DirectoryPage = self.directory(page).await?;
                    diff.supply(side, page).map_err(Error::from)?;
                    continue;
                }
                Step::Left(entry) => (Some(entry), None),
                Step::Right(entry) => (None, Some(entry)),
                Step::Both { left, right } => (Some(left), Some(right)),
            };
            let name = old.as_ref().or(new.as_ref()).map(|entry| entry.name.clone());
            let path = join(directory, &name.unwrap_or_default());
            let below = (directory_page(old.as_ref()), directory_page(new.as_ref()));
            if let Some(kind) = changed(old.as_ref(), new.as_ref()) {
                visit(&Change { kind, path: path.clone(), old, new })?;
            }
            if below.0 != below.1 {
                if open.len() >= DEPTH_MAX {
                    return Err(too_deep().into());
                }
                open.push((path, cairn_tree::Diff::new(below.0, below.1)));
            }
        }
        Ok(())
    }
}

fn too_deep() -> Error {
    Error::TooMany { what: "depth of directories", max: DEPTH_MAX as u64 }
}

fn directory_page(entry: Option<&Entry>) -> Option<cairn_chunk::ChunkId> {
    match entry?.kind {
        Kind::Directory { page, .. } => page,
        _ => None,
    }
}

/// What a pair of entries differs in; nothing when a directory differs only below.
fn changed(old: Option<&Entry>, new: Option<&Entry>) -> Option<ChangeKind> {
    let (old, new) = match (old, new) {
        (None, _) => return Some(ChangeKind::Added),
        (_, None) => return Some(ChangeKind::Removed),
        (Some(old), Some(new)) => (old, new),
    };
    let same = match (&old.kind, &new.kind) {
        (Kind::Directory { .. }, Kind::Directory { .. }) => true,
        (Kind::File { content: a }, Kind::File { content: b }) => {
            a.len == b.len && a.stream == b.stream && a.recipe == b.recipe
        }
        (a, b) => a == b,
    };
    match (same, old.meta == new.meta) {
        (false, _) => Some(ChangeKind::Modified),
        (true, false) => Some(ChangeKind::Attributes),
        (true, true) => None,
    }
}
