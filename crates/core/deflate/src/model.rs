//! Symbols and numbers as decisions of a [`Coder`].

use crate::range::{Bit, Coder};

/// One of `N` symbols; `N` is a power of two. Each way to a symbol has its own models.
#[derive(Clone, Debug)]
pub(crate) struct Symbol<const N: usize>([Bit; N]);

impl<const N: usize> Symbol<N> {
    const BITS: u32 = N.ilog2();

    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two(), "a tree of decisions has a power of two leaves");
        Self([Bit::EVEN; N])
    }

    /// Codes `value`, which is below `N`.
    pub(crate) fn code<C: Coder>(&mut self, coder: &mut C, value: u32) -> u32 {
        let mut node = 1usize;
        for at in (0..Self::BITS).rev() {
            let bit = coder.bit(&mut self.0[node], value >> at & 1 == 1);
            node = node * 2 + usize::from(bit);
        }
        u32::try_from(node - N).expect("a leaf is below twice the number of leaves")
    }
}

/// A number below 2^24 of which smaller values are likelier.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    width: Symbol<32>,
    second: [Bit; 32],
}

impl Number {
    pub(crate) const MAX: u32 = (1 << 24) - 2;

    pub(crate) const fn new() -> Self {
        Self { width: Symbol::new(), second: [Bit::EVEN; 32] }
    }

    /// Codes `value`, at most [`Number::MAX`]. A damaged number reads as some number up to that.
    pub(crate) fn code<C: Coder>(&mut self, coder: &mut C, value: u32) -> u32 {
        let number = value.min(Self::MAX) + 1;
        let width = self.width.code(coder, number.ilog2()).min(23);
        if width == 0 {
            return 0;
        }
        let second = number >> (width.max(1) - 1) & 1 == 1;
        let second = coder.bit(&mut self.second[width as usize], second);
        let rest = coder.raw(width - 1, number & ((1 << (width - 1)) - 1));
        let number = (2 + u32::from(second)) << (width - 1) | rest;
        (number - 1).min(Self::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::range::{Reader, Writer};

    proptest! {
        #[test]
        fn symbols_and_numbers_come_back(
            values in proptest::collection::vec((0..8u32, 0..=Number::MAX, 0..24u32), 0..50)
        ) {
            let mut writer = Writer::new();
            let (mut symbol, mut number) = (Symbol::<8>::new(), Number::new());
            for &(small, large, shift) in &values {
                symbol.code(&mut writer, small);
                number.code(&mut writer, large >> shift);
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            let (mut symbol, mut number) = (Symbol::<8>::new(), Number::new());
            for &(small, large, shift) in &values {
                prop_assert_eq!(symbol.code(&mut reader, 0), small);
                prop_assert_eq!(number.code(&mut reader, 0), large >> shift);
            }
        }
    }
}
