//! `cargo xtask ci`: everything a change must pass.
//!
//! Every step runs, also after one has failed: one run shows all there is to mend. The end is a
//! table of times, a line that counts steps, and a line `N passed, N failed` that counts tests.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::args::Args;
use crate::command;
use crate::repo::Repo;
use crate::test::{self, Counts};
use crate::{api, console, deny, docs, fuzz, pg_verify, room, tidy};

/// The steps, quick ones first.
const STEPS: [&str; 14] = [
    "room",
    "fmt",
    "tidy",
    "console",
    "clippy",
    "deny",
    "doc",
    "test",
    "otel",
    "docs",
    "api",
    "browser",
    "pg-verify",
    "fuzz",
];
/// The package whose feature `otel` has a step of its own, and what that feature changes.
const OTEL: (&str, [&str; 2]) = ("cairn", ["cairn", "cairn-http"]);
/// Seconds each fuzz target runs unless told.
const FUZZ_SECONDS: u64 = 20;

/// What to run.
#[derive(Debug)]
struct Plan {
    steps: Vec<&'static str>,
    packages: Vec<String>,
    fuzz_seconds: u64,
}

/// How a step went.
#[derive(Debug)]
struct Outcome {
    step: &'static str,
    took: Duration,
    note: String,
    failed: bool,
}

/// `cargo xtask ci [--skip STEP]... [--only STEP]... [-p CRATE]... [--fuzz-seconds N]`.
/// Returns whether every step passed.
pub(crate) fn main(repo: &Repo, args: Args) -> Result<bool> {
    let plan = Plan::read(args)?;
    let mut counts = Counts::default();
    let mut outcomes = Vec::new();
    for step in &plan.steps {
        println!("\n=== {step}");
        let begin = now();
        let result = plan.run(repo, step, &mut counts);
        let took = begin.elapsed();
        let failed = result.is_err();
        let note = result.unwrap_or_else(|error| format!("{error:#}"));
        if failed {
            eprintln!("{step}: {note}");
        }
        outcomes.push(Outcome { step, took, note, failed });
    }
    print!("{}", report(&outcomes, counts));
    Ok(outcomes.iter().all(|outcome| !outcome.failed))
}

#[expect(clippy::disallowed_methods, reason = "a chore has no simulated clock; it times its steps")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

impl Plan {
    fn read(mut args: Args) -> Result<Self> {
        let mut packages = args.values("--package")?;
        packages.extend(args.values("-p")?);
        let (only, skip) = (args.values("--only")?, args.values("--skip")?);
        let fuzz_seconds = args.number("--fuzz-seconds")?.unwrap_or(FUZZ_SECONDS);
        args.end()?;
        if let Some(unknown) = only.iter().chain(&skip).find(|s| !STEPS.contains(&s.as_str())) {
            bail!("there is no step {unknown:?}; the steps are {}", STEPS.join(", "));
        }
        let named = |list: &[String], step: &str| list.iter().any(|name| name == step);
        let chosen = |step: &&str| (only.is_empty() || named(&only, step)) && !named(&skip, step);
        let steps: Vec<&str> = STEPS.into_iter().filter(chosen).collect();
        if steps.is_empty() {
            bail!("no step is left to run");
        }
        Ok(Self { steps, packages, fuzz_seconds })
    }

    /// Runs one step; what it returns stands in the table.
    fn run(&self, repo: &Repo, step: &str, counts: &mut Counts) -> Result<String> {
        let quiet = |result: Result<()>| result.map(|()| String::new());
        match step {
            "room" => room::make(repo),
            "fmt" => quiet(self.fmt(repo)),
            "tidy" => quiet(tidy::run(repo)),
            "console" => console::check(repo),
            "browser" => console::browse(repo),
            "clippy" => quiet(self.clippy(repo)),
            "deny" => deny::run(repo),
            "doc" => quiet(self.doc(repo)),
            "test" => {
                let (found, result) = test::run(repo, &self.packages, &[]);
                *counts = found;
                result.map(|()| format!("{} passed, {} failed", found.passed, found.failed))
            }
            "otel" => self.otel(repo),
            "docs" => docs::run(repo, &[]),
            "api" => api::run(repo),
            "pg-verify" => pg_verify::run_slice(repo),
            "fuzz" => fuzz::run_all(repo, self.fuzz_seconds),
            other => bail!("the step {other} is not written"),
        }
    }

    fn fmt(&self, repo: &Repo) -> Result<()> {
        let mut cargo = repo.cargo();
        cargo.arg("fmt");
        if self.packages.is_empty() {
            cargo.arg("--all");
        } else {
            cargo.args(test::scope(&self.packages));
        }
        command::run(cargo.arg("--check"))?;
        if self.packages.is_empty() {
            let manifest = "fuzz/Cargo.toml";
            let arguments = ["fmt", "--manifest-path", manifest, "--check"];
            command::run(repo.cargo().args(arguments))?;
        }
        Ok(())
    }

