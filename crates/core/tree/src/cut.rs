//! Where a sequence of items is cut into pages: by content, so that an edit moves no cut but those
//! beside it.
//!
//! Each item has a weight (about the bytes it takes) and a hash. It is a **candidate** when its
//! hash says so, with a probability in proportion to its weight; a page ends after a candidate that
//! is at least [`WEIGHT_MIN`] away from the candidate before. Both depend on the items alone and
//! not on where pages began, so cuts cannot run out of step: after an edit they agree again at the
//! first candidate that is `WEIGHT_MIN` behind it. Beyond [`WEIGHT_SOFT`] in one page a weaker
//! candidate will do, so that the limit in bytes, which knows no content, is hardly ever what cuts.

/// The weight between two candidates, on average.
const WEIGHT_MEAN: u64 = 32 * 1024;
/// A candidate closer than this to the one before does not cut. More than twice the weight of any
/// item, so that a page which ends at a candidate has two items or more and a level of index pages
/// is always shorter than the level below it.
pub(crate) const WEIGHT_MIN: u64 = 2304;
/// From this weight on in one page, weaker candidates cut too.
const WEIGHT_SOFT: u64 = 26 * 1024;
/// How much more probable a weaker candidate is.
const SOFT_FACTOR: u64 = 16;

/// The state between items of one level.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    since_candidate: u64,
    since_cut: u64,
}

impl Cut {
    /// Whether the page ends after the item with this weight and hash.
    pub(crate) const fn after(&mut self, weight: u64, hash: u64) -> bool {
        self.since_candidate += weight;
        self.since_cut += weight;
        let mut cut = self.since_cut >= WEIGHT_SOFT && chosen(weight * SOFT_FACTOR, hash);
        if chosen(weight, hash) {
            cut |= self.since_candidate >= WEIGHT_MIN;
            self.since_candidate = 0;
        }
        if cut {
            self.since_cut = 0;
        }
        cut
    }

    /// A page ended because it was full.
    pub(crate) const fn forced(&mut self) {
        self.since_cut = 0;
    }
}

/// True for `weight` of `WEIGHT_MEAN` hashes.
const fn chosen(weight: u64, hash: u64) -> bool {
    (hash >> 32) * WEIGHT_MEAN < weight << 32
}

/// A 64-bit hash of a name: FNV-1a, then the finaliser of MurmurHash3, for FNV alone leaves the
/// high bits of short names close together. Part of the stored format, for it decides the cuts.
pub(crate) fn name_hash(name: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in name {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}

/// The 64-bit finaliser of MurmurHash3 (A. Appleby, public domain).
pub(crate) const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
