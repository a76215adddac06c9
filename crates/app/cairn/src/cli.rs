//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub(crate) use self::access::{AccessCommand, Grant, Token};
pub(crate) use self::audit::{Audit, AuditCommand, AuditRead, AuditVerify};
pub(crate) use self::backup::{Backup, Chosen};
pub(crate) use self::edit::Put;
pub(crate) use self::functions::{Cron, Filter, Fn, FnDeploy, FnInvoke, Route};
pub(crate) use self::hook::Hook;
pub(crate) use self::kv::{Kv, KvDel, KvGet, KvPut, KvScan, KvSettings, Level};
pub(crate) use self::people::{Cert, Cluster, Idp, Login, Logout, User};
pub(crate) use self::pg::{Pg, PgInspect, PgStart, PgVerify, PgWal};
pub(crate) use self::plans::{Plan, PlanRun};
pub(crate) use self::refused::json_typed;
use self::refused::refused;
pub(crate) use self::triggers::Trigger;
pub(crate) use self::up::{Up, public_url};
use crate::exit::Usage;

mod access;
mod audit;
mod backup;
mod edit;
mod functions;
mod hook;
mod kv;
mod people;
mod pg;
mod plans;
mod refused;
mod triggers;
mod up;

/// Versioned, deduplicated datasets on a bucket you own.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, about, max_term_width = 100, propagate_version = true)]
#[command(after_help = "REFERENCES\n  \
    [HOST[:PORT]/][@PROJECT/]NAME[:TAG][/PATH]\n  \
    The tag is `latest` and the project `main` when not written.\n\n\
    WHERE\n  \
    --bucket works on a bucket directly, without a server. Else the command talks to a node:\n  \
    --url, CAIRN_URL, a profile, or http://127.0.0.1:7400. What is typed wins over the environment.\n\n\
    EXAMPLES\n  \
    cairn push ./photos photos:2026-07          push a directory\n  \
    cairn pull photos:2026-07 ./restored        get it back\n  \
    cairn ls photos:2026-07/raw                 look inside\n  \
    cairn diff photos:2026-06 photos:2026-07    what changed\n\n\
    Exit codes: 0 done, 2 wrong input, 3 not found, 4 not allowed, 5 conflict, 6 try again,\n  \
    7 damaged, 8 limit reached, 9 done with files left out, 1 anything else.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What was typed, and what the environment adds. Ends the process when help was asked for, or
    /// when that makes no sense to a person.
    pub(crate) fn read() -> Result<Self, Usage> {
        let matches = Self::command().try_get_matches().map_err(refused)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(refused)?;
        cli.global.prefer_typed(&matches)?;
        Ok(cli)
    }
}

impl Global {
    /// Of the three that say where a command works, one that was typed wins over all that the
    /// environment says.
    fn prefer_typed(&mut self, matches: &ArgMatches) -> Result<(), Usage> {
        let mut innermost = matches;
        while let Some((_, below)) = innermost.subcommand() {
            innermost = below;
        }
        let typed = |id| innermost.value_source(id) == Some(ValueSource::CommandLine);
        let places =
            [("bucket", &mut self.bucket), ("url", &mut self.url), ("profile", &mut self.profile)];
        let (kept, dropped): (Vec<_>, Vec<_>) = places.into_iter().partition(|(id, _)| typed(id));
        match kept.as_slice() {
            [] => {}
            [_] => dropped.into_iter().for_each(|(_, value)| *value = None),
            [(one, _), (other, _), ..] => {
                let what = format!("--{one} and --{other} name two places; give one of them");
                return Err(Usage(what));
            }
        }
        Ok(())
    }
}

