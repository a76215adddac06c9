//! Valid streams that no sane encoder writes, made by hand.

use cairn_deflate::Error;

use crate::{check, split};

/// Writes bits in deflate's order.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    /// A number, from its lowest bit.
    fn put(&mut self, value: u32, count: usize) -> &mut Self {
        for at in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::from(value >> at & 1 == 1);
            *self.bytes.last_mut().unwrap() |= bit << (self.count % 8);
            self.count += 1;
        }
        self
    }

    /// A code, from its highest bit.
    fn code(&mut self, code: u32, count: usize) -> &mut Self {
        for at in (0..count).rev() {
            self.put(code >> at & 1, 1);
        }
        self
    }

    /// Goes on to the next byte with ones.
    fn ones(&mut self) -> &mut Self {
        while !self.count.is_multiple_of(8) {
            self.put(1, 1);
        }
        self
    }

    fn stored(&mut self, last: bool, bytes: &[u8]) -> &mut Self {
        let len = u32::try_from(bytes.len()).unwrap();
        self.put(u32::from(last), 3);
        self.count = self.bytes.len() * 8;
        self.put(len, 16).put(!len & 0xffff, 16);
        for &byte in bytes {
            self.put(byte.into(), 8);
        }
        self
    }

    /// The lengths of a dynamic block's codes, each length as itself, in a code of 16 symbols of
    /// four bits.
    fn dynamic(&mut self, last: bool, literals: &[u8], distances: &[u8]) -> &mut Self {
        self.put(u32::from(last) | 4, 3);
        self.put(u32::try_from(literals.len() - 257).unwrap(), 5);
        self.put(u32::try_from(distances.len() - 1).unwrap(), 5).put(15, 4);
        for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
            self.put(if symbol < 16 { 4 } else { 0 }, 3);
        }
        for &len in literals.iter().chain(distances) {
            self.code(len.into(), 4);
        }
        self
    }
}

#[test]
fn empty_blocks_of_all_kinds_and_layouts() {
    let mut bits = Bits::default();
    bits.stored(false, b"").stored(false, b"one").stored(false, b"").put(0b010, 3).code(0, 7);
    bits.put(0b010, 3).code(0, 7).stored(false, b"").stored(false, b"two").put(0b011, 3).code(0, 7);
    assert_eq!(check(&bits.bytes, &[1]).0, b"onetwo");
    assert_eq!(check(&[1, 0, 0, 0xff, 0xff], &[2]).0, b"");
    assert_eq!(check(&[3, 0], &[1]).0, b"");
}

#[test]
fn bits_between_and_after_blocks_are_kept() {
    let mut bits = Bits::default();
    bits.put(0b000, 3).ones().put(3, 16).put(0xfffc, 16);
    for byte in b"abc" {
        bits.put(u32::from(*byte), 8);
    }
    bits.put(0b011, 3).code(0x30 + u32::from(b'd'), 8).code(0, 7).ones();
    assert_eq!(check(&bits.bytes, &[3]).0, b"abcd");
}

#[test]
fn the_longest_match_written_the_long_way() {
    let mut bits = Bits::default();
    bits.put(0b011, 3).code(0x30 + u32::from(b'x'), 8);
    for _ in 0..3 {
        // Symbol 284 with all extra bits, then 285; distance 1.
        bits.code(0xc4, 8).put(31, 5).code(0, 5).code(0xc5, 8).code(0, 5);
    }
    bits.code(0, 7);
    assert_eq!(check(&bits.bytes, &[100]).0, vec![b'x'; 1 + 6 * 258]);
}

