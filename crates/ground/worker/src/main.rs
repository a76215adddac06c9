//! A worker as a program of its own: what tests start. A node starts its own program.

fn main() -> std::process::ExitCode {
    cairn_worker::told(std::env::args_os().skip(1)).unwrap_or(2).into()
}
