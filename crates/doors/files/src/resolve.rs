//! From a path inside a version to what is there, through symbolic links that stay inside.

use cairn_datasets::Browser;
use cairn_tree::{Entry, Kind, Root};

use crate::Error;

/// Symbolic links that are followed for one path.
const LINKS_MAX: usize = 40;
/// Names of a path inside a version.
pub const DEPTH_MAX: usize = 2048;

/// The entry at a path. Symbolic links are followed, also the last, as long as they stay inside the
/// version; a further name of a file is the file.
pub async fn resolve(browser: &Browser, root: &Root, path: &[Vec<u8>]) -> Result<Entry, Error> {
    let mut todo: Vec<Vec<u8>> = path.iter().rev().cloned().collect();
    let mut open: Vec<Entry> = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == b".." {
            if open.pop().is_none() {
                return Err(no_path(path, "a symbolic link leads out of the version"));
            }
            continue;
        }
        let page = match open.last().map(|entry| &entry.kind) {
            None => root.page,
            Some(Kind::Directory { page, .. }) => *page,
            Some(_) => return Err(no_path(path, "a file stands where a directory is asked for")),
        };
        let Some(found) = browser.find(page, &name).await? else {
            return Err(no_path(path, "there is no such path in the version"));
        };
        if let Kind::Symlink { target } = &found.kind {
            links += 1;
            if links > LINKS_MAX {
                return Err(no_path(path, "it goes through too many symbolic links"));
            }
            follow(path, target, &mut todo)?;
            continue;
        }
        open.push(found);
        if open.len() > DEPTH_MAX {
            return Err(no_path(path, "it is too deep"));
        }
    }
    match open.pop() {
        Some(entry) => first_name(browser, root, entry).await,
        None => Ok(top(root)),
    }
}

/// The root's directory as an entry without a name.
pub fn top(root: &Root) -> Entry {
    let kind = Kind::Directory { page: root.page, totals: root.totals };
    Entry { name: Vec::new(), meta: root.meta.clone(), kind }
}

/// Puts the names of a link's target before what is left of the way.
fn follow(path: &[Vec<u8>], target: &[u8], todo: &mut Vec<Vec<u8>>) -> Result<(), Error> {
    if target.starts_with(b"/") {
        return Err(no_path(path, "a symbolic link leads out of the version, to an absolute path"));
    }
    let names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let mut names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
    names.reverse();
    todo.extend(names);
    if todo.len() > 2 * DEPTH_MAX {
        return Err(no_path(path, "its symbolic links make it too long"));
    }
    Ok(())
}

/// The file itself, for one of its further names.
pub async fn first_name(browser: &Browser, root: &Root, entry: Entry) -> Result<Entry, Error> {
    let Kind::Hardlink { target } = &entry.kind else { return Ok(entry) };
    let first: Vec<Vec<u8>> = target.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    match browser.lookup(root, &first).await? {
        Some(found) if matches!(found.kind, Kind::File { .. }) => {
            Ok(Entry { name: entry.name, ..found })
        }
        _ => {
            let what = cairn_tree::Error::Child { what: "file behind a hard link" };
            Err(cairn_datasets::Error::from(what).into())
        }
    }
}

fn no_path(path: &[Vec<u8>], why: &str) -> Error {
    let path = String::from_utf8_lossy(&path.join(&b'/')).into_owned();
    Error::NoPath { detail: format!("{path:?}: {why}") }
}
