//! Following a tag: each version in a directory of its own, and a link that is switched in one step.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{PullOptions, Pulled, pull};
use crate::error::Error;
use crate::model::Target;
use crate::store::Store;

/// Versions that are kept beside the link: the current one, and the one before for those who still
/// read it.
const VERSIONS_KEPT: usize = 2;

/// Pulls into `LINK.versions/ROOT` and then makes `link` point there in one step: a reader that opens
/// files through the link sees one version or the other, whole. Older versions are deleted but for
/// the last.
///
/// # Errors
/// [`Error::InTheWay`] when `link` is there and no symbolic link; else as [`pull`].
pub async fn pull_switch(
    store: &Arc<dyn Store>,
    target: &Target,
    link: &Path,
    options: &PullOptions,
) -> Result<Pulled, Error> {
    let failed = |operation| move |error: std::io::Error| Error::local(operation, link, error);
    let there = std::fs::symlink_metadata(link);
    if there.as_ref().is_ok_and(|there| !there.is_symlink()) {
        let path = link.to_path_buf();
        return Err(Error::InTheWay { path, why: "is no symbolic link that could be switched" });
    }
    let name = link.file_name().ok_or_else(|| Error::invalid("the link needs a name"))?;
    let mut versions = name.to_os_string();
    versions.push(".versions");
    let versions = link.with_file_name(versions);
    let root = store.tag(target).await?.current.root.to_string();
    let directory = versions.join(&root[..16]);
    let pulled = pull(store, target, &directory, options).await?;
    let relative =
        Path::new(versions.file_name().expect("it was made from a name")).join(&root[..16]);
    let before = std::fs::read_link(link).ok();
    if before.as_deref() != Some(&relative) {
        let mut staged = name.to_os_string();
        staged.push(".cairn~new");
        let staged = link.with_file_name(staged);
        if staged.is_symlink() {
            std::fs::remove_file(&staged).map_err(failed("switch"))?;
        }
        symlink(&relative, &staged).map_err(failed("switch"))?;
        std::fs::rename(&staged, link).map_err(failed("switch"))?;
    }
    let before = before.map(|before| link.with_file_name(before));
    prune(&versions, &directory, before.as_deref()).map_err(failed("delete old versions of"))?;
    Ok(pulled)
}

/// Deletes all but the current version and the one before: where the link pointed, or else what
/// changed last.
fn prune(versions: &Path, current: &Path, before: Option<&Path>) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mut old: Vec<(bool, i64, i64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(versions)? {
        let entry = entry?;
        let path = entry.path();
        if path != current {
            let stat = entry.metadata()?;
            old.push((before == Some(&*path), stat.ctime(), stat.ctime_nsec(), path));
        }
    }
    old.sort();
    old.reverse();
    for (.., path) in old.into_iter().skip(VERSIONS_KEPT - 1) {
        std::fs::remove_dir_all(path)?;
    }
    Ok(())
}
