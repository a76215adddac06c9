use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::page::Place;
use crate::redo::testing::{
    self, BlockBytes, Bytes, RecordBytes, Sample, any_page, check_any, items, near_page,
    near_record, page_with,
};
use crate::rmgr::Rmgr;

const XID: u32 = 741;
const BUILDING: u8 = 1;

fn special(flags: u16, redirects: u16, placeholders: u16) -> Vec<u8> {
    Bytes::default().u16s(&[flags, redirects, placeholders, 0xff82]).0
}

fn space(page: &Page) -> &[u8] {
    page.special_space(8).unwrap()
}

fn page(special: &[u8], tuples: &[Vec<u8>]) -> Box<Page> {
    let mut page = page_with(special);
    for tuple in tuples {
        page.add_item(tuple, Place::Any).unwrap();
    }
    page
}

fn leaf(key: u8, next: u16) -> Vec<u8> {
    Bytes::default().u32(24 << 2).u16(next | 0x8000).put(&[key; 18]).0
}

/// An inner tuple with a prefix and nodes that lead to these blocks, at number 1.
fn inner(nodes: &[u32]) -> Vec<u8> {
    let count = u32::try_from(nodes.len()).unwrap();
    let len = u16::try_from(16 + nodes.len() * 16).unwrap();
    let head = Bytes::default().u32(count << 3 | 8 << 16).u16(len).u16(0).put(b"a prefix");
    let node = |bytes: Bytes, to: &u32| {
        bytes.put(&index_tuple_to(*to, 1)).u16(16 | 0x8000).put(b"label..!")
    };
    nodes.iter().fold(head, node).0
}

fn index_tuple_to(to: u32, number: u16) -> Vec<u8> {
    Bytes::default().u32(to.rotate_left(16)).u16(number).0
}

/// The same with one node leading elsewhere.
fn relinked(mut tuple: Vec<u8>, node: usize, to: u32, number: u16) -> Vec<u8> {
    let at = 16 + node * 16;
    tuple[at..at + 6].copy_from_slice(&index_tuple_to(to, number));
    tuple
}

fn redirect(to: u32, number: u16) -> Vec<u8> {
    Bytes::default().u32(16 << 2 | 1).u16(0).put(&index_tuple_to(to, number)).u32(XID).0
}

fn buried(state: u32) -> Vec<u8> {
    Bytes::default().u32(16 << 2 | state).u16(0).u32(u32::MAX).u16(0).u32(0).0
}

fn dead() -> Vec<u8> {
    buried(2)
}

fn placeholder() -> Vec<u8> {
    buried(3)
}

fn state(bytes: Bytes, building: u8) -> Bytes {
    bytes.u32(XID).u8(building).put(&[0xee; 3])
}

fn record(kind: u8, main: &[u8], blocks: Vec<BlockBytes>) -> RecordBytes {
    blocks.into_iter().fold(RecordBytes::new(Rmgr::SpGist, kind).main(main), RecordBytes::block)
}

fn block(id: u8, number: u32, data: &[u8]) -> BlockBytes {
    BlockBytes::new(id).number(number).data(data)
}

fn new_block(id: u8, number: u32, data: &[u8]) -> BlockBytes {
    block(id, number, data).will_init(true)
}

fn redone(record: &RecordBytes, id: u8, before: Box<Page>) -> Box<Page> {
    testing::redone(record, id, &before).unwrap()
}

fn refused(record: &RecordBytes, id: u8, before: &Page) -> RedoError {
    check_any(record, before);
    testing::redone(record, id, before).unwrap_err()
}

