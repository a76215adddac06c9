//! The compiler in a process of its own: what has it compute or allocate without end, or brings it down, ends there.
//!
//! A component is told on its standard input, and what was made of it on its standard output. It is confined as a worker
//! is, where that can be, for it needs nothing else; it runs no guest.

use std::io::{Read as _, Write as _};
use std::process::{ExitStatus, Stdio};

use cairn_wasm::Error;
use rustix::process::Signal;

use crate::process::{Program, WORDS_BYTES_MAX, command, said};

/// What the program is told to be a compiler, as its first argument.
pub(crate) const WORD: &str = "compiler";
/// Seconds of computing, of all its threads together.
const CPU_SECONDS_MAX: u32 = 300;
/// Bytes of its memory.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// The exit code of one that was given what cannot be compiled.
const REFUSED: u8 = 4;
/// What others need goes before it.
const NICE: i32 = 5;

/// Compiles in processes of this program.
#[derive(Clone, Debug)]
pub struct Compiler {
    program: Program,
    cpu_seconds: u32,
}

impl Compiler {
    /// One of this very program.
    #[must_use]
    pub fn this() -> Self {
        Self::of(Program::told(WORD), CPU_SECONDS_MAX)
    }

    /// One of a program that calls [`crate::told`], which computes for so many seconds at most.
    #[must_use]
    pub fn of(program: Program, cpu_seconds: u32) -> Self {
        Self { program, cpu_seconds }
    }

    fn ended(&self, status: ExitStatus, words: &str) -> Error {
        use std::os::unix::process::ExitStatusExt as _;
        let (seconds, memory) = (self.cpu_seconds, MEMORY_BYTES_MAX >> 30);
        let how = said(status);
        match (status.code(), status.signal().and_then(Signal::from_named_raw)) {
            (Some(code), _) if code == i32::from(REFUSED) => {
                Error::Compile { detail: words.to_owned() }
            }
            (_, Some(Signal::XCPU)) => Error::Compile {
                detail: format!(
                    "that takes more than {seconds} s of computing: make it smaller, or split it"
                ),
            },
            // Somebody else ended it, or it did not come so far: that says nothing of the component.
            (Some(_), _) | (_, Some(Signal::KILL)) => {
                Error::Lost { detail: format!("the compiler ended with {how}: {words}") }
            }
            _ => Error::Compile {
                detail: format!("the compiler, which has {memory} GiB, ended with {how}: {words}"),
            },
        }
    }
}

impl cairn_wasm::Compiler for Compiler {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error> {
        let lost = |error: std::io::Error| Error::Lost { detail: error.to_string() };
        let mut command = command(&self.program);
        command.arg(self.cpu_seconds.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(lost)?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let mut compiled = Vec::new();
        // It reads all before it writes anything. How it ended says what went wrong, when its pipes broke.
        drop(to.map(|mut to| to.write_all(component)));
        drop(from.map(|mut from| from.read_to_end(&mut compiled)));
        let done = child.wait_with_output().map_err(lost)?;
        if done.status.success() {
            return Ok(compiled);
        }
        Err(self.ended(done.status, String::from_utf8_lossy(&done.stderr).trim()))
    }
}

/// Is a compiler: reads a component, writes what it made of it. To be called at the beginning of the program. Returns the
/// exit code of the process.
pub(crate) fn run(seconds: Option<&str>) -> u8 {
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(CPU_SECONDS_MAX);
    bounded(seconds);
    let mut component = Vec::new();
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut component) {
        eprintln!("{error}");
        return 1;
    }
    match cairn_wasm::precompile(&component) {
        Ok(compiled) => match std::io::stdout().lock().write_all(&compiled) {
            Ok(()) => 0,
            Err(_) => 1,
        },
        Err(Error::Compile { detail }) => {
            let end = detail.floor_char_boundary(WORDS_BYTES_MAX);
            eprintln!("{}", &detail[..end]);
            REFUSED
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

#[cfg(target_os = "linux")]
fn bounded(seconds: u32) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let seconds = u64::from(seconds);
    for (resource, soft, hard) in [
        (Resource::Cpu, seconds, seconds + 1),
        (Resource::Data, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX),
    ] {
        let _stays = setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) });
    }
    let _stays = rustix::process::nice(NICE);
    // A kernel that cannot confine it compiles all the same: no guest is run here.
    drop(crate::confine::confine());
}

#[cfg(not(target_os = "linux"))]
fn bounded(_: u32) {}
