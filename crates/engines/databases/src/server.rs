//! The distribution's own PostgreSQL: where its programs are, of which release, and how it is started.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cairn_env::Clock;

use crate::error::Error;

/// The major version that is known.
pub const MAJOR: u32 = 15;
/// Its minor releases whose redo was compared with ours, block by block.
pub const CERTIFIED: [u32; 1] = [18];

/// Where packages put the programs of this major version.
const PLACES: [&str; 6] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/pgsql-15/bin",
    "/usr/local/pgsql/bin",
    "/usr/local/opt/postgresql@15/bin",
    "/opt/homebrew/opt/postgresql@15/bin",
    "/usr/libexec/postgresql15",
];
const LOG_FILE: &str = "server.log";
const START_SECONDS_MAX: u64 = 300;
const LOOK_EVERY: Duration = Duration::from_millis(2);
const LOG_BYTES_SHOWN: usize = 2000;

/// An installed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its directory of programs.
    pub programs: PathBuf,
    /// What it says of its version.
    pub version: String,
    /// Its minor release.
    pub minor: u32,
}

/// A server that was started; it goes on when this is dropped.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// The directory of its socket.
    pub socket: PathBuf,
    /// Its port, which is part of the socket's name.
    pub port: u16,
    /// From the start of its process to the moment when it lets clients in.
    pub took: Duration,
    /// Its log.
    pub log: PathBuf,
}

impl Server {
    /// Looks for a server: in this directory, or else in `PATH` and where packages put it.
    ///
    /// # Errors
    /// [`Error::Server`] with the places that were looked at.
    pub fn find(directory: Option<&Path>) -> Result<Self, Error> {
        let places: Vec<PathBuf> = match directory {
            Some(directory) => vec![directory.to_path_buf()],
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let known = PLACES.iter().map(PathBuf::from);
                std::env::split_paths(&path).chain(known).collect()
            }
        };
        let mut others = Vec::new();
        for place in &places {
            // A link may stand in for it, without the other programs beside it.
            let Ok(program) = fs::canonicalize(place.join("postgres")) else { continue };
            match version(&program) {
                Some((MAJOR, minor, version)) => {
                    let programs = program.parent().unwrap_or(place).to_path_buf();
                    return Ok(Self { programs, version, minor });
                }
                Some((_, _, version)) => others.push(format!("{} has {version}", place.display())),
                None => {}
            }
        }
        if others.is_empty() {
            let looked = places.iter().map(|place| place.display().to_string());
            others.push(format!("looked in {}", looked.collect::<Vec<_>>().join(", ")));
        }
        Err(Error::Server(format!(
            "no server of PostgreSQL {MAJOR} was found ({}); install it (Debian: apt-get install \
             postgresql-{MAJOR}), or name its directory of programs",
            others.join("; ")
        )))
    }

    /// Whether our redo was compared with that of this release.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        CERTIFIED.contains(&self.minor)
    }

    /// Starts the server on a data directory, and waits until it lets clients in by a socket in that
    /// directory.
    ///
    /// # Errors
    /// [`Error::Server`] with the end of its log.
    pub async fn start(
        &self,
        directory: &Path,
        port: u16,
        clock: &dyn Clock,
    ) -> Result<Running, Error> {
        let unread = |source| Error::Read { path: directory.to_path_buf(), source };
        let directory = fs::canonicalize(directory).map_err(unread)?;
        let log = directory.join(LOG_FILE);
        let unwritten = |source| Error::Write { path: log.clone(), source };
        let out = File::create(&log).map_err(unwritten)?;
        let mut command = Command::new(self.programs.join("postgres"));
        command.arg("-D").arg(&directory).arg("-k").arg(&directory);
        command.args(["-p", &port.to_string(), "-c", "listen_addresses="]);
        command.args(["-c", "unix_socket_permissions=0700", "-c", "logging_collector=off"]);
        command.args(["-c", "log_destination=stderr"]);
        command.current_dir(&directory).stdin(Stdio::null()).process_group(0);
        command.stdout(out.try_clone().map_err(unwritten)?).stderr(out);
        own(&directory, &mut command)?;
        let begun = clock.monotonic();
        let mut child = command.spawn().map_err(|source| {
            Error::Server(format!("{} cannot be started: {source}", self.programs.display()))
        })?;
        let port_file = directory.join("postmaster.pid");
        loop {
            if is_ready(&port_file) {
                let took = clock.monotonic().saturating_sub(begun);
                return Ok(Running { pid: child.id(), socket: directory, port, took, log });
            }
            let late = clock.monotonic().saturating_sub(begun).as_secs() > START_SECONDS_MAX;
            if late || has_ended(&mut child) {
                let why = if late { "is not ready after minutes" } else { "ended" };
                return Err(Error::Server(format!("the server {why}: {}", end_of(&log))));
            }
            clock.sleep(LOOK_EVERY).await;
        }
    }
}

/// Major and minor of a program, and what it says.
fn version(program: &Path) -> Option<(u32, u32, String)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(said: &str) -> Option<(u32, u32, String)> {
    let number = said.split(' ').nth(2)?.trim();
    let (major, minor) = number.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?, number.to_owned()))
}

/// The last line of the file tells how far the server is.
fn is_ready(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().nth(7).is_some_and(|status| matches!(status.trim(), "ready" | "standby"))
}

fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let from = text.len().saturating_sub(LOG_BYTES_SHOWN);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[from..].trim().to_owned()
}

/// A server does not run as root: then it runs as the owner of its programs' cluster, the user
/// `postgres`, to whom the directory is given.
fn own(directory: &Path, command: &mut Command) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let (uid, gid) = user(&users, "postgres").ok_or_else(|| {
        let detail = "a server does not run as root, and there is no user postgres; run this as \
                      another user";
        Error::Server(detail.to_owned())
    })?;
    give(directory, uid, gid)?;
    command.uid(uid).gid(gid);
    Ok(())
}

/// A user's number and group, of a file in the form of `/etc/passwd`.
fn user(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Gives a directory with all that is below it away.
fn give(path: &Path, uid: u32, gid: u32) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_path_buf(), source };
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        there => there.map_err(failed)?,
    };
    if there.is_symlink() {
        return Ok(());
    }
    if (there.uid(), there.gid()) != (uid, gid) {
        chown(path, Some(uid), Some(gid)).map_err(failed)?;
    }
    if there.is_dir() {
        for entry in fs::read_dir(path).map_err(failed)? {
            give(&entry.map_err(failed)?.path(), uid, gid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_understood() {
        let said = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_version(said), Some((15, 18, "15.18".to_owned())));
        assert_eq!(parse_version("postgres (PostgreSQL) 9.6\n").map(|v| v.0), Some(9));
        for said in ["", "postgres", "postgres (PostgreSQL) 16beta1"] {
            assert_eq!(parse_version(said), None);
        }
    }

    #[test]
    fn a_user_is_found() {
        let users = "root:x:0:0::/:/bin/sh\npostgres:x:105:111:,,,:/var:/bin/bash\n";
        assert_eq!(user(users, "postgres"), Some((105, 111)));
        assert_eq!(user(users, "post"), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = Server::find(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("apt-get install postgresql-15"), "{error}");
    }
}