#[test]
fn a_leaf_begins_a_page_and_gets_a_downlink() {
    let main = Bytes::default().u8(1).u8(1).u16s(&[1, 0, 2, 1]).put(&leaf(7, 0)).0;
    let blocks = vec![new_block(0, 0x2_0005, &[]), block(1, 3, &[])];
    let record = record(ADD_LEAF, &main, blocks);
    let first = redone(&record, 0, Page::zeroed());
    assert_eq!(items(&first), [leaf(7, 0)]);
    assert_eq!(space(&first), special(page::LEAF | page::NULLS, 0, 0));
    let parent = redone(&record, 1, page(&special(0, 0, 0), &[inner(&[8]), inner(&[8, 9])]));
    assert_eq!(items(&parent), [inner(&[8]), relinked(inner(&[8, 9]), 1, 0x2_0005, 1)]);
}

#[test]
fn a_leaf_takes_a_placeholder_and_its_head_leads_to_it() {
    let main = Bytes::default().u8(0).u8(0).u16s(&[2, 1, 0, 0]).put(&leaf(7, 3)).0;
    let record = record(ADD_LEAF, &main, vec![block(0, 5, &[])]);
    let before = [leaf(1, 3), placeholder(), leaf(2, 0)];
    let after = redone(&record, 0, page(&special(page::LEAF, 0, 1), &before));
    assert_eq!(items(&after), [leaf(1, 2), leaf(7, 3), leaf(2, 0)]);
    assert_eq!(space(&after), special(page::LEAF, 0, 0));
    let taken = page(&special(page::LEAF, 0, 1), &[leaf(1, 3), dead(), leaf(2, 0)]);
    assert!(matches!(refused(&record, 0, &taken), RedoError::Mismatch(_)));
}

#[test]
fn a_leaf_takes_the_place_of_a_dead_head() {
    let main = Bytes::default().u8(0).u8(0).u16s(&[1, 1, 0, 0]).put(&leaf(7, 0)).0;
    let record = record(ADD_LEAF, &main, vec![block(0, 5, &[])]);
    let after = redone(&record, 0, page(&special(page::LEAF, 0, 0), &[dead(), leaf(2, 0)]));
    assert_eq!(items(&after), [leaf(7, 0), leaf(2, 0)]);
}

fn move_main(building: u8) -> Vec<u8> {
    let head = Bytes::default().u16(2).u8(1).u8(0).u8(0).u8(0xee).u16s(&[1, 0, 0xeeee]);
    let numbers = state(head, building).u16s(&[3, 1]).u16s(&[1, 2, 3]);
    numbers.put(&leaf(4, 0)).put(&leaf(5, 1)).put(&leaf(6, 2)).0
}

#[test]
fn a_chain_moves_and_leaves_a_redirect() {
    for (building, head, counts) in [(0, redirect(9, 3), (1, 1)), (BUILDING, placeholder(), (0, 2))]
    {
        let main = move_main(building);
        let blocks = vec![block(0, 5, &[]), new_block(1, 9, &[]), block(2, 3, &[])];
        let record = record(MOVE_LEAFS, &main, blocks);
        let before = [leaf(1, 0), leaf(2, 0), leaf(3, 1)];
        let from = redone(&record, 0, page(&special(page::LEAF, 0, 0), &before));
        assert_eq!(items(&from), [placeholder(), leaf(2, 0), head]);
        assert_eq!(space(&from), special(page::LEAF, counts.0, counts.1));
        let to = redone(&record, 1, Page::zeroed());
        assert_eq!(items(&to), [leaf(4, 0), leaf(5, 1), leaf(6, 2)]);
        assert_eq!(space(&to), special(page::LEAF, 0, 0));
        let parent = redone(&record, 2, page(&special(0, 0, 0), &[inner(&[5])]));
        assert_eq!(items(&parent), [relinked(inner(&[5]), 0, 9, 3)]);
    }
}

fn node_main(new: u16, new_page: u8, parent_block: u8) -> Vec<u8> {
    let head = Bytes::default().u16(2).u16(new).u8(new_page).u8(parent_block);
    state(head.u16s(&[1, 1, 0xeeee]), 0).put(&inner(&[21, 22, 23])).0
}

