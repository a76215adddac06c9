//! `cargo xtask docs`: what README.md and docs/ tell people to type, typed.
//!
//! Fenced blocks whose info string is `sh test` run; the blocks of one file are one walk-through:
//! one shell, one empty directory and one home, from the first to the last, so later blocks see
//! the variables and files of earlier ones. `sh test fresh` begins anew. A non-zero exit fails.
//! A comment `# => TEXT` expects TEXT in what the block printed, after what the one before it
//! matched. Servers started with `&` are stopped at the end. `proto/` is there as in a checkout, and
//! programs that `cargo xtask setup` installs are found.

mod blocks;

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::command;
use crate::repo::{self, Repo};
use blocks::{Block, parse, unmet};

/// Seconds one walk-through may take.
const SECONDS_MAX: &str = "300";
/// What precedes a block's number in the output.
const MARK: char = '\u{1e}';

/// `cargo xtask docs [FILE]...`.
pub(crate) fn main(repo: &Repo, args: Args) -> Result<()> {
    let files: Vec<PathBuf> = args.words()?.into_iter().map(PathBuf::from).collect();
    run(repo, &files).map(|note| eprintln!("docs: {note}"))
}

/// Runs the blocks of `files`, or of README.md and docs/*.md when none is named, and returns how
/// many there were.
pub(crate) fn run(repo: &Repo, files: &[PathBuf]) -> Result<String> {
    let files = if files.is_empty() { documents(repo)? } else { files.to_vec() };
    let mut walks = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(repo.path(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.display().to_string();
        let blocks = parse(&text).with_context(|| name.clone())?;
        walks.extend(split(blocks).into_iter().map(|blocks| (name.clone(), blocks)));
    }
    let count: usize = walks.iter().map(|(_, blocks)| blocks.len()).sum();
    if count == 0 {
        return Ok(format!("no blocks to run in {} files", files.len()));
    }
    let programs = build(repo)?;
    let mut failures = Vec::new();
    for (name, blocks) in &walks {
        if let Err(error) = walk(name, blocks, &programs, Some(&repo.path("proto"))) {
            eprintln!("docs: {error:#}");
            failures.push(format!("{error:#}").lines().next().unwrap_or_default().to_string());
        }
    }
    if !failures.is_empty() {
        bail!("{} of {} walk-throughs failed: {}", failures.len(), walks.len(), failures[0]);
    }
    Ok(format!("{count} blocks in {} files", files.len()))
}

fn documents(repo: &Repo) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if repo.path("README.md").is_file() {
        files.push(PathBuf::from("README.md"));
    }
    if let Ok(entries) = std::fs::read_dir(repo.path("docs")) {
        for entry in entries {
            let name = PathBuf::from(entry.context("cannot read docs/")?.file_name());
            if name.extension().is_some_and(|extension| extension == "md") {
                files.push(Path::new("docs").join(name));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Cuts a file's blocks into walk-throughs, at `fresh`.
fn split(blocks: Vec<Block>) -> Vec<Vec<Block>> {
    let mut walks: Vec<Vec<Block>> = Vec::new();
    for block in blocks {
        match walks.last_mut() {
            Some(walk) if !block.fresh => walk.push(block),
            _ => walks.push(vec![block]),
        }
    }
    walks
}

/// Builds the `cairn` program and returns the folder it is in.
fn build(repo: &Repo) -> Result<PathBuf> {
    command::run(repo.cargo().args(["build", "--package", "cairn"]))?;
    Ok(repo.metadata()?.target_directory.join("debug"))
}

/// Runs one walk-through in a directory of its own.
fn walk(name: &str, blocks: &[Block], programs: &Path, proto: Option<&Path>) -> Result<()> {
    let room = tempfile::tempdir().context("cannot make a directory to run in")?;
    let inside = |part: &str| room.path().join(part);
    for part in ["bin", "home", "run", "tmp", "here"] {
        std::fs::create_dir(inside(part)).with_context(|| format!("cannot make {part}"))?;
    }
    // Only the product itself: the build folder also holds our chores and tests.
    let program = programs.join("cairn");
    if program.is_file() {
        std::os::unix::fs::symlink(&program, inside("bin/cairn")).context("cannot link cairn")?;
    }
    if let Some(proto) = proto {
        std::os::unix::fs::symlink(proto, inside("here/proto")).context("cannot link proto")?;
    }
    std::fs::write(inside("script"), script(blocks)).context("cannot write the script")?;
    // A file, not a pipe: a server that outlives its shell would hold a pipe open.
    let output = File::create(inside("output")).context("cannot write the output")?;
    let path = repo::path_with_tools()?;
    let home = inside("home");
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=5", SECONDS_MAX, "bash"]).arg(inside("script"));
    bash.current_dir(inside("here")).env_clear();
    bash.env("PATH", format!("{}:{}", inside("bin").display(), path.to_string_lossy()));
    bash.env("HOME", &home).env("TMPDIR", inside("tmp")).env("XDG_RUNTIME_DIR", inside("run"));
    for (variable, part) in [("CONFIG", ".config"), ("DATA", ".local/share"), ("CACHE", ".cache")] {
        bash.env(format!("XDG_{variable}_HOME"), home.join(part));
    }
    bash.env("XDG_STATE_HOME", home.join(".local/state"));
    bash.env("LANG", "C.UTF-8").env("TERM", "dumb");
    bash.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    eprintln!("+ {} blocks of {name}", blocks.len());
    let status = bash.status().context("cannot start bash")?;
    let output = std::fs::read(inside("output")).context("cannot read the output")?;
    judge(name, blocks, &String::from_utf8_lossy(&output), status.code())
}

/// The script of a walk-through: each block after a mark that cuts the output.
fn script(blocks: &[Block]) -> String {
    let mut script = String::from(
        "set -euo pipefail\n\
         trap 'code=$?; jobs -p | xargs -r kill 2>/dev/null; wait 2>/dev/null; exit $code' EXIT\n",
    );
    for (index, block) in blocks.iter().enumerate() {
        writeln!(script, "printf '{MARK}{index}\\n'\n{}", block.text)
            .expect("writing to a string does not fail");
    }
    script
}

/// Decides what the output of a walk-through means.
fn judge(name: &str, blocks: &[Block], output: &str, code: Option<i32>) -> Result<()> {
    let mut last = 0;
    for part in output.split(MARK).skip(1) {
        let (index, printed) = part.split_once('\n').unwrap_or((part, ""));
        let Some(block) = index.parse::<usize>().ok().and_then(|index| blocks.get(index)) else {
            bail!("{name}: the output has a mark {index:?} that no block has");
        };
        last = block.line;
        if let Some((line, expected)) = unmet(block, printed) {
            // The block that failed has its own, better message below.
            if code == Some(0) {
                bail!("{name}:{line}: {expected:?} was not printed:\n{printed}");
            }
        }
    }
    let printed = output.rsplit(MARK).next().unwrap_or_default();
    let printed = printed.split_once('\n').map_or("", |(_, text)| text);
    match code {
        Some(0) => Ok(()),
        Some(124 | 137) => {
            bail!("{name}:{last}: the block was not done after {SECONDS_MAX} s:\n{printed}")
        }
        Some(code) => bail!("{name}:{last}: the block failed with exit {code}:\n{printed}"),
        None => bail!("{name}:{last}: the shell was killed:\n{printed}"),
    }
}

#[cfg(test)]
mod tests;
