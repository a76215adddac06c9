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
mod log;
mod manifest;
mod output;
mod profile;
mod progress;

use std::process::ExitCode;

use crate::cli::Cli;

/// Much is allocated in one thread and freed in another: that costs the C library's locks and memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What a node starts: before anything is opened, and before there is a second thread.
    if let Some(code) = cairn_worker::told(std::env::args_os().skip(1)) {
        return code.into();
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return exit::report(&error.into(), cli::json_typed()),
    };
    let loaded = match config::Loaded::load(cli.global.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return exit::report(&error, cli.global.json),
    };
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
    let entered = runtime.enter();
    let logging = match log::start(cli.global.verbose, &loaded.config.log) {
        Ok(logging) => logging,
        Err(error) => return exit::report(&error.into(), json),
    };
    drop(entered);
    let done = runtime.block_on(Box::pin(command::run(cli, loaded)));
    drop(logging);
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) => exit::report(&error, json),
    }
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
