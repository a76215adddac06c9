//! Processes: started, heard, killed, and waited for with a deadline.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Whatever takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process and what it says.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

/// A process that ended.
pub(crate) struct Ended {
    /// What it printed.
    pub(crate) lines: Vec<String>,
    pub(crate) stderr: String,
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
}

impl Running {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, &[])
    }

    /// Starts it with this as its standard input, which is less than a pipe holds.
    pub(crate) fn start_with(command: Command, input: &[u8]) -> Self {
        assert!(input.len() <= 64 * 1024);
        let (running, mut stdin) = Self::held(command);
        // A process that does not read its input may be gone already.
        stdin.write_all(input).unwrap_or(());
        running
    }

    /// Starts it with a standard input that ends when the caller drops it.
    pub(crate) fn held(mut command: Command) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        });
        (Self { child, lines, heard: Vec::new(), stderr: Some(stderr) }, stdin)
    }

    /// Listens for so long, or until it ends. Whether it ended.
    fn listen(&mut self, time: Duration) -> bool {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(time.saturating_sub(start.elapsed())) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    /// Waits for the next line that it prints.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("it prints nothing more"));
        self.heard.push(line.clone());
        line
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        assert!(self.listen(PATIENCE), "it hangs");
        self.collect()
    }

    /// Kills it after so long, unless it ended before.
    pub(crate) fn kill_after(mut self, time: Duration) -> Ended {
        if !self.listen(time) {
            self.child.kill().unwrap();
        }
        // What it said before it was killed counts.
        assert!(self.listen(PATIENCE), "it survived kill -9");
        self.collect()
    }

    /// Does something after so long, or at its end.
    pub(crate) fn meanwhile(mut self, time: Duration, action: impl FnOnce()) -> Self {
        self.listen(time);
        action();
        self
    }

    pub(crate) fn kill(self) -> Ended {
        self.kill_after(Duration::ZERO)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn collect(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ended { lines: std::mem::take(&mut self.heard), stderr, code }
    }
}

impl Drop for Running {
    /// A test that failed leaves no process behind, and tells what it said.
    fn drop(&mut self) {
        let Some(stderr) = self.stderr.take() else { return };
        self.child.kill().unwrap_or(());
        drop(self.child.wait());
        if std::thread::panicking()
            && let Ok(said) = stderr.join()
        {
            println!("a process that was killed said:\n{said}");
        }
    }
}

impl Ended {
    pub(crate) fn stdout(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Whether it got to say that it was done.
    pub(crate) fn is_acknowledged(&self) -> bool {
        !self.lines.is_empty()
    }
}

/// Looks until there is something, as the work of another process appears in files only.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return found;
        }
        pause(Duration::from_millis(2));
    }
    panic!("{what} did not happen");
}

/// Gives another process time.
pub(crate) fn pause(time: Duration) {
    // tidy: foreign process
    std::thread::sleep(time);
}

/// Files below a directory that may change meanwhile.
pub(crate) fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map_while(Result::ok).map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