/// Where and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Work on this bucket directly: file:///DIR, s3://BUCKET/PREFIX, gs://…, az://…
    #[arg(long, global = true, env = "CAIRN_BUCKET", value_name = "URL")]
    pub(crate) bucket: Option<String>,
    /// The node to talk to
    #[arg(long, global = true, env = "CAIRN_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A named profile of the configuration file
    #[arg(long, global = true, env = "CAIRN_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// A file with the token for the node; else CAIRN_TOKEN
    #[arg(long, global = true, env = "CAIRN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A file with the certificates (PEM) that a node's is signed by, instead of the system's:
    /// `cairn cluster ca` of the node prints them
    #[arg(long, global = true, env = "CAIRN_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A file with a client certificate and its private key (PEM) to show to the node
    #[arg(long, global = true, env = "CAIRN_CLIENT_CERT", value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// A file with the passphrase of an encrypted bucket; else CAIRN_PASSPHRASE
    #[arg(long, global = true, env = "CAIRN_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The key file of an encrypted bucket
    #[arg(long, global = true, env = "CAIRN_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A file with settings, instead of cairn.toml and the user's config.toml
    #[arg(long, global = true, env = "CAIRN_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Say more about what is done; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node
    Up(Up),
    /// Prepare a bucket (a first push or `up` does it too)
    Init(Init),
    /// Push a directory, a file, standard input (-) or the members of an archive
    Push(Push),
    /// Make a directory be a version
    Pull(Pull),
    /// Put single files into a version; all else in it stays
    Put(Put),
    /// List datasets, tags, or what is in a version
    Ls(Ls),
    /// Write a file of a version to standard output
    Cat(Cat),
    /// Show what changed between two versions
    Diff(Diff),
    /// Show the history of a dataset
    Log(Log),
    /// Make a tag point where another does
    Tag(Tag),
    /// Remove a tag, all tags of a dataset, or a path out of a version
    Rm(Rm),
    /// Show how a version performs: reuse, where its new bytes are, advice
    Stat(Stat),
    /// Show or change how long versions are kept
    Retain(Retain),
    /// Tell an address whenever a tag of a dataset moves
    #[command(subcommand)]
    Hook(Hook),
    /// Keys and values: read, change and watch them
    #[command(subcommand)]
    Kv(Kv),
    /// Functions: WebAssembly that answers requests, deployed and called
    #[command(subcommand)]
    Fn(Fn),
    /// Routes: which function answers which requests
    #[command(subcommand)]
    Route(Route),
    /// Filters: functions that the requests of others pass first
    #[command(subcommand)]
    Filter(Filter),
    /// Schedules: functions that are called at times
    #[command(subcommand)]
    Cron(Cron),
    /// Triggers: functions that are told what changes in namespaces of keys
    #[command(subcommand)]
    Trigger(Trigger),
    /// Plans: steps that programs do on data, of which some take what others made
    #[command(subcommand)]
    Plan(Plan),
    /// Make functions, with their routes, schedules and grants, what a manifest says
    #[command(after_help = "EXAMPLES\n  \
        cairn diff            what would be changed\n  \
        cairn apply\n\n\
        The manifest has a section for each function:\n\n  \
        [functions.hello]\n  \
        file = \"hello.wasm\"\n  \
        routes = [{ pattern = \"GET /hello/{who}\", public = true }]\n  \
        schedules = [{ schedule = \"*/5 * * * *\", path = \"/refresh\" }]\n  \
        grants = [{ role = \"writer\", on = \"visits\" }]\n\n\
        Functions that it does not name are left as they are.")]
    Apply(Apply),
    /// Points in time of the whole cluster: make, list, verify and restore them
    #[command(subcommand)]
    Backup(Backup),
    /// Read every byte back and check it
    Verify(Verify),
    /// Apply the retention rules and remove what nothing refers to any more
    Gc(Gc),
    /// Make, list and revoke tokens of a node
    #[command(subcommand)]
    Token(Token),
    /// Give, list and take away roles on datasets of a node
    #[command(subcommand)]
    Grant(Grant),
    /// Show who a node takes you for, and what you may do
    Whoami,
    /// Say who may do what, and why
    #[command(subcommand)]
    Access(AccessCommand),
    /// People with a password: make, list, change and remove them
    #[command(subcommand)]
    User(User),
    /// Client certificates that stand for somebody
    #[command(subcommand)]
    Cert(Cert),
    /// Identity providers (OpenID Connect) that people log in by
    #[command(subcommand)]
    Idp(Idp),
    /// Log in to a node and keep the session in a profile
    Login(Login),
    /// End the session of a profile
    Logout(Logout),
    /// The cluster's certificate authority, and the nodes that join
    #[command(subcommand)]
    Cluster(Cluster),
    /// Show who did what, when, from where; check that nobody changed the log
    Audit(Audit),
    /// Read PostgreSQL's log: check it, look into it, start a server at any moment of it
    #[command(subcommand)]
    Pg(Pg),
    /// Check this machine, the bucket and the node, and say what to do
    Doctor,
    /// Keep addresses and tokens under names
    #[command(subcommand)]
    Profile(Profile),
    /// The settings of a node
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting and its value
    #[command(
        after_help = "The strongest first: what is typed, CAIRN__SECTION__KEY in the environment,\n\
        cairn.toml in the working directory, config.toml in the user's configuration directory, the\n\
        default. --config FILE stands for both files."
    )]
    Show {
        /// Show where each comes from too
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Make or change a profile; the token is read from CAIRN_TOKEN or --token-file
    Set {
        /// Its name
        name: String,
    },
    /// List profiles; tokens are not shown
    Ls,
    /// Use this profile when none is named
    Use {
        /// Its name
        name: String,
    },
    /// Remove a profile
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Encrypt everything in it: with a passphrase (CAIRN_PASSPHRASE) or a key file
    #[arg(long)]
    pub(crate) encrypt: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES\n  \
    cairn push . data:v1 data:latest            several tags at once\n  \
    pg_dump db | cairn push - dump --stdin-name db.sql\n  \
    cairn push --unpack backup.tar.gz files:old push the members of an archive\n\n\
    A push that was cut off goes on where it was when it is started again.")]
pub(crate) struct Push {
    /// What to push; `-` is standard input
    pub(crate) source: PathBuf,
    /// Where to, one or more
    #[arg(required = true, value_name = "NAME[:TAG]")]
    pub(crate) targets: Vec<String>,
    /// Push the members of a tar (plain, gzip, zstd) or zip as files
    #[arg(long)]
    pub(crate) unpack: bool,
    /// The name of the file that standard input becomes
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) stdin_name: String,
    /// A message for the history
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Remove the tags after this time: 12h, 30d, 8w
    #[arg(long, value_name = "AGE")]
    pub(crate) expire: Option<String>,
    /// The zstd level of new data, 1 to 19
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) level: i32,
    /// Store archives as they are instead of sharing what is inside them
    #[arg(long)]
    pub(crate) keep_archives: bool,
    /// Read every file, also those that look unchanged
    #[arg(long)]
    pub(crate) rescan: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES\n  \
    cairn pull data:v1 ./data                   write what is missing or differs\n  \
    cairn pull data ./data --delete             and delete what the version has not\n  \
    cairn pull data ./current --switch --follow keep a link on the newest version\n  \
    cairn pull data ./current --switch --follow --exec 'systemctl reload app'\n\n\
    --exec runs after the first pull and after each switch, with CAIRN_REF, CAIRN_VERSION (the root)\n\
    and CAIRN_PATH in its environment; the next switch waits for it.")]
