use proptest::prelude::*;

use super::*;

/// Small numbers, or nothing that means anything.
fn some_bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![2 => Just(0), 3 => 0..16_u8, 1 => any::<u8>()];
    proptest::collection::vec(byte, 0..len_max)
}

/// An input of [`stream`]: where the log begins, what is changed of it, records.
fn any_log() -> impl Strategy<Value = Vec<u8>> {
    let head = (any::<u8>(), any::<u16>());
    let changes = proptest::collection::vec((any::<u16>(), any::<u8>()), 0..3);
    let bodies = prop_oneof![4 => some_bytes(300), 1 => some_bytes(20_000)];
    let records = proptest::collection::vec((0..16_u8, 0..24_u8, bodies), 0..8);
    (head, changes, records).prop_map(|((piece, start), changes, records)| {
        let mut bytes = [&[piece][..], &start.to_le_bytes()].concat();
        bytes.extend(u8::try_from(changes.len()));
        for (at, bits) in changes {
            bytes.extend(at.to_le_bytes());
            bytes.push(bits);
        }
        for (kind, rmgr, body) in records {
            bytes.extend([kind << 4, rmgr]);
            bytes.extend(u16::try_from(body.len()).unwrap().to_le_bytes());
            bytes.extend(body);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pgwal_1_no_log_makes_a_stream_panic(log in any_log()) {
        stream(&log);
    }

    #[test]
    fn pgwal_1_no_bytes_make_the_targets_panic(bytes in some_bytes(400)) {
        stream(&bytes);
        redo(&bytes);
        effects(&bytes);
    }
}
