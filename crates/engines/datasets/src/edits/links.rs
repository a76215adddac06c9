//! Further names of a file whose first name goes or gets another content: one of them becomes the first.

use std::collections::BTreeMap;

use cairn_chunk::ChunkId;
use cairn_tree::{Entry, Kind, Root};

use super::PathNames;
use super::plan::Plan;
use crate::error::Error;
use crate::pages::Browser;

/// The most further names of files in a version that is edited.
const LINKS_MAX: usize = 1024 * 1024;

/// Adds to the plan what keeps further names what they are.
pub(super) async fn keep(browser: &Browser, root: &Root, plan: &mut Plan) -> Result<(), Error> {
    if root.totals.hardlinks == 0 {
        return Ok(());
    }
    let mut orphans: BTreeMap<PathNames, BTreeMap<PathNames, Entry>> = BTreeMap::new();
    for (path, entry) in links(browser, root.page).await? {
        let Kind::Hardlink { target } = &entry.kind else { continue };
        let target: PathNames = target.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        if plan.touches(&target) && !plan.touches(&path) {
            orphans.entry(target).or_default().insert(path, entry);
        }
    }
    for (target, names) in orphans {
        let Some(old) = browser.lookup(root, &target).await? else { continue };
        let mut first: Option<Vec<u8>> = None;
        for (path, entry) in names {
            let kind = match &first {
                Some(target) => Kind::Hardlink { target: target.clone() },
                None => {
                    first = Some(path.join(&b'/'));
                    old.kind.clone()
                }
            };
            plan.set(&path, Entry { kind, ..entry });
        }
    }
    Ok(())
}

/// Every further name of a file. Directories without one are not read.
async fn links(browser: &Browser, page: Option<ChunkId>) -> Result<Vec<(PathNames, Entry)>, Error> {
    let mut found = Vec::new();
    let mut open: Vec<(PathNames, Option<ChunkId>)> = vec![(Vec::new(), page)];
    while let Some((directory, page)) = open.pop() {
        let mut entries = browser.entries(page);
        while let Some(entry) = entries.next().await? {
            let mut path = directory.clone();
            path.push(entry.name.clone());
            match &entry.kind {
                Kind::Directory { page, totals } if totals.hardlinks > 0 => {
                    open.push((path, *page))
                }
                Kind::Hardlink { .. } => found.push((path, entry)),
                _ => {}
            }
            if found.len() > LINKS_MAX {
                let what = "number of further names of files in a version that is edited";
                return Err(Error::TooMany { what, max: LINKS_MAX as u64 });
            }
        }
    }
    Ok(found)
}
