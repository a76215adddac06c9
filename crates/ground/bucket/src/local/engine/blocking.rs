//! Reads and writes on the caller's thread.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};

/// Slices that one call takes; the kernel's limit is 1024.
const SLICES_MAX: usize = 512;

/// Reads exactly `len` bytes, or fails with `UnexpectedEof`.
pub(in crate::local) fn read(file: &OwnedFd, at: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        let Some(rest) = bytes.get_mut(done..) else { break };
        match rustix::io::pread(file, rest, at + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes.into())
}

/// Fills `bytes` if all that belongs there is in memory. `false` if not, or if anything else is in the
/// way, which a real read will tell.
pub(in crate::local) fn read_cached(file: &OwnedFd, at: u64, bytes: &mut [u8]) -> bool {
    let len = bytes.len();
    let mut slices = [IoSliceMut::new(bytes)];
    let read = rustix::io::preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT);
    read.is_ok_and(|count| count == len)
}

/// Writes all parts, one after the other.
pub(in crate::local) fn write(file: &OwnedFd, mut at: u64, parts: &[Bytes]) -> io::Result<()> {
    let mut parts: Vec<&[u8]> = parts.iter().map(|part| part.as_ref()).collect();
    let mut rest: &mut [&[u8]] = &mut parts;
    while !rest.is_empty() {
        let slices: Vec<IoSlice<'_>> =
            rest.iter().take(SLICES_MAX).map(|part| IoSlice::new(part)).collect();
        match rustix::io::pwritev(file, &slices, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                at += count as u64;
                rest = advance(rest, count);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Drops the first `count` bytes.
fn advance<'a, 'b>(mut parts: &'a mut [&'b [u8]], mut count: usize) -> &'a mut [&'b [u8]] {
    while let Some(first) = parts.first_mut() {
        if count < first.len() {
            *first = first.get(count..).unwrap_or_default();
            break;
        }
        count -= first.len();
        parts = parts.split_at_mut(1).1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_go_on_where_they_stopped() {
        let mut parts: Vec<&[u8]> = vec![b"abc", b"de", b"f"];
        assert_eq!(advance(&mut parts, 1), [b"bc".as_slice(), b"de", b"f"]);
        let mut parts: Vec<&[u8]> = vec![b"abc", b"de", b"f"];
        assert_eq!(advance(&mut parts, 3), [b"de".as_slice(), b"f"]);
        let mut parts: Vec<&[u8]> = vec![b"abc", b"de", b"f"];
        assert!(advance(&mut parts, 6).is_empty());
    }
}
