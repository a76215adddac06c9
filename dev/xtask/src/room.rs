//! Room on the disk for a build: what cargo never throws away by itself goes when there is too little.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::repo::Repo;

/// What builds of everything take from nothing on, in KiB: 29 GiB were measured.
const WANTED_KIB: u64 = 32 << 20;

/// Sees to it that there is room where cargo builds: first without what only saves time when a file is edited, then
/// without programs, which are linked again.
pub(crate) fn make(repo: &Repo) -> Result<String> {
    let target = repo.metadata()?.target_directory;
    std::fs::create_dir_all(&target)?;
    let before = free_kib(&target)?;
    for remove in [incremental, programs] {
        if free_kib(&target)? >= WANTED_KIB {
            break;
        }
        remove(&target)?;
    }
    let free = free_kib(&target)?;
    let gained = free.saturating_sub(before) >> 20;
    let made = if gained > 0 { format!(", {gained} GiB of it made now") } else { String::new() };
    Ok(format!("{} GiB free{made}", free >> 20))
}

/// What is free where a directory is, in KiB.
fn free_kib(dir: &Path) -> Result<u64> {
    let told = command::output(Command::new("df").args(["-P", "-k"]).arg(dir))?;
    available(&told).context("`df -P -k` printed something unexpected")
}

/// The fourth column of the last line.
fn available(told: &str) -> Option<u64> {
    told.lines().last()?.split_whitespace().nth(3)?.parse().ok()
}

fn incremental(target: &Path) -> Result<()> {
    for dir in profiles(target)? {
        let incremental = dir.join("incremental");
        if incremental.is_dir() {
            std::fs::remove_dir_all(incremental)?;
        }
    }
    Ok(())
}

/// Files without an ending, which is how programs and tests are called where there is no `.exe`.
fn programs(target: &Path) -> Result<()> {
    for dir in profiles(target)?.iter().flat_map(|dir| [dir.join("deps"), dir.join("examples")]) {
        for file in entries(&dir)? {
            if file.is_file() && file.extension().is_none() {
                std::fs::remove_file(file)?;
            }
        }
    }
    Ok(())
}

/// Directories of profiles: `debug`, `release`, and those of other targets.
fn profiles(target: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![(target.to_path_buf(), 0)];
    while let Some((dir, depth)) = open.pop() {
        if dir.join("deps").is_dir() {
            found.push(dir);
        } else if depth < 3 {
            let below = entries(&dir)?.into_iter().filter(|path| path.is_dir());
            open.extend(below.map(|path| (path, depth + 1)));
        }
    }
    found.sort();
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_found() {
        let told = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                    /dev/vda 264000000 12000000 83886080 13% /\n";
        assert_eq!(available(told), Some(83_886_080));
        assert_eq!(available("df: no such file"), None);
    }

    #[test]
    fn only_what_is_made_again_goes() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path();
        for path in ["debug/deps", "debug/incremental/a", "fuzz/x86/release/deps", "debug/build"] {
            std::fs::create_dir_all(target.join(path)).unwrap();
        }
        let kept = ["debug/deps/a.rlib", "debug/deps/a.d", "debug/build/x"];
        let gone = ["debug/deps/it-1", "debug/incremental/a/b", "fuzz/x86/release/deps/f-2"];
        for file in kept.iter().chain(&gone) {
            std::fs::write(target.join(file), "x").unwrap();
        }
        incremental(target).unwrap();
        programs(target).unwrap();
        assert!(kept.iter().all(|file| target.join(file).is_file()));
        assert!(!gone.iter().any(|file| target.join(file).exists()));
    }
}
