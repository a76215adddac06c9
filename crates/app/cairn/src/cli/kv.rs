//! What can be typed about keys.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// When changes are acknowledged.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    /// When the node's log is synced: survives kill -9 and power loss
    Log,
    /// When the bucket has it: also survives the loss of the node's disk
    Bucket,
}

#[derive(Debug, Subcommand)]
#[command(
    after_help = "A namespace is [HOST[:PORT]/][@PROJECT/]NAME, under the same grants as a dataset of this \
    name.\n\nEXAMPLES\n  \
    cairn kv create carts                         make a namespace\n  \
    cairn kv put carts alice '{\"items\":3}'        give a key a value\n  \
    cairn kv get carts alice                      and read it\n  \
    cairn kv put carts session 42 --ttl 30m       for half an hour\n  \
    cairn kv scan carts --prefix user/            look at many\n  \
    cairn kv watch carts                          see changes as they come\n  \
    cairn kv export carts > carts.ndjson          take all of it along"
)]
pub(crate) enum Kv {
    /// Make a namespace
    Create(KvSettings),
    /// Make a namespace that begins as another one is
    #[command(
        after_help = "The clone has every change that was acknowledged before, with the history and the settings of \
        its source, and is of the same project. They share what is stored until one of them changes it: no keys \
        and values are copied. From then on each goes its own way: either can be removed."
    )]
    Clone {
        /// What it begins as
        #[arg(value_name = "SOURCE")]
        source: String,
        /// The namespace to make
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
    },
    /// List the namespaces of a project
    Ls {
        /// The project, of `main` when not given
        #[arg(value_name = "@PROJECT")]
        project: Option<String>,
    },
    /// Show where a namespace stands
    Status {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
    },
    /// Change the settings of a namespace
    Set(KvSettings),
    /// Remove a namespace with all its keys, for good
    Rm {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Give a key a value
    Put(KvPut),
    /// Write the value of a key to standard output, byte for byte
    Get(KvGet),
    /// Remove keys
    Del(KvDel),
    /// List keys in their order, with the beginnings of their values
    Scan(KvScan),
    /// Print changes as they come, until interrupted
    #[command(
        after_help = "With --json each line has `last`: after a line where it is true, --after its `seq` goes\n\
        on without a gap. Exit code 3 says that changes after the position are not kept any more: scan\n\
        then, and watch after the `at` of the scan."
    )]
    Watch {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// Only keys that begin with this
        #[arg(long, value_name = "TEXT")]
        prefix: Option<OsString>,
        /// Changes after this commit, instead of those from now on
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
    },
    /// Give a key a value when nobody has changed it since (compare and swap); else exit code 5
    Cas {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// The key
        key: OsString,
        /// The commit that must have been the last to write it, from `get --json`; 0 when it must be absent
        #[arg(long, value_name = "SEQ")]
        expect: u64,
        /// The value; `-` is standard input
        value: OsString,
    },
    /// Show or set how long a key lives
    Ttl {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// The key
        key: OsString,
        /// From now on: 90s, 15m, 12h, 30d, 8w
        #[arg(value_name = "DURATION", conflicts_with = "none")]
        duration: Option<String>,
        /// For ever
        #[arg(long)]
        none: bool,
    },
    /// Write all keys of one state to standard output, a line of JSON each
    Export {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// Only keys that begin with this
        #[arg(long, value_name = "TEXT")]
        prefix: Option<OsString>,
        /// The state after a commit, at a time (2026-11-22T10:00:00Z), or so long ago (15m)
        #[arg(long, value_name = "SEQ|TIME")]
        at: Option<String>,
    },
    /// Put what an export wrote; given again it puts the same
    Import {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// The file, or else standard input
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KvSettings {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    pub(crate) namespace: String,
    /// When changes are acknowledged, at the least; `log` for a new one
    #[arg(long, value_name = "LEVEL")]
    pub(crate) durable: Option<Level>,
    /// How long what was overwritten or deleted stays readable; 1h for a new one, 30d at most
    #[arg(long, value_name = "AGE")]
    pub(crate) history: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES\n  \
    cairn kv put carts alice '{\"items\":3}'\n  \
    cairn kv put carts photo --file photo.jpg\n  \
    date | cairn kv put carts last-seen -\n  \
    cairn kv put carts lock me --ttl 30s --if-absent    take a lock, for a while\n\n\
    When a condition does not hold nothing is changed, and the exit code is 5.")]
pub(crate) struct KvPut {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    pub(crate) namespace: String,
    /// The key, any bytes
    pub(crate) key: OsString,
    /// The value; `-` is standard input
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) value: Option<OsString>,
    /// The file whose content is the value, 1 GiB at most
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How long it lives: 90s, 15m, 12h, 30d, 8w
    #[arg(long, value_name = "DURATION")]
    pub(crate) ttl: Option<String>,
    /// Only when the key is absent
    #[arg(long, conflicts_with = "if_seq")]
    pub(crate) if_absent: bool,
    /// Only when this commit was the last to write the key
    #[arg(long, value_name = "SEQ")]
    pub(crate) if_seq: Option<u64>,
    /// Acknowledge only when it is so durable, whatever the namespace's setting
    #[arg(long, value_name = "LEVEL")]
    pub(crate) durable: Option<Level>,
}

#[derive(Debug, Args)]
pub(crate) struct KvGet {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    pub(crate) namespace: String,
    /// The key
    pub(crate) key: OsString,
    /// The state after a commit, at a time (2026-11-22T10:00:00Z), or so long ago (15m)
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
    /// Write it to this file instead
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["keys", "prefix", "range", "all"])))]
pub(crate) struct KvDel {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    pub(crate) namespace: String,
    /// The keys, removed together
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<OsString>,
    /// All keys that begin with this
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<OsString>,
    /// All keys from A to before B
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub(crate) range: Option<Vec<OsString>>,
    /// Every key
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KvScan {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    pub(crate) namespace: String,
    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["from", "to"])]
    pub(crate) prefix: Option<OsString>,
    /// From this key on
    #[arg(long, value_name = "KEY")]
    pub(crate) from: Option<OsString>,
    /// To before this key
    #[arg(long, value_name = "KEY")]
    pub(crate) to: Option<OsString>,
    /// From the last to the first
    #[arg(long, short)]
    pub(crate) reverse: bool,
    /// So many at most
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Only keys
    #[arg(long)]
    pub(crate) keys: bool,
    /// The state after a commit, at a time (2026-11-22T10:00:00Z), or so long ago (15m)
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
}
