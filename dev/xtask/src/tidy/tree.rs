//! What the rules look at.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::repo::{Package, Repo};

/// Files larger than this are data, not source.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// The rules themselves: they and their bad samples spell what they forbid.
const RULES_DIR: &str = "dev/xtask/src/tidy";

/// One text file of the checkout.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

/// The checkout as the rules see it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Every text file that git knows or would add.
    pub(crate) files: Vec<Source>,
    /// The paths of all files, the binary ones too.
    pub(crate) paths: Vec<String>,
    /// The workspace's members, with paths relative to the root.
    pub(crate) packages: Vec<Package>,
}

impl Tree {
    /// Reads the checkout.
    pub(crate) fn read(repo: &Repo) -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listing = command::output(git.current_dir(&repo.root))?;
        let names = listing.split('\0').filter(|path| !path.is_empty());
        let mut paths: Vec<String> = names.map(str::to_string).collect();
        paths.sort();
        paths.dedup();
        // A file that git knows may be deleted.
        paths.retain(|path| repo.path(path).symlink_metadata().is_ok());
        let mut files = Vec::new();
        for path in &paths {
            files.extend(read_text(repo, path)?);
        }
        let mut packages = repo.metadata()?.packages;
        for package in &mut packages {
            make_relative(package, &repo.root);
        }
        Ok(Self { files, paths, packages })
    }

    /// The file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust sources, but for the rules themselves.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.texts().filter(|file| file.has_extension(&["rs"]))
    }

    /// All files but the rules themselves.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| !file.path.starts_with(RULES_DIR))
    }
}

impl Source {
    /// Whether the name ends in one of `extensions`.
    pub(crate) fn has_extension(&self, extensions: &[&str]) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').is_some_and(|(_, found)| extensions.contains(&found))
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.starts_with("dev/sim/")
            || self.path.starts_with("dev/testkit/")
    }

    /// The lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The number of the line where the test module at the file's end begins; past the last line
    /// when there is none.
    pub(crate) fn test_tail(&self) -> usize {
        let mut tail = self.text.lines().count() + 1;
        let mut marked = None;
        for (number, line) in self.lines() {
            if line == "#[cfg(test)]" {
                marked = Some(number);
            } else if line.starts_with("mod ") && line.ends_with('{') {
                tail = marked.unwrap_or(tail).min(tail);
                marked = None;
            } else if !line.starts_with("#[") {
                marked = None;
            }
        }
        tail
    }

    /// The lines that ship, with their numbers.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() { 0 } else { self.test_tail() };
        self.lines().take_while(move |(number, _)| *number < end)
    }

    /// The lines that only test, with their numbers.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let begin = if self.is_test() { 0 } else { self.test_tail() };
        self.lines().skip_while(move |(number, _)| *number < begin)
    }
}

fn read_text(repo: &Repo, path: &str) -> Result<Option<Source>> {
    let file = repo.path(path);
    // A link may lead outside; a file may go while we read.
    let Ok(metadata) = std::fs::symlink_metadata(&file) else { return Ok(None) };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX || path == "Cargo.lock" {
        return Ok(None);
    }
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    Ok(text.map(|text| Source { path: path.to_string(), text }))
}

fn make_relative(package: &mut Package, root: &Path) {
    let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_path_buf();
    package.manifest_path = relative(&package.manifest_path);
    for target in &mut package.targets {
        target.src_path = relative(&target.src_path);
    }
    for dependency in &mut package.dependencies {
        dependency.path = dependency.path.as_deref().map(relative);
    }
}

/// A tree of some files, for the tests of rules.
#[cfg(test)]
pub(crate) fn sample(files: &[(&str, &str)]) -> Tree {
    let source = |(path, text): &(&str, &str)| Source {
        path: (*path).to_string(),
        text: (*text).to_string(),
    };
    let files: Vec<Source> = files.iter().map(source).collect();
    let paths = files.iter().map(|file| file.path.clone()).collect();
    Tree { files, paths, packages: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(path: &str, text: &str) -> (usize, usize) {
        let tree = sample(&[(path, text)]);
        (tree.files[0].production().count(), tree.files[0].tests().count())
    }

    #[test]
    fn the_test_tail_is_told_from_the_rest() {
        let text = "a\n#[cfg(test)]\nuse x;\nb\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n}\n";
        assert_eq!(split("crates/a/src/lib.rs", text), (4, 4));
        assert_eq!(split("crates/a/src/lib.rs", "a\n#[cfg(test)]\nmod tests;\n"), (3, 0));
        assert_eq!(split("crates/a/tests/it/main.rs", "a\nb\n"), (0, 2));
        assert_eq!(split("crates/a/src/b/tests.rs", "a\nb\n"), (0, 2));
        assert_eq!(split("crates/a/src/contests.rs", "a\nb\n"), (2, 0));
    }

    #[test]
    fn the_rules_do_not_judge_themselves() {
        let tree = sample(&[("dev/xtask/src/tidy/text.rs", ""), ("dev/xtask/src/ci.rs", "")]);
        let paths: Vec<&str> = tree.rust().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["dev/xtask/src/ci.rs"]);
    }
}
