//! Deleting, and pruning of directories that become empty.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::dirs::open_dir;
use super::{Failure, Shared, split};

/// Deletes `path`, durably. A missing one is deleted already.
pub(super) async fn remove(shared: &Arc<Shared>, path: String) -> Result<(), Failure> {
    shared.check_writable()?;
    let permit = shared.permit().await?;
    let own = Arc::clone(shared);
    let fused = shared.io.fused();
    let removed = shared.call(move || {
        let _permit = permit;
        let dir = unlink(&own, &path)?;
        if fused && let Some(dir) = &dir {
            own.sync_blocking(dir)?;
        }
        Ok(dir)
    });
    match removed.await? {
        Some(dir) if !fused => shared.synced(shared.io.sync(Arc::new(dir)).await),
        _ => Ok(()),
    }
}

/// Unlinks and prunes. Returns the directory to sync. Blocks.
fn unlink(shared: &Shared, path: &str) -> Result<Option<OwnedFd>, Failure> {
    let session = shared.session()?;
    let (mut parent, leaf) = split(path);
    let failed = |error: Errno| Failure::io("delete", &shared.root.join(path), error);
    let mut dir = match open_dir(&shared.root_dir, parent) {
        Ok(dir) => dir,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            shared.check_root()?;
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let lock = shared.lock(&session, path)?;
    match rustix::fs::unlinkat(&dir, leaf, AtFlags::empty()) {
        // Sync also what was gone: whoever deleted it may not have synced it yet.
        Ok(()) | Err(Errno::NOENT) => {}
        // A directory is no object.
        Err(Errno::ISDIR | Errno::PERM) if super::read::is_dir(shared, path) => {}
        Err(error) => return Err(failed(error)),
    }
    drop(lock);
    while !parent.is_empty() {
        let (above_path, name) = split(parent);
        let Ok(above) = open_dir(&shared.root_dir, above_path) else { break };
        if rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR).is_err() {
            break;
        }
        shared.dirs.forget(parent);
        (dir, parent) = (above, above_path);
    }
    Ok(Some(dir))
}
