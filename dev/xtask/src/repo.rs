//! Where things are: the checkout, cargo's target directory, the cache of tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command;

/// The checkout this program was built from.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    /// Its root, where `Cargo.lock` is.
    pub(crate) root: PathBuf,
}

/// What `cargo metadata --no-deps` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// The members of the workspace.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
}

/// One member of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its `Cargo.toml`.
    pub(crate) manifest_path: PathBuf,
    /// What it names as dependencies, of every kind.
    pub(crate) dependencies: Vec<Dependency>,
    /// Its libraries, programs and tests.
    pub(crate) targets: Vec<Target>,
}

/// A dependency as the manifest names it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Where it is, when it is a directory and not of a registry.
    pub(crate) path: Option<PathBuf>,
}

/// A library, program or test of a package.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    /// `lib`, `bin`, `test`, `custom-build` and so on.
    pub(crate) kind: Vec<String>,
    /// Its first file.
    pub(crate) src_path: PathBuf,
}

impl Repo {
    /// The checkout around this crate.
    pub(crate) fn find() -> Result<Self> {
        // `cargo run` sets the variable; a program started by hand falls back to where it was built.
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = here
            .ancestors()
            .find(|dir| dir.join("Cargo.lock").is_file() && dir.join("layers.toml").is_file())
            .with_context(|| format!("no checkout of cairn around {}", here.display()))?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// A path of the checkout.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// `cargo` at the root, without what the `cargo run` around this program has set for it: build
    /// scripts that watch those variables would run again each time.
    pub(crate) fn cargo(&self) -> Command {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut cargo = Command::new(program);
        cargo.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        cargo
    }

    /// The workspace's members.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let mut cargo = self.cargo();
        cargo.args(["metadata", "--format-version", "1", "--no-deps"]);
        let json = command::output(&mut cargo)?;
        serde_json::from_str(&json).context("cargo metadata printed something unexpected")
    }

    /// The target triple of this machine, as `rustc` names it.
    pub(crate) fn host_triple(&self) -> Result<String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let text = command::output(Command::new(rustc).arg("-vV").current_dir(&self.root))?;
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        host.map(str::to_string).context("`rustc -vV` names no host")
    }
}

/// Where installed tools live, outside every checkout: `$XDG_CACHE_HOME/cairn`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map_or_else(
        || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")),
        |dir| Some(PathBuf::from(dir)),
    );
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("cairn"))
}

/// `PATH` with the directories of installed tools in front.
pub(crate) fn path_with_tools() -> Result<OsString> {
    let cache = cache_dir()?;
    let mut dirs =
        vec![cache.join("tools/bin"), cache.join("venv/bin"), cache.join("npm/node_modules/.bin")];
    let old = std::env::var_os("PATH").unwrap_or_default();
    dirs.extend(std::env::split_paths(&old));
    std::env::join_paths(dirs).context("a directory of PATH has a colon in its name")
}

/// The first program called `name` in `path`.
pub(crate) fn find_program(name: &str, path: &OsString) -> Option<PathBuf> {
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
