//! What can be typed about functions and the routes to them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Fn {
    /// Deploy a release of a function; it answers once it is compiled
    #[command(after_help = "EXAMPLES\n  \
        cairn fn deploy target/wasm32-wasip1/release/hello.wasm --name hello\n  \
        cairn fn deploy hello.wat --name hello\n  \
        cairn fn deploy api.wasm --name api --env STAGE=test --memory 64M --cpu 500ms\n\n\
        The file is a WebAssembly component for wasi:http (0.2 or 0.3) or wasi:cli, a core module for\n\
        preview 1, or the text of either. What is run with it is kept with the release.")]
    Deploy(FnDeploy),
    /// List functions
    Ls {
        /// Of which project
        #[arg(long, value_name = "PROJECT", default_value = "main")]
        project: String,
    },
    /// List the releases of a function that are kept, the newest first
    Versions {
        /// The function
        name: String,
    },
    /// Let an earlier release answer: the one before, or the one that is named
    Rollback {
        /// The function
        name: String,
        /// The number of the release
        #[arg(long, value_name = "NUMBER")]
        to: Option<u32>,
    },
    /// Remove a function with all its releases
    Rm {
        /// The function
        name: String,
        /// Remove the routes to it too
        #[arg(long)]
        with_routes: bool,
    },
    /// Call a function without a route, and print what it answers
    #[command(after_help = "EXAMPLES\n  \
        cairn fn invoke hello\n  \
        cairn fn invoke sort --input names.txt -- -r\n  \
        cairn fn invoke api --path /users --input user.json\n\n\
        A function that answers requests is asked to POST the input to --path; a program has the input as\n\
        its standard input, and its exit code is this command's.")]
    Invoke(FnInvoke),
    /// Print the last lines that a function wrote
    Logs {
        /// The function
        name: String,
        /// Go on with those that come
        #[arg(short, long)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct FnDeploy {
    /// The code
    pub(crate) file: PathBuf,
    /// The function
    #[arg(long)]
    pub(crate) name: String,
    /// An environment variable; repeat for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Memory of an instance, as 64M
    #[arg(long, value_name = "BYTES", value_parser = crate::command::cache::size)]
    pub(crate) memory: Option<u64>,
    /// Computing for one call, in milliseconds
    #[arg(long, value_name = "MS")]
    pub(crate) cpu_ms: Option<u64>,
    /// From a call to the end of its answer, in milliseconds
    #[arg(long, value_name = "MS")]
    pub(crate) wall_ms: Option<u64>,
    /// Calls that run at a time
    #[arg(long, value_name = "COUNT")]
    pub(crate) concurrency: Option<u32>,
    /// Requests that one instance answers before it is dropped
    #[arg(long, value_name = "COUNT")]
    pub(crate) reuse: Option<u32>,
    /// Do not wait until it is compiled
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FnInvoke {
    /// The function
    pub(crate) name: String,
    /// A file with its input, - for standard input; nothing by default
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// What one that answers requests is asked for
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// Arguments of a program
    #[arg(last = true)]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Route {
    /// Lead requests to a function
    #[command(after_help = "EXAMPLES\n  \
        cairn route add 'GET example.org/hello/{who}' hello --public\n  \
        cairn route add '/files/{*path}' files\n\n\
        A pattern is [METHOD ][HOST]/PATH; {name} stands for a segment of the path, {*name} for all that is\n\
        left. Of several that fit, the most particular answers. Callers show a token of the cluster and are\n\
        invokers of the function; with --public nobody needs to show anything.")]
    Add {
        /// Which requests
        pattern: String,
        /// The function
        name: String,
        /// Open the function to everybody: the route asks for no credential, and nobody in particular
        /// becomes its invoker
        #[arg(long)]
        public: bool,
    },
    /// List routes
    Ls {
        /// Of which project
        #[arg(long, value_name = "PROJECT", default_value = "main")]
        project: String,
    },
    /// Remove a route
    Rm {
        /// Its pattern
        pattern: String,
        /// The function
        name: String,
    },
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
