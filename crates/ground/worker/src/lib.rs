//! Functions in processes of their own: the isolation tier `process`.
//!
//! A **worker** is a process of the node's own program ([`told`]) that runs the functions of one project. It confines
//! itself before it has a guest, and is left with memory, threads, a clock and two sockets to its node: by one it is
//! asked to do calls, by the other it asks for what its guests reach of the world. [`Workers`] are the processes of a
//! node, [`Function`] is what is called.
//!
//! What the engine, wasmtime, keeps apart in one process is kept apart by the kernel too, project by project: a guest that
//! breaks out of the engine, or takes its process down, has its project's worker. It reaches by that what the functions of
//! its project reach that this worker runs, and of their calls what is under way, and no file, no network, no key and
//! nothing of other projects. It can compute and hold memory as long as its calls last.
//!
//! Nothing is durable. A worker that ends takes its calls with it; they are told, and the next call starts another one.
//!
//! # Invariants
//!
//! - WORKER-1 A worker can open no file and no socket, start no program and reach no other process, from before its
//!   first guest to its end.
//! - WORKER-2 A call reaches only its own world: what it asks for is found by the token of its function.
//! - WORKER-3 Never weaker: a machine that cannot confine a worker runs none, and says why.
//!
//! A later tier runs its worker in a virtual machine: it speaks `wire` by another socket.

mod compiler;
mod function;
mod inside;
mod messages;
mod process;
mod wire;
mod worker;
mod workers;
mod worlds;

#[cfg(target_os = "linux")]
mod confine;
#[cfg(not(target_os = "linux"))]
mod confine {
    /// Workers are confined by Linux alone.
    pub fn confine() -> Result<(), String> {
        Err("workers are confined by Linux alone".to_owned())
    }
}

pub use compiler::Compiler;
pub use confine::confine;
pub use function::Function;
pub use process::Program;
pub use workers::{Numbers, Workers};

/// Does what a node tells the processes that it starts of its own program, by their first argument; the exit code. None for
/// what no node says. To be called at the beginning of the program, while there is one thread and nothing was opened.
#[must_use]
pub fn told(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<u8> {
    match arguments.next()?.to_str()? {
        worker::WORD => Some(inside::run()),
        compiler::WORD => {
            let seconds = arguments.next();
            Some(compiler::run(seconds.as_deref().and_then(std::ffi::OsStr::to_str)))
        }
        _ => None,
    }
}
