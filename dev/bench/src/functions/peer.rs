//! `wasmtime serve`, the server of the engine's own makers, with the same flags.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{SERVER_CORE, pinned};
use crate::process;

/// One that runs.
pub(super) struct Peer {
    child: Child,
    pub(super) url: String,
}

pub(crate) fn program() -> Command {
    Command::new("wasmtime")
}

impl Peer {
    /// Serves a component; each instance answers so many requests.
    pub(super) fn start(component: &Path, reuse: u32) -> Result<Self> {
        let mut command = pinned(SERVER_CORE, &program());
        command.args(["serve", "--addr", "127.0.0.1:0", "-S", "cli", "-W", "timeout=30s"]);
        command.args(["-O", "pooling-allocator=y", "-O", "pooling-total-component-instances=1000"]);
        command.args(["-O", "pooling-memory-keep-resident=65536"]);
        command.args(["-O", "pooling-table-keep-resident=65536"]);
        command.args(["--max-instance-reuse-count", &reuse.to_string()]).arg(component);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.context("install wasmtime with `cargo xtask setup --group bench`")?;
        let (mut line, stderr) = (String::new(), child.stderr.take().context("it was asked for")?);
        BufReader::new(stderr).read_line(&mut line)?;
        let mut peer = Self { child, url: String::new() };
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        ensure!(url.is_some(), "wasmtime says no address: {line}");
        url.unwrap_or_default().trim_end_matches('/').clone_into(&mut peer.url);
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn version() -> Result<String> {
    let said = process::output(program().arg("--version"));
    Ok(said.context("install wasmtime with `cargo xtask setup --group bench`")?.trim().to_owned())
}
