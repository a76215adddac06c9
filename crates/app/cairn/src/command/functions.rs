//! Functions of a node, and the routes to them.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use cairn_base::{ErrorKind, ProjectName, Reference};
use cairn_functions::{Auth, Function, Info, Line, Release, RouteInfo, Settings, State};
use cairn_http::api::GrantBody;
use cairn_http::client::Node;

use crate::cli;
use crate::context::Context;
use crate::exit::Usage;
use crate::output::{self, shown};

/// Seconds that a deployment is waited for, and a line of a log at a time.
const WAIT: u64 = 120;

pub(crate) async fn function(context: &Context, args: &cli::Fn) -> anyhow::Result<ExitCode> {
    let node = context.node()?;
    match args {
        cli::Fn::Deploy(args) => return deploy(context, &node, args).await,
        cli::Fn::Ls { project } => {
            for info in node.functions(&project_named(project)?).await? {
                show(context, &info)?;
            }
        }
        cli::Fn::Versions { name } => {
            let function = named(name)?;
            let current = node.function(&function).await?.current;
            for release in node.releases(&function).await? {
                show_release(context, &release, current)?;
            }
        }
        cli::Fn::Rollback { name, to } => {
            let function = named(name)?;
            let release = match to {
                Some(number) => *number,
                None => before(&node, &function).await?,
            };
            let release = node.choose(&function, release).await?;
            show_release(context, &release, Some(release.number))?;
        }
        cli::Fn::Rm { name, with_routes } => {
            node.remove_function(&named(name)?, *with_routes).await?;
            done(context, "removed", name)?;
        }
        cli::Fn::Invoke(args) => return invoke(&node, args).await,
        cli::Fn::Logs { name, follow } => logs(context, &node, &named(name)?, *follow).await?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn route(context: &Context, args: &cli::Route) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::Route::Add { pattern, name, public } => {
            let function = named(name)?;
            let auth = if *public { Auth::None } else { Auth::Cairn };
            let made = node.add_route(&function, pattern, auth).await?;
            if *public {
                let (subject, role) = ("anonymous".to_owned(), "invoker".to_owned());
                let grant = GrantBody { subject, role, pattern: function.to_string() };
                let granted = node.add_grant(&grant).await;
                granted.context(
                    "the route is there, and the function is not open to everybody: that takes an admin of it",
                )?;
            }
            show_route(context, &made)
        }
        cli::Route::Ls { project } => {
            let routes = node.routes(&project_named(project)?).await?;
            routes.iter().try_for_each(|route| show_route(context, route))
        }
        cli::Route::Rm { pattern, name } => {
            node.remove_route(&named(name)?, pattern).await?;
            done(context, "removed", pattern)
        }
    }
}

fn named(text: &str) -> anyhow::Result<Function> {
    let reference: Reference = text.parse()?;
    if reference.tag.is_some() || !reference.path.is_empty() || reference.host.is_some() {
        let what = format!("{text:?} is no function: write NAME, or @PROJECT/NAME");
        return Err(Usage(what).into());
    }
    Ok(Function { project: reference.project, name: reference.name })
}

fn project_named(text: &str) -> anyhow::Result<ProjectName> {
    Ok(text.trim_start_matches('@').parse()?)
}

async fn deploy(context: &Context, node: &Node, args: &cli::FnDeploy) -> anyhow::Result<ExitCode> {
    let function = named(&args.name)?;
    let code = read(&args.file)?;
    let mut settings =
        Settings { environment: args.env.iter().cloned().collect(), ..Settings::default() };
    let limits = &mut settings.limits;
    limits.memory_bytes = args.memory.unwrap_or(limits.memory_bytes);
    limits.cpu_ms = args.cpu_ms.unwrap_or(limits.cpu_ms);
    limits.wall_ms = args.wall_ms.unwrap_or(limits.wall_ms);
    limits.concurrency = args.concurrency.unwrap_or(limits.concurrency);
    limits.reuse.requests = args.reuse.unwrap_or(limits.reuse.requests);
    let wait = if args.no_wait { 0 } else { WAIT };
    let release = node.deploy(&function, code.into(), &settings, wait).await?;
    let current = matches!(release.state, State::Ready { .. }).then_some(release.number);
    show_release(context, &release, current)?;
    let failed = matches!(release.state, State::Failed { .. });
    Ok(if failed { crate::exit::code_of(ErrorKind::Invalid) } else { ExitCode::SUCCESS })
}

/// The newest release before the one that answers.
async fn before(node: &Node, function: &Function) -> anyhow::Result<u32> {
    let current = node.function(function).await?.current.unwrap_or(u32::MAX);
    let earlier = |release: &Release| {
        release.number < current && matches!(release.state, State::Ready { .. })
    };
    let releases = node.releases(function).await?;
    let found = releases.iter().find(|release| earlier(release)).map(|release| release.number);
    found.ok_or_else(|| Usage(format!("{function} has no earlier release that is ready")).into())
}

async fn invoke(node: &Node, args: &cli::FnInvoke) -> anyhow::Result<ExitCode> {
    let input = args.input.as_deref().map(read).transpose()?.unwrap_or_default();
    let function = named(&args.name)?;
    let done = node.invoke(&function, &args.path, &args.arguments, input.into()).await?;
    let mut out = std::io::stdout().lock();
    out.write_all(&done.output)?;
    out.flush()?;
    let exit = done.exit.unwrap_or(0);
    Ok(u8::try_from(exit).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut all = Vec::new();
        std::io::stdin().lock().read_to_end(&mut all)?;
        return Ok(all);
    }
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

async fn logs(
    context: &Context,
    node: &Node,
    function: &Function,
    follow: bool,
) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let wait = if follow { WAIT } else { 0 };
        for line in node.logs(function, after, wait).await? {
            after = line.number;
            show_line(context, &line)?;
        }
        if !follow {
            return Ok(());
        }
    }
}

fn show(context: &Context, info: &Info) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(info);
    }
    let current = info.current.map_or_else(|| "none".to_owned(), |number| number.to_string());
    output::line(&format!("@{}/{}  release {current} of {}", info.project, info.name, info.newest))
}

fn show_release(context: &Context, release: &Release, current: Option<u32>) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(release);
    }
    let state = match &release.state {
        State::Failed { why } => format!("failed: {}", shown(why)),
        State::Ready { kind } => format!("ready ({kind})"),
        State::Compiling => "compiling".to_owned(),
    };
    let mark = if current == Some(release.number) { "*" } else { " " };
    let (number, digest, bytes) = (release.number, &release.digest[..12], release.bytes);
    output::line(&format!("{mark} {number:>4}  {digest}  {bytes:>9} bytes  {state}"))
}

fn show_route(context: &Context, route: &RouteInfo) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(route);
    }
    let auth = match route.auth {
        Auth::Cairn => "token",
        Auth::None => "none",
    };
    let RouteInfo { pattern, project, function, .. } = route;
    output::line(&format!("{:<40} @{project}/{function}  auth {auth}", shown(pattern)))
}

fn show_line(context: &Context, line: &Line) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(line);
    }
    output::line(&format!("{:<6} {}", line.stream, shown(&line.text)))
}

fn done(context: &Context, what: &str, name: &str) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(&serde_json::json!({ what: name }));
    }
    output::line(&format!("{what} {name}"))
}
