//! The `cairn` command: a node, and everything that a person does with datasets.
//!
//! Data goes to standard output, progress and warnings to standard error. `--json` gives one JSON
//! document, or one a line where there are many. Exit codes stand in [`exit`].

#![allow(clippy::disallowed_methods, reason = "the application wires the real clock and runtime")]

mod cli;
mod command;
mod context;
mod exit;
mod output;
mod profile;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.global.verbose);
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into(), cli.global.json),
    };
    let json = cli.global.json;
    let done = runtime.block_on(Box::pin(command::run(cli)));
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) => exit::report(&error, json),
    }
}

fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("CAIRN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Pulls hold directories open; the soft limit of many systems is 1024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