#[test]
fn codes_with_few_symbols() {
    // No distance code at all, one with a single symbol, and one that is incomplete.
    for distances in [&[0u8][..], &[1], &[0, 0, 3, 3, 0, 15]] {
        let mut literals = [0u8; 257];
        (literals[usize::from(b'a')], literals[256]) = (1, 1);
        let mut bits = Bits::default();
        bits.dynamic(true, &literals, distances).code(0, 1).code(0, 1).code(1, 1);
        assert_eq!(check(&bits.bytes, &[7]).0, b"aa");
    }
    // A block that can only end.
    let mut literals = [0u8; 257];
    literals[256] = 1;
    let mut bits = Bits::default();
    bits.dynamic(false, &literals, &[0]).code(0, 1);
    bits.dynamic(true, &literals, &[0; 32]).code(0, 1);
    assert_eq!(check(&bits.bytes, &[7]).0, b"");
}

#[test]
fn all_symbols_that_can_be_described() {
    // 288 literal and 32 distance symbols, of which the last mean nothing but have codes.
    let literals: Vec<u8> = (0..288).map(|symbol| if symbol < 224 { 8 } else { 9 }).collect();
    let mut bits = Bits::default();
    bits.dynamic(true, &literals, &[5; 32]);
    for byte in b"abcabcabc" {
        bits.code(u32::from(*byte), 8);
    }
    // Symbol 257, three bytes, at distance 4 (symbol 3).
    bits.code((224 << 1) + 33, 9).code(3, 5).code((224 << 1) + 32, 9);
    assert_eq!(check(&bits.bytes, &[9]).0, b"abcabcabccab");
}

#[test]
fn a_block_of_more_tokens_than_one_record() {
    let mut bits = Bits::default();
    let mut literals = [0u8; 258];
    (literals[0], literals[1], literals[256], literals[257]) = (1, 2, 3, 3);
    bits.dynamic(false, &literals, &[1]);
    let tokens = (2 << 20) + 12_345usize;
    for at in 0..tokens {
        let rare = (at * at) % 7 == 2;
        if rare {
            bits.code(0b10, 2)
        } else {
            bits.code(0, 1)
        };
    }
    bits.code(0b111, 3).code(0, 1).code(0b110, 3).put(0b011, 3).code(0, 7);
    let (plain, corrections) = check(&bits.bytes, &[60_000]);
    assert_eq!(plain.len(), tokens + 3);
    assert!(corrections.bytes.len() < bits.bytes.len());
}

#[test]
fn tokens_that_no_encoder_chooses() {
    // The farthest distance, which zlib never takes, and a match that is cut short.
    let filler: Vec<u8> =
        (0..32_768u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13).to_le_bytes()[0]).collect();
    let mut bits = Bits::default();
    bits.stored(false, &filler).put(0b011, 3);
    // Symbol 260, six bytes; distance symbol 29 with all extra bits.
    for _ in 0..40 {
        bits.code(4, 7).code(29, 5).put(8191, 13);
    }
    bits.code(0, 7);
    let (plain, _) = check(&bits.bytes, &[1000]);
    assert!(plain[32_768..] == plain[..240]);
}

#[test]
fn what_is_no_stream() {
    let offset_of = |bytes: &[u8]| match split(bytes, &[1]) {
        Err(Error::Invalid { offset, .. }) => offset,
        other => panic!("{bytes:?} gave {other:?}"),
    };
    assert_eq!(offset_of(&[7]), 1);
    assert_eq!(offset_of(&[1, 3, 0, 0, 0]), 5);
    // A match before the stream: symbol 257, distance 1.
    let mut bits = Bits::default();
    bits.put(0b011, 3).code(1, 7).code(0, 5);
    assert_eq!(offset_of(&bits.bytes), 2);
    // Three codes of one bit.
    let mut literals = [0u8; 257];
    (literals[0], literals[1], literals[256]) = (1, 1, 1);
    let mut bits = Bits::default();
    bits.dynamic(true, &literals, &[1]);
    offset_of(&bits.bytes);
    // No code for the end.
    let mut bits = Bits::default();
    bits.dynamic(true, &[1; 2].iter().copied().chain([0; 255]).collect::<Vec<_>>(), &[1]);
    offset_of(&bits.bytes);
    assert!(matches!(split(&[0, 5, 0], &[2]), Err(Error::Unfinished { offset: 3 })));
}
