use crate::error::RedoError;
use crate::fields::Fields;

/// No block: what a link to nowhere holds.
pub(super) const NO_BLOCK: u32 = u32::MAX;

/// Where a row is: a block and an item of it (`ItemPointerData`). Nothing in it is aligned to more than
/// 2 bytes.
///
/// | offset | bytes | what |
/// |---|---|---|
/// | 0 | 2 | the block's number, high half |
/// | 2 | 2 | the block's number, low half |
/// | 4 | 2 | the item's number; 0 for none |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tid {
    pub(super) block: u32,
    pub(super) item: u16,
}

impl Tid {
    /// Bytes of one.
    pub(super) const BYTES: usize = 6;
    /// The one that leads nowhere.
    pub(super) const NONE: Self = Self { block: NO_BLOCK, item: 0 };

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, RedoError> {
        Ok(Self { block: block_number(fields)?, item: fields.u16()? })
    }

    pub(super) fn bytes(self) -> [u8; Self::BYTES] {
        let ([c, d, a, b], [e, f]) = (self.block.to_le_bytes(), self.item.to_le_bytes());
        [a, b, c, d, e, f]
    }
}

/// A block's number in halves, the high one first (`BlockIdData`).
pub(super) fn block_number(fields: &mut Fields<'_>) -> Result<u32, RedoError> {
    let (high, low) = (fields.u16()?, fields.u16()?);
    Ok(u32::from(high) << 16 | u32::from(low))
}

/// As [`block_number`] reads it.
pub(super) fn block_number_bytes(number: u32) -> [u8; 4] {
    let [c, d, a, b] = number.to_le_bytes();
    [a, b, c, d]
}
