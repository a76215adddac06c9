//! A foreign server on a free port of this machine, with a directory of its own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{ask, tool};

/// Another program may take the port between our look and the server's.
const START_ATTEMPTS_MAX: u32 = 5;
const READY_ATTEMPTS_MAX: u32 = 3000;
const READY_PAUSE: Duration = Duration::from_millis(10);

/// How a program becomes a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) program: &'static str,
    /// Its arguments, from where it shall listen and where its data is.
    pub(crate) arguments: fn(SocketAddr, &Path) -> Vec<String>,
    /// What it answers once it is ready.
    pub(crate) ready: &'static str,
}

/// A server that answers. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    plan: Plan,
    program: PathBuf,
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Process {
    pub(crate) fn start(plan: Plan) -> Result<Self> {
        let program = tool::find(plan.program)?;
        let mut last = None;
        for _ in 0..START_ATTEMPTS_MAX {
            let dir = tempfile::tempdir().context("cannot make a directory for the server")?;
            let data = dir.path().join("data");
            std::fs::create_dir(&data).context("cannot make the server's data directory")?;
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let child = spawn(plan, &program, address, dir.path())?;
            let mut process = Self { plan, program: program.clone(), child, address, dir };
            match process.wait_ready() {
                Ok(()) => return Ok(process),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no attempt was made")))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// As `kill -9` does it. Killing it twice is no error.
    pub(crate) fn kill(&mut self) {
        // It may have stopped by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }

    /// Starts it again where it was, with the data that it had.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill();
        let mut last = None;
        for _ in 0..START_ATTEMPTS_MAX {
            self.child = spawn(self.plan, &self.program, self.address, self.dir.path())?;
            match self.wait_ready() {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no attempt was made")))
    }

    fn wait_ready(&mut self) -> Result<()> {
        let name = self.plan.program;
        for _ in 0..READY_ATTEMPTS_MAX {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} stopped at once ({status}):\n{}", self.log());
            }
            if ask::status(self.address, self.plan.ready, &[]).is_some() {
                return Ok(());
            }
            // tidy: foreign process
            std::thread::sleep(READY_PAUSE);
        }
        bail!("{name} does not answer on {}:\n{}", self.address, self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(plan: Plan, program: &Path, address: SocketAddr, dir: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join("log"));
    let log = log.context("cannot make the server's log")?;
    Command::new(program)
        .args((plan.arguments)(address, &dir.join("data")))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}
