//! What moves bytes between memory and disk: an `io_uring`, or threads.

pub(super) mod blocking;
pub(super) mod threads;
#[cfg(target_os = "linux")]
mod uring;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::Failure;

/// The environment variable that decides for [`Engine::Auto`].
const VARIABLE: &str = "CAIRN_IO_ENGINE";

/// Which engine moves the bytes of `file://`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// What `CAIRN_IO_ENGINE` says (`auto`, `io_uring`, `threads`), else the better one that works
    /// here.
    #[default]
    Auto,
    /// A ring of the kernel, or an error when the kernel refuses one.
    IoUring,
    /// A pool of threads.
    Threads,
}

/// Work that may block.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// One engine. What was handed to it goes on when its future is dropped; the engine owns buffers and
/// files until then.
pub(super) trait Io: Send + Sync + fmt::Debug {
    fn name(&self) -> &'static str;

    /// Runs work that may block, such as opening and renaming.
    fn call(&self, job: Job);

    /// A put is best done as one piece of blocking work.
    fn fused(&self) -> bool;

    /// Reads exactly `len` bytes, or fails with `UnexpectedEof`.
    fn read(
        &self,
        file: Arc<OwnedFd>,
        at: u64,
        len: usize,
    ) -> BoxFuture<'static, io::Result<Bytes>>;

    /// Writes all parts, one after the other; then syncs, if asked.
    fn write(
        &self,
        file: Arc<OwnedFd>,
        at: u64,
        parts: Vec<Bytes>,
        sync: bool,
    ) -> BoxFuture<'static, io::Result<()>>;

    /// Syncs a file or a directory.
    fn sync(&self, file: Arc<OwnedFd>) -> BoxFuture<'static, io::Result<()>>;
}

/// The engine that `wanted`, the environment and the kernel agree on. Blocks for a moment.
pub(super) fn choose(wanted: Engine) -> Result<Box<dyn Io>, Failure> {
    let wanted = match wanted {
        Engine::Auto => from_environment()?,
        wanted => wanted,
    };
    if wanted == Engine::Threads {
        return Ok(Box::new(threads::Threads::new()));
    }
    match ring() {
        Ok(ring) => Ok(ring),
        Err(error) if wanted == Engine::IoUring => {
            Err(Failure::Engine { wanted: "io_uring", reason: error.to_string() })
        }
        Err(error) => {
            tracing::info!(%error, "the kernel gives no ring; file:// works with threads");
            Ok(Box::new(threads::Threads::new()))
        }
    }
}

#[cfg(target_os = "linux")]
fn ring() -> io::Result<Box<dyn Io>> {
    Ok(Box::new(uring::Uring::start()?))
}

#[cfg(not(target_os = "linux"))]
fn ring() -> io::Result<Box<dyn Io>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring is a part of Linux"))
}

fn from_environment() -> Result<Engine, Failure> {
    parse(&std::env::var(VARIABLE).unwrap_or_default())
}

fn parse(text: &str) -> Result<Engine, Failure> {
    match text {
        "" | "auto" => Ok(Engine::Auto),
        "io_uring" => Ok(Engine::IoUring),
        "threads" => Ok(Engine::Threads),
        _ => Err(Failure::Engine {
            wanted: "of CAIRN_IO_ENGINE",
            reason: String::from("it must be auto, io_uring or threads"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_by_name() {
        let named = ["", "auto", "io_uring", "threads"].map(|text| parse(text).unwrap());
        assert_eq!(named, [Engine::Auto, Engine::Auto, Engine::IoUring, Engine::Threads]);
        let error = parse("uring").unwrap_err();
        assert_eq!(error.kind(), cairn_base::ErrorKind::Invalid);
        assert!(error.to_string().contains("CAIRN_IO_ENGINE"), "{error}");
        assert_eq!(choose(Engine::Threads).unwrap().name(), "threads");
    }
}
