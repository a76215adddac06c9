//! What the parameters of a path and a query may hold.

use cairn_base::name::NAME_BYTES_MAX;
use serde_json::{Value, json};

/// The rule for names of projects, datasets and tags (`cairn_base::name`) as a regular expression.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it may hold.
    pub holds: Holds,
}

/// What a parameter may hold.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// Any text.
    Text,
    /// A name.
    Name,
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds, both included.
    Number(u64, u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Query {
    /// A query parameter.
    #[must_use]
    pub const fn new(name: &'static str, about: &'static str, holds: Holds) -> Self {
        Self { name, about, holds }
    }
}

impl Holds {
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Name => json!({
                "type": "string", "pattern": NAME, "minLength": 1, "maxLength": NAME_BYTES_MAX,
            }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Number(min, max) => {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            }
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
        }
    }
}

/// What stands for a parameter of a pattern.
pub(super) fn in_path(name: &str) -> Value {
    match name {
        "project" | "name" | "tag" | "other" => Holds::Name.schema(),
        "upload" | "edit" => json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
        _ => Holds::Text.schema(),
    }
}
