use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::error::PageError;
use crate::lsn::Lsn;
use crate::page::{ALL_VISIBLE, Line, Place};
use crate::redo::testing::{BlockBytes, END, RecordBytes, any_page, any_record, check_any, redone};

const BLOCK: u32 = 0x0001_0002;
/// A row's ctid: block 0x10002, item 1.
const CTID: [u8; 6] = [1, 0, 2, 0, 1, 0];
const SHAPE: [u8; 5] = [3, 0, 2, 8, 24];

/// A row of the page: xmin 600, `xmax`, command 9, ctid (0, 5), two columns.
fn row(xmax: u32, infomask2: u16, infomask: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = [600_u32, xmax, 9].map(u32::to_le_bytes).concat();
    bytes.extend([0, 0, 0, 0, 5, 0]);
    bytes.extend(infomask2.to_le_bytes());
    bytes.extend(infomask.to_le_bytes());
    bytes.extend([24, 0]);
    bytes.extend(body);
    bytes
}

fn page_of(rows: &[Vec<u8>]) -> Box<Page> {
    let mut page = Page::zeroed();
    page.init(0).unwrap();
    for row in rows {
        page.add_heap_item(row, Place::Any).unwrap();
    }
    page.change_flags(ALL_VISIBLE, 0);
    page
}

fn heap(info: u8, main: &[&[u8]]) -> RecordBytes {
    RecordBytes::new(Rmgr::Heap, info).main(&main.concat())
}

fn heap2(info: u8, main: &[&[u8]]) -> RecordBytes {
    RecordBytes::new(Rmgr::Heap2, info).main(&main.concat())
}

fn on_block(record: RecordBytes, data: &[u8]) -> RecordBytes {
    record.block(BlockBytes::new(0).number(BLOCK).data(data))
}

/// The main data of a delete or a lock: xmax 800, item 1.
fn change(bits: u8, flags: u8) -> [u8; 8] {
    [0x20, 3, 0, 0, 1, 0, bits, flags]
}

fn items(page: &Page) -> Vec<Option<&[u8]>> {
    (1..=page.item_count()).map(|item| page.item(item).ok()).collect()
}

fn of_item(page: &Page, at: core::ops::Range<usize>) -> &[u8] {
    &page.item(1).unwrap()[at]
}

#[test]
fn an_insert_makes_the_header_from_the_record() {
    let bytes = on_block(heap(0x80, &[&[1, 0, 0]]), &[&SHAPE[..], &[0, b'a', b'b']].concat());
    let mut record = bytes.record();
    let mut page = page_of(&[row(0, 0, 0, b"what was there before")]);
    let before = page.clone();
    let malformed = crate::redo(&record, &record.blocks[0], &mut page);
    assert!(matches!(malformed, Err(RedoError::Record(_))), "block and kind differ");
    assert_eq!(page, before, "PGWAL-2");
    record.blocks[0].will_init = true;
    crate::redo(&record, &record.blocks[0], &mut page).unwrap();
    let xmin = 700_u32.to_le_bytes();
    let expected = [&xmin[..], &[0; 8], &CTID, &SHAPE, &[0, b'a', b'b']].concat();
    assert_eq!(items(&page), [Some(&expected[..])]);
    assert_eq!((page.lsn(), page.flags(), page.upper()), (END, 0, 8192 - 32));
}

#[test]
fn an_insert_takes_a_free_line_pointer_only() {
    let mut before = page_of(&[row(0, 0, 0, b"1"), row(0, 0, 0, b"2")]);
    let insert = |item: u8| {
        let data = [&SHAPE[..], &[0, b'c']].concat();
        on_block(heap(0x00, &[&[item, 0, insert::ALL_VISIBLE_CLEARED]]), &data)
    };
    assert_eq!(redone(&insert(1), 0, &before), Err(PageError::Taken(1).into()));
    assert_eq!(redone(&insert(4), 0, &before), Err(PageError::NoItem(4).into()));
    assert_eq!(redone(&insert(0), 0, &before), Err(PageError::NoItem(0).into()));
    assert_eq!(redone(&insert(3), 0, &before).unwrap().item_count(), 3);
    before.set_line(1, Line::UNUSED).unwrap();
    let page = redone(&insert(1), 0, &before).unwrap();
    assert_eq!((page.item_count(), page.flags()), (2, 0));
    assert_eq!(of_item(&page, 12..18), CTID);
}

