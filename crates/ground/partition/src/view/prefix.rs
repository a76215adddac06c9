//! Filters know keys, not versions: whether a table has any version of a key is asked in one place.

use slatedb::{PrefixExtractor, PrefixTarget};

use super::rows::VERSION;

/// The part of a row of a version that is its key.
pub(crate) struct KeyOfRow;

impl PrefixExtractor for KeyOfRow {
    fn name(&self) -> &'static str {
        "cairn-key-1"
    }

    fn prefix_len(&self, target: &PrefixTarget) -> Option<usize> {
        let (PrefixTarget::Point(row) | PrefixTarget::Prefix(row)) = target;
        let key = row.strip_prefix(&[VERSION])?;
        // Within a key 00 is followed by FF alone, so the first `00 01` is its end.
        let end = key.windows(2).position(|pair| pair == [0, 1])?;
        Some(1 + end + 2)
    }
}
