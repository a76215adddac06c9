//! Arguments of plans.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Plan {
    /// Have a plan done, and wait for its end
    #[command(after_help = "EXAMPLES\n  \
        cairn plan run words.toml\n  \
        cairn plan run words.toml --output > counts.txt\n\n\
        The file has the steps, whose functions are programs:\n\n  \
        [steps.count]\n  \
        function = \"wordcount\"\n  \
        arguments = [\"count\"]\n  \
        files = \"books:v1/texts\"      # a run for each file below that path\n  \
        split_bytes = 16777216        # or for each part of it, which ends where a line does\n\n  \
        [steps.carts]\n  \
        function = \"wordcount\"\n  \
        arguments = [\"count\"]\n  \
        keys = \"carts/user/\"          # keys of a namespace, as lines of JSON\n  \
        split_keys = 1000             # a run for about so many of them\n\n  \
        [steps.total]\n  \
        function = \"wordcount\"\n  \
        arguments = [\"total\"]\n  \
        inputs = [\"count\", \"carts\"]   # /api/input/0 and so on\n  \
        together = 16                 # at most, and what they make again; or each = true\n\n\
        A run that was done before is not done again; one that its node's end cuts off is. Interrupting\n\
        the command leaves the plan running.")]
    Run(PlanRun),
    /// List plans, the newest first
    Ls {
        /// Of which project
        #[arg(long, value_name = "PROJECT", default_value = "main")]
        project: String,
    },
    /// Show how far a plan and its steps are
    Show {
        /// What it is called: `NAME` or `@PROJECT/NAME`
        name: String,
        /// Its id
        id: String,
    },
    /// End a plan where it is; what its runs made is kept for the next one
    Cancel {
        /// What it is called: `NAME` or `@PROJECT/NAME`
        name: String,
        /// Its id
        id: String,
    },
    /// Write what a plan, or a run of one of its steps, has made
    Output {
        /// What it is called: `NAME` or `@PROJECT/NAME`
        name: String,
        /// Its id
        id: String,
        /// The step, where it is not the last one
        #[arg(long)]
        step: Option<String>,
        /// Which of its runs, counted from 0, where there are several
        #[arg(long, value_name = "NUMBER")]
        run: Option<u64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PlanRun {
    /// A file that says the steps, as TOML
    pub(crate) file: PathBuf,
    /// What it is called, `NAME` or `@PROJECT/NAME`; as the file is when not given
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Do all of it, also what was done before
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Do not wait for its end
    #[arg(long, conflicts_with = "output")]
    pub(crate) detach: bool,
    /// Write what it has made
    #[arg(long)]
    pub(crate) output: bool,
}
