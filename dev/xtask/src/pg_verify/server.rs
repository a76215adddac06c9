//! PostgreSQL's own programs, and one cluster below a work folder.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command;

/// The major version whose log we know.
pub(super) const MAJOR: &str = "15";
/// Who runs a server: it refuses to be root.
const SERVER_USER: &str = "postgres";
/// Part of the names of sockets only: a server listens nowhere else.
const PORT: &str = "5432";

/// How many transactions and multixacts a page and a segment of their status have.
const XIDS_PER_PAGE: u32 = 8192 * 4;
const XIDS_PER_SEGMENT: u32 = XIDS_PER_PAGE * 32;
const MULTIXACTS_PER_PAGE: u32 = 8192 / 4;
const MULTIXACTS_PER_SEGMENT: u32 = MULTIXACTS_PER_PAGE * 32;

/// The programs of one installation.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) bin: PathBuf,
    pub(super) library: PathBuf,
    /// Whether they must run as another user.
    as_root: bool,
}

impl Programs {
    /// Looks where the system has them.
    pub(super) fn find() -> Result<Self> {
        let debian = PathBuf::from(format!("/usr/lib/postgresql/{MAJOR}/bin"));
        let config = command::output(Command::new("pg_config").arg("--bindir"));
        let told = config.ok().map(|dir| PathBuf::from(dir.trim()));
        let of_major = |bin: &PathBuf| {
            let version = command::output(Command::new(bin.join("postgres")).arg("--version"));
            version.is_ok_and(|text| text.contains(&format!(") {MAJOR}.")))
        };
        let Some(bin) = told.into_iter().chain([debian]).find(of_major) else {
            bail!("no PostgreSQL {MAJOR} is installed; `cargo xtask setup --group test` does it");
        };
        let uid = command::output(Command::new("id").arg("-u"))?;
        let config = bin.join("pg_config");
        let library = command::output(Command::new(config).arg("--pkglibdir"))?;
        Ok(Self { bin, library: library.trim().into(), as_root: uid.trim() == "0" })
    }

    /// The installed release, as its package is versioned.
    pub(super) fn package_version(&self) -> Result<String> {
        let package = format!("postgresql-{MAJOR}");
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat", "${source:Version}", &package]);
        Ok(command::output(&mut query)?.trim().to_string())
    }

    /// A program that runs as the server's user.
    pub(super) fn program(&self, program: impl AsRef<Path>) -> Command {
        let program = self.bin.join(program);
        let mut command = if self.as_root {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={SERVER_USER}"));
            command.arg(format!("--regid={SERVER_USER}")).args(["--init-groups", "--"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env("LC_ALL", "C").env_remove("PGDATA").current_dir("/");
        command
    }

    /// Makes a folder that the server's user owns.
    pub(super) fn folder(&self, path: &Path) -> Result<()> {
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        self.give(path)
    }

    /// Makes the server's user the owner of all below a path.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        if self.as_root {
            command::output(Command::new("chown").args(["-R", SERVER_USER]).arg(path))?;
        }
        Ok(())
    }
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// With a checkpoint.
    Clean,
    /// At once: the next start recovers.
    Crash,
}

/// A cluster: `data`, its `log`, and `base`, the copy that was made before it ran.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    pub(super) programs: &'a Programs,
    pub(super) dir: PathBuf,
    running: bool,
}

