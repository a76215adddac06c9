//! Schedules of functions of a node.

use cairn_functions::{Missed, Run, ScheduleInfo};
use cairn_http::api::AddSchedule;
use serde_json::json;

use super::functions::{done, named, project_named};
use crate::cli;
use crate::context::Context;
use crate::output::{self, shown};

const NS_PER_MS: u64 = 1_000_000;

pub(crate) async fn cron(context: &Context, args: &cli::Cron) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::Cron::Add(args) => {
            let asked = AddSchedule {
                name: Some(args.name.clone()),
                schedule: args.schedule.clone(),
                zone: Some(args.zone.clone()),
                missed: Some(serde_json::from_value::<Missed>(json!(args.missed))?),
                path: Some(args.path.clone()),
                arguments: args.arguments.clone(),
            };
            show(context, &node.add_schedule(&named(&args.function)?, &asked).await?)
        }
        cli::Cron::Ls { project } => {
            let schedules = node.schedules(&project_named(project)?).await?;
            schedules.iter().try_for_each(|schedule| show(context, schedule))
        }
        cli::Cron::Rm { function, name } => {
            node.remove_schedule(&named(function)?, name).await?;
            done(context, "removed", name)
        }
        cli::Cron::History { function, name } => {
            let runs = node.runs(&named(function)?, name).await?;
            runs.iter().try_for_each(|run| show_run(context, run))
        }
    }
}

fn show(context: &Context, schedule: &ScheduleInfo) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(schedule);
    }
    let ScheduleInfo { name, project, function, plan, next_ms, running, .. } = schedule;
    let next = match next_ms {
        _ if *running => "runs now".to_owned(),
        Some(ms) => format!("next {}", time(*ms)),
        None => "never again".to_owned(),
    };
    let (when, zone) = (shown(&plan.schedule), shown(&plan.zone));
    output::line(&format!("@{project}/{function}  {name}  {when} {zone}  {next}"))
}

fn show_run(context: &Context, run: &Run) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(run);
    }
    let (at, outcome, what) = (time(run.tick_ms), run.outcome.as_str(), shown(&run.what));
    let took = run.ended_ms.saturating_sub(run.began_ms);
    let again = if run.attempt > 1 { format!("  attempt {}", run.attempt) } else { String::new() };
    output::line(&format!("{at}  {outcome:<6}  {took:>6} ms  {what}{again}"))
}

fn time(ms: u64) -> String {
    output::time(i64::try_from(ms.saturating_mul(NS_PER_MS)).unwrap_or(i64::MAX))
}
