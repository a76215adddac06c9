//! An adaptive binary range coder with carry, after G. N. N. Martin (1979).
//!
//! A bit that is as unlikely as its model says costs next to nothing. What code says once, through
//! the trait [`Coder`], both the writer and the reader do: their formats cannot drift apart.
//!
//! Zeros at the end are not stored, and the reader finds zeros there: as the likely side of a bit
//! is usually the lower one, decisions that are all as expected take no byte at all.

use alloc::vec::Vec;

/// Below this the range grows by a byte.
const RANGE_MIN: u32 = 1 << 24;
/// Most cases that a model counts; from there on older ones fade.
const COUNT_MAX: u16 = 160;

/// The probability of one kind of decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bit {
    /// Probability of `false` in 1/2^22.
    low: u32,
    count: u16,
}

impl Bit {
    const ONE: u32 = 1 << 22;
    /// Nothing is known.
    pub(crate) const EVEN: Self = Self { low: Self::ONE / 2, count: 0 };
    /// `false` is much more likely.
    pub(crate) const SELDOM: Self = Self { low: Self::ONE / 256 * 253, count: 24 };

    /// Probability of `false` in 1/2^16, never 0 nor 1.
    fn chance(self) -> u32 {
        (self.low >> 6).clamp(16, 0x1_0000 - 16)
    }

    fn learn(&mut self, bit: bool) {
        let rate = u32::from(self.count) + 2;
        if bit {
            self.low -= self.low / rate;
        } else {
            self.low += (Self::ONE - self.low) / rate;
        }
        self.count += u16::from(self.count < COUNT_MAX);
    }
}

/// A writer, which takes what it is given, or a reader, which ignores that and tells what it reads.
pub(crate) trait Coder {
    /// Whether this is the writer.
    const WRITES: bool;

    /// A decision with a model.
    fn bit(&mut self, model: &mut Bit, bit: bool) -> bool;

    /// Up to 24 bits of which nothing is known.
    fn raw(&mut self, count: u32, value: u32) -> u32;

    /// Takes a byte of space that means nothing and is never left out. False for a reader whose
    /// bytes do not have it: so it can tell decisions that were never written from those that
    /// cost nothing.
    fn weigh(&mut self) -> bool;
}

/// Writes decisions.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    low: u64,
    range: u32,
    /// The last byte, and how many 0xff come after it: a carry may still change them.
    held: Option<u8>,
    held_ones: u64,
    /// Bytes that were moved out of `low`.
    shifts: usize,
    /// Bytes that are stored even if they are zeros.
    least: usize,
}

impl Writer {
    pub(crate) const fn new() -> Self {
        let (low, range, held, held_ones) = (0, u32::MAX, None, 0);
        Self { out: Vec::new(), low, range, held, held_ones, shifts: 0, least: 0 }
    }

    /// Bytes so far, nearly.
    pub(crate) fn len(&self) -> u64 {
        self.out.len() as u64 + self.held_ones
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        // Of the values in the range, the one with the most zeros at its end.
        let end = self.low + u64::from(self.range);
        for zeros in (0..32).rev() {
            let mask = (1u64 << zeros) - 1;
            let value = (self.low + mask) & !mask;
            if value < end {
                self.low = value;
                break;
            }
        }
        for _ in 0..5 {
            self.shift();
        }
        while self.out.len() > self.least && self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }

    /// Moves the highest byte of `low` out.
    fn shift(&mut self) {
        self.shifts += 1;
        let carry = self.low >> 32 != 0;
        let top = ((self.low >> 24) & 0xff) as u8;
        if top != 0xff || carry {
            if let Some(held) = self.held {
                self.out.push(held.wrapping_add(u8::from(carry)));
            }
            let ones = if carry { 0 } else { 0xff };
            for _ in 0..self.held_ones {
                self.out.push(ones);
            }
            self.held_ones = 0;
            self.held = Some(top);
        } else {
            self.held_ones += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    fn normalize(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.shift();
        }
    }
}

impl Coder for Writer {
    const WRITES: bool = true;

