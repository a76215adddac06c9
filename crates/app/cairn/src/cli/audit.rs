//! What can be typed after `cairn audit`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    after_help = "Each line is a decision or a change: when, what came of it, who, what on what, from \
    where.\nIn patterns `*` stands for any characters.\n\n\
    EXAMPLES\n  \
    cairn audit --since 1d --outcome denied         who was turned away today\n  \
    cairn audit --resource '@main/photos*'          what was done with some datasets\n  \
    cairn audit --action 'manage_*' --json          who may do what since when\n  \
    cairn audit --follow                            and whatever comes\n  \
    cairn audit verify                              that nobody changed the log"
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    #[command(flatten)]
    pub(crate) read: AuditRead,
}

#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct AuditRead {
    /// Go on with what is recorded from then on
    #[arg(long)]
    pub(crate) follow: bool,
    /// Only what they asked for
    #[arg(long, value_name = "PATTERN")]
    pub(crate) caller: Option<String>,
    /// Only this: read_dataset, write_dataset, delete_dataset, manage_access, maintain, …
    #[arg(long, value_name = "PATTERN")]
    pub(crate) action: Option<String>,
    /// Only on these: @PROJECT/NAME
    #[arg(long, value_name = "PATTERN")]
    pub(crate) resource: Option<String>,
    /// Only at this door: rest, fs, …
    #[arg(long, value_name = "PATTERN")]
    pub(crate) door: Option<String>,
    /// Only what ended so
    #[arg(long, value_parser = ["allowed", "denied", "refused", "changed", "failed"])]
    pub(crate) outcome: Option<String>,
    /// Only what is younger: 30m, 12h, 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) since: Option<String>,
    /// Only what is older
    #[arg(long, value_name = "AGE")]
    pub(crate) until: Option<String>,
    /// Only what is in later segments of the log than this one
    #[arg(long, value_name = "SEQ")]
    pub(crate) after: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that nothing in the log was changed, removed or put in
    Verify(AuditVerify),
}

#[derive(Debug, Args)]
#[command(
    after_help = "It prints the log's head. Keep it elsewhere: a log whose end was cut off, or that was \
    made\nanew, is told only by a head that it does not have. Ends with 7 when something is wrong.\n\n\
    EXAMPLES\n  \
    cairn audit verify                              from the start\n  \
    cairn audit verify --head 1234:5f0c…            and the log must still hold this head"
)]
pub(crate) struct AuditVerify {
    /// The log must hold this: the head of an earlier verification
    #[arg(long, value_name = "SEQ:HASH")]
    pub(crate) head: Option<String>,
    /// Begin here, taking what is before for verified
    #[arg(long, value_name = "SEQ:HASH")]
    pub(crate) from: Option<String>,
}
