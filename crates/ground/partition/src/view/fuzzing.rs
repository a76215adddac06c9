use bytes::Bytes;

use super::{rows, wal};
use crate::Seq;

/// The payload of a frame: rows of the tree.
///
/// # Panics
/// When rows that decode encode to others.
pub fn wal_rows(bytes: &[u8]) {
    let Some(found) = wal::decode(Bytes::copy_from_slice(bytes)) else { return };
    let mut again = Vec::new();
    for row in &found {
        wal::encode(std::slice::from_ref(row), row.seq, &mut again);
    }
    assert_eq!(wal::decode(again.into()), Some(found));
}

/// Keys and values of rows of the view.
///
/// # Panics
/// When what decodes encodes to something else.
pub fn view_rows(bytes: &[u8]) {
    let row = Bytes::copy_from_slice(bytes);
    if let Some((key, seq)) = rows::parse_version_key(&row) {
        assert_eq!(rows::version_key(&key, seq), row);
    }
    if let Some((ms, seq, key)) = rows::parse_end_key(&row) {
        assert_eq!(rows::end_key(ms, seq, &key), row);
    }
    if let Some(seq) = rows::parse_seq_key(rows::GROUP, &row) {
        assert!(row.starts_with(&rows::seq_key(rows::GROUP, seq)));
    }
    if let Some(version) = rows::decode_version(row.clone()) {
        assert_eq!(rows::decode_version(rows::encode_version(&version)), Some(version));
    }
    if let Some(range) = rows::decode_range(&row) {
        assert_eq!(rows::decode_range(&rows::encode_range(&range).into()), Some(range));
    }
    let Some((last, group)) = bytes.split_first_chunk::<8>() else { return };
    let last = Seq(u64::from_le_bytes(*last));
    if let Some(group) = rows::decode_group(&Bytes::copy_from_slice(group), last) {
        let again = rows::encode_group(&group, last);
        assert_eq!(rows::decode_group(&again.into(), last), Some(group));
    }
}
