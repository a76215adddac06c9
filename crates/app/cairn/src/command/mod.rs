mod access;
mod apply;
mod audit;
mod backup;
mod browse;
pub(crate) mod cache;
mod config;
mod cron;
mod demo;
mod develop;
mod doctor;
mod edit;
pub(crate) mod functions;
mod hook;
mod kv;
mod login;
mod maintain;
mod people;
mod pg;
mod plans;
mod profile;
mod transfer;
mod triggers;
mod up;
mod versions;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{self, Cli, Command};
use crate::config::Loaded;
use crate::context::Context;
use crate::output;

/// Does what was typed.
pub(crate) async fn run(cli: Cli, loaded: Loaded) -> anyhow::Result<ExitCode> {
    let context = Context::new(cli.global);
    let json = context.global.json;
    match cli.command {
        Command::Up(args) => Box::pin(up::up(&context, &args, &loaded.config)).await?,
        Command::Init(args) => maintain::init(&context, &args).await?,
        Command::Push(args) => return transfer::push(&context, &args).await,
        Command::Pull(args) => transfer::pull(&context, &args).await?,
        Command::Put(args) => edit::put(&context, &args).await?,
        Command::Ls(args) => browse::ls(&context, &args).await?,
        Command::Cat(args) => browse::cat(&context, &args).await?,
        Command::Diff(args) => browse::diff(&context, &args).await?,
        Command::Stat(args) => browse::stat(&context, &args).await?,
        Command::Log(args) => versions::log(&context, &args).await?,
        Command::Tag(args) => versions::tag(&context, &args).await?,
        Command::Rm(args) => versions::rm(&context, &args).await?,
        Command::Retain(args) => versions::retain(&context, &args).await?,
        Command::Backup(args) => return Box::pin(backup::backup(&context, &args)).await,
        Command::Verify(args) => return maintain::verify(&context, &args).await,
        Command::Gc(args) => maintain::gc(&context, &args).await?,
        Command::Token(args) => access::token(&context, &args).await?,
        Command::Grant(args) => access::grant(&context, &args).await?,
        Command::Hook(args) => hook::hook(&context, &args).await?,
        Command::Kv(args) => kv::kv(&context, &args).await?,
        Command::Fn(args) => return functions::function(&context, &args).await,
        Command::Route(args) => functions::route(&context, &args).await?,
        Command::Apply(args) => apply::apply(&context, &args).await?,
        Command::Filter(args) => functions::filter(&context, &args).await?,
        Command::Cron(args) => cron::cron(&context, &args).await?,
        Command::Trigger(args) => triggers::trigger(&context, &args).await?,
        Command::Plan(args) => plans::plan(&context, &args).await?,
        Command::Whoami => access::whoami(&context).await?,
        Command::Access(args) => access::access(&context, &args).await?,
        Command::User(args) => people::user(&context, &args).await?,
        Command::Cert(args) => people::cert(&context, &args).await?,
        Command::Idp(args) => people::idp(&context, &args).await?,
        Command::Login(args) => login::login(&context, &args).await?,
        Command::Logout(args) => login::logout(&context, &args).await?,
        Command::Cluster(args) => login::cluster(&context, &args).await?,
        Command::Audit(args) => return audit::audit(&context, &args).await,
        Command::Pg(args) => return pg::pg(&context, args).await,
        Command::Doctor => return doctor::doctor(&context).await,
        Command::Profile(args) => profile::profile(&context, &args)?,
        Command::Completions { shell } => {
            // It panics when it cannot write, so it writes to memory.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cairn", &mut script);
            output::data(&script)?;
        }
        Command::Config(cli::ConfigCommand::Show { origin }) => {
            config::show(&context, &loaded, origin)?;
        }
        Command::Version => version(json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn version(json: bool) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if json {
        return output::json(&serde_json::json!({"name": "cairn", "version": version}));
    }
    output::line(&format!("cairn {version}"))
}
