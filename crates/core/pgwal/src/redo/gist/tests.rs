use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::record::Image;
use crate::redo::testing::{
    BlockBytes, Bytes, END, RecordBytes, Sample, any_page, check_any, items, near_page,
    near_record, page_with, redone,
};
use crate::rmgr::Rmgr;

const NSN: Lsn = Lsn(0x7_0000_0008);

fn record(kind: u8, main: &[u8], blocks: Vec<BlockBytes>) -> RecordBytes {
    blocks.into_iter().fold(RecordBytes::new(Rmgr::Gist, kind).main(main), RecordBytes::block)
}

fn block(id: u8, number: u32, data: &[u8]) -> BlockBytes {
    BlockBytes::new(id).number(number).data(data)
}

fn new_block(id: u8, number: u32, data: &[u8]) -> BlockBytes {
    block(id, number, data).will_init(true)
}

fn entry(key: u8, len: u8) -> Vec<u8> {
    let header = [0, 0, key, 0, 1, 0, len, 0];
    header.into_iter().chain(core::iter::repeat(key)).take(len.into()).collect()
}

fn special(nsn: Lsn, right: u32, flags: u16) -> Vec<u8> {
    Bytes::default().u64(nsn.0.rotate_left(32)).u32(right).u16(flags).u16(0xff81).0
}

fn page(flags: u16, entries: &[Vec<u8>]) -> Box<Page> {
    let mut page = page_with(&special(NSN, 9, flags));
    for entry in entries {
        page.add_item(entry, Place::Any).unwrap();
    }
    page
}

fn space(page: &Page) -> &[u8] {
    page.special_space(16).unwrap()
}

#[test]
fn entries_are_deleted_and_added() {
    let main = Bytes::default().u16(2).u16(1).0;
    let data = Bytes::default().u16s(&[1, 3]).put(&entry(7, 24)).0;
    let record = record(PAGE_UPDATE, &main, vec![block(0, 4, &data)]);
    for (flags, after) in [(LEAF, LEAF | TUPLES_DELETED), (0, 0)] {
        let before = page(flags, &[entry(1, 16), entry(2, 16), entry(3, 16)]);
        let page = redone(&record, 0, &before).unwrap();
        assert_eq!(items(&page), [entry(2, 16), entry(7, 24)]);
        assert_eq!(space(&page), special(NSN, 9, after));
        assert_eq!(page.lsn(), END);
    }
}

#[test]
fn one_for_one_is_replaced_in_its_place() {
    let main = Bytes::default().u16(1).u16(1).0;
    let data = Bytes::default().u16(2).put(&entry(7, 24)).0;
    let record = record(PAGE_UPDATE, &main, vec![block(0, 4, &data)]);
    let before = page(LEAF, &[entry(1, 16), entry(2, 16), entry(3, 16)]);
    let page = redone(&record, 0, &before).unwrap();
    assert_eq!(items(&page), [entry(1, 16), entry(7, 24), entry(3, 16)]);
    assert_eq!(space(&page), special(NSN, 9, LEAF));
}

fn split_main(pages: u16, leaf: u8, follow_right: u8) -> Vec<u8> {
    let main = Bytes::default().u32(77).u32(0xdead_beef).u64(NSN.0).u8(leaf).u8(0xee);
    main.u16(pages).u8(follow_right).put(&[0xee; 3]).0
}

fn split_data(entries: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(entries.len()).unwrap();
    Bytes::default().u32(count).put(&entries.concat()).0
}

#[test]
fn a_split_links_its_pages_and_marks_all_but_the_last() {
    let main = split_main(2, 1, 1);
    let halves = [[entry(1, 16), entry(2, 24)], [entry(3, 16), entry(4, 32)]];
    let data = halves.each_ref().map(|half| split_data(half));
    let blocks = vec![block(0, 3, &[]), new_block(1, 5, &data[0]), new_block(2, 6, &data[1])];
    let record = record(PAGE_SPLIT, &main, blocks);
    let expected = [special(NSN, 6, LEAF | FOLLOW_RIGHT), special(NSN, 77, LEAF)];
    for ((id, half), expected) in (1..).zip(&halves).zip(expected) {
        let page = redone(&record, id, &page(LEAF, &[entry(9, 16)])).unwrap();
        assert_eq!(items(&page), half);
        assert_eq!(space(&page), expected);
    }
    let child = redone(&record, 0, &page(LEAF | FOLLOW_RIGHT, &[entry(9, 16)])).unwrap();
    assert_eq!(space(&child), special(END, 9, LEAF));
}

#[test]
fn a_split_root_is_no_leaf_and_nothing_follows_right() {
    let main = split_main(3, 1, 1);
    let data = [1, 2, 3].map(|key| split_data(&[entry(key, 16)]));
    let blocks: Vec<_> =
        (1..4).zip([0, 8, 9]).zip(&data).map(|((id, at), data)| new_block(id, at, data)).collect();
    let record = record(PAGE_SPLIT, &main, blocks);
    let expected = [special(NSN, NO_BLOCK, 0), special(NSN, 9, LEAF), special(NSN, 77, LEAF)];
    for (id, expected) in (1..).zip(expected) {
        let page = redone(&record, id, &Page::zeroed()).unwrap();
        assert_eq!(space(&page), expected);
    }
}

#[test]
fn the_end_of_a_split_is_noted_also_after_an_image() {
    let left = page(LEAF | FOLLOW_RIGHT, &[entry(1, 16)]);
    let image = Image { bytes: &left.0, hole_offset: 0, hole_len: 0, info: 0, apply: true };
    let main = Bytes::default().u16(0).u16(1).0;
    let bytes = record(PAGE_UPDATE, &main, vec![block(1, 4, &[])]);
    for image in [None, Some(image)] {
        let mut record = bytes.record();
        record.blocks[0].image = image;
        let mut page = left.clone();
        crate::redo(&record, &record.blocks[0], &mut page).unwrap();
        assert_eq!(space(&page), special(END, 9, LEAF));
        assert_eq!(page.lsn(), END);
    }
}

