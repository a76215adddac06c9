//! Staging, syncing and naming of one object.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use object_store::{Attributes, PutMode, PutResult, UpdateVersion};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::session::Session;
use super::{Failure, Shared, meta, read, split};

/// Tries to name an object in a directory that others keep removing because it is empty.
const NAME_ATTEMPTS_MAX: u32 = 64;
/// With so few operations under way a put is one piece of work on one thread, whatever the engine:
/// each hop between threads would cost more than a ring saves.
const FUSED_IN_FLIGHT_MAX: usize = 4;

/// A file that has no key yet. Dropped, it goes away.
pub(super) struct Staged {
    session: Arc<Session>,
    name: String,
    file: Arc<OwnedFd>,
    id: meta::Id,
    named: bool,
}

impl Staged {
    pub(super) fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.named {
            // What stays behind is swept by the next open.
            rustix::fs::unlinkat(self.session.dir(), self.name.as_str(), AtFlags::empty()).ok();
        }
    }
}

/// Writes an object.
pub(super) async fn put(
    shared: &Arc<Shared>,
    path: String,
    parts: Vec<Bytes>,
    mode: PutMode,
    attributes: &Attributes,
) -> Result<PutResult, Failure> {
    shared.check_writable()?;
    let permit = shared.permit().await?;
    let (id, encoded) = version(shared, attributes)?;
    let own = Arc::clone(shared);
    if shared.io.fused() || shared.in_flight() <= FUSED_IN_FLIGHT_MAX {
        return shared
            .call(move || {
                let _permit = permit;
                refuse_early(&own, &path, &mode)?;
                let staged = stage(&own, id, &encoded)?;
                super::engine::blocking::write(&staged.file, 0, &parts)
                    .and_then(|()| Ok(rustix::fs::fsync(&staged.file)?))
                    .map_err(|error| Failure::io("write and sync", &own.root.join(&path), error))?;
                let (done, dir) = name(&own, staged, &path, &mode)?;
                own.sync_blocking(&dir)?;
                Ok(done)
            })
            .await;
    }
    let (early_path, early_mode) = (path.clone(), mode.clone());
    let staged = shared.call(move || {
        refuse_early(&own, &early_path, &early_mode)?;
        stage(&own, id, &encoded)
    });
    let staged = staged.await?;
    let written = shared.io.write(Arc::clone(&staged.file), 0, parts, true).await;
    written.map_err(|error| Failure::io("write and sync", &shared.root.join(&path), error))?;
    let done = publish(shared, staged, path, mode).await;
    drop(permit);
    done
}

/// Spares a write that is bound to be refused its work. What decides is [`name`].
fn refuse_early(shared: &Shared, path: &str, mode: &PutMode) -> Result<(), Failure> {
    match mode {
        PutMode::Overwrite => Ok(()),
        PutMode::Create if read::look(shared, path)?.is_some() => {
            Err(Failure::Exists { path: path.to_owned() })
        }
        PutMode::Create => Ok(()),
        PutMode::Update(expected) => check_version(shared, path, expected),
    }
}

fn check_version(shared: &Shared, path: &str, expected: &UpdateVersion) -> Result<(), Failure> {
    let expected = expected.e_tag.as_deref().ok_or(Failure::NoVersion)?;
    let found = read::look(shared, path)?;
    if found.is_some_and(|found| found.e_tag == expected) {
        return Ok(());
    }
    Err(Failure::Changed { path: path.to_owned() })
}

/// Gives a synced file its name, durably.
pub(super) async fn publish(
    shared: &Arc<Shared>,
    staged: Staged,
    path: String,
    mode: PutMode,
) -> Result<PutResult, Failure> {
    let own = Arc::clone(shared);
    let (done, dir) = shared.call(move || name(&own, staged, &path, &mode)).await?;
    shared.synced(shared.io.sync(dir).await)?;
    Ok(done)
}

/// A new version and what is stored of it.
pub(super) fn version(
    shared: &Shared,
    attributes: &Attributes,
) -> Result<(meta::Id, Vec<u8>), Failure> {
    let mut id = meta::Id::default();
    shared.env.rng.fill(&mut id);
    let encoded = meta::encode(&id, attributes)?;
    Ok((id, encoded))
}

/// Makes a staged file that carries its version. Blocks.
pub(super) fn stage(shared: &Shared, id: meta::Id, encoded: &[u8]) -> Result<Staged, Failure> {
    shared.check_writable()?;
    let failed = |step, error: Errno| match error {
        Errno::NOENT => shared.missing_session(),
        error => Failure::io(step, &shared.root, error),
    };
    let session = shared.session()?;
    let name = session.next_name();
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(0o666);
    let file = rustix::fs::openat(session.dir(), name.as_str(), flags, mode)
        .map_err(|error| failed("stage a file in", error))?;
    let staged = Staged { session, name, file: Arc::new(file), id, named: false };
    let set =
        rustix::fs::fsetxattr(&staged.file, meta::XATTR, encoded, rustix::fs::XattrFlags::empty());
    set.map_err(|error| match error {
        Errno::NOSPC | Errno::TOOBIG if encoded.len() > 256 => {
            Failure::AttributesTooLarge { len: encoded.len(), max: 256 }
        }
        error => failed("set the attributes of a staged file in", error),
    })?;
    Ok(staged)
}

