use super::{Splitter, is_header, number, pax_size};
use crate::{PieceKind, Pieces};

#[test]
fn numbers_in_every_notation() {
    let check = |field: &[u8], wanted| assert_eq!(number(field), wanted, "{field:?}");
    check(b"00000000644\0", Some(0o644));
    check(b"     644 \0", Some(0o644));
    check(b"644", Some(0o644));
    check(&[0; 12], Some(0));
    check(&[b' '; 12], Some(0));
    check(b"0000000064x\0", None);
    check(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], Some(258));
    check(&[0x80, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0], None);
    check(&[0xff; 12], None);
    check(b"", None);
}

#[test]
fn sizes_in_pax_headers() {
    let check = |records: &[u8], wanted| assert_eq!(pax_size(records), wanted, "{records:?}");
    check(b"12 size=123\n", Some(123));
    check(b"9 path=x\n12 size=123\n", Some(123));
    check(b"9 path=x\n", None);
    check(b"", None);
    check(b"0 size=1\n", None);
    check(b"99 size=1\n", None);
    check(b"x", None);
    check(b"29 size=99999999999999999999\n", None);
}

/// A header block of this type and size.
fn block(kind: u8, size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..4].copy_from_slice(b"name");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    sign(&mut block);
    block
}

fn sign(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn split(bytes: &[u8], step: usize) -> Vec<(PieceKind, u64)> {
    let mut pieces = Pieces::default();
    let mut splitter = Splitter::default();
    for part in bytes.chunks(step) {
        splitter.feed(part, &mut pieces).unwrap();
    }
    pieces.iter().map(|piece| (piece.kind, piece.len)).collect()
}

/// The pieces are the same however the bytes arrive.
fn check(bytes: &[u8], wanted: &[(PieceKind, u64)]) {
    for step in [1, 7, 512, 513, 1 << 20] {
        assert_eq!(split(bytes, step), wanted, "in steps of {step}");
    }
}

use PieceKind::{Layout, Member};

#[test]
fn contents_are_members_and_the_rest_is_layout() {
    let tar = [block(b'0', 5), vec![b'x'; 512], block(b'5', 0), block(b'0', 512), vec![b'y'; 512]];
    check(&tar.concat(), &[(Layout, 512), (Member, 5), (Layout, 507 + 1024), (Member, 512)]);
}

#[test]
fn links_have_no_content_whatever_their_size_says() {
    let tar = [block(b'1', 5000), block(b'0', 3), vec![b'x'; 512]];
    check(&tar.concat(), &[(Layout, 1024), (Member, 3), (Layout, 509)]);
}

#[test]
fn a_pax_header_gives_the_size_of_the_next_member() {
    let mut records = b"13 size=1000\n".to_vec();
    records.resize(512, 0);
    let tar = [block(b'x', 13), records, block(b'0', 1), vec![b'x'; 1024]];
    check(&tar.concat(), &[(Layout, 1536), (Member, 1000), (Layout, 24)]);
}

#[test]
fn a_sparse_map_goes_before_the_content() {
    let mut head = block(b'S', 700);
    head[482] = 1;
    sign(&mut head);
    let mut map = vec![0; 512];
    map[504] = 1;
    let tar = [head, map, vec![0; 512], vec![b'x'; 1024]];
    check(&tar.concat(), &[(Layout, 1536), (Member, 700), (Layout, 324)]);
}

#[test]
fn a_size_in_base_256() {
    let mut head = block(b'0', 0);
    head[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
    sign(&mut head);
    let tar = [head, vec![b'x'; 512]];
    check(&tar.concat(), &[(Layout, 512), (Member, 512)]);
}

#[test]
fn what_is_no_header_is_a_tail() {
    let tar = [block(b'0', 0), vec![b'!'; 70_000]];
    check(&tar.concat(), &[(Layout, 512 + 512 + 65_536), (Member, 70_000 - 512 - 65_536)]);
}

#[test]
fn checksums_of_signed_bytes_count_too() {
    let mut head = block(b'0', 0);
    head[0] = 0xe9;
    head[148..156].fill(b' ');
    let sum: i32 = head.iter().map(|&byte| i32::from(byte.cast_signed())).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(is_header(&head));
    head[1] ^= 1;
    assert!(!is_header(&head));
}
