//! Between messages and what the engine knows.

use bytes::Bytes;
use cairn_access::Resource;
use cairn_base::{ProjectName, TagName};
use cairn_chunk::{ChunkId, ID_BYTES};
use cairn_datasets::{self as engine, MESSAGE_BYTES_MAX, UploadId};
use prost_types::Timestamp;

use crate::error::Error;
use crate::gate::Asked;
use crate::limits::{DEPTH_MAX, IDS_MAX, PATH_BYTES_MAX, TARGETS_MAX};
use crate::proto::block::v1 as block;
use crate::proto::dataset::v1 as dataset;
use crate::proto::function::v1 as function;
use crate::rpc::Scope;

/// The project of this name; `main` when there is none.
pub(crate) fn project(name: &str) -> Result<ProjectName, Error> {
    Ok(if name.is_empty() { ProjectName::default() } else { name.parse()? })
}

/// The tag of this name; `latest` when there is none.
pub(crate) fn tag(name: &str) -> Result<TagName, Error> {
    Ok(if name.is_empty() { TagName::default() } else { name.parse()? })
}

/// The dataset that a message names.
pub(crate) fn dataset(named: Option<&dataset::Dataset>) -> Result<engine::Dataset, Error> {
    let named = named.ok_or_else(|| Error::invalid("the request names no dataset"))?;
    Ok(engine::Dataset { project: project(&named.project)?, name: named.name.parse()? })
}

/// The tag that a message names.
pub(crate) fn target(named: Option<&dataset::Target>) -> Result<engine::Target, Error> {
    let named = named.ok_or_else(|| Error::invalid("the request names no tag"))?;
    let dataset = engine::Dataset { project: project(&named.project)?, name: named.name.parse()? };
    Ok(engine::Target { dataset, tag: tag(&named.tag)? })
}

/// The tags that are to move.
pub(crate) fn targets(named: &[dataset::Target]) -> Result<Vec<engine::Target>, Error> {
    if named.is_empty() || named.len() > TARGETS_MAX {
        return Err(Error::invalid(format!("name 1 to {TARGETS_MAX} targets")));
    }
    named.iter().map(|named| target(Some(named))).collect()
}

/// The upload with this id.
pub(crate) fn upload(id: &str) -> Result<UploadId, Error> {
    UploadId::from_hex(id)
        .ok_or_else(|| Error::invalid("an upload's id has 32 hexadecimal digits, as Begin gave it"))
}

/// A chunk's id.
pub(crate) fn chunk(id: &[u8]) -> Result<ChunkId, Error> {
    let bytes: [u8; ID_BYTES] = id
        .try_into()
        .map_err(|_| Error::invalid(format!("a chunk's id has 32 bytes, this one {}", id.len())))?;
    Ok(ChunkId(bytes))
}

/// Chunks' ids.
pub(crate) fn chunks(ids: &[Bytes]) -> Result<Vec<ChunkId>, Error> {
    if ids.len() > IDS_MAX {
        return Err(Error::invalid(format!("one request takes {IDS_MAX} ids, not {}", ids.len())));
    }
    ids.iter().map(|id| chunk(id)).collect()
}

/// The names of a path.
pub(crate) fn path(path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    if path.len() > PATH_BYTES_MAX {
        return Err(Error::invalid(format!("a path has at most {PATH_BYTES_MAX} bytes")));
    }
    let names: Vec<Vec<u8>> =
        path.split(|byte| *byte == b'/').filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect();
    if names.len() > DEPTH_MAX {
        return Err(Error::invalid(format!("a path has at most {DEPTH_MAX} names")));
    }
    if names.iter().any(|name| name == b"." || name == b".." || name.contains(&0)) {
        return Err(Error::invalid("a path does not climb, and has no zero byte"));
    }
    Ok(names)
}

/// What is said about a version, checked before anything is stored for it.
pub(crate) fn message(text: Option<String>) -> Result<Option<String>, Error> {
    match text {
        Some(text) if text.len() > MESSAGE_BYTES_MAX => {
            Err(Error::invalid(format!("a message has at most {MESSAGE_BYTES_MAX} bytes")))
        }
        other => Ok(other),
    }
}

const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds since 1970 as a message.
pub(crate) fn timestamp(ns: i64) -> Timestamp {
    let nanos = i32::try_from(ns.rem_euclid(SECOND_NS)).expect("it is below a thousand million");
    Timestamp { seconds: ns.div_euclid(SECOND_NS), nanos }
}

/// And back.
pub(crate) fn nanoseconds(time: Option<Timestamp>) -> Result<Option<i64>, Error> {
    let Some(time) = time else { return Ok(None) };
    let ns = time.seconds.checked_mul(SECOND_NS);
    let ns = ns.and_then(|ns| ns.checked_add(i64::from(time.nanos)));
    match ns {
        Some(ns) if (0..SECOND_NS).contains(&i64::from(time.nanos)) => Ok(Some(ns)),
        _ => Err(Error::invalid("the time is none, or too far away")),
    }
}

