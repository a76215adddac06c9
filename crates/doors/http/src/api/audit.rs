//! The audit log, as it is read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum AuditLine {
    /// A decision or a change.
    Entry(Box<AuditEntry>),
    /// A part of the log that cannot be read.
    Gap(AuditGap),
}

/// A decision or a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// The segment of the log that it is in; reading goes on after it with `?after=`.
    pub seq: u64,
    /// Its place there, from 0.
    pub index: u32,
    /// The node that recorded it: 16 hexadecimal digits, others after every start.
    pub hub: String,
    /// When, in milliseconds since 1970 UTC by the node's clock.
    pub time_ms: i64,
    /// The request's id, as in the node's log and in `X-Request-Id`; empty without one.
    pub request: String,
    /// The door: `rest`, `fs`; `node` for what a node does by itself, `bucket` for what was done without
    /// one.
    pub door: String,
    /// The other side's address; empty without one.
    pub peer: String,
    /// Who asked: a principal, `anonymous`, or empty when nobody knows.
    pub caller: String,
    /// The kind and the public id of the credential; empty without one.
    pub credential: String,
    /// What was asked for.
    pub action: String,
    /// On what.
    pub resource: String,
    /// `allowed`, `denied`, `refused`, `changed` or `failed`.
    #[schema(pattern = "^(allowed|denied|refused|changed|failed)$")]
    pub outcome: String,
    /// The grant that allowed it, why it was not allowed, or what was changed.
    pub detail: String,
    /// How many identical ones it stands for, of which it has the time and the request of the first.
    pub count: u64,
}

/// A segment of the audit log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditGap {
    /// Its number.
    pub seq: u64,
    /// What is wrong with it.
    pub gap: String,
}

/// What of the audit log is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditVerify {
    /// A `SEQ:HASH` that the log must hold: the head of an earlier verification.
    pub head: Option<String>,
    /// A `SEQ:HASH` to begin at, taking what is before for verified.
    pub from: Option<String>,
}

/// What a verification of the audit log found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditVerified {
    /// Segments that are as they should be.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// The last segment as `SEQ:HASH`, to be kept elsewhere; none when there is none, or none that can
    /// be read.
    pub head: Option<String>,
    /// What is wrong, in the order of the log.
    pub findings: Vec<AuditFinding>,
    /// How many findings are not told.
    pub findings_left_out: u64,
}

/// Something that is wrong with the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditFinding {
    /// The number of the segment.
    pub seq: u64,
    /// `missing`, `damaged`, `out_of_chain`, `other_than_marked` or `stranger`.
    pub kind: String,
    /// What was found.
    pub detail: String,
}

/// One line of a verification of the audit log: progress, and at the end its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerifyLine {
    /// The segment that was looked at.
    Progress {
        /// Its number.
        seq: u64,
    },
    /// What was found.
    Result(AuditVerified),
    /// It could not be finished.
    Error {
        /// As in `ErrorDetail`.
        kind: String,
        /// What happened.
        message: String,
    },
}