#[test]
fn a_page_without_dead_entries_has_no_garbage() {
    let main = Bytes::default().u32(700).u16(1).u16(2).0;
    let record = record(DELETE, &main, vec![block(0, 4, &[])]);
    let before = page(LEAF | HAS_GARBAGE, &[entry(1, 16), entry(2, 16)]);
    let page = redone(&record, 0, &before).unwrap();
    assert_eq!(items(&page), [entry(1, 16)]);
    assert_eq!(space(&page), special(NSN, 9, LEAF));
}

#[test]
fn a_deleted_page_keeps_a_transaction_and_loses_its_downlink() {
    let main = Bytes::default().u64(0x5_0000_02bc).u16(2).0;
    let blocks = vec![block(0, 4, &[]), block(1, 2, &[])];
    let record = record(PAGE_DELETE, &main, blocks);
    let gone = redone(&record, 0, &page(LEAF, &[])).unwrap();
    let parent = redone(&record, 1, &page(0, &[entry(1, 16), entry(2, 16)])).unwrap();
    assert_eq!(space(&gone), special(NSN, 9, LEAF | DELETED));
    assert_eq!((gone.lower(), gone.array_at(24)), (32, Ok(0x5_0000_02bc_u64.to_le_bytes())));
    assert_eq!(items(&parent), [entry(1, 16)]);
}

#[test]
fn pgwal_4_a_page_without_room_for_a_transaction_is_not_deleted() {
    let record = record(PAGE_DELETE, &[0; 10], vec![block(0, 4, &[])]);
    let mut full = page(LEAF, &[]);
    full.set_upper(24);
    assert!(matches!(redone(&record, 0, &full), Err(RedoError::Mismatch(_))));
    let other = page_with(&[0; 24]);
    assert!(matches!(redone(&record, 0, &other), Err(RedoError::Page(_))));
}

#[test]
fn malformed_records_are_refused_and_change_nothing() {
    let update = |deleted, inserted| Bytes::default().u16(deleted).u16(inserted).0;
    let (none, one, two) = (update(0, 2), update(0, 1), update(1, 0));
    let (empty, split) = (vec![0; 8], split_main(1, 1, 0));
    let pair = [entry(1, 16), entry(2, 16)].concat();
    let cases: [(u8, &[u8], BlockBytes); 8] = [
        (PAGE_UPDATE, &none, block(0, 1, &pair[..16])),
        (PAGE_UPDATE, &one, block(0, 1, &pair)),
        (PAGE_UPDATE, &one, block(0, 1, &empty)),
        (PAGE_UPDATE, &two, block(0, 1, &[9, 0])),
        (PAGE_UPDATE, &one, block(2, 1, &[])),
        (PAGE_SPLIT, &split, block(1, 1, &[0; 4])),
        (PAGE_SPLIT, &split, new_block(2, 1, &[0; 4])),
        (0x20, &split, block(0, 1, &[])),
    ];
    for (kind, main, block) in cases {
        let (record, before) = (record(kind, main, vec![block]), page(LEAF, &[entry(1, 16)]));
        let id = record.record().blocks[0].id;
        redone(&record, id, &before).unwrap_err();
        check_any(&record, &before);
    }
}

#[test]
fn the_mask_hides_what_only_the_server_knows() {
    let entries = [entry(1, 16), entry(2, 16)];
    let mut ours = page(LEAF | FOLLOW_RIGHT | HAS_GARBAGE, &entries);
    let mut theirs = page_with(&special(END, 9, LEAF));
    for entry in &entries {
        theirs.add_item(entry, Place::Any).unwrap();
    }
    let line = theirs.line(2).unwrap();
    theirs.set_line(2, page::Line { state: page::LineState::Dead, ..line }).unwrap();
    theirs.set_prune_xid(5);
    mask(&mut ours).unwrap();
    mask(&mut theirs).unwrap();
    assert!(ours == theirs);
    let mut inner = page(0, &entries);
    mask(&mut inner).unwrap();
    assert_eq!(inner.line(1).unwrap().state, page::LineState::Normal);
    assert!(mask(&mut Page::zeroed()).is_err());
}

fn samples() -> Vec<Sample> {
    let numbers = |numbers: &[u16]| Bytes::default().u16s(numbers).0;
    let replaced = Bytes::default().u16(1).put(&entry(7, 16)).0;
    let pair = [entry(1, 16), entry(2, 24)];
    vec![
        (PAGE_UPDATE, numbers(&[2, 0]), numbers(&[1, 2])),
        (PAGE_UPDATE, numbers(&[0, 2]), pair.concat()),
        (PAGE_UPDATE, numbers(&[1, 1]), replaced),
        (DELETE, numbers(&[7, 0, 2, 1, 2]), vec![]),
        (PAGE_SPLIT, split_main(3, 1, 1), split_data(&pair)),
        (PAGE_DELETE, Bytes::default().u64(700).u16(1).0, vec![]),
    ]
}

proptest! {
    /// PGWAL-1, PGWAL-2, PGWAL-4: records that are nearly right.
    #[test]
    fn pgwal_1_no_record_of_gist_panics(
        record in near_record(Rmgr::Gist, samples()),
        page in prop_oneof![4 => near_page(SPECIAL_BYTES), 1 => any_page()],
    ) {
        check_any(&record, &page);
    }
}
