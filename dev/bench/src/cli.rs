//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures Cairn beside its peers.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Versions of real packages: stored bytes, push, unchanged push, restore
    Datasets(Datasets),
    /// A tree of many small files: push, pull, memory, listing one path
    Million(Million),
    /// A node: start, idle memory, bytes on the wire
    Node(Common),
    /// A hub: /fs beside nginx, pull beside rclone, many connections
    Hub(Hub),
    /// Durable puts and random reads of the local bucket: io_uring beside threads
    Io(Io),
    /// The web console: its size, its first paint, its memory over a large directory
    Console(Console),
    /// PostgreSQL's log: our redo beside PostgreSQL's own recovery, and starts by size
    Pgwal(Pgwal),
    /// Partitions: durable puts beside etcd and Redis, reads, replay, take-over, an idle cluster
    Partition(Partition),
    /// Functions: requests beside `wasmtime serve`, the first after a start, many functions and instances
    Functions(Functions),
    /// Plans: the words of a dataset counted in parts, beside one native thread
    Plans(Plans),
    /// Answers every gRPC call with an empty message, on the port that it prints: what a call costs by itself
    #[command(hide = true)]
    BareGrpc,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// How often each measurement is made
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Write the section of docs/BENCHMARKS.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Say in it that the machine was busy and the figures will be measured again
    #[arg(long)]
    pub(crate) provisional: bool,
    /// Write all samples as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the work is done; its disk is what is measured
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The binary to measure; built when not given
    #[arg(long, value_name = "FILE")]
    pub(crate) cairn: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Functions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long each server is asked
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// How many functions are deployed to see what many take
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) functions: u32,
    /// How many instances live at a time to see what they take
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) instances: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Plans {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How much text there is
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..100_000))]
    pub(crate) megabytes: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Datasets {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The data
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["a", "b"])]
    pub(crate) set: Vec<Set>,
    /// Who takes part
    #[arg(long, value_enum, value_delimiter = ',', default_values = TOOLS)]
    pub(crate) tools: Vec<ToolName>,
}

const TOOLS: [&str; 6] = ["cairn", "cairn-encrypted", "casync", "restic", "restic-max", "borg"];

#[derive(Debug, Args)]
pub(crate) struct Million {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many files
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) files: u64,
    /// Who takes part
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["cairn", "casync", "restic", "borg"])]
    pub(crate) tools: Vec<ToolName>,
}

#[derive(Debug, Args)]
pub(crate) struct Hub {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The length of one measurement of small files
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// The length of the large range
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) large_mib: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Console {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Entries of the large directory
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) entries: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Io {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The length of one measurement
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
}

/// Real data with several versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Set {
    /// Six releases of the npm package next, unpacked
    A,
    /// Five releases of the Python package numpy, unpacked
    B,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToolName {
    Cairn,
    CairnEncrypted,
    Casync,
    Restic,
    ResticMax,
    Borg,
}

#[derive(Debug, Args)]
pub(crate) struct Pgwal {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Seconds of pgbench that make the log
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
    /// Sizes of the database that is written to, as pgbench counts them: 15 MB each
    #[arg(long, default_value_t = 50)]
    pub(crate) scale: u32,
    /// Sizes of the databases that are started, as pgbench counts them
    #[arg(long, value_delimiter = ',', default_values_t = [20, 200, 670])]
    pub(crate) starts: Vec<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Partition {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The length of one measurement of puts
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// For how long the requests of an idle cluster are counted
    #[arg(long, default_value_t = 180)]
    pub(crate) idle_seconds: u32,
}
