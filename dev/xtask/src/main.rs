//! The repository's own chores: `cargo xtask COMMAND`.
//!
//! What a person types and what the build machine runs is the same code. Each command is one
//! module; lists that change often are data beside it (`setup.toml`, `layers.toml`, `deny.toml`).
//! Only plain processes and files: this crate is built before everything else and must stay small.

mod api;
mod args;
mod ci;
mod command;
mod console;
mod deny;
mod dist;
mod docs;
mod fuzz;
mod pg_verify;
mod repo;
mod room;
mod setup;
mod test;
mod tidy;
mod wasi_suites;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::args::Args;
use crate::repo::Repo;

const USAGE: &str = "\
usage: cargo xtask COMMAND [OPTION]...

  setup [--group NAME]... [--list]   install what tests, benches and fuzzing need
  test  [CARGO-TEST-ARG]...          setup --group test, then cargo test --workspace
  tidy                               the rules of the house that a machine can check
  deny                               licences, sources, bans and advisories of dependencies
  docs  [FILE]...                    run the ```sh test blocks of README.md and docs/*.md
  fuzz  [TARGET]... [--seconds N]    run the fuzz targets (60 seconds each), in parallel
        [--jobs N] [--list]
        TARGET --replay FILE         run one input through one target
  bench [ARG]...                     cargo run --release -p cairn-bench -- ARG...
  api                                ask a node all that its OpenAPI lets one ask, and more
  console [--check] [--browser]      build the web console into console/dist, which the next build of the
                                     program embeds; check its types; try it in a browser
  dist  [--target TRIPLE]            dist/cairn-VERSION-TARGET.tar.gz and its SHA256SUMS
  pg-verify [--slice] [--json]       replay logs of PostgreSQL's own tests and of ours; compare with
        [--only RUN]... [--keep]     the images in them, their writer's files and a stock server's
        [--source DIR]
  wasi-suites [--only SUITE]...      run the tests of Go's and Zig's own libraries as functions
        [--list]
  ci    [--skip STEP]... [--only STEP]... [-p CRATE]... [--fuzz-seconds N]
                                     everything a change must pass, with a table of times
";

fn main() -> ExitCode {
    match dispatch(Args::from_process()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command. Those whose last line is a count report a failure themselves, as `false`.
fn dispatch(mut args: Args) -> Result<bool> {
    let repo = Repo::find()?;
    let Some(name) = args.word() else {
        print!("{USAGE}");
        bail!("no command was given");
    };
    match name.as_str() {
        "test" => return test::main(&repo, args),
        "ci" => return ci::main(&repo, args),
        "pg-verify" => return pg_verify::main(&repo, args),
        "setup" => setup::main(&repo, args)?,
        "api" => {
            args.end()?;
            eprintln!("api: {}", api::run(&repo)?);
        }
        "tidy" => tidy::main(&repo, args)?,
        "deny" => deny::main(&repo, args)?,
        "docs" => docs::main(&repo, args)?,
        "fuzz" => fuzz::main(&repo, args)?,
        "bench" => bench(&repo, args)?,
        "console" => console::main(&repo, args)?,
        "wasi-suites" => wasi_suites::main(&repo, args)?,
        "dist" => dist::main(&repo, args)?,
        "help" | "--help" | "-h" => print!("{USAGE}"),
        other => {
            print!("{USAGE}");
            bail!("there is no command {other:?}");
        }
    }
    Ok(true)
}

fn bench(repo: &Repo, args: Args) -> Result<()> {
    let mut cargo = repo.cargo();
    cargo.args(["run", "--release", "--package", "cairn-bench", "--"]).args(args.rest());
    command::run(&mut cargo)
}
