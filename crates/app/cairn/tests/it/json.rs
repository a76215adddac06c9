//! The documents of `--json`: which fields they have, and of which type.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::lab::Lab;
use crate::process::until;

/// The fields of a document as `path.to.field: type`; of a list, the first item stands for all.
fn fields(path: &str, value: &Value, to: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => match items.first() {
            Some(first) => return fields(&format!("{path}[]"), first, to),
            None => "[]",
        },
        Value::Object(object) => {
            let dot = if path.is_empty() { "" } else { "." };
            for (name, value) in object {
                fields(&format!("{path}{dot}{name}"), value, to);
            }
            return;
        }
    };
    to.insert(format!("{path}: {kind}"));
}

/// The fields of all documents that a command prints.
#[track_caller]
fn check(lab: &Lab, words: &str, expected: &Expect) {
    let mut all = BTreeSet::new();
    for document in lab.json(words) {
        fields("", &document, &mut all);
    }
    let lines: Vec<String> = all.into_iter().collect();
    expected.assert_eq(&format!("{}\n", lines.join("\n")));
}

#[test]
fn every_document_has_its_fields() {
    let lab = Lab::new();
    lab.write("src/a.txt", "alpha ".repeat(2000));
    lab.write("src/deep/b.txt", "beta");
    std::os::unix::fs::symlink("a.txt", lab.path("src/link")).unwrap();
    check(&lab, "init", &expect![[r#""#]]);
    check(&lab, "push src d:v1 -m first --expire 8w", &expect![[r#""#]]);
    lab.write("src/a.txt", "alpha");
    check(&lab, "push src d:v1", &expect![[r#""#]]);
    check(&lab, "push src d:v2", &expect![[r#""#]]);
    check(&lab, "pull d:v1 out", &expect![[r#""#]]);
    check(&lab, "ls", &expect![[r#""#]]);
    check(&lab, "ls d:v1", &expect![[r#""#]]);
    check(&lab, "log d:v1", &expect![[r#""#]]);
    check(&lab, "stat d:v1", &expect![[r#""#]]);
    check(&lab, "retain d --tags-keep 5 --tags-age 1d", &expect![[r#""#]]);
    check(&lab, "tag d:v1 d:old", &expect![[r#""#]]);
    check(&lab, "rm d:old", &expect![[r#""#]]);
    check(&lab, "verify", &expect![[r#""#]]);
    check(&lab, "gc --dry-run", &expect![[r#""#]]);
    check(&lab, "version", &expect![[r#""#]]);
    lab.write("src/a.txt", "alpha, changed");
    std::fs::remove_file(lab.path("src/deep/b.txt")).unwrap();
    lab.ok("push src d:v3");
    check(&lab, "diff d:v2 d:v3", &expect![[r#""#]]);
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
