//! Webhooks.

use cairn_datasets::Hook;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema;

/// A hook to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateHook {
    /// Where requests go, with `https://` or `http://`.
    #[schema(max_length = 2048)]
    pub url: String,
    /// Which tags it is about, with `*` for any characters; all when not given.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9._*-]+$", max_length = 256)]
    pub tags: Option<String>,
}

/// A hook that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedHook {
    /// All but its secret.
    #[schema(value_type = schema::Hook)]
    pub hook: Hook,
    /// What requests are signed with, shown this once: `whsec_` and base64.
    pub secret: String,
}

/// The hooks of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hooks {
    /// The oldest first.
    #[schema(value_type = Vec<schema::Hook>)]
    pub hooks: Vec<Hook>,
}
