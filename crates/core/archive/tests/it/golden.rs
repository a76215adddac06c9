//! Recipes of every released version make their archives again.
//!
//! A change that breaks one of these makes archives unreadable that someone has stored. Such a
//! change needs a new method beside the old one, and new files here beside the old ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cairn_archive::{Recipe, rebuild};

use crate::support::{inner_of, noise, open, text};

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    fs::read(dir().join(name)).unwrap_or_else(|error| panic!("golden/{name}: {error}"))
}

#[test]
fn recipes_of_released_versions_work() {
    let mut methods = BTreeMap::<u8, usize>::new();
    for entry in fs::read_dir(dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "recipe") {
            continue;
        }
        let archive = fs::read(path.with_extension("")).unwrap();
        let bytes = fs::read(&path).unwrap();
        let recipe = Recipe::decode(&bytes).unwrap();
        assert_eq!(recipe.encode(), bytes, "{path:?}");
        // The inner stream comes from the archive by inflating, which owes the recipe nothing.
        let inner = inner_of(&archive, &recipe).unwrap();
        let mut again = Vec::new();
        rebuild(&recipe, inner.as_slice(), &mut again).unwrap();
        assert!(again == archive, "{path:?}");
        assert!(!recipe.is_identity(), "{path:?} proves nothing");
        *methods.entry(bytes[4]).or_default() += 1;
    }
    assert!(methods.values().sum::<usize>() >= 20, "{methods:?}");
}

/// Writes the golden files that are not there yet, when asked to, before a release:
/// `CAIRN_WRITE_GOLDEN=1 cargo test -p cairn-archive --test it golden::write`.
#[test]
fn write() {
    if std::env::var_os("CAIRN_WRITE_GOLDEN").is_none() {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("one"), text(1, 14_000)).unwrap();
    fs::write(work.path().join("two"), text(2, 6_000)).unwrap();
    // Several blocks of different kinds.
    let many: Vec<_> = (0..6).map(|i| [text(i + 9, 9_000), noise(i + 9, 900)].concat()).collect();
    fs::write(work.path().join("many"), many.concat()).unwrap();
    let mut makers: Vec<(String, String)> = Vec::new();
    for level in 1..=9 {
        makers.push((format!("gzip-{level}.gz"), format!("gzip -nc{level} one")));
        makers.push((format!("zip-{level}.zip"), format!("zip -qX{level} - one two | cat")));
    }
    for level in [1, 4, 6, 9] {
        makers.push((format!("blocks-{level}.gz"), format!("gzip -nc{level} many")));
    }
    makers.push(("tar-pigz.tgz".into(), "tar c one two | pigz -nc -b 32".into()));
    makers.push(("two.gz".into(), "(gzip -nc1 two; gzip -nc9 two)".into()));
    for (name, command) in makers {
        add(&name, || {
            let mut sh = Command::new("sh");
            sh.args(["-c", &command]).current_dir(work.path()).output().unwrap().stdout
        });
    }
    for level in 1..=11 {
        let name = format!("zstd-{level}.zst");
        add(&name, || zstd::encode_all(text(3, 14_000).as_slice(), level).unwrap());
    }
}

/// Writes the archive and its recipe, those of the two that are not there.
fn add(name: &str, make: impl FnOnce() -> Vec<u8>) {
    let path = dir().join(name);
    if !path.exists() {
        fs::write(&path, make()).unwrap();
    }
    let recipe = dir().join(format!("{name}.recipe"));
    if !recipe.exists() {
        let plan = open(&read(name)).unwrap_or_else(|| panic!("{name} is not opened"));
        fs::write(recipe, plan.recipe.encode()).unwrap();
    }
}
