//! `cargo xtask pg-verify`: PostgreSQL writes logs, and our redo of them is compared with its own.
//!
//! Three workloads, each on two clusters: PostgreSQL's regression suite, its tests of isolation, and one of
//! ours (`dev/pgverify/workload`). The first cluster has `wal_consistency_checking`: every image that it
//! left in the log is compared with what redo makes of the page before. The second has it not, and a
//! stock server recovers by its log too. In the end every page of every file is compared, with those of
//! the server that wrote the log and with those of the stock one.
//!
//! `--slice` is our workload alone, at its smallest. A full run needs some 10 GB in the folder for
//! temporary files, and a system with `apt-get` or an extracted source of PostgreSQL (`--source`).

mod replay;
mod server;
mod suite;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::args::Args;
use crate::repo::Repo;
use crate::{ci, setup};
use replay::Verdict;
use server::{Cluster, Programs, Stop};
use suite::Suite;

/// How much the rows of our workload are multiplied in a full run.
const SCALE: u32 = 2;
/// Settings of every cluster. All of its log stays; it is disposable, so nothing is synced.
const SETTINGS: [(&str, &str); 10] = [
    ("wal_level", "logical"),
    ("track_commit_timestamp", "on"),
    ("max_prepared_transactions", "10"),
    ("wal_keep_size", "1TB"),
    ("max_wal_size", "4GB"),
    ("fsync", "off"),
    // What is redone is not restored.
    ("full_page_writes", "off"),
    ("shared_buffers", "128MB"),
    ("log_min_messages", "warning"),
    ("restart_after_crash", "off"),
];

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    Ours,
    Regression,
    Isolation,
}

/// One workload on one cluster.
#[derive(Clone, Copy, Debug)]
struct Run {
    workload: Workload,
    /// Whether its log has an image for every change; else a stock server is compared with.
    images: bool,
}

/// What a run came to.
struct Outcome {
    name: &'static str,
    verdict: Verdict,
    wal_mib: u64,
    took: [Duration; 3],
}

/// What is asked for.
struct Plan {
    slice: bool,
    json: bool,
    keep: bool,
    source: Option<PathBuf>,
    only: Vec<String>,
}

/// `cargo xtask pg-verify [--slice] [--json] [--only RUN]... [--source DIR] [--keep]`.
/// Returns whether redo is PostgreSQL's.
pub(crate) fn main(repo: &Repo, mut args: Args) -> Result<bool> {
    let plan = Plan {
        slice: args.flag("--slice"),
        json: args.flag("--json"),
        keep: args.flag("--keep"),
        source: args.value("--source")?.map(PathBuf::from),
        only: args.values("--only")?,
    };
    args.end()?;
    // The slice needs no source.
    setup::run(repo, if plan.slice { &["test"] } else { &["test", "postgres"] })?;
    let outcomes = plan.run(repo)?;
    print!("{}", table(&outcomes));
    if plan.json {
        println!("{}", as_json(&outcomes));
    }
    Ok(outcomes.iter().all(|outcome| outcome.verdict.holds()))
}

/// The fast run, as a step of `ci`; returns what it found.
pub(crate) fn run_slice(repo: &Repo) -> Result<String> {
    setup::run(repo, &["test"])?;
    let plan = Plan { slice: true, json: false, keep: false, source: None, only: Vec::new() };
    let outcomes = plan.run(repo)?;
    print!("{}", table(&outcomes));
    let total = total(&outcomes);
    if !total.holds() {
        bail!("redo is not PostgreSQL's: see the table above");
    }
    Ok(format!("{} blocks and {} pages compared", total.checked, total.pages))
}

impl Run {
    const ALL: [Self; 6] = [
        Self { workload: Workload::Ours, images: true },
        Self { workload: Workload::Ours, images: false },
        Self { workload: Workload::Regression, images: true },
        Self { workload: Workload::Regression, images: false },
        Self { workload: Workload::Isolation, images: true },
        Self { workload: Workload::Isolation, images: false },
    ];

    const fn name(self) -> &'static str {
        match (self.workload, self.images) {
            (Workload::Ours, true) => "ours-images",
            (Workload::Ours, false) => "ours-stock",
            (Workload::Regression, true) => "regression-images",
            (Workload::Regression, false) => "regression-stock",
            (Workload::Isolation, true) => "isolation-images",
            (Workload::Isolation, false) => "isolation-stock",
        }
    }
}

impl Plan {
    fn run(&self, repo: &Repo) -> Result<Vec<Outcome>> {
        if let Some(unknown) = self.only.iter().find(|n| Run::ALL.iter().all(|r| r.name() != **n)) {
            let names = Run::ALL.map(Run::name).join(", ");
            bail!("there is no run {unknown:?}; the runs are {names}");
        }
        let wanted = |run: &Run| {
            let named = self.only.is_empty() || self.only.iter().any(|name| name == run.name());
            named && !(self.slice && run.workload != Workload::Ours)
        };
        let runs: Vec<Run> = Run::ALL.into_iter().filter(wanted).collect();
        let programs = Programs::find()?;
        let verifier = replay::build(repo)?;
        let mut work = tempfile::Builder::new().prefix("pg-verify-").tempdir()?;
        work.disable_cleanup(self.keep);
        programs.folder(work.path())?;
        if self.keep {
            eprintln!("pg-verify: all stays in {}", work.path().display());
        }
        let bring = || Suite::bring(&programs, &work.path().join("suite"), self.source.as_deref());
        let needed = runs.iter().any(|run| run.workload != Workload::Ours);
        let suite = if needed { Some(bring()?) } else { None };
        runs.iter()
            .map(|run| self.one(repo, &programs, &verifier, work.path(), *run, suite.as_ref()))
            .collect()
    }

