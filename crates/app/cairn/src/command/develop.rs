//! Functions while they are written: begun from a template, built, and applied at every change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use cairn_base::DatasetName;
use serde_json::json;

use super::apply;
use crate::context::Context;
use crate::exit::Usage;
use crate::manifest;
use crate::output;

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// The pause before what changed while it was built is built again doubles so often.
const PAUSE_DOUBLED_MAX: u32 = 6;
/// A file that changed in so many builds in a row is taken as made by them.
const OWN_AFTER: u32 = 3;
/// Files that are named of those that builds make.
const NAMED_MAX: usize = 5;
/// Files that are looked at; what is built is not among them.
const FILES_MAX: usize = 10_000;
const HASHED_BYTES_MAX: u64 = 1 << 20;
const UNWATCHED: [&str; 4] = ["target", "node_modules", "zig-cache", "__pycache__"];

/// The files of a template, by name.
fn template(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "rust" => &[
            ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml")),
            ("src/lib.rs", include_str!("../../templates/rust/src/lib.rs")),
            ("cairn.toml", include_str!("../../templates/rust/cairn.toml")),
            (".gitignore", include_str!("../../templates/rust/gitignore")),
        ],
        "c" => &[
            ("main.c", include_str!("../../templates/c/main.c")),
            ("cairn.toml", include_str!("../../templates/c/cairn.toml")),
            (".gitignore", include_str!("../../templates/c/gitignore")),
        ],
        "zig" => &[
            ("main.zig", include_str!("../../templates/zig/main.zig")),
            ("cairn.toml", include_str!("../../templates/zig/cairn.toml")),
            (".gitignore", include_str!("../../templates/zig/gitignore")),
        ],
        "js" => &[
            ("package.json", include_str!("../../templates/js/package.json")),
            ("main.js", include_str!("../../templates/js/main.js")),
            ("world.wit", include_str!("../../templates/js/world.wit")),
            ("cairn.toml", include_str!("../../templates/js/cairn.toml")),
            (".gitignore", include_str!("../../templates/js/gitignore")),
        ],
        "python" => &[
            ("requirements.txt", include_str!("../../templates/python/requirements.txt")),
            ("main.py", include_str!("../../templates/python/main.py")),
            ("world.wit", include_str!("../../templates/python/world.wit")),
            ("cairn.toml", include_str!("../../templates/python/cairn.toml")),
            (".gitignore", include_str!("../../templates/python/gitignore")),
        ],
        "go" => &[
            ("go.mod", include_str!("../../templates/go/go.mod")),
            ("main.go", include_str!("../../templates/go/main.go")),
            ("cairn.toml", include_str!("../../templates/go/cairn.toml")),
            (".gitignore", include_str!("../../templates/go/gitignore")),
        ],
        "assemblyscript" => &[
            ("package.json", include_str!("../../templates/assemblyscript/package.json")),
            ("main.ts", include_str!("../../templates/assemblyscript/main.ts")),
            ("cairn.toml", include_str!("../../templates/assemblyscript/cairn.toml")),
            (".gitignore", include_str!("../../templates/assemblyscript/gitignore")),
        ],
        _ => &[
            ("main.wat", include_str!("../../templates/wat/main.wat")),
            ("cairn.toml", include_str!("../../templates/wat/cairn.toml")),
        ],
    }
}

