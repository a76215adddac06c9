//! Parts of objects.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStoreExt as _};

use super::{Bucket, Object, Version, body, short};
use crate::key::key_path;
use crate::{Error, OBJECT_BYTES_MAX};

/// Ranges that lie nearer than this are one request: what a request costs in bytes.
const MERGE_GAP_BYTES: u64 = 512 << 10;
/// The largest request that merging makes.
const MERGED_BYTES_MAX: u64 = 16 << 20;
/// Requests of one [`Bucket::get_ranges`] that run at once.
const RANGES_AT_ONCE_MAX: usize = 8;

impl Bucket {
    /// Reads exactly the bytes of `range`.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Range`] when the object ends before `range.end`.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let path = key_path(key)?;
        check_range(key, &range)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let call = || self.get_range_once(&path, key, range.clone());
        self.run("read", key, call).await.map(|object| object.bytes)
    }

    async fn get_range_once(
        &self,
        path: &Path,
        key: &str,
        range: Range<u64>,
    ) -> Result<Object, Error> {
        let len = range.end - range.start;
        let options = GetOptions::new().with_range(Some(range.clone()));
        let found = match self.open_object(path, key, options).await {
            // Stores say it in their own ways that a range begins behind the end.
            Err(Error::Refused { .. } | Error::Internal { .. } | Error::Unavailable { .. })
                if self.ends_before(path, range.end).await =>
            {
                return Err(Error::Range {
                    key: key.to_owned(),
                    start: range.start,
                    end: range.end,
                });
            }
            found => found?,
        };
        if found.meta.size < range.end {
            return Err(Error::Range { key: key.to_owned(), start: range.start, end: range.end });
        }
        let version = Version::of(&found.meta);
        let bytes = body(found, key).await?;
        if bytes.len() as u64 != len {
            return Err(short(key, bytes.len() as u64, len));
        }
        Ok(Object { bytes, version })
    }

    async fn ends_before(&self, path: &Path, end: u64) -> bool {
        self.shared.once.head(path).await.is_ok_and(|meta| meta.size < end)
    }

    /// Reads several ranges of one state of the object, near ones in one request.
    ///
    /// # Errors
    /// As [`Bucket::get_range`]; [`Error::TooLarge`] when they make more than [`OBJECT_BYTES_MAX`].
    pub async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let path = key_path(key)?;
        let mut sum: u64 = 0;
        for range in ranges {
            check_range(key, range)?;
            sum = sum.saturating_add(range.end - range.start);
        }
        check_range(key, &(0..sum))?;
        let asked: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        if asked.is_empty() {
            return Ok(vec![Bytes::new(); ranges.len()]);
        }
        let found =
            self.run("read", key, || self.get_ranges_once(&path, key, asked.clone())).await?;
        let mut found = found.into_iter();
        let fill = |range: &Range<u64>| {
            if range.is_empty() { Bytes::new() } else { found.next().unwrap_or_default() }
        };
        Ok(ranges.iter().map(fill).collect())
    }

    async fn get_ranges_once(
        &self,
        path: &Path,
        key: &str,
        ranges: Vec<Range<u64>>,
    ) -> Result<Vec<Bytes>, Error> {
        if self.shared.remote {
            return self.get_ranges_remote(path, key, &ranges).await;
        }
        let last = ranges.iter().max_by_key(|range| range.end).cloned().unwrap_or(0..0);
        let (start, end) = (last.start, last.end);
        match self.shared.once.get_ranges(path, &ranges).await {
            Ok(found) if lengths_fit(&found, &ranges) => Ok(found),
            Ok(_) => Err(Error::Range { key: key.to_owned(), start, end }),
            Err(error) => Err(match self.shared.failed("read", key, &error) {
                Error::Refused { .. } if self.ends_before(path, end).await => {
                    Error::Range { key: key.to_owned(), start, end }
                }
                error => error,
            }),
        }
    }

    /// `object_store`'s own coalescing panics when the object ends within a coalesced range.
    async fn get_ranges_remote(
        &self,
        path: &Path,
        key: &str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        let merged = merge(ranges);
        let reads = merged.iter().map(|range| self.get_range_once(path, key, range.clone()));
        let pieces: Vec<_> = stream::iter(reads).buffered(RANGES_AT_ONCE_MAX).try_collect().await?;
        if pieces.windows(2).any(|pair| matches!(pair, [a, b] if a.version != b.version)) {
            return Err(Error::Unavailable {
                operation: "read",
                key: key.to_owned(),
                source: None,
            });
        }
        let find = |range: &Range<u64>| {
            let index = merged.partition_point(|piece| piece.end < range.end);
            let (place, piece) = (merged.get(index)?, pieces.get(index)?);
            let start = usize::try_from(range.start.checked_sub(place.start)?).ok()?;
            let end = usize::try_from(range.end - place.start).ok()?;
            Some(piece.bytes.slice(start..end))
        };
        let found: Option<Vec<Bytes>> = ranges.iter().map(find).collect();
        Ok(found.expect("every range lies in the piece that it was merged into"))
    }
}

fn check_range(key: &str, range: &Range<u64>) -> Result<(), Error> {
    let (start, end) = (range.start, range.end);
    if start > end {
        return Err(Error::Range { key: key.to_owned(), start, end });
    }
    let (size, limit) = (end - start, OBJECT_BYTES_MAX);
    if size > limit {
        return Err(Error::TooLarge { operation: "read", key: key.to_owned(), size, limit });
    }
    Ok(())
}

fn lengths_fit(found: &[Bytes], ranges: &[Range<u64>]) -> bool {
    let fits =
        |(bytes, range): (&Bytes, &Range<u64>)| bytes.len() as u64 == range.end - range.start;
    found.len() == ranges.len() && found.iter().zip(ranges).all(fits)
}

/// The pieces to request: sorted, apart from each other, each range within one of them.
fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last)
                if range.start <= last.end.saturating_add(MERGE_GAP_BYTES)
                    && range.end.saturating_sub(last.start) <= MERGED_BYTES_MAX =>
            {
                last.end = last.end.max(range.end);
            }
            // Within the last one, which is full already.
            Some(last) if range.end <= last.end => {}
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "one merged range is what is meant")]
    fn near_ranges_are_merged_and_stay_findable() {
        const GAP: u64 = MERGE_GAP_BYTES;
        const MAX: u64 = MERGED_BYTES_MAX;
        assert_eq!(merge(&[5..9, 0..2]), [0..9]);
        assert_eq!(merge(&[0..2, 2 + GAP..5 + GAP]), [0..5 + GAP]);
        assert_eq!(merge(&[0..2, 3 + GAP..5 + GAP]), [0..2, 3 + GAP..5 + GAP]);
        assert_eq!(merge(&[0..10, 2..3, 0..1]), [0..10]);
        assert_eq!(merge(&[0..2 * MAX, 5..6, MAX..2 * MAX + 1]), [0..2 * MAX, MAX..2 * MAX + 1]);
        let hostile =
            [0..MAX, 1..MAX, 1..MAX + 1, 0..u64::MAX, 7..u64::MAX, u64::MAX - 1..u64::MAX];
        let merged = merge(&hostile);
        for range in &hostile {
            let index = merged.partition_point(|piece| piece.end < range.end);
            let piece = &merged[index];
            assert!(
                piece.start <= range.start && range.end <= piece.end,
                "{range:?} in {merged:?}"
            );
        }
    }
}