pub(crate) struct Pull {
    /// What to pull
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) source: String,
    /// Where to
    pub(crate) destination: PathBuf,
    /// Delete what the version has not
    #[arg(long)]
    pub(crate) delete: bool,
    /// Overwrite files that were changed here
    #[arg(long)]
    pub(crate) force: bool,
    /// Pull beside, and then switch the symbolic link DESTINATION in one step
    #[arg(long)]
    pub(crate) switch: bool,
    /// Go on pulling whenever the tag moves
    #[arg(long)]
    pub(crate) follow: bool,
    /// How soon --follow tries again after a failure
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) every: String,
    /// Run this by `sh -c` whenever a version was pulled
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// A dataset, a version, or a path in it; all datasets of a project with @PROJECT, of `main` when
    /// not given
    #[arg(value_name = "NAME[:TAG][/PATH]")]
    pub(crate) reference: Option<OsString>,
    /// Show attributes
    #[arg(long, short)]
    pub(crate) long: bool,
    /// Go into directories
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The file
    #[arg(value_name = "NAME[:TAG]/PATH")]
    pub(crate) reference: OsString,
    /// Begin at this byte
    #[arg(long, value_name = "BYTE", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Write at most so many bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) length: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The older version
    #[arg(value_name = "NAME:A", requires = "new")]
    pub(crate) old: Option<String>,
    /// The newer version
    #[arg(value_name = "NAME:B")]
    pub(crate) new: Option<String>,
    /// Without versions: the manifest whose functions are compared with those of the node
    #[arg(short, long, value_name = "FILE", default_value = "cairn.toml", conflicts_with = "old")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The manifest
    #[arg(short, long, value_name = "FILE", default_value = "cairn.toml")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The dataset, or one tag of it
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) reference: String,
}

#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// What to point to
    #[arg(value_name = "NAME:A")]
    pub(crate) from: String,
    /// The tag to move or make
    #[arg(value_name = "NAME:B")]
    pub(crate) to: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// The tag, or a dataset with all of its tags; or a file or directory of a version
    #[arg(value_name = "NAME[:TAG][/PATH]")]
    pub(crate) reference: String,
    /// Remove a whole dataset without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// The version
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) reference: String,
    /// Compare with this tag instead of the version before
    #[arg(long, value_name = "TAG")]
    pub(crate) against: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Retain {
    /// The dataset
    #[arg(value_name = "NAME")]
    pub(crate) reference: String,
    /// Keep so many superseded versions of each tag
    #[arg(long, value_name = "N")]
    pub(crate) history_keep: Option<u32>,
    /// Keep superseded versions that are younger than this: 12h, 30d, 8w
    #[arg(long, value_name = "AGE")]
    pub(crate) history_age: Option<String>,
    /// Keep so many tags, the newest; `all` for all
    #[arg(long, value_name = "N")]
    pub(crate) tags_keep: Option<String>,
    /// Keep tags that are younger than this; `any` for any age
    #[arg(long, value_name = "AGE")]
    pub(crate) tags_age: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Write what is wrong, as JSON, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) repair_report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long something must have been unused before it is deleted
    #[arg(long, value_name = "AGE", default_value = "24h")]
    pub(crate) grace: String,
}
