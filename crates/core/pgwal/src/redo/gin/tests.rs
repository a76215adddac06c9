use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::testing::{BlockBytes, END, RecordBytes, any_page, check_any, redone};
use super::*;
use crate::page::Place;
use crate::rmgr::Rmgr;

fn record(kind: u8) -> RecordBytes {
    RecordBytes::new(Rmgr::Gin, kind)
}

fn page_with(flags: u16) -> Box<Page> {
    let mut page = Page::zeroed();
    init(&mut page, flags).unwrap();
    page
}

/// An index tuple: an address, a length, and bytes.
fn tuple(fill: u8, len: usize) -> Vec<u8> {
    let mut tuple = vec![fill; len];
    tuple[6..8].copy_from_slice(&(u16::try_from(len).unwrap() | 0x4000).to_le_bytes());
    tuple
}

fn items(page: &Page) -> Vec<Vec<u8>> {
    (1..=page.item_count()).map(|number| page.item(number).unwrap().to_vec()).collect()
}

fn list(addresses: &[u64]) -> Vec<u8> {
    posting_list::encode(addresses).unwrap()
}

fn plain(addresses: &[u64]) -> Vec<u8> {
    let tid = |address: &u64| {
        let block = u32::try_from(address >> 11).unwrap();
        super::super::tid::Tid { block, item: u16::try_from(address & 0x7ff).unwrap() }.bytes()
    };
    addresses.iter().flat_map(tid).collect()
}

fn leaf(lists: &[u8]) -> Box<Page> {
    let mut page = page_with(flag::DATA | flag::LEAF | flag::COMPRESSED);
    posting_tree::set_data(lists, &mut page).unwrap();
    page
}

/// Lists or posting items of a page.
fn data(page: &Page) -> &[u8] {
    &page.0[posting_tree::DATA_AT..page.lower()]
}

fn posting_item(child: u8, key: u8) -> [u8; 10] {
    [0, 0, child, 0, 0, 0, key, 0, 1, 0]
}

fn inner(items: &[[u8; 10]]) -> Box<Page> {
    let mut page = page_with(flag::DATA);
    let count = u16::try_from(items.len()).unwrap();
    Opaque { right: 9, count, flags: flag::DATA }.write(&mut page).unwrap();
    posting_tree::set_data(&items.concat(), &mut page).unwrap();
    page
}

