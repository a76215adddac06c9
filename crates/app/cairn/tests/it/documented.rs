//! `docs/JSON.md` against what commands print: every field is there, with its type.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const TEXT: &str = include_str!("../../../../../docs/JSON.md");

/// The fields of a document as `path.to.field: type`; of a list, the first item stands for all.
pub(crate) fn fields(path: &str, value: &Value, to: &mut BTreeSet<String>) {
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

/// The rows of a section: the type of each field, in brackets where it may be absent.
fn rows(section: &str) -> BTreeMap<&'static str, &'static str> {
    let heading = format!("\n## {section}\n");
    let (_, rest) = TEXT.split_once(&heading).unwrap_or_else(|| panic!("no section {section:?}"));
    let body = rest.split("\n## ").next().unwrap_or_default();
    let rows = body.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`'), cells.next()?.trim()))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    assert!(!rows.is_empty(), "{section:?} has no fields");
    rows
}

/// The type that a section gives a field. `x.*` is whatever its row names: a version, an entry, a token, a webhook.
fn documented(section: &str, field: &str) -> Option<&'static str> {
    let rows = rows(section);
    if let Some(kind) = rows.get(field) {
        return Some(kind);
    }
    rows.keys().filter_map(|row| row.strip_suffix('*')).find_map(|before| {
        let inner = field.strip_prefix(before)?;
        let shapes = if section == "ls NAME:TAG" || section == "diff" {
            ["an entry"].as_slice()
        } else {
            ["a version", "a token", "a webhook"].as_slice()
        };
        shapes.iter().find_map(|shape| documented(shape, inner))
    })
}

/// Insists that the section says every field of the document, as it is.
#[track_caller]
pub(crate) fn check(section: &str, document: &Value) {
    let mut found = BTreeSet::new();
    fields("", document, &mut found);
    for line in found {
        let (field, kind) = line.split_once(": ").unwrap();
        // Of an empty list there is nothing to say but that it is one.
        let nested = format!("{field}[]");
        let row = match kind {
            "[]" => {
                let of = |row: &&str| row.starts_with(&nested);
                assert!(
                    rows(section).keys().any(of),
                    "docs/JSON.md: {section}: {field} is no list"
                );
                continue;
            }
            _ => documented(section, field),
        };
        let row = row.unwrap_or_else(|| panic!("docs/JSON.md: {section}: no field {field}"));
        let optional = row.strip_prefix('[').and_then(|row| row.strip_suffix(']'));
        let fits = row == kind || optional.is_some_and(|row| row == kind || kind == "null");
        assert!(fits, "docs/JSON.md: {section}: {field} is {kind}, not {row}");
    }
}
