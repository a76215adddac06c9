//! Bytes in JSON: as text where they are UTF-8, else in base64 in a field of its own.

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;

use crate::Error;

/// The two fields for these bytes: the text, or the base64.
#[must_use]
pub fn split(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(Base64::encode_string(bytes))),
    }
}

/// The bytes of the two fields of `what`, of which exactly one must be there.
///
/// # Errors
/// [`Error::Invalid`].
pub fn joined(what: &str, text: Option<String>, base64: Option<String>) -> Result<Bytes, Error> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(base64)) => {
            let bytes = Base64::decode_vec(&base64);
            let why = || format!("{what}_base64 is no base64 (with padding)");
            Ok(bytes.map_err(|_| Error::invalid(why()))?.into())
        }
        (None, None) => Err(Error::invalid(format!("it has neither {what} nor {what}_base64"))),
        (Some(_), Some(_)) => Err(Error::invalid(format!("it has both {what} and {what}_base64"))),
    }
}
