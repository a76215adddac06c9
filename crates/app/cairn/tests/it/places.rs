//! Where a command works: what is typed, what the environment says, profiles, and what is not there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::lab::Lab;
use crate::process::{Ended, Running, files_below};

fn run(mut command: Command, variables: &[(&str, &str)]) -> Ended {
    command.env_remove("CAIRN_BUCKET").envs(variables.iter().copied());
    Running::start(command).end()
}

/// A lab with the buckets `one` and `two`, whose datasets have those names.
fn two_buckets() -> Lab {
    let lab = Lab::new();
    lab.write("src/a", "a");
    lab.ok("--bucket one push src one:v1");
    lab.ok("--bucket two push src two:v1");
    lab
}

#[test]
fn what_is_typed_wins_over_the_environment() {
    let lab = two_buckets();
    lab.ok("profile set first --bucket one");
    lab.ok("profile set second --bucket two");
    let nowhere = ("CAIRN_URL", "http://127.0.0.1:1");
    let one = ("CAIRN_BUCKET", "one");
    for (words, variables, expected) in [
        ("ls", vec![], "one "),
        ("ls", vec![("CAIRN_PROFILE", "second")], "two "),
        ("ls", vec![one, ("CAIRN_PROFILE", "second")], "one "),
        ("ls", vec![one, nowhere], "one "),
        ("ls --bucket two", vec![one, nowhere, ("CAIRN_PROFILE", "first")], "two "),
        ("--bucket two ls", vec![one], "two "),
        ("ls --profile second", vec![one], "two "),
        ("ls --profile second", vec![nowhere], "two "),
    ] {
        let ended = run(lab.cairn(words), &variables);
        assert_eq!(ended.code, Some(0), "{words} {variables:?}: {}", ended.stderr);
        assert!(ended.stdout().starts_with(expected), "{words} {variables:?}: {}", ended.stdout());
    }
    let ended = run(lab.cairn("ls --url http://127.0.0.1:1"), &[one]);
    assert_eq!(ended.code, Some(6), "{}", ended.stdout());
    assert!(ended.stderr.contains("http://127.0.0.1:1"), "{}", ended.stderr);
    let said = lab.fails("ls --url http://127.0.0.1:1 --bucket one", 2);
    assert!(said.contains("--bucket and --url name two places"), "{said}");
    let ended = run(lab.cairn("ls"), &[one, ("CAIRN_LOG", "a=b=c")]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("CAIRN_LOG"), "{}", ended.stderr);
}

#[test]
fn profiles_are_kept_and_their_tokens_are_not_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = two_buckets();
    assert_eq!(lab.ok("profile ls"), "");
    let mut set = lab.cairn("profile set node --url http://127.0.0.1:1");
    set.env("CAIRN_TOKEN", "cairn_secret");
    assert_eq!(run(set, &[]).code, Some(0));
    lab.ok("profile set disk --bucket two");
    let file = lab.path("home/.config/cairn/config.toml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let listed = lab.json("profile ls");
    let field = |at: usize, name: &str| listed[at][name].clone();
    assert_eq!(field(0, "name"), "disk");
    assert_eq!((field(1, "default"), field(1, "has_token")), (true.into(), true.into()));
    assert!(!lab.ok("profile ls").contains("secret"));
    lab.ok("profile use disk");
    assert!(run(lab.cairn("ls"), &[]).stdout().starts_with("two "));
    let said = lab.fails("profile use none", 2);
    assert!(said.contains("disk, node"), "{said}");
    lab.ok("profile rm disk");
    assert_eq!(lab.json("profile ls").len(), 1);
    std::fs::write(&file, "defualt = \"node\"\n").unwrap();
    let said = run(lab.cairn("ls"), &[]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.contains("config.toml") && said.stderr.contains("defualt"),
        "{}",
        said.stderr
    );
}

