//! What a command answers: exit codes by kind of error, and messages with a cause and a next step.

use std::os::unix::fs::symlink;
use std::process::Command;

use expect_test::{Expect, expect};

use crate::lab::Lab;
use crate::process::Running;

/// A bucket with `d:v1` and `d:v2` of the directory `src`.
fn small() -> Lab {
    let lab = Lab::new();
    lab.write("src/a.txt", "alpha\n");
    lab.write("src/deep/b.txt", "beta\n");
    lab.ok("push src d:v1");
    lab.write("src/a.txt", "alpha 2\n");
    lab.ok("push src d:v2");
    lab
}

/// The exit code, then both streams, with the lab's own place left out.
fn answer(lab: &Lab, words: &str) -> String {
    let ended = lab.run(words);
    let code = ended.code.map_or("a signal".to_owned(), |code| code.to_string());
    let text = format!("{code}\n{}{}", ended.stdout(), ended.stderr);
    let text = text.replace(lab.path("").to_str().unwrap(), "LAB/");
    let root = |word: &&str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.split_whitespace().find(root) {
        Some(root) => text.replace(root, "ROOT"),
        None => text,
    }
}

fn check(lab: &Lab, words: &str, expected: &Expect) {
    expected.assert_eq(&answer(lab, words));
}

