//! Functions of a node, and the routes to them.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use base64ct::{Base64, Encoding as _};
use cairn_base::{ErrorKind, ProjectName, Reference};
use cairn_functions::{
    Auth, CallState, FilterInfo, Function, Info, Line, Outcome, Release, RouteFiles, RouteInfo,
    Settings, State,
};
use cairn_http::api::GrantBody;
use cairn_http::client::{AskFor, Node};
use serde_json::json;

use super::develop;
use crate::cli;
use crate::context::Context;
use crate::exit::Usage;
use crate::output::{self, shown};

/// Seconds that a deployment is waited for, and a line of a log at a time.
pub(super) const WAIT: u64 = 120;

pub(crate) async fn function(context: &Context, args: &cli::Fn) -> anyhow::Result<ExitCode> {
    match args {
        cli::Fn::New { name, template } => develop::new(context, name, template)?,
        cli::Fn::Build { file } => develop::build(context, file)?,
        cli::Fn::Dev { file } => develop::dev(context, file).await?,
        args => return of_node(context, args).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn of_node(context: &Context, args: &cli::Fn) -> anyhow::Result<ExitCode> {
    let node = context.node()?;
    match args {
        cli::Fn::New { .. } | cli::Fn::Build { .. } | cli::Fn::Dev { .. } => {}
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
            let function = named(name)?;
            node.remove_function(&function, *with_routes).await?;
            done(context, "removed", name)?;
            close(&node, &opened(&function, "invoker")).await?;
        }
        cli::Fn::Invoke(args) => return invoke(context, &node, args).await,
        cli::Fn::Result { name, call, no_wait } => {
            return result(context, &node, (&named(name)?, call), *no_wait).await;
        }
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
            let made = node.add_route(&function, (pattern, None), auth).await?;
            if *public {
                let granted = node.add_grant(&opened(&function, "invoker")).await;
                granted.context(
                    "the route is there, and the function is not open to everybody: that takes an admin of it",
                )?;
            }
            show_route(context, &made)
        }
        cli::Route::Files { pattern, name, fallback, public } => {
            let made = route_files(&node, (pattern, name), fallback.clone(), *public).await?;
            show_route(context, &made)
        }
        cli::Route::Ls { project } => {
            let routes = node.routes(&project_named(project)?).await?;
            routes.iter().try_for_each(|route| show_route(context, route))
        }
        cli::Route::Rm { pattern, name } => {
            let of = named(name)?;
            let was_public = has_public(&node, &of).await?;
            node.remove_route(&of, pattern).await?;
            done(context, "removed", pattern)?;
            let still_public = has_public(&node, &of).await?;
            for (role, (was, still)) in
                ["invoker", "reader"].into_iter().zip(was_public.into_iter().zip(still_public))
            {
                if was && !still {
                    close(&node, &opened(&of, role)).await?;
                }
            }
            Ok(())
        }
    }
}

/// Whether public routes lead to a function, and to the files of the dataset of its name.
async fn has_public(node: &Node, of: &Function) -> anyhow::Result<[bool; 2]> {
    let mut routes = node.routes(&of.project).await?;
    routes.retain(|route| route.function == of.name.as_str() && route.auth == Auth::None);
    let [files, function] =
        [true, false].map(|is| routes.iter().any(|route| route.files.is_some() == is));
    Ok([function, files])
}

/// What no public route leads to any more is not open to everybody any more.
async fn close(node: &Node, grant: &GrantBody) -> anyhow::Result<()> {
    let closed = async {
        let all = node.grants().await?.grants;
        match all.iter().find(|known| known.grant == *grant) {
            Some(known) => node.remove_grant(&known.id).await,
            None => Ok(()),
        }
    };
    match closed.await {
        // Who may not see what is granted is told whom to ask.
        Err(error) if error.kind() == ErrorKind::Denied => {
            let GrantBody { pattern, role, .. } = grant;
            eprintln!(
                "{pattern} may still be open to everybody: an admin closes it (`cairn grant ls`, anonymous {role})"
            );
            Ok(())
        }
        closed => Ok(closed?),
    }
}

pub(crate) async fn filter(context: &Context, args: &cli::Filter) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::Filter::Add { filter, function, priority } => {
            let made = node.add_filter(&named(function)?, filter, *priority).await?;
            show_filter(context, &made)
        }
        cli::Filter::Ls { project } => {
            let filters = node.filters(&project_named(project)?).await?;
            filters.iter().try_for_each(|filter| show_filter(context, filter))
        }
        cli::Filter::Rm { filter, function } => {
            node.remove_filter(&named(function)?, filter).await?;
            done(context, "removed", filter)
        }
    }
}

fn show_filter(context: &Context, info: &FilterInfo) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(info);
    }
    let FilterInfo { project, function, filter, priority, .. } = info;
    output::line(&format!("@{project}/{function}  {priority:>5}  {filter}"))
}

/// Leads requests to files of `NAME[:TAG][/PATH]`.
async fn route_files(
    node: &Node,
    (pattern, name): (&str, &str),
    fallback: Option<String>,
    public: bool,
) -> anyhow::Result<RouteInfo> {
    let reference: Reference = name.parse()?;
    if reference.host.is_some() {
        let what =
            format!("{name:?} is no dataset of this node: write [@PROJECT/]NAME[:TAG][/PATH]");
        return Err(Usage(what).into());
    }
    let (tag, path) = (reference.tag_or_latest(), reference.path.join("/"));
    let dataset = Function { project: reference.project, name: reference.name };
    let files = RouteFiles { tag, path, fallback };
    let auth = if public { Auth::None } else { Auth::Cairn };
    let made = node.add_route(&dataset, (pattern, Some(files)), auth).await?;
    if public {
        let granted = node.add_grant(&opened(&dataset, "reader")).await;
        granted.context(
            "the route is there, and the dataset is not open to everybody: that takes an admin of it",
        )?;
    }
    Ok(made)
}

