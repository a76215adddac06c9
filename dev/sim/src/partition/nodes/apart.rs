//! Seeds in processes of their own: only the first run of a process can be had again.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;

use super::super::THE_RUN;
use super::super::history::Broken;
use super::{Failure, Happened, Report};

/// What a process says of the seed that it ran, as JSON on a line.
pub type Said<T> = Result<T, Broken>;
/// What a process says of a partition on nodes.
pub type Told = Said<(Report, Happened)>;

/// Runs seeds of a partition on nodes, as many at a time as there are processors, in processes of `program`
/// (`cairn-sim`). In the order of the seeds.
#[must_use]
pub fn run(program: &Path, seeds: Range<u64>) -> Vec<Result<(Report, Happened), Failure>> {
    let failure = |seed| move |broken| Failure { seed, nodes: true, broken };
    let all = seeds.clone().zip(each(program, &["partition", "--nodes"], seeds));
    all.map(|(seed, told)| told.map_err(failure(seed))).collect()
}

/// The same for whatever the arguments `what` have it run.
#[must_use]
pub fn each<T>(program: &Path, what: &[&str], seeds: Range<u64>) -> Vec<Said<T>>
where
    T: DeserializeOwned + Send,
{
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let told = ask(program, what, seed);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((seed, told));
        }
    };
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, told)| told).collect()
}

fn ask<T: DeserializeOwned>(program: &Path, what: &[&str], seed: u64) -> Said<T> {
    let broken = |detail: String| Broken { checker: THE_RUN.into(), detail };
    let mut command = Command::new(program);
    command.args(what).args(["--json", "--seed", &seed.to_string()]);
    let output = command.output().map_err(|error| broken(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let told = said.lines().last().and_then(|line| serde_json::from_str::<Said<T>>(line).ok());
    told.unwrap_or_else(|| {
        let why = String::from_utf8_lossy(&output.stderr);
        Err(broken(format!("its process ended with {}: {why}", output.status)))
    })
}
