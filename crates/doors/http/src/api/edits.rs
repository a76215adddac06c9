//! The JSON of edits.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// What an edit changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginEdit {
    /// The tag that will move. It and its dataset need not be there yet.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length = 1, max_length = 128)]
    pub tag: String,
}

/// An edit that was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EditOpened {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
}

/// How an edit is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishEdit {
    /// The root or the id of the version that the tag must point to; null when it must not be there. Left
    /// out, it may point anywhere.
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expect: Option<Option<String>>,
    /// Why.
    #[serde(default)]
    pub message: Option<String>,
}

/// Tells a null from nothing.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_is_not_nothing() {
        let read = |text: &str| serde_json::from_str::<PublishEdit>(text).unwrap().expect;
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"expect":null}"#), Some(None));
        assert_eq!(read(r#"{"expect":"x"}"#), Some(Some("x".to_owned())));
        assert_eq!(serde_json::to_string(&PublishEdit::default()).unwrap(), r#"{"message":null}"#);
    }
}