pub(crate) fn new(context: &Context, name: &str, from: &str) -> anyhow::Result<()> {
    let name: DatasetName = name.parse()?;
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.as_str().bytes().all(letters)
        || name.as_str().starts_with(|c: char| !c.is_ascii_alphabetic())
    {
        let what = "the name of a program begins with a letter, and has letters, digits, - and _";
        return Err(Usage(what.to_owned()).into());
    }
    let folder = PathBuf::from(name.as_str());
    std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
    let length = "hello from \n".len() + name.as_str().len();
    for (file, text) in template(from) {
        let path = folder.join(file);
        std::fs::create_dir_all(manifest::folder(&path))?;
        let text = text
            .replace("{{name}}", name.as_str())
            .replace("{{file}}", &name.as_str().replace('-', "_"))
            .replace("{{length}}", &length.to_string());
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if context.global.json {
        return output::json(&json!({ "made": name.as_str() }));
    }
    output::line(&format!(
        "made {name}/: go there, and `cairn fn build && cairn apply`, or `cairn fn dev`"
    ))
}

/// Builds what has a command for it; what that says is shown.
pub(crate) fn build(context: &Context, file: &Path) -> anyhow::Result<()> {
    for (name, build) in manifest::builds(file)? {
        let Some(build) = build else { continue };
        output::note(&format!("{name}: {build}"));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(&build).current_dir(manifest::folder(file)).stdin(Stdio::null());
        // What it prints is no result of this command.
        shell.stdout(std::io::stderr());
        let ended = shell.status().context("running sh")?;
        if !ended.success() {
            bail!("{name} was not built: `{build}` ended with {ended}");
        }
        if context.global.json {
            output::json(&json!({ "built": name }))?;
        } else {
            output::line(&format!("built {name}"))?;
        }
    }
    Ok(())
}

pub(crate) async fn dev(context: &Context, file: &Path) -> anyhow::Result<()> {
    let folder = manifest::folder(file);
    let (mut seen, mut made) = (files(folder, &Files::new()), Made::default());
    loop {
        let built = build(context, file);
        let after = files(folder, &seen);
        let applied = match built {
            Ok(()) => apply::made_so(context, file).await,
            wrong => wrong,
        };
        // What is wrong is mended by the next change.
        if let Err(error) = applied {
            output::note(&format!("{error:#}"));
        }
        let Built { again, own } = made.built(changed(&seen, &after));
        if !own.is_empty() {
            output::note(&taken(folder, &own));
        }
        if let Some(pause) = again {
            context.env.clock.sleep(pause).await;
            seen = files(folder, &after);
        } else {
            output::note("waiting for changes");
            seen = files(folder, &after);
            while seen == after {
                context.env.clock.sleep(LOOK_EVERY).await;
                seen = files(folder, &after);
            }
        }
        made.forget(&changed(&after, &seen));
    }
}

/// What is said of files that builds make.
fn taken(folder: &Path, own: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let names: Vec<String> = own.iter().take(NAMED_MAX).map(name).collect();
    let more = own.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!(
        "{OWN_AFTER} builds in a row changed {}{more}: taken as made by the build, which is not done \
         again for that",
        names.join(", ")
    )
}

/// Tells what builds write from what people save meanwhile.
#[derive(Default)]
struct Made {
    /// What builds write anew each time.
    own: BTreeSet<PathBuf>,
    /// What else changed in the last build, and in how many in a row.
    suspects: BTreeMap<PathBuf, u32>,
    /// Builds in a row in which something else changed.
    row: u32,
}

struct Built {
    /// After which pause it is built again, when it is.
    again: Option<Duration>,
    /// What is taken as made by builds from now on.
    own: Vec<PathBuf>,
}

impl Made {
    /// These files changed while it was built.
    fn built(&mut self, mut changed: BTreeSet<PathBuf>) -> Built {
        changed.retain(|path| !self.own.contains(path));
        let before = std::mem::take(&mut self.suspects);
        let mut own = Vec::new();
        for path in changed {
            match before.get(&path).map_or(1, |times| times + 1) {
                OWN_AFTER.. => own.push(path),
                times => drop(self.suspects.insert(path, times)),
            }
        }
        self.own.extend(own.iter().cloned());
        self.row = if self.suspects.is_empty() { 0 } else { self.row + 1 };
        let again = (self.row > 0).then(|| LOOK_EVERY * (1 << self.row.min(PAUSE_DOUBLED_MAX)));
        Built { again, own }
    }

    /// These changed while nothing was built, so a person saves them.
    fn forget(&mut self, changed: &BTreeSet<PathBuf>) {
        self.own.retain(|path| !changed.contains(path));
        self.suspects.retain(|path, _| !changed.contains(path));
    }
}

type Files = BTreeMap<PathBuf, File>;

/// A file as it was seen. It is the same as long as its content is.
struct File {
    bytes: u64,
    changed: Option<SystemTime>,
    hash: blake3::Hash,
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl File {
    /// What is there; it is read when it seems to be another than the `known` one.
    fn seen(path: &Path, about: &Metadata, known: Option<&Self>) -> Option<Self> {
        let (bytes, changed) = (about.len(), about.modified().ok());
        let same = |known: &&Self| (known.bytes, known.changed) == (bytes, changed);
        let hash = match known.filter(same) {
            Some(known) => known.hash,
            None if bytes <= HASHED_BYTES_MAX => blake3::hash(&std::fs::read(path).ok()?),
            None => blake3::hash(format!("{bytes} {changed:?}").as_bytes()),
        };
        Some(Self { bytes, changed, hash })
    }
}

/// The files of a folder, but for what is built there and what is hidden.
fn files(folder: &Path, known: &Files) -> Files {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Ok(about) = entry.metadata() else { continue };
            if name.starts_with('.') || UNWATCHED.contains(&name) || name.ends_with(".wasm") {
                continue;
            }
            if about.is_dir() {
                folders.push(entry.path());
            } else if let Some(file) = File::seen(&entry.path(), &about, known.get(&entry.path())) {
                found.insert(entry.path(), file);
            }
            if found.len() >= FILES_MAX {
                return found;
            }
        }
    }
    found
}

/// What is in one of them only, or another.
fn changed(before: &Files, after: &Files) -> BTreeSet<PathBuf> {
    let paths = before.keys().chain(after.keys());
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    /// What is built again after a pause, and what is taken as the build's.
    fn built(made: &mut Made, paths: &[&str]) -> (bool, Vec<String>) {
        let Built { again, own } = made.built(set(paths));
        (again.is_some(), own.iter().map(|path| path.display().to_string()).collect())
    }

    #[test]
    fn what_builds_write_is_told_from_what_is_saved() {
        let mut made = Made::default();
        assert_eq!(built(&mut made, &[]), (false, vec![]));
        assert_eq!(built(&mut made, &["info", "lib.rs"]), (true, vec![]));
        assert_eq!(built(&mut made, &["info"]), (true, vec![]));
        // Somebody saved a file in the build after which another one is known.
        assert_eq!(built(&mut made, &["info", "lib.rs"]), (true, vec!["info".to_owned()]));
        assert_eq!(built(&mut made, &["info"]), (false, vec![]));
        // It is a person's again when it changes while nothing is built.
        made.forget(&set(&["info"]));
        assert_eq!(built(&mut made, &["info"]), (true, vec![]));
        made.forget(&set(&["info"]));
        assert_eq!(built(&mut made, &["info"]), (true, vec![]));
        assert_eq!(built(&mut made, &["info"]), (true, vec![]));
        assert_eq!(built(&mut made, &["info"]), (false, vec!["info".to_owned()]));
    }

    #[test]
    fn pauses_between_builds_grow() {
        let mut made = Made::default();
        let mut pause = |name: String| made.built(set(&[&name])).again.unwrap();
        let pauses: Vec<Duration> = (0..9).map(|time| pause(format!("out-{time}"))).collect();
        assert!(pauses.is_sorted() && pauses[0] == LOOK_EVERY * 2, "{pauses:?}");
        assert_eq!(pauses[8], LOOK_EVERY * 64);
    }
}
