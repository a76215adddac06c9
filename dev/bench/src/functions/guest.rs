//! The functions that are measured: a sample in Rust, and what `cairn fn new` and `cairn fn build` make for others.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cairn_testkit::guests;

use crate::process;
use crate::workbench::Workbench;

/// Languages of templates, and what their first request is called.
pub(super) const TEMPLATES: [(&str, &str); 2] =
    [("js", "first JavaScript"), ("python", "first Python")];

pub(super) struct Guest {
    /// `guests/rust/hello`.
    pub(super) module: PathBuf,
    /// The same as the peer takes it.
    pub(super) component: PathBuf,
    /// Of [`TEMPLATES`], in their order.
    pub(super) templates: [PathBuf; TEMPLATES.len()],
}

impl Guest {
    pub(super) fn built(bench: &Workbench) -> Result<Self> {
        let module = guests::rust("hello").map_err(anyhow::Error::msg)?;
        let component = bench.work.join("hello.component.wasm");
        let prepared = cairn_wasm::prepare(&std::fs::read(&module)?)?;
        std::fs::write(&component, prepared.component)?;
        let [js, python] = TEMPLATES.map(|(name, _)| template(bench, name));
        Ok(Self { module, component, templates: [js?, python?] })
    }
}

fn template(bench: &Workbench, name: &str) -> Result<PathBuf> {
    eprintln!("building the template {name}");
    let folder = bench.work.join(name);
    process::output(in_folder(bench, &bench.work).args(["fn", "new", name, "--template", name]))?;
    let template = guests::TEMPLATES.iter().find(|template| template.name == name);
    let environment = template.context("it is none of the templates")?.environment()?;
    process::output(in_folder(bench, &folder).args(["fn", "build"]).envs(environment))?;
    Ok(folder.join("main.wasm"))
}

fn in_folder(bench: &Workbench, folder: &Path) -> Command {
    let mut command = Command::new(&bench.cairn);
    command.current_dir(folder);
    command
}
