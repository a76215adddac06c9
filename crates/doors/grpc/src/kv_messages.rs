//! Between messages about keys and what the engine knows.

use std::time::Duration;

use bytes::Bytes;
use cairn_access::Resource;
use cairn_kv::{
    self as engine, At, Change, Commit, Durable, Info, KeyRange, Kv, Loss, Only, Seq,
    SettingsChange, What,
};

use crate::error::Error;
use crate::gate::Asked;
use crate::limits::KV_COPIED_BYTES_MAX;
use crate::names;
use crate::proto::kv::v1 as api;
use crate::proto::kv::v1::condition::Expected;
use crate::rpc::Scope;

/// The namespace that a message names.
pub(crate) fn namespace(named: Option<&api::Namespace>) -> Result<engine::Namespace, Error> {
    let named = named.ok_or_else(|| Error::invalid("the request names no namespace"))?;
    let (project, name) = (names::project(&named.project)?, named.name.parse()?);
    Ok(engine::Namespace { project, name })
}

/// Bytes that may outlive the message that they came in.
pub(crate) fn owned(bytes: Bytes) -> Bytes {
    if bytes.len() > KV_COPIED_BYTES_MAX { bytes } else { Bytes::copy_from_slice(&bytes) }
}

/// A level, when one is asked for.
pub(crate) fn durable(level: i32) -> Result<Option<Durable>, Error> {
    match api::Durable::try_from(level) {
        Ok(api::Durable::Unspecified) => Ok(None),
        Ok(api::Durable::Log) => Ok(Some(Durable::Log)),
        Ok(api::Durable::Bucket) => Ok(Some(Durable::Bucket)),
        Err(_) => Err(Error::invalid(format!("there is no level {level} of durability"))),
    }
}

/// The settings that are to change.
pub(crate) fn settings(asked: Option<api::Settings>) -> Result<SettingsChange, Error> {
    let asked = asked.unwrap_or_default();
    Ok(SettingsChange { durable: durable(asked.durable)?, history_ms: asked.history_ms })
}

/// Where a namespace stands, as a message.
pub(crate) fn info(found: Info) -> api::NamespaceInfo {
    let durable = match found.durable {
        Durable::Log => api::Durable::Log,
        Durable::Bucket => api::Durable::Bucket,
    };
    let (durable, history_ms) = (durable.into(), Some(found.history_ms));
    api::NamespaceInfo {
        namespace: Some(api::Namespace { project: found.project, name: found.name }),
        settings: Some(api::Settings { durable, history_ms }),
        seq: found.seq.0,
        durable_seq: found.durable_seq.0,
        oldest_seq: found.oldest_seq.0,
        lost: found.lost.map(|Loss { log, node, after_ms, noticed_ms }| api::Loss {
            log,
            node,
            after_ms,
            noticed_ms,
        }),
    }
}

/// A range; none when no field of it is given.
pub(crate) fn range(asked: Option<api::KeyRange>) -> Result<Option<KeyRange>, Error> {
    let asked = asked.unwrap_or_default();
    match (asked.prefix.map(owned), asked.from.map(owned), asked.to.map(owned)) {
        (None, None, None) => Ok(None),
        (Some(prefix), None, None) => Ok(Some(KeyRange::prefix(prefix))),
        (None, from, to) => Ok(Some(KeyRange { from: from.unwrap_or_default(), to })),
        (Some(_), ..) => Err(Error::invalid("a range has either a prefix, or from and to")),
    }
}

/// The state that a read asks for.
pub(crate) fn state(seq: Option<u64>, time_ms: Option<u64>) -> At {
    match (seq, time_ms) {
        (Some(seq), _) => At::Seq(Seq(seq)),
        (None, Some(time_ms)) => At::TimeMs(time_ms),
        (None, None) => At::Durable,
    }
}

fn expected(condition: &api::Condition) -> Result<Option<Seq>, Error> {
    match condition.expected {
        Some(Expected::Seq(seq)) => Ok(Some(Seq(seq))),
        Some(Expected::Absent(true)) => Ok(None),
        _ => Err(Error::invalid("a condition has either seq, or absent: true")),
    }
}

