//! Images of pages: a hole of zeros left out, the rest perhaps compressed.

use crate::error::RedoError;
use crate::page::{PAGE_BYTES, Page};
use crate::record::Image;

pub(crate) const HAS_HOLE: u8 = 0x01;
const PGLZ: u8 = 0x04;
const LZ4: u8 = 0x08;
const ZSTD: u8 = 0x10;

pub(crate) const fn is_compressed(info: u8) -> bool {
    info & (PGLZ | LZ4 | ZSTD) != 0
}

impl Image<'_> {
    /// Makes a page be as the image is.
    ///
    /// # Errors
    /// [`RedoError::Record`] when it does not decompress to a page; the page's bytes are undefined then.
    pub fn restore(&self, page: &mut Page) -> Result<(), RedoError> {
        let (offset, hole) = (usize::from(self.hole_offset), usize::from(self.hole_len));
        let no_page = RedoError::Record("an image is no page");
        let len = PAGE_BYTES.checked_sub(hole).ok_or(no_page)?;
        let mut buffer = [0; PAGE_BYTES];
        let bytes = if is_compressed(self.info) {
            let plain = &mut buffer[..len];
            self.decompress(plain)?;
            plain
        } else {
            self.bytes
        };
        let parts = bytes.split_at_checked(offset).filter(|_| bytes.len() == len);
        let (before, behind) = parts.ok_or(no_page)?;
        page.0[..offset].copy_from_slice(before);
        page.0[offset..offset + hole].fill(0);
        page.0[offset + hole..].copy_from_slice(behind);
        Ok(())
    }

    /// The name of how its bytes are compressed, when they are.
    #[must_use]
    pub const fn compression(&self) -> Option<&'static str> {
        match self.info & (PGLZ | LZ4 | ZSTD) {
            PGLZ => Some("pglz"),
            LZ4 => Some("lz4"),
            ZSTD => Some("zstd"),
            _ => None,
        }
    }

    fn decompress(&self, plain: &mut [u8]) -> Result<(), RedoError> {
        let len = plain.len();
        let written = match self.info & (PGLZ | LZ4 | ZSTD) {
            PGLZ => pglz(self.bytes, plain),
            LZ4 => lz4_flex::block::decompress_into(self.bytes, plain).ok(),
            ZSTD => zstd_safe::decompress(plain, self.bytes).ok(),
            _ => None,
        };
        match written {
            Some(written) if written == len => Ok(()),
            _ => Err(RedoError::Record("an image does not decompress")),
        }
    }
}

/// PostgreSQL's own compression (`common/pg_lzcompress.c`): groups of a control byte and eight items,
/// each a byte as it is, or (bit set) a match: 4 bits upper offset, 4 bits length less 3, 8 bits lower
/// offset, and one more byte of length when the length is 18.
///
/// Returns the bytes written; `None` for what cannot be.
fn pglz(packed: &[u8], plain: &mut [u8]) -> Option<usize> {
    let mut packed = packed.iter().copied();
    let mut at = 0;
    while let Some(control) = packed.next() {
        for bit in 0..8 {
            let Some(byte) = (if at < plain.len() { packed.next() } else { None }) else { break };
            if control & (1 << bit) == 0 {
                *plain.get_mut(at)? = byte;
                at += 1;
                continue;
            }
            let mut len = usize::from(byte & 0x0f) + 3;
            let offset = usize::from(byte & 0xf0) << 4 | usize::from(packed.next()?);
            if len == 18 {
                len += usize::from(packed.next()?);
            }
            let from = at.checked_sub(offset).filter(|_| offset > 0)?;
            let end = (at + len).min(plain.len());
            for to in at..end {
                plain[to] = plain[from + (to - at)];
            }
            at = end;
        }
        if at == plain.len() {
            break;
        }
    }
    packed.next().is_none().then_some(at)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pglz_matches_may_overlap_themselves() {
        let mut plain = [0; 12];
        // "ab", then 10 bytes from 2 back.
        assert_eq!(pglz(&[0b100, b'a', b'b', 0x07, 2], &mut plain), Some(12));
        assert_eq!(&plain, b"abababababab");
        assert_eq!(pglz(&[0b1, 0x07, 2], &mut plain), None, "before the first byte");
        assert_eq!(pglz(&[0b10, b'a', 0x07, 0], &mut plain), None, "no distance");
    }

    fn image(bytes: &[u8], info: u8, hole_offset: u16, hole_len: u16) -> Image<'_> {
        Image { bytes, hole_offset, hole_len, info, apply: true }
    }

    #[test]
    fn every_compression_is_undone_around_a_hole() {
        let mut wanted = Page::zeroed();
        for (at, byte) in wanted.0.iter_mut().enumerate() {
            *byte = if (100..5000).contains(&at) { 0 } else { (at / 7 % 251).to_le_bytes()[0] };
        }
        let plain: Vec<u8> = [&wanted.0[..100], &wanted.0[5000..]].concat();
        let lz4 = lz4_flex::block::compress(&plain);
        let mut zstd = vec![0; 9000];
        let len = zstd_safe::compress(&mut zstd[..], &plain, 3).unwrap();
        zstd.truncate(len);
        for (bytes, info) in [(&plain, 0), (&lz4, LZ4), (&zstd, ZSTD)] {
            let mut page = Page::zeroed();
            page.0.fill(0xee);
            image(bytes, info | HAS_HOLE, 100, 4900).restore(&mut page).unwrap();
            assert!(page == wanted);
            assert!(image(&bytes[1..], info | HAS_HOLE, 100, 4900).restore(&mut page).is_err());
        }
    }

    proptest! {
        #[test]
        fn pgwal_1_no_image_makes_a_restore_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..9000),
            info in any::<u8>(),
            offset in any::<u16>(),
            len in any::<u16>(),
        ) {
            image(&bytes, info, offset, len).restore(&mut Page::zeroed()).unwrap_or_default();
        }
    }
}
