//! What is in a directory: a page of it, or everything below.

use cairn_chunk::ChunkId;
use cairn_datasets::{Browser, Entries, Listed};
use cairn_tree::{Content, Entry, Kind, Root};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::no_path;
use crate::error::Error;
use crate::limits::DEPTH_MAX;

/// Everything but what never means anything in a URL.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as one segment of a URL: every byte comes back.
pub(crate) fn encoded(name: &[u8]) -> String {
    percent_encode(name, NAME).to_string()
}

/// The entry at a path, links as links.
pub(crate) async fn resolve_exact(
    browser: &Browser,
    root: &Root,
    names: &[Vec<u8>],
) -> Result<Entry, Error> {
    let found = browser.lookup_file(root, names).await?;
    found.ok_or_else(|| no_path(names, "there is no such path in the version"))
}

/// The file at a path, which is not reached through a symbolic link.
pub(crate) async fn file_exact(
    browser: &Browser,
    root: &Root,
    names: &[Vec<u8>],
) -> Result<Content, Error> {
    let what = match resolve_exact(browser, root, names).await?.kind {
        Kind::File { content } => return Ok(content),
        Kind::Directory { .. } => "a directory",
        Kind::Symlink { .. } | Kind::Hardlink { .. } => "a link",
    };
    let path = String::from_utf8_lossy(&names.join(&b'/')).into_owned();
    Err(Error::invalid(format!("{path:?} is {what}, not a file")))
}

/// A page of a directory, and where the next one begins.
pub(crate) async fn children(
    browser: &Browser,
    page: Option<ChunkId>,
    limit: usize,
    after: Option<&[u8]>,
) -> Result<(Vec<Entry>, Option<String>), Error> {
    let (found, more) = browser.children(page, limit, after).await?;
    let next = found.last().filter(|_| more).map(|last| encoded(&last.name));
    Ok((found, next))
}

/// Everything below a directory, directories before what is in them.
pub(crate) struct Walker {
    browser: Browser,
    open: Vec<(Vec<u8>, Entries)>,
}

impl Walker {
    /// Begins below `top`, which stands at `path`.
    pub(crate) fn new(browser: &Browser, top: &Entry, path: Vec<u8>) -> Self {
        let open = match top.kind {
            Kind::Directory { page, .. } => vec![(path, browser.entries(page))],
            _ => Vec::new(),
        };
        Self { browser: browser.clone(), open }
    }

    /// The next entry.
    pub(crate) async fn next(&mut self) -> Result<Option<Listed>, Error> {
        while let Some((directory, entries)) = self.open.last_mut() {
            let Some(entry) = entries.next().await? else {
                self.open.pop();
                continue;
            };
            let mut path = directory.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            if let Kind::Directory { page, .. } = entry.kind {
                if self.open.len() >= DEPTH_MAX {
                    return Err(Error::invalid(format!("deeper than {DEPTH_MAX} directories")));
                }
                self.open.push((path.clone(), self.browser.entries(page)));
            }
            return Ok(Some(Listed { path, entry }));
        }
        Ok(None)
    }
}
