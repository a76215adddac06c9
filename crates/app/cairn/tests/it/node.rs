//! A node as a process, and the commands that talk to it.

use std::process::Command;

use serde_json::Value;

use crate::documented;
use crate::lab::Lab;
use crate::process::{Ended, Running, until};
use crate::tree::{Rng, Tree};

/// A node on the lab's bucket.
struct Served<'a> {
    lab: &'a Lab,
    running: Running,
    url: String,
    /// What it printed at its first start.
    token: Option<String>,
}

impl<'a> Served<'a> {
    fn start(lab: &'a Lab, listen: &str) -> Self {
        let mut running = lab.start(&format!("--json up --listen {listen}"));
        let said: Value = serde_json::from_str(&running.line()).unwrap();
        documented::check("up", &said);
        let url = said["urls"][0].as_str().unwrap().to_owned();
        let token = said["root_token"].as_str().map(str::to_owned);
        Self { lab, running, url, token }
    }

    fn command(&self, token: &str, words: &str) -> Command {
        let mut command = self.lab.cairn(words);
        command.env_remove("CAIRN_BUCKET").env("CAIRN_URL", &self.url).env("CAIRN_TOKEN", token);
        command
    }

    fn run(&self, token: &str, words: &str) -> Ended {
        Running::start(self.command(token, words)).end()
    }

    #[track_caller]
    fn ok(&self, token: &str, words: &str) -> String {
        let ended = self.run(token, words);
        assert_eq!(ended.code, Some(0), "{words}: {}", ended.stderr);
        ended.stdout()
    }

    #[track_caller]
    fn fails(&self, token: &str, words: &str, code: i32) -> String {
        let ended = self.run(token, words);
        assert_eq!(ended.code, Some(code), "{words}: {}{}", ended.stdout(), ended.stderr);
        assert_eq!(ended.stdout(), "", "{words}");
        ended.stderr
    }

    /// Ends it as a service manager does.
    fn stop(self) {
        self.running.signal("TERM");
        let ended = self.running.end();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

const ANY_PORT: &str = "127.0.0.1:0";

/// ACCESS-3, ACCESS-4: one token at the first start, once, and nothing in the bucket tells it.
#[test]
fn the_first_start_gives_the_only_token_once() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    let node = Served::start(&lab, ANY_PORT);
    let root = node.token.clone().unwrap();
    assert!(root.starts_with("cairn_") && root.len() > 40, "{root}");
    node.fails("", "ls", 4);
    node.fails("cairn_wrong", "ls", 4);
    assert!(node.ok(&root, "whoami").starts_with("root\n"));
    node.stop();
    let again = Served::start(&lab, ANY_PORT);
    assert_eq!(again.token, None);
    assert!(again.ok(&root, "whoami").starts_with("root\n"));
    let recovered = &lab.json("token recover")[0];
    documented::check("token create", recovered);
    let second = recovered["token"].as_str().unwrap().to_owned();
    assert!(second.starts_with("cairn_") && second != root);
    until("the new token", || {
        again.run(&second, "whoami").stdout().starts_with("root\n").then_some(())
    });
    again.ok(&second, "push src d:v1");
    again.stop();
    for file in crate::process::files_below(lab.bucket()) {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [&root, &second] {
            let found = bytes.windows(24).any(|part| part == &secret.as_bytes()[6..30]);
            assert!(!found, "{}", file.display());
        }
    }
}

#[test]
fn a_tree_goes_through_a_node_and_back() {
    let lab = Lab::new();
    let tree = Tree::random(&mut Rng(201), 60);
    tree.write(&lab.path("src"));
    let node = Served::start(&lab, ANY_PORT);
    let root = node.token.clone().unwrap();
    node.ok(&root, "push src d:v1 d:latest -m first");
    node.ok(&root, "pull d to");
    Tree::read(&lab.path("to")).assert_same(&tree, "through a node");
    lab.write("src/new", "new");
    node.ok(&root, "push src d:v2");
    assert_eq!(node.ok(&root, "diff d:v1 d:v2"), "+ new\n");
    assert_eq!(node.run(&root, "cat d:v2/new").lines, ["new"]);
    for words in ["ls", "ls d", "ls d:v1 -R", "log d", "stat d:v2", "retain d", "gc --dry-run"] {
        // Whoever asks, a bucket and a node tell the same.
        assert_eq!(node.ok(&root, &format!("--json {words}")), lab.ok(&format!("--json {words}")));
    }
    node.ok(&root, "tag d:v1 d:old");
    node.ok(&root, "rm d:old");
    node.fails(&root, "rm d:old", 3);
    node.ok(&root, "verify");
    node.ok(&root, "rm d --yes");
    node.fails(&root, "log d", 3);
    node.stop();
}

#[test]
fn tokens_and_grants_say_who_may_do_what() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    let node = Served::start(&lab, ANY_PORT);
    let root = node.token.clone().unwrap();
    node.ok(&root, "push src public:v1");
    node.ok(&root, "grant add anonymous reader public");
    node.ok(&root, "grant add ada writer photos*");
    let ada = node.ok(&root, "token create ada --label laptop").trim().to_owned();
    let limited = node.ok(&root, "token create ada --only reader:photos*").trim().to_owned();
    let short = node.ok(&root, "token create ada --expires 1s").trim().to_owned();

