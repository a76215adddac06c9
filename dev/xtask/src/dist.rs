//! `cargo xtask dist`: the archive that people download.
//!
//! The same commit gives the same bytes: files in order, no owners, the time of the commit, no
//! paths of the machine in the program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::repo::Repo;
use crate::{command, console};

/// The shells whose completions go along, and what each calls the file.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "cairn.bash"), ("zsh", "_cairn"), ("fish", "cairn.fish")];

/// One file of the archive.
struct Entry {
    name: String,
    mode: u32,
    bytes: Vec<u8>,
}

/// `cargo xtask dist [--target TRIPLE]`.
pub(crate) fn main(repo: &Repo, mut args: Args) -> Result<()> {
    let wanted = args.value("--target")?;
    args.end()?;
    eprintln!("dist: the web console: {}", console::build(repo)?);
    let host = repo.host_triple()?;
    let target = wanted.clone().unwrap_or_else(|| host.clone());
    let metadata = repo.metadata()?;
    let cairn = metadata.packages.iter().find(|package| package.name == "cairn");
    let version = &cairn.context("the workspace has no package `cairn`")?.version;
    let program = build(repo, &metadata.target_directory, wanted.as_deref())?;
    let mut entries = vec![Entry { name: "cairn".into(), mode: 0o755, bytes: read(&program)? }];
    for name in ["LICENSE", "README.md"] {
        let bytes = read(&repo.path(name))?;
        entries.push(Entry { name: name.into(), mode: 0o644, bytes });
    }
    if target == host {
        entries.extend(completions(&program)?);
    } else {
        eprintln!("dist: a program for {target} does not run here: no completions in the archive");
    }
    let name = format!("cairn-{version}-{target}");
    let dist = repo.path("dist");
    std::fs::create_dir_all(&dist).context("cannot make dist/")?;
    let archive = dist.join(format!("{name}.tar.gz"));
    let bytes = pack(&name, entries, commit_time(repo)?)?;
    std::fs::write(&archive, &bytes)
        .with_context(|| format!("cannot write {}", archive.display()))?;
    sums(&dist)?;
    eprintln!("dist: {} ({} bytes)", archive.display(), bytes.len());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Builds the stripped program and returns its path.
fn build(repo: &Repo, target_dir: &Path, target: Option<&str>) -> Result<PathBuf> {
    let mut cargo = repo.cargo();
    cargo.args(["build", "--release", "--locked", "--package", "cairn"]);
    cargo.args(["--config", "profile.release.strip=\"symbols\""]);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    let mut flags = vec![format!("--remap-path-prefix={}=cairn", repo.root.display())];
    let homes = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")];
    for (variable, default) in homes {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(default));
        if let Some(path) = std::env::var_os(variable).map(PathBuf::from).or(home) {
            let name = default.trim_start_matches('.');
            flags.push(format!("--remap-path-prefix={}={name}", path.display()));
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command::run(&mut cargo)?;
    let folder = target.map_or_else(|| target_dir.to_path_buf(), |t| target_dir.join(t));
    Ok(folder.join("release/cairn"))
}

fn completions(program: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (shell, name) in COMPLETIONS {
        let text = command::output(Command::new(program).args(["completions", shell]))?;
        if text.trim().is_empty() {
            bail!("`cairn completions {shell}` printed nothing");
        }
        let name = format!("completions/{name}");
        entries.push(Entry { name, mode: 0o644, bytes: text.into_bytes() });
    }
    Ok(entries)
}

/// The time of the commit, in seconds since 1970.
fn commit_time(repo: &Repo) -> Result<u64> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(&repo.root);
    let text = command::output(&mut git)?;
    text.trim().parse().with_context(|| format!("git printed {text:?}, which is no time"))
}

/// A tar.gz of `entries` under `folder`, the same bytes for the same input.
fn pack(folder: &str, mut entries: Vec<Entry>, mtime: u64) -> Result<Vec<u8>> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    // The default header of gzip has no time and no name.
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for entry in &entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(entry.bytes.len() as u64);
        header.set_mode(entry.mode);
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(tar::EntryType::Regular);
        let path = format!("{folder}/{}", entry.name);
        tar.append_data(&mut header, path, entry.bytes.as_slice())
            .with_context(|| format!("cannot pack {}", entry.name))?;
    }
    Ok(tar.into_inner()?.finish()?)
}

/// Writes SHA256SUMS of all archives in `dist`.
fn sums(dist: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dist).context("cannot read dist/")? {
        let name = entry.context("cannot read dist/")?.file_name();
        names.extend(name.into_string().ok().filter(|name| name.ends_with(".tar.gz")));
    }
    names.sort();
    let text = command::output(Command::new("sha256sum").args(&names).current_dir(dist))?;
    let mut file = std::fs::File::create(dist.join("SHA256SUMS"))?;
    file.write_all(text.as_bytes()).context("cannot write SHA256SUMS")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn entries(order: [usize; 3]) -> Vec<Entry> {
        let all = [("cairn", 0o755, "program"), ("LICENSE", 0o644, "text"), ("c/x", 0o644, "")];
        let entry = |index: usize| {
            let (name, mode, text) = all[index];
            Entry { name: name.to_string(), mode, bytes: text.as_bytes().to_vec() }
        };
        order.into_iter().map(entry).collect()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let one = pack("cairn-1", entries([0, 1, 2]), 1_700_000_000).unwrap();
        let two = pack("cairn-1", entries([2, 0, 1]), 1_700_000_000).unwrap();
        assert_eq!(one, two);
        assert_ne!(one, pack("cairn-1", entries([0, 1, 2]), 1_700_000_001).unwrap());
    }

    #[test]
    fn the_archive_has_modes_times_and_no_owner() {
        let bytes = pack("cairn-1", entries([0, 1, 2]), 1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 1_700_000_000));
            let mode = header.mode().unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((path, mode, text));
        }
        let expected = [
            ("cairn-1/LICENSE", 0o644, "text"),
            ("cairn-1/c/x", 0o644, ""),
            ("cairn-1/cairn", 0o755, "program"),
        ];
        let expected = expected.map(|(path, mode, text)| (path.into(), mode, text.into()));
        assert_eq!(found, expected);
    }
}