#[test]
fn a_posting_list_is_packed_as_postgresql_packs_it() {
    let addresses = [1 << 11 | 1, 1 << 11 | 2, 2 << 11 | 1, 0xffff_ffff << 11 | 5];
    let packed = list(&addresses);
    let distances = [1, 0xff, 0x0f, 0x84, 0xd0, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(packed[..8], [0, 0, 1, 0, 1, 0, 10, 0]);
    assert_eq!(packed[8..], distances);
    assert_eq!(posting_list::decode(&packed).unwrap(), addresses);
    assert_eq!(list(&[5, 6]), [0, 0, 0, 0, 5, 0, 1, 0, 1, 0]);
}

#[test]
fn a_posting_tree_begins_as_a_leaf() {
    let lists = list(&[3, 70, 5000]);
    let len = u32::try_from(lists.len()).unwrap().to_le_bytes();
    let record =
        record(CREATE_POSTING_TREE).main(&[&len[..], &lists].concat()).block(BlockBytes::new(0));
    let page = redone(&record, 0, &Page::zeroed()).unwrap();
    assert_eq!(data(&page), lists);
    assert_eq!(Opaque::of(&page).unwrap(), Opaque { right: NO_BLOCK, count: 0, flags: 0x83 });
    assert_eq!((page.lower(), page.upper(), page.lsn()), (32 + lists.len(), 8184, END));
}

#[test]
fn an_entry_is_inserted_or_replaced() {
    let mut before = page_with(flag::LEAF);
    before.add_item(&tuple(1, 16), Place::Insert(1)).unwrap();
    before.add_item(&tuple(2, 24), Place::Insert(2)).unwrap();
    let insert = |item: u8, replaces: u8| {
        let entry = [&[item, 0, replaces, 0][..], &tuple(9, 40)].concat();
        record(INSERT).main(&[2, 0]).block(BlockBytes::new(0).data(&entry))
    };
    let page = redone(&insert(2, 0), 0, &before).unwrap();
    assert_eq!(items(&page), [tuple(1, 16), tuple(9, 40), tuple(2, 24)]);
    let page = redone(&insert(2, 1), 0, &before).unwrap();
    assert_eq!(items(&page), [tuple(1, 16), tuple(9, 40)]);
    assert!(redone(&insert(4, 0), 0, &before).is_err());
    let other_tree = page_with(flag::LEAF | flag::DATA);
    assert!(matches!(redone(&insert(1, 0), 0, &other_tree), Err(RedoError::Mismatch(_))));
}

#[test]
fn an_inner_entry_leads_to_the_right_half() {
    let mut before = page_with(0);
    before.add_item(&tuple(1, 16), Place::Insert(1)).unwrap();
    let entry = [&[1, 0, 0, 0][..], &tuple(9, 16)].concat();
    let record = record(INSERT)
        .main(&[0, 0, 0, 0, 7, 0, 2, 0, 8, 0])
        .block(BlockBytes::new(0).data(&entry))
        .block(BlockBytes::new(1));
    let page = redone(&record, 0, &before).unwrap();
    let mut moved = tuple(1, 16);
    moved[..6].copy_from_slice(&[2, 0, 8, 0, 0, 0]);
    assert_eq!(items(&page), [tuple(9, 16), moved]);
    let child = page_with(flag::INCOMPLETE_SPLIT | flag::LEAF);
    let page = redone(&record, 1, &child).unwrap();
    assert_eq!(Opaque::of(&page).unwrap().flags, flag::LEAF);
}

#[test]
fn a_posting_item_is_inserted_before_the_right_half() {
    let before = inner(&[posting_item(1, 10), posting_item(2, 20)]);
    let item = [&[2, 0][..], &posting_item(2, 15)].concat();
    let record =
        record(INSERT).main(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0]).block(BlockBytes::new(0).data(&item));
    let page = redone(&record, 0, &before).unwrap();
    let after = [posting_item(1, 10), posting_item(2, 15), posting_item(3, 20)];
    assert_eq!(data(&page), after.concat());
    assert_eq!(Opaque::of(&page).unwrap(), Opaque { right: 9, count: 3, flags: flag::DATA });
    let full = inner(&vec![posting_item(1, 1); 815]);
    assert!(matches!(redone(&record, 0, &full), Err(RedoError::Mismatch(_))));
}

#[test]
fn pgwal_4_posting_items_that_reach_into_items_are_refused() {
    let mut before = inner(&[posting_item(1, 10), posting_item(2, 20)]);
    before.set_upper(56);
    let item = [&[2, 0][..], &posting_item(2, 15)].concat();
    let record =
        record(INSERT).main(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0]).block(BlockBytes::new(0).data(&item));
    assert!(matches!(redone(&record, 0, &before), Err(RedoError::Mismatch(_))));
}

#[test]
fn a_deleted_page_is_unlinked() {
    let record = record(DELETE_PAGE)
        .main(&[2, 0, 0, 0, 77, 0, 0, 0, 0xe8, 3, 0, 0])
        .block(BlockBytes::new(0))
        .block(BlockBytes::new(1))
        .block(BlockBytes::new(2));
    let gone = redone(&record, 0, &leaf(&list(&[1]))).unwrap();
    assert_eq!(gone.prune_xid(), 1000);
    let flags = flag::DATA | flag::LEAF | flag::COMPRESSED | flag::DELETED;
    assert_eq!(Opaque::of(&gone).unwrap(), Opaque { right: NO_BLOCK, count: 0, flags });
    let items = [1, 2, 3].map(|child| posting_item(child, child));
    let parent = redone(&record, 1, &inner(&items)).unwrap();
    assert_eq!(data(&parent), [items[0], items[2]].concat());
    assert_eq!(Opaque::of(&parent).unwrap().count, 2);
    let left = redone(&record, 2, &leaf(&[])).unwrap();
    assert_eq!(Opaque::of(&left).unwrap().right, 77);
}