impl<'a> Cluster<'a> {
    /// Makes one, with settings and segments of so many MiB.
    pub(super) fn create(
        programs: &'a Programs,
        dir: PathBuf,
        segment_mib: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        programs.folder(&dir)?;
        let cluster = Self { programs, dir, running: false };
        let mut initdb = programs.program("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--no-locale"]);
        initdb.args(["--encoding=UTF8", &format!("--wal-segsize={segment_mib}"), "--pgdata"]);
        command::output(initdb.arg(cluster.data()))?;
        let mut text = format!(
            "listen_addresses = ''\nport = {PORT}\nunix_socket_directories = '{}'\n",
            cluster.dir.display()
        );
        for (name, value) in settings {
            text += &format!("{name} = '{value}'\n");
        }
        let mut file = File::options().append(true).open(cluster.data().join("postgresql.conf"))?;
        file.write_all(text.as_bytes())?;
        Ok(cluster)
    }

    /// Moves the counters of transactions and multixacts of a cluster that never ran, so that they soon
    /// come to new pages, and so that there are old segments that may go.
    pub(super) fn advance_counters(&mut self) -> Result<()> {
        const SEGMENT_BYTES: usize = 32 * 8192;
        let mut reset = self.programs.program("pg_resetwal");
        reset.arg(format!("--next-transaction-id={}", XIDS_PER_SEGMENT + XIDS_PER_PAGE - 1000));
        let multixact = MULTIXACTS_PER_SEGMENT + MULTIXACTS_PER_PAGE - 2;
        reset.arg(format!("--multixact-ids={multixact},1"));
        command::output(reset.arg("--pgdata").arg(self.data()))?;
        for segment in ["pg_xact/0001", "pg_multixact/offsets/0001"] {
            let path = self.data().join(segment);
            std::fs::write(&path, vec![0; SEGMENT_BYTES])?;
            self.programs.give(&path)?;
        }
        // The control file has lost the settings: a recovery would find them too low.
        self.start(&[])?;
        self.stop(Stop::Clean)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The log: nothing of it goes while the cluster has `wal_keep_size`.
    pub(super) fn wal(&self) -> PathBuf {
        self.data().join("pg_wal")
    }

    /// Copies the stopped cluster to a folder beside it.
    pub(super) fn copy(&self, name: &str) -> Result<PathBuf> {
        let to = self.dir.join(name);
        command::output(Command::new("cp").arg("-a").arg(self.data()).arg(&to))?;
        Ok(to)
    }

    /// Starts the server, with settings for this time only.
    pub(super) fn start(&mut self, settings: &[&str]) -> Result<()> {
        let options: Vec<String> = settings.iter().map(|set| format!("-c {set}")).collect();
        let mut start = self.programs.program("pg_ctl");
        start.args(["--wait", "--silent", "--timeout=300", "start", "--pgdata"]).arg(self.data());
        start.arg("--log").arg(self.dir.join("server.log"));
        start.arg("--options").arg(options.join(" "));
        // The server keeps what it inherits: a pipe of ours would never end.
        let status = start.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        if !status.success() {
            bail!("the server does not start:\n{}", self.server_log_tail());
        }
        self.running = true;
        Ok(())
    }

    pub(super) fn stop(&mut self, how: Stop) -> Result<()> {
        let mode = if how == Stop::Clean { "--mode=fast" } else { "--mode=immediate" };
        let mut stop = self.programs.program("pg_ctl");
        stop.args(["--wait", "--silent", "--timeout=300", "stop", mode, "--pgdata"]);
        command::output(stop.arg(self.data()))?;
        self.running = false;
        Ok(())
    }

    /// Runs a script; what it prints goes to a file. An error of it ends it.
    pub(super) fn script(&self, script: &Path, variables: &[(&str, String)]) -> Result<()> {
        let name = script.file_stem().unwrap_or_default().to_string_lossy();
        let log = self.dir.join(format!("{name}.out"));
        let output = File::create(&log)?;
        let mut psql = self.client("psql");
        // One that waits for another of its own sessions would wait for ever.
        psql.env("PGOPTIONS", "-c statement_timeout=300s");
        psql.args(["--no-psqlrc", "--quiet", "--dbname=postgres", "--set=ON_ERROR_STOP=1"]);
        for (name, value) in variables {
            psql.arg(format!("--set={name}={value}"));
        }
        let script_file =
            File::open(script).with_context(|| format!("cannot read {}", script.display()))?;
        psql.stdin(script_file).stdout(output.try_clone()?).stderr(output);
        if !psql.status()?.success() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("{} failed:\n{}", script.display(), tail(&text));
        }
        Ok(())
    }

    /// What a query says.
    pub(super) fn query(&self, query: &str) -> Result<String> {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--dbname=postgres", "--command"]);
        Ok(command::output(psql.arg(query))?.trim().to_string())
    }

    /// A program that connects to the server.
    pub(super) fn client(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.programs.program(program);
        command.env("PGHOST", &self.dir).env("PGPORT", PORT).env("PGUSER", "postgres");
        command
    }

    pub(super) fn server_log_tail(&self) -> String {
        tail(&std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default())
    }

    /// Where the last checkpoint of the stopped cluster is.
    pub(super) fn checkpoint(&self) -> Result<String> {
        let mut control = self.programs.program("pg_controldata");
        let text = command::output(control.arg(self.data()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Latest checkpoint location:"));
        line.map(|lsn| lsn.trim().to_string()).context("pg_controldata names no checkpoint")
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        if self.running
            && let Err(error) = self.stop(Stop::Crash)
        {
            eprintln!("pg-verify: {error:#}");
        }
    }
}

/// The last lines of a log.
pub(super) fn tail(text: &str) -> String {
    const LINES_SHOWN: usize = 20;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}