    fn clippy(&self, repo: &Repo) -> Result<()> {
        let mut cargo = repo.cargo();
        cargo.arg("clippy").args(test::scope(&self.packages));
        command::run(cargo.args(["--all-targets", "--", "-D", "warnings"]))
    }

    /// The one feature of the binary that is off unless asked for.
    fn otel(&self, repo: &Repo) -> Result<String> {
        let (package, changed) = OTEL;
        let touched = |name: &String| changed.contains(&name.as_str());
        if !self.packages.is_empty() && !self.packages.iter().any(touched) {
            return Ok("no package has it".to_owned());
        }
        let with = ["-p", package, "--features", "otel"];
        let mut clippy = repo.cargo();
        clippy.arg("clippy").args(with).args(["--all-targets", "--", "-D", "warnings"]);
        command::run(&mut clippy)?;
        let mut test = repo.cargo();
        command::run(test.arg("test").args(with).args(["--test", "it", "spans::"]))?;
        Ok(String::new())
    }

    /// `rustdoc` of our crates: broken links and missing docs are errors.
    fn doc(&self, repo: &Repo) -> Result<()> {
        let mut cargo = repo.cargo();
        cargo.args(["doc", "--no-deps"]).args(test::scope(&self.packages));
        cargo.arg("--document-private-items").env("RUSTDOCFLAGS", "-D warnings");
        command::run(&mut cargo)
    }
}

/// The table, the steps' count and the tests' count. A step that failed by something other than
/// a failing test counts as one failure, so the last line never looks better than the run was.
fn report(outcomes: &[Outcome], counts: Counts) -> String {
    let mut text = String::from("\nstep        seconds  result\n");
    for outcome in outcomes {
        let result = if outcome.failed { "FAILED" } else { "passed" };
        let note = outcome.note.lines().next().unwrap_or_default();
        let dash = if note.is_empty() { "" } else { ": " };
        let seconds = outcome.took.as_secs_f64();
        text += &format!("{:<10}{seconds:>9.1}  {result}{dash}{note}\n", outcome.step);
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failed).count();
    text += &format!("steps: {} passed, {failed} failed\n", outcomes.len() - failed);
    let counted = |outcome: &&Outcome| outcome.step == "test" && counts.failed > 0;
    let others = outcomes.iter().filter(|outcome| outcome.failed && !counted(outcome)).count();
    let total = counts.failed + others as u64;
    text + &format!("{} passed, {total} failed\n", counts.passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(step: &'static str, note: &str, failed: bool) -> Outcome {
        Outcome { step, took: Duration::from_millis(1250), note: note.to_string(), failed }
    }

    #[test]
    fn steps_are_chosen_and_checked() {
        let plan = Plan::read(Args::of(&["--skip", "fuzz", "--only=fmt", "--only", "fuzz"]));
        assert_eq!(plan.unwrap().steps, ["fmt"]);
        let plan = Plan::read(Args::of(&["-p", "a", "--fuzz-seconds", "5"])).unwrap();
        assert_eq!((plan.steps.len(), plan.fuzz_seconds), (STEPS.len(), 5));
        for bad in [&["--skip", "x"][..], &["--only", "fmt", "--skip", "fmt"], &["x"]] {
            assert!(Plan::read(Args::of(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_step_is_written() {
        let source = include_str!("ci.rs");
        for step in STEPS {
            assert!(source.contains(&format!("            \"{step}\" => ")), "{step}");
        }
    }

    #[test]
    fn the_report_ends_with_the_counts() {
        let counts = Counts { passed: 7, failed: 0 };
        let good = report(&[outcome("fmt", "", false), outcome("test", "7 passed", false)], counts);
        assert!(good.contains("fmt             1.2  passed\n"), "{good}");
        assert!(good.ends_with("steps: 2 passed, 0 failed\n7 passed, 0 failed\n"), "{good}");
    }

    #[test]
    fn the_report_never_looks_better_than_the_run() {
        let failing = [outcome("fmt", "why\nmore", true), outcome("test", "x", true)];
        let tests_failed = report(&failing, Counts { passed: 7, failed: 2 });
        assert!(tests_failed.ends_with("0 passed, 2 failed\n7 passed, 3 failed\n"));
        assert!(tests_failed.contains("FAILED: why\n"));
        let not_built = report(&failing, Counts::default());
        assert!(not_built.ends_with("steps: 0 passed, 2 failed\n0 passed, 2 failed\n"));
    }
}
