//! `cargo xtask tidy`: the rules of the house that a machine can check.
//!
//! Each rule is one function from the [`Tree`] (the files git knows or would add, and the
//! workspace's members) to its findings, with a unit test that shows it fails on a bad sample.
//! Clippy and rustfmt check what they can; these are the rest.

mod env_vars;
mod invariants;
mod layers;
mod manifests;
mod sizes;
mod source;
mod text;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use crate::args::Args;
use crate::repo::Repo;
use tree::Tree;

/// What a rule has found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, relative to the root.
    path: String,
    /// The line, from 1; 0 for the whole file.
    line: usize,
    /// The rule's name.
    rule: &'static str,
    /// What is wrong and what to do.
    message: String,
    /// Whether it is only worth a thought.
    warning: bool,
}

impl Finding {
    /// An error.
    fn error(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_string(), line, rule, message: message.into(), warning: false }
    }

    /// Not an error, but worth a thought.
    fn warning(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(rule, path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.warning { "warning" } else { "error" };
        write!(f, "{level}: {}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {} [{}]", self.message, self.rule)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    layers::ladder,
    manifests::inherited,
    manifests::opening_docs,
    manifests::fuzz_seeds,
    sizes::files,
    source::placeholders,
    source::sleeps,
    source::seams,
    source::allow_reasons,
    text::machine_paths,
    text::workplace_words,
    invariants::cited_exist,
    invariants::listed_are_tested,
    env_vars::documented,
];

/// `cargo xtask tidy`.
pub(crate) fn main(repo: &Repo, args: Args) -> Result<()> {
    args.end()?;
    run(repo)
}

/// Runs every rule and prints what they found; fails when one of it is an error.
pub(crate) fn run(repo: &Repo) -> Result<()> {
    let tree = Tree::read(repo)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    findings.dedup();
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings.iter().filter(|finding| !finding.warning).count();
    let warnings = findings.len() - errors;
    eprintln!("tidy: {} files, {errors} errors, {warnings} warnings", tree.files.len());
    if errors > 0 {
        bail!("tidy found {errors} errors");
    }
    Ok(())
}
