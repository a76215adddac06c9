//! What is done with a log: our replay of it, and a stock server's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::server::{Cluster, tail};
use crate::command;
use crate::repo::Repo;

/// What the verifier's last line says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Verdict {
    pub(super) records: u64,
    /// Blocks that were redone, with an image to compare with or without.
    pub(super) redone: u64,
    pub(super) checked: u64,
    pub(super) mismatches: u64,
    pub(super) errors: u64,
    pub(super) unimplemented: u64,
    /// Pages of servers that were compared at the end.
    pub(super) pages: u64,
    pub(super) different: u64,
    /// Pages that were not compared, or whose difference is a known one.
    pub(super) excepted: u64,
    /// Kinds of records that were seen, as `Heap/0x00`.
    pub(super) kinds: Vec<String>,
}

impl Verdict {
    /// Everything together.
    pub(super) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.redone += other.redone;
        self.checked += other.checked;
        self.mismatches += other.mismatches;
        self.excepted += other.excepted;
        self.errors += other.errors;
        self.unimplemented += other.unimplemented;
        self.pages += other.pages;
        self.different += other.different;
    }

    /// Whether redo is PostgreSQL's.
    pub(super) const fn holds(&self) -> bool {
        self.mismatches + self.errors + self.unimplemented + self.different == 0
    }
}

/// Builds the verifier; returns its program.
pub(super) fn build(repo: &Repo) -> Result<PathBuf> {
    command::run(repo.cargo().args(["build", "--release", "--package", "cairn-pgverify"]))?;
    Ok(repo.metadata()?.target_directory.join("release/cairn-pgverify"))
}

/// Replays a stopped cluster's log over its copy; at the end compares with its own files,
/// and with a stock server's.
pub(super) fn verify(
    verifier: &Path,
    cluster: &Cluster<'_>,
    stock: Option<&Path>,
) -> Result<Verdict> {
    let mut command = Command::new(verifier);
    command.arg("--json").arg("--base").arg(cluster.dir.join("base"));
    command.arg("--wal").arg(cluster.wal());
    command.arg("--writer").arg(cluster.data());
    if let Some(stock) = stock {
        command.arg("--stock").arg(stock);
    }
    eprintln!("+ {}", command::show(&command));
    let out = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    print!("{text}");
    // A mismatch makes it fail; the line is there all the same.
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).context("the verifier did not come to its end")
}

/// A stock server recovers the copy by the cluster's log, to its end, and stops. Returns its folder.
pub(super) fn stock(cluster: &Cluster<'_>) -> Result<PathBuf> {
    let dir = cluster.dir.join("stock");
    let base = cluster.dir.join("base");
    command::output(Command::new("cp").arg("-a").arg(&base).arg(&dir))?;
    std::fs::write(dir.join("recovery.signal"), "")?;
    let settings = [
        format!("restore_command=cp '{}/%f' '%p'", cluster.wal().display()),
        format!("recovery_target_lsn={}", cluster.checkpoint()?),
        "recovery_target_action=shutdown".to_string(),
        "hot_standby=off".to_string(),
        "wal_consistency_checking=".to_string(),
        "wal_keep_size=0".to_string(),
    ];
    let mut server = cluster.programs.program("postgres");
    server.arg("-D").arg(&dir);
    for setting in &settings {
        server.arg("-c").arg(setting);
    }
    cluster.programs.give(&dir)?;
    let log = cluster.dir.join("stock.log");
    let output = File::create(&log)?;
    let status = server.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).status()?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    if !status.success() || !text.contains("recovery stopping after") {
        bail!("the stock server did not recover ({status}):\n{}", tail(&text));
    }
    Ok(dir)
}
