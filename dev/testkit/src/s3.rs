//! A real S3 server for one test.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::tool;

const PROGRAM: &str = "versitygw";
const ACCESS_KEY: &str = "testkit";
const SECRET_KEY: &str = "testkit-secret";
/// The bucket that exists from the start.
pub const BUCKET: &str = "cairn";
/// Another program may take the port between our look and the server's.
const START_ATTEMPTS_MAX: u32 = 5;
const READY_ATTEMPTS_MAX: u32 = 3000;
const READY_PAUSE: Duration = Duration::from_millis(10);

/// A server on a free port of this machine with its own directory. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Server {
    /// Starts a server that holds the empty bucket [`BUCKET`].
    ///
    /// # Errors
    /// When the program is missing or does not begin to answer.
    pub fn start() -> Result<Self> {
        let program = tool::find(PROGRAM)?;
        let mut last = None;
        for _ in 0..START_ATTEMPTS_MAX {
            match Self::start_once(&program) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no attempt was made")))
    }

    fn start_once(program: &Path) -> Result<Self> {
        let dir = tempfile::tempdir().context("cannot make a directory for the server")?;
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join(BUCKET)).context("cannot make the bucket")?;
        let log = File::create(dir.path().join("log")).context("cannot make the server's log")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--health", "/health"])
            .args(["--port", &address.to_string(), "posix"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { child, address, dir };
        server.wait_ready()?;
        Ok(server)
    }

    fn wait_ready(&mut self) -> Result<()> {
        for _ in 0..READY_ATTEMPTS_MAX {
            if let Some(status) = self.child.try_wait()? {
                bail!("{PROGRAM} stopped at once ({status}):\n{}", self.log());
            }
            if answers(self.address) {
                return Ok(());
            }
            // tidy: foreign process
            std::thread::sleep(READY_PAUSE);
        }
        bail!("{PROGRAM} does not answer on {}:\n{}", self.address, self.log())
    }

    /// What the server printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The URL of a place in the bucket.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// `http://HOST:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The environment in which S3 clients find the server.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            pair("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            pair("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            pair("AWS_REGION", "us-east-1"),
            pair("AWS_ENDPOINT_URL", &self.endpoint()),
            pair("AWS_ALLOW_HTTP", "true"),
        ]
    }

    /// Where the server keeps its buckets.
    #[must_use]
    pub fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have stopped by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_live_side_by_side_and_die_when_dropped() {
        let (first, second) = (Server::start().unwrap(), Server::start().unwrap());
        assert_ne!(first.endpoint(), second.endpoint());
        let address = first.address;
        drop(first);
        assert!(!answers(address));
        assert!(answers(second.address));
    }
}
