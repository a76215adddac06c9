//! Where the work is done, and with which binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cli::Common;
use crate::disk;

/// A directory on the disk that is measured, the cache of fetched data, and the binary.
pub(crate) struct Workbench {
    pub(crate) cache: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) cairn: PathBuf,
}

impl Workbench {
    pub(crate) fn new(common: &Common) -> Result<Self> {
        let cache = match std::env::var_os("XDG_CACHE_HOME") {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir),
            _ => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
        };
        let cache = cache.join("cairn/bench");
        let work = match &common.dir {
            Some(dir) => std::path::absolute(dir)?.join("cairn-bench"),
            None => cache.join("work"),
        };
        disk::remove(&work)?;
        disk::fresh(&work)?;
        let cairn = match &common.cairn {
            Some(file) => std::path::absolute(file)?,
            None => built()?,
        };
        ensure!(cairn.is_file(), "there is no {}", cairn.display());
        Ok(Self { cache, work, cairn })
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        if let Err(error) = disk::remove(&self.work) {
            eprintln!("the work place is left behind: {error:#}");
        }
    }
}

/// Builds the binary as it is released, and returns where it is: beside this one.
fn built() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--package", "cairn"]).current_dir(repository());
    ensure!(build.status()?.success(), "the binary to measure cannot be built");
    let own = std::env::current_exe()?;
    Ok(own.parent().context("this program is nowhere")?.join("cairn"))
}

/// The repository this was built from.
pub(crate) fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("dev/bench is two levels down")
}
