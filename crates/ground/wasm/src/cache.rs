//! Files of compiled code.
//!
//! WASM-1 Compiled code is run only when this node made it: each file has a seal beside it, a keyed BLAKE3 of what it was
//! compiled from and of all its bytes, under a key that is not in this directory. What has none, or
//! another one, is removed and compiled again. Files are written under another name, and renamed.
//!
//! `DIR/ID.cwasm` is what the engine wrote; `DIR/ID.seal` 32 bytes. ID is a hash of the component and of all that the
//! engine says its compiled code depends on, under the same key, in hexadecimal. When a file was used last is its time of
//! change; those that were not used for the longest time go when there is no room for all.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::Error;

/// The hash of a component's bytes.
pub type Digest = [u8; 32];

pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    bytes_max: u64,
    /// Bytes of all code that is kept, once they were counted.
    bytes: Mutex<Option<u64>>,
}

impl Cache {
    pub(crate) fn open(dir: PathBuf, key: [u8; 32], bytes_max: u64) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|source| failed("make", &dir, source))?;
        Ok(Self { dir, key, bytes_max, bytes: Mutex::default() })
    }

    /// The compiled code of a component, when it is there and sealed.
    pub(crate) fn find(&self, engine: &Engine, of: &Digest) -> Option<Component> {
        drop(self.read(engine, of)?);
        let code = self.paths(engine, of).0;
        if let Err(error) = used_now(&code) {
            tracing::debug!(file = %code.display(), %error, "it is not kept that it was used");
        }
        self.map(engine, &code)
    }

    /// The bytes of it.
    pub(crate) fn read(&self, engine: &Engine, of: &Digest) -> Option<Vec<u8>> {
        let (code, seal) = self.paths(engine, of);
        let (bytes, found) = (std::fs::read(&code).ok()?, std::fs::read(&seal).ok()?);
        if self.seal(of, &bytes).as_bytes()[..] != found[..] {
            tracing::warn!(file = %code.display(), "compiled code without this node's seal is removed");
            drop((std::fs::remove_file(&seal), std::fs::remove_file(&code)));
            return None;
        }
        Some(bytes)
    }

    #[allow(unsafe_code, reason = "this is where compiled code is mapped")]
    fn map(&self, engine: &Engine, code: &Path) -> Option<Component> {
        // SAFETY: the file holds what `Engine::precompile_component` returned, for its seal says that this node wrote
        // it; it is in a directory of this user alone, and files in it are replaced and never changed.
        match unsafe { Component::deserialize_file(engine, code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %code.display(), %error, "compiled code cannot be mapped");
                None
            }
        }
    }

    /// Keeps compiled code, and maps it.
    pub(crate) fn keep(
        &self,
        engine: &Engine,
        of: &Digest,
        compiled: &[u8],
    ) -> Result<Option<Component>, Error> {
        let (code, seal) = self.paths(engine, of);
        write(&code, compiled)?;
        write(&seal, self.seal(of, compiled).as_bytes())?;
        let mapped = self.map(engine, &code);
        if let Err(source) = self.make_room(&code, compiled.len() as u64) {
            tracing::warn!(%source, "compiled code that is not used stays");
        }
        Ok(mapped)
    }

    /// Removes what was not used for the longest time, until there is room for a quarter more: what is mapped stays so.
    fn make_room(&self, kept: &Path, added: u64) -> std::io::Result<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *bytes
            && known + added <= self.bytes_max
        {
            *bytes = Some(known + added);
            return Ok(());
        }
        let mut files = self.files()?;
        files.sort();
        let mut sum = files.iter().map(|(_, size, _)| size).sum();
        if sum > self.bytes_max {
            for (_, size, path) in files.iter().filter(|(.., path)| path != kept) {
                if sum <= self.bytes_max / 4 * 3 {
                    break;
                }
                drop((
                    std::fs::remove_file(path),
                    std::fs::remove_file(path.with_extension("seal")),
                ));
                sum -= size;
            }
        }
        *bytes = Some(sum);
        Ok(())
    }

    /// All but seals, also what was not written to its end: when it was used, its size and its path.
    fn files(&self) -> std::io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "seal") {
                continue;
            }
            match entry.metadata() {
                Ok(found) => files.push((found.modified()?, found.len(), path)),
                // Another node has just removed or renamed it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    fn seal(&self, of: &Digest, compiled: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(of);
        hasher.update(compiled);
        hasher.finalize()
    }

    fn paths(&self, engine: &Engine, of: &Digest) -> (PathBuf, PathBuf) {
        // Under the key, so that nodes with others leave each other's files alone.
        let mut id = Blake3(blake3::Hasher::new_keyed(&self.key));
        id.0.update(of);
        engine.precompile_compatibility_hash().hash(&mut id);
        let id = hex::encode(&id.0.finalize().as_bytes()[..16]);
        (self.dir.join(format!("{id}.cwasm")), self.dir.join(format!("{id}.seal")))
    }
}

/// Sets a file's time of change to now, as the kernel has it.
fn used_now(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
}

/// Writes a file that is there whole or not at all; it need not last.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let begun = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&begun)?;
        file.write_all(bytes)?;
        std::fs::rename(&begun, path)
    })();
    written.map_err(|source| {
        drop(std::fs::remove_file(&begun));
        failed("write", path, source)
    })
}

fn failed(what: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Cache { what, path: path.to_owned(), source }
}

/// Collects what is hashed.
struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
