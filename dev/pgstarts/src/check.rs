//! Whether two servers have the same, and whether one is whole.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, run};

/// Everything that can be dumped, but for where sequences are: a log runs ahead of them.
pub(crate) fn dump(cluster: &Cluster) -> Result<Vec<String>> {
    let text = run(cluster.client("pg_dumpall").arg("--restrict-key=x"))?;
    let kept = text.lines().filter(|line| !line.starts_with("SELECT pg_catalog.setval("));
    Ok(kept.map(str::to_owned).collect())
}

/// Compares two dumps, line by line.
pub(crate) fn same(ours: &[String], theirs: &[String]) -> Result<()> {
    let differs = ours.iter().zip(theirs).position(|(a, b)| a != b);
    let differs = differs.or((ours.len() != theirs.len()).then_some(ours.len().min(theirs.len())));
    if let Some(at) = differs {
        let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
        anyhow::bail!(
            "the dumps differ in line {}:\n  ours   {}\n  theirs {}",
            at + 1,
            line(ours),
            line(theirs)
        );
    }
    Ok(())
}

/// Checks every table and index against each other.
pub(crate) fn amcheck(cluster: &Cluster) -> Result<()> {
    let mut command = cluster.client("pg_amcheck");
    command.args(["--all", "--heapallindexed", "--rootdescend", "--install-missing"]);
    run(&mut command).context("pg_amcheck found something").map(drop)
}

/// What a transaction adds it adds to all four.
pub(crate) fn sums(cluster: &Cluster) -> Result<()> {
    if cluster.sql("postgres", "select to_regclass('pgbench_history') is null")? == "t" {
        return Ok(());
    }
    let sums = cluster.sql(
        "postgres",
        "select count(distinct s) from (select coalesce(sum(abalance), 0) s from pgbench_accounts
         union all select coalesce(sum(bbalance), 0) from pgbench_branches
         union all select coalesce(sum(tbalance), 0) from pgbench_tellers
         union all select coalesce(sum(delta), 0) from pgbench_history) x",
    )?;
    ensure!(sums == "1", "the sums of pgbench's tables differ");
    Ok(())
}

/// A server of stock PostgreSQL that follows an archive by its own recovery, from position to
/// position.
pub(crate) struct Stock {
    cluster: Cluster,
    archive: std::path::PathBuf,
}

impl Stock {
    pub(crate) fn new(cluster: Cluster, archive: &Path) -> Result<Self> {
        let stock = Self { cluster, archive: archive.to_path_buf() };
        std::fs::write(stock.cluster.data.join("recovery.signal"), "")?;
        Ok(stock)
    }

    /// Recovers up to a position, and what is there when a copy of it is promoted.
    pub(crate) fn at(&self, lsn: &str, copy: &Path) -> Result<Vec<String>> {
        self.cluster.configure(&self.target(lsn, "shutdown"))?;
        // It stops by itself, and calls that a failure of its start.
        let stopped = self.cluster.recover();
        let state = run(self.cluster.programs.command("pg_controldata").arg(&self.cluster.data))?;
        ensure!(state.contains("shut down in recovery"), "stock recovery: {stopped:?}\n{state}");
        run(std::process::Command::new("cp").arg("-a").arg(&self.cluster.data).arg(copy))?;
        let promoted =
            Cluster { programs: self.cluster.programs.clone(), data: copy.to_path_buf() };
        promoted.configure(&self.target(lsn, "promote"))?;
        promoted.start()?;
        let dumped = promoted.wait().and_then(|()| dump(&promoted));
        promoted.stop("immediate")?;
        std::fs::remove_dir_all(copy)?;
        dumped
    }

    fn target(&self, lsn: &str, action: &str) -> String {
        format!(
            "restore_command = 'cp {}/%f %p'\nrecovery_target_lsn = '{lsn}'\n\
             recovery_target_inclusive = off\nrecovery_target_action = '{action}'\n\
             hot_standby = off\narchive_mode = off\n",
            self.archive.display()
        )
    }
}
