//! What can be typed about functions and the routes to them.

use std::path::PathBuf;

use cairn_functions::Isolation;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Fn {
    /// Begin a function: a folder with a program and its manifest
    #[command(after_help = "EXAMPLES\n  \
        cairn fn new hello --template rust\n  \
        cd hello && cairn fn dev\n\n\
        TEMPLATES\n  \
        rust            answers requests by wasi:http; takes `rustup target add wasm32-wasip1`\n  \
        js              answers the event `fetch`; takes node and npm\n  \
        python          answers requests as a WSGI application does; takes python3\n  \
        go              answers requests as a CGI script does; takes go 1.21\n  \
        assemblyscript  the same; takes node and npm\n  \
        c               the same; takes clang, lld and wasi-libc\n  \
        zig             the same; takes Zig 0.17\n  \
        wat             the text of WebAssembly; takes nothing\n\n\
        `cairn doctor` says which of them are here.")]
    New {
        /// The function, and its folder
        name: String,
        /// What it is written in
        #[arg(long, value_parser = ["rust", "js", "python", "go", "assemblyscript", "c", "zig", "wat"])]
        template: String,
    },
    /// Build the functions of a manifest, each with its `build` command
    Build {
        /// The manifest
        #[arg(short, long, value_name = "FILE", default_value = "cairn.toml")]
        file: PathBuf,
    },
    /// Build, apply, and do so again at every change of a file, until it is interrupted
    Dev {
        /// The manifest
        #[arg(short, long, value_name = "FILE", default_value = "cairn.toml")]
        file: PathBuf,
    },
    /// Deploy a release of a function; it answers once it is compiled
    #[command(after_help = "EXAMPLES\n  \
        cairn fn deploy target/wasm32-wasip1/release/hello.wasm --name hello\n  \
        cairn fn deploy hello.wat --name hello\n  \
        cairn fn deploy api.wasm --name api --env STAGE=test --memory 64M --cpu-ms 500\n\n\
        The file is a WebAssembly component for wasi:http 0.2 or wasi:cli, a core module for\n\
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
        its standard input, and its exit code is this command's. With --later the call is kept and done at\n\
        least once, and `cairn fn result` has what came of it; it is kept for a day.")]
    Invoke(FnInvoke),
    /// Print what came of a call that was done later, once it is done
    Result {
        /// The function
        name: String,
        /// The call, as `fn invoke --later` names it
        call: String,
        /// Do not wait until it is done
        #[arg(long)]
        no_wait: bool,
    },
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
    /// Where it may send requests: https://HOST, https://*.HOST, http://HOST:PORT; repeat for more
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) outbound: Vec<String>,
    /// How it is kept apart from others: in_process, or process for a process of its project's own
    #[arg(long, value_name = "TIER")]
    pub(crate) isolation: Option<Isolation>,
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
    /// With which method; POST when not given
    #[arg(long, conflicts_with = "later")]
    pub(crate) method: Option<String>,
    /// A header that it is asked with; repeat for more
    #[arg(long, value_name = "NAME: VALUE", value_parser = header, conflicts_with = "later")]
    pub(crate) header: Vec<(String, String)>,
    /// Do not wait for it: print the call's id
    #[arg(long)]
    pub(crate) later: bool,
    /// With --later: of all calls with this key there is one, so that it can be asked for again
    #[arg(long, value_name = "KEY", requires = "later")]
    pub(crate) key: Option<String>,
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
    /// Lead requests to files of a dataset
    #[command(after_help = "EXAMPLES\n  \
        cairn route files 'GET example.org/{*path}' site --public\n  \
        cairn route files '/app/{*path}' app:stable/dist --fallback index.html\n\n\
        What the pattern's {*path} stands for is a path in the folder; of a folder its index.html answers.\n\
        Answers have ETags and ranges, and follow the tag when it moves. Callers show a token of the cluster\n\
        and are readers of the dataset; with --public nobody needs to show anything.")]
    Files {
        /// Which requests
        pattern: String,
        /// The dataset, its tag when it is not `latest`, and the folder or the one file that is served
        #[arg(value_name = "NAME[:TAG][/PATH]")]
        name: String,
        /// The file in that folder that answers where there is none
        #[arg(long, value_name = "PATH")]
        fallback: Option<String>,
        /// Open the dataset to everybody: the route asks for no credential, and nobody in particular
        /// becomes its reader
        #[arg(long)]
        public: bool,
    },
    /// List routes
    Ls {
        /// Of which project
        #[arg(long, value_name = "PROJECT", default_value = "main")]
        project: String,
    },
    /// Remove a route; what no public route leads to any more is not open to everybody
    Rm {
        /// Its pattern
        pattern: String,
        /// The function, or the dataset of its files
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Filter {
    /// Let the requests of a function pass another one first
    #[command(after_help = "EXAMPLES\n  \
        cairn filter add guard api --priority 10\n\n\
        A filter is asked as the function would be, without the body. With a status of 200 to 299 the\n\
        request goes on, with the headers that it sets (`cairn-set-NAME`) and the path that it gives\n\
        (`cairn-path`); with any other, its answer is the answer. What cannot be asked stops the request.")]
    Add {
        /// What requests pass, of the same project
        filter: String,
        /// Whose requests
        function: String,
        /// Lower ones are passed first
        #[arg(long, default_value_t = 100)]
        priority: u16,
    },
    /// List filters, those of each function in their order
    Ls {
        /// Of which project
        #[arg(long, value_name = "PROJECT", default_value = "main")]
        project: String,
    },
    /// Let requests pass it no more
    Rm {
        /// What they pass
        filter: String,
        /// Whose requests
        function: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cron {
    /// Call a function at times
    #[command(after_help = "EXAMPLES\n  \
        cairn cron add '*/5 * * * *' refresh\n  \
        cairn cron add '0 4 * * MON-FRI' report --zone Europe/Berlin --missed once\n  \
        cairn cron add '*/10 * * * * *' poll --name fast --path /poll\n\n\
        A schedule is minute, hour, day of the month, month and day of the week, with seconds before them\n\
        where there are six. Runs never overlap, and one that its node's end cuts off is begun again. A function that answers requests is asked to POST to --path; it succeeds with a\n\
        status below 400, a program with the exit code 0.")]
    Add(CronAdd),
    /// List schedules
    Ls {
        /// Of which project
        #[arg(long, value_name = "PROJECT", default_value = "main")]
        project: String,
    },
    /// Remove a schedule with its history
    Rm {
        /// The function
        function: String,
        /// The schedule
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// List the last runs of a schedule, the newest first
    History {
        /// The function
        function: String,
        /// The schedule
        #[arg(long, default_value = "default")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CronAdd {
    /// When
    pub(crate) schedule: String,
    /// The function
    pub(crate) function: String,
    /// What the schedule is called
    #[arg(long, default_value = "default")]
    pub(crate) name: String,
    /// The time zone, as Europe/Berlin
    #[arg(long, default_value = "UTC")]
    pub(crate) zone: String,
    /// What becomes of times that were missed by more than a minute: left out, the last is run, or all of
    /// the last day
    #[arg(long, default_value = "skip", value_parser = ["skip", "once", "all"])]
    pub(crate) missed: String,
    /// What a function that answers requests is asked to POST to
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// Arguments of a program
    #[arg(last = true)]
    pub(crate) arguments: Vec<String>,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as NAME: VALUE".to_owned()),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
