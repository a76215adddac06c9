//! Our own workload, and what of PostgreSQL's log it is there to provoke.

use anyhow::Result;

use super::server::{Cluster, Stop};
use crate::command;
use crate::repo::Repo;

/// Where the scripts are.
const DIR: &str = "dev/pgverify/workload";

/// One thing that happens to the cluster.
enum Step {
    /// A script, and how pages in the log are compressed, for those that ask.
    Script(&'static str, &'static str),
    /// It ends so, and starts again with settings for that time.
    Restart(Stop, &'static [&'static str]),
    /// It crashes within a record that spans segments, of which the last are lost.
    LoseTail,
    /// It becomes a standby, and is promoted to a new timeline.
    Promote,
}

const STEPS: [Step; 17] = [
    Step::Script("start.sql", ""),
    Step::Script("heap.sql", ""),
    Step::Script("indexes.sql", ""),
    Step::Script("catalogs.sql", ""),
    Step::Script("freeze.sql", ""),
    // It leaves a prepared transaction, for which a new slot would wait.
    Step::Script("transactions.sql", ""),
    Step::Script("images.sql", "pglz"),
    Step::Restart(Stop::Clean, &["wal_log_hints=on"]),
    Step::Script("images.sql", "lz4"),
    Step::Script("images.sql", "zstd"),
    Step::Restart(Stop::Clean, &[]),
    Step::Script("images.sql", "off"),
    Step::Restart(Stop::Crash, &[]),
    Step::LoseTail,
    Step::Script("images.sql", "pglz"),
    Step::Promote,
    Step::Script("images.sql", "off"),
];

/// Record types that PostgreSQL's suite does not write, or seldom: the workload must.
pub(super) const PROVOKED: [(&str, &str); 51] = [
    ("pglz", "page compressed by pglz"),
    ("lz4", "page compressed by lz4"),
    ("zstd", "page compressed by zstd"),
    ("record over a whole segment", "large message"),
    ("XLOG/0x70", "restore point"),
    ("XLOG/0x60", "parameter change"),
    ("XLOG/0x90", "end of recovery on a new timeline"),
    ("XLOG/0xa0", "image for a hint"),
    ("XLOG/0xd0", "record that was cut off and written over"),
    ("Heap/0x30", "TRUNCATE"),
    ("Heap/0x50", "speculative insertion confirmed"),
    ("Heap/0x60", "row lock"),
    ("Heap/0x70", "change in place"),
    ("Heap2/0x00", "heap rewrite that a slot watches"),
    ("Heap2/0x10", "prune"),
    ("Heap2/0x20", "vacuum"),
    ("Heap2/0x30", "freeze"),
    ("Heap2/0x40", "visible"),
    ("Heap2/0x60", "lock along a chain"),
    ("Heap2/0x70", "command id of a catalog's row"),
    ("Btree/0x80", "page unlinked"),
    ("Btree/0x90", "page unlinked, and the fast root with it"),
    ("Btree/0xb0", "page half dead"),
    ("Btree/0xd0", "page used again"),
    ("Hash/0x50", "bucket split"),
    ("Hash/0x70", "entries moved along a chain"),
    ("Hash/0x80", "chain squeezed"),
    ("Hash/0xc0", "dead entries of a page"),
    ("Gin/0x40", "posting tree's page vacuumed whole or list of an entry"),
    ("Gin/0x50", "page deletion"),
    ("Gin/0x90", "posting list vacuumed"),
    ("Gist/0x10", "dead entries of a page"),
    ("Gist/0x20", "page used again"),
    ("Gist/0x60", "page deletion"),
    ("SPGist/0x60", "leaf vacuumed"),
    ("SPGist/0x70", "root vacuumed"),
    ("SPGist/0x80", "redirections vacuumed"),
    ("BRIN/0x20", "summary moved"),
    ("BRIN/0x40", "map extended"),
    ("Generic/0x00", "an extension's page"),
    ("CLOG/0x00", "page of transaction status"),
    ("CLOG/0x10", "transaction status truncated"),
    ("CommitTs/0x00", "page of commit timestamps"),
    ("CommitTs/0x10", "commit timestamps truncated"),
    ("MultiXact/0x00", "page of multixact offsets"),
    ("MultiXact/0x10", "page of multixact members"),
    ("MultiXact/0x30", "multixacts truncated"),
    ("ReplicationOrigin/0x00", "origin advanced"),
    ("ReplicationOrigin/0x10", "origin dropped"),
    ("LogicalMessage/0x00", "logical message"),
    ("Transaction/0x10", "prepared transaction"),
];

/// Runs it on a started cluster; `scale` multiplies rows.
pub(super) fn run(repo: &Repo, cluster: &mut Cluster<'_>, scale: u32) -> Result<()> {
    for step in STEPS {
        match step {
            Step::Script(name, method) => {
                let variables = [("scale", scale.to_string()), ("method", method.to_string())];
                cluster.script(&repo.path(DIR).join(name), &variables)?;
            }
            Step::Restart(how, settings) => {
                cluster.stop(how)?;
                cluster.start(settings)?;
            }
            Step::LoseTail => lose_tail(cluster)?,
            Step::Promote => promote(cluster)?,
        }
    }
    Ok(())
}

/// Leaves the beginning of a record: the next start has to write over it.
fn lose_tail(cluster: &mut Cluster<'_>) -> Result<()> {
    cluster.query("CHECKPOINT")?;
    let segment = cluster.query("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?;
    cluster.query("SELECT pg_logical_emit_message(false, 'lost', repeat('message', 600000))")?;
    cluster.stop(Stop::Crash)?;
    let mut later = Vec::new();
    for entry in std::fs::read_dir(cluster.wal())? {
        let entry = entry?;
        // The names of segments sort as their positions do.
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == segment.len() && name > segment {
            later.push(entry.path());
        }
    }
    later.sort();
    for path in later.iter().skip(1) {
        std::fs::remove_file(path)?;
    }
    cluster.start(&[])
}

fn promote(cluster: &mut Cluster<'_>) -> Result<()> {
    cluster.stop(Stop::Clean)?;
    let signal = cluster.data().join("standby.signal");
    std::fs::write(&signal, "")?;
    cluster.programs.give(&signal)?;
    cluster.start(&[])?;
    let mut promote = cluster.programs.program("pg_ctl");
    promote.args(["--wait", "--silent", "promote", "--pgdata"]).arg(cluster.data());
    command::output(&mut promote).map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_script_is_run() {
        let run = |step: &Step| match step {
            Step::Script(name, _) => Some((*name).to_string()),
            _ => None,
        };
        let run: BTreeSet<_> = STEPS.iter().filter_map(run).collect();
        let files = std::fs::read_dir(Repo::find().unwrap().path(DIR)).unwrap();
        let name = |file: std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
        assert_eq!(files.map(|file| name(file.unwrap())).collect::<BTreeSet<_>>(), run);
    }
}
