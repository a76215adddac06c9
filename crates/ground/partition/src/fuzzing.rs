//! Hostile bytes for the decoders of the log, of rows and of cursors, for fuzz targets. Nothing else may
//! use it.

pub use crate::log::fuzzing::{log_group, log_object};
pub use crate::view::fuzzing::{view_rows, wal_rows};

use bytes::Bytes;

use crate::{Cursor, KeyRange, PartitionId, Scan};

/// A cursor as text, and one whose sum is right.
///
/// # Panics
/// When what a cursor says is not what it was made of.
pub fn cursor(bytes: &[u8]) {
    let (id, scan) = (PartitionId([1; 16]), Scan::of(KeyRange::all()));
    if let Ok(cursor) = Cursor::from_text(&String::from_utf8_lossy(bytes)) {
        drop(cursor.open(id, &scan));
    }
    let Some((at, last)) = bytes.split_first_chunk::<8>() else { return };
    let at = crate::Seq(u64::from_le_bytes(*at));
    let made = Cursor::new(id, &scan, at, last);
    if let Ok(cursor) = Cursor::from_text(made.as_str()) {
        let opened = cursor.open(id, &scan).expect("it was made so");
        assert_eq!(opened, (at, Bytes::copy_from_slice(last)));
        assert!(cursor.open(PartitionId([2; 16]), &scan).is_err(), "it is of another partition");
    }
}
