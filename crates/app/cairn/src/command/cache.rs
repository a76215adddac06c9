//! How large a node's cache on disk is, and where.

use std::path::{Path, PathBuf};

use cairn_blocks::DiskCacheOptions;

use crate::cli::Up;
use crate::config::{ByteCount, CacheConfig};
use crate::context::data_dir;

/// No cache is larger unless it was asked for.
const BYTES_DEFAULT_MAX: u64 = 20 << 30;
/// The part of the free space that it takes at most: one in so many.
const FREE_PART: u64 = 10;

/// The cache of a node on `bucket`. One on this machine has none unless it was asked for. What is typed
/// wins over what is set.
pub(crate) fn options(
    args: &Up,
    set: &CacheConfig,
    bucket: &str,
) -> anyhow::Result<Option<DiskCacheOptions>> {
    let size = args.cache_size.or(set.size.map(|ByteCount(size)| size));
    let dir = args.cache_dir.clone().or_else(|| set.dir.clone());
    let near = bucket.starts_with("file://") || bucket.starts_with("memory://");
    if size == Some(0) || (near && dir.is_none() && size.is_none()) {
        return Ok(None);
    }
    let Some(dir) = dir.or_else(|| below_data(args)) else {
        tracing::warn!("no cache on disk: say where it goes with --cache-dir, or set HOME");
        return Ok(None);
    };
    let dir = std::path::absolute(dir)?;
    let bytes_max = size.unwrap_or_else(|| default_size(&dir));
    Ok(Some(DiskCacheOptions { dir, bytes_max }))
}

fn below_data(args: &Up) -> Option<PathBuf> {
    Some(args.data_dir.clone().or_else(data_dir)?.join("cache"))
}

/// A tenth of what is free where `dir` is or will be.
fn default_size(dir: &Path) -> u64 {
    let free = dir.ancestors().find_map(|dir| rustix::fs::statvfs(dir).ok());
    let free = free.map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    (free / FREE_PART).min(BYTES_DEFAULT_MAX)
}

/// Bytes as a person types them: a number, and K, M, G or T for powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write it as 500M, 20G or 0");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    if digits.starts_with('+') {
        return Err(wrong());
    }
    number.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_type_them() {
        for (text, bytes) in
            [("0", 0), ("500M", 500 << 20), ("20g", 20 << 30), ("7KiB", 7 << 10), ("12", 12)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "G", "1.5G", "-1", "5 G", "99999999T", "1X", "+1G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tenth_of_what_is_free() {
        let size = default_size(Path::new("/nowhere/at/all"));
        assert!(size <= BYTES_DEFAULT_MAX);
        assert!(size > 0, "the root has some room");
    }
}
