//! A workload with something of everything: all index types, prepared transactions, rows that are
//! locked, tables that are cut, rewritten and dropped, databases made both ways.

use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Result, ensure};

use crate::cluster::{Cluster, Programs, run};

const ROUNDS: u32 = 4;
const SECONDS: &str = "4";

const SETUP: &str = "
    create extension bloom; create extension amcheck;
    create table h (id int, t text, arr int[], p point, s text);
    create index on h (id); create index on h using hash (id); create index on h using gin (arr);
    create index on h using gist (p); create index on h using spgist (s);
    create index on h using brin (id); create index on h using bloom (id);
    create table prepared (like h);
    create unlogged table unlogged (i int); insert into unlogged select generate_series(1, 1000);
    create index on unlogged (i);
    create table numbered (id serial, v text);";

const MIX: &str = "\\set a random(1, 500000)
\\set k random(1, 12)
begin;
insert into h values (:a, md5(:a::text), array[:a % 10, :k], point(:a % 100, :k), :a::text);
delete from h where id = :a - 7;
savepoint s;
select * from pgbench_branches where bid = 1 + :a % 5 for key share;
update h set t = t || 'x' where id = :a - 3;
rollback to s;
insert into numbered (v) values ('n');
commit;
";

/// Statements of a round, each by itself; `$` is the round.
const ROUND: [&str; 14] = [
    "begin; insert into prepared values (1, 'p$', array[1], point(1, 1), 'x');
     prepare transaction 'stays $'",
    "begin; insert into prepared values (2, 'c$', array[1], point(1, 1), 'x');
     prepare transaction 'ends $'; commit prepared 'ends $'",
    "create database logged$ strategy wal_log",
    "create database copied$ strategy file_copy",
    "create table t$ as select g, md5(g::text) m from generate_series(1, 20000) g;
     alter table t$ add primary key (g)",
    "truncate t$; insert into t$ select g, 'z' from generate_series(1, 100) g",
    "delete from t$ where g > 50",
    "vacuum t$",
    "vacuum (freeze) h",
    "cluster pgbench_tellers using pgbench_tellers_pkey",
    "vacuum full pg_class",
    "reindex table h",
    "select pg_replication_origin_create('origin $');
     select pg_replication_origin_session_setup('origin $');
     begin; select pg_replication_origin_xact_setup('0/12345$', now());
     insert into numbered (v) values ('o'); commit; select pg_replication_origin_session_reset()",
    "alter system set max_connections = 10$",
];

const IN_LOGGED: &str =
    "create table t as select g, repeat('y', 300) r from generate_series(1, 5000) g;
    create index on t (g); delete from t where g % 3 = 0";

/// What a workload left.
pub(crate) struct Made {
    /// A copy from before it.
    pub(crate) base: PathBuf,
    /// Its log.
    pub(crate) archive: PathBuf,
}

/// Runs it in a directory.
pub(crate) fn make(programs: &Programs, work: &Path, checksums: bool) -> Result<Made> {
    let (data, base, archive) = (work.join("data"), work.join("base"), work.join("archive"));
    programs.directory(&archive)?;
    let cluster = Cluster::init(programs, &data, if checksums { &["-k", "-N"] } else { &["-N"] })?;
    cluster.configure(&format!(
        "max_prepared_transactions = 20\ntrack_commit_timestamp = on\nwal_level = logical\n\
         archive_mode = on\narchive_command = 'cp %p {}/%f'\nfsync = off\n\
         autovacuum_naptime = 5s\nmax_wal_size = 200MB\n",
        archive.display()
    ))?;
    run(std::process::Command::new("cp").arg("-a").arg(&data).arg(&base))?;
    let mix = work.join("mix.sql");
    std::fs::write(&mix, MIX)?;
    cluster.start()?;
    let done = rounds(&cluster, &mix);
    let stopped = cluster.stop("fast");
    done?;
    stopped?;
    // What was not archived when it stopped.
    for entry in std::fs::read_dir(data.join("pg_wal"))? {
        let entry = entry?;
        let target = archive.join(entry.file_name());
        if entry.file_type()?.is_file() && !target.exists() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    std::fs::remove_dir_all(&data)?;
    Ok(Made { base, archive })
}

fn rounds(cluster: &Cluster, mix: &Path) -> Result<()> {
    run(cluster.client("pgbench").args(["-i", "-s", "5", "-q", "postgres"]))?;
    cluster.sql("postgres", SETUP)?;
    for round in 1..=ROUNDS {
        bench(cluster, mix)?;
        for sql in ROUND {
            one_by_one(cluster, "postgres", &sql.replace('$', &round.to_string()))?;
        }
        one_by_one(cluster, &format!("logged{round}"), IN_LOGGED)?;
        cluster.sql(&format!("logged{round}"), "vacuum t")?;
        one_by_one(cluster, &format!("copied{round}"), IN_LOGGED)?;
        if round == 3 {
            for sql in [
                "drop database logged1",
                "drop database copied1",
                "rollback prepared 'stays 1'",
                "drop table t1",
            ] {
                cluster.sql("postgres", sql)?;
            }
            // A crash, and the settings that were changed take effect.
            cluster.stop("immediate")?;
            cluster.start()?;
        }
    }
    cluster.sql("postgres", "select pg_switch_wal()").map(drop)
}

/// Each statement in a transaction of its own, as `psql` does with its standard input.
fn one_by_one(cluster: &Cluster, database: &str, sql: &str) -> Result<()> {
    let mut command = cluster.client("psql");
    command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database]);
    for statement in sql.split(';') {
        command.arg("-c").arg(statement);
    }
    run(&mut command).map(drop)
}

/// Two loads side by side.
fn bench(cluster: &Cluster, mix: &Path) -> Result<()> {
    let load = |arguments: &[&str]| -> Result<Child> {
        let mut command = cluster.client("pgbench");
        command.args(["-n", "-T", SECONDS]).args(arguments).arg("postgres");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Ok(command.spawn()?)
    };
    let mix = mix.display().to_string();
    let loads = [load(&["-c", "4"])?, load(&["-c", "3", "-f", &mix])?];
    for mut load in loads {
        ensure!(load.wait()?.success(), "pgbench failed");
    }
    Ok(())
}
