//! `cargo xtask fuzz`: builds the targets of `fuzz/` and runs each for a while.
//!
//! libFuzzer is driven directly. The flags that `cargo-fuzz` would pass to a nightly compiler are,
//! but for the address sanitizer, stable ones: so the pinned compiler builds the targets. The
//! product has next to no unsafe code, and debug assertions are on, so coverage is what counts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::command;
use crate::repo::Repo;
use crate::setup;

/// Seconds each target runs unless told.
const SECONDS: u64 = 60;
/// Seconds one input may take.
const INPUT_SECONDS_MAX: u64 = 10;
/// Memory one target may take.
const MEMORY_MIB_MAX: u64 = 2048;
/// Lines of a failed target's log that are shown.
const LOG_LINES_SHOWN: usize = 40;

/// What makes LLVM count edges and comparisons for libFuzzer.
const COVERAGE_FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// `cargo xtask fuzz [TARGET]... [--seconds N] [--jobs N] [--list] [--replay FILE]`.
pub(crate) fn main(repo: &Repo, mut args: Args) -> Result<()> {
    let seconds = args.number("--seconds")?.unwrap_or(SECONDS);
    let jobs = args.number("--jobs")?;
    let replay = args.value("--replay")?;
    let list = args.flag("--list");
    let targets = choose(targets(repo)?, &args.words()?)?;
    if list {
        targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    if let Some(file) = replay {
        let [target] = targets.as_slice() else {
            bail!("--replay needs the one target to run; `cargo xtask fuzz --list` lists them");
        };
        let fuzzer = Fuzzer::build(repo)?;
        return command::run(fuzzer.command(target).arg(file));
    }
    let jobs = jobs.and_then(|jobs| usize::try_from(jobs).ok());
    run(repo, &targets, seconds, jobs).map(|note| eprintln!("fuzz: {note}"))
}

/// Runs every target for `seconds`; returns what was run.
pub(crate) fn run_all(repo: &Repo, seconds: u64) -> Result<String> {
    run(repo, &targets(repo)?, seconds, None)
}

fn run(repo: &Repo, targets: &[String], seconds: u64, jobs: Option<usize>) -> Result<String> {
    if seconds == 0 {
        // libFuzzer takes 0 for "without end".
        bail!("--seconds must be at least 1");
    }
    let fuzzer = Fuzzer::build(repo)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.unwrap_or(cores).clamp(1, targets.len().max(1));
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = fuzzer.fuzz(target, seconds) {
                eprintln!("fuzz {target}: {error:#}");
                failed.lock().expect("no holder panics").push(target.as_str());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no holder panics");
    if !failed.is_empty() {
        bail!("{} of {} targets failed: {}", failed.len(), targets.len(), failed.join(", "));
    }
    Ok(format!("{} targets, {seconds} s each", targets.len()))
}

/// The names of all targets, sorted.
fn targets(repo: &Repo) -> Result<Vec<String>> {
    let dir = repo.path("fuzz/src/bin");
    let entries =
        std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let name = |entry: std::fs::DirEntry| {
        entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_string)
    };
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// The `wanted` ones of `all`; all when none is named.
fn choose(all: Vec<String>, wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target {unknown:?}; there are {}", all.join(", "));
    }
    let chosen = |name: &String| wanted.is_empty() || wanted.contains(name);
    Ok(all.into_iter().filter(chosen).collect())
}

/// Built targets and where they keep things.
struct Fuzzer {
    programs: PathBuf,
    dir: PathBuf,
}

impl Fuzzer {
    fn build(repo: &Repo) -> Result<Self> {
        setup::run(repo, &["fuzz"])?;
        let triple = repo.host_triple()?;
        let build = repo.metadata()?.target_directory.join("fuzz");
        let mut cargo = repo.cargo();
        // A target triple keeps the flags away from build scripts and macros.
        cargo.args(["build", "--release", "--bins", "--manifest-path", "fuzz/Cargo.toml"]);
        cargo.args(["--target", &triple]).env("CARGO_TARGET_DIR", &build);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE_FLAGS.join("\u{1f}"));
        command::run(&mut cargo)?;
        Ok(Self { programs: build.join(triple).join("release"), dir: repo.path("fuzz") })
    }

    /// The target's program, with its limits.
    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(self.programs.join(target));
        let artifacts = self.dir.join("artifacts").join(target);
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.env("RUST_BACKTRACE", "1");
        command
    }

    /// Runs one target, with its output in a log: several run at once.
    fn fuzz(&self, target: &str, seconds: u64) -> Result<()> {
        let artifacts = self.dir.join("artifacts").join(target);
        let corpus = self.dir.join("corpus").join(target);
        for dir in [&artifacts, &corpus] {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let seeds = self.dir.join("seeds").join(target);
        if std::fs::read_dir(&seeds).map_or(0, Iterator::count) == 0 {
            bail!("it has no seeds; add a few inputs to fuzz/seeds/{target}/");
        }
        let log_path = self.dir.join("artifacts").join(format!("{target}.log"));
        let log = File::create(&log_path)
            .with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut command = self.command(target);
        command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        command.arg(&corpus).arg(&seeds).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let status = command.status().context("cannot start the target")?;
        let log = std::fs::read(&log_path)?;
        let log = String::from_utf8_lossy(&log);
        if status.success() {
            eprintln!("fuzz {target}: {}", summary(&log));
            return Ok(());
        }
        eprintln!("{}", tail(&log));
        match artifact(&log) {
            Some(file) => bail!(
                "{status}; the input is {file}; replay it by: cargo xtask fuzz {target} --replay \
                 {}",
                shown(&self.dir, file)
            ),
            None => bail!("{status}; the whole log is {}", log_path.display()),
        }
    }
}

