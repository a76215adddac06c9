use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES\n  \
    cairn put notes.txt data:main             a file, where the tag points and all else stays\n  \
    cairn put *.csv data:main/tables          into a directory of the version\n  \
    cairn rm data:main/tables/old.csv         and out of it")]
pub(crate) struct Put {
    /// Files of this machine
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Where they go: a tag, or a directory of it
    #[arg(value_name = "NAME[:TAG][/DIR]")]
    pub(crate) to: String,
    /// What to say about the version
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
}
