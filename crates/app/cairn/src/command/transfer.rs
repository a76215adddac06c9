use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cairn_base::ErrorKind;

use cairn_datasets::{Meter, PullOptions, PushOptions, Pushed, Source, Target, Version};

use crate::cli;
use crate::context::{Context, cache_dir, state_dir, target, version_reference};
use crate::exit::{self, PARTIAL, Usage};
use crate::output::{self, bytes, shown};
use crate::progress::Progress;

const NS_PER_S: i64 = 1_000_000_000;

pub(crate) async fn push(context: &Context, args: &cli::Push) -> anyhow::Result<ExitCode> {
    let references = args
        .targets
        .iter()
        .map(|text| version_reference(text))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let host = references[0].host.clone();
    if references.iter().any(|reference| reference.host != host) {
        return Err(Usage("one push goes to one host; push once for each".to_owned()).into());
    }
    let source = source(args)?;
    let store = context.store(references.first(), true).await?;
    let targets: Vec<Target> = references.iter().map(target).collect();
    let meter = Arc::new(Meter::default());
    let options = PushOptions {
        by: publisher(),
        message: args.message.clone(),
        expires_ns: expiry(context, args.expire.as_deref())?,
        level: args.level,
        open_archives: !args.keep_archives,
        cache_dir: cache_dir().filter(|_| !args.rescan),
        meter: Arc::clone(&meter),
    };
    let mut progress = Progress::start("pushing", &meter, context.global.quiet);
    if let Source::Path(path) = &source {
        progress = progress.expecting(path, &meter);
    }
    let pushed = cairn_datasets::push(&store, &source, &targets, &options).await;
    drop(progress);
    report(context, &pushed?, &targets)
}

/// What to push. It is looked at before the bucket is, which a push would prepare.
fn source(args: &cli::Push) -> anyhow::Result<Source> {
    let stdin = args.source == Path::new("-");
    if !stdin {
        let path = std::path::absolute(&args.source)?;
        std::fs::metadata(&path).with_context(|| format!("cannot push {}", path.display()))?;
    }
    Ok(match (args.unpack, stdin) {
        (true, _) => Source::Unpack(args.source.clone()),
        (false, true) => Source::Stdin(args.stdin_name.clone()),
        (false, false) => Source::Path(args.source.clone()),
    })
}

/// Who pushes into a bucket directly: the user of this machine. A node puts in who it authenticated.
pub(crate) fn publisher() -> String {
    std::env::var("USER")
        .ok()
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

fn expiry(context: &Context, age: Option<&str>) -> anyhow::Result<Option<i64>> {
    let Some(age) = age else { return Ok(None) };
    let seconds = i64::try_from(output::age(age)?).unwrap_or(i64::MAX);
    Ok(Some(context.env.clock.wall_ns().saturating_add(seconds.saturating_mul(NS_PER_S))))
}

fn report(context: &Context, pushed: &Pushed, targets: &[Target]) -> anyhow::Result<ExitCode> {
    if context.global.json {
        output::json(pushed)?;
    } else {
        let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
        output::line(&format!(
            "{}: {} files, {}; {} new, {} stored; {}",
            names.join(", "),
            pushed.version.files,
            bytes(pushed.version.bytes),
            bytes(pushed.new_bytes),
            bytes(pushed.stored_bytes),
            &pushed.version.root.to_string()[..16],
        ))?;
    }
    for skipped in &pushed.skipped {
        output::note(&format!("left out {}: {}", shown(&skipped.path), skipped.why));
    }
    for path in &pushed.unstable {
        output::note(&format!("{} kept changing while it was read", shown(path)));
    }
    let whole = pushed.skipped.is_empty() && pushed.unstable.is_empty();
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) })
}

pub(crate) async fn pull(context: &Context, args: &cli::Pull) -> anyhow::Result<()> {
    let reference = version_reference(&args.source)?;
    let every = Duration::from_secs(output::age(&args.every)?.max(1));
    let store = context.store(Some(&reference), false).await?;
    let target = target(&reference);
    refuse_a_bucket(&args.destination)?;
    let first = pull_once(context, args, &store, &target).await?;
    let done = run_after(args, &target, &first).await;
    if !args.follow {
        return done;
    }
    note_failure(done);
    let mut last = first.clone();
    let mut follow = store.follow_from(&target, Some(first.id()));
    loop {
        match follow.next().await {
            Ok(None) => output::note(&format!("{target} was removed; waiting for it")),
            Ok(Some(_)) => {
                while let Err(error) = switch(context, args, &store, &target, &mut last).await {
                    passing(error)?;
                    tokio::time::sleep(every).await;
                }
            }
            Err(error) => passing(error.into())?,
        }
    }
}

