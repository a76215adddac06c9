//! Tokens, and the symbols that deflate writes them with (RFC 1951, 3.2.5 and 3.2.6).

/// Shortest match.
pub(crate) const MATCH_MIN: u32 = 3;
/// Longest match.
pub(crate) const MATCH_MAX: u32 = 258;
/// Symbols of the literal and length code that a header can give lengths to.
pub(crate) const LITERALS: usize = 288;
/// Symbols of the distance code that a header can give lengths to.
pub(crate) const DISTANCES: usize = 32;
/// The symbol that ends a block.
pub(crate) const END_OF_BLOCK: usize = 256;

const STORED: u16 = 0xffff;
/// A match of 258 bytes that is written as the last but one length code with all extra bits set.
/// The standard does not forbid it.
const LONG_WAY: u16 = 259;

/// What a deflate block consists of: a byte, or a copy of bytes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// 0 for a literal, 3 to 258 for a match, [`LONG_WAY`] or [`STORED`].
    len: u16,
    /// The byte of a literal, the distance of a match, or the length of stored bytes.
    value: u16,
}

impl Token {
    pub(crate) const fn literal(byte: u8) -> Self {
        Self { len: 0, value: byte as u16 }
    }

    /// A match; `code` is its length as [`Token::length_code`] gives it.
    pub(crate) const fn matched(code: u16, distance: u16) -> Self {
        Self { len: code, value: distance }
    }

    /// Bytes of a stored block: they belong to no token but have to be passed.
    pub(crate) const fn stored(len: u16) -> Self {
        Self { len: STORED, value: len }
    }

    /// Stored bytes with more of them; `None` if it is no such token, or a block has not so many.
    pub(crate) fn stored_more(self, len: u16) -> Option<Self> {
        let len = self.value.checked_add(len).filter(|_| self.is_stored())?;
        Some(Self::stored(len))
    }

    pub(crate) const fn is_stored(self) -> bool {
        self.len == STORED
    }

    pub(crate) const fn is_literal(self) -> bool {
        self.len == 0
    }

    /// The length of a match, with 259 for the long way to write 258; 0 for a literal.
    pub(crate) const fn length_code(self) -> u16 {
        self.len
    }

    /// The distance of a match.
    pub(crate) const fn distance(self) -> u32 {
        self.value as u32
    }

    /// Plain bytes that this token stands for.
    pub(crate) const fn plain_len(self) -> u32 {
        match self.len {
            0 => 1,
            STORED => self.value as u32,
            LONG_WAY => MATCH_MAX,
            len => len as u32,
        }
    }

    /// The symbol of the literal and length code, the number of extra bits, and these.
    pub(crate) fn symbol(self) -> (usize, u32, u32) {
        match self.len {
            0 => (usize::from(self.value), 0, 0),
            258 => (285, 0, 0),
            _ => {
                // Lengths 3 to 10 have no extra bits; then four codes for each number of them.
                let above = self.plain_len() - MATCH_MIN;
                if above < 8 {
                    return (257 + above as usize, 0, 0);
                }
                let extra = above.ilog2() - 2;
                let code = 4 * extra + (above >> extra);
                (257 + code as usize, extra, above & ((1 << extra) - 1))
            }
        }
    }

    /// The symbol of the distance code of a match, the number of extra bits, and these.
    pub(crate) fn distance_symbol(self) -> (usize, u32, u32) {
        distance_symbol(self.distance())
    }
}

/// The symbol of the distance code, the number of extra bits, and these.
pub(crate) fn distance_symbol(distance: u32) -> (usize, u32, u32) {
    let above = distance - 1;
    if above < 4 {
        return (above as usize, 0, 0);
    }
    let extra = above.ilog2() - 1;
    let code = 2 * extra + (above >> extra);
    (code as usize, extra, above & ((1 << extra) - 1))
}

/// The smallest length of a symbol above [`END_OF_BLOCK`], as a length code, and its extra bits.
pub(crate) fn length_base(symbol: usize) -> Option<(u32, u32)> {
    let code = u32::try_from(symbol.checked_sub(END_OF_BLOCK + 1)?).ok()?;
    match code {
        0..8 => Some((MATCH_MIN + code, 0)),
        8..28 => {
            let extra = code / 4 - 1;
            Some((MATCH_MIN + ((4 + code % 4) << extra), extra))
        }
        28 => Some((MATCH_MAX, 0)),
        _ => None,
    }
}

/// The smallest distance of a symbol, and its extra bits.
pub(crate) fn distance_base(symbol: usize) -> Option<(u32, u32)> {
    let code = u32::try_from(symbol).ok()?;
    match code {
        0..4 => Some((1 + code, 0)),
        4..30 => {
            let extra = code / 2 - 1;
            Some((1 + ((2 + code % 2) << extra), extra))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_distances_come_back_from_their_symbols() {
        for len in 3..=259u16 {
            let (symbol, extra, bits) = Token::matched(len, 1).symbol();
            let (base, extra_again) = length_base(symbol).unwrap();
            let found = if len == 259 { 258 } else { u32::from(len) };
            assert_eq!((base + bits, extra_again), (found, extra), "{len}");
            assert_eq!(symbol, if len == 258 { 285 } else { symbol.min(284) });
        }
        assert_eq!(Token::matched(259, 1).symbol(), (284, 5, 31));
        for distance in 1..=32768 {
            let (symbol, extra, bits) = distance_symbol(distance);
            let (base, extra_again) = distance_base(symbol).unwrap();
            assert_eq!((base + bits, extra_again), (distance, extra));
        }
    }

    #[test]
    fn symbols_that_mean_nothing() {
        assert_eq!(length_base(286), None);
        assert_eq!(length_base(256), None);
        assert_eq!(distance_base(30), None);
    }
}
