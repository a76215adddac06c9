//! What a dataset is to its users: names, versions, rules. These types are the JSON of the REST API,
//! of `--json` and of the refs.

use std::fmt;
use std::time::Duration;

use cairn_base::{DatasetName, ProjectName, TagName};
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_tree::Totals;
use serde::{Deserialize, Serialize};

/// A dataset of a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dataset {
    /// The project.
    pub project: ProjectName,
    /// The name.
    pub name: DatasetName,
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.project != ProjectName::default() {
            write!(f, "@{}/", self.project)?;
        }
        write!(f, "{}", self.name)
    }
}

/// Where a push goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The dataset.
    pub dataset: Dataset,
    /// The tag that moves.
    pub tag: TagName,
}

impl Target {
    /// What is said when it points elsewhere than expected.
    pub(crate) fn moved(&self) -> crate::Error {
        let (dataset, tag) = (self.dataset.to_string(), self.tag.to_string());
        crate::Error::Moved { dataset, tag }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dataset, self.tag)
    }
}

/// One version: a manifest and who published it when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The id of the manifest's root: the same tree has the same root.
    #[serde(with = "hex_id")]
    pub root: ChunkId,
    /// When it was published, in nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Who published it.
    pub by: String,
    /// What the publisher said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the tag is to be removed, in nanoseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ns: Option<i64>,
    /// Regular files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes before compression that no earlier version had.
    pub new_bytes: u64,
    /// Bytes that it added to the bucket.
    pub stored_bytes: u64,
}

impl Version {
    /// Names this state of a tag among all that the tag ever had: when it was published, and the
    /// first digits of its root.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.time_ns, &self.root.to_string()[..16])
    }
}

/// A tag and its versions, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its name.
    pub tag: String,
    /// Where it points.
    pub current: Version,
    /// Where it pointed before, as far as the rules keep it.
    pub history: Vec<Version>,
}

/// A dataset in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The newest version among its tags.
    pub newest: Version,
}

/// What a client must know of a project to work with its chunks.
#[derive(Clone, Debug)]
pub struct Project {
    /// Tells buckets apart, for local caches.
    pub bucket_id: String,
    /// The key of its chunk ids.
    pub key: ChunkKey,
}

/// How long versions are kept. The newest version of a tag is always kept while the tag is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Superseded versions kept per tag, the newest ones.
    pub history_keep: u32,
    /// Superseded versions younger than this are kept in any case, in seconds.
    pub history_seconds: u64,
    /// Tags kept, the newest ones; none means all.
    #[serde(default)]
    pub tags_keep: Option<u32>,
    /// Tags younger than this are kept in any case, in seconds.
    #[serde(default)]
    pub tags_seconds: Option<u64>,
}

impl Default for Rules {
    /// The last 10 and all of 30 days; all tags.
    fn default() -> Self {
        let month = Duration::from_secs(30 * 24 * 3600).as_secs();
        Self { history_keep: 10, history_seconds: month, tags_keep: None, tags_seconds: None }
    }
}

/// What is published: everything of a [`Version`] that the publisher decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The manifest's root.
    pub root: ChunkId,
    /// What is below it.
    pub totals: Totals,
    /// Who.
    pub by: String,
    /// Why.
    pub message: Option<String>,
    /// Until when, in nanoseconds since 1970 UTC.
    pub expires_ns: Option<i64>,
}

pub(crate) mod hex_id {
    use cairn_chunk::ChunkId;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(id: &ChunkId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ChunkId, D::Error> {
        let text = String::deserialize(deserializer)?;
        ChunkId::from_hex(&text)
            .ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}