/// The condition of a request about one key.
pub(crate) fn only(condition: Option<&api::Condition>) -> Result<Only, Error> {
    let Some(condition) = condition else { return Ok(Only::Always) };
    if !condition.key.is_empty() {
        return Err(Error::invalid(
            "the condition is about the request's key; leave its key empty",
        ));
    }
    Ok(expected(condition)?.map_or(Only::Absent, Only::Seq))
}

/// The changes and conditions of a commit. Their limits are the engine's.
pub(crate) fn commit(
    kv: &Kv,
    ops: Vec<api::Op>,
    conditions: Vec<api::Condition>,
    level: i32,
) -> Result<Commit, Error> {
    let condition = |condition: api::Condition| {
        let expected = expected(&condition)?;
        Ok::<_, Error>(engine::Condition { key: owned(condition.key), expected })
    };
    Ok(Commit {
        ops: ops.into_iter().map(|change| op(kv, change)).collect::<Result<_, _>>()?,
        conditions: conditions.into_iter().map(condition).collect::<Result<_, _>>()?,
        durable: durable(level)?,
        ..Commit::default()
    })
}

fn op(kv: &Kv, change: api::Op) -> Result<engine::Op, Error> {
    use api::op::Op;
    let nothing = || Error::invalid("a change is a put, a delete or a delete_range");
    Ok(match change.op.ok_or_else(nothing)? {
        Op::Put(put) => {
            let expires_ms = match put.end {
                None => None,
                Some(api::put::End::TtlMs(ttl)) => Some(kv.ends(Duration::from_millis(ttl))?),
                Some(api::put::End::ExpiresMs(expires_ms)) => Some(expires_ms),
            };
            engine::Op::Put { key: owned(put.key), value: owned(put.value), expires_ms }
        }
        Op::Delete(key) => engine::Op::Delete { key: owned(key) },
        Op::DeleteRange(asked) => {
            let all = || Error::invalid("a delete_range gives a prefix, or from or to");
            engine::Op::DeleteRange(range(Some(asked))?.ok_or_else(all)?)
        }
    })
}

/// An entry as a message.
pub(crate) fn entry(found: engine::Entry) -> api::Entry {
    let large_size = engine::large_size(&found);
    let engine::Entry { key, value, seq, expires_ms, .. } = found;
    api::Entry { key, value, seq: seq.0, expires_ms, large_size }
}

/// A change as a message.
pub(crate) fn change(found: Change) -> api::Change {
    use api::change::What as Told;
    let what = match found.what {
        What::Put(put) => Told::Put(entry(put)),
        What::Deleted { key, expired } => Told::Deleted(api::Deleted { key, expired }),
        What::RangeDeleted(KeyRange { from, to }) => {
            Told::RangeDeleted(api::KeyRange { prefix: None, from: Some(from), to })
        }
    };
    api::Change { seq: found.seq.0, time_ms: found.time_ms, what: Some(what) }
}

macro_rules! of_namespace {
    ($($message:ident),*) => {
        $(impl Asked for api::$message {
            fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
                match scope {
                    Scope::Dataset => {
                        let found = namespace(self.namespace.as_ref())?;
                        Ok(vec![Resource::Dataset(found.project, found.name)])
                    }
                    other => Err(names::foreign(other)),
                }
            }
        })*
    };
}

of_namespace!(
    GetNamespaceRequest,
    CreateNamespaceRequest,
    ChangeNamespaceRequest,
    RemoveNamespaceRequest,
    GetRequest,
    PutRequest,
    DeleteRequest,
    SetTtlRequest,
    CommitRequest,
    DeleteRangeRequest,
    ScanRequest,
    WatchRequest,
    WriteRequest
);

impl Asked for api::ListNamespacesRequest {
    fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
        match scope {
            Scope::Project => Ok(vec![Resource::Project(names::project(&self.project)?)]),
            other => Err(names::foreign(other)),
        }
    }
}
