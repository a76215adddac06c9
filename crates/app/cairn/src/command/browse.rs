use std::ffi::OsStr;

use cairn_base::{ProjectName, Reference};
use cairn_datasets::{Browser, Change, ChangeKind, Dataset, Listed, Node};
use cairn_tree::Kind;

use crate::cli;
use crate::context::{Context, dataset, path_reference, tagged, version_reference};
use crate::exit::Usage;
use crate::output::{self, bytes, shown, time};

pub(crate) async fn ls(context: &Context, args: &cli::Ls) -> anyhow::Result<()> {
    let Some(text) = &args.reference else {
        return datasets(context, &ProjectName::default()).await;
    };
    if let Some(project) = whole_project(text) {
        return datasets(context, &project?).await;
    }
    let (reference, path) = path_reference(text)?;
    if reference.tag.is_none() && path.is_empty() && !args.recursive {
        return tags(context, &reference).await;
    }
    let mut browser = context.browser(&reference).await?;
    if args.recursive {
        browser = browser.reading_ahead(false);
    }
    let (_, root) = browser.open(&reference.tag_or_latest()).await?;
    let top = browser.at(&root, &path).await?;
    let json = context.global.json;
    let path = path.join(&b'/');
    if !matches!(top.kind, Kind::Directory { .. }) {
        return entry(&Listed { path, entry: top }, args.long, json);
    }
    browser
        .walk(&top, &path, &mut |listed: &Listed| {
            entry(listed, args.long, json).map_err(Failed)?;
            Ok::<bool, Failed>(args.recursive)
        })
        .await
        .map_err(|failed| failed.0)
}

/// `@PROJECT`, without a dataset.
fn whole_project(text: &OsStr) -> Option<Result<ProjectName, cairn_base::name::Error>> {
    let project = text.to_str()?.strip_prefix('@')?;
    let project = project.strip_suffix('/').unwrap_or(project);
    (!project.contains('/')).then(|| project.parse())
}

/// What a visitor failed with.
struct Failed(anyhow::Error);

impl From<cairn_datasets::Error> for Failed {
    fn from(error: cairn_datasets::Error) -> Self {
        Self(error.into())
    }
}

fn entry(listed: &Listed, long: bool, json: bool) -> anyhow::Result<()> {
    let node = listed.node();
    if json {
        return output::json(&node);
    }
    let slash = if node.kind == "directory" { "/" } else { "" };
    let path = format!("{}{slash}", shown(&node.path));
    if !long {
        return output::line(&path);
    }
    let target = node.target.as_ref().map(|to| format!(" -> {}", shown(to))).unwrap_or_default();
    let Node { mode, uid, gid, size, mtime, .. } = &node;
    let kind = match node.kind {
        "directory" => 'd',
        "symlink" => 'l',
        _ => '-',
    };
    let when = time(mtime.saturating_mul(1_000_000_000));
    output::line(&format!("{kind}{mode:04o} {uid:>5} {gid:>5} {size:>12} {when} {path}{target}"))
}

async fn datasets(context: &Context, project: &ProjectName) -> anyhow::Result<()> {
    let store = context.store(None, false).await?;
    for summary in store.list(project).await? {
        if context.global.json {
            output::json(&summary)?;
        } else {
            let dataset = Dataset { project: project.clone(), name: summary.name.parse()? };
            output::line(&format!(
                "{:<24} {:>10} {:>9} files  {}  {}",
                dataset.to_string(),
                bytes(summary.newest.bytes),
                summary.newest.files,
                time(summary.newest.time_ns),
                summary.tags.join(" "),
            ))?;
        }
    }
    Ok(())
}

async fn tags(context: &Context, reference: &Reference) -> anyhow::Result<()> {
    let store = context.store(Some(reference), false).await?;
    let mut tags = store.tags(&dataset(reference)).await?;
    tags.sort_by_key(|tag| std::cmp::Reverse(tag.current.time_ns));
    for tag in tags {
        if context.global.json {
            output::json(&tag)?;
            continue;
        }
        let version = &tag.current;
        output::line(&format!(
            "{:<24} {:>10} {:>9} files  {}  {}",
            tag.tag,
            bytes(version.bytes),
            version.files,
            time(version.time_ns),
            &version.root.to_string()[..16],
        ))?;
    }
    Ok(())
}

