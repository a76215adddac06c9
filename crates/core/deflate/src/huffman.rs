//! Canonical prefix codes (RFC 1951, 3.2.2): symbols to bits and back.

use alloc::boxed::Box;

use crate::token::LITERALS;

/// Longest code of a symbol.
pub(crate) const CODE_BITS_MAX: u32 = 15;
const WIDTHS: usize = CODE_BITS_MAX as usize + 1;
/// Codes up to this length are found with one look.
const FAST_BITS: u32 = 10;

/// The first code of each length; `None` if the lengths ask for more codes than there are.
fn first_codes(lens: &[u8]) -> Option<([u32; WIDTHS], [u32; WIDTHS])> {
    let mut counts = [0u32; WIDTHS];
    for &len in lens {
        counts[usize::from(len)] += 1;
    }
    counts[0] = 0;
    let mut firsts = [0u32; WIDTHS];
    let mut code = 0;
    for width in 1..WIDTHS {
        code = (code + counts[width - 1]) << 1;
        firsts[width] = code;
        if code + counts[width] > 1 << width {
            return None;
        }
    }
    Some((firsts, counts))
}

/// The bits of a code of `width` bits in the order in which they are written.
fn reversed(code: u32, width: u32) -> u32 {
    code.reverse_bits() >> (32 - width)
}

/// Bits of each symbol.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    codes: [(u16, u8); LITERALS],
}

impl Encoder {
    /// `None` if the lengths make no code.
    pub(crate) fn new(lens: &[u8]) -> Option<Self> {
        let (mut next, _) = first_codes(lens)?;
        let mut codes = [(0, 0); LITERALS];
        for (code, &len) in codes.iter_mut().zip(lens) {
            if len > 0 {
                let next = &mut next[usize::from(len)];
                *code = ((reversed(*next, len.into()) & 0xffff) as u16, len);
                *next += 1;
            }
        }
        Some(Self { codes })
    }

    /// The bits of a symbol and their number, which is 0 if it has no code.
    pub(crate) fn code(&self, symbol: usize) -> (u32, u32) {
        let (code, len) = self.codes[symbol];
        (u32::from(code), u32::from(len))
    }
}

/// What a look at the next bits tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A symbol, and how many bits it has.
    Symbol(usize, u32),
    /// Too few bits to tell.
    More,
    /// Bits that are the code of no symbol.
    Nothing,
}

/// Symbols of bits.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    /// `symbol << 4 | length` for the next [`FAST_BITS`] bits, 0 for longer codes.
    fast: Box<[u16; 1 << FAST_BITS]>,
    firsts: [u32; WIDTHS],
    counts: [u32; WIDTHS],
    /// Symbols in the order of their codes, and where each length begins.
    sorted: [u16; LITERALS],
    starts: [u32; WIDTHS],
}

impl Decoder {
    /// A code without symbols.
    pub(crate) fn new() -> Self {
        Self {
            fast: Box::new([0; 1 << FAST_BITS]),
            firsts: [0; WIDTHS],
            counts: [0; WIDTHS],
            sorted: [0; LITERALS],
            starts: [0; WIDTHS],
        }
    }

    /// Takes another code. False if the lengths make no code; one with codes that mean nothing is
    /// fine as long as nothing uses them.
    pub(crate) fn set(&mut self, lens: &[u8]) -> bool {
        let Some((firsts, counts)) = first_codes(lens) else { return false };
        (self.firsts, self.counts) = (firsts, counts);
        let mut end = 0;
        for (start, count) in self.starts.iter_mut().zip(counts) {
            *start = end;
            end += count;
        }
        self.fast.fill(0);
        let (mut next, mut codes) = (self.starts, firsts);
        for (symbol, &len) in (0u16..).zip(lens) {
            if len == 0 {
                continue;
            }
            let width = usize::from(len);
            self.sorted[next[width] as usize] = symbol;
            next[width] += 1;
            if u32::from(len) <= FAST_BITS {
                let code = reversed(codes[width], len.into()) as usize;
                for at in (code..1 << FAST_BITS).step_by(1 << len) {
                    self.fast[at] = symbol << 4 | u16::from(len);
                }
            }
            codes[width] += 1;
        }
        true
    }

    /// The symbol at the front of `bits`, of which `count` are there.
    pub(crate) fn find(&self, bits: u64, count: u32) -> Found {
        let fast = self.fast[(bits & ((1 << FAST_BITS) - 1)) as usize];
        if fast != 0 {
            let len = u32::from(fast & 15);
            return if len <= count {
                Found::Symbol(usize::from(fast >> 4), len)
            } else {
                Found::More
            };
        }
        let mut code = 0;
        for width in 1..=CODE_BITS_MAX {
            if width > count {
                return Found::More;
            }
            code = code << 1 | (bits >> (width - 1) & 1) as u32;
            let above = code.wrapping_sub(self.firsts[width as usize]);
            if above < self.counts[width as usize] {
                let at = self.starts[width as usize] + above;
                return Found::Symbol(usize::from(self.sorted[at as usize]), width);
            }
        }
        Found::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        let encoder = Encoder::new(&[3, 3, 3, 3, 3, 2, 4, 4]).unwrap();
        // F is 00, A is 010, H is 1111; written from their first bit.
        assert_eq!(encoder.code(5), (0b00, 2));
        assert_eq!(encoder.code(0), (0b010, 3));
        assert_eq!(encoder.code(7), (0b1111, 4));
        assert_eq!(encoder.code(6), (0b0111, 4));
    }

    #[test]
    fn what_is_written_is_found() {
        // One code of each length, and two of the longest.
        let lens: [u8; 17] = core::array::from_fn(|at| match at {
            0..14 => u8::try_from(at + 1).unwrap(),
            14 => 0,
            _ => 15,
        });
        let (encoder, mut decoder) = (Encoder::new(&lens).unwrap(), Decoder::new());
        assert!(decoder.set(&lens));
        for symbol in (0..14).chain(15..17) {
            let (code, len) = encoder.code(symbol);
            assert_eq!(decoder.find(code.into(), len), Found::Symbol(symbol, len));
            assert_eq!(decoder.find(code.into(), len - 1), Found::More);
        }
    }

    #[test]
    fn too_many_codes_and_codes_without_symbols() {
        let mut decoder = Decoder::new();
        assert!(!decoder.set(&[1, 1, 1]));
        assert!(Encoder::new(&[1, 2, 2, 15]).is_none());
        assert!(decoder.set(&[0, 1]));
        assert_eq!(decoder.find(0, 1), Found::Symbol(1, 1));
        assert_eq!(decoder.find(0x7fff, 15), Found::Nothing);
        assert_eq!(decoder.find(0x7fff, 14), Found::More);
        assert!(decoder.set(&[]));
        assert_eq!(decoder.find(0, 48), Found::Nothing);
    }
}
