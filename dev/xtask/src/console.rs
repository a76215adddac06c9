//! `cargo xtask console`: builds the web console, which the next build of the program embeds.
//!
//! It runs npm in `console/` when one of its files changed since the last time. Where there is no Node it
//! says so, and the program is built without a console.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::command;
use crate::repo::{self, Repo};

/// The oldest Node that the console is built with.
const NODE_MIN: u32 = 20;
/// What the last build was made of: a line for each file, its hash and its path. Behind a dot: it is not
/// embedded.
const STAMP: &str = "console/dist/.stamp";
const LOCK: &str = "console/package-lock.json";

/// `cargo xtask console [--check] [--browser]`.
pub(crate) fn main(repo: &Repo, mut args: Args) -> Result<()> {
    let (checked, browsed) = (args.flag("--check"), args.flag("--browser"));
    args.end()?;
    let said = match (checked, browsed) {
        (_, true) => browse(repo)?,
        (true, false) => check(repo)?,
        (false, false) => build(repo)?,
    };
    eprintln!("console: {said}");
    Ok(())
}

/// Builds the console when it changed, and says what was done.
pub(crate) fn build(repo: &Repo) -> Result<String> {
    if !repo.path("console/package.json").is_file() {
        return Ok("this checkout has no console/".to_owned());
    }
    let Some(npm) = Npm::find(repo) else {
        let said = format!("NOT BUILT: there is no Node {NODE_MIN} or later on this machine");
        eprintln!("console: {said}; the program is built without a web console, and says so");
        return Ok(said);
    };
    let sources = sources(repo)?;
    let before = fs::read_to_string(repo.path(STAMP)).unwrap_or_default();
    if before == sources && repo.path("console/dist/index.html").is_file() {
        return Ok("built before".to_owned());
    }
    npm.install(repo, &sources, &before)?;
    npm.run(repo, &["run", "build"])?;
    if !repo.path("console/dist/index.html").is_file() {
        bail!("`npm run build` made no console/dist/index.html");
    }
    fs::write(repo.path(STAMP), sources).with_context(|| format!("cannot write {STAMP}"))?;
    Ok("built".to_owned())
}

/// Builds it and runs its own checks.
pub(crate) fn check(repo: &Repo) -> Result<String> {
    let built = build(repo)?;
    if let Some(npm) = Npm::find(repo)
        && repo.path("console/package.json").is_file()
    {
        npm.run(repo, &["run", "check"])?;
        return Ok(format!("{built}, checked"));
    }
    Ok(built)
}

/// Builds it into the program, and tries that in a browser.
pub(crate) fn browse(repo: &Repo) -> Result<String> {
    let built = build(repo)?;
    let Some(npm) = Npm::find(repo) else { return Ok(built) };
    command::run(repo.cargo().args(["build", "--package", "cairn"]))?;
    let program = repo.metadata()?.target_directory.join("debug/cairn");
    let mut run = npm.command(repo, &["run", "test"])?;
    command::run(run.env("CAIRN_BIN", program))?;
    Ok(format!("{built}, tried in a browser"))
}

/// An npm whose Node is new enough.
struct Npm {
    program: PathBuf,
}

impl Npm {
    fn find(repo: &Repo) -> Option<Self> {
        let path = repo::path_with_tools().ok()?;
        let node = repo::find_program("node", &path)?;
        let said = command::output(Command::new(node).arg("--version").current_dir(&repo.root));
        let new = said.is_ok_and(|text| major(&text).is_some_and(|major| major >= NODE_MIN));
        let program = repo::find_program("npm", &path).filter(|_| new)?;
        Some(Self { program })
    }

    /// Installs what the lock names, when that changed.
    fn install(&self, repo: &Repo, sources: &str, before: &str) -> Result<()> {
        let lock = |stamp: &str| stamp.lines().find(|line| line.ends_with(LOCK)).map(str::to_owned);
        let there = repo.path("console/node_modules").is_dir();
        if there && lock(sources).is_some() && lock(sources) == lock(before) {
            return Ok(());
        }
        self.run(repo, &["ci", "--no-audit", "--no-fund"])
    }

    fn run(&self, repo: &Repo, args: &[&str]) -> Result<()> {
        command::run(&mut self.command(repo, args)?)
    }

    fn command(&self, repo: &Repo, args: &[&str]) -> Result<Command> {
        let mut npm = Command::new(&self.program);
        npm.args(args).current_dir(repo.path("console")).env("PATH", repo::path_with_tools()?);
        // The browser of the tests is the distribution's.
        npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
        Ok(npm)
    }
}

/// The first number of `v20.1.2`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// A line for each file of the console that git knows or would add.
fn sources(repo: &Repo) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "console"]);
    let listing = command::output(git.current_dir(&repo.root))?;
    let paths: BTreeSet<&str> = listing.split('\0').filter(|path| !path.is_empty()).collect();
    let paths = paths.into_iter().filter(|path| repo.path(path).is_file());
    let paths: Vec<&str> = paths.collect();
    let mut git = Command::new("git");
    git.args(["hash-object", "--stdin-paths"]).current_dir(&repo.root);
    let mut git = git
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `git hash-object`")?;
    let mut to = git.stdin.take().context("git has no standard input")?;
    let given = paths.join("\n");
    let writer = std::thread::spawn(move || to.write_all(given.as_bytes()));
    let out = git.wait_with_output().context("waiting for `git hash-object`")?;
    let hashes = String::from_utf8(out.stdout).context("`git hash-object` printed no UTF-8")?;
    let written = writer.join().is_ok_and(|written| written.is_ok());
    if !out.status.success() || !written || hashes.lines().count() != paths.len() {
        bail!("`git hash-object` did not hash the files of console/");
    }
    Ok(hashes.lines().zip(&paths).map(|(hash, path)| format!("{hash} {path}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.0"), Some(8));
        assert_eq!(major("20.1"), None);
        assert_eq!(major("vx"), None);
    }
}
