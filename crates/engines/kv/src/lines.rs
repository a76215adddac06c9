//! Entries as lines of JSON (NDJSON), for export and import.
//!
//! | field | what |
//! |---|---|
//! | `key`, or `key_base64` | the key, in base64 when it is not UTF-8 |
//! | `value`, or `value_base64` | its value, likewise |
//! | `size` | instead of a large value: its length. An import refuses it |
//! | `expires_ms` | when it is over, in milliseconds since 1970; left out when never |

use bytes::{Buf as _, Bytes, BytesMut};
use cairn_partition::Entry;
use cairn_partition::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use serde::{Deserialize, Serialize};

use crate::{Error, joined, large_size, split};

/// The longest line of an import: a key and a value of the greatest length, each character escaped.
pub const LINE_BYTES_MAX: usize = 6 * (KEY_BYTES_MAX + VALUE_BYTES_MAX) + 256;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
}

/// Adds the line of an entry.
///
/// # Panics
/// Never: strings and a number are JSON.
pub fn encode(entry: &Entry, to: &mut Vec<u8>) {
    let (key, key_base64) = split(&entry.key);
    let (size, expires_ms) = (large_size(entry), entry.expires_ms);
    let (value, value_base64) = if size.is_some() { (None, None) } else { split(&entry.value) };
    let line = Line { key, key_base64, value, value_base64, size, expires_ms };
    serde_json::to_writer(&mut *to, &line).expect("strings and a number are JSON");
    to.push(b'\n');
}

/// What a line says: the key, its value and when it is over.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Partition`] for a key or a value that no partition takes.
pub fn decode(line: &[u8]) -> Result<(Bytes, Bytes, Option<u64>), Error> {
    let line: Line = serde_json::from_slice(line)
        .map_err(|error| Error::invalid(format!("it is no entry: {error}")))?;
    let key = joined("key", line.key, line.key_base64)?;
    if let Some(size) = line.size {
        return Err(Error::invalid(format!(
            "it stands for a large value, of {size} bytes, which no line holds: leave it out, and put the \
             value by itself"
        )));
    }
    let value = joined("value", line.value, line.value_base64)?;
    cairn_partition::check_key(&key)?;
    if value.len() > VALUE_BYTES_MAX {
        let why = format!("the value has {} bytes, and {VALUE_BYTES_MAX} are allowed", value.len());
        return Err(Error::invalid(why));
    }
    Ok((key, value, line.expires_ms))
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
pub struct Lines {
    buffer: BytesMut,
    /// Bytes of the buffer that hold no end of a line.
    seen: usize,
}

impl Lines {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a line that is longer than [`LINE_BYTES_MAX`].
    pub fn next_line(&mut self) -> Result<Option<Bytes>, Error> {
        let rest = self.buffer.get(self.seen..).unwrap_or_default();
        let found = rest.iter().position(|byte| *byte == b'\n').map(|at| at + self.seen);
        if found.unwrap_or(self.buffer.len()) > LINE_BYTES_MAX {
            return Err(Error::invalid(format!("it is longer than {LINE_BYTES_MAX} bytes")));
        }
        let Some(at) = found else {
            self.seen = self.buffer.len();
            return Ok(None);
        };
        self.seen = 0;
        let line = self.buffer.split_to(at).freeze();
        self.buffer.advance(1);
        Ok(Some(line))
    }

    /// What is left after the last end of a line.
    #[must_use]
    pub fn last(self) -> Bytes {
        self.buffer.freeze()
    }
}
