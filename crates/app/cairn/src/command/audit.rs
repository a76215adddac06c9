//! Who did what, and that nobody changed what is told of it.

use std::pin::Pin;
use std::process::ExitCode;

use cairn_audit::{Filter, Line, Log, Outcome, Verify};
use cairn_http::api::{AuditEntry, AuditLine, AuditVerified, AuditVerify};
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use crate::cli::{self, AuditCommand, AuditRead};
use crate::context::{Context, Place};
use crate::exit::Usage;
use crate::output::{self, shown, time};

const NS_PER_MS: i64 = 1_000_000;
/// The exit code for damage, as for any error of the kind corrupt.
const DAMAGED: u8 = 7;

type Lines = Pin<Box<dyn Stream<Item = anyhow::Result<AuditLine>>>>;

pub(crate) async fn audit(context: &Context, args: &cli::Audit) -> anyhow::Result<ExitCode> {
    match &args.command {
        Some(_) if args.read != AuditRead::default() => {
            let what = "the log is verified as a whole: leave out what chooses lines of it";
            Err(Usage(what.to_owned()).into())
        }
        Some(AuditCommand::Verify(args)) => verify(context, args).await,
        None => {
            let mut lines = match context.place()? {
                Place::Node { .. } => from_node(context, &args.read).await?,
                Place::Bucket(_) => from_bucket(context, &args.read).await?,
            };
            while let Some(line) = lines.try_next().await? {
                show(context, &line)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The moment of an age, in milliseconds since 1970.
fn moment(context: &Context, age: Option<&str>) -> anyhow::Result<Option<i64>> {
    let Some(seconds) = age.map(output::age).transpose()? else { return Ok(None) };
    let back = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let now = context.env.clock.wall_ns().div_euclid(NS_PER_MS);
    Ok(Some(now.saturating_sub(back).max(0)))
}

async fn from_node(context: &Context, args: &AuditRead) -> anyhow::Result<Lines> {
    let text = |number: Option<i64>| number.map(|number| number.to_string());
    let given = [
        ("caller", args.caller.clone()),
        ("action", args.action.clone()),
        ("resource", args.resource.clone()),
        ("door", args.door.clone()),
        ("outcome", args.outcome.clone()),
        ("since", text(moment(context, args.since.as_deref())?)),
        ("until", text(moment(context, args.until.as_deref())?)),
        ("after", args.after.map(|seq| seq.to_string())),
        ("follow", args.follow.then(|| "true".to_owned())),
    ];
    let query: Vec<(&str, &str)> =
        given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let lines = context.node()?.audit(&query).await?;
    Ok(lines.map_err(anyhow::Error::from).boxed_local())
}

async fn log(context: &Context) -> anyhow::Result<Log> {
    Ok(cairn_node::audit_log(&context.datasets(false).await?, &context.env))
}

async fn from_bucket(context: &Context, args: &AuditRead) -> anyhow::Result<Lines> {
    let filter = Filter {
        caller: args.caller.clone(),
        action: args.action.clone(),
        resource: args.resource.clone(),
        door: args.door.clone(),
        outcome: args.outcome.as_deref().map(str::parse::<Outcome>).transpose()?,
        since_ms: moment(context, args.since.as_deref())?,
        until_ms: moment(context, args.until.as_deref())?,
    };
    let (log, after) = (log(context).await?, args.after.unwrap_or(0));
    let batches = if args.follow {
        log.follow(after, filter).await?.boxed()
    } else {
        log.read(after, filter).await?.boxed()
    };
    let lines = batches
        .map_ok(|batch| futures::stream::iter(batch.lines.into_iter().map(|line| as_told(&line))));
    Ok(lines.map_err(anyhow::Error::from).try_flatten().boxed_local())
}

/// A line of the log as a node would tell it: one document, whoever read it.
fn as_told(line: &Line) -> anyhow::Result<AuditLine> {
    Ok(serde_json::from_value(serde_json::to_value(line)?)?)
}

fn show(context: &Context, line: &AuditLine) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(line);
    }
    match line {
        AuditLine::Entry(entry) => output::line(&told(entry)),
        AuditLine::Gap(gap) => {
            output::line(&format!("segment {} cannot be read: {}", gap.seq, shown(&gap.gap)))
        }
    }
}

fn told(entry: &AuditEntry) -> String {
    let words = |texts: &[&str]| {
        let texts = texts.iter().filter(|text| !text.is_empty()).copied();
        shown(&texts.collect::<Vec<_>>().join(" "))
    };
    let who = if entry.caller.is_empty() { "-" } else { &entry.caller };
    let times = if entry.count > 1 { format!(" ({} times)", entry.count) } else { String::new() };
    let (at, outcome) = (time(entry.time_ms.saturating_mul(NS_PER_MS)), &entry.outcome);
    let (who, what) = (shown(who), words(&[&entry.action, &entry.resource]));
    let place = words(&[&entry.door, &entry.peer, &entry.credential]);
    let detail = match entry.outcome.as_str() {
        "allowed" if !entry.detail.is_empty() => format!("by grant {}", shown(&entry.detail)),
        _ => shown(&entry.detail),
    };
    let line = format!("{at}  {outcome:<7}  {who:<12}  {what}{times}  {place}  {detail}");
    line.trim_end().to_owned()
}

async fn verify(context: &Context, args: &cli::AuditVerify) -> anyhow::Result<ExitCode> {
    let verified: AuditVerified = match context.place()? {
        Place::Node { .. } => {
            let what = AuditVerify { head: args.head.clone(), from: args.from.clone() };
            context.node()?.audit_verify(&what, |_| {}).await?
        }
        Place::Bucket(_) => {
            let mark = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
            let what = Verify { from: mark(&args.from)?, head: mark(&args.head)? };
            let verified = log(context).await?.verify(what, |_| {}).await?;
            serde_json::from_value(serde_json::to_value(&verified)?)?
        }
    };
    let damaged = !verified.findings.is_empty();
    if context.global.json {
        output::json(&verified)?;
    } else {
        show_verified(&verified)?;
    }
    Ok(if damaged { ExitCode::from(DAMAGED) } else { ExitCode::SUCCESS })
}

fn show_verified(verified: &AuditVerified) -> anyhow::Result<()> {
    output::line(&format!("{} segments, {} records", verified.segments, verified.records))?;
    for finding in &verified.findings {
        let (kind, detail) = (finding.kind.replace('_', " "), shown(&finding.detail));
        output::line(&format!("{}: segment {}: {detail}", shown(&kind), finding.seq))?;
    }
    if verified.findings_left_out > 0 {
        output::line(&format!("and {} more", verified.findings_left_out))?;
    }
    if verified.findings.is_empty() {
        output::line("the log is as it was written")?;
    }
    match &verified.head {
        Some(head) => output::line(&format!("head {}", shown(head))),
        None => Ok(()),
    }
}
