//! Plans on a node.

use std::path::Path;

use anyhow::{Context as _, bail};
use cairn_functions::{Function, PlanInfo, PlanSpec, PlanState, StepInfo, StepState};
use cairn_http::client::Node;

use super::functions::{Came, named, project_named, show_output};
use crate::cli;
use crate::context::Context;
use crate::exit::Usage;
use crate::output::{self, shown};
use crate::progress::Line;

/// Seconds that a plan is waited for at a time.
const WAIT_SECONDS: u64 = 1;
/// Bytes of a file that says a plan.
const FILE_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn plan(context: &Context, args: &cli::Plan) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::Plan::Run(args) => run(context, &node, args).await,
        cli::Plan::Ls { project } => {
            let plans = node.plans(&project_named(project)?).await?;
            plans.iter().try_for_each(|plan| show(context, plan))
        }
        cli::Plan::Show { name, id } => {
            let plan = node.plan(&named(name)?, id, 0).await?;
            show(context, &plan)?;
            if !context.global.json {
                plan.steps.iter().try_for_each(show_step)?;
            }
            Ok(())
        }
        cli::Plan::Cancel { name, id } => {
            show(context, &node.cancel_plan(&named(name)?, id).await?)
        }
        cli::Plan::Output { name, id, step, run } => {
            let which = (step.as_deref(), *run);
            let output = node.plan_output(&named(name)?, id, which).await?;
            show_output(context, &Came::default(), &output)
        }
    }
}

async fn run(context: &Context, node: &Node, args: &cli::PlanRun) -> anyhow::Result<()> {
    let spec = read(&args.file)?;
    let of = match &args.name {
        Some(name) => named(name)?,
        None => {
            let stem = args.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            named(stem).context("the file's name is none for a plan: give --name")?
        }
    };
    let asked = node.add_plan(&of, &spec, args.fresh).await?;
    if args.detach {
        return show(context, &asked);
    }
    if !context.global.json && !context.global.quiet && asked.ended_ms.is_none() {
        let id = &asked.id;
        output::note(&format!(
            "it is the plan {id}: `cairn plan show {of} {id}` says how far it is, and `cairn plan \
             cancel {of} {id}` ends it"
        ));
    }
    let ended = followed(context, node, &of, asked).await?;
    if args.output {
        let output = node.plan_output(&of, &ended.id, (None, None)).await?;
        show_output(context, &Came::default(), &output)
    } else {
        show(context, &ended)
    }
}

/// Waits for the end of a plan, and shows how far it is. Who goes away leaves it running.
async fn followed(
    context: &Context,
    node: &Node,
    of: &Function,
    asked: PlanInfo,
) -> anyhow::Result<PlanInfo> {
    let progress = Line::start(context.global.quiet || context.global.json);
    let mut plan = asked;
    loop {
        progress.say(&shown(&far(&plan)));
        match plan.state {
            PlanState::Waiting | PlanState::Running => {}
            PlanState::Done => return Ok(plan),
            PlanState::Failed | PlanState::Cancelled => {
                drop(progress);
                bail!("the plan {}: {}", plan.state.as_str(), plan.what);
            }
        }
        plan = node.plan(of, &plan.id, WAIT_SECONDS).await?;
    }
}

/// The step that is being done, and how far it is.
fn far(plan: &PlanInfo) -> String {
    let open = |step: &&StepInfo| step.state == StepState::Running;
    let steps: Vec<String> = plan.steps.iter().filter(open).map(told).collect();
    format!("{} {}: {}", plan.name, plan.state.as_str(), steps.join(", "))
}

fn told(step: &StepInfo) -> String {
    let runs = step.runs.map_or_else(|| "?".to_owned(), |runs| runs.to_string());
    let reused = if step.reused == 0 { String::new() } else { format!(", {} kept", step.reused) };
    format!("{} {}/{runs}{reused}", step.name, step.done)
}

fn read(file: &Path) -> anyhow::Result<PlanSpec> {
    let named = || format!("reading {}", file.display());
    let size = std::fs::metadata(file).with_context(named)?.len();
    if size > FILE_BYTES_MAX {
        let what =
            format!("{} has {size} bytes, and a plan at most {FILE_BYTES_MAX}", file.display());
        return Err(Usage(what).into());
    }
    let text = std::fs::read_to_string(file).with_context(named)?;
    let spec = PlanSpec::from_toml(&text).with_context(named)?;
    spec.order().with_context(named)?;
    Ok(spec)
}

fn show(context: &Context, plan: &PlanInfo) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(plan);
    }
    let PlanInfo { id, project, name, state, what, made_ms, ended_ms, .. } = plan;
    let took = ended_ms.map(|end| format!("  {} ms", end.saturating_sub(*made_ms)));
    let (runs, done) = plan
        .steps
        .iter()
        .fold((0, 0), |(runs, done), step| (runs + step.runs.unwrap_or(0), done + step.done));
    let (took, what) = (took.unwrap_or_default(), shown(what));
    let state = state.as_str();
    output::line(&format!("@{project}/{name}  {id}  {state:<9}  {done}/{runs} runs{took}  {what}"))
}

fn show_step(step: &StepInfo) -> anyhow::Result<()> {
    let state = step.state.as_str();
    output::line(&format!("  {state:<9}  {}  by {}", told(step), step.function))
}
