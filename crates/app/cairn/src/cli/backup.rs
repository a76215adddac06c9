//! What can be typed about backups.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Make a backup: a point in time that shares its bytes with the living cluster
    #[command(after_help = "EXAMPLES\n  \
        cairn backup create --bucket s3://data\n  \
        cairn backup create --bucket s3://data --note 'before the move'\n\n\
        Nodes go on meanwhile. What was acknowledged before is in it; of keys whose level is `log`, what\n\
        was shipped by then, which is a second old at most.")]
    Create {
        /// What to say of it in the list
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// List the backups, the oldest first
    #[command(visible_alias = "ls")]
    List,
    /// Look whether all that a backup needs is there
    Verify(Chosen),
    /// Copy a backup into an empty place, which is a cluster of its own then
    #[command(after_help = "EXAMPLES\n  \
        cairn backup restore --bucket s3://data --to file:///srv/restored\n  \
        cairn backup restore --bucket s3://data --at 2026-11-22T10:00:00Z --to s3://data-of-then\n  \
        cairn up --bucket file:///srv/restored\n\n\
        A copy that was cut off goes on when the same backup is restored there again. The copy has the\n\
        secrets, tokens and webhooks of the cluster: where it runs beside it, both deliver.")]
    Restore {
        #[command(flatten)]
        chosen: Chosen,
        /// The bucket to copy to: empty, or with a part of the same copy
        #[arg(long, value_name = "URL")]
        to: String,
    },
    /// Copy a backup into an empty directory, open and read all of it, and say what is wrong
    #[command(after_help = "EXAMPLES\n  \
        cairn backup drill --bucket s3://data\n\n\
        Every chunk, every table of every namespace, the access state and the chain of the audit log are\n\
        read and checked. The copy needs as much room as the bucket; it is deleted afterwards.")]
    Drill {
        #[command(flatten)]
        chosen: Chosen,
        /// Where the copy goes, in a directory of its own that is deleted afterwards
        #[arg(long, value_name = "DIR")]
        below: Option<std::path::PathBuf>,
    },
    /// Remove a backup, or what is left of one that was cut off
    Rm {
        /// Its id, from `backup list`
        id: String,
    },
}

/// Which backup is meant; the newest when nothing is said.
#[derive(Args, Debug)]
pub(crate) struct Chosen {
    /// Its id, from `backup list`
    #[arg(conflicts_with = "at")]
    pub(crate) id: Option<String>,
    /// The newest that was whole by then: a time (2026-11-22T10:00:00Z), or so long ago (36h)
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}