#[test]
fn many_rows_begin_at_even_bytes_of_the_record() {
    let data = [&[2, 0][..], &SHAPE, &[0, b'x'], &[0], &[1, 0], &SHAPE, &[0]].concat();
    let record =
        on_block(heap2(0x50, &[&[insert::ALL_VISIBLE_CLEARED, 0xee, 2, 0, 3, 0, 2, 0]]), &data);
    let mut before = page_of(&[row(0, 0, 0, b"1"), row(0, 0, 0, b"2")]);
    before.set_line(2, Line::UNUSED).unwrap();
    let page = redone(&record, 0, &before).unwrap();
    assert_eq!(page.item(3).unwrap()[12..], [&[1, 0, 2, 0, 3, 0][..], &SHAPE, &[0, b'x']].concat());
    assert_eq!(page.item(2).unwrap()[12..], [&[1, 0, 2, 0, 2, 0][..], &SHAPE, &[0]].concat());
    assert_eq!(page.flags() & ALL_VISIBLE, 0);
    let longer = on_block(heap2(0x50, &[&[0, 0, 1, 0, 3, 0]]), &data);
    assert!(matches!(redone(&longer, 0, &before), Err(RedoError::Record(_))));
}

#[test]
fn many_frozen_rows_make_a_page_visible() {
    let data = [&[1, 0][..], &SHAPE, &[0], &[1, 0], &SHAPE, &[0]].concat();
    let bytes = on_block(heap2(0xd0, &[&[0x20, 0, 2, 0]]), &data);
    let mut record = bytes.record();
    record.blocks[0].will_init = true;
    let mut page = Page::zeroed();
    crate::redo(&record, &record.blocks[0], &mut page).unwrap();
    assert_eq!((page.item_count(), page.flags()), (2, ALL_VISIBLE));
    assert_eq!(page.item(2).unwrap()[12..18], [1, 0, 2, 0, 2, 0]);
}

