//! PostgreSQL's own programs on a directory of ours.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::tool;

/// Where packages put the programs.
const PLACE: &str = "/usr/lib/postgresql/15/bin";

/// Seconds that any program may take.
const SECONDS_MAX: &str = "120";
/// How often a server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ASKED_MAX: u32 = 10_000;

/// The programs, and as whom they run: a server does not run as root.
#[derive(Clone, Debug)]
pub struct Programs {
    directory: PathBuf,
    root: bool,
}

impl Programs {
    /// Finds those of PostgreSQL 15.
    ///
    /// # Errors
    /// When they are not installed.
    pub fn find() -> Result<Self> {
        let directory = match Path::new(PLACE).join("postgres").exists() {
            true => PathBuf::from(PLACE),
            false => {
                let program = std::fs::canonicalize(tool::find("postgres")?)?;
                program.parent().ok_or_else(|| anyhow!("postgres is nowhere"))?.to_path_buf()
            }
        };
        let output = Command::new("id").arg("-u").output().context("id")?;
        Ok(Self { directory, root: output.stdout == b"0\n" })
    }

    /// A program, run as whoever may run a server.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.arg(SECONDS_MAX);
        if self.root {
            command.args(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        let path = self.directory.join(program);
        command.arg(if path.exists() { path.into_os_string() } else { program.into() });
        command.env("PGUSER", "postgres").env_remove("PGDATABASE").current_dir("/");
        command
    }

    /// Makes a directory that those programs may write.
    ///
    /// # Errors
    /// When it cannot be made or given away.
    pub fn directory(&self, path: &Path) -> Result<()> {
        std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        if self.root {
            run(Command::new("chown").arg("postgres:postgres").arg(path))?;
        }
        Ok(())
    }
}

/// Runs a program to its end; what it printed.
///
/// # Errors
/// When it fails, with all that it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| shown.clone())?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{shown}: {}\n{}{}", output.status, out.trim(), err.trim());
    Ok(out.into_owned())
}

/// A cluster whose socket is in its directory.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What runs it.
    pub programs: Programs,
    /// Its data directory.
    pub data: PathBuf,
}

impl Cluster {
    /// Makes one.
    ///
    /// # Errors
    /// As [`run`].
    pub fn init(programs: &Programs, data: &Path, options: &[&str]) -> Result<Self> {
        let mut command = programs.command("initdb");
        run(command.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust"]).args(options))?;
        Ok(Self { programs: programs.clone(), data: data.to_path_buf() })
    }

    /// Adds lines to its configuration.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, lines: &str) -> Result<()> {
        let path = self.data.join("postgresql.auto.conf");
        let mut file = OpenOptions::new().append(true).open(&path)?;
        Ok(file.write_all(lines.as_bytes())?)
    }

    /// Starts its server, and waits until it runs.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn start(&self) -> Result<()> {
        let log = self.data.join("own.log");
        let options = format!("-k {} -c listen_addresses=", self.data.display());
        let mut command = self.programs.command("pg_ctl");
        command.arg("-D").arg(&self.data).args(["-w", "-t", "300", "-o", &options, "-l"]);
        // Its output would hold a pipe open.
        let status = command
            .arg(&log)
            .arg("start")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()?;
        if !status.success() {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let from = log.len().saturating_sub(2000);
            bail!("the server did not start: {}", log.get(from..).unwrap_or(&log));
        }
        Ok(())
    }

    /// Waits until clients are let in: `pg_ctl` waits for a recovery without readers no longer than
    /// for its begin.
    ///
    /// # Errors
    /// When that takes minutes.
    pub fn wait(&self) -> Result<()> {
        for _ in 0..ASKED_MAX {
            if run(&mut self.client("pg_isready")).is_ok() {
                return Ok(());
            }
            // tidy: foreign process
            std::thread::sleep(ASK_EVERY);
        }
        bail!("the server lets nobody in")
    }

    /// Runs a server until it stops by itself: where its recovery was told to.
    ///
    /// # Errors
    /// As [`run`]: it calls that a failure of its start.
    pub fn recover(&self) -> Result<()> {
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(&self.data).arg("-k").arg(&self.data);
        run(command.args(["-c", "listen_addresses="])).map(drop)
    }

    /// Stops its server: `fast`, or `immediate` as if by a crash.
    ///
    /// # Errors
    /// As [`run`].
    pub fn stop(&self, mode: &str) -> Result<()> {
        let mut command = self.programs.command("pg_ctl");
        run(command.arg("-D").arg(&self.data).args(["-w", "-m", mode, "stop"])).map(drop)
    }

    /// A client program at this server.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = self.programs.command(program);
        command.env("PGHOST", &self.data);
        command
    }

    /// Runs SQL; what it printed.
    ///
    /// # Errors
    /// As [`run`].
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = self.client("psql");
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        run(&mut command).map(|out| out.trim().to_owned())
    }
}
