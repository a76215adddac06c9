//! Programs that `cargo xtask setup` installs.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

/// Finds `program` on `PATH` or where `cargo xtask setup` puts it.
///
/// # Errors
/// When it is nowhere; the text says what to run.
pub fn find(program: &str) -> Result<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = Vec::new();
    for kind in ["tools/bin", "venv/bin", "npm/node_modules/.bin"] {
        dirs.extend(cache().map(|cache| cache.join(kind)));
    }
    dirs.extend(env::split_paths(&on_path));
    let found = dirs.iter().map(|dir| dir.join(program)).find(|path| path.is_file());
    found.ok_or_else(|| {
        anyhow!("{program} is not installed; run `cargo xtask setup --group test`, then try again")
    })
}

/// Where `cargo xtask setup` puts the packages of Node.
///
/// # Errors
/// When nothing was set up; the text says what to run.
pub fn node_modules() -> Result<PathBuf> {
    let found = cache().map(|cache| cache.join("npm/node_modules")).filter(|path| path.is_dir());
    found.ok_or_else(|| anyhow!("run `cargo xtask setup --group test`, then try again"))
}

fn cache() -> Option<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(env::var_os("HOME")?).join(".cache"),
    };
    Some(base.join("cairn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_with_a_next_step() {
        assert!(find("sh").is_ok());
        let error = find("no-such-program-anywhere").unwrap_err().to_string();
        assert!(error.contains("cargo xtask setup"), "{error}");
    }
}
