//! Triggers of functions of a node.

use cairn_functions::{TriggerInfo, TriggerSpec};
use cairn_http::api::AddTrigger;

use super::functions::{done, named, project_named};
use crate::cli;
use crate::context::Context;
use crate::output::{self, shown};

pub(crate) async fn trigger(context: &Context, args: &cli::Trigger) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::Trigger::Add { function, namespace, prefix, name, path } => {
            let asked = AddTrigger {
                name: Some(name.clone()),
                namespace: namespace.clone(),
                prefix: Some(prefix.clone()),
                path: Some(path.clone()),
            };
            show(context, &node.add_trigger(&named(function)?, &asked).await?)
        }
        cli::Trigger::Ls { project } => {
            let triggers = node.triggers(&project_named(project)?).await?;
            triggers.iter().try_for_each(|trigger| show(context, trigger))
        }
        cli::Trigger::Rm { function, name } => {
            node.remove_trigger(&named(function)?, name).await?;
            done(context, "removed", name)
        }
    }
}

fn show(context: &Context, trigger: &TriggerInfo) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(trigger);
    }
    let TriggerInfo { name, project, function, spec, told, failures, error, .. } = trigger;
    let TriggerSpec { namespace, prefix, .. } = spec;
    let of = format!("{}/{}*", shown(namespace), shown(prefix));
    let state = match error {
        Some(error) => format!("failed {failures} times: {}", shown(error)),
        None => format!("told up to {told}"),
    };
    output::line(&format!("@{project}/{function}  {name}  {of}  {state}"))
}