impl Shared {
    fn missing_session(&self) -> Failure {
        // The session's directory was removed by hand, or with the whole bucket.
        match self.missing("") {
            gone @ Failure::Gone { .. } => gone,
            _ => Failure::Gone { root: self.root.join(crate::RESERVED) },
        }
    }
}

/// Renames a staged file into place. Returns the directory that must be synced. Blocks.
fn name(
    shared: &Shared,
    mut staged: Staged,
    path: &str,
    mode: &PutMode,
) -> Result<(PutResult, Arc<OwnedFd>), Failure> {
    // Looked at last: a sync may have failed while the file was being written.
    shared.check_writable()?;
    let (parent, leaf) = split(path);
    for _ in 0..NAME_ATTEMPTS_MAX {
        let dir = shared.dir(parent).map_err(|failure| match failure {
            Failure::Below { above, .. } => Failure::Below { path: path.to_owned(), above },
            failure => failure,
        })?;
        let renamed = match mode {
            PutMode::Create => create(shared, &staged, &dir, leaf, path),
            PutMode::Overwrite => {
                let _lock = shared.lock(&staged.session, path)?;
                overwrite(&staged, &dir, leaf)
            }
            PutMode::Update(expected) => {
                let _lock = shared.lock(&staged.session, path)?;
                check_version(shared, path, expected)?;
                overwrite(&staged, &dir, leaf)
            }
        };
        match renamed {
            Ok(()) => {
                staged.named = true;
                let e_tag = Some(meta::e_tag(&staged.id));
                let extensions = object_store::Extensions::default();
                return Ok((PutResult { e_tag, version: None, extensions }, dir));
            }
            // The directory was empty and somebody removed it.
            Err(Errno::NOENT) => {
                shared.check_root()?;
                shared.dirs.forget(parent);
            }
            Err(Errno::EXIST) => return Err(Failure::Exists { path: path.to_owned() }),
            Err(Errno::ISDIR | Errno::NOTEMPTY) => {
                // An empty directory is nothing; one that is not holds objects.
                if rustix::fs::unlinkat(&dir, leaf, AtFlags::REMOVEDIR).is_err() {
                    return Err(Failure::Above { path: path.to_owned() });
                }
                shared.dirs.forget(path);
            }
            Err(error) => {
                return Err(Failure::io("rename into place", &shared.root.join(path), error));
            }
        }
    }
    Err(Failure::Busy { path: path.to_owned() })
}

fn overwrite(staged: &Staged, dir: &OwnedFd, leaf: &str) -> Result<(), Errno> {
    rustix::fs::renameat(staged.session.dir(), staged.name.as_str(), dir, leaf)
}

/// BUCKET-5: the filesystem decides who was first.
fn create(
    shared: &Shared,
    staged: &Staged,
    dir: &OwnedFd,
    leaf: &str,
    path: &str,
) -> Result<(), Errno> {
    let (from, name) = (staged.session.dir(), staged.name.as_str());
    let renamed = match rustix::fs::renameat_with(from, name, dir, leaf, RenameFlags::NOREPLACE) {
        // Filesystems that cannot rename without replacing can link.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(from, name, dir, leaf, AtFlags::empty()).map(|()| {
                // A second name for a synced file harms nobody: it is swept.
                rustix::fs::unlinkat(from, name, AtFlags::empty()).ok();
            })
        }
        renamed => renamed,
    };
    match renamed {
        Err(Errno::EXIST) if read::is_dir(shared, path) => Err(Errno::ISDIR),
        renamed => renamed,
    }
}

/// Copies bytes and attributes to a new version.
pub(super) async fn copy(
    shared: &Arc<Shared>,
    from: String,
    to: String,
    mode: PutMode,
) -> Result<(), Failure> {
    shared.check_writable()?;
    let permit = shared.permit().await?;
    let own = Arc::clone(shared);
    let copied = shared.call(move || {
        let _permit = permit;
        let source = read::open(&own, &from)?;
        let (id, encoded) = version(&own, &source.meta.attributes)?;
        let staged = stage(&own, id, &encoded)?;
        let failed = |error| Failure::io("copy to", &own.root.join(&to), error);
        let mut reader = super::as_file(&source.file).map_err(failed)?;
        let mut writer = super::as_file(&staged.file).map_err(failed)?;
        std::io::copy(&mut reader, &mut writer).map_err(failed)?;
        writer.sync_all().map_err(failed)?;
        let (_, dir) = name(&own, staged, &to, &mode)?;
        own.sync_blocking(&dir)
    });
    copied.await
}
