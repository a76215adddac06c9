//! `cargo xtask test`: the programs the tests run, then the whole test suite.

use anyhow::{Result, bail};

use crate::args::Args;
use crate::command;
use crate::repo::{self, Repo};
use crate::setup;

/// What the test programs have counted, over all crates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
}

/// `cargo xtask test [CARGO-TEST-ARG]...`. Returns whether all is well.
pub(crate) fn main(repo: &Repo, mut args: Args) -> Result<bool> {
    let mut packages = args.values("--package")?;
    packages.extend(args.values("-p")?);
    // It is always given.
    args.flag("--no-fail-fast");
    let (counts, result) = run(repo, &packages, &args.rest());
    if let Err(error) = &result {
        eprintln!("xtask: {error:#}");
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(result.is_ok())
}

/// Runs setup and `cargo test` for `packages`, or for the whole workspace when none is named.
///
/// The tests run even where setup fails: those that need a missing program say so themselves. The
/// result is then an error all the same.
pub(crate) fn run(repo: &Repo, packages: &[String], extra: &[String]) -> (Counts, Result<()>) {
    let setup = setup::run(repo, &["test"]);
    if let Err(error) = &setup {
        eprintln!("test: {error:#}; the tests run without");
    }
    let mut counts = Counts::default();
    let tested = cargo_test(repo, packages, extra, &mut counts);
    (counts, tested.and(setup))
}

fn cargo_test(
    repo: &Repo,
    packages: &[String],
    extra: &[String],
    counts: &mut Counts,
) -> Result<()> {
    let mut cargo = repo.cargo();
    cargo.arg("test").args(scope(packages)).arg("--no-fail-fast").args(extra);
    cargo.env("PATH", repo::path_with_tools()?);
    if !command::watch(&mut cargo, |line| counts.add(line))? {
        bail!("`{}` failed", command::show(&cargo));
    }
    Ok(())
}

/// The arguments of cargo that choose `packages`, or the whole workspace when none is named.
pub(crate) fn scope(packages: &[String]) -> Vec<String> {
    if packages.is_empty() {
        return vec!["--workspace".to_string()];
    }
    packages.iter().flat_map(|package| ["--package".to_string(), package.clone()]).collect()
}

impl Counts {
    /// Counts the line `test result: ok. 3 passed; 0 failed; …` of a test program.
    pub(crate) fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else { return };
        let number = |unit: &str| -> u64 {
            let before = result.split(';').find_map(|part| part.trim().strip_suffix(unit));
            let word = before.and_then(|text| text.split_whitespace().last());
            word.and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        self.passed += number(" passed");
        self.failed += number(" failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_crates_are_summed() {
        let mut counts = Counts::default();
        let output = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
            finished in 0.00s\n\
            test a ... ok\n5 passed; 5 failed\n\
            \u{1b}[0mtest result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured\n";
        output.lines().for_each(|line| counts.add(line));
        assert_eq!(counts, Counts { passed: 13, failed: 2 });
    }

    #[test]
    fn the_scope_is_the_workspace_unless_told() {
        assert_eq!(scope(&[]), ["--workspace"]);
        assert_eq!(scope(&["a".into(), "b".into()]), ["--package", "a", "--package", "b"]);
    }
}
