//! The `cairn` command: a node, and everything that a person does with datasets.
//!
//! Data goes to standard output, progress and warnings to standard error. `--json` gives one JSON
//! document, or one a line where there are many. Exit codes stand in [`exit`].

#![allow(clippy::disallowed_methods, reason = "the application wires the real clock and runtime")]

mod cli;
mod command;
mod config;
mod context;
mod exit;
mod output;
mod profile;
mod progress;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use crate::cli::Cli;
use crate::config::LogFormat;
use crate::exit::Usage;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return exit::report(&error.into(), false),
    };
    let loaded = match config::Loaded::load(cli.global.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return exit::report(&error, cli.global.json),
    };
    if let Err(error) = start_logging(cli.global.verbose, &loaded.config.log) {
        return exit::report(&error.into(), cli.global.json);
    }
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
    let done = runtime.block_on(Box::pin(command::run(cli, loaded)));
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) => exit::report(&error, json),
    }
}

fn start_logging(verbose: u8, log: &config::Log) -> Result<(), Usage> {
    let text = match verbose {
        0 => std::env::var("CAIRN_LOG").ok().filter(|text| !text.is_empty()),
        1 => Some("info".to_owned()),
        _ => Some("debug".to_owned()),
    };
    let text = text.as_deref().unwrap_or(&log.filter);
    let filter = tracing_subscriber::EnvFilter::try_new(text)
        .map_err(|error| Usage(format!("{text:?} is no filter for the log: {error}")))?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(!plain && std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
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
