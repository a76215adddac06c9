//! `cargo xtask setup`: installs by package name what tests, benches and fuzzing need.
//!
//! The list is `setup.toml`. What is there already costs a `stat` or one `dpkg-query`; what is
//! missing is named before it is installed, and a failure names the command to run by hand. Two
//! setups at a time wait for each other on a file lock. Everything but system packages goes to the
//! cache folder, so nothing else of the machine changes.

mod install;
mod table;

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::console;
use crate::repo::{self, Repo};
use install::Installer;
use table::Table;

/// `cargo xtask setup [--group NAME]... [--list]`.
pub(crate) fn main(repo: &Repo, mut args: Args) -> Result<()> {
    let groups = args.values("--group")?;
    let list = args.flag("--list");
    args.end()?;
    if list {
        print!("{}", load(repo)?.render());
        return Ok(());
    }
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    run(repo, &groups)?;
    eprintln!("setup: the web console: {}", console::build(repo)?);
    Ok(())
}

/// Installs what is missing of `groups`, or of all groups when none is named.
pub(crate) fn run(repo: &Repo, groups: &[&str]) -> Result<()> {
    let table = load(repo)?.only(groups)?;
    let cache = repo::cache_dir()?;
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let _lock = lock(cache.join("setup.lock"))?;
    let mut installer = Installer::new(repo, cache)?;
    let mut failures = Vec::new();
    installer.apt(&table.apt, &mut failures)?;
    for tool in &table.pip {
        installer.one("pip", tool, &mut failures, Installer::pip);
    }
    for tool in &table.npm {
        installer.one("npm", tool, &mut failures, Installer::npm);
    }
    for tool in &table.cargo {
        installer.one("cargo", tool, &mut failures, Installer::cargo);
    }
    for tool in &table.go {
        installer.one("go", tool, &mut failures, Installer::go);
    }
    let what = if groups.is_empty() { "all groups".to_string() } else { groups.join(", ") };
    if failures.is_empty() {
        let installed = installer.installed;
        eprintln!("setup ({what}): {} entries, {installed} installed now", table.len());
        return Ok(());
    }
    for failure in &failures {
        eprintln!("setup: {failure}");
    }
    bail!("setup ({what}): {} of {} entries are missing", failures.len(), table.len())
}

fn load(repo: &Repo) -> Result<Table> {
    let path = repo.path("dev/xtask/setup.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Table::parse(&text).with_context(|| format!("in {}", path.display()))
}

/// Waits for another setup to end. The lock goes with the process.
fn lock(path: PathBuf) -> Result<File> {
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
