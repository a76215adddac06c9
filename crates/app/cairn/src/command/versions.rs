use cairn_base::{ErrorKind, Reference, TagName};
use cairn_datasets::{Rules, Target, Version};
use serde::Serialize;

use crate::cli;
use crate::command::edit;
use crate::command::transfer::publisher;
use crate::context::{Context, dataset, tagged, target, version_reference};
use crate::exit::Usage;
use crate::output::{self, bytes, shown, time};

#[derive(Serialize)]
struct Line<'a> {
    tag: &'a str,
    current: bool,
    #[serde(flatten)]
    version: &'a Version,
}

pub(crate) async fn log(context: &Context, args: &cli::Log) -> anyhow::Result<()> {
    let reference = version_reference(&args.reference)?;
    let store = context.store(Some(&reference), false).await?;
    let tags = match &reference.tag {
        Some(_) => vec![store.tag(&target(&reference)).await?],
        None => store.tags(&dataset(&reference)).await?,
    };
    let mut lines: Vec<Line<'_>> = tags
        .iter()
        .flat_map(|tag| {
            let current = std::iter::once((true, &tag.current));
            current
                .chain(tag.history.iter().map(|version| (false, version)))
                .map(|(current, version)| Line { tag: &tag.tag, current, version })
        })
        .collect();
    // A tag's own order is how it moved: of two pushes at once the later one may have begun first.
    if tags.len() > 1 {
        lines.sort_by_key(|line| std::cmp::Reverse(line.version.time_ns));
    }
    for line in lines {
        if context.global.json {
            output::json(&line)?;
            continue;
        }
        let version = line.version;
        let name = if line.current { line.tag.to_owned() } else { format!("({})", line.tag) };
        let until =
            version.expires_ns.map(|at| format!("  until {}", time(at))).unwrap_or_default();
        let message =
            version.message.as_ref().map(|m| format!("  {}", shown(m))).unwrap_or_default();
        output::line(&format!(
            "{}  {:<20} {:>10} {:>9} files  stored {:>10}  {}  {}{until}{message}",
            time(version.time_ns),
            name,
            bytes(version.bytes),
            version.files,
            bytes(version.stored_bytes),
            &version.root.to_string()[..16],
            shown(&version.by),
        ))?;
    }
    Ok(())
}

pub(crate) async fn tag(context: &Context, args: &cli::Tag) -> anyhow::Result<()> {
    let (from, _) = tagged(&args.from)?;
    let (to, _) = tagged(&args.to)?;
    if from.host != to.host {
        return Err(Usage("both tags must be on one host".to_owned()).into());
    }
    let store = context.store(Some(&from), false).await?;
    let version = store.copy_tag(&target(&from), &target(&to), &publisher()).await?;
    if context.global.json {
        return output::json(&version);
    }
    let (from, to) = (target(&from), target(&to));
    output::line(&format!("{to} is {from}: {}", &version.root.to_string()[..16]))
}

pub(crate) async fn rm(context: &Context, args: &cli::Rm) -> anyhow::Result<()> {
    let reference: Reference = args.reference.parse()?;
    if !reference.path.is_empty() {
        return edit::remove(context, &reference).await;
    }
    let store = context.store(Some(&reference), false).await?;
    let name = dataset(&reference);
    let targets: Vec<Target> = match &reference.tag {
        Some(tag) => vec![Target { dataset: name.clone(), tag: tag.clone() }],
        None => {
            let tags = store.tags(&name).await?;
            if !args.yes {
                let count = tags.len();
                let what = format!("{name} has {count} tags; give --yes to remove them all");
                return Err(Usage(what).into());
            }
            let tags = tags.iter().map(|tag| tag.tag.parse::<TagName>());
            tags.map(|tag| Ok(Target { dataset: name.clone(), tag: tag? }))
                .collect::<Result<_, cairn_base::name::Error>>()?
        }
    };
    for target in &targets {
        store.remove(target).await?;
        if context.global.json {
            output::json(&serde_json::json!({"removed": target.to_string()}))?;
        } else {
            output::line(&format!("removed {target}"))?;
        }
    }
    Ok(())
}

pub(crate) async fn retain(context: &Context, args: &cli::Retain) -> anyhow::Result<()> {
    let reference = version_reference(&args.reference)?;
    let store = context.store(Some(&reference), false).await?;
    let name = dataset(&reference);
    let changes = args.history_keep.is_some()
        || [&args.history_age, &args.tags_keep, &args.tags_age].into_iter().any(Option::is_some);
    let mut rules = match store.rules(&name).await {
        // Rules that cannot be read can still be replaced.
        Err(error) if changes && error.kind() == ErrorKind::Corrupt => {
            output::note(&format!("{error}; starting from the default rules"));
            Rules::default()
        }
        read => read?,
    };
    if let Some(count) = args.history_keep {
        rules.history_keep = count;
    }
    if let Some(age) = &args.history_age {
        rules.history_seconds = output::age(age)?;
    }
    match args.tags_keep.as_deref() {
        None => {}
        Some("all") => rules.tags_keep = None,
        Some(count) => {
            let wrong = || Usage(format!("{count:?} is no number of tags; write a number or all"));
            rules.tags_keep = Some(count.parse().map_err(|_| wrong())?);
        }
    }
    match args.tags_age.as_deref() {
        None => {}
        Some("any") => rules.tags_seconds = None,
        Some(age) => rules.tags_seconds = Some(output::age(age)?),
    }
    if changes {
        store.set_rules(&name, &rules).await?;
    }
    if context.global.json {
        return output::json(&rules);
    }
    show(&rules)
}

fn show(rules: &Rules) -> anyhow::Result<()> {
    let days = |seconds: u64| format!("{:.1} days", seconds as f64 / 86_400.0);
    output::line(&format!(
        "superseded versions: the last {} of each tag, and all younger than {}",
        rules.history_keep,
        days(rules.history_seconds)
    ))?;
    let tags = match (rules.tags_keep, rules.tags_seconds) {
        (None, None) => "all".to_owned(),
        (keep, age) => {
            let keep = keep.map(|count| format!("the last {count}"));
            let age = age.map(|seconds| format!("all younger than {}", days(seconds)));
            keep.into_iter().chain(age).collect::<Vec<_>>().join(", and ")
        }
    };
    output::line(&format!("tags: {tags}"))
}
