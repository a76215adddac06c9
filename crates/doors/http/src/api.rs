//! The JSON of the REST API, as the door writes and the client reads it.

use cairn_datasets::{Summary, Tag, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeVersion {
    /// `cairn`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Tells buckets apart.
    pub bucket_id: String,
    /// Where it answers for functions (`cairn up --web`), as it listens there.
    #[serde(default)]
    pub web: Vec<String>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectName {
    /// Its name.
    pub name: String,
}

/// A page of projects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectPage {
    /// Those of this page, by name.
    pub projects: Vec<ProjectName>,
    /// `?after=` of the next page; none on the last.
    pub next: Option<String>,
}

/// A page of datasets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetPage {
    /// Those of this page, by name.
    #[schema(value_type = Vec<schema::Summary>)]
    pub datasets: Vec<Summary>,
    /// `?after=` of the next page; none on the last.
    pub next: Option<String>,
}

/// A page of a dataset's tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagPage {
    /// Those of this page, by name. The history is empty unless `?history=true`.
    #[schema(value_type = Vec<schema::Tag>)]
    pub tags: Vec<Tag>,
    /// `?after=` of the next page; none on the last.
    pub next: Option<String>,
}

/// A tag by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TagName {
    /// The dataset.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length = 1, max_length = 128)]
    pub name: String,
    /// The tag.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length = 1, max_length = 128)]
    pub tag: String,
}

/// Where a tag is to point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyTag {
    /// Where that tag of the same project points.
    pub from: TagName,
}

/// What a client must know to work with a project's chunks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectKey {
    /// Tells buckets apart.
    pub bucket_id: String,
    /// The key of chunk ids, 64 hexadecimal digits.
    pub key: String,
}

/// What an upload is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginUpload {
    /// The tags that will move together.
    #[schema(min_items = 1, max_items = 64)]
    pub targets: Vec<TagName>,
}

/// An upload that was opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadOpened {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Tells buckets apart.
    pub bucket_id: String,
    /// The key of chunk ids, 64 hexadecimal digits.
    pub key: String,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The manifest's root, 64 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub root: String,
    /// Why.
    #[serde(default)]
    pub message: Option<String>,
    /// Until when, in nanoseconds since 1970 UTC.
    #[serde(default)]
    pub expires_ns: Option<i64>,
}

/// What a publication made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedVersion {
    /// The version that every target now has.
    #[schema(value_type = schema::Version)]
    pub version: Version,
    /// What the upload stored.
    pub stored: Stored,
}

/// What an upload stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stored {
    /// New chunks.
    pub chunks: u64,
    /// Their bytes before compression.
    pub content_bytes: u64,
    /// Bytes of packs and index runs written.
    pub stored_bytes: u64,
    /// Packs written.
    pub packs: u64,
}

/// A version that a tag now points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedTag {
    /// The version.
    #[schema(value_type = schema::Version)]
    pub version: Version,
}

/// How many tags went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// Tags.
    pub tags: u64,
}

pub mod schema;

pub use access::*;
pub use audit::*;
pub use cluster::*;
pub use doctor::*;
pub use edits::*;
pub use follow::*;
pub use functions::*;
pub use hooks::*;
pub use kv::*;
pub use operate::*;
pub use people::*;

mod access;
mod audit;
mod cluster;
mod doctor;
mod edits;
mod follow;
mod functions;
mod hooks;
mod kv;
mod operate;
mod people;
