//! `cargo xtask api`: a node's REST API, asked by schemathesis all that its OpenAPI lets one ask, and more.
//!
//! A node on an empty bucket is given a dataset. Two runs with one seed: the first makes requests
//! within the document and against it on every operation, with any names; the second reads the
//! dataset that is there, so that handlers come to their ends. No answer may be a server error, have a
//! status, a media type or a body that the document does not know, or come after the time that a
//! request may take.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::repo::{self, Repo};
use crate::{command, setup};

/// One seed, so that two runs ask the same.
const SEED: &str = "20261121";
/// Requests of each operation and phase, in the run with any names and in the one that reads.
const EXAMPLES: [&str; 2] = ["8", "12"];
/// Seconds that one answer may take; a long poll may wait for 60.
const ANSWER_SECONDS_MAX: &str = "65";
/// Seconds that one run may take.
const RUN_SECONDS_MAX: &str = "480";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance";
/// What is followed has no end: it is asked for what there is.
/// A watch of keys cannot be: it is tried elsewhere.
const ENDING: &str = "[[operations]]\ninclude-path = \"/api/v1/audit\"\n\
                      parameters = { follow = \"false\" }\n\
                      [[operations]]\ninclude-path = \"/api/v1/kv/{project}/{name}/watch\"\n\
                      enabled = false\n";
/// Lines of JSON are made as text is.
const HOOKS: &str = "import schemathesis\n\
                     schemathesis.serializer.alias(\"application/x-ndjson\", \"text/plain\")\n";
/// The names that the second run puts into paths.
const NAMES: &str = "[parameters]\nproject = \"main\"\nname = \"data\"\ntag = \"v1\"\nother = \"v2\"\n\
                     path = \"sub\"\n";

/// A node, killed when dropped.
struct Node {
    child: Child,
    url: String,
    token: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have stopped by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Runs both, and says how much was asked.
pub(crate) fn run(repo: &Repo) -> Result<String> {
    setup::run(repo, &["test"])?;
    command::run(repo.cargo().args(["build", "--package", "cairn"]))?;
    let program = repo.metadata()?.target_directory.join("debug/cairn");
    let room = tempfile::tempdir().context("cannot make a directory to run in")?;
    let node = start(&program, room.path())?;
    for tag in ["v1", "v2"] {
        let source = room.path().join("source/sub");
        fs::create_dir_all(&source).context("cannot make a tree")?;
        fs::write(source.join(tag), tag).context("cannot make a file")?;
        let mut push = Command::new(&program);
        push.args(["push", "source", &format!("data:{tag}")]).current_dir(room.path());
        push.env("CAIRN_URL", &node.url).env("CAIRN_TOKEN", &node.token).env("HOME", room.path());
        command::run(&mut push)?;
    }
    let any = ask(room.path(), &node, EXAMPLES[0], "", &[])?;
    let reading = ask(room.path(), &node, EXAMPLES[1], NAMES, &["--include-method", "GET"])?;
    Ok(format!("{any}; {reading}"))
}

fn start(program: &Path, room: &Path) -> Result<Node> {
    let mut child = Command::new(program)
        .args(["--json", "up", "--listen", "127.0.0.1:0", "--data-dir", "data", "--no-gc"])
        .current_dir(room)
        .env("HOME", room)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let stdout = child.stdout.take().context("the node has no standard output")?;
    let mut node = Node { child, url: String::new(), token: String::new() };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).context("the node says nothing")?;
    let said: Value = serde_json::from_str(&line).context("the node does not start")?;
    let text =
        |value: &Value| value.as_str().map(str::to_owned).context("the node says too little");
    node.url = text(&said["urls"][0])?;
    node.token = text(&said["root_token"])?;
    Ok(node)
}

/// One run of schemathesis, which prints what it finds; returns its count of requests.
fn ask(room: &Path, node: &Node, examples: &str, config: &str, more: &[&str]) -> Result<String> {
    fs::write(room.join("hooks.py"), HOOKS).context("cannot write its hooks")?;
    let config = format!("hooks = \"hooks.py\"\n{config}{ENDING}");
    fs::write(room.join("schemathesis.toml"), config).context("cannot write its configuration")?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", RUN_SECONDS_MAX]).arg(find("schemathesis")?);
    command.args(["--config-file", "schemathesis.toml", "run"]).current_dir(room);
    command.arg(format!("{}/api/openapi.json", node.url));
    command.args(["-H", &format!("Authorization: Bearer {}", node.token)]);
    command.args(["--seed", SEED, "--checks", CHECKS, "--max-examples", examples]);
    command.args(["--request-timeout", ANSWER_SECONDS_MAX, "--generation-database", "none"]);
    // One at a time: with threads CPython 3.11 loses count of its own recursion in `ast`.
    command.args(["--workers", "1", "--no-color", "--suppress-health-check", "all"]).args(more);
    let mut counted = None;
    let good = command::watch(&mut command, |line| {
        if line.contains("test cases") || line.contains("generated") {
            counted = Some(line.trim().to_string());
        }
    })?;
    if !good {
        bail!("schemathesis found what the document does not say: see above");
    }
    Ok(counted.unwrap_or_default())
}

fn find(name: &str) -> Result<PathBuf> {
    repo::find_program(name, &repo::path_with_tools()?)
        .with_context(|| format!("{name} is not installed: `cargo xtask setup` installs it"))
}
