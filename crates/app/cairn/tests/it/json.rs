//! The documents of `--json`: which fields they have, and of which type.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::documented::{self, fields};
use crate::lab::Lab;
use crate::process::until;

/// The fields of all documents that a command prints.
#[track_caller]
fn check(lab: &Lab, words: &str, expected: &Expect) {
    let mut all = BTreeSet::new();
    for document in lab.json(words) {
        fields("", &document, &mut all);
        documented::check(section(words), &document);
    }
    let lines: Vec<String> = all.into_iter().collect();
    expected.assert_eq(&format!("{}\n", lines.join("\n")));
}

/// The section of docs/JSON.md that tells what a command prints.
fn section(words: &str) -> &str {
    match words.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["ls", reference] if reference.contains(':') => "ls NAME:TAG",
        ["ls", _] => "ls NAME",
        [command, ..] => command,
        [] => unreachable!("a command has a word"),
    }
}

/// What the parser of arguments refuses is told as all other errors are.
#[test]
fn wrong_usage_is_told_as_json() {
    let lab = Lab::new();
    for (words, why) in [
        ("--json fn deploy", "were not provided: --name <NAME> <FILE>; Usage: cairn fn deploy"),
        ("fn rollback m 99 --json", "unexpected argument '99' found"),
        ("--json fn bogus", "unrecognized subcommand 'bogus'"),
        ("--json fn", "requires a subcommand"),
        ("--json", "requires a subcommand"),
        ("push src d --level 20 --json", "20 is not in 1..=19"),
        ("ls --bucket file:///b --url http://h --json", "name two places"),
    ] {
        let ended = lab.run(words);
        assert_eq!((ended.code, ended.stdout().as_str()), (Some(2), ""), "{words}");
        let told: Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!(told["error"]["kind"], "invalid", "{words}: {told}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains(why) && !message.contains('\n'), "{words}: {message}");
    }
    assert!(lab.ok("fn deploy --help --json").contains("Usage:"));
    assert!(lab.ok("--json --version").starts_with("cairn "));
    lab.cairn_refuses("fn bogus");
    lab.cairn_refuses("fn bogus -- --json");
}

#[test]
fn every_document_has_its_fields() {
    let lab = Lab::new();
    lab.write("src/a.txt", "alpha ".repeat(2000));
    lab.write("src/deep/b.txt", "beta");
    std::os::unix::fs::symlink("a.txt", lab.path("src/link")).unwrap();
    check(
        &lab,
        "init",
        &expect![[r#"
        bucket: string
        encrypted: bool
        id: string
    "#]],
    );
    check(
        &lab,
        "push src d:v1 -m first --expire 8w",
        &expect![[r#"
        files_read: number
        new_bytes: number
        skipped: []
        stored_bytes: number
        unstable: []
        version.by: string
        version.bytes: number
        version.expires_ns: number
        version.files: number
        version.message: string
        version.new_bytes: number
        version.root: string
        version.stored_bytes: number
        version.time_ns: number
    "#]],
    );
    lab.write("src/a.txt", "alpha");
    check(
        &lab,
        "push src d:v1",
        &expect![[r#"
        files_read: number
        new_bytes: number
        skipped: []
        stored_bytes: number
        unstable: []
        version.by: string
        version.bytes: number
        version.files: number
        version.new_bytes: number
        version.root: string
        version.stored_bytes: number
        version.time_ns: number
    "#]],
    );
    check(
        &lab,
        "push src d:v2",
        &expect![[r#"
        files_read: number
        new_bytes: number
        skipped: []
        stored_bytes: number
        unstable: []
        version.by: string
        version.bytes: number
        version.files: number
        version.new_bytes: number
        version.root: string
        version.stored_bytes: number
        version.time_ns: number
    "#]],
    );
    check(
        &lab,
        "pull d:v1 out",
        &expect![[r#"
        deleted: number
        fetched_bytes: number
        files_kept: number
        files_written: number
        reused_bytes: number
        version.by: string
        version.bytes: number
        version.files: number
        version.new_bytes: number
        version.root: string
        version.stored_bytes: number
        version.time_ns: number
        warnings: []
    "#]],
    );
    check(
        &lab,
        "ls",
        &expect![[r#"
        name: string
        newest.by: string
        newest.bytes: number
        newest.files: number
        newest.new_bytes: number
        newest.root: string
        newest.stored_bytes: number
        newest.time_ns: number
        project: string
        tags[]: string
    "#]],
    );
    check(
        &lab,
        "ls d:v1",
        &expect![[r#"
        files: number
        gid: number
        kind: string
        mode: number
        mtime: number
        mtime_ns: number
        path: string
        size: number
        target: string
        uid: number
    "#]],
    );
    check(
        &lab,
        "log d:v1",
        &expect![[r#"
        by: string
        bytes: number
        current: bool
        expires_ns: number
        files: number
        message: string
        new_bytes: number
        root: string
        stored_bytes: number
        tag: string
        time_ns: number
    "#]],
    );
    check(
        &lab,
        "stat d:v1",
        &expect![[r#"
        advice: []
        archives_closed: number
        archives_opened: number
        bytes: number
        compared_with: string
        files[].bytes: number
        files[].name: string
        files[].new_bytes: number
        new_bytes: number
        repeated_bytes: number
        reused_bytes: number
        types[].bytes: number
        types[].name: string
        types[].new_bytes: number
        version.by: string
        version.bytes: number
        version.files: number
        version.new_bytes: number
        version.root: string
        version.stored_bytes: number
        version.time_ns: number
    "#]],
    );
    check(
        &lab,
        "retain d --tags-keep 5 --tags-age 1d",
        &expect![[r#"
        history_keep: number
        history_seconds: number
        tags_keep: number
        tags_seconds: number
    "#]],
    );
    check(
        &lab,
        "tag d:v1 d:old",
        &expect![[r#"
        by: string
        bytes: number
        files: number
        new_bytes: number
        root: string
        stored_bytes: number
        time_ns: number
    "#]],
    );
    check(
        &lab,
        "rm d:old",
        &expect![[r#"
        removed: string
    "#]],
    );
    check(
        &lab,
        "verify",
        &expect![[r#"
        bytes: number
        chunks: number
        findings: []
        findings_left_out: number
        frames: number
        packs: number
        references: number
        versions: number
    "#]],
    );
    check(
        &lab,
        "gc --dry-run",
        &expect![[r#"
        bytes: number
        bytes_live: number
        chunks: number
        chunks_live: number
        orphans_deleted: number
        packs_condemned: number
        packs_deleted: number
        packs_rescued: number
        packs_rewritten: number
        sessions_expired: number
        tags_removed: number
        versions: number
        versions_removed: number
    "#]],
    );
    check(
        &lab,
        "version",
        &expect![[r#"
        name: string
        version: string
    "#]],
    );
    lab.write("src/a.txt", "alpha, changed");
    std::fs::remove_file(lab.path("src/deep/b.txt")).unwrap();
    lab.ok("push src d:v3");
    check(
        &lab,
        "diff d:v2 d:v3",
        &expect![[r#"
        change: string
        new.files: number
        new.gid: number
        new.kind: string
        new.mode: number
        new.mtime: number
        new.mtime_ns: number
        new.path: string
        new.size: number
        new.uid: number
        old.files: number
        old.gid: number
        old.kind: string
        old.mode: number
        old.mtime: number
        old.mtime_ns: number
        old.path: string
        old.size: number
        old.uid: number
        path: string
    "#]],
    );
}

#[test]
fn lists_and_odd_ends_are_documented() {
    let lab = Lab::new();
    lab.write("src/a.txt", "alpha ".repeat(2000));
    lab.ok("push src d:v1");
    lab.ok("push src d:v1 -m again");
    crate::mount::run("mkfifo", &[lab.path("src/pipe").to_str().unwrap()]);
    let left_out = lab.run("--json push src d:v2");
    documented::check("push", &serde_json::from_str(&left_out.lines[0]).unwrap());
    for (words, section) in [("ls d", "ls NAME"), ("doctor", "doctor"), ("version", "version")] {
        lab.json(words).iter().for_each(|document| documented::check(section, document));
    }
    lab.ok("profile set here");
    documented::check("profile ls", &lab.json("profile ls")[0]);
    for pack in crate::process::files_below(&lab.bucket().join("packs")) {
        std::fs::write(pack, "gone").unwrap();
    }
    let damaged = lab.run("--json verify");
    documented::check("verify", &serde_json::from_str(&damaged.lines[0]).unwrap());
}

#[test]
fn numbers_agree_between_documents() {
    let lab = Lab::new();
    lab.write("src/a.txt", "alpha ".repeat(2000));
    lab.write("src/b.txt", "beta");
    let pushed = &lab.json("push src d:v1")[0];
    assert_eq!(pushed["version"]["files"], 2);
    assert_eq!(pushed["version"]["bytes"], 12_004);
    assert_eq!(pushed["files_read"], 2);
    // Attributes tell nothing of files that were touched a moment ago, so the first pushes read them.
    until("the stat cache", || (lab.json("push src d:v2")[0]["files_read"] == 0).then_some(()));
    assert_eq!(lab.json("push src d:v2 --rescan")[0]["files_read"], 2);
    assert_eq!(lab.json("log d:v1")[0]["root"], pushed["version"]["root"]);
    let pulled = &lab.json("pull d:v1 out")[0];
    assert_eq!(pulled["files_written"], 2);
    let pulled = &lab.json("pull d:v1 out")[0];
    assert_eq!((&pulled["files_written"], &pulled["files_kept"]), (&0.into(), &2.into()));
    let tags = lab.json("ls");
    assert_eq!(tags[0]["tags"].as_array().unwrap().len(), 2);
    assert_eq!(lab.json("verify")[0]["findings"].as_array().unwrap().len(), 0);
    lab.ok("verify --repair-report report.json");
    let report: Value =
        serde_json::from_slice(&std::fs::read(lab.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["versions"], 2);
}
