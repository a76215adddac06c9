//! What an operator asks for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How to collect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Collect {
    /// How long condemned packs wait before they are deleted, in seconds.
    pub grace_seconds: Option<u64>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Collected {
    /// Tags removed by rules or because they expired.
    pub tags_removed: u64,
    /// Superseded versions removed by rules.
    pub versions_removed: u64,
    /// Versions whose chunks were marked.
    pub versions: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Those of them that something reaches.
    pub chunks_live: u64,
    /// Stored bytes looked at.
    pub bytes: u64,
    /// Those of them that something reaches.
    pub bytes_live: u64,
    /// Packs condemned: deleted next time, unless something needs them again.
    pub packs_condemned: u64,
    /// Condemned packs that were needed again.
    pub packs_rescued: u64,
    /// Packs whose live part was moved to new ones.
    pub packs_rewritten: u64,
    /// Packs deleted.
    pub packs_deleted: u64,
    /// Objects deleted that no catalog named.
    pub orphans_deleted: u64,
    /// Writers whose lease ran out.
    pub sessions_expired: u64,
}

/// One line of a collection: progress, and at the end its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CollectLine {
    /// How far it is.
    Progress {
        /// Versions whose chunks were marked.
        versions: u64,
        /// Versions that there are.
        all: u64,
    },
    /// What was done.
    Result(Collected),
    /// It could not be finished.
    Error {
        /// As in an error's body.
        kind: String,
        /// What happened.
        message: String,
    },
}

/// One line of a verification: progress, and at the end its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLine {
    /// Bytes verified so far.
    Progress {
        /// The bytes.
        bytes: u64,
    },
    /// What was found.
    Result(Verified),
    /// It could not be finished.
    Error {
        /// Its kind, as in every error.
        kind: String,
        /// What happened.
        message: String,
    },
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Verified {
    /// Versions whose manifests were walked.
    pub versions: u64,
    /// Chunks that they reach.
    pub references: u64,
    /// Packs read.
    pub packs: u64,
    /// Frames checked.
    pub frames: u64,
    /// Chunks checked.
    pub chunks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub findings_left_out: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Finding {
    /// The object in the bucket, or the version.
    pub object: String,
    /// Where in it.
    pub offset: u64,
    /// What was found.
    pub detail: String,
    /// How many chunks that costs.
    pub chunks: u64,
}

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Packs.
    pub packs: u64,
    /// Chunks.
    pub chunks: u64,
    /// Runs of the index.
    pub runs: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Writers that hold a lease.
    pub sessions: u64,
    /// Packs on their way out.
    pub condemned: u64,
    /// Uploads that this node has open.
    pub uploads: u64,
    /// Edits that this node has open.
    #[serde(default)]
    pub edits: u64,
    /// The disk of a bucket on the node's machine.
    #[serde(default)]
    pub disk: Option<DiskSpace>,
    /// Bytes of all packs in the bucket, where it was asked for.
    #[serde(default)]
    pub pack_bytes: Option<u64>,
    /// What each project has, where it was asked for, by name.
    #[serde(default)]
    pub projects: Option<Vec<ProjectUsage>>,
}

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskSpace {
    /// Bytes that are free for programs.
    pub free_bytes: u64,
    /// All bytes.
    pub bytes: u64,
}

/// What a project has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectUsage {
    /// Its name.
    pub project: String,
    /// Datasets.
    pub datasets: u64,
    /// Tags.
    pub tags: u64,
    /// Versions that tags point to, and those in their histories.
    pub versions: u64,
    /// Bytes of all files of the versions that tags point to, before deduplication.
    pub bytes: u64,
    /// Bytes that its versions added to the bucket when they were published.
    pub added_bytes: u64,
}
