use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::record::{Outcome, Text};

/// A record of somebody who wants something of `resource`.
pub(crate) fn record(outcome: Outcome, resource: &str) -> Record {
    Record {
        time_ms: 1_000,
        request: "00112233445566ff".into(),
        door: "rest".into(),
        peer: "192.0.2.7".into(),
        caller: "alice".into(),
        credential: "token 8839xxvdmpktx0xd".into(),
        action: "read_dataset".into(),
        resource: resource.into(),
        outcome,
        detail: "8839xxvdmpktx0xe".into(),
        count: 1,
    }
}

fn sample() -> Segment {
    let records =
        vec![record(Outcome::Allowed, "@main/photos"), record(Outcome::Changed, "@lab/raw")];
    let before = Link { hash: Hash([7; 32]), unreadable: false };
    Segment { seq: 2, before, hub: Hub([9; 8]), records }
}

/// Version 1, for ever: these bytes are in people's buckets.
#[test]
fn golden_segment_of_version_1() {
    let golden = include_bytes!("golden_1.bin");
    let (segment, hash) = Segment::decode(golden).unwrap();
    assert_eq!(segment, sample());
    expect!["75a8851deecd33fa4cc8f24bfb507b9f5f2ff35efcaf8274ed808cb1690dc479"]
        .assert_eq(&hash.to_string());
    let line = serde_json::to_string(&segment.records[0]).unwrap();
    expect![[r#"{"time_ms":1000,"request":"00112233445566ff","door":"rest","peer":"192.0.2.7","caller":"alice","credential":"token 8839xxvdmpktx0xd","action":"read_dataset","resource":"@main/photos","outcome":"allowed","detail":"8839xxvdmpktx0xe","count":1}"#]].assert_eq(&line);
}

/// AUDIT-3, AUDIT-6: no flipped bit and no cut gets through.
#[test]
fn audit_3_every_flipped_bit_and_every_cut_is_refused() {
    let (bytes, hash) = sample().encode();
    assert_eq!(Segment::decode(&bytes).unwrap(), (sample(), hash));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Segment::decode(&bad).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Segment::decode(&bytes[..len]).is_err(), "{len} bytes");
    }
}

/// Bytes with a checksum that holds.
fn summed(mut body: Vec<u8>) -> Vec<u8> {
    let hash = Hash::of(&body);
    body.extend_from_slice(&hash.0);
    body
}

#[test]
fn a_later_version_is_told_from_damage() {
    let (bytes, _) = sample().encode();
    let mut body = bytes[..bytes.len() - HASH_BYTES].to_vec();
    body[4] = 2;
    assert_eq!(Segment::decode(&summed(body)), Err(Malformed::Later { found: 2 }));
}

/// AUDIT-6: what unpacks to more than it says, or says more than is allowed, is refused.
#[test]
fn audit_6_a_bomb_does_not_go_off() {
    let bomb = zstd::bulk::compress(&vec![b'\n'; 64 << 20], 19).unwrap();
    for claimed in [0, 10, 1 << 20, 64 << 20, u32::MAX] {
        let (bytes, _) = sample().encode();
        let mut body = bytes[..HEADER_BYTES].to_vec();
        body[60..64].copy_from_slice(&u32::to_le_bytes(claimed));
        body[64..68].copy_from_slice(&u32::try_from(bomb.len()).unwrap().to_le_bytes());
        body.extend_from_slice(&bomb);
        assert!(Segment::decode(&summed(body)).is_err(), "{claimed}");
    }
}

/// A record of the greatest size is within the bound that it is taken by.
#[test]
fn a_record_is_never_larger_than_it_says() {
    let text = Text::new(&"\"\\".repeat(4000));
    let record = Record {
        time_ms: i64::MIN,
        count: u64::MAX,
        request: text.clone(),
        door: text.clone(),
        peer: text.clone(),
        caller: text.clone(),
        credential: text.clone(),
        action: text.clone(),
        resource: text.clone(),
        outcome: Outcome::Refused,
        detail: text,
    };
    assert!(serde_json::to_vec(&record).unwrap().len() < record.bytes_max());
}

#[test]
fn marks_are_read_as_they_are_written() {
    let mark = Mark { seq: 77, hash: Hash([0xab; 32]) };
    assert_eq!(mark.to_string().parse::<Mark>().unwrap(), mark);
    let hash = Hash::default();
    for bad in ["", "1", ":", "0:", "1:00", &format!("0:{hash}"), &format!("x:{hash}")] {
        assert!(bad.parse::<Mark>().is_err(), "{bad}");
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let outcome = proptest::sample::select(Outcome::ALL.to_vec());
    let text = || ".{0,40}".prop_map(|text: String| Text::new(&text));
    (any::<i64>(), 1..=u64::MAX, outcome, [text(), text(), text(), text()]).prop_map(
        |(time_ms, count, outcome, [caller, resource, action, detail])| Record {
            time_ms,
            count,
            caller,
            resource,
            action,
            detail,
            ..record(outcome, "")
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        records in proptest::collection::vec(any_record(), 1..20),
        seq in 2..=SEQ_MAX,
        hash in any::<[u8; 32]>(),
        unreadable in any::<bool>(),
        hub in any::<[u8; 8]>(),
    ) {
        let before = Link { hash: Hash(hash), unreadable };
        let segment = Segment { seq, before, hub: Hub(hub), records };
        let (bytes, hash) = segment.encode();
        prop_assert_eq!(Segment::decode(&bytes).unwrap(), (segment, hash));
    }

    /// AUDIT-6, on bytes that are nearly a segment.
    #[test]
    fn audit_6_hostile_bytes_end_in_an_error(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        at in 0..HEADER_BYTES,
        change in any::<u8>(),
        lines in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        drop(Segment::decode(&body));
        drop(Segment::decode(&summed(body)));
        let (bytes, _) = sample().encode();
        let packed = zstd::bulk::compress(&lines, 1).unwrap();
        let mut near = bytes[..HEADER_BYTES].to_vec();
        near[60..64].copy_from_slice(&u32::try_from(lines.len()).unwrap().to_le_bytes());
        near[64..68].copy_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        near.extend_from_slice(&packed);
        prop_assert!(Segment::decode(&summed(near.clone())).is_err());
        near[at] ^= change;
        drop(Segment::decode(&summed(near)));
    }
}
