use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::testing::{BlockBytes, END, RecordBytes, any_page, check_any, redone};
use super::opaque::{DELETED, HALF_DEAD, HAS_FULL_XID, META, ROOT};
use super::*;
use crate::rmgr::Rmgr;

/// Flags that each test sees kept or cleared.
const ALL_HINTS: u16 = HAS_GARBAGE | INCOMPLETE_SPLIT | SPLIT_END;

fn record(kind: u8, main: &[u8]) -> RecordBytes {
    RecordBytes::new(Rmgr::Btree, kind).main(main)
}

fn halves(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn tid(row: u16) -> Vec<u8> {
    halves(&[0, 1, row])
}

/// An entry for one row.
fn entry(key: u64, row: u16) -> Vec<u8> {
    [&tid(row)[..], &halves(&[16]), &key.to_le_bytes()].concat()
}

/// An entry for several rows.
fn list(key: u64, rows: &[u16]) -> Vec<u8> {
    let count = u16::try_from(rows.len()).unwrap();
    let len = (16 + 6 * count).next_multiple_of(8);
    let header = halves(&[0, 16, 0x2000 | count, 0x2000 | len]);
    let rows: Vec<u8> = rows.iter().flat_map(|row| tid(*row)).collect();
    let mut made = [&header[..], &key.to_le_bytes(), &rows].concat();
    made.resize(usize::from(len), 0);
    made
}

/// An entry of an inner page.
fn link(key: u64, block: u32) -> Vec<u8> {
    let mut made = entry(key, 0);
    made[..4].copy_from_slice(&block_number_bytes(block));
    made
}

fn page(opaque: Opaque, items: &[Vec<u8>]) -> Box<Page> {
    let mut page = Page::zeroed();
    opaque.init(&mut page).unwrap();
    for item in items {
        append(&mut page, item).unwrap();
    }
    page
}

/// A leaf with siblings 7 and 8 on its left and right.
fn leaf(items: &[Vec<u8>]) -> Box<Page> {
    page(Opaque { previous: 7, next: 8, level: 0, flags: LEAF | ALL_HINTS, cycle: 3 }, items)
}

fn items(page: &Page) -> Vec<Vec<u8>> {
    (1..=page.item_count()).map(|number| page.item(number).unwrap().to_vec()).collect()
}

#[test]
fn an_entry_is_inserted() {
    let insert = record(INSERT_LEAF, &halves(&[2]))
        .block(BlockBytes::new(0).data(&entry(5, 2)))
        .block(BlockBytes::new(1));
    let before = leaf(&[entry(9, 0), entry(6, 3)]);
    let after = redone(&insert, 0, &before).unwrap();
    assert_eq!(items(&after), [entry(9, 0), entry(5, 2), entry(6, 3)]);
    assert_eq!((Opaque::of(&after), after.lsn()), (Opaque::of(&before), END));
    assert!(matches!(redone(&insert, 0, &leaf(&[])), Err(RedoError::Page(_))));
    assert!(matches!(redone(&insert, 1, &before), Err(RedoError::Unknown { .. })));
    let upper = record(INSERT_UPPER, &halves(&[2])).block(BlockBytes::new(1));
    let child = Opaque::of(&redone(&upper, 1, &before).unwrap()).unwrap();
    assert_eq!(child.flags, LEAF | HAS_GARBAGE | SPLIT_END);
}

#[test]
fn an_entry_within_a_posting_list_takes_its_last_row() {
    let insert = |number, index| {
        let data = [halves(&[index]), entry(4, 5)].concat();
        record(INSERT_POST, &halves(&[number])).block(BlockBytes::new(0).data(&data))
    };
    let before = leaf(&[entry(9, 0), list(4, &[1, 3, 8, 9]), entry(6, 3)]);
    let after = redone(&insert(3, 2), 0, &before).unwrap();
    assert_eq!(items(&after), [entry(9, 0), list(4, &[1, 3, 5, 8]), entry(4, 9), entry(6, 3)]);
    for (number, index) in [(3, 0), (3, 4), (2, 2), (0, 2), (9, 2)] {
        assert!(redone(&insert(number, index), 0, &before).is_err(), "{number} {index}");
    }
}

fn split_record(kind: u8, numbers: [u16; 3], level: u32, data: &[u8]) -> RecordBytes {
    let right = [entry(8, 4), entry(6, 3)].concat();
    record(kind, &[words(&[level]), halves(&numbers)].concat())
        .block(BlockBytes::new(0).number(20).data(data))
        .block(BlockBytes::new(1).number(21).data(&right))
        .block(BlockBytes::new(2).number(8))
        .block(BlockBytes::new(3).number(5))
}

#[test]
fn a_page_is_split() {
    let before = leaf(&[entry(9, 0), entry(1, 1), entry(2, 2), entry(6, 3), entry(8, 4)]);
    let split = split_record(SPLIT_L, [4, 3, 0], 0, &[entry(2, 1), entry(6, 0)].concat());
    let left = redone(&split, 0, &before).unwrap();
    assert_eq!(items(&left), [entry(6, 0), entry(1, 1), entry(2, 1), entry(2, 2)]);
    let flags = LEAF | INCOMPLETE_SPLIT;
    let opaque = Opaque { previous: 7, next: 21, level: 0, flags, cycle: 0 };
    assert_eq!(Opaque::of(&left).unwrap(), opaque);
    let right = redone(&split, 1, &before).unwrap();
    assert_eq!(items(&right), [entry(6, 3), entry(8, 4)], "the last one lies first");
    let opaque = Opaque { previous: 20, next: 8, level: 0, flags: LEAF, cycle: 0 };
    assert_eq!(Opaque::of(&right).unwrap(), opaque);
    let behind = Opaque::of(&redone(&split, 2, &before).unwrap()).unwrap();
    assert_eq!(behind, Opaque { previous: 21, ..Opaque::of(&before).unwrap() });
    assert!(matches!(redone(&split, 3, &before), Err(RedoError::Unknown { .. })));
    let inner = split_record(SPLIT_R, [4, 4, 0], 1, &entry(6, 0));
    let child = Opaque::of(&redone(&inner, 3, &before).unwrap()).unwrap();
    assert_eq!(child.flags & INCOMPLETE_SPLIT, 0);
    let left = redone(&inner, 0, &before).unwrap();
    assert_eq!(items(&left), [entry(6, 0), entry(1, 1), entry(2, 2)]);
    assert_eq!(Opaque::of(&left).unwrap().flags, INCOMPLETE_SPLIT);
    let long = split_record(SPLIT_R, [40, 4, 0], 0, &entry(6, 0));
    assert_eq!(redone(&long, 0, &before), Err(PageError::NoItem(6).into()));
}

#[test]
fn the_new_entry_may_be_the_last_one_on_the_left() {
    let before = leaf(&[entry(9, 0), entry(1, 1), entry(2, 2), entry(6, 3)]);
    let split = split_record(SPLIT_L, [4, 4, 0], 0, &[entry(3, 1), entry(6, 0)].concat());
    let left = redone(&split, 0, &before).unwrap();
    assert_eq!(items(&left), [entry(6, 0), entry(1, 1), entry(2, 2), entry(3, 1)]);
}

#[test]
fn a_posting_list_is_split_with_its_page() {
    let before = leaf(&[entry(9, 0), entry(1, 1), list(4, &[2, 4, 6]), entry(6, 3)]);
    let data = [entry(4, 3), entry(6, 0)].concat();
    let both_left = split_record(SPLIT_L, [5, 4, 1], 0, &data);
    let left = redone(&both_left, 0, &before).unwrap();
    let list_and_entry = [entry(6, 0), entry(1, 1), list(4, &[2, 3, 4]), entry(4, 6), entry(6, 3)];
    assert_eq!(items(&left), list_and_entry);
    let entry_right = split_record(SPLIT_R, [4, 4, 1], 0, &data);
    let left = redone(&entry_right, 0, &before).unwrap();
    assert_eq!(items(&left), list_and_entry[..3]);
    let no_list = split_record(SPLIT_R, [4, 3, 1], 0, &data);
    assert!(matches!(redone(&no_list, 0, &before), Err(RedoError::Mismatch(_))));
}

#[test]
fn what_cannot_be_entries_is_refused() {
    let right = |data: &[u8]| {
        let block = BlockBytes::new(1).data(data);
        record(SPLIT_L, &[0; 10]).block(BlockBytes::new(0)).block(block)
    };
    for data in [&[0; 8][..], &[1; 7], &entry(1, 1)[..12], &halves(&[0, 0, 0, 7])] {
        let refused = redone(&right(data), 1, &leaf(&[]));
        assert!(matches!(refused, Err(RedoError::Record(_))), "{data:?}");
    }
    let many = entry(1, 1).repeat(4000);
    assert_eq!(redone(&right(&many), 1, &leaf(&[])), Err(PageError::Full(16).into()));
}

#[test]
fn entries_with_one_key_are_merged() {
    let deduplicate = |count, data: &[u16]| {
        record(DEDUP, &halves(&[count])).block(BlockBytes::new(0).data(&halves(data)))
    };
    let before = leaf(&[
        entry(9, 0),
        entry(1, 1),
        entry(2, 2),
        list(2, &[3, 4]),
        entry(2, 5),
        list(3, &[6, 7]),
        entry(3, 8),
        entry(4, 9),
    ]);
    let after = redone(&deduplicate(2, &[3, 3, 6, 2]), 0, &before).unwrap();
    let merged =
        [entry(9, 0), entry(1, 1), list(2, &[2, 3, 4, 5]), list(3, &[6, 7, 8]), entry(4, 9)];
    assert_eq!(items(&after), merged);
    assert_eq!(Opaque::of(&after).unwrap().flags, LEAF | INCOMPLETE_SPLIT | SPLIT_END);
    let refused: [&[u16]; 5] = [&[3, 3, 5, 2], &[3, 3, 8, 2], &[3, 1, 6, 2], &[9, 2, 9, 2], &[3]];
    for data in refused {
        assert!(redone(&deduplicate(2, data), 0, &before).is_err(), "{data:?}");
    }
    let rightmost = page(Opaque { flags: LEAF, ..Opaque::default() }, &[entry(1, 1), entry(1, 2)]);
    let after = redone(&deduplicate(1, &[1, 2]), 0, &rightmost).unwrap();
    assert_eq!(items(&after), [list(1, &[1, 2])]);
}

#[test]
fn entries_and_rows_are_deleted() {
    let before = leaf(&[
        entry(9, 0),
        entry(1, 1),
        list(2, &[2, 3, 4, 5]),
        entry(3, 6),
        list(4, &[7, 8]),
        entry(5, 9),
    ]);
    let data = halves(&[2, 4, 3, 5, 2, 0, 3, 1, 0]);
    let main = halves(&[2, 2]);
    let vacuum = record(VACUUM, &main).block(BlockBytes::new(0).data(&data));
    let after = redone(&vacuum, 0, &before).unwrap();
    assert_eq!(items(&after), [entry(9, 0), list(2, &[3, 4]), entry(4, 8), entry(5, 9)]);
    assert_eq!(Opaque::of(&after).unwrap().flags, LEAF | INCOMPLETE_SPLIT | SPLIT_END);
    let delete = record(DELETE, &[words(&[700]), main].concat());
    let delete = delete.block(BlockBytes::new(0).data(&data));
    assert_eq!(redone(&delete, 0, &before).unwrap(), after);
    let only_lists = |rows: &[u16]| {
        let data = halves(&[&[5][..], rows].concat());
        record(VACUUM, &halves(&[0, 1])).block(BlockBytes::new(0).data(&data))
    };
    for rows in [&[2, 0, 1][..], &[1, 2], &[2, 1, 0], &[2, 0], &[]] {
        assert!(redone(&only_lists(rows), 0, &before).is_err(), "{rows:?}");
    }
}

#[test]
fn an_empty_leaf_is_taken_from_its_parent() {
    let main = [&halves(&[2, 0])[..], &words(&[30, 29, 31, u32::MAX])].concat();
    let mark =
        record(MARK_PAGE_HALFDEAD, &main).block(BlockBytes::new(0)).block(BlockBytes::new(1));
    let half_dead = redone(&mark, 0, &leaf(&[entry(9, 0)])).unwrap();
    let flags = HALF_DEAD | LEAF;
    let opaque = Opaque { previous: 29, next: 31, level: 0, flags, cycle: 0 };
    assert_eq!(Opaque::of(&half_dead).unwrap(), opaque);
    assert_eq!(items(&half_dead), [halves(&[0xffff, 0xffff, 0, 0x2008])]);
    let parent = page(
        Opaque { level: 1, ..Opaque::default() },
        &[link(0, 29), link(1, 30), link(2, 0x0005_0031), link(3, 32)],
    );
    let after = redone(&mark, 1, &parent).unwrap();
    assert_eq!(items(&after), [link(0, 29), link(1, 0x0005_0031), link(3, 32)]);
    let short = page(Opaque::default(), &[link(0, 29), link(1, 30)]);
    assert_eq!(redone(&mark, 1, &short), Err(PageError::NoItem(3).into()));
}

fn unlink_record(left: u32, level: u32) -> RecordBytes {
    let main = [words(&[left, 12, level, 0, 0xdead_0001, 7, 13, 14, 15])].concat();
    (0..4).fold(record(UNLINK_PAGE, &main), |record, id| record.block(BlockBytes::new(id)))
}

#[test]
fn a_page_is_unlinked() {
    let before = leaf(&[entry(9, 0)]);
    let known = Opaque::of(&before).unwrap();
    let after = |record: &RecordBytes, id| redone(record, id, &before).unwrap();
    let unlink = unlink_record(11, 1);
    let deleted = after(&unlink, 0);
    let flags = DELETED | HAS_FULL_XID;
    let opaque = Opaque { previous: 11, next: 12, level: 1, flags, cycle: 0 };
    assert_eq!(Opaque::of(&deleted).unwrap(), opaque);
    assert_eq!((deleted.lower(), deleted.upper(), deleted.special()), (32, 8176, 8176));
    assert_eq!(deleted.0[24..32], words(&[0xdead_0001, 7]));
    assert_eq!(Opaque::of(&after(&unlink, 1)).unwrap(), Opaque { next: 12, ..known });
    assert_eq!(Opaque::of(&after(&unlink, 2)).unwrap(), Opaque { previous: 11, ..known });
    let bottom = after(&unlink, 3);
    let flags = HALF_DEAD | LEAF;
    let opaque = Opaque { previous: 13, next: 14, level: 0, flags, cycle: 0 };
    assert_eq!(Opaque::of(&bottom).unwrap(), opaque);
    assert_eq!(items(&bottom), [halves(&[0, 15, 0, 0x2008])]);
    let of_leaf = Opaque::of(&after(&unlink_record(0, 0), 0)).unwrap();
    assert_eq!(of_leaf.flags, LEAF | DELETED | HAS_FULL_XID);
    let no_left = redone(&unlink_record(0, 0), 1, &before);
    assert!(matches!(no_left, Err(RedoError::Unknown { block: 1, .. })));
}

#[test]
fn a_root_and_the_page_about_the_index_are_made_anew() {
    let meta = [&words(&[4, 3, 1, 3, 1, 2])[..], &[1, 0, 0, 0]].concat();
    let root = |level: u32| {
        let items = [link(5, 2), link(0, 1)].concat();
        record(NEWROOT, &words(&[3, level]))
            .block(BlockBytes::new(0).data(&items))
            .block(BlockBytes::new(1))
            .block(BlockBytes::new(2).data(&meta))
    };
    let made = redone(&root(1), 0, &Page::zeroed()).unwrap();
    assert_eq!(items(&made), [link(0, 1), link(5, 2)]);
    let opaque = Opaque { level: 1, flags: ROOT, ..Opaque::default() };
    assert_eq!(Opaque::of(&made).unwrap(), opaque);
    let child = redone(&root(1), 1, &leaf(&[])).unwrap();
    assert_eq!(Opaque::of(&child).unwrap().flags & INCOMPLETE_SPLIT, 0);
    let first = redone(&root(0), 0, &Page::zeroed()).unwrap();
    assert_eq!((first.item_count(), Opaque::of(&first).unwrap().flags), (0, ROOT | LEAF));
    let cleanup = record(META_CLEANUP, &[]).block(BlockBytes::new(0).data(&meta));
    let page = redone(&cleanup, 0, &leaf(&[entry(1, 1)])).unwrap();
    assert_eq!(page, redone(&root(1), 2, &Page::zeroed()).unwrap());
    assert_eq!(Opaque::of(&page).unwrap(), Opaque { flags: META, ..Opaque::default() });
    assert_eq!(page.lower(), 72);
    assert_eq!(page.0[24..56], words(&[0x53162, 4, 3, 1, 3, 1, 2, 0]));
    assert_eq!(page.0[56..72], [0, 0, 0, 0, 0, 0, 0xf0, 0xbf, 1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn only_what_the_log_does_not_determine_is_masked() {
    let masked = |page: &Page| {
        let mut page = page.clone();
        mask(&mut page).unwrap();
        page
    };
    let known = leaf(&[entry(9, 0), entry(1, 1)]);
    let mut other = known.clone();
    let dead = crate::page::Line { state: crate::page::LineState::Dead, ..other.line(2).unwrap() };
    other.set_line(2, dead).unwrap();
    opaque::change(&mut other, |opaque| {
        opaque.flags &= !(HAS_GARBAGE | SPLIT_END);
        opaque.cycle = 0;
    })
    .unwrap();
    other.set_lsn(END);
    assert_eq!(masked(&known), masked(&other));
    opaque::change(&mut other, |opaque| opaque.flags &= !INCOMPLETE_SPLIT).unwrap();
    assert_ne!(masked(&known), masked(&other));
    let inner = |state| {
        let mut page = page(Opaque::default(), &[link(1, 1)]);
        let line = page.line(1).unwrap();
        page.set_line(1, crate::page::Line { state, ..line }).unwrap();
        masked(&page)
    };
    assert_ne!(inner(crate::page::LineState::Normal), inner(crate::page::LineState::Dead));
}

fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let rows = proptest::collection::btree_set(0..40_u16, 1..12);
    (0..4_u64, rows, proptest::collection::vec(any::<u8>(), 1..40)).prop_flat_map(
        |(key, rows, junk)| {
            let rows: Vec<u16> = rows.into_iter().collect();
            let first = rows.first().copied().unwrap_or(0);
            prop_oneof![
                4 => Just(entry(key, first)),
                4 => Just(list(key, &rows)),
                1 => Just(link(key, u32::from(first))),
                1 => Just(junk),
            ]
        },
    )
}

fn any_tree_page() -> impl Strategy<Value = Box<Page>> {
    let opaque = (0..3_u32, 0..3_u32, 0..2_u32, 0..512_u16);
    (opaque, proptest::collection::vec(any_entry(), 0..30)).prop_map(|(opaque, items)| {
        let (previous, next, level, flags) = opaque;
        page(Opaque { previous, next, level, flags, cycle: 1 }, &items)
    })
}

fn any_data() -> impl Strategy<Value = Vec<u8>> {
    let numbers = || proptest::collection::vec(0..12_u16, 0..14).prop_map(|row| halves(&row));
    let entries = || proptest::collection::vec(any_entry(), 0..4).prop_map(|row| row.concat());
    prop_oneof![
        numbers(),
        entries(),
        (0..4_u16, entries()).prop_map(|(index, row)| [halves(&[index]), row].concat()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn any_tree_record() -> impl Strategy<Value = RecordBytes> {
    let main = prop_oneof![
        proptest::collection::vec(0..6_u16, 0..24).prop_map(|row| halves(&row)),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    (0..16_u8, main, proptest::collection::vec(any_data(), 6)).prop_map(|(kind, main, data)| {
        let record = record(kind << 4, &main);
        (0..).zip(&data).fold(record, |made, (id, data)| {
            made.block(BlockBytes::new(id).number(u32::from(id)).data(data))
        })
    })
}

/// Records of the kinds that change the entries of a leaf, which often fit one.
fn fitting_record() -> impl Strategy<Value = RecordBytes> {
    let with = |kind, main: &[u16], data: Vec<u8>| {
        record(kind, &halves(main)).block(BlockBytes::new(0).data(&data)).block(BlockBytes::new(1))
    };
    let insert = (0..9_u16, 0..4_u16, any_entry()).prop_map(move |(number, index, new)| {
        with(INSERT_POST, &[number], [halves(&[index]), new].concat())
    });
    let numbers = (0..9_u16, 0..9_u16, 0..2_u16, any::<bool>());
    let split = (numbers, any_entry(), any_entry()).prop_map(move |(numbers, new, high)| {
        let (first_right, number, index, on_left) = numbers;
        let kind = if on_left { SPLIT_L } else { SPLIT_R };
        let data = if on_left || index > 0 { [new, high].concat() } else { high };
        with(kind, &[0, 0, first_right, number, index], data)
    });
    let runs = proptest::collection::vec((0..3_u16, 2..4_u16), 0..3).prop_map(move |runs| {
        let mut next = 1;
        let place = |(gap, count): &(u16, u16)| {
            let first = next + gap;
            next = first + count;
            [first, *count]
        };
        let count = u16::try_from(runs.len()).unwrap();
        let data: Vec<u16> = runs.iter().flat_map(place).collect();
        with(DEDUP, &[count], halves(&data))
    });
    let delete = (1..4_u16, 4..7_u16, 0..3_u16).prop_map(move |(gone, changed, row)| {
        with(VACUUM, &[1, 1], halves(&[gone, changed, 1, row]))
    });
    prop_oneof![insert, split, runs, delete]
}

proptest! {
    /// PGWAL-1, PGWAL-2, PGWAL-3, PGWAL-4
    #[test]
    fn pgwal_1_no_record_makes_the_redo_of_a_tree_panic(
        record in prop_oneof![2 => any_tree_record(), 1 => fitting_record()],
        page in prop_oneof![3 => any_tree_page(), 1 => any_page()],
    ) {
        check_any(&record, &page);
    }

    #[test]
    fn rows_taken_from_a_list_leave_the_others(
        rows in proptest::collection::btree_set(any::<u16>(), 2..60),
        gone in proptest::collection::btree_set(0..60_u16, 1..60),
    ) {
        let rows: Vec<u16> = rows.into_iter().collect();
        let gone: Vec<u16> = gone.into_iter().collect();
        let kept: Vec<u16> = (0..).zip(&rows)
            .filter_map(|(index, row)| (!gone.contains(&index)).then_some(*row))
            .collect();
        let made = posting::without(&list(1, &rows), &halves(&gone));
        let inside = gone.iter().all(|index| usize::from(*index) < rows.len());
        match kept[..] {
            [] => assert!(made.is_err()),
            _ if !inside => assert!(made.is_err()),
            [row] => assert_eq!(made.unwrap(), entry(1, row)),
            _ => assert_eq!(made.unwrap(), list(1, &kept)),
        }
    }
}