#[test]
fn a_split_is_its_images_and_the_end_of_another() {
    let mut main = [0; 28];
    main[24] = 1;
    let inner = record(SPLIT).main(&main).block(BlockBytes::new(0)).block(BlockBytes::new(3));
    assert!(matches!(redone(&inner, 0, &leaf(&[])), Err(RedoError::Record(_))));
    let child = page_with(flag::DATA | flag::INCOMPLETE_SPLIT);
    let page = redone(&inner, 3, &child).unwrap();
    assert_eq!(Opaque::of(&page).unwrap().flags, flag::DATA);
    main[24] = 3;
    let of_leaf = record(SPLIT).main(&main).block(BlockBytes::new(3));
    assert!(matches!(redone(&of_leaf, 3, &child), Err(RedoError::Unknown { block: 3, .. })));
    let vacuum = record(VACUUM_PAGE).block(BlockBytes::new(0));
    assert!(matches!(redone(&vacuum, 0, &leaf(&[])), Err(RedoError::Record(_))));
}

fn meta_record(tail_before: u32, tuples: i32, data: &[u8]) -> RecordBytes {
    let meta: Vec<u8> = (1..=56).collect();
    let main = [&[0; 16][..], &meta, &tail_before.to_le_bytes(), &66_u32.to_le_bytes()].concat();
    record(UPDATE_META_PAGE)
        .main(&[&main[..], &tuples.to_le_bytes(), &[0; 4]].concat())
        .block(BlockBytes::new(0))
        .block(BlockBytes::new(1).data(data))
}

#[test]
fn the_metapage_and_the_tail_of_the_pending_list_are_updated() {
    let tuples = [tuple(3, 16), tuple(4, 24)];
    let record = meta_record(5, 2, &tuples.concat());
    let meta = redone(&record, 0, &Page::zeroed()).unwrap();
    assert_eq!(meta.0[24..80], (1..=56).collect::<Vec<u8>>());
    assert_eq!((meta.lower(), Opaque::of(&meta).unwrap().flags), (80, flag::META));
    let mut tail = page_with(flag::LIST | flag::LIST_FULL_ROW);
    tail.add_item(&tuple(1, 32), Place::Insert(1)).unwrap();
    let added = redone(&record, 1, &tail).unwrap();
    assert_eq!(items(&added), [&[tuple(1, 32)][..], &tuples].concat());
    assert_eq!(Opaque::of(&added).unwrap().count, 1);
    let linked = redone(&meta_record(5, 0, &[]), 1, &tail).unwrap();
    assert_eq!(Opaque::of(&linked).unwrap().right, 66);
    let first = redone(&meta_record(NO_BLOCK, 0, &[]), 1, &tail);
    assert!(matches!(first, Err(RedoError::Unknown { .. })));
    let counted_wrong = redone(&meta_record(5, 1, &tuples.concat()), 1, &tail);
    assert!(matches!(counted_wrong, Err(RedoError::Record(_))));
    let endless = redone(&meta_record(5, i32::MAX, &[0; 64]), 1, &tail);
    assert!(matches!(endless, Err(RedoError::Record(_))));
}

