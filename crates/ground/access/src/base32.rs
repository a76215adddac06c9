//! Crockford's base32 in lower case, for tokens and ids: no `i l o u`, nothing to quote, one word
//! under a double click. Decoding takes the same steps for every input of one length.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const GROUP_BYTES: usize = 5;
const GROUP_CHARS: usize = 8;

/// The characters of `bytes`, whose length is a multiple of five, so that nothing is padded.
pub(crate) fn encode(bytes: &[u8]) -> String {
    assert_eq!(bytes.len() % GROUP_BYTES, 0, "whole groups only");
    let mut text = String::with_capacity(bytes.len() / GROUP_BYTES * GROUP_CHARS);
    for group in bytes.chunks_exact(GROUP_BYTES) {
        let word = group.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        for place in (0..GROUP_CHARS).rev() {
            let index = word >> (5 * place) & 31;
            text.push(char::from(ALPHABET[usize::try_from(index).expect("five bits")]));
        }
    }
    text
}

/// The bytes behind `text`, or `None` when it is not what [`encode`] writes. No branch and no index
/// depends on a character: only the length and the final verdict show.
pub(crate) fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !text.len().is_multiple_of(GROUP_CHARS) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / GROUP_CHARS * GROUP_BYTES));
    let mut worst = 0;
    for group in text.chunks_exact(GROUP_CHARS) {
        let mut word = 0_u64;
        for character in group {
            let value = value(*character);
            worst |= value;
            word = word << 5 | u64::from(value.cast_unsigned() & 31);
        }
        bytes.extend_from_slice(&word.to_be_bytes()[GROUP_CHARS - GROUP_BYTES..]);
    }
    (worst >= 0).then_some(bytes)
}

/// The runs of the alphabet: first character, last, and the value of the first.
const RUNS: [(u8, u8, i16); 6] = [
    (b'0', b'9', 0),
    (b'a', b'h', 10),
    (b'j', b'k', 18),
    (b'm', b'n', 20),
    (b'p', b't', 22),
    (b'v', b'z', 27),
];

/// The value of a character, or -1. Sums what each run would make of it, under a mask that is all ones
/// for the run it is in and zero for the others.
fn value(character: u8) -> i16 {
    let character = i16::from(character);
    RUNS.iter().fold(-1, |value, (first, last, at)| {
        let (first, last) = (i16::from(*first), i16::from(*last));
        let mask = ((first - 1 - character) & (character - (last + 1))) >> 8;
        value + (mask & (character - first + at + 1))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(encode(&[0; 5]), "00000000");
        assert_eq!(encode(&[0xff; 5]), "zzzzzzzz");
        assert_eq!(encode(&[0, 0, 0, 0, 1]), "00000001");
        assert_eq!(encode(b"cairn"), "cdgpjwke");
    }

    #[test]
    fn every_character_has_its_value_or_none() {
        for character in 0..=u8::MAX {
            let at = ALPHABET.iter().position(|known| *known == character);
            let expected = at.map_or(-1, |at| i16::try_from(at).unwrap());
            assert_eq!(value(character), expected, "{character:#x}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(groups in proptest::collection::vec(any::<[u8; 5]>(), 0..8)) {
            let bytes = groups.concat();
            prop_assert_eq!(decode(encode(&bytes).as_bytes()).map(|b| b.to_vec()), Some(bytes));
        }

        /// One text for one value: whatever decodes encodes to the same text.
        #[test]
        fn hostile_text_never_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes).into_bytes(), text);
            }
        }
    }
}