#[test]
fn a_delete_marks_the_row_and_the_page() {
    // Known xmax, a combined command, moved, of a key that was changed, with a successor on the page.
    let before = page_of(&[row(1, 0xe002, 0xdcf2, b"")]);
    let page = redone(&on_block(heap(0x10, &[&change(0x15, 0x01)]), b""), 0, &before).unwrap();
    assert_eq!(of_item(&page, 4..8), 800_u32.to_le_bytes());
    assert_eq!(of_item(&page, 8..18), [&[0; 4][..], &CTID].concat());
    assert_eq!(of_item(&page, 18..22), [0x02, 0xa0, 0x42, 0x10]);
    assert_eq!((page.prune_xid(), page.flags()), (700, 0));

    let taken_back = on_block(heap(0x10, &[&change(0, 0x08)]), b"");
    let page = redone(&taken_back, 0, &before).unwrap();
    assert_eq!(of_item(&page, 0..8), [0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(page.flags(), ALL_VISIBLE);

    let moved = on_block(heap(0x10, &[&change(0, 0x10)]), b"");
    let page = redone(&moved, 0, &before).unwrap();
    assert_eq!(of_item(&page, 12..18), [0xff, 0xff, 0xff, 0xff, 0xfd, 0xff]);
}

#[test]
fn the_oldest_transaction_to_prune_for_is_kept() {
    let delete = on_block(heap(0x10, &[&change(0, 0)]), b"");
    for (before, after) in [(0, 700), (699, 699), (701, 700), (2, 2), (0x9000_0000, 0x9000_0000)] {
        let mut page = page_of(&[row(0, 2, 0x0800, b"")]);
        page.set_prune_xid(before);
        assert_eq!(redone(&delete, 0, &page).unwrap().prune_xid(), after, "{before}");
    }
}

/// The main data of an update from item 1 to `item`: old xmax 700, new xmax 0.
fn update(flags: u8, item: u8) -> [u8; 14] {
    [0xbc, 2, 0, 0, 1, 0, 0, flags, 0, 0, 0, 0, item, 0]
}

#[test]
fn an_update_on_its_page_borrows_from_the_old_row() {
    let before = page_of(&[row(0, 2, 0x0802, b"start-old-end")]);
    let data = [&[6, 0, 4, 0][..], &SHAPE, &[0x7f], b"new"].concat();
    let record = on_block(heap(0x40, &[&update(0x62, 2)]), &data);
    let page = redone(&record, 0, &before).unwrap();
    assert_eq!(of_item(&page, 4..22), [0xbc, 2, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0, 2, 0x40, 2, 0]);
    let new = page.item(2).unwrap();
    assert_eq!(new[..12], [700, 0, 0].map(u32::to_le_bytes).concat());
    assert_eq!(new[12..], [&[1, 0, 2, 0, 2, 0][..], &SHAPE, &[0x7f], b"start-new-end"].concat());
    assert_eq!((page.prune_xid(), page.flags()), (700, 0));

    for lengths in [[14, 0, 0, 0], [0, 0, 60, 0], [255, 255, 255, 255]] {
        let data = [&lengths[..], &SHAPE, &[0]].concat();
        let record = on_block(heap(0x20, &[&update(0x60, 2)]), &data);
        assert!(matches!(redone(&record, 0, &before), Err(RedoError::Mismatch(_))));
    }
}

#[test]
fn an_update_to_another_page_changes_each_by_itself() {
    let old = page_of(&[row(0, 0x4002, 0x0802, b"old")]);
    let record = heap(0x20, &[&update(0x03, 2)])
        .block(BlockBytes::new(0).number(BLOCK).data(&[&SHAPE[..], &[0]].concat()))
        .block(BlockBytes::new(1).number(9));
    let page = redone(&record, 1, &old).unwrap();
    assert_eq!(of_item(&page, 12..22), [1, 0, 2, 0, 2, 0, 2, 0, 2, 0]);
    assert_eq!((page.item_count(), page.flags(), page.prune_xid()), (1, 0, 700));
    let page = redone(&record, 0, &old).unwrap();
    assert_eq!(page.item(1), old.item(1));
    assert_eq!(page.item(2).unwrap()[12..18], [1, 0, 2, 0, 2, 0]);
    assert_eq!((page.flags(), page.prune_xid()), (0, 0));

    let lending = heap(0x20, &[&update(0x20, 2)])
        .block(BlockBytes::new(0).data(&[&[1, 0][..], &SHAPE, &[0]].concat()))
        .block(BlockBytes::new(1));
    assert!(matches!(redone(&lending, 0, &old), Err(RedoError::Record(_))));
}

#[test]
fn a_lock_forgets_a_successor_only_if_it_changes_nothing() {
    let before = page_of(&[row(1, 0x4002, 0x0820, b"")]);
    let lock = |bits| redone(&on_block(heap(0x60, &[&change(bits, 0)]), b""), 0, &before).unwrap();
    // An exclusive lock alone is a lock as well.
    for (bits, infomask) in [(0x06, 0xc0), (0x04, 0x40)] {
        let page = lock(bits);
        assert_eq!(of_item(&page, 4..18), [&[0x20, 3, 0, 0, 0, 0, 0, 0][..], &CTID].concat());
        assert_eq!(of_item(&page, 18..22), [2, 0, infomask, 0]);
        assert_eq!((page.flags(), page.prune_xid()), (ALL_VISIBLE, 0));
    }
    let page = lock(0x09);
    assert_eq!(of_item(&page, 12..22), [0, 0, 0, 0, 5, 0, 2, 0x40, 0x10, 0x10]);

    let successor = on_block(heap2(0x60, &[&change(0x0a, 1)]), b"");
    let page = redone(&successor, 0, &before).unwrap();
    assert_eq!(of_item(&page, 4..12), [0x20, 3, 0, 0, 9, 0, 0, 0]);
    assert_eq!(of_item(&page, 12..22), [0, 0, 0, 0, 5, 0, 2, 0x40, 0xb0, 0]);
}

#[test]
fn a_row_is_confirmed_and_overwritten() {
    let before = page_of(&[row(0, 2, 0x0802, b"abc")]);
    let page = redone(&on_block(heap(0x50, &[&[1, 0]]), b""), 0, &before).unwrap();
    assert_eq!(of_item(&page, 12..18), CTID);
    let in_place = |data: &[u8]| redone(&on_block(heap(0x70, &[&[1, 0]]), data), 0, &before);
    assert_eq!(of_item(&in_place(b"xyz").unwrap(), 24..27), b"xyz");
    assert!(matches!(in_place(b"xy"), Err(RedoError::Mismatch(_))));
    let mut dead = before.clone();
    dead.set_line(1, Line::DEAD).unwrap();
    let none = redone(&on_block(heap(0x50, &[&[1, 0]]), b""), 0, &dead);
    assert!(matches!(none, Err(RedoError::Mismatch(_))));
}

#[test]
fn old_rows_are_pruned_vacuumed_and_frozen() {
    let rows = [b"1", b"2", b"3", b"4"].map(|body| row(0, 2, 0x0802, body));
    let data = [1_u16, 3, 2, 4].map(u16::to_le_bytes).concat();
    let prune = on_block(heap2(0x10, &[&[9, 0, 0, 0, 1, 0, 1, 0]]), &data);
    let page = redone(&prune, 0, &page_of(&rows)).unwrap();
    assert_eq!(page.line(1).unwrap(), Line::redirect(3));
    assert_eq!(page.line(2).unwrap(), Line::DEAD);
    assert_eq!(items(&page), [None, None, Some(&rows[2][..])]);
    assert_eq!(page.upper(), 8192 - 32);

    let vacuum = |item: u8| redone(&on_block(heap2(0x20, &[&[1, 0]]), &[item, 0]), 0, &page);
    let vacuumed = vacuum(2).unwrap();
    assert_eq!(vacuumed.line(2).unwrap(), Line::UNUSED);
    assert_eq!((vacuumed.item_count(), vacuumed.flags()), (3, ALL_VISIBLE | 1));
    assert!(matches!(vacuum(3), Err(RedoError::Mismatch(_))));
    assert_eq!(vacuum(5), Err(PageError::NoItem(5).into()));

    let plan = [0, 0, 0, 0, 3, 0, 2, 0x80, 2, 0x0b, 0x02, 0xee];
    let freeze = on_block(heap2(0x30, &[&[9, 0, 0, 0, 1, 0]]), &plan);
    let frozen = redone(&freeze, 0, &page).unwrap();
    assert_eq!(frozen.item(3).unwrap()[4..12], [0, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(frozen.item(3).unwrap()[18..22], [2, 0x80, 2, 0x0b]);
}

fn visible(bits: u8, heap_block: u32) -> RecordBytes {
    heap2(0x40, &[&[9, 0, 0, 0, bits]])
        .block(BlockBytes::new(0).number(heap_block / 32_672))
        .block(BlockBytes::new(1).number(heap_block))
}

#[test]
fn a_visible_page_keeps_its_lsn_and_the_map_takes_one_when_it_changes() {
    let mut heap_page = page_of(&[row(0, 2, 0x0b02, b"")]);
    heap_page.change_flags(0, ALL_VISIBLE);
    heap_page.set_lsn(Lsn(77));
    let seen = redone(&visible(1, 5), 1, &heap_page).unwrap();
    assert_eq!((seen.lsn(), seen.flags()), (Lsn(77), ALL_VISIBLE));
    assert!(redone(&visible(1, 5), 1, &Page::zeroed()).is_err());

    let map = redone(&visible(3, 32_672 + 5), 0, &Page::zeroed()).unwrap();
    assert_eq!((map.lsn(), map.lower(), map.upper(), map.0[25]), (END, 24, 8192, 0x0c));
    assert_eq!(map.0[26..], [0; 8166]);
    let mut older = map.clone();
    older.set_lsn(Lsn(77));
    assert_eq!(redone(&visible(3, 5), 0, &older).unwrap(), older);
    let wrong = heap2(0x40, &[&[9, 0, 0, 0, 3]])
        .block(BlockBytes::new(0).number(1))
        .block(BlockBytes::new(1).number(5));
    assert!(matches!(redone(&wrong, 0, &map), Err(RedoError::Record(_))));
    assert!(matches!(redone(&visible(4, 5), 0, &map), Err(RedoError::Record(_))));
}

#[test]
fn pgwal_4_bits_of_the_map_are_not_set_among_rows() {
    let rows = page_of(&[row(0, 2, 0x0b02, b"")]);
    let refused = redone(&visible(3, 5), 0, &rows);
    assert!(matches!(refused, Err(RedoError::Mismatch(_))));
}

#[test]
fn bits_of_the_map_are_set_and_cleared_by_themselves() {
    let mut map = Page::zeroed();
    let last = 32_671;
    assert!(!clear_visibility(&mut map, last, VISIBILITY_BITS));
    assert!(map.is_new(), "nothing was to be cleared");
    assert!(set_visibility(&mut map, last, VISIBILITY_ALL_VISIBLE));
    assert!(set_visibility(&mut map, last - 1, VISIBILITY_BITS));
    assert!(!set_visibility(&mut map, last - 1, VISIBILITY_BITS));
    assert_eq!(map.0[8191], 0x70);
    assert!(clear_visibility(&mut map, last - 1, VISIBILITY_ALL_FROZEN));
    assert_eq!((map.0[8191], visibility_page(last), visibility_page(last + 1)), (0x50, 0, 1));
}

#[test]
fn a_heap_that_is_cut_leaves_no_bits_behind_its_end() {
    let mut map = Page::zeroed();
    map.init(0).unwrap();
    map.0[24..].fill(0xff);
    cut_visibility(&mut map, 32_671);
    assert_eq!(map.0[8190..], [0xff, 0x3f]);
    cut_visibility(&mut map, 32_672 + 5);
    assert_eq!((&map.0[24..26], map.0[26..].iter().max()), (&[0xff, 0x03][..], Some(&0)));
    cut_visibility(&mut map, 4);
    assert_eq!(map.0[24..26], [0xff, 0]);
}

/// Trap 4: no reference to the map is in the record.
#[test]
fn records_tell_which_bits_of_the_map_they_clear() {
    let two = |record: RecordBytes| {
        let with = record.block(BlockBytes::new(0).number(7)).block(BlockBytes::new(1).number(8));
        let clears = visibility_clears(&with.record()).unwrap();
        clears.iter().map(|clear| (clear.heap_block, clear.bits)).collect::<Vec<_>>()
    };
    let one = |record: RecordBytes| {
        let clears = visibility_clears(&record.block(BlockBytes::new(0).number(7)).record());
        clears.unwrap().iter().map(|clear| (clear.heap_block, clear.bits)).collect::<Vec<_>>()
    };
    let both = VISIBILITY_BITS;
    assert_eq!(one(heap(0x80, &[&[1, 0, 0x09]])), [(7, both)]);
    assert_eq!(one(heap(0x00, &[&[1, 0, 0x08]])), []);
    assert_eq!(one(heap(0x10, &[&change(0, 0x01)])), [(7, both)]);
    assert_eq!(one(heap(0x10, &[&change(0, 0x1e)])), []);
    assert_eq!(one(heap(0x60, &[&change(0, 1)])), [(7, VISIBILITY_ALL_FROZEN)]);
    assert_eq!(one(heap2(0x60, &[&change(0, 1)])), [(7, VISIBILITY_ALL_FROZEN)]);
    assert_eq!(one(heap2(0xd0, &[&[1, 0, 1, 0]])), [(7, both)]);
    assert_eq!(one(heap2(0x50, &[&[0x20, 0, 1, 0]])), []);
    assert_eq!(one(heap(0x40, &[&update(0x01, 2)])), [(7, both)]);
    assert_eq!(two(heap(0x20, &[&update(0x01, 2)])), [(8, both)]);
    assert_eq!(two(heap(0xa0, &[&update(0x02, 2)])), [(7, both)]);
    assert_eq!(two(heap(0x20, &[&update(0x03, 2)])), [(8, both), (7, both)]);
    assert_eq!(two(visible(3, 5)), []);
    assert_eq!(two(RecordBytes::new(Rmgr::Btree, 0x10).main(&[1; 20])), []);
    assert!(visibility_clears(&heap(0x10, &[&[1]]).record()).is_err());
    assert!(visibility_clears(&heap(0x10, &[&change(0, 1)]).record()).is_err());
}

#[test]
fn records_for_logical_decoding_change_no_page() {
    let page = page_of(&[]);
    for record in [heap(0x30, &[]), heap2(0x00, &[]), heap2(0x70, &[])] {
        let with = on_block(record, b"");
        assert!(matches!(redone(&with, 0, &page), Err(RedoError::Unknown { .. })));
    }
}

#[test]
fn the_mask_blanks_hints_and_nothing_else() {
    let mut plain = row(5, 0xe002, 0xffff, b"body");
    plain[20..22].copy_from_slice(&0xfcff_u16.to_le_bytes());
    let frozen = row(5, 0xe002, 0xffff, b"body");
    let mut token = row(0, 2, 0x0802, b"");
    token[16..18].copy_from_slice(&[0xfe, 0xff]);
    let mut page = page_of(&[plain.clone(), frozen.clone(), token]);
    let end = page.item_range(1).unwrap().end;
    page.put(end, &[0xaa; 4]).unwrap();
    page.put(page.lower(), &[0xaa; 9]).unwrap();
    mask(&mut page, BLOCK).unwrap();
    let blanked = |row: &[u8], infomask: u16| {
        [&row[..8], &[0; 4], &row[12..20], &infomask.to_le_bytes(), &row[22..]].concat()
    };
    assert_eq!(page.item(1).unwrap(), blanked(&plain, 0x000f));
    assert_eq!(page.item(2).unwrap(), blanked(&frozen, 0xf3ff));
    assert_eq!(page.item(3).unwrap()[12..18], [1, 0, 2, 0, 3, 0]);
    assert_eq!(page.bytes_at(end, 4).unwrap(), [0; 4]);
    assert_eq!((page.flags(), page.bytes_at(page.lower(), 9).unwrap()), (0, &[0; 9][..]));
}

/// Pages of rows, some of whose line pointers are free, dead or redirected.
fn rows() -> impl Strategy<Value = Box<Page>> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let row = (any::<u32>(), any::<u16>(), any::<u16>(), body)
        .prop_map(|(xmax, infomask2, infomask, body)| row(xmax, infomask2, infomask, &body));
    let state = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Line::UNUSED)),
        1 => Just(Some(Line::DEAD)),
        1 => (0..9_u16).prop_map(|to| Some(Line::redirect(to))),
    ];
    proptest::collection::vec((row, state), 0..12).prop_map(|rows| {
        let mut page = page_of(&[]);
        for (row, state) in rows {
            let item = page.add_heap_item(&row, Place::Any).unwrap();
            state.map_or(Ok(()), |line| page.set_line(item, line)).unwrap();
        }
        page
    })
}

