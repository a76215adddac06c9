//! What can be typed after `cairn pg`.

use std::path::PathBuf;

use cairn_pgwal::Lsn;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Pg {
    /// Replay a log over a copy and compare every image in it with what our redo makes
    Verify(PgVerify),
    /// Show records, count them by kind, or show what touched a page
    Inspect(PgInspect),
    /// Make a data directory at a moment of the log, and start PostgreSQL on it
    Start(PgStart),
}

/// Where the log is.
#[derive(Debug, Args)]
pub(crate) struct PgWal {
    /// The archive of WAL: a directory, or a URL as of a bucket (s3://BUCKET/PREFIX); its files are
    /// named as in pg_wal
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) wal: String,
    /// Follow this timeline, not the newest
    #[arg(long, value_name = "N")]
    pub(crate) timeline: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "The log must be of a server with wal_consistency_checking, whose records \
    carry images of the\npages that they change. Ends with 7 when a page differs.\n\n\
    EXAMPLES\n  \
    cairn pg verify --base ./copy --wal ./archive")]
pub(crate) struct PgVerify {
    /// The copy: a data directory, taken while the server was stopped
    #[arg(long, value_name = "DIR")]
    pub(crate) base: PathBuf,
    #[command(flatten)]
    pub(crate) wal: PgWal,
    /// Begin here and not at the copy's last checkpoint
    #[arg(long, value_name = "LSN")]
    pub(crate) from: Option<Lsn>,
    /// Stop here
    #[arg(long, value_name = "LSN")]
    pub(crate) to: Option<Lsn>,
    /// Show so many pages that differ
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) show: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES\n  \
    cairn pg inspect --wal ./archive                           records by kind\n  \
    cairn pg inspect --wal ./archive --records --xid 742       one transaction\n  \
    cairn pg inspect --wal ./archive --page 5/16384:7          what touched a page\n\n\
    A page is DATABASE/RELATION or DATABASE/RELATION:BLOCK, as pg_relation_filepath shows them.")]
pub(crate) struct PgInspect {
    #[command(flatten)]
    pub(crate) wal: PgWal,
    /// Begin here: where a record begins, or any position
    #[arg(long, value_name = "LSN")]
    pub(crate) from: Option<Lsn>,
    /// Stop here
    #[arg(long, value_name = "LSN")]
    pub(crate) to: Option<Lsn>,
    /// Show each record
    #[arg(long)]
    pub(crate) records: bool,
    /// Only records of this resource manager, as Heap or Btree
    #[arg(long, value_name = "NAME")]
    pub(crate) rmgr: Option<String>,
    /// Only records of this transaction
    #[arg(long, value_name = "XID")]
    pub(crate) xid: Option<u32>,
    /// Only records that touch this page or relation; shows each
    #[arg(long, value_name = "PAGE")]
    pub(crate) page: Option<String>,
    /// Show so many records at most
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) limit: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "The copy is a data directory of a stopped server, or one made by \
    pg_basebackup. The server is the\nunmodified one of your distribution; it does no recovery. \
    It listens on a socket in the new directory only.\n\n\
    A moment is an LSN (16/B374D848: all that ended there or before), a time (2026-11-21 14:05:00Z:\n\
    all transactions that ended then or before), or the end of the log when it is not given.\n\n\
    EXAMPLES\n  \
    cairn pg start --base ./copy --wal ./archive --out ./then --at 16/B374D848\n  \
    cairn pg start --base ./copy --wal s3://wal/shop --out ./then --at '2026-11-21 14:05:00Z'\n  \
    psql -h ./then postgres                                       (with the whole path)\n  \
    pg_ctl -D ./then stop")]
pub(crate) struct PgStart {
    /// The copy to begin with; it is not changed
    #[arg(long, value_name = "DIR")]
    pub(crate) base: PathBuf,
    #[command(flatten)]
    pub(crate) wal: PgWal,
    /// The moment
    #[arg(long, value_name = "LSN|TIME")]
    pub(crate) at: Option<String>,
    /// The directory that is made; it must be empty or not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Make a hot standby that stays on the log's timeline
    #[arg(long)]
    pub(crate) standby: bool,
    /// The server that the standby follows, as a connection string
    #[arg(long, value_name = "CONNINFO", requires = "standby")]
    pub(crate) primary: Option<String>,
    /// Make the directory, and start nothing
    #[arg(long)]
    pub(crate) no_start: bool,
    /// The port, which names the socket
    #[arg(long, value_name = "PORT", default_value_t = 5432)]
    pub(crate) port: u16,
    /// The directory of PostgreSQL's programs
    #[arg(long, value_name = "DIR")]
    pub(crate) bin: Option<PathBuf>,
    /// Take a minor release too that our redo was not compared with
    #[arg(long)]
    pub(crate) uncertified: bool,
    /// Memory for pages, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(8..))]
    pub(crate) memory: u32,
}
