//! Content-defined cutting: FastCDC in its 2020 form (Xia et al., "The Design of Fast Content-Defined
//! Chunking for Data Deduplication Based Storage Systems", IEEE TPDS 31(9), 2020), 64-bit gear,
//! normalisation 2, two bytes a step.

use crate::gear::GEAR;

/// How a content is cut: chosen by its size, so that the same content is always cut the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeClass {
    /// 4, 16, 64 KiB (minimum, target, maximum): contents of at most [`SizeClass::SMALL_BYTES_MAX`],
    /// and streams of unknown length.
    Small,
    /// 16, 64, 256 KiB: everything larger.
    Large,
}

impl SizeClass {
    /// The largest content of the small class.
    pub const SMALL_BYTES_MAX: u64 = 64 * 1024 * 1024;

    /// The class of a content of `len` bytes.
    #[must_use]
    pub const fn of(len: u64) -> Self {
        if len <= Self::SMALL_BYTES_MAX { Self::Small } else { Self::Large }
    }
}

/// Finds the cuts of one content. It has no state: a cut depends on the bytes since the last one.
#[derive(Clone, Copy, Debug)]
pub struct Cutter {
    min: usize,
    target: usize,
    max: usize,
    /// Before the target: two bits more than the target's logarithm must be zero, so cuts are rare.
    mask_early: u64,
    /// Behind it: two bits less, so cuts come soon.
    mask_late: u64,
}

/// `bits` one bits below the top bit. The top bit stays free because the first byte of a step is
/// tested one position higher.
const fn mask(bits: u32) -> u64 {
    ((1_u64 << bits) - 1) << (63 - bits)
}

impl Cutter {
    /// The cutter of a size class.
    #[must_use]
    pub const fn new(class: SizeClass) -> Self {
        match class {
            SizeClass::Small => Self::with_bits(14),
            SizeClass::Large => Self::with_bits(16),
        }
    }

    const fn with_bits(bits: u32) -> Self {
        let target = 1_usize << bits;
        Self {
            min: target / 4,
            target,
            max: target * 4,
            mask_early: mask(bits + 2),
            mask_late: mask(bits - 2),
        }
    }

    /// The largest chunk: with this many bytes at hand, [`Cutter::cut`] needs no more.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// The length of the first chunk of `bytes`, from 1 to `max()`; 0 only for no bytes.
    ///
    /// `bytes` must reach to the end of the content or be at least `max()` long: else the answer
    /// would be a cut that more bytes would move.
    #[must_use]
    pub fn cut(&self, bytes: &[u8]) -> usize {
        if bytes.len() <= self.min {
            return bytes.len();
        }
        let end = bytes.len().min(self.max);
        let middle = self.target.min(end);
        let (early, hash) = scan(bytes, self.min, middle, self.mask_early, 0);
        if early < middle {
            return early;
        }
        scan(bytes, middle, end, self.mask_late, hash).0
    }
}

/// Rolls over `bytes[from..to]` and stops behind the first byte where no masked bit is set.
/// Returns the cut (or `to`) and the hash. `from` is even.
fn scan(bytes: &[u8], from: usize, to: usize, mask: u64, mut hash: u64) -> (usize, u64) {
    let mask_shifted = mask << 1;
    let window = &bytes[from..to];
    let pairs = window.chunks_exact(2);
    let odd = pairs.remainder();
    let mut at = from;
    for pair in pairs {
        hash = (hash << 2).wrapping_add(GEAR[pair[0] as usize] << 1);
        if hash & mask_shifted == 0 {
            return (at + 1, hash);
        }
        hash = hash.wrapping_add(GEAR[pair[1] as usize]);
        if hash & mask == 0 {
            return (at + 2, hash);
        }
        at += 2;
    }
    if let [last] = odd {
        hash = (hash << 1).wrapping_add(GEAR[*last as usize]);
    }
    (to, hash)
}

#[cfg(test)]
mod tests;
