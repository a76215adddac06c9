//! Unsigned LEB128, at most ten bytes, the shortest form only: a value has one encoding.

use alloc::vec::Vec;

/// Appends `value`.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Takes a value from the front of `bytes`; `None` if there is none, and `bytes` stands anywhere then.
#[must_use]
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return (part != 0 || shift == 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    #[test]
    fn values_come_back() {
        for value in [0, 1, 127, 128, 300, 1 << 32, u64::MAX] {
            let mut out = Vec::new();
            super::put(&mut out, value);
            let mut rest = out.as_slice();
            assert_eq!((super::take(&mut rest), rest.len()), (Some(value), 0));
        }
    }

    #[test]
    fn long_forms_and_overflows_are_refused() {
        for bytes in [&[0x80, 0][..], &[0x80], &[], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(super::take(&mut { bytes }), None, "{bytes:?}");
        }
    }
}
