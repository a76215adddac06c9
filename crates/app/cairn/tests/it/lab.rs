//! A place to run `cairn` in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cairn_testkit::store::{BUCKET, Server};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, Running};
use crate::running_node::Node;
use crate::tree::Tree;

/// A directory with a bucket, a home and whatever a test puts there. Commands run inside of it, so
/// that their arguments are short relative paths.
pub(crate) struct Lab {
    dir: Arc<TempDir>,
    bucket: PathBuf,
    env: Vec<(String, String)>,
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bucket = dir.path().join("bucket");
        Self::in_dir(dir, bucket)
    }

    /// A lab whose bucket is somewhere else.
    pub(crate) fn with_bucket(bucket: PathBuf) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), bucket)
    }

    fn in_dir(dir: TempDir, bucket: PathBuf) -> Self {
        let env = vec![pair("CAIRN_BUCKET", &format!("file://{}", bucket.display()))];
        Self { dir: Arc::new(dir), bucket, env }
    }

    /// A lab whose bucket is on a server.
    pub(crate) fn on(server: &Server, prefix: &str) -> Self {
        let mut env = server.env();
        env.push(pair("CAIRN_BUCKET", &server.url(prefix)));
        let bucket = server.data().join(BUCKET).join(prefix);
        Self { dir: Arc::new(tempfile::tempdir().unwrap()), bucket, env }
    }

    /// The same lab with one variable of the environment set, or set to something else.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut env = self.env.clone();
        env.push(pair(name, value));
        Self { dir: Arc::clone(&self.dir), bucket: self.bucket.clone(), env }
    }

    /// The same lab without a variable of the environment.
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut lab = self.with(name, "");
        lab.env.retain(|(set, _)| set != name);
        lab
    }

    /// The same lab, whose commands talk to a node.
    pub(crate) fn through(&self, node: &Node) -> Self {
        let lab = self.with("CAIRN_URL", &node.url).with("CAIRN_TOKEN", &node.token);
        lab.without("CAIRN_BUCKET")
    }

    /// The same lab, whose commands talk to a node as nobody.
    pub(crate) fn as_nobody(&self, node: &Node) -> Self {
        let mut lab = self.with("CAIRN_URL", &node.url);
        lab.env.retain(|(name, _)| !matches!(name.as_str(), "CAIRN_BUCKET" | "CAIRN_TOKEN"));
        lab
    }

    /// The same lab, whose commands work where a profile says.
    pub(crate) fn by_profile(&self) -> Self {
        let mut lab = self.with("CAIRN_LOG", "warn");
        let places = ["CAIRN_BUCKET", "CAIRN_URL", "CAIRN_TOKEN"];
        lab.env.retain(|(name, _)| !places.contains(&name.as_str()));
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn bucket(&self) -> &Path {
        &self.bucket
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// `cairn` with these words as arguments; nothing of the caller's environment reaches it.
    pub(crate) fn cairn(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(words.split_whitespace()).current_dir(self.dir.path()).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.env("HOME", self.path("home")).env("USER", "tester").env("COLUMNS", "100");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn start(&self, words: &str) -> Running {
        Running::start(self.cairn(words))
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &str) -> Ended {
        self.start(words).end()
    }

    /// Runs it, insists on success and returns what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, words: &str) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(0), "cairn {words}: {}", ended.stderr);
        ended.stdout()
    }

    /// Runs it, insists on this exit code and returns what it said about that.
    #[track_caller]
    pub(crate) fn fails(&self, words: &str, code: i32) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(code), "cairn {words}: {}", ended.stderr);
        assert_eq!(ended.stdout(), "", "cairn {words}: an error is no data");
        assert!(ended.stderr.starts_with("cairn: "), "cairn {words}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "cairn {words}: {}", ended.stderr);
        ended.stderr
    }

    /// What the parser of arguments refuses: 2, with the usage, before anything is opened.
    #[track_caller]
    pub(crate) fn cairn_refuses(&self, words: &str) {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.stdout().as_str()), (Some(2), ""), "cairn {words}");
        let hinted = ended.stderr.contains("Usage:") || ended.stderr.contains("--help");
        assert!(ended.stderr.starts_with("error: ") && hinted, "{}", ended.stderr);
    }

    /// Runs it with `--json` and returns the documents, one a line.
    #[track_caller]
    pub(crate) fn json(&self, words: &str) -> Vec<Value> {
        let printed = self.ok(&format!("--json {words}"));
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// BUCKET-1, BUCKET-3, BLOCKS-1: every byte is read back, and every version has all it needs.
    #[track_caller]
    pub(crate) fn verify(&self) {
        let ended = self.run("verify");
        let said = ended.stdout();
        assert_eq!(ended.code, Some(0), "{said}{}", ended.stderr);
        assert!(said.contains("all is as it should be"), "{said}");
    }

    /// Pulls a version into a fresh directory and compares it byte for byte.
    #[track_caller]
    pub(crate) fn assert_version(&self, reference: &str, tree: &Tree) {
        let to = tempfile::tempdir_in(self.dir.path()).unwrap();
        let name = to.path().file_name().unwrap().to_str().unwrap();
        self.ok(&format!("pull {reference} {name}/tree"));
        Tree::read(&to.path().join("tree")).assert_same(tree, reference);
    }

    /// The names of the tags of a dataset.
    #[track_caller]
    pub(crate) fn tags(&self, dataset: &str) -> Vec<String> {
        let tags = self.json(&format!("ls {dataset}"));
        tags.iter().map(|tag| tag["tag"].as_str().unwrap().to_owned()).collect()
    }
}