#[test]
fn wrong_input_is_2() {
    let lab = small();
    check(
        &lab,
        "push src no~good",
        &expect![[r#"
        2
        cairn: the name "no~good" has '~' at byte 2; it may hold A-Z a-z 0-9 . _ - and begins with a letter or a digit
    "#]],
    );
    check(
        &lab,
        "push src a:b:c",
        &expect![[r#"
        2
        cairn: "a:b:c" has more than one tag; a host with a port is written HOST:PORT/NAME
    "#]],
    );
    check(
        &lab,
        "push src d:v3/path",
        &expect![[r#"
        2
        cairn: "d:v3/path" has the path "path"; only NAME[:TAG] fits here
    "#]],
    );
    check(
        &lab,
        "pull d:v1/deep out",
        &expect![[r#"
        2
        cairn: "d:v1/deep" has the path "deep"; only NAME[:TAG] fits here
    "#]],
    );
    check(
        &lab,
        "cat d:v1",
        &expect![[r#"
        2
        cairn: "d:v1" has no path; write d:v1/PATH
    "#]],
    );
    check(
        &lab,
        "cat d:v1/../../etc/passwd",
        &expect![[r#"
        2
        cairn: the path "../../etc/passwd" has the component ".."; write it without `.` and `..`
    "#]],
    );
    check(
        &lab,
        "ls d:v1/deep/../..",
        &expect![[r#"
        2
        cairn: the path "deep/../.." has the component ".."; write it without `.` and `..`
    "#]],
    );
    check(
        &lab,
        "cat d:v1/deep",
        &expect![[r#"
        2
        cairn: "deep" is a directory, not a file
    "#]],
    );
    check(
        &lab,
        "gc --grace 5y",
        &expect![[r#"
        2
        cairn: "5y" is no age; write a number and s, m, h, d or w, as 30d
    "#]],
    );
    check(
        &lab,
        "diff d:v1 d",
        &expect![[r#"
        2
        cairn: "d" has no tag; write d:TAG
    "#]],
    );
    check(
        &lab,
        "rm d",
        &expect![[r#"
        2
        cairn: d has 2 tags; give --yes to remove them all
    "#]],
    );
    check(
        &lab,
        "retain d --tags-keep some",
        &expect![[r#"
        2
        cairn: "some" is no number of tags; write a number or all
    "#]],
    );
    check(
        &lab,
        "init --encrypt",
        &expect![[r#"
        2
        cairn: --encrypt needs a passphrase (CAIRN_PASSPHRASE, --passphrase-file) or --key-file
    "#]],
    );
    check(
        &lab,
        "push src d:v3 --unpack",
        &expect![[r#"
        2
        cairn: cannot unpack src: Is a directory (os error 21)
    "#]],
    );
    lab.cairn_refuses("push src d:v3 --level 20");
    lab.cairn_refuses("push src");
    lab.cairn_refuses("puhs src d");
    lab.verify();
    assert_eq!(lab.tags("d").len(), 2, "nothing was half done");
}

#[test]
fn what_is_not_there_is_3() {
    let lab = small();
    check(
        &lab,
        "pull none out",
        &expect![[r#"
        3
        cairn: none has no tag latest; `cairn log none` lists its versions
    "#]],
    );
    check(
        &lab,
        "pull d:none out",
        &expect![[r#"
        3
        cairn: d has no tag none; `cairn log d` lists its versions
    "#]],
    );
    check(
        &lab,
        "pull d out",
        &expect![[r#"
        3
        cairn: d has no tag latest; `cairn log d` lists its versions
    "#]],
    );
    check(
        &lab,
        "cat d:v1/none",
        &expect![[r#"
        3
        cairn: there is no "none" in d
    "#]],
    );
    check(
        &lab,
        "cat d:v1/a.txt/none",
        &expect![[r#"
        3
        cairn: there is no "a.txt/none" in d
    "#]],
    );
    check(
        &lab,
        "push none d:v3",
        &expect![[r#"
        3
        cairn: cannot push LAB/none: No such file or directory (os error 2)
    "#]],
    );
    check(
        &lab,
        "log none",
        &expect![[r#"
        3
        cairn: there is no dataset none; `cairn ls` lists them
    "#]],
    );
    check(
        &lab,
        "tag d:none d:other",
        &expect![[r#"
        3
        cairn: d has no tag none; `cairn log d` lists its versions
    "#]],
    );
    check(
        &lab,
        "rm d:none",
        &expect![[r#"
        3
        cairn: d has no tag none; `cairn log d` lists its versions
    "#]],
    );
    check(
        &lab,
        "diff d:v1 d:none",
        &expect![[r#"
        3
        cairn: d has no tag none; `cairn log d` lists its versions
    "#]],
    );
    check(
        &lab,
        "stat d:v1 --against none",
        &expect![[r#"
        3
        cairn: d has no tag none; `cairn log d` lists its versions
    "#]],
    );
    check(
        &lab,
        "--bucket empty ls",
        &expect![[r#"
        3
        cairn: there is no directory LAB/empty; check the name, or make a bucket there with `cairn init`
    "#]],
    );
    assert!(!lab.path("out").exists(), "a pull that fails at once makes nothing");
}

#[test]
fn a_locked_bucket_is_4() {
    let lab = Lab::new();
    lab.write("src/a", "secret");
    lab.write("right", "correct horse");
    lab.write("wrong", "battery staple");
    lab.ok("init --encrypt --passphrase-file right");
    lab.ok("push src d:v1 --passphrase-file right");
    check(
        &lab,
        "ls d",
        &expect![[r#"
        4
        cairn: file://LAB/bucket is encrypted; give its passphrase (CAIRN_PASSPHRASE, CAIRN_PASSPHRASE_FILE) or its key file (CAIRN_KEY_FILE)
    "#]],
    );
    check(
        &lab,
        "pull d:v1 out --passphrase-file wrong",
        &expect![[r#"
        4
        cairn: the passphrase or key file does not open file://LAB/bucket
    "#]],
    );
    assert_eq!(lab.ok("cat d:v1/a --passphrase-file right"), "secret\n");
}

#[test]
fn what_is_in_the_way_is_5() {
    let lab = small();
    check(
        &lab,
        "init",
        &expect![[r#"
        5
        cairn: file://LAB/bucket is a Cairn bucket already
    "#]],
    );
    lab.ok("pull d:v1 out");
    lab.write("out/a.txt", "mine");
    check(
        &lab,
        "pull d:v2 out",
        &expect![[r#"
        5
        cairn: LAB/out/a.txt exists and was changed here; --force overwrites it
    "#]],
    );
    assert_eq!(std::fs::read(lab.path("out/a.txt")).unwrap(), b"mine");
    lab.ok("pull d:v2 out --force");
    assert_eq!(std::fs::read(lab.path("out/a.txt")).unwrap(), b"alpha 2\n");
}

#[test]
fn damage_is_7_and_never_data() {
    let lab = Lab::new();
    lab.write("src/a.txt", "alpha ".repeat(1000));
    lab.ok("push src d:v1");
    let packs = crate::process::files_below(&lab.bucket().join("packs"));
    let mut bytes = std::fs::read(&packs[0]).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 0x10;
    std::fs::write(&packs[0], bytes).unwrap();

    let verified = lab.run("verify");
    assert_eq!(verified.code, Some(7), "{}", verified.stderr);
    assert!(verified.lines.iter().any(|line| line.starts_with("damaged: ")));
    let said = lab.fails("pull d:v1 out", 7);
    assert!(said.contains("packs/"), "it names the object: {said}");
    assert!(crate::process::files_below(&lab.path("out")).is_empty());
    lab.fails("cat d:v1/a.txt", 7);
}

#[test]
fn what_was_left_out_is_9() {
    let lab = small();
    crate::mount::run("mkfifo", &[lab.path("src/pipe").to_str().unwrap()]);
    let ended = lab.run("push src d:v3");
    assert_eq!(ended.code, Some(9));
    assert!(ended.is_acknowledged());
    expect![[r#"
        cairn: left out pipe: a named pipe is not stored
    "#]]
    .assert_eq(&ended.stderr);
    let ended = lab.run("--json push src d:v4");
    let pushed: serde_json::Value = serde_json::from_str(&ended.lines[0]).unwrap();
    assert_eq!(pushed["skipped"][0]["path"], "pipe");
    assert_eq!(lab.ok("ls d:v3"), "a.txt\ndeep/\n");
}

#[test]
fn errors_as_json_have_a_kind_and_a_message() {
    let lab = small();
    for (words, code, kind) in [
        ("cat d:v1/none", 3, "not_found"),
        ("init", 5, "conflict"),
        ("push src a:b:c", 2, "invalid"),
    ] {
        let ended = lab.run(&format!("--json {words}"));
        assert_eq!((ended.code, ended.stdout().as_str()), (Some(code), ""), "{words}");
        let error: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{words}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

/// Names that would leave the destination come from the outside only: a tree cannot hold them, but an
/// archive can say them, and a destination can have links that lead out.
#[test]
fn nothing_escapes_the_destination() {
    let lab = Lab::new();
    lab.write("x/inner", "inside");
    lab.write("outside/kept", "kept");
    let mut tar = Command::new("tar");
    let args = ["-cPf", "evil.tar", "--transform", "s,^x,../outside,", "x/inner"];
    tar.args(args).current_dir(lab.path(""));
    assert_eq!(Running::start(tar).end().code, Some(0));
    let pushed = lab.run("push evil.tar evil:v1 --unpack");
    assert!(matches!(pushed.code, Some(2 | 9)), "{:?} {}", pushed.code, pushed.stderr);
    assert!(pushed.stderr.contains(".."), "{}", pushed.stderr);

    lab.write("src/outside/kept", "from the version");
    lab.ok("push src d:v1");
    std::fs::create_dir(lab.path("to")).unwrap();
    symlink(lab.path("outside"), lab.path("to/outside")).unwrap();
    lab.fails("pull d:v1 to", 5);
    lab.ok("pull d:v1 to --force");
    assert_eq!(std::fs::read(lab.path("to/outside/kept")).unwrap(), b"from the version");
    assert_eq!(std::fs::read(lab.path("outside/kept")).unwrap(), b"kept");
}

#[test]
fn what_people_see() {
    let lab = small();
    check(
        &lab,
        "ls d:v1 -R",
        &expect![[r#"
        0
        a.txt
        deep/
        deep/b.txt
    "#]],
    );
    check(
        &lab,
        "ls d:v1/deep",
        &expect![[r#"
        0
        deep/b.txt
    "#]],
    );
    check(
        &lab,
        "diff d:v1 d:v2",
        &expect![[r#"
        0
        M a.txt
    "#]],
    );
    check(
        &lab,
        "tag d:v1 d:old",
        &expect![[r#"
            0
            d:old is d:v1: ROOT
        "#]],
    );
    check(
        &lab,
        "rm d:old",
        &expect![[r#"
        0
        removed d:old
    "#]],
    );
    check(
        &lab,
        "retain d --history-keep 3 --tags-age 8w",
        &expect![[r#"
        0
        superseded versions: the last 3 of each tag, and all younger than 30.0 days
        tags: all younger than 56.0 days
    "#]],
    );
    check(
        &lab,
        "version",
        &expect![[r#"
        0
        cairn 0.1.0
    "#]],
    );
    check(
        &lab,
        "pull d:v1 out",
        &expect![[r#"
        0
        d:v1 -> out: 2 files written, 0 kept; 11 B fetched, 0 B reused
    "#]],
    );
    check(
        &lab,
        "pull d:v2 out",
        &expect![[r#"
        0
        d:v2 -> out: 1 files written, 1 kept; 8 B fetched, 0 B reused
    "#]],
    );
}