    /// One run: the cluster works, the log is replayed, and both go.
    fn one(
        &self,
        repo: &Repo,
        programs: &Programs,
        verifier: &Path,
        work: &Path,
        run: Run,
        suite: Option<&Suite>,
    ) -> Result<Outcome> {
        eprintln!("pg-verify: {}", run.name());
        let begin = ci::now();
        let mut settings = SETTINGS.to_vec();
        if run.images {
            // Images are nearly all of such a log.
            settings.extend([("wal_consistency_checking", "all"), ("wal_compression", "lz4")]);
        }
        let segment_mib = if run.workload == Workload::Ours { 1 } else { 16 };
        let dir = work.join(run.name());
        let mut cluster = Cluster::create(programs, dir, segment_mib, &settings)?;
        if run.workload == Workload::Ours {
            cluster.advance_counters()?;
        }
        cluster.copy("base")?;
        cluster.start(&[])?;
        let worked = match (run.workload, suite) {
            (Workload::Ours, _) => {
                workload::run(repo, &mut cluster, if self.slice { 1 } else { SCALE })
            }
            (Workload::Regression, Some(suite)) => suite.run(&suite::REGRESSION, &cluster),
            (Workload::Isolation, Some(suite)) => suite.run(&suite::ISOLATION, &cluster),
            (_, None) => bail!("the suite was not brought"),
        };
        worked
            .with_context(|| format!("the server's last words:\n{}", cluster.server_log_tail()))?;
        cluster.stop(Stop::Clean)?;
        let worked = begin.elapsed();
        let stock = if run.images { None } else { Some(replay::stock(&cluster)?) };
        let recovered = begin.elapsed();
        let verdict = replay::verify(verifier, &cluster, stock.as_deref())?;
        let took = [worked, recovered - worked, begin.elapsed() - recovered];
        if run.workload == Workload::Ours {
            check_provoked(&verdict)?;
        }
        let wal_mib = size_mib(&cluster.wal())?;
        if !self.keep {
            std::fs::remove_dir_all(&cluster.dir)?;
        }
        Ok(Outcome { name: run.name(), verdict, wal_mib, took })
    }
}

/// Whether the workload did what it is there for.
fn check_provoked(verdict: &Verdict) -> Result<()> {
    let missing = |(kind, _): &&(&str, &str)| !verdict.kinds.iter().any(|seen| seen == kind);
    let missing: Vec<String> = workload::PROVOKED
        .iter()
        .filter(missing)
        .map(|(kind, what)| format!("{kind} ({what})"))
        .collect();
    if !missing.is_empty() {
        bail!("the workload did not provoke {}", missing.join(", "));
    }
    Ok(())
}

fn size_mib(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes >> 20)
}

fn total(outcomes: &[Outcome]) -> Verdict {
    let mut total = Verdict::default();
    outcomes.iter().for_each(|outcome| total.add(&outcome.verdict));
    total
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "\n{:<18}{:>9}{:>10}{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}{:>22}\n",
        "run",
        "WAL MiB",
        "records",
        "redone",
        "checked",
        "mismatch",
        "errors",
        "unknown",
        "pages",
        "different",
        "excepted",
        "s: work stock replay"
    );
    for Outcome { name, verdict, wal_mib, took } in outcomes {
        text += &format!(
            "{name:<18}{wal_mib:>9}{:>10}{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}{:>22}\n",
            verdict.records,
            verdict.redone,
            verdict.checked,
            verdict.mismatches,
            verdict.errors,
            verdict.unimplemented,
            verdict.pages,
            verdict.different,
            verdict.excepted,
            took.map(|part| format!("{:.1}", part.as_secs_f64())).join(" "),
        );
    }
    text
}

fn as_json(outcomes: &[Outcome]) -> String {
    let total = total(outcomes);
    json!({
        "records": total.records,
        "checked": total.checked,
        "mismatches": total.mismatches,
        "errors": total.errors,
        "unimplemented": total.unimplemented,
        "pages": total.pages,
        "different": total.different,
        "excepted": total.excepted,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: Verdict) -> Outcome {
        let took = [Duration::from_millis(1500); 3];
        Outcome { name: "ours-stock", verdict, wal_mib: 7, took }
    }

    #[test]
    fn any_difference_is_a_failure() {
        assert!(Verdict { checked: 5, excepted: 2, ..Verdict::default() }.holds());
        for bad in [
            Verdict { mismatches: 1, ..Verdict::default() },
            Verdict { errors: 1, ..Verdict::default() },
            Verdict { unimplemented: 1, ..Verdict::default() },
            Verdict { different: 1, ..Verdict::default() },
        ] {
            assert!(!bad.holds(), "{bad:?}");
            assert!(!total(&[outcome(Verdict::default()), outcome(bad)]).holds());
        }
    }

    #[test]
    fn the_totals_are_in_the_last_line() {
        let verdict = Verdict { checked: 3, mismatches: 1, pages: 4, ..Verdict::default() };
        let outcomes = [outcome(verdict.clone()), outcome(verdict)];
        let line: Verdict = serde_json::from_str(&as_json(&outcomes)).unwrap();
        assert_eq!((line.checked, line.mismatches, line.errors, line.pages), (6, 2, 0, 8));
        assert_eq!(table(&outcomes).matches("ours-stock").count(), 2);
        assert!(table(&outcomes).contains("1.5 1.5 1.5\n"));
    }
}