    node.ok(&ada, "push src photos-2026:v1");
    let denied = node.fails(&ada, "push src other:v1", 4);
    assert!(denied.contains("@main/other") && denied.contains("ask an administrator"), "{denied}");
    node.fails(&ada, "gc", 4);
    node.fails(&ada, "token ls", 4);
    node.ok(&limited, "ls photos-2026");
    node.fails(&limited, "push src photos-2026:v2", 4);
    node.ok("", "cat public:v1/a");
    node.ok("", "pull public:v1 anonymous");
    node.fails("", "push src public:v2", 4);
    node.fails("", "cat photos-2026:v1/a", 4);
    let advice = node.run("", "doctor");
    assert_eq!(advice.code, Some(1));
    assert!(advice.stdout().contains("CAIRN_TOKEN"), "{}", advice.stdout());
    until("the end of a token", || (node.run(&short, "whoami").code == Some(4)).then_some(()));

    let json = |token: &str, words: &str| -> Vec<Value> {
        let printed = node.ok(token, &format!("--json {words}"));
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for (words, section) in [
        ("token ls", "token ls"),
        ("token create ada --only reader:x --expires 1h", "token create"),
        ("grant ls", "grant"),
        ("grant add ada reader x", "grant"),
        ("whoami", "whoami"),
        ("doctor", "doctor"),
    ] {
        json(&root, words).iter().for_each(|document| documented::check(section, document));
    }
    let tokens = json(&root, "token ls");
    let laptop = tokens.iter().find(|token| token["label"] == "laptop").unwrap();
    node.ok(&root, &format!("token rm {}", laptop["id"].as_str().unwrap()));
    until("the revocation", || (node.run(&ada, "whoami").code == Some(4)).then_some(()));
    let grants = node.ok(&root, "grant ls");
    let public = grants.lines().find(|line| line.contains("anonymous")).unwrap();
    node.ok(&root, &format!("grant rm {}", public.split(' ').next().unwrap()));
    until("the end of the grant", || (node.run("", "ls public").code == Some(4)).then_some(()));
    node.stop();
}

/// What is typed wins over the environment, and where no terminal shows it there are no colours.
#[test]
fn a_log_is_plain_text() {
    let lab = Lab::new();
    let mut command = lab.cairn("-vv --json up --listen 127.0.0.1:0");
    command.env("CAIRN_LOG", "error");
    let mut running = Running::start(command);
    let said: Value = serde_json::from_str(&running.line()).unwrap();
    lab.run(&format!("--url {} ls", said["urls"][0].as_str().unwrap()));
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(0));
    let request = ended.stderr.lines().find(|line| line.contains("status=401")).unwrap();
    assert!(request.contains("DEBUG") && !ended.stderr.contains('\u{1b}'), "{request}");
}

