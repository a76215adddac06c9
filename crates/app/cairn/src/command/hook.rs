//! Webhooks of a node's datasets.

use cairn_datasets::{Dataset, Hook};
use cairn_http::api::CreateHook;

use crate::cli;
use crate::context::{Context, dataset, version_reference};
use crate::exit::Usage;
use crate::output::{self, shown, time};

pub(crate) async fn hook(context: &Context, args: &cli::Hook) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::Hook::Add { dataset, address, tags } => {
            let hook = CreateHook { url: address.clone(), tags: Some(tags.clone()) };
            let made = node.create_hook(&named(dataset)?, &hook).await?;
            if context.global.json {
                return output::json(&made);
            }
            output::line(&made.secret)?;
            let id = &made.hook.id;
            output::note(&format!(
                "the secret of hook {id} is shown once; receivers check with it"
            ));
            Ok(())
        }
        cli::Hook::Ls { dataset } => {
            for hook in node.hooks(&named(dataset)?).await?.hooks {
                show(context, &hook)?;
            }
            Ok(())
        }
        cli::Hook::Rm { dataset, id } => {
            node.remove_hook(&named(dataset)?, id).await?;
            done(context, "removed", id)
        }
        cli::Hook::Test { dataset, id } => {
            node.test_hook(&named(dataset)?, id).await?;
            done(context, "delivered", id)
        }
    }
}

fn named(text: &str) -> anyhow::Result<Dataset> {
    let reference = version_reference(text)?;
    if reference.tag.is_some() {
        let what = format!("{text:?} names a tag; a hook is of a dataset, and --tags names tags");
        return Err(Usage(what).into());
    }
    Ok(dataset(&reference))
}

fn show(context: &Context, hook: &Hook) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(hook);
    }
    let state = match (&hook.error, hook.next_try_ns) {
        (None, _) => "ok".to_owned(),
        (Some(error), next) => {
            let next = next.map(|at| format!(", again {}", time(at))).unwrap_or_default();
            format!("{} failures{next}: {}", hook.failures, shown(error))
        }
    };
    output::line(&format!("{}  {:<12} {}  {state}", hook.id, hook.tags, shown(&hook.url)))
}

fn done(context: &Context, what: &str, id: &str) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(&serde_json::json!({ what: id }));
    }
    output::line(&format!("{what} {id}"))
}
