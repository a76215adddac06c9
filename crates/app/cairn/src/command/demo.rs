//! `cairn up --demo`: a real tree in several versions, what deduplication saved, and back again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use cairn_datasets::{Dataset, PullOptions, PushOptions, Source, Store, Target};
use cairn_node::Node;

use crate::output::{self, bytes};

const NAME: &str = "demo";
/// The tree that is copied has at most so many bytes and files.
const BYTES_MAX: u64 = 48 * 1024 * 1024;
const FILES_MAX: usize = 4000;

type Step = (&'static str, fn(&Path) -> anyhow::Result<String>);

/// What happens to the tree from version to version.
const STEPS: [Step; 4] = [
    ("v1", |_| Ok("the tree as it is".to_owned())),
    ("v2", edit),
    ("v3", rename),
    ("v4", |_| Ok("nothing changed".to_owned())),
];

pub(crate) async fn demo(node: &Node, token: Option<&str>) -> anyhow::Result<()> {
    let work = tempfile::tempdir().context("making a directory for the demo")?;
    let tree = work.path().join("tree");
    let source = source()?;
    copy(&source, &tree).with_context(|| format!("copying {}", source.display()))?;
    output::line(&format!("\nDemo: {} as the dataset `{NAME}`\n", source.display()))?;
    output::line("version      files     content         new      stored      time  what changed")?;
    let store: Arc<dyn Store> = Arc::new(node.datasets.clone());
    let (mut content, mut stored) = (0, 0);
    for (tag, change) in STEPS {
        let what = change(&tree)?;
        let target = target(tag)?;
        let start = Instant::now();
        let options = PushOptions { by: "demo".to_owned(), ..PushOptions::default() };
        let source = Source::Path(tree.clone());
        let pushed = cairn_datasets::push(&store, &source, &[target], &options).await?;
        content += pushed.version.bytes;
        stored += pushed.stored_bytes;
        output::line(&format!(
            "{tag:<9} {:>8} {:>11} {:>11} {:>11} {:>7.2} s  {what}",
            pushed.version.files,
            bytes(pushed.version.bytes),
            bytes(pushed.new_bytes),
            bytes(pushed.stored_bytes),
            start.elapsed().as_secs_f64(),
        ))?;
    }
    let times = content as f64 / stored.max(1) as f64;
    output::line(&format!(
        "\n{} of content in {} versions take {}: {times:.1} times less",
        bytes(content),
        STEPS.len(),
        bytes(stored),
    ))?;
    let back = work.path().join("back");
    let start = Instant::now();
    let pulled =
        cairn_datasets::pull(&store, &target("v4")?, &back, &PullOptions::default()).await?;
    let same = contents(&tree)? == contents(&back)?;
    anyhow::ensure!(same, "what came back is not what was pushed");
    output::line(&format!(
        "pulled v4 back in {:.2} s: {} files, every chunk verified, equal to the source\n",
        start.elapsed().as_secs_f64(),
        pulled.files_written,
    ))?;
    next(node, token)
}

fn target(tag: &str) -> anyhow::Result<Target> {
    let dataset = Dataset { project: cairn_base::ProjectName::default(), name: NAME.parse()? };
    Ok(Target { dataset, tag: tag.parse()? })
}

fn next(node: &Node, token: Option<&str>) -> anyhow::Result<()> {
    let Some(address) = node.addresses.first() else { return Ok(()) };
    let token = token.unwrap_or("THE-TOKEN-OF-THE-FIRST-START");
    output::line("The node goes on serving it. Try, in another terminal:\n")?;
    for command in [
        format!("export CAIRN_URL=http://{address} CAIRN_TOKEN={token}"),
        "cairn ls demo:v4".to_owned(),
        "cairn diff demo:v1 demo:v2".to_owned(),
        "cairn stat demo:v2".to_owned(),
        "cairn pull demo:v1 ./demo-v1".to_owned(),
        format!("curl -u :$CAIRN_TOKEN http://{address}/fs/demo/v4/"),
        "cairn push ./your-directory yours:v1".to_owned(),
    ] {
        output::line(&format!("  {command}"))?;
    }
    output::line("\nCtrl-C stops it. What was pushed stays in the bucket.")
}

/// A tree that any machine with this program has: the sources around it, or the crates that built it.
fn source() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir()?;
    let candidates = [here.join("crates"), here.join("src"), here.clone()];
    let found = candidates.into_iter().find(|path| path.is_dir());
    Ok(found.unwrap_or(here))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (mut left, mut files) = (BYTES_MAX, FILES_MAX);
    let mut open = vec![(from.to_path_buf(), to.to_path_buf())];
    while let Some((from, to)) = open.pop() {
        fs::create_dir_all(&to)?;
        let mut entries = fs::read_dir(&from)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (kind, name) = (entry.file_type()?, entry.file_name());
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if kind.is_dir() && !hidden && name != "target" && name != "node_modules" {
                open.push((entry.path(), to.join(name)));
            } else if kind.is_file() {
                let len = entry.metadata()?.len();
                if len > left || files == 0 {
                    return Ok(());
                }
                left -= len;
                files -= 1;
                fs::copy(entry.path(), to.join(name))?;
            }
        }
    }
    Ok(())
}

/// Every file of the tree and its bytes.
fn contents(tree: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut open = vec![tree.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(tree)?.to_path_buf(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

/// Puts a line at the beginning of every tenth file: everything behind it moves.
fn edit(tree: &Path) -> anyhow::Result<String> {
    let mut count = 0;
    for (path, old) in contents(tree)?.into_iter().step_by(10) {
        let mut new = b"a line that was not here before\n".to_vec();
        new.extend_from_slice(&old);
        fs::write(tree.join(path), new)?;
        count += 1;
    }
    Ok(format!("a line at the beginning of {count} files"))
}

/// Gives the first directory another name.
fn rename(tree: &Path) -> anyhow::Result<String> {
    let mut directories: Vec<PathBuf> = fs::read_dir(tree)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()).filter(|path| path.is_dir()))
        .collect();
    directories.sort();
    let Some(first) = directories.first() else { return Ok("nothing to rename".to_owned()) };
    let renamed = first.with_extension("renamed");
    fs::rename(first, &renamed)?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(format!(
        "{}/ is {}/ now",
        name(first).unwrap_or_default(),
        name(&renamed).unwrap_or_default()
    ))
}