    fn bit(&mut self, model: &mut Bit, bit: bool) -> bool {
        let bound = (self.range >> 16) * model.chance();
        if bit {
            self.low += u64::from(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(bit);
        self.normalize();
        bit
    }

    fn raw(&mut self, count: u32, value: u32) -> u32 {
        for at in (0..count).rev() {
            self.range >>= 1;
            if value >> at & 1 == 1 {
                self.low += u64::from(self.range);
            }
            self.normalize();
        }
        value
    }

    fn weigh(&mut self) -> bool {
        self.raw(8, 0);
        self.least = self.shifts;
        true
    }
}

/// Reads decisions from bytes, behind which it finds zeros for ever.
#[derive(Debug)]
pub(crate) struct Reader<'c> {
    bytes: &'c [u8],
    next: usize,
    code: u32,
    range: u32,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(bytes: &'c [u8]) -> Self {
        let mut reader = Self { bytes, next: 0, code: 0, range: u32::MAX };
        for _ in 0..4 {
            reader.code = reader.code << 8 | reader.byte();
        }
        reader
    }

    fn byte(&mut self) -> u32 {
        let byte = self.bytes.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        u32::from(byte)
    }

    fn normalize(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
        }
    }
}

impl Coder for Reader<'_> {
    const WRITES: bool = false;

    fn bit(&mut self, model: &mut Bit, _: bool) -> bool {
        let bound = (self.range >> 16) * model.chance();
        let bit = self.code >= bound;
        if bit {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(bit);
        self.normalize();
        bit
    }

    fn raw(&mut self, count: u32, _: u32) -> u32 {
        let mut value = 0;
        for _ in 0..count {
            self.range >>= 1;
            let bit = self.code >= self.range;
            if bit {
                self.code -= self.range;
            }
            value = value << 1 | u32::from(bit);
            self.normalize();
        }
        value
    }

    fn weigh(&mut self) -> bool {
        self.raw(8, 0);
        // The reader is as many bytes ahead of the writer as its code is wide.
        self.next - 4 <= self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(coder: &mut impl Coder, decisions: &[(u8, bool)]) -> Vec<bool> {
        let mut models = [Bit::EVEN; 4];
        models[3] = Bit::SELDOM;
        decisions
            .iter()
            .map(|&(model, bit)| match model % 6 {
                4 => coder.raw(3, 2 + u32::from(bit)) == 3,
                5 => coder.weigh(),
                model => coder.bit(&mut models[usize::from(model)], bit),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn decisions_come_back(decisions: Vec<(u8, bool)>, skew in 0u32..3) {
            let mut decisions = decisions;
            for (at, decision) in decisions.iter_mut().enumerate() {
                // Long runs of one side make the carries that go far.
                decision.1 ^= skew > 0 && !at.is_multiple_of(7 * skew as usize);
            }
            let mut writer = Writer::new();
            let given = run(&mut writer, &decisions);
            let bytes = writer.finish();
            prop_assert_eq!(given, run(&mut Reader::new(&bytes), &decisions));
        }
    }

    #[test]
    fn what_is_expected_takes_no_byte() {
        let mut writer = Writer::new();
        run(&mut writer, &[(3, false); 100_000]);
        assert_eq!(writer.finish(), []);
    }

    #[test]
    fn carries_go_through_held_ones() {
        let mut writer = Writer::new();
        let mut models = [Bit::EVEN];
        let bits: Vec<bool> = (0..20_000u32).map(|n| n % 3000 != 17).collect();
        for &bit in &bits {
            writer.bit(&mut models[0], bit);
        }
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        let mut models = [Bit::EVEN];
        for &bit in &bits {
            assert_eq!(reader.bit(&mut models[0], false), bit);
        }
    }

    #[test]
    fn decisions_that_were_never_written_are_found_out() {
        let mut writer = Writer::new();
        assert!((0..800).all(|_| writer.weigh()));
        run(&mut writer, &[(3, false); 100_000]);
        let bytes = writer.finish();
        assert_eq!(bytes.len(), 800);
        let mut reader = Reader::new(&bytes);
        assert!((0..800).all(|_| reader.weigh()));
        run(&mut reader, &[(3, false); 100_000]);
        assert!((0..2).any(|_| !reader.weigh()));
    }
}
