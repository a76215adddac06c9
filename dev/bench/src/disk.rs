//! Directories: sizes, counts, removal.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

const BUFFER_BYTES: usize = 64 * 1024;

/// All regular files below a directory.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).with_context(|| format!("reading {dir:?}"))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// How many files are below a directory, and how long they are together.
pub(crate) fn usage(dir: &Path) -> Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for file in files(dir)? {
        count += 1;
        bytes += std::fs::metadata(file)?.len();
    }
    Ok((count, bytes))
}

/// An empty directory in the place of whatever was there.
pub(crate) fn fresh(dir: &Path) -> Result<()> {
    set_aside(dir)?;
    std::fs::create_dir_all(dir).with_context(|| format!("making {dir:?}"))
}

/// Puts a directory out of the way, beside itself. Nothing is removed while we measure: for minutes
/// after, ext4 looks past each inode that was freed, and whoever makes files next would pay for it.
pub(crate) fn set_aside(dir: &Path) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let aside = dir.with_extension(format!("{}.{number}.aside", std::process::id()));
    match std::fs::rename(dir, aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("setting {dir:?} aside"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {dir:?}"))
        }
        _ => Ok(()),
    }
}

/// Whether two trees hold the same files.
pub(crate) fn same(left: &Path, right: &Path) -> Result<bool> {
    same_by(left, right, 1)
}

/// Whether two trees have the same names, and of every so many files the same content.
pub(crate) fn same_by(left: &Path, right: &Path, every: usize) -> Result<bool> {
    let (ours, theirs) = (files(left)?, files(right)?);
    if ours.len() != theirs.len() {
        return Ok(false);
    }
    for (number, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        if our.strip_prefix(left)? != their.strip_prefix(right)? {
            return Ok(false);
        }
        if number.is_multiple_of(every) && !same_bytes(our, their)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares piece by piece: what this program has in memory would count as its children's.
fn same_bytes(left: &Path, right: &Path) -> Result<bool> {
    let open =
        |path| Ok::<_, std::io::Error>(BufReader::with_capacity(BUFFER_BYTES, File::open(path)?));
    let (mut left, mut right) = (open(left)?, open(right)?);
    loop {
        let (ours, theirs) = (left.fill_buf()?, right.fill_buf()?);
        if ours != theirs {
            return Ok(false);
        }
        let len = ours.len();
        if len == 0 {
            return Ok(true);
        }
        left.consume(len);
        right.consume(len);
    }
}
