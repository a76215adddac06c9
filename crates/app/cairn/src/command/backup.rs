//! Backups of the bucket that a command works on.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_backup::{Backup, Backups, Error, Restored, Told, Which};
use cairn_blocks::{Blocks, Options};
use cairn_bucket::Bucket;
use cairn_datasets::{Datasets, Meter};
use cairn_node::Examined;
use serde_json::json;

use crate::cli::{self, Chosen};
use crate::context::{Context, bucket_url};
use crate::exit::Usage;
use crate::output::{self, bytes, shown, time};
use crate::progress::Progress;

/// The exit code for damage, as for any error of the kind corrupt.
const DAMAGED: u8 = 7;

pub(crate) async fn backup(context: &Context, args: &cli::Backup) -> anyhow::Result<ExitCode> {
    let datasets = context.datasets(false).await?;
    let backups = cairn_node::backups(&datasets);
    match args {
        cli::Backup::Create { note } => create(context, &backups, note).await?,
        cli::Backup::List => return list(context, &backups).await,
        cli::Backup::Verify(chosen) => return verify(context, &backups, chosen).await,
        cli::Backup::Restore { chosen, to } => restore(context, &backups, chosen, to).await?,
        cli::Backup::Drill { chosen, below } => {
            return drill(context, &backups, chosen, below.as_deref()).await;
        }
        cli::Backup::Rm { id } => rm(context, &backups, id).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(context: &Context, backups: &Backups, note: &str) -> anyhow::Result<()> {
    let made = backups.create(note, &untold()).await?;
    if context.global.json {
        return output::json(&document(&made));
    }
    output::line(&made.id)?;
    output::note(&told(&made));
    Ok(())
}

async fn list(context: &Context, backups: &Backups) -> anyhow::Result<ExitCode> {
    let listed = backups.list().await?;
    for backup in &listed.backups {
        if context.global.json {
            output::json(&document(backup))?;
        } else {
            let note = shown(&backup.note);
            output::line(format!("{}  {}  {note}", backup.id, told(backup)).trim_end())?;
        }
    }
    for id in &listed.begun {
        output::note(&format!(
            "{id} was begun and is not whole: it is being made, or `cairn backup rm {id}` removes it"
        ));
    }
    for (id, why) in &listed.damaged {
        output::note(&format!("{id} cannot be read: {}", shown(why)));
    }
    Ok(if listed.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

async fn verify(context: &Context, backups: &Backups, chosen: &Chosen) -> anyhow::Result<ExitCode> {
    let backup = backups.find(&which(context, chosen)?).await?;
    let checked = backups.check(&backup, &untold()).await?;
    if context.global.json {
        output::json(&json!({
            "id": backup.id,
            "records": checked.records,
            "objects": checked.objects,
            "versions": checked.versions,
            "findings": checked.findings,
        }))?;
    } else {
        output::line(&format!(
            "{}: {} records, {} objects of partitions, {} versions",
            backup.id, checked.records, checked.objects, checked.versions
        ))?;
        findings(&checked.findings)?;
    }
    Ok(ended(&checked.findings))
}

async fn restore(
    context: &Context,
    backups: &Backups,
    chosen: &Chosen,
    to: &str,
) -> anyhow::Result<()> {
    let backup = backups.find(&which(context, chosen)?).await?;
    let bucket = Bucket::open(&bucket_url(to)?, Default::default(), &context.env).await?;
    let copied = copy(context, backups, &backup, &bucket).await?;
    if context.global.json {
        return output::json(&json!({
            "id": backup.id,
            "bucket": bucket.url(),
            "objects": copied.objects,
            "bytes": copied.bytes,
        }));
    }
    output::line(&format!(
        "{} is the cluster of {} now: {} objects, {}",
        bucket.url(),
        time(backup.finished_ns),
        copied.objects,
        bytes(copied.bytes)
    ))
}

async fn copy(
    context: &Context,
    backups: &Backups,
    backup: &Backup,
    to: &Bucket,
) -> anyhow::Result<Restored> {
    let meter = Arc::new(Meter::default());
    let progress = Progress::start("restoring", &meter, context.global.quiet);
    let seen = Arc::clone(&meter);
    let count: Told = Arc::new(move |done, all| {
        seen.bytes.add(done.saturating_sub(seen.bytes.get()));
        seen.bytes_expected.add(all.saturating_sub(seen.bytes_expected.get()));
    });
    let copied = backups.restore(backup, to, count).await;
    drop(progress);
    Ok(copied?)
}

async fn drill(
    context: &Context,
    backups: &Backups,
    chosen: &Chosen,
    below: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let backup = backups.find(&which(context, chosen)?).await?;
    let place = scratch(below)?;
    let examined = rehearse(context, backups, &backup, place.path()).await;
    place.close().context("deleting the copy")?;
    let examined = examined?;
    if context.global.json {
        let mut document = serde_json::to_value(&examined)?;
        document["id"] = json!(backup.id);
        output::json(&document)?;
    } else {
        show_examined(&backup, &examined)?;
    }
    Ok(ended(&examined.findings))
}

fn scratch(below: Option<&Path>) -> anyhow::Result<tempfile::TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("cairn-drill-");
    let made = match below {
        Some(below) => named.tempdir_in(below),
        None => named.tempdir(),
    };
    made.with_context(|| "making a directory for the copy: choose another with --below")
}

async fn rehearse(
    context: &Context,
    backups: &Backups,
    backup: &Backup,
    place: &Path,
) -> anyhow::Result<Examined> {
    let url = bucket_url(&place.join("bucket").display().to_string())?;
    let bucket = Bucket::open(&url, Default::default(), &context.env).await?;
    copy(context, backups, backup, &bucket).await?;
    let secret = context.secret()?;
    let blocks = Blocks::open(bucket, secret.as_ref(), Options::default(), &context.env).await?;
    Ok(cairn_node::examine(&Datasets::new(blocks), &place.join("log")).await?)
}

async fn rm(context: &Context, backups: &Backups, id: &str) -> anyhow::Result<()> {
    let id = id.parse()?;
    if !backups.is_known(&id).await? {
        return Err(Error::Missing { which: id.to_string() }.into());
    }
    backups.remove(&id).await?;
    if context.global.json {
        return output::json(&json!({ "removed": id.to_string() }));
    }
    output::line(&format!("removed {id}"))
}

fn which(context: &Context, chosen: &Chosen) -> anyhow::Result<Which> {
    if let Some(id) = &chosen.id {
        return Ok(Which::Id(id.parse()?));
    }
    let Some(text) = &chosen.at else { return Ok(Which::Newest) };
    let moment = output::moment(text, context.env.clock.wall_ns()).ok_or_else(|| {
        let how = "write a time (2026-11-22T10:00:00Z) or how long ago (36h)";
        Usage(format!("{text:?} is no time; {how}"))
    })?;
    Ok(Which::At(moment))
}

fn untold() -> Told {
    Arc::new(|_, _| {})
}

fn document(backup: &Backup) -> serde_json::Value {
    json!({
        "id": backup.id,
        "note": backup.note,
        "started_ns": backup.started_ns,
        "finished_ns": backup.finished_ns,
        "tags": backup.tags,
        "versions": backup.versions,
        "partitions": backup.partitions.len(),
        "records": backup.records,
        "record_bytes": backup.record_bytes,
    })
}

fn told(backup: &Backup) -> String {
    let (tags, versions) = (backup.tags, backup.versions);
    let (partitions, own) = (backup.partitions.len(), bytes(backup.record_bytes));
    let at = time(backup.finished_ns);
    format!("{at}  {tags} tags, {versions} versions, {partitions} partitions, {own} of its own")
}

fn show_examined(backup: &Backup, examined: &Examined) -> anyhow::Result<()> {
    output::line(&format!(
        "{}: {} versions with {} chunks, {} partitions with {} entries and {} changes, {} segments of \
         the audit log",
        backup.id,
        examined.versions,
        examined.chunks,
        examined.partitions,
        examined.entries,
        examined.changes,
        examined.audit_segments,
    ))?;
    findings(&examined.findings)
}

fn findings(findings: &[String]) -> anyhow::Result<()> {
    for finding in findings {
        output::line(&format!("damaged: {}", shown(finding)))?;
    }
    if findings.is_empty() { output::line("all is as it should be") } else { Ok(()) }
}

fn ended(findings: &[String]) -> ExitCode {
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) }
}
