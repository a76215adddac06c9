//! Measurements: `cargo xtask bench COMMAND`.
//!
//! Cairn and its peers do the same work on the same data and the same disk, one after the other in an
//! order that changes from run to run; medians with the lowest and highest value are reported. Data
//! are fetched once by pinned checksums or follow from a seed. Nothing here is asserted in a test:
//! speed is looked at as ratios within one run.

#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

mod cli;
mod console;
mod corpus;
mod data;
mod disk;
mod functions;
mod hub;
mod io;
mod lookup;
mod machine;
mod million;
mod node;
mod partition;
mod pgwal;
mod plans;
mod process;
mod proxy;
mod report;
mod sample;
mod targets;
mod tool;
mod versions;
mod workbench;
mod wrk;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{Cli, Command};

/// As of the program: what is measured in process is what runs in it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let cli = Cli::parse();
    let command_line: Vec<String> = std::env::args().skip(1).collect();
    let command_line = format!("cargo xtask bench {}", command_line.join(" "));
    match cli.command {
        Command::Datasets(args) => versions::main(&args, &command_line),
        Command::Million(args) => million::main(&args, &command_line),
        Command::Node(args) => node::main(&args, &command_line),
        Command::Hub(args) => hub::main(&args, &command_line),
        Command::Console(args) => console::main(&args, &command_line),
        Command::Io(args) => io::main(&args, &command_line),
        Command::Pgwal(args) => pgwal::main(&args, &command_line),
        Command::Partition(args) => partition::main(&args, &command_line),
        Command::Functions(args) => functions::main(&args, &command_line),
        Command::Plans(args) => plans::main(&args, &command_line),
        Command::BareGrpc => partition::bare_grpc(),
    }
}
