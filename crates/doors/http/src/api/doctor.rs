//! What a node finds out about itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Doctor {
    /// In the order in which it was looked at.
    pub findings: Vec<Check>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and will not always.
    Warning,
    /// Something does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub next_step: Option<String>,
}

impl Check {
    /// It is as it should be.
    #[must_use]
    pub fn ok(check: &str, detail: impl Into<String>) -> Self {
        let (check, detail) = (check.to_owned(), detail.into());
        Self { check, level: Level::Ok, detail, next_step: None }
    }

    /// It works, and will not always.
    #[must_use]
    pub fn warning(check: &str, detail: impl Into<String>, next: &str) -> Self {
        let next_step = Some(next.to_owned());
        Self { level: Level::Warning, next_step, ..Self::ok(check, detail) }
    }

    /// It does not work.
    #[must_use]
    pub fn error(check: &str, detail: impl Into<String>, next: &str) -> Self {
        Self { level: Level::Error, ..Self::warning(check, detail, next) }
    }
}