/// A version as a message.
pub(crate) fn version(version: engine::Version) -> dataset::Version {
    dataset::Version {
        root: Bytes::copy_from_slice(&version.root.0),
        published_at: Some(timestamp(version.time_ns)),
        by: version.by,
        message: version.message,
        expires_at: version.expires_ns.map(timestamp),
        files: version.files,
        bytes: version.bytes,
        new_bytes: version.new_bytes,
        stored_bytes: version.stored_bytes,
    }
}

fn of_dataset(dataset: engine::Dataset) -> Resource {
    Resource::Dataset(dataset.project, dataset.name)
}

fn of_targets(targets: Vec<engine::Target>) -> Vec<Resource> {
    targets.into_iter().map(|target| of_dataset(target.dataset)).collect()
}

/// A message knows only its own scopes: the table asks it for no other.
pub(crate) fn foreign(scope: Scope) -> Error {
    Error::Internal { detail: format!("a message has no {scope:?}") }
}

macro_rules! asked {
    ($($message:path => $field:ident: $read:ident;)*) => {
        $(impl Asked for $message {
            fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
                match scope {
                    Scope::Dataset => $read(self.$field.as_ref()).map(|found| vec![found]),
                    other => Err(foreign(other)),
                }
            }
        })*
    };
}

fn dataset_resource(named: Option<&dataset::Dataset>) -> Result<Resource, Error> {
    dataset(named).map(of_dataset)
}

fn function_resource(named: Option<&function::Function>) -> Result<Resource, Error> {
    Ok(crate::functions::named(named)?.resource())
}

fn target_resource(named: Option<&dataset::Target>) -> Result<Resource, Error> {
    target(named).map(|target| of_dataset(target.dataset))
}

asked! {
    dataset::ListTagsRequest => dataset: dataset_resource;
    dataset::LookupRequest => target: target_resource;
    dataset::HistoryRequest => target: target_resource;
    dataset::ListRequest => target: target_resource;
    dataset::FollowRequest => target: target_resource;
    block::DownloadRequest => dataset: dataset_resource;
    function::InvokeRequest => function: function_resource;
    function::BeginRequest => function: function_resource;
    function::GetRequest => function: function_resource;
}

macro_rules! of_upload {
    ($($message:path),*) => {
        $(impl Asked for $message {
            fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
                match scope {
                    Scope::Upload => Ok(Vec::new()),
                    other => Err(foreign(other)),
                }
            }

            fn upload(&self) -> Option<&str> {
                Some(&self.upload)
            }
        })*
    };
}

of_upload!(block::MissingRequest, block::UploadRequest, block::KeepRequest, block::AbandonRequest);

impl Asked for dataset::ListDatasetsRequest {
    fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
        match scope {
            Scope::Project => Ok(vec![Resource::Project(project(&self.project)?)]),
            other => Err(foreign(other)),
        }
    }
}

impl Asked for dataset::PushHeader {
    fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
        match scope {
            Scope::Targets => targets(&self.targets).map(of_targets),
            other => Err(foreign(other)),
        }
    }
}

impl Asked for block::BeginRequest {
    fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
        match scope {
            Scope::Targets => targets(&self.targets).map(of_targets),
            other => Err(foreign(other)),
        }
    }
}

impl Asked for dataset::PublishRequest {
    fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error> {
        use dataset::publish_request::What;
        let what = self.what.as_ref();
        match (scope, what.ok_or_else(|| Error::invalid("publish an upload, or copy a tag"))?) {
            (Scope::Targets | Scope::Source, What::Upload(_)) => Ok(Vec::new()),
            (Scope::Targets, What::Copy(copy)) => {
                target_resource(copy.to.as_ref()).map(|to| vec![to])
            }
            (Scope::Source, What::Copy(copy)) => {
                target_resource(copy.from.as_ref()).map(|from| vec![from])
            }
            (other, _) => Err(foreign(other)),
        }
    }

    fn upload(&self) -> Option<&str> {
        match self.what.as_ref()? {
            dataset::publish_request::What::Upload(upload) => Some(&upload.upload),
            dataset::publish_request::What::Copy(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        for ns in [0, 1, -1, 1_500_000_000, -1_500_000_000, i64::MAX] {
            assert_eq!(nanoseconds(Some(timestamp(ns))).unwrap(), Some(ns));
        }
        assert_eq!(nanoseconds(None).unwrap(), None);
        for (seconds, nanos) in [(i64::MAX, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(nanoseconds(Some(Timestamp { seconds, nanos })).is_err());
        }
    }

    #[test]
    fn paths_are_names_that_do_not_climb() {
        assert_eq!(path(b"/a//b\xff/").unwrap(), [b"a".to_vec(), b"b\xff".to_vec()]);
        assert!(path(b"").unwrap().is_empty());
        for bad in [b"a/..".as_slice(), b"./a", b"a\0b", &b"a/".repeat(DEPTH_MAX + 1)] {
            assert!(path(bad).is_err());
        }
        assert!(path(&[b'a'; PATH_BYTES_MAX + 1]).is_err());
    }
}