pub(crate) async fn cat(context: &Context, args: &cli::Cat) -> anyhow::Result<()> {
    let (reference, path) = path_reference(&args.reference)?;
    if path.is_empty() {
        let text = args.reference.to_string_lossy();
        return Err(Usage(format!("{text:?} has no path; write {text}/PATH")).into());
    }
    let browser = context.browser(&reference).await?;
    let (_, root) = browser.open(&reference.tag_or_latest()).await?;
    let (_, content) = browser.file_at(&root, &path).await?;
    let start = args.offset.min(content.len);
    let end =
        args.length.map_or(content.len, |length| start.saturating_add(length).min(content.len));
    let mut stream = browser.content(&content, start..end).await?;
    while let Some(piece) = stream.next().await? {
        output::data(&piece)?;
    }
    Ok(())
}

pub(crate) async fn diff(context: &Context, args: &cli::Diff) -> anyhow::Result<()> {
    let (Some(old), Some(new)) = (&args.old, &args.new) else {
        return super::apply::diff(context, &args.file).await;
    };
    let (old, old_tag) = tagged(old)?;
    let (new, new_tag) = tagged(new)?;
    if old.host != new.host || old.project != new.project {
        return Err(Usage("both versions must be in one project of one host".to_owned()).into());
    }
    let before = context.browser(&old).await?;
    let after = Browser::new(std::sync::Arc::clone(before.store()), dataset(&new));
    let (_, old_root) = before.open(&old_tag).await?;
    let (_, new_root) = after.open(&new_tag).await?;
    let json = context.global.json;
    after
        .diff(&old_root, &new_root, &mut |change| show_change(change, json).map_err(Failed))
        .await
        .map_err(|failed| failed.0)
}

fn show_change(change: &Change, json: bool) -> anyhow::Result<()> {
    let changed = change.changed();
    if json {
        return output::json(&changed);
    }
    let sign = match change.kind {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Modified => 'M',
        ChangeKind::Attributes => 'a',
    };
    let either = changed.new.as_ref().or(changed.old.as_ref());
    let slash = if either.is_some_and(|node| node.kind == "directory") { "/" } else { "" };
    output::line(&format!("{sign} {}{slash}", shown(&changed.path)))
}

pub(crate) async fn stat(context: &Context, args: &cli::Stat) -> anyhow::Result<()> {
    let reference = version_reference(&args.reference)?;
    let browser = context.browser(&reference).await?.reading_ahead(false);
    let tag = reference.tag_or_latest();
    let against = args.against.as_deref().map(str::parse).transpose()?;
    let performance = cairn_datasets::stat(&browser, &tag, against.as_ref()).await?;
    if context.global.json {
        return output::json(&performance);
    }
    let whole = performance.reused_bytes + performance.repeated_bytes + performance.new_bytes;
    let percent = |part: u64| part * 100 / whole.max(1);
    output::line(&format!("{}:{}", dataset(&reference), tag))?;
    output::line(&format!("  root      {}", performance.version.root))?;
    output::line(&format!(
        "  published {} by {}",
        time(performance.version.time_ns),
        shown(&performance.version.by)
    ))?;
    output::line(&format!(
        "  content   {} in {} files",
        bytes(performance.bytes),
        performance.version.files
    ))?;
    for (name, part) in [
        ("reused", performance.reused_bytes),
        ("repeated", performance.repeated_bytes),
        ("new", performance.new_bytes),
    ] {
        output::line(&format!("  {name:<9} {} ({} %)", bytes(part), percent(part)))?;
    }
    output::line(&format!("  stored    {}", bytes(performance.version.stored_bytes)))?;
    if performance.archives_opened > 0 {
        output::line(&format!("  archives  {} opened", performance.archives_opened))?;
    }
    for (title, shares) in
        [("new bytes by file", &performance.files), ("by type", &performance.types)]
    {
        if !shares.is_empty() {
            output::line(&format!("  {title}"))?;
        }
        for share in shares {
            let new = bytes(share.new_bytes);
            output::line(&format!(
                "    {new:>10} of {:>10}  {}",
                bytes(share.bytes),
                shown(&share.name)
            ))?;
        }
    }
    for advice in &performance.advice {
        output::line(&format!("  advice: {advice}"))?;
    }
    Ok(())
}
