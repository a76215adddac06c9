//! Unsigned LEB128, the shortest form only: a value has one encoding.

use alloc::vec::Vec;

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Takes a value below 2^35 from the front of `bytes`; `None` if there is none.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    #[test]
    fn values_come_back_in_their_shortest_form_only() {
        for value in [0, 1, 127, 128, 300, 1 << 32] {
            let mut out = Vec::new();
            super::put(&mut out, value);
            let mut rest = out.as_slice();
            assert_eq!((super::take(&mut rest), rest.len()), (Some(value), 0));
        }
        for bytes in [&[0x80, 0][..], &[0x80], &[], &[0xff; 10]] {
            assert_eq!(super::take(&mut { bytes }), None, "{bytes:?}");
        }
    }
}
