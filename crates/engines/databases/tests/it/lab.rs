//! A small cluster with a past: made once, read by all tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cairn_databases::{
    Archive, Error, RestoreOptions, Restored, Role, Running, Server, Target, restore,
};
use cairn_env::Env;
use cairn_testkit::postgres::{Cluster, Programs, run};
use tempfile::TempDir;

const PAGES: usize = 600;
const PORT: u16 = 5432;

/// What the cluster was told to do, step by step.
const STEPS: [&str; 8] = [
    "create table t (id serial primary key, v text); insert into t (v) select 'a' from \
     generate_series(1, 3000); create unlogged table u as select 1 as i; \
     create table p (v text)",
    "delete from t where id % 3 = 0",
    "vacuum t",
    "begin; insert into p values ('prepared'); prepare transaction 'p'",
    "create database copied strategy file_copy",
    "truncate t",
    "commit prepared 'p'",
    "alter system set max_connections = 33",
];

/// A moment of the past, and what was there.
pub(crate) struct Mark {
    pub(crate) at: String,
    /// Microseconds since 2000.
    pub(crate) time: i64,
    pub(crate) seen: String,
}

pub(crate) struct Lab {
    pub(crate) programs: Programs,
    dir: TempDir,
    pub(crate) base: PathBuf,
    pub(crate) backup: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) marks: Vec<Mark>,
}

pub(crate) static LAB: LazyLock<Lab> = LazyLock::new(|| Lab::make().unwrap());

const LOOK: &str = "select (select count(*) from t) + (select count(*) from p), (select count(*) from pg_database), \
    (select coalesce(string_agg(gid, ','), '-') from pg_prepared_xacts)";

const NOW: &str =
    "select (extract(epoch from clock_timestamp()) * 1000000)::bigint - 946684800000000";

impl Lab {
    fn make() -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let dir = tempfile::tempdir()?;
        open_to_all(dir.path())?;
        let path = |name: &str| dir.path().join("lab").join(name);
        programs.directory(&path(""))?;
        let (data, base, archive) = (path("data"), path("base"), path("archive"));
        programs.directory(&archive)?;
        // Small segments, so that the log has several, and checksums, which their program checks.
        let cluster = Cluster::init(&programs, &data, &["-k", "-N", "--wal-segsize=1"])?;
        cluster.configure(&format!(
            "max_prepared_transactions = 5\nfsync = off\narchive_mode = on\n\
             archive_command = 'cp %p {}/%f'\nautovacuum = off\n",
            archive.display()
        ))?;
        run(Command::new("cp").arg("-a").arg(&data).arg(&base))?;
        cluster.start()?;
        let mut marks = Vec::new();
        for (number, step) in STEPS.iter().enumerate() {
            let mut command = cluster.client("psql");
            command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]);
            for sql in step.split(';') {
                command.arg("-c").arg(sql);
            }
            run(&mut command)?;
            let seen = cluster.sql("postgres", LOOK)?;
            let at = cluster.sql("postgres", "select pg_current_wal_flush_lsn()")?;
            let time = cluster.sql("postgres", NOW)?.parse()?;
            marks.push(Mark { at, time, seen });
            if number == 2 {
                let mut backup = programs.command("pg_basebackup");
                backup.arg("-D").arg(path("backup")).args(["-X", "none", "-c", "fast"]);
                run(backup.env("PGHOST", &data))?;
            }
        }
        cluster.sql("postgres", "select pg_switch_wal()")?;
        cluster.stop("fast")?;
        for entry in std::fs::read_dir(data.join("pg_wal"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), archive.join(entry.file_name()))?;
            }
        }
        let backup = path("backup");
        Ok(Self { programs, dir, base, backup, archive, marks })
    }

    /// A directory that nobody has used.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn options(&self, name: &str, target: Target) -> RestoreOptions {
        RestoreOptions {
            base: self.base.clone(),
            out: self.out(name),
            target,
            role: Role::Primary,
            pages: PAGES,
        }
    }

    pub(crate) fn restore(&self, options: &RestoreOptions) -> Result<Restored, Error> {
        restore(&Archive::open(&self.archive).unwrap(), options, &|_| ())
    }

    /// What a server that is started on a directory shows.
    pub(crate) fn look(&self, out: &Path) -> String {
        let (cluster, _) = self.start(out);
        let seen = cluster.sql("postgres", LOOK).unwrap();
        cluster.stop("immediate").unwrap();
        seen
    }

    pub(crate) fn start(&self, out: &Path) -> (Cluster, Running) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let running = runtime.block_on(async {
            let env = Env::real();
            Server::find(None).unwrap().start(out, PORT, env.clock.as_ref()).await.unwrap()
        });
        (Cluster { programs: self.programs.clone(), data: out.to_path_buf() }, running)
    }
}

/// Servers run as another user.
fn open_to_all(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
