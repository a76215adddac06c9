//! `cargo xtask deny`: licences, sources, bans and advisories of dependencies, by cargo-deny.

use anyhow::{Result, bail};

use crate::args::Args;
use crate::command;
use crate::repo::{self, Repo};
use crate::setup;

/// Seconds the advisory database may take to arrive.
const FETCH_SECONDS_MAX: &str = "60";

/// `cargo xtask deny`.
pub(crate) fn main(repo: &Repo, args: Args) -> Result<()> {
    args.end()?;
    run(repo).map(|note| eprintln!("deny: {note}"))
}

/// Checks all that can be checked here, and returns what was checked. The advisories need a
/// database from the network: without one they are left out, and the note says so.
pub(crate) fn run(repo: &Repo) -> Result<String> {
    setup::run(repo, &["lint"])?;
    let mut checks = vec!["licenses", "bans", "sources"];
    let mut note = "licences, bans, sources and advisories".to_string();
    if let Err(error) = fetch(repo) {
        eprintln!("deny: {error:#}");
        note = "licences, bans, sources; advisories NOT checked: no database".to_string();
    } else {
        checks.push("advisories");
    }
    let mut deny = cargo_deny(repo)?;
    deny.args(["check", "--hide-inclusion-graph"]).args(checks);
    command::run(&mut deny)?;
    Ok(note)
}

fn cargo_deny(repo: &Repo) -> Result<std::process::Command> {
    let path = repo::path_with_tools()?;
    if repo::find_program("cargo-deny", &path).is_none() {
        bail!("cargo-deny is missing; by hand: cargo install --locked cargo-deny");
    }
    let mut deny = repo.cargo();
    deny.arg("deny").env("PATH", path);
    Ok(deny)
}

/// Brings the advisory database up to date, within bounded time.
fn fetch(repo: &Repo) -> Result<()> {
    let path = repo::path_with_tools()?;
    let mut fetch = std::process::Command::new("timeout");
    fetch.args([FETCH_SECONDS_MAX, "cargo-deny", "fetch", "db"]);
    command::run(fetch.current_dir(&repo.root).env("PATH", path).env("GIT_TERMINAL_PROMPT", "0"))
}