/// Who follows a tag goes on when the node comes back.
#[test]
fn following_outlives_a_node() {
    let lab = Lab::new();
    lab.write("src/a", "one");
    let node = Served::start(&lab, ANY_PORT);
    let (root, address) = (node.token.clone().unwrap(), node.url.replace("http://", ""));
    node.ok(&root, "push src d");
    let mut follow = Running::start(node.command(&root, "pull d to --switch --follow --every 1s"));
    follow.line();
    node.stop();
    lab.write("src/a", "two");
    lab.ok("push src d");
    let node = Served::start(&lab, &address);
    follow.line();
    assert_eq!(std::fs::read(lab.path("to/a")).unwrap(), b"two");
    node.stop();
    follow.signal("TERM");
    let ended = follow.end();
    assert_eq!(ended.lines.len(), 2, "{:?}", ended.lines);
}

/// Each switch runs the command once, with what was switched to, and a command that fails ends nothing.
#[test]
fn following_runs_a_command_at_each_switch() {
    let lab = Lab::new();
    lab.write("src/a", "one");
    let node = Served::start(&lab, ANY_PORT);
    let root = node.token.clone().unwrap();
    let push = |content: &str| -> String {
        lab.write("src/a", content);
        let pushed: Value = serde_json::from_str(&node.ok(&root, "--json push src d:v1")).unwrap();
        pushed["version"]["root"].as_str().unwrap().to_owned()
    };
    let first = push("one");
    let script = "echo \"$CAIRN_REF $CAIRN_VERSION $CAIRN_PATH $(cat \"$CAIRN_PATH/a\")\"; \
                  test \"$(cat \"$CAIRN_PATH/a\")\" != two";
    let mut command = node.command(&root, "--quiet --json pull d:v1 to --switch --follow --exec");
    command.arg(script);
    let mut follow = Running::start(command);
    let to = lab.path("to").display().to_string();
    let switched = |follow: &mut Running, version: &str, content: &str| {
        let pulled: Value = serde_json::from_str(&follow.line()).unwrap();
        assert_eq!(pulled["version"]["root"], version);
        assert_eq!(follow.line(), format!("d:v1 {version} {to} {content}"));
    };
    switched(&mut follow, &first, "one");
    for content in ["two", "three"] {
        let version = push(content);
        switched(&mut follow, &version, content);
    }
    node.ok(&root, "rm d:v1");
    let back = push("four");
    switched(&mut follow, &back, "four");
    node.stop();
    follow.signal("TERM");
    let ended = follow.end();
    assert!(ended.stderr.contains("ended with exit status: 1"), "{}", ended.stderr);
    assert_eq!(ended.lines.len(), 8, "{:?}", ended.lines);
}

#[test]
fn a_command_that_fails_after_a_pull_is_said() {
    let lab = Lab::new();
    lab.write("src/a", "one");
    lab.ok("push src d");
    let mut command = lab.cairn("pull d to --exec");
    command.arg("exit 3");
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"exit 3\" ended with exit status: 3"), "{}", ended.stderr);
    assert_eq!(std::fs::read(lab.path("to/a")).unwrap(), b"one");
}

#[test]
fn hooks_are_kept_by_a_node() {
    let lab = Lab::new();
    lab.write("src/a", "one");
    let node = Served::start(&lab, ANY_PORT);
    let root = node.token.clone().unwrap();
    node.ok(&root, "push src d");
    let json = |words: &str| -> Vec<Value> {
        let said = node.ok(&root, &format!("--json {words}"));
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let made = json("hook add d http://127.0.0.1:9/x --tags v*").remove(0);
    documented::check("hook add", &made);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let listed = json("hook ls d");
    documented::check("hook ls", &listed[0]);
    assert_eq!(listed[0], made["hook"]);
    let id = made["hook"]["id"].as_str().unwrap();
    let refused = node.fails(&root, &format!("hook test d {id}"), 6);
    assert!(refused.contains("127.0.0.1 is not a public address"), "{refused}");
    assert!(node.ok(&root, "hook ls d").contains("http://127.0.0.1:9/x  ok"));
    node.fails(&root, "hook add d ftp://example.org/", 2);
    node.fails(&root, "hook add d:v1 https://example.org/", 2);
    node.fails(&root, "hook add none https://example.org/", 3);
    documented::check("rm", &json(&format!("hook rm d {id}"))[0]);
    node.fails(&root, &format!("hook rm d {id}"), 3);
    node.stop();
}
