//! The checksum of a page (`storage/checksum_impl.h`): 32 sums of FNV-1a side by side.

use super::{PAGE_BYTES, Page};

const SUMS: usize = 32;
const FNV_PRIME: u32 = 16_777_619;
const CHECKSUM_AT: usize = 8;

const SEEDS: [u32; SUMS] = [
    0x5b1f_36e9,
    0xb852_5960,
    0x02ab_50aa,
    0x1de6_6d2a,
    0x79ff_467a,
    0x9bb9_f8a3,
    0x217e_7cd2,
    0x83e1_3d2c,
    0xf8d4_474f,
    0xe39e_b970,
    0x42c6_ae16,
    0x9932_16fa,
    0x7b09_3b5d,
    0x98da_ff3c,
    0xf718_902a,
    0x0b1c_9cdb,
    0xe58f_764b,
    0x1876_36bc,
    0x5d7b_3bb1,
    0xe73d_e7de,
    0x92be_c979,
    0xcca6_c0b2,
    0x304a_0979,
    0x85aa_43d4,
    0x7831_25bb,
    0x6ca8_eaa2,
    0xe407_eac6,
    0x4b5c_fc3e,
    0x9fbf_8c76,
    0x15ca_20be,
    0xf2ca_9fd3,
    0x959b_d756,
];

impl Page {
    /// The checksum of this page as block `number` of its fork. What the page has in the place of
    /// the checksum does not count.
    #[must_use]
    pub fn checksum(&self, number: u32) -> u16 {
        let mut sums = SEEDS;
        for row in 0..PAGE_BYTES / (SUMS * 4) {
            for (column, sum) in sums.iter_mut().enumerate() {
                let at = (row * SUMS + column) * 4;
                let word = self.0[at..].first_chunk().expect("rows fill the page");
                let counts = if at == CHECKSUM_AT { 0xffff_0000 } else { u32::MAX };
                *sum = round(*sum, u32::from_le_bytes(*word) & counts);
            }
        }
        let folded = sums.into_iter().map(|sum| round(round(sum, 0), 0)).fold(0, |a, b| a ^ b);
        u16::try_from((folded ^ number) % 65535 + 1).expect("it is at most 65535")
    }

    /// Gives the page its checksum.
    pub fn set_checksum(&mut self, number: u32) {
        let checksum = self.checksum(number);
        self.0[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&checksum.to_le_bytes());
    }
}

const fn round(sum: u32, word: u32) -> u32 {
    let mixed = sum ^ word;
    mixed.wrapping_mul(FNV_PRIME) ^ (mixed >> 17)
}