#[test]
fn pages_of_the_pending_list_come_and_go() {
    let tuples = [tuple(3, 16), tuple(4, 24)].concat();
    let listed = |right: u32| {
        let main = [right.to_le_bytes(), 2_i32.to_le_bytes()].concat();
        let record = record(INSERT_LIST_PAGE).main(&main).block(BlockBytes::new(0).data(&tuples));
        redone(&record, 0, &Page::zeroed()).unwrap()
    };
    assert_eq!(Opaque::of(&listed(8)).unwrap(), Opaque { right: 8, count: 0, flags: 0x10 });
    let tail = Opaque { right: NO_BLOCK, count: 1, flags: 0x30 };
    assert_eq!((Opaque::of(&listed(NO_BLOCK)).unwrap(), listed(8).item_count()), (tail, 2));
    let record = record(DELETE_LIST_PAGES)
        .main(&[&[7; 56][..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat())
        .block(BlockBytes::new(0))
        .block(BlockBytes::new(1))
        .block(BlockBytes::new(2));
    assert_eq!(redone(&record, 0, &Page::zeroed()).unwrap().0[24..80], [7; 56]);
    let gone = redone(&record, 1, &listed(8)).unwrap();
    assert_eq!(gone.item_count(), 0);
    assert_eq!(Opaque::of(&gone).unwrap().flags, flag::DELETED);
    assert!(matches!(redone(&record, 2, &listed(8)), Err(RedoError::Unknown { .. })));
}

#[test]
fn a_leaf_of_old_is_packed_before_it_is_changed() {
    let mut before = page_with(flag::DATA | flag::LEAF);
    Opaque { right: 4, count: 3, flags: flag::DATA | flag::LEAF }.write(&mut before).unwrap();
    before.put(32, &plain(&[10, 20, 30])).unwrap();
    let actions = [&[1, 0, 0, 4, 1, 0][..], &plain(&[25])].concat();
    let record = record(VACUUM_POSTING_LEAF).block(BlockBytes::new(0).data(&actions));
    let page = redone(&record, 0, &before).unwrap();
    assert_eq!(data(&page), list(&[10, 20, 25, 30]));
    assert_eq!(Opaque::of(&page).unwrap(), Opaque { right: 4, count: 0, flags: 0x83 });
}

#[test]
fn only_what_the_log_determines_is_compared() {
    let masked = |flags: u16| {
        let mut page = page_with(flags);
        page.add_item(&tuple(1, 16), Place::Insert(1)).unwrap();
        page.set_lsn(END);
        page.set_prune_xid(5);
        page.0[100] = 1;
        mask(&mut page).unwrap();
        page
    };
    let page = masked(flag::LEAF);
    assert_eq!((page.lsn().0, page.prune_xid(), page.0[100]), (0, 0, 0));
    assert_eq!(items(&page), [tuple(1, 16)]);
    let page = masked(flag::DATA | flag::DELETED);
    assert!(page.0[24..].iter().all(|byte| *byte == 0));
    assert_eq!((page.lower(), page.upper(), page.special()), (0, 0, 8184));
    let mut empty = page_with(flag::LEAF);
    empty.0[100] = 1;
    mask(&mut empty).unwrap();
    assert_eq!(empty.0[100], 1, "a page without a lower of its own is compared whole");
}

/// What is done to the lists of a leaf, on numbers.
#[derive(Clone, Debug)]
enum Action {
    Keep,
    Delete,
    Insert(Vec<u64>),
    Replace(Vec<u64>),
    Add(Vec<u64>),
}

fn some_addresses() -> impl Strategy<Value = Vec<u64>> {
    let address = prop_oneof![0..5000_u64, 0..1_u64 << 43];
    proptest::collection::btree_set(address, 1..30).prop_map(|set| set.into_iter().collect())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => Just(Action::Keep),
        1 => Just(Action::Delete),
        1 => some_addresses().prop_map(Action::Insert),
        1 => some_addresses().prop_map(Action::Replace),
        2 => some_addresses().prop_map(Action::Add),
    ]
}

/// The actions as a record has them, and the lists after them.
fn model(lists: &[Vec<u64>], actions: &[Action]) -> (Vec<u8>, Vec<Vec<u64>>) {
    let (mut count, mut bytes, mut after) = (0_u16, Vec::new(), Vec::new());
    let mut left = (0_u8..).zip(lists);
    let mut number = 0;
    let mut act = |number: u8, kind: u8, payload: &[u8]| {
        count += 1;
        bytes.extend_from_slice(&[number, kind]);
        bytes.extend_from_slice(payload);
    };
    for action in actions {
        if let Action::Insert(new) = action {
            act(number, 2, &list(new));
            after.push(new.clone());
            continue;
        }
        let Some((at, old)) = left.next() else { break };
        number = at + 1;
        match action {
            Action::Delete => act(at, 1, &[]),
            Action::Replace(new) => {
                act(at, 3, &list(new));
                after.push(new.clone());
            }
            Action::Add(new) => {
                let len = u16::try_from(new.len()).unwrap().to_le_bytes();
                act(at, 4, &[&len[..], &plain(new)].concat());
                let both: alloc::collections::BTreeSet<u64> =
                    old.iter().chain(new).copied().collect();
                after.push(both.into_iter().collect());
            }
            Action::Keep | Action::Insert(_) => after.push(old.clone()),
        }
    }
    after.extend(left.map(|(_, old)| old.clone()));
    ([&count.to_le_bytes()[..], &bytes].concat(), after)
}

fn pack(lists: &[Vec<u64>]) -> Vec<u8> {
    lists.iter().flat_map(|addresses| list(addresses)).collect()
}

proptest! {
    #[test]
    fn posting_lists_come_back(addresses in some_addresses()) {
        let packed = list(&addresses);
        assert_eq!(posting_list::decode(&packed).unwrap(), addresses);
        assert_eq!(posting_list::addresses(&plain(&addresses)).unwrap(), addresses);
    }

    #[test]
    fn posting_lists_are_changed_as_their_addresses_are(
        lists in proptest::collection::vec(some_addresses(), 0..6),
        actions in proptest::collection::vec(action(), 1..10),
    ) {
        let (data_of_block, after) = model(&lists, &actions);
        let record = record(INSERT).main(&[3, 0]).block(BlockBytes::new(0).data(&data_of_block));
        let before = leaf(&pack(&lists));
        let page = redone(&record, 0, &before);
        if data_of_block.starts_with(&[0, 0]) {
            assert!(matches!(page, Err(RedoError::Record(_))));
        } else {
            let page = page.unwrap();
            assert_eq!(data(&page), pack(&after));
            let end = page.lower().max(before.lower());
            assert_eq!(page.0[end..], before.0[end..]);
        }
    }

    /// PGWAL-1, PGWAL-2, PGWAL-4: records that are nearly right. on pages that are nearly theirs.
    #[test]
    fn pgwal_1_no_change_of_posting_lists_panics(
        lists in proptest::collection::vec(some_addresses(), 0..6),
        actions in proptest::collection::vec(action(), 1..10),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        page_damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (mut data_of_block, _) = model(&lists, &actions);
        for (at, byte) in damage {
            let at = at.index(data_of_block.len());
            data_of_block[at] = byte;
        }
        let mut page = leaf(&pack(&lists));
        let used = page.lower();
        for (at, byte) in page_damage {
            page.0[at.index(used)] = byte;
        }
        let block = BlockBytes::new(0).data(&data_of_block);
        check_any(&record(VACUUM_POSTING_LEAF).block(block), &page);
    }

    /// PGWAL-1, PGWAL-2
    #[test]
    fn pgwal_1_no_posting_list_panics(
        data_of_block in proptest::collection::vec(any::<u8>(), 0..400),
        lists in proptest::collection::vec(any::<u8>(), 0..400),
        flags in 0..0x100_u16,
        other in any_page(),
    ) {
        let record = record(INSERT).main(&[3, 0]).block(BlockBytes::new(0).data(&data_of_block));
        let mut page = leaf(&lists);
        check_any(&record, &page);
        let opaque = Opaque::of(&page).unwrap();
        Opaque { flags, ..opaque }.write(&mut page).unwrap();
        check_any(&record, &page);
        check_any(&record, &other);
    }
}