/// What lets everybody call a function, or read a dataset.
pub(super) fn opened(function: &Function, role: &str) -> GrantBody {
    let (subject, role) = ("anonymous".to_owned(), role.to_owned());
    GrantBody { subject, role, pattern: function.to_string() }
}

pub(crate) fn named(text: &str) -> anyhow::Result<Function> {
    let reference: Reference = text.parse()?;
    if reference.tag.is_some() || !reference.path.is_empty() || reference.host.is_some() {
        let what = format!("{text:?} is no function: write NAME, or @PROJECT/NAME");
        return Err(Usage(what).into());
    }
    Ok(Function { project: reference.project, name: reference.name })
}

pub(super) fn project_named(text: &str) -> anyhow::Result<ProjectName> {
    Ok(text.trim_start_matches('@').parse()?)
}

async fn deploy(context: &Context, node: &Node, args: &cli::FnDeploy) -> anyhow::Result<ExitCode> {
    let function = named(&args.name)?;
    let code = read(&args.file)?;
    let (environment, outbound) = (args.env.iter().cloned().collect(), args.outbound.clone());
    let mut settings = Settings { environment, outbound, ..Settings::default() };
    settings.isolation = args.isolation.unwrap_or_default();
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

async fn invoke(context: &Context, node: &Node, args: &cli::FnInvoke) -> anyhow::Result<ExitCode> {
    let input = args.input.as_deref().map(read).transpose()?.unwrap_or_default();
    let (function, what) = (named(&args.name)?, (args.path.as_str(), args.arguments.as_slice()));
    if args.later {
        let made = node.call_later(&function, what, input.into(), args.key.as_deref()).await?;
        match context.global.json {
            true => output::json(&made)?,
            false => output::line(&made.id)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let asked = AskFor { method: args.method.as_deref(), path: &args.path, headers: &args.header };
    let done = node.invoke(&function, &asked, &args.arguments, input.into()).await?;
    let status = done.exit.is_none().then_some(done.status);
    let headers = done.answered.map(|answered| answered.headers);
    show_output(context, &Came { status, exit: done.exit, headers }, &done.output)?;
    Ok(ended(done.exit.unwrap_or(0)))
}

/// How a program's end is this one's.
fn ended(exit: i32) -> ExitCode {
    u8::try_from(exit).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What is told of an output beside it.
#[derive(Default)]
pub(super) struct Came {
    status: Option<u16>,
    exit: Option<i32>,
    headers: Option<Vec<(String, String)>>,
}

pub(super) fn show_output(context: &Context, came: &Came, output: &[u8]) -> anyhow::Result<()> {
    if !context.global.json {
        let mut out = std::io::stdout().lock();
        out.write_all(output)?;
        return Ok(out.flush()?);
    }
    let (text, bytes) = match std::str::from_utf8(output) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(Base64::encode_string(output))),
    };
    let Came { status, exit, headers } = came;
    let mut told =
        json!({ "status": status, "exit": exit, "output": text, "output_base64": bytes });
    if let Some(headers) = headers {
        told["headers"] = json!(headers);
    }
    output::json(&told)
}

async fn result(
    context: &Context,
    node: &Node,
    (function, id): (&Function, &str),
    no_wait: bool,
) -> anyhow::Result<ExitCode> {
    let call = loop {
        let call = node.called(function, id, if no_wait { 0 } else { WAIT }).await?;
        if no_wait || matches!(call.state, CallState::Done { .. }) {
            break call;
        }
    };
    let CallState::Done { outcome, what, status, exit, .. } = call.state else {
        output::note(&format!("it is {}", call.state.as_str()));
        return Ok(crate::exit::code_of(ErrorKind::Retry));
    };
    let came = Came { status, exit, headers: None };
    show_output(context, &came, &node.call_output(function, id).await?)?;
    if outcome == Outcome::Ok {
        return Ok(ExitCode::SUCCESS);
    }
    output::note(&format!("it failed: {}", shown(&what)));
    Ok(exit.map_or(ExitCode::FAILURE, ended))
}

pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
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
    let (mut start, mut after) = (None, 0);
    loop {
        let wait = if follow { WAIT } else { 0 };
        let page = node.logs(function, (start.as_deref(), after), wait).await?;
        // A node that was started since counts anew.
        if start.as_ref() != Some(&page.start) {
            (start, after) = (Some(page.start), 0);
        }
        for line in page.lines {
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
    let RouteInfo { pattern, project, function, files, .. } = route;
    let files = files.as_ref().map(|RouteFiles { tag, path, .. }| {
        let slash = if path.is_empty() { "" } else { "/" };
        format!(":{tag}{slash}{} (files)", shown(path))
    });
    let files = files.unwrap_or_default();
    output::line(&format!("{:<40} @{project}/{function}{files}  auth {auth}", shown(pattern)))
}

fn show_line(context: &Context, line: &Line) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(line);
    }
    output::line(&format!("{:<6} {}", line.stream, shown(&line.text)))
}

pub(super) fn done(context: &Context, what: &str, name: &str) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(&json!({ what: name }));
    }
    output::line(&format!("{what} {name}"))
}
