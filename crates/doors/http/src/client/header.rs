//! Headers that callers choose.

use cairn_datasets::Error;
use reqwest::header::{HeaderName, HeaderValue};

use crate::rest::SET;

/// A header as it is sent, or which one cannot be. Its value is not told: it may be a secret.
pub(super) fn sent(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let said = name.strip_prefix(SET).unwrap_or(name);
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        let detail = format!("{said:?} is no name of a header: write it as in X-Name");
        return Err(Error::Invalid { detail });
    };
    let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else {
        let detail = format!("the value of the header {said} has a character that none can have");
        return Err(Error::Invalid { detail });
    };
    Ok((name, value))
}
