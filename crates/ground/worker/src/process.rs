//! The process of a worker, as its node sees it.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_env::Env;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::{oneshot, watch};

/// The exit code of a worker that cannot be confined here.
pub(crate) const UNCONFINED: u8 = 3;
/// Bytes of its last words that are kept.
pub(crate) const WORDS_BYTES_MAX: usize = 4096;

/// What is started: a program that calls [`crate::told`].
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it is told.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This very program as a worker; also when there is another version in its place by now.
    #[must_use]
    pub fn this() -> Self {
        Self::told(crate::worker::WORD)
    }

    pub(crate) fn told(word: &str) -> Self {
        Self { path: "/proc/self/exe".into(), arguments: vec![word.into()] }
    }
}

/// How a worker ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// In words: a signal, or an exit code.
    pub(crate) how: String,
    /// What it wrote last.
    pub(crate) words: String,
    /// It cannot be confined here, as its last words say.
    pub(crate) unconfined: bool,
}

impl End {
    fn unknown() -> Self {
        Self { how: "nobody knows how".to_owned(), words: String::new(), unconfined: false }
    }
}

/// A process. It is killed when this is dropped.
pub(crate) struct Process {
    /// As long as it is not waited for.
    pid: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<Option<End>>,
}

/// It, and the two sockets that it has: one by which it is asked, and one by which it asks.
pub(crate) type Started = (Process, UnixStream, UnixStream);

impl Process {
    /// Starts one, on a thread that waits for its end: the kernel ends it with that thread.
    pub(crate) async fn start(program: &Program, env: &Env) -> std::io::Result<Started> {
        let (calls, its_calls) = UnixStream::pair()?;
        let (asks, its_asks) = UnixStream::pair()?;
        for socket in [&calls, &asks] {
            socket.set_nonblocking(true)?;
        }
        let (tell, told) = oneshot::channel();
        let program = program.clone();
        let work = move || {
            let child = spawn(&program, its_calls.into(), its_asks.into());
            follow(child, tell);
        };
        let lost = |_| std::io::Error::other("there is no thread left for it");
        env.spawn.thread(Box::new(work)).map_err(lost)?;
        let lost = |_| std::io::Error::other("its thread ended early");
        Ok((told.await.map_err(lost)??, calls, asks))
    }

    pub(crate) fn lives(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&self) -> End {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        end.unwrap_or_else(End::unknown)
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        let pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        pid.map(|pid| pid.as_raw_nonzero().get())
    }

    pub(crate) fn kill(&self) {
        let pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid {
            // Its number is its own until somebody has waited for it.
            let _gone = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// It gets nothing of this process but the two sockets and a pipe for its last words.
fn spawn(program: &Program, calls: OwnedFd, asks: OwnedFd) -> std::io::Result<Child> {
    command(program).stdin(calls).stdout(asks).stderr(Stdio::piped()).spawn()
}

/// A process that gets nothing of this one but its standard streams: no variable, no terminal, no folder.
pub(crate) fn command(program: &Program) -> Command {
    let mut command = Command::new(&program.path);
    command.arg0("cairn").args(&program.arguments).env_clear().current_dir("/").process_group(0);
    command
}

/// Tells of its start and, to who has it then, of its end.
fn follow(child: std::io::Result<Child>, tell: oneshot::Sender<std::io::Result<Process>>) {
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = Arc::new(Mutex::new(id));
    let (end, ended) = watch::channel(None);
    // Dropped with who does not want it any more, and killed.
    drop(tell.send(Ok(Process { pid: Arc::clone(&pid), ended })));
    let words = last_words(&mut child);
    if let Some(id) = id {
        let looked = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let wait = || rustix::process::waitid(WaitId::Pid(id), looked);
        while matches!(wait(), Err(rustix::io::Errno::INTR)) {}
    }
    *pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let end_of = |status| End { how: said(status), words, unconfined: is_unconfined(status) };
    let lost = |error: std::io::Error| End { how: error.to_string(), ..End::unknown() };
    end.send_replace(Some(child.wait().map_or_else(lost, end_of)));
}

/// What it writes to its standard error; the end of it, where it is long.
fn last_words(child: &mut Child) -> String {
    let Some(mut from) = child.stderr.take() else { return String::new() };
    let (mut words, mut read) = (Vec::new(), [0; WORDS_BYTES_MAX]);
    while let Ok(count @ 1..) = from.read(&mut read) {
        words.extend_from_slice(&read[..count]);
        words.drain(..words.len().saturating_sub(WORDS_BYTES_MAX));
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}

fn is_unconfined(status: ExitStatus) -> bool {
    status.code() == Some(UNCONFINED.into())
}

pub(crate) fn said(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => match Signal::from_named_raw(number) {
            Some(signal) => format!("signal {number} ({})", name(signal)),
            None => format!("signal {number}"),
        },
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "no exit code".to_owned(),
    }
}

/// As people write it.
fn name(signal: Signal) -> String {
    let shown = format!("{signal:?}");
    let name = shown.trim_matches('"').rsplit("::").next().unwrap_or_default();
    format!("SIG{name}")
}