/// Numbers of two bytes, such as records are full of: most of them small, some of them flags.
fn numbers() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![6 => 1..7_u16, 1 => Just(0), 1 => 7..16_u16, 1 => any::<u16>()];
    (proptest::collection::vec(number, 1..24), proptest::option::of(any::<u8>())).prop_map(
        |(numbers, odd)| numbers.into_iter().flat_map(u16::to_le_bytes).chain(odd).collect(),
    )
}

proptest! {
    /// PGWAL-1, PGWAL-2, PGWAL-3, PGWAL-4
    #[test]
    fn pgwal_1_no_record_of_a_heap_makes_a_redo_panic(
        record in prop_oneof![any_record(Rmgr::Heap), any_record(Rmgr::Heap2)],
        page in prop_oneof![any_page(), rows()],
    ) {
        check_any(&record, &page);
        visibility_clears(&record.record()).map(drop).unwrap_or_default();
    }

    /// PGWAL-1, PGWAL-2
    #[test]
    fn pgwal_2_rows_are_changed_or_left(
        heap2 in any::<bool>(),
        kind in 0..16_u8,
        main in numbers(),
        data in numbers(),
        crosses in proptest::bool::weighted(0.2),
        page in rows(),
    ) {
        let rmgr = if heap2 { Rmgr::Heap2 } else { Rmgr::Heap };
        let bytes = (0..=u8::from(crosses)).fold(RecordBytes::new(rmgr, kind << 4).main(&main), |record, id| {
            record.block(BlockBytes::new(id).number(u32::from(id)).data(&data))
        });
        let mut record = bytes.record();
        let begins = if heap2 { [MULTI_INSERT].as_slice() } else { &[INSERT, UPDATE] };
        record.blocks[0].will_init = begins_empty(&record) && begins.contains(&operation(&record));
        for block in &record.blocks {
            let mut after = page.clone();
            if crate::redo(&record, block, &mut after).is_err() {
                prop_assert_eq!(&after, &page);
            }
            after.check_header().unwrap();
            mask(&mut after, block.number).map(drop).unwrap_or_default();
        }
    }
}
