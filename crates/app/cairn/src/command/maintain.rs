use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cairn_blocks::{Blocks, Options};
use cairn_datasets::{CollectOptions, Meter};
use cairn_http::api::{Collect, Collected, Verified};

use crate::cli;
use crate::context::{Context, Place};
use crate::exit::Usage;
use crate::output::{self, bytes, shown};
use crate::progress::Progress;

/// The exit code for damage, as for any error of the kind corrupt.
const DAMAGED: u8 = 7;

pub(crate) async fn init(context: &Context, args: &cli::Init) -> anyhow::Result<()> {
    let secret = context.secret()?;
    if args.encrypt && secret.is_none() {
        let what =
            "--encrypt needs a passphrase (CAIRN_PASSPHRASE, --passphrase-file) or --key-file";
        return Err(Usage(what.to_owned()).into());
    }
    if !args.encrypt && secret.is_some() {
        let what = "a passphrase or key file was given without --encrypt; say which you want";
        return Err(Usage(what.to_owned()).into());
    }
    let bucket = context.bucket(true).await?;
    let blocks = Blocks::init(bucket, secret.as_ref(), Options::default(), &context.env).await?;
    let url = blocks.bucket().url();
    if context.global.json {
        let encrypted = blocks.is_encrypted();
        return output::json(&serde_json::json!({
            "bucket": url, "id": blocks.id(), "encrypted": encrypted,
        }));
    }
    let how = if blocks.is_encrypted() {
        "encrypted; without its passphrase or key file nothing in it can be read"
    } else {
        "not encrypted"
    };
    output::line(&format!("{url} is a Cairn bucket now, {how}"))
}

pub(crate) async fn verify(context: &Context, args: &cli::Verify) -> anyhow::Result<ExitCode> {
    let meter = Arc::new(Meter::default());
    let progress = Progress::start("verifying", &meter, context.global.quiet);
    let seen = Arc::clone(&meter);
    let count = move |read: u64| seen.bytes.add(read.saturating_sub(seen.bytes.get()));
    let verified: Verified = match context.place()? {
        Place::Node { .. } => context.node()?.verify(count).await?,
        Place::Bucket(_) => {
            let datasets = context.datasets(false).await?;
            as_told(&datasets.verify(Arc::new(count)).await?)?
        }
    };
    drop(progress);
    if let Some(file) = &args.repair_report {
        let report = serde_json::to_vec_pretty(&verified)?;
        std::fs::write(file, report).with_context(|| format!("writing {}", file.display()))?;
    }
    if context.global.json {
        output::json(&verified)?;
    } else {
        show(&verified)?;
    }
    Ok(if verified.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

/// A report of the engine as a node would tell it: one document, whoever made it.
fn as_told<T: serde::de::DeserializeOwned>(report: &impl serde::Serialize) -> anyhow::Result<T> {
    Ok(serde_json::from_value(serde_json::to_value(report)?)?)
}

fn show(verified: &Verified) -> anyhow::Result<()> {
    output::line(&format!(
        "{} packs, {} frames, {} chunks, {} read; {} versions with {} references",
        verified.packs,
        verified.frames,
        verified.chunks,
        bytes(verified.bytes),
        verified.versions,
        verified.references,
    ))?;
    for finding in &verified.findings {
        output::line(&format!(
            "damaged: {} at byte {}: {} ({} chunks)",
            shown(&finding.object),
            finding.offset,
            shown(&finding.detail),
            finding.chunks
        ))?;
    }
    match (verified.findings.len(), verified.findings_left_out) {
        (0, _) => output::line("all is as it should be"),
        (_, 0) => Ok(()),
        (_, more) => output::line(&format!("and {more} more")),
    }
}

pub(crate) async fn gc(context: &Context, args: &cli::Gc) -> anyhow::Result<()> {
    let grace = output::age(&args.grace)?;
    let collected: Collected = match context.place()? {
        Place::Node { .. } => {
            let how = Collect { grace_seconds: Some(grace), dry_run: args.dry_run };
            context.node()?.collect(&how).await?
        }
        Place::Bucket(_) => {
            let options = CollectOptions {
                grace: Duration::from_secs(grace),
                dry_run: args.dry_run,
                ..CollectOptions::default()
            };
            as_told(&context.datasets(false).await?.collect(options).await?)?
        }
    };
    if context.global.json {
        return output::json(&collected);
    }
    let would = if args.dry_run { "would be " } else { "" };
    output::line(&format!(
        "{} versions reach {} of {} chunks, {} of {}",
        collected.versions,
        collected.chunks_live,
        collected.chunks,
        bytes(collected.bytes_live),
        bytes(collected.bytes),
    ))?;
    output::line(&format!(
        "{would}removed: {} tags, {} superseded versions, {} packs, {} abandoned objects",
        collected.tags_removed,
        collected.versions_removed,
        collected.packs_deleted,
        collected.orphans_deleted,
    ))?;
    output::line(&format!(
        "{would}condemned: {} packs; rewritten: {}; needed again: {}",
        collected.packs_condemned, collected.packs_rewritten, collected.packs_rescued,
    ))
}
