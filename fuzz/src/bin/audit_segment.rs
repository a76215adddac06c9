//! Segments of the audit log, as they are and with a checksum that holds: what decodes encodes to
//! something that decodes to the same.

#![no_main]

use cairn_audit::{Hash, Segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let summed = [bytes, &Hash::of(bytes).0].concat();
    for bytes in [bytes, &summed] {
        if let Ok((segment, _)) = Segment::decode(bytes) {
            let (encoded, hash) = segment.encode();
            assert_eq!(Segment::decode(&encoded).expect("it was encoded"), (segment, hash));
        }
    }
});
