//! What can be typed about triggers.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Trigger {
    /// Tell a function what changes in a namespace of keys
    #[command(after_help = "EXAMPLES\n  \
        cairn trigger add indexer carts\n  \
        cairn trigger add indexer carts --prefix user/ --name users --path /changed\n\n\
        Changes are told as lines of JSON, in the order of commits, at least once: what comes next when the\n\
        function took what came before, with a status of 200 to 299 or the exit code 0. The function itself\n\
        needs to be a reader of the namespace: cairn grant add function/@main/indexer reader carts.")]
    Add {
        /// The function
        function: String,
        /// The namespace: NAME in the function's project, or @PROJECT/NAME
        namespace: String,
        /// What the keys begin with
        #[arg(long, default_value = "")]
        prefix: String,
        /// What the trigger is called
        #[arg(long, default_value = "default")]
        name: String,
        /// What a function that answers requests is asked to POST to
        #[arg(long, default_value = "/")]
        path: String,
    },
    /// List triggers, and how far they are
    Ls {
        /// Of which project
        #[arg(long, value_name = "PROJECT", default_value = "main")]
        project: String,
    },
    /// Remove a trigger
    Rm {
        /// The function
        function: String,
        /// The trigger
        #[arg(long, default_value = "default")]
        name: String,
    },
}
