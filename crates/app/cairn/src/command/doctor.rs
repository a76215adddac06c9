//! `cairn doctor`: looks at what a command would need, and says what to do.

mod toolchains;

use std::process::ExitCode;
use std::time::Instant;

use cairn_base::ErrorKind;
use cairn_blocks::Blocks;
use cairn_datasets::Store as _;
use cairn_http::api::Level;
use cairn_worker::{Program, Workers};
use serde::Serialize;

use crate::context::{Context, cache_dir, state_dir};
use crate::output;
use crate::profile::Profiles;

/// The exit code when something is wrong.
const WRONG: u8 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Note,
    Wrong,
}

#[derive(Serialize)]
struct Finding {
    verdict: Verdict,
    what: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

struct Report(Vec<Finding>);

impl Report {
    fn good(&mut self, what: &str, detail: impl Into<String>) {
        self.add(Verdict::Good, what, detail.into(), "");
    }

    fn add(&mut self, verdict: Verdict, what: impl Into<String>, detail: String, advice: &str) {
        let what = what.into();
        let advice = (!advice.is_empty()).then(|| advice.to_owned());
        self.0.push(Finding { verdict, what, detail, advice });
    }
}

pub(crate) async fn doctor(context: &Context) -> anyhow::Result<ExitCode> {
    let mut report = Report(Vec::new());
    machine(&mut report);
    toolchains::report(&mut report);
    isolation(context, &mut report).await;
    match context.place()? {
        crate::context::Place::Bucket(_) => bucket(context, &mut report).await,
        crate::context::Place::Node { url, .. } => node(context, &url, &mut report).await,
    }
    for finding in &report.0 {
        if context.global.json {
            output::json(finding)?;
            continue;
        }
        let sign = match finding.verdict {
            Verdict::Good => "ok   ",
            Verdict::Note => "note ",
            Verdict::Wrong => "WRONG",
        };
        output::line(&format!("{sign} {:<16} {}", finding.what, finding.detail))?;
        if let Some(advice) = &finding.advice {
            output::line(&format!("      {:<16} {advice}", ""))?;
        }
    }
    let wrong = report.0.iter().any(|finding| finding.verdict == Verdict::Wrong);
    Ok(if wrong { ExitCode::from(WRONG) } else { ExitCode::SUCCESS })
}

fn machine(report: &mut Report) {
    for (what, directory) in [("cache directory", cache_dir()), ("state directory", state_dir())] {
        let made = directory.as_ref().map(std::fs::create_dir_all);
        match (directory, made) {
            (Some(path), Some(Ok(()))) => report.good(what, path.display().to_string()),
            (Some(path), Some(Err(error))) => {
                let detail = format!("{}: {error}", path.display());
                report.add(
                    Verdict::Note,
                    what,
                    detail,
                    "pushes and pulls read all files without it",
                );
            }
            _ => report.add(Verdict::Note, what, "HOME is not set".to_owned(), ""),
        }
    }
    match Profiles::load() {
        Ok(profiles) => report.good("profiles", format!("{}", profiles.profile.len())),
        Err(error) => report.add(Verdict::Wrong, "profiles", error.to_string(), "mend the file"),
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.current {
        Some(count) if count < 1024 => {
            let detail = format!("{count} files may be open");
            report.add(Verdict::Note, "open files", detail, "raise it with `ulimit -n 4096`");
        }
        _ => report.good("open files", "enough may be open"),
    }
}

/// Whether functions can be run in processes of their own here, seen by starting one.
async fn isolation(context: &Context, report: &mut Report) {
    const WHAT: &str = "isolation";
    match Workers::new(Program::this(), &context.env).check().await {
        Ok(()) => report.good(WHAT, "functions can have processes of their own here"),
        Err(failure) => {
            let advice = "a node here runs no function with isolation = \"process\": it takes Linux 5.13 with Landlock and seccomp";
            report.add(Verdict::Note, WHAT, failure.to_string(), advice);
        }
    }
}

async fn bucket(context: &Context, report: &mut Report) {
    let bucket = match context.bucket(false).await {
        Ok(bucket) => bucket,
        Err(error) => {
            report.add(Verdict::Wrong, "bucket", format!("{error:#}"), "");
            return;
        }
    };
    let start = Instant::now();
    match bucket.probe().await {
        Ok(()) => {
            let took = start.elapsed().as_millis();
            let detail = format!("{}: conditional writes hold ({took} ms)", bucket.url());
            report.good("bucket", detail);
        }
        Err(error) => {
            let detail = format!("{:#}", anyhow::Error::from(error));
            report.add(Verdict::Wrong, "bucket", detail, "");
            return;
        }
    }
    let secret = match context.secret() {
        Ok(secret) => secret,
        Err(error) => {
            report.add(Verdict::Wrong, "secret", format!("{error:#}"), "");
            return;
        }
    };
    let options = cairn_blocks::Options::default();
    match Blocks::open(bucket, secret.as_ref(), options, &context.env).await {
        Ok(blocks) => contents(context, &blocks, report).await,
        Err(cairn_blocks::Error::NotInitialised { .. }) => {
            let detail = "there is nothing in it yet".to_owned();
            report.add(Verdict::Note, "contents", detail, "a first push prepares it");
        }
        Err(error) => {
            let detail = format!("{:#}", anyhow::Error::from(error));
            report.add(Verdict::Wrong, "contents", detail, "");
        }
    }
}

async fn contents(context: &Context, blocks: &Blocks, report: &mut Report) {
    let usage = blocks.usage();
    let how = if blocks.is_encrypted() { "encrypted" } else { "not encrypted" };
    let detail = format!("{how}, {} packs, {} chunks", usage.packs, usage.chunks);
    report.good("contents", detail);
    if usage.sessions > 0 {
        let detail = format!("{} pushes are under way or were cut off", usage.sessions);
        report.add(
            Verdict::Note,
            "sessions",
            detail,
            "a collection ends silent ones after an hour",
        );
    }
    if usage.condemned > 0 {
        let detail = format!("{} packs wait for their deletion", usage.condemned);
        report.add(Verdict::Note, "garbage", detail, "`cairn gc` deletes them after a day");
    }
    let datasets = cairn_datasets::Datasets::new(blocks.clone());
    match datasets.list(&cairn_base::ProjectName::default()).await {
        Ok(list) => report.good("datasets", format!("{} in the project main", list.len())),
        Err(error) => {
            report.add(Verdict::Wrong, "datasets", error.to_string(), "run `cairn verify`")
        }
    }
    let skew = context.env.clock.wall_ns() < 1_577_836_800_000_000_000;
    if skew {
        let detail = "this machine's clock is before 2020".to_owned();
        report.add(Verdict::Wrong, "clock", detail, "set it: ages of versions depend on it");
    }
}

/// What the node says of itself, to those who may know.
async fn itself(node: &cairn_http::client::Node, report: &mut Report) {
    let findings = match node.doctor().await {
        Ok(doctor) => doctor.findings,
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => return,
        Err(error) => {
            report.add(Verdict::Wrong, "node's own", error.to_string(), "");
            return;
        }
    };
    for finding in findings {
        let verdict = match finding.level {
            Level::Ok => Verdict::Good,
            Level::Warning => Verdict::Note,
            Level::Error => Verdict::Wrong,
        };
        let what = format!("node: {}", finding.check);
        report.add(verdict, what, finding.detail, finding.next_step.as_deref().unwrap_or_default());
    }
}

async fn node(context: &Context, url: &str, report: &mut Report) {
    let start = Instant::now();
    let node = match context.node() {
        Ok(node) => node,
        Err(error) => {
            report.add(Verdict::Wrong, "node", format!("{error:#}"), "");
            return;
        }
    };
    match node.whoami().await {
        Ok(who) => {
            let took = start.elapsed().as_millis();
            report.good("node", format!("{url} answers ({took} ms)"));
            report.good("you", who.principal.unwrap_or_else(|| "anonymous".to_owned()));
            itself(&node, report).await;
        }
        Err(error) => {
            let advice = match error.kind() {
                ErrorKind::Denied => "give a token that holds: CAIRN_TOKEN or --token-file",
                _ => "",
            };
            report.add(Verdict::Wrong, "node", error.to_string(), advice);
        }
    }
}