/// BAD-1: a name that was mistyped leaves no directory behind.
#[test]
fn only_what_writes_makes_a_bucket() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    lab.write("plain/file", "not a bucket");
    for words in
        ["ls", "ls d", "cat d:v1/a", "pull d out", "verify", "gc", "rm d:v1", "log d", "stat d"]
    {
        let said = lab.fails(&format!("--bucket wrong/place {words}"), 3);
        assert!(said.contains("wrong/place") && said.contains("cairn init"), "{words}: {said}");
        let said = lab.fails(&format!("--bucket plain {words}"), 3);
        assert!(said.contains("is not a Cairn bucket"), "{words}: {said}");
    }
    assert_eq!(lab.run("--bucket wrong/place doctor").code, Some(1));
    lab.fails("--bucket wrong/place push none d:v1", 3);
    lab.fails("--bucket file:// push src d:v1", 2);
    assert!(!lab.path("wrong").exists() && !lab.path("out").exists());
    assert_eq!(files_below(&lab.path("plain")), [lab.path("plain/file")]);
    assert!(!lab.path("plain/.cairn-bucket").exists());
    lab.ok("--bucket wrong/place push src d:v1");
    lab.ok("--bucket wrong/place tag d:v1 d:v2");
    lab.ok("--bucket wrong/place rm d:v1");
}

#[test]
fn a_project_has_its_own_list() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    lab.ok("push src d:v1");
    lab.ok("push src @lab/x:v1");
    assert!(lab.ok("ls").starts_with("d "));
    for words in ["ls @lab", "ls @lab/"] {
        let listed = lab.ok(words);
        assert!(listed.starts_with("@lab/x ") && listed.lines().count() == 1, "{listed}");
    }
    assert_eq!(lab.json("ls @lab")[0]["project"], "lab");
    assert_eq!(lab.ok("ls @none"), "");
    assert!(lab.ok("ls @lab/x").starts_with("v1 "));
    lab.fails("ls @", 2);
    lab.fails("ls @no~good", 2);
}

#[test]
fn names_that_are_not_text_can_be_asked_for() {
    let lab = Lab::new();
    let odd = |name: &[u8]| lab.path("src/deep").join(OsStr::from_bytes(name));
    lab.write("src/deep/plain", "p");
    std::fs::write(odd(b"caf\xe9"), "latin").unwrap();
    std::fs::create_dir(odd(b"\xff")).unwrap();
    std::fs::write(odd(b"\xff/b"), "below").unwrap();
    lab.ok("push src d:v1");
    let cairn = |verb: &str, reference: &[u8]| {
        let mut command = lab.cairn(verb);
        command.arg(OsStr::from_bytes(reference));
        Running::start(command).end()
    };
    assert_eq!(cairn("cat", b"d:v1/deep/caf\xe9").lines, ["latin"]);
    assert_eq!(cairn("cat", b"d:v1/deep/\xff/b").lines, ["below"]);
    assert_eq!(cairn("ls", b"d:v1/deep/\xff").lines, ["deep/\u{fffd}/b"]);
    assert_eq!(cairn("cat", b"d:v1/deep/caf\xe8").code, Some(3));
    for escape in [&b"d:v1/\xff/../../x"[..], b"d:v1/\xff/./x", b"\xff"] {
        let ended = cairn("cat", escape);
        assert_eq!(ended.code, Some(2), "{escape:?}: {}", ended.stderr);
    }
}

#[test]
fn a_bucket_is_no_place_to_pull_to() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    lab.ok("push src d:v1");
    let said = lab.fails("pull d:v1 bucket --force --delete", 2);
    assert!(said.contains("is a bucket"), "{said}");
    lab.verify();
}

#[test]
fn a_secret_that_protects_nothing_is_said() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    lab.write("empty", "\n");
    lab.write("key", [7; 32]);
    lab.fails("init --encrypt --passphrase-file empty", 2);
    lab.fails("init --encrypt --key-file none", 3);
    assert!(!lab.bucket().join("cairn.json").exists());
    lab.ok("push src d:v1");
    let ended = lab.run("push src d:v2 --key-file key");
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("is not encrypted"), "{}", ended.stderr);
}
