//! What a follower of a tag is told.

use cairn_datasets::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema;

/// A state of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagState {
    /// Names it among all states of the tag: `?after=` and `Last-Event-ID` take it.
    pub id: String,
    /// What the tag points to; none when it is not there.
    #[schema(value_type = Option<schema::Version>)]
    pub version: Option<Version>,
}

/// What a long poll found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagStates {
    /// The states after the one that was named, the oldest first; none when the wait was over.
    pub states: Vec<TagState>,
    /// `?after=` of the next question.
    pub after: Option<String>,
}

/// Why a stream of events ends: the data of its last event, `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowEnd {
    /// The kind of error, as in `ErrorDetail`.
    pub kind: String,
    /// What happened, and what to do.
    pub message: String,
}