/// Pulls what the tag is now, unless that is what was pulled last.
async fn switch(
    context: &Context,
    args: &cli::Pull,
    store: &Arc<dyn cairn_datasets::Store>,
    target: &Target,
    last: &mut Version,
) -> anyhow::Result<()> {
    let now = match store.tag(target).await {
        Ok(tag) => tag.current.root,
        // Its removal is told next.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if now == last.root {
        return Ok(());
    }
    let pulled = pull_once(context, args, store, target).await?;
    *last = pulled.clone();
    note_failure(run_after(args, target, &pulled).await);
    Ok(())
}

/// Runs what `--exec` says, to its end.
async fn run_after(args: &cli::Pull, target: &Target, version: &Version) -> anyhow::Result<()> {
    let Some(line) = args.exec.clone() else { return Ok(()) };
    let mut command = std::process::Command::new("sh");
    command
        .arg("-c")
        .arg(&line)
        .env("CAIRN_REF", target.to_string())
        .env("CAIRN_VERSION", version.root.to_string())
        .env("CAIRN_PATH", std::path::absolute(&args.destination)?)
        .stdin(std::process::Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.status()).await?;
    let ended = ended.with_context(|| format!("cannot run {line:?}"))?;
    anyhow::ensure!(ended.success(), "{line:?} ended with {ended}");
    Ok(())
}

fn note_failure(done: anyhow::Result<()>) {
    if let Err(error) = done {
        output::note(&exit::message(&error));
    }
}

/// Says what went wrong when it may be otherwise the next time; else it is an error.
fn passing(error: anyhow::Error) -> anyhow::Result<()> {
    if !passes(&error) {
        return Err(error);
    }
    output::note(&format!("{}; looking again", exit::message(&error)));
    Ok(())
}

/// What may be otherwise the next time, so that who follows a tag waits for it: a store that does not
/// answer, and a tag that was removed.
fn passes(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<cairn_datasets::Error>().map(cairn_datasets::Error::kind);
    matches!(kind, Some(ErrorKind::Retry | ErrorKind::Closed | ErrorKind::NotFound))
}

/// Files pulled into a bucket's directory would become objects, and `--delete` would delete packs.
fn refuse_a_bucket(destination: &Path) -> anyhow::Result<()> {
    if destination.join(cairn_bucket::RESERVED).is_dir() {
        let place = destination.display();
        return Err(Usage(format!("{place} is a bucket; pull into another directory")).into());
    }
    Ok(())
}

async fn pull_once(
    context: &Context,
    args: &cli::Pull,
    store: &Arc<dyn cairn_datasets::Store>,
    target: &Target,
) -> anyhow::Result<Version> {
    let meter = Arc::new(Meter::default());
    let options = PullOptions {
        force: args.force,
        delete: args.delete,
        state_dir: state_dir(),
        meter: Arc::clone(&meter),
    };
    let progress = Progress::start("pulling", &meter, context.global.quiet);
    let destination = &args.destination;
    let pulled = if args.switch {
        cairn_datasets::pull_switch(store, target, destination, &options).await
    } else {
        cairn_datasets::pull(store, target, destination, &options).await
    };
    drop(progress);
    let pulled = pulled?;
    for warning in &pulled.warnings {
        output::note(&shown(warning));
    }
    if context.global.json {
        output::json(&pulled)?;
        return Ok(pulled.version);
    }
    let deleted = match pulled.deleted {
        0 => String::new(),
        count => format!(", {count} deleted"),
    };
    output::line(&format!(
        "{target} -> {}: {} files written, {} kept{deleted}; {} fetched, {} reused",
        destination.display(),
        pulled.files_written,
        pulled.files_kept,
        bytes(pulled.fetched_bytes),
        bytes(pulled.reused_bytes),
    ))?;
    Ok(pulled.version)
}
