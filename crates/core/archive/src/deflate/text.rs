//! The plain bytes around the token at hand.

/// Distance back that a match may reach.
const HISTORY_BYTES: usize = 32 << 10;
/// Old bytes that may pile up before they are thrown away.
const SLACK_BYTES: usize = 256 << 10;

/// A part of a stream's plain bytes. Positions count from the beginning of the stream.
#[derive(Debug, Default)]
pub(crate) struct Text {
    buf: Vec<u8>,
    base: u64,
}

impl Text {
    /// The position after the last byte.
    pub(crate) const fn end(&self) -> u64 {
        self.base + self.buf.len() as u64
    }

    /// The bytes from `at` on; none if `at` is the end or was thrown away.
    #[inline]
    pub(crate) fn from(&self, at: u64) -> &[u8] {
        let offset = usize::try_from(at.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        self.buf.get(offset..).unwrap_or_default()
    }

    /// All bytes at hand, and where `at` is among them: the end if it is none of them.
    #[inline]
    pub(crate) fn all(&self, at: u64) -> (&[u8], usize) {
        let offset = usize::try_from(at.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        (&self.buf, offset.min(self.buf.len()))
    }

    /// The buffer that new bytes are appended to.
    pub(crate) const fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Throws away what no token at `at` or later reaches.
    pub(crate) fn forget(&mut self, at: u64) {
        let keep_from = at.saturating_sub(HISTORY_BYTES as u64);
        let old = usize::try_from(keep_from.saturating_sub(self.base)).unwrap_or(0);
        if old >= SLACK_BYTES && old <= self.buf.len() {
            self.buf.drain(..old);
            self.base = keep_from;
        }
    }
}