#[test]
fn a_node_is_added_in_place() {
    let main = node_main(0, 0, u8::MAX);
    let record = record(ADD_NODE, &main, vec![block(0, 5, &[])]);
    let before = [inner(&[5, 6]), inner(&[21, 22]), inner(&[7])];
    let after = redone(&record, 0, page(&special(0, 0, 0), &before));
    assert_eq!(items(&after), [inner(&[5, 6]), inner(&[21, 22, 23]), inner(&[7])]);
}

#[test]
fn a_tuple_with_a_new_node_moves_and_its_parent_follows() {
    let before = [inner(&[5, 6]), inner(&[21, 22])];
    let led = relinked(inner(&[5, 6]), 1, 8, 2);
    for parent_block in 0..3 {
        let main = node_main(2, 0, parent_block);
        let blocks = vec![block(0, 5, &[]), block(1, 8, &[]), block(2, 11, &[])];
        let record = record(ADD_NODE, &main, blocks);
        let parent_in = |id| if id == parent_block { led.clone() } else { inner(&[5, 6]) };

        let old = redone(&record, 0, page(&special(0, 0, 0), &before));
        assert_eq!(items(&old), [parent_in(0), redirect(8, 2)]);
        assert_eq!(space(&old), special(0, 1, 0));
        let new = redone(&record, 1, page(&special(0, 0, 0), &[inner(&[5, 6])]));
        assert_eq!(items(&new), [parent_in(1), inner(&[21, 22, 23])]);
        let other = page(&special(0, 0, 0), &before);
        if parent_block == 2 {
            let other = redone(&record, 2, other);
            assert_eq!(items(&other), [parent_in(2), inner(&[21, 22])]);
        } else {
            assert!(matches!(refused(&record, 2, &other), RedoError::Unknown { .. }));
        }
    }
}

#[test]
fn a_tuple_is_split_into_two() {
    for same_page in [0, 1] {
        let head = Bytes::default().u16(1).u16(2 - u16::from(same_page == 0)).u8(1 - same_page);
        let main = head.u8(same_page).put(&inner(&[9])).put(&inner(&[21, 22])).0;
        let blocks = vec![block(0, 5, &[]), new_block(1, 9, &[])];
        let record = record(SPLIT_TUPLE, &main, blocks);
        let whole = page(&special(0, 0, 1), &[inner(&[21]), placeholder()]);
        let prefix = redone(&record, 0, whole);
        let second = if same_page == 1 { inner(&[21, 22]) } else { placeholder() };
        assert_eq!(items(&prefix), [inner(&[9]), second]);
        if same_page == 0 {
            let postfix = redone(&record, 1, Page::zeroed());
            assert_eq!(items(&postfix), [inner(&[21, 22])]);
            assert_eq!(space(&postfix), special(0, 0, 0));
        } else {
            assert!(matches!(refused(&record, 1, &Page::zeroed()), RedoError::Unknown { .. }));
        }
    }
}

/// A chain of two is split over source and target.
fn split_main(root: u8, new_inner: u8, inner_is_parent: u8, inner_number: u16) -> Vec<u8> {
    let head = Bytes::default().u8(root).u8(0xee).u16(2).u16(3).u8(0).u8(1).u16(inner_number);
    let head = head.u8(new_inner).u8(0).u8(inner_is_parent).u8(0xee).u16s(&[1, 0, 0xeeee]);
    let numbers = state(head, 0).u16s(&[3, 2]).u16s(&[2, 1, 2]).put(&[0, 1, 1]);
    numbers.put(&inner(&[5, 6])).put(&leaf(4, 0)).put(&leaf(5, 0)).put(&leaf(6, 0)).0
}

