//! Triggers: functions that are told of changes of keys.
//!
//! FUNCTIONS-10 A trigger tells its function the changes of its keys in the order of commits, at least once: what comes next is told
//! when the function took what came before. What is not kept any more, when it comes to it, is told as missed.

use bytes::{BufMut as _, Bytes, BytesMut};
use cairn_base::DatasetName;
use cairn_kv::{Change, KeyRange, Namespace, Seq, What, large_size, split};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::Function;

/// Triggers of a project.
pub const TRIGGERS_MAX: usize = 100;
/// The longest prefix of keys, in bytes.
const PREFIX_BYTES_MAX: usize = 1024;
/// Bytes of lines after which what is told at a time is enough: with one more it is what a program takes.
const ENOUGH_BYTES: usize = 512 << 10;
/// Bytes of a value that is told; of a larger one its length is.
const VALUE_BYTES_MAX: usize = 128 << 10;

/// What a trigger is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerSpec {
    /// The namespace: `NAME` in the function's project, or `@PROJECT/NAME`.
    pub namespace: String,
    /// What its keys begin with; nothing for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Where one that answers requests is asked to POST to.
    #[serde(default = "root")]
    pub path: String,
}

fn root() -> String {
    "/".to_owned()
}

impl TriggerSpec {
    /// Fails for what could be no trigger of a function, with what is wrong with it.
    ///
    /// # Errors
    /// As text.
    pub fn check(&self, function: &Function) -> Result<(), String> {
        self.of(function).ok_or_else(|| {
            let name = &self.namespace;
            format!("{name:?} is no namespace: write NAME, or @PROJECT/NAME")
        })?;
        if self.prefix.len() > PREFIX_BYTES_MAX {
            return Err(format!("a prefix has at most {PREFIX_BYTES_MAX} bytes"));
        }
        let path = self.path.parse::<http::uri::PathAndQuery>();
        if !self.path.starts_with('/') || path.is_err() {
            return Err(format!("{:?} is no path: it begins with a slash", self.path));
        }
        Ok(())
    }

    /// The namespace.
    pub(crate) fn of(&self, function: &Function) -> Option<Namespace> {
        let (project, name) = match self.namespace.strip_prefix('@') {
            Some(named) => {
                let (project, name) = named.split_once('/')?;
                (project.parse().ok()?, name)
            }
            None => (function.project.clone(), self.namespace.as_str()),
        };
        // The rows of functions are nobody's but this engine's.
        let name: DatasetName = name.parse().ok()?;
        (name.as_str() != crate::rows::NAME).then_some(Namespace { project, name })
    }

    pub(crate) fn range(&self) -> KeyRange {
        KeyRange::prefix(Bytes::copy_from_slice(self.prefix.as_bytes()))
    }
}

/// A trigger as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerInfo {
    /// Its name, one of its function's.
    pub name: String,
    /// The function's project.
    pub project: String,
    /// The function.
    pub function: String,
    /// What it is for.
    #[serde(flatten)]
    pub spec: TriggerSpec,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
    /// The commit of the namespace up to which the function was told.
    pub told: u64,
    /// How often in a row what comes next could not be told.
    pub failures: u32,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is tried again, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_ms: Option<u64>,
}

/// What is told at a time: lines of JSON, and the commit up to which all is told by then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) lines: Bytes,
    pub(crate) upto: Seq,
}

/// Changes in parts, each with whole commits where it can be. `before` is up to where was told, `upto` up to where these go.
pub(crate) fn parts(changes: &[Change], before: Seq, upto: Seq) -> Vec<Told> {
    let mut parts = Vec::new();
    let (mut lines, mut whole) = (BytesMut::new(), before);
    for (at, change) in changes.iter().enumerate() {
        let last = changes.get(at + 1).is_none_or(|next| next.seq != change.seq);
        lines.put_slice(line(change, last).to_string().as_bytes());
        lines.put_u8(b'\n');
        if last {
            whole = change.seq;
        }
        if lines.len() >= ENOUGH_BYTES {
            parts.push(Told { lines: lines.split().freeze(), upto: whole });
        }
    }
    if !lines.is_empty() {
        parts.push(Told { lines: lines.freeze(), upto });
    }
    match parts.last_mut() {
        Some(last) => last.upto = upto,
        None => parts.push(Told { lines: Bytes::new(), upto }),
    }
    parts
}