/// An artifact's path as typed at the checkout's root.
fn shown(fuzz: &Path, file: &str) -> String {
    let root = fuzz.parent().unwrap_or(fuzz);
    let path = Path::new(file);
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The input that libFuzzer says it has written.
fn artifact(log: &str) -> Option<&str> {
    let line = log.lines().rev().find(|line| line.contains("Test unit written to "))?;
    line.split("Test unit written to ").nth(1).map(str::trim)
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

/// What libFuzzer's last words say of the run.
fn summary(log: &str) -> String {
    let number = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim).to_string()
    };
    let covered = log.lines().rev().find(|line| line.contains(" cov: "));
    let covered = covered.and_then(|line| line.split(" cov: ").nth(1)?.split(' ').next());
    format!(
        "{} runs, {} edges, {} MiB at most",
        number("stat::number_of_executed_units:"),
        covered.unwrap_or("?"),
        number("stat::peak_rss_mb:")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_understood() {
        let log = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #524288\tpulse  cov: 310 ft: 900 corp: 90/1Kb lim: 4096 exec/s: 9 rss: 50Mb\n\
            Done 600000 runs in 11 second(s)\nstat::number_of_executed_units: 600000\n\
            stat::peak_rss_mb:              57\n";
        assert_eq!(summary(log), "600000 runs, 310 edges, 57 MiB at most");
        assert_eq!(artifact(log), None);
        let crash = "x\nartifact_prefix='/a/'; Test unit written to /r/fuzz/artifacts/t/crash-1\n";
        assert_eq!(artifact(crash), Some("/r/fuzz/artifacts/t/crash-1"));
        let file = "/r/fuzz/artifacts/t/crash-1";
        assert_eq!(shown(Path::new("/r/fuzz"), file), "fuzz/artifacts/t/crash-1");
    }

    #[test]
    fn unknown_targets_name_the_known_ones() {
        let all = || vec!["a".to_string(), "b".to_string()];
        assert_eq!(choose(all(), &[]).unwrap(), ["a", "b"]);
        assert_eq!(choose(all(), &["b".to_string()]).unwrap(), ["b"]);
        let error = choose(all(), &["c".to_string()]).unwrap_err().to_string();
        assert_eq!(error, "there is no fuzz target \"c\"; there are a, b");
    }
}
