//! Real object stores for tests: other people's servers, each from another hand.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::ask;
use crate::process::{Plan, Process};

/// The bucket, or container, that exists from the start.
pub const BUCKET: &str = "cairn";

const ACCESS_KEY: &str = "testkit";
const SECRET_KEY: &str = "testkit-secret";
/// Account and key that the emulator's manual gives to everybody.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A signature by that key, for making containers and nothing else.
const MAKE_CONTAINERS: &str = "sv=2020-08-04&ss=b&srt=c&sp=c&se=2099-01-01T00:00:00Z\
    &sig=TRDULb%2B8gQim4u2wts%2F6XC3IM08VpaB%2Fv27GbjaJYsY%3D";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// S3 by versitygw (Go), which keeps objects as files: they survive a restart.
    Versitygw,
    /// S3 by moto (Python), in memory. It takes any credentials.
    Moto,
    /// Azure Blob Storage by Azurite (JavaScript), in memory.
    Azurite,
}

/// A server on a free port of this machine. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    process: Process,
}

impl Server {
    /// Starts a server that holds the empty bucket [`BUCKET`].
    ///
    /// # Errors
    /// When the program is missing or does not begin to answer.
    pub fn start(kind: Kind) -> Result<Self> {
        let process = Process::start(kind.plan())?;
        let made = match kind {
            Kind::Versitygw => {
                std::fs::create_dir(process.data().join(BUCKET))?;
                Some(200)
            }
            Kind::Moto => {
                // It takes the service from the credential's scope.
                let scope = "Authorization: AWS4-HMAC-SHA256 \
                    Credential=testkit/20260101/us-east-1/s3/aws4_request";
                ask::status(process.address(), &format!("PUT /{BUCKET}"), &[scope])
            }
            Kind::Azurite => {
                let put = format!("PUT /{ACCOUNT}/{BUCKET}?restype=container&{MAKE_CONTAINERS}");
                ask::status(process.address(), &put, &[])
            }
        };
        ensure!(matches!(made, Some(200 | 201)), "{kind:?} made no bucket: {made:?}");
        Ok(Self { kind, process })
    }

    /// What the server printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The URL of a place in the bucket.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        let scheme = if self.kind == Kind::Azurite { "az" } else { "s3" };
        format!("{scheme}://{BUCKET}/{prefix}")
    }

    /// `http://HOST:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.process.address())
    }

    /// The environment in which clients find the server.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        let pairs = match self.kind {
            Kind::Versitygw | Kind::Moto => vec![
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
                ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ENDPOINT_URL", endpoint),
                ("AWS_ALLOW_HTTP", "true".to_owned()),
            ],
            Kind::Azurite => vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY.to_owned()),
                ("AZURE_ENDPOINT", format!("{endpoint}/{ACCOUNT}")),
                ("AZURE_ALLOW_HTTP", "true".to_owned()),
            ],
        };
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Where a server that keeps files keeps its buckets.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.process.data()
    }

    /// Ends the server as `kill -9` does: what it was doing stops in the middle.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server again on the same port, with the files that it had.
    ///
    /// # Errors
    /// When it does not begin to answer.
    pub fn restart(&mut self) -> Result<()> {
        self.process.restart()
    }
}

impl Kind {
    fn plan(self) -> Plan {
        match self {
            Self::Versitygw => {
                Plan { program: "versitygw", arguments: versitygw, ready: "GET /health" }
            }
            Self::Moto => Plan { program: "moto_server", arguments: moto, ready: "GET /moto-api/" },
            Self::Azurite => Plan { program: "azurite-blob", arguments: azurite, ready: "GET /" },
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn versitygw(address: SocketAddr, data: &Path) -> Vec<String> {
    let (address, data) = (address.to_string(), data.display().to_string());
    let keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY];
    words(&[&keys[..], &["--health", "/health", "--port", &address, "posix", &data]].concat())
}

fn moto(address: SocketAddr, _data: &Path) -> Vec<String> {
    words(&["-H", &address.ip().to_string(), "-p", &address.port().to_string()])
}

fn azurite(address: SocketAddr, _data: &Path) -> Vec<String> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let quiet = ["--inMemoryPersistence", "--silent", "--disableTelemetry"];
    words(&[&quiet[..], &["--blobHost", &host, "--blobPort", &port]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(server: &Server) -> bool {
        ask::status(server.process.address(), server.kind.plan().ready, &[]).is_some()
    }

    #[test]
    fn two_servers_live_side_by_side_and_die_when_dropped() {
        let start = || Server::start(Kind::Versitygw).unwrap();
        let (first, second) = (start(), start());
        assert_ne!(first.endpoint(), second.endpoint());
        let address = first.process.address();
        drop(first);
        assert!(ask::status(address, "GET /health", &[]).is_none());
        assert!(answers(&second));
    }

    #[test]
    fn a_killed_server_comes_back_where_it_was() {
        let mut server = Server::start(Kind::Versitygw).unwrap();
        let endpoint = server.endpoint();
        server.kill();
        assert!(!answers(&server));
        server.restart().unwrap();
        assert!(answers(&server));
        assert_eq!(server.endpoint(), endpoint);
        assert!(server.data().join(BUCKET).is_dir());
    }
}