#[test]
fn a_leaf_page_is_split_under_a_new_inner_tuple() {
    let main = split_main(0, 0, 0, 2);
    let blocks = vec![block(0, 5, &[]), new_block(1, 6, &[]), block(2, 7, &[]), block(3, 8, &[])];
    let record = record(PICKSPLIT, &main, blocks);
    let before = [leaf(1, 0), leaf(2, 0), leaf(3, 2)];
    let source = redone(&record, 0, page(&special(page::LEAF, 0, 0), &before));
    assert_eq!(items(&source), [leaf(1, 0), leaf(4, 0), redirect(7, 2)]);
    assert_eq!(space(&source), special(page::LEAF, 1, 0));
    let target = redone(&record, 1, Page::zeroed());
    assert_eq!(items(&target), [leaf(5, 0), leaf(6, 0)]);
    let above = redone(&record, 2, page(&special(0, 0, 0), &[inner(&[1])]));
    assert_eq!(items(&above), [inner(&[1]), inner(&[5, 6])]);
    let parent = redone(&record, 3, page(&special(0, 0, 0), &[inner(&[5])]));
    assert_eq!(items(&parent), [relinked(inner(&[5]), 0, 7, 2)]);
}

#[test]
fn a_split_may_put_its_inner_tuple_beside_the_parent_or_into_the_root() {
    let main = split_main(0, 0, 1, 2);
    let beside = record(PICKSPLIT, &main, vec![block(2, 7, &[])]);
    let above = redone(&beside, 2, page(&special(0, 0, 0), &[inner(&[5])]));
    assert_eq!(items(&above), [relinked(inner(&[5]), 0, 7, 2), inner(&[5, 6])]);

    let main = split_main(1, 1, 0, 1);
    let blocks = vec![block(0, 1, &[]), new_block(2, 1, &[])];
    let root = record(PICKSPLIT, &main, blocks);
    let new = redone(&root, 2, page(&special(page::LEAF, 0, 0), &[leaf(1, 0)]));
    assert_eq!(items(&new), [inner(&[5, 6])]);
    assert_eq!(space(&new), special(0, 0, 0));
    assert!(matches!(refused(&root, 0, &Page::zeroed()), RedoError::Unknown { .. }));
}

#[test]
fn vacuum_buries_moves_and_closes_gaps() {
    let head = state(Bytes::default().u16s(&[1, 1, 1, 1]), 0);
    let main = head.u16s(&[1]).u16s(&[2]).u16s(&[4]).u16s(&[3]).u16s(&[3]).u16s(&[5]).0;
    let record = record(VACUUM_LEAF, &main, vec![block(0, 5, &[])]);
    let before = [leaf(1, 0), leaf(2, 0), leaf(3, 4), leaf(4, 2), leaf(5, 0)];
    let after = redone(&record, 0, page(&special(page::LEAF, 0, 0), &before));
    assert_eq!(items(&after), [dead(), placeholder(), leaf(4, 5), placeholder(), leaf(5, 0)]);
    assert_eq!(space(&after), special(page::LEAF, 0, 2));
}

#[test]
fn vacuum_of_a_root_leaves_no_tombstones() {
    let main = state(Bytes::default().u16(2).u16(0xeeee), 0).u16s(&[1, 3]).0;
    let record = record(VACUUM_ROOT, &main, vec![block(0, 1, &[])]);
    let before = [leaf(1, 0), leaf(2, 0), leaf(3, 0)];
    let after = redone(&record, 0, page(&special(page::LEAF, 0, 0), &before));
    assert_eq!(items(&after), [leaf(2, 0)]);
    assert_eq!(space(&after), special(page::LEAF, 0, 0));
}

#[test]
fn vacuum_forgets_redirects_and_drops_what_is_last() {
    let main = Bytes::default().u16(2).u16(3).u32(XID).u16s(&[1, 4]).0;
    let record = record(VACUUM_REDIRECT, &main, vec![block(0, 5, &[])]);
    let before = [redirect(8, 1), leaf(2, 0), placeholder(), redirect(8, 2)];
    let after = redone(&record, 0, page(&special(page::LEAF, 2, 1), &before));
    let mut forgotten = placeholder();
    forgotten[12..].copy_from_slice(&XID.to_le_bytes());
    assert_eq!(items(&after), [forgotten, leaf(2, 0)]);
    assert_eq!(space(&after), special(page::LEAF, 0, 1));
}