/// What is told of changes that are not kept any more.
pub(crate) fn missed(before: Seq, upto: Seq) -> Told {
    let line = json!({ "type": "missed", "seq": upto.0, "after": before.0, "last": true });
    Told { lines: format!("{line}\n").into(), upto }
}

/// A change as a watch tells it.
fn line(change: &Change, last: bool) -> Value {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    put("seq", change.seq.0.into());
    put("last", last.into());
    put("time_ms", change.time_ms.into());
    let mut text = |name: &str, bytes: &[u8]| match split(bytes) {
        (Some(text), _) => put(name, text.into()),
        (None, base64) => put(&format!("{name}_base64"), base64.unwrap_or_default().into()),
    };
    let mut more = Vec::new();
    let kind = match &change.what {
        What::Put(entry) => {
            text("key", &entry.key);
            let size = large_size(entry);
            let long = (entry.value.len() > VALUE_BYTES_MAX).then_some(entry.value.len() as u64);
            match size.or(long) {
                Some(size) => more.extend([("large", true.into()), ("size", size.into())]),
                None => text("value", &entry.value),
            }
            "put"
        }
        What::Deleted { key, expired } => {
            text("key", key);
            more.push(("expired", (*expired).into()));
            "delete"
        }
        What::RangeDeleted(range) => {
            text("from", &range.from);
            if let Some(to) = &range.to {
                text("to", to);
            }
            "delete_range"
        }
    };
    more.push(("type", kind.into()));
    more.into_iter().for_each(|(name, value)| drop(line.insert(name.to_owned(), value)));
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use cairn_kv::Entry;

    use super::*;

    fn put(seq: u64, key: &str, bytes: usize) -> Change {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), vec![b'v'; bytes].into());
        let (reference, expires_ms) = (None, None);
        let entry = Entry { key, value, reference, seq: Seq(seq), expires_ms };
        Change { seq: Seq(seq), time_ms: 7, what: What::Put(entry) }
    }

    /// FUNCTIONS-10: a part ends a commit before what is told of it counts as told.
    #[test]
    fn functions_10_parts_have_all_changes_once_and_count_whole_commits() {
        let big = 100 << 10;
        let changes: Vec<Change> = (0..20).map(|at| put(1 + at / 10, "k", big)).collect();
        let parts = parts(&changes, Seq(0), Seq(9));
        let lines: usize =
            parts.iter().map(|part| part.lines.iter().filter(|b| **b == b'\n').count()).sum();
        assert_eq!(lines, 20);
        assert!(parts.iter().all(|part| part.lines.len() < ENOUGH_BYTES + (big + 200)));
        let upto: Vec<u64> = parts.iter().map(|part| part.upto.0).collect();
        assert_eq!(upto, [0, 1, 1, 9], "{upto:?}");
        assert_eq!(super::parts(&[], Seq(3), Seq(9)), [Told { lines: Bytes::new(), upto: Seq(9) }]);
    }

    #[test]
    fn lines_are_as_those_of_a_watch() {
        assert_eq!(
            line(&put(3, "a", 1), true),
            json!({ "type": "put", "seq": 3, "last": true, "time_ms": 7, "key": "a", "value": "v" })
        );
        let large = line(&put(3, "a", VALUE_BYTES_MAX + 1), false);
        assert_eq!((&large["large"], &large["size"]), (&json!(true), &json!(VALUE_BYTES_MAX + 1)));
        let key = Bytes::from_static(b"\xff");
        let gone = Change { seq: Seq(4), time_ms: 8, what: What::Deleted { key, expired: true } };
        let told = line(&gone, true);
        assert_eq!((&told["key_base64"], &told["expired"]), (&json!("/w=="), &json!(true)));
    }

    #[test]
    fn what_could_be_no_trigger_is_told_so() {
        let function = Function { project: "main".parse().unwrap(), name: "f".parse().unwrap() };
        let spec = |namespace: &str, path: &str| TriggerSpec {
            namespace: namespace.to_owned(),
            prefix: String::new(),
            path: path.to_owned(),
        };
        assert_eq!(spec("carts", "/").check(&function), Ok(()));
        assert_eq!(spec("@shop/carts", "/x?y=1").check(&function), Ok(()));
        for (namespace, path) in [("", "/"), ("@shop", "/"), ("cairn.functions", "/"), ("a", "x")] {
            assert!(spec(namespace, path).check(&function).is_err(), "{namespace} {path}");
        }
    }
}
