//! `cargo xtask wasi-suites`: tests that others wrote of their own libraries, run as functions (`dev/suites`).
//!
//! Some of them are run with the tests of the repository; this runs all, which takes some twenty minutes on two cores.

use anyhow::Result;

use crate::args::Args;
use crate::command;
use crate::repo::Repo;
use crate::setup;

/// `cargo xtask wasi-suites [--only SUITE]... [--list]`.
pub(crate) fn main(repo: &Repo, args: Args) -> Result<()> {
    setup::run(repo, &["test"])?;
    let mut cargo = repo.cargo();
    cargo.args(["run", "--package", "cairn-suites", "--"]).args(args.rest());
    command::run(&mut cargo)
}