#[test]
fn malformed_records_are_refused_and_change_nothing() {
    let leaf_main = Bytes::default().u8(0).u8(0).u16s(&[9, 0, 1, 5]).put(&leaf(7, 3)).0;
    let (moved, node) = (move_main(0), node_main(2, 0, 1));
    let cases: [(u8, &[u8], Vec<BlockBytes>); 8] = [
        (ADD_LEAF, &leaf_main, vec![block(0, 1, &[])]),
        (ADD_LEAF, &leaf_main, vec![new_block(0, 1, &[])]),
        (ADD_LEAF, &leaf_main[..30], vec![block(0, 1, &[])]),
        (ADD_LEAF, &leaf_main, vec![block(1, 1, &[]), block(0, 2, &[])]),
        (MOVE_LEAFS, &moved, vec![block(0, 1, &[])]),
        (MOVE_LEAFS, &moved, vec![block(1, 1, &[])]),
        (ADD_NODE, &node, vec![block(0, 1, &[])]),
        (0x00, &node, vec![block(0, 1, &[])]),
    ];
    for (kind, main, blocks) in cases {
        let record = record(kind, main, blocks);
        let id = record.record().blocks[0].id;
        refused(&record, id, &page(&special(0, 0, 0), &[inner(&[1, 2])]));
    }
}

#[test]
fn the_mask_hides_hints_and_what_is_unused() {
    let tuples = [leaf(1, 0), leaf(2, 0)];
    let mut ours = page(&special(page::LEAF, 0, 0), &tuples);
    let mut theirs = ours.clone();
    theirs.set_lsn(testing::END);
    theirs.set_prune_xid(5);
    theirs.put(theirs.lower(), b"old").unwrap();
    let mut others = page(&special(page::LEAF, 0, 1), &tuples);
    for page in [&mut ours, &mut theirs, &mut others] {
        mask(page).unwrap();
    }
    assert!(ours == theirs && ours != others);
    mask(&mut Page::zeroed()).unwrap();
}

fn samples() -> Vec<Sample> {
    let add = Bytes::default().u8(0).u8(0).u16s(&[2, 1, 1, 0]).put(&leaf(7, 3)).0;
    let split = Bytes::default().u16s(&[1, 2]).u8(0).u8(0).put(&inner(&[9])).put(&inner(&[2]));
    let vacuum = state(Bytes::default().u16s(&[1, 1, 1, 1]), 0).u16s(&[1, 2, 4, 3, 3, 5]);
    let root = state(Bytes::default().u16s(&[2, 0]), 0).u16s(&[1, 3]);
    let redirects = Bytes::default().u16(2).u16(3).u32(XID).u16s(&[1, 4]);
    let samples = [
        (ADD_LEAF, add),
        (MOVE_LEAFS, move_main(0)),
        (ADD_NODE, node_main(2, 0, 1)),
        (SPLIT_TUPLE, split.0),
        (PICKSPLIT, split_main(0, 0, 0, 2)),
        (PICKSPLIT, split_main(1, 1, 1, 1)),
        (VACUUM_LEAF, vacuum.0),
        (VACUUM_ROOT, root.0),
        (VACUUM_REDIRECT, redirects.0),
    ];
    samples.into_iter().map(|(kind, main)| (kind, main, vec![])).collect()
}

proptest! {
    /// PGWAL-1, PGWAL-2, PGWAL-4: records that are nearly right.
    #[test]
    fn pgwal_1_no_record_of_spgist_panics(
        record in near_record(Rmgr::SpGist, samples()),
        page in prop_oneof![4 => near_page(8), 1 => any_page()],
    ) {
        check_any(&record, &page);
    }
}
