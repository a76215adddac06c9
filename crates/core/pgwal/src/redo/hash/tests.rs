use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::testing::{BlockBytes, END, RecordBytes, any_page, check_any, redone};
use super::opaque::{BITMAP, META, NO_BUCKET};
use super::*;
use crate::lsn::Lsn;
use crate::page::{Line, LineState, Place};

fn record(kind: u8, main: &[u8]) -> RecordBytes {
    RecordBytes::new(Rmgr::Hash, kind).main(main)
}

fn halves(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn entry(code: u32) -> Vec<u8> {
    [halves(&[0, 1, 1, 16]), words(&[code, 0])].concat()
}

fn page(flags: u16, items: &[Vec<u8>]) -> Box<Page> {
    let mut page = Page::zeroed();
    Opaque { previous: 3, next: 4, bucket: 5, ..Opaque::new(flags) }.init(&mut page).unwrap();
    for (number, item) in (1..).zip(items) {
        page.add_item(item, Place::Insert(number)).unwrap();
    }
    page
}

fn bucket(codes: &[u32]) -> Box<Page> {
    let items: Vec<_> = codes.iter().map(|code| entry(*code)).collect();
    page(BUCKET | HAS_DEAD | NEEDS_SPLIT_CLEANUP, &items)
}

fn codes(page: &Page) -> Vec<u32> {
    let code = |number| page.u32_at(page.item_range(number).unwrap().start + 8).unwrap();
    (1..=page.item_count()).map(code).collect()
}

/// The meta page of an index with 2 buckets and no bitmap.
fn meta_page() -> Box<Page> {
    init_meta(1.0, 10)
}

fn init_meta(entries: f64, fill_factor: u16) -> Box<Page> {
    let main = [&entries.to_le_bytes()[..], &words(&[450]), &halves(&[fill_factor])].concat();
    redone(&record(INIT_META_PAGE, &main).block(BlockBytes::new(0)), 0, &Page::zeroed()).unwrap()
}

fn word(page: &Page, at: usize) -> u32 {
    page.u32_at(at).unwrap()
}

fn change_of(record: &RecordBytes, id: u8, before: &Page) -> (Opaque, Opaque) {
    let after = redone(record, id, before).unwrap();
    assert_eq!(after.lsn(), END);
    (Opaque::of(before).unwrap(), Opaque::of(&after).unwrap())
}

#[test]
fn an_index_begins_with_its_meta_page() {
    let page = meta_page();
    assert_eq!(Opaque::of(&page).unwrap(), Opaque::new(META));
    assert_eq!((page.lower(), page.upper()), (4568, 8176));
    assert_eq!(page.0[24..40], words(&[0x0644_0640, 4, 0, 0]));
    assert_eq!(page.0[40..48], halves(&[10, 8152, 4096, 15]));
    assert_eq!(page.0[48..80], words(&[1, 3, 1, 1, 0, 0, 450, 0]));
    assert_eq!(word(&page, 80), 1, "a page at splitpoint 1");
    assert!(page.0[84..4568].iter().all(|byte| *byte == 0));
}

/// Buckets, masks and splitpoint of an index that expects that many entries, 10 to a bucket.
#[test]
fn an_index_begins_with_as_many_buckets_as_it_expects_to_need() {
    let begun = |entries: f64, fill_factor| {
        let page = init_meta(entries, fill_factor);
        let splitpoint = word(&page, 60);
        let spares = (0..98).filter(|index| word(&page, 76 + 4 * index) != 0).collect::<Vec<_>>();
        assert_eq!(spares, [usize::try_from(splitpoint).unwrap()]);
        [word(&page, 48) + 1, word(&page, 52), word(&page, 56), splitpoint]
    };
    assert_eq!(begun(20.0, 10), [2, 3, 1, 1]);
    assert_eq!(begun(30.0, 10), [4, 7, 3, 2]);
    assert_eq!(begun(5120.0, 10), [512, 1023, 511, 9]);
    assert_eq!(begun(5130.0, 10), [640, 1023, 511, 10]);
    assert_eq!(begun(7000.0, 10), [768, 1023, 511, 11]);
    assert_eq!(begun(10240.0, 10), [1024, 2047, 1023, 13]);
    assert_eq!(begun(10250.0, 10), [1280, 2047, 1023, 14]);
    assert_eq!(begun(1e300, 10), [0x4000_0000, 0x7fff_ffff, 0x3fff_ffff, 93]);
    assert_eq!(begun(1.0, 0), [0x4000_0000, 0x7fff_ffff, 0x3fff_ffff, 93]);
    assert_eq!(begun(f64::NAN, 10)[0], 1);
}

#[test]
fn the_first_bitmap_is_behind_the_buckets() {
    let init = record(INIT_BITMAP_PAGE, &halves(&[4096]))
        .block(BlockBytes::new(0))
        .block(BlockBytes::new(1));
    let bitmap = redone(&init, 0, &Page::zeroed()).unwrap();
    assert_eq!(Opaque::of(&bitmap).unwrap(), Opaque::new(BITMAP));
    assert_eq!(bitmap.lower(), 24 + 4096);
    assert!(bitmap.0[24..4120].iter().all(|byte| *byte == 0xff));
    assert!(bitmap.0[4120..8176].iter().all(|byte| *byte == 0));
    let meta = redone(&init, 1, &meta_page()).unwrap();
    assert_eq!((word(&meta, 68), word(&meta, 468)), (1, 3));
    let mut full = meta_page();
    full.put(68, &words(&[1024])).unwrap();
    assert!(matches!(redone(&init, 1, &full), Err(RedoError::Mismatch(_))));
    let long = record(INIT_BITMAP_PAGE, &halves(&[8160])).block(BlockBytes::new(0));
    assert_eq!(redone(&long, 0, &full), Err(PageError::Full(8160).into()));
}

#[test]
fn an_entry_is_inserted_and_counted() {
    let insert = record(INSERT, &halves(&[2]))
        .block(BlockBytes::new(0).data(&entry(7)))
        .block(BlockBytes::new(1));
    assert_eq!(codes(&redone(&insert, 0, &bucket(&[5, 9])).unwrap()), [5, 7, 9]);
    let meta = redone(&insert, 1, &meta_page()).unwrap();
    assert_eq!(meta.0[32..40], 1.0_f64.to_le_bytes());
    let set = record(UPDATE_META_PAGE, &2.5_f64.to_le_bytes()).block(BlockBytes::new(0));
    assert_eq!(redone(&set, 0, &meta).unwrap().0[32..40], 2.5_f64.to_le_bytes());
    assert!(redone(&insert, 0, &bucket(&[])).is_err());
}

#[test]
fn an_overflow_page_is_added() {
    let add = |reused: u8, new_bitmap: bool| {
        let made = record(ADD_OVFL_PAGE, &[0, 16, reused])
            .block(BlockBytes::new(0).number(20).data(&words(&[6])))
            .block(BlockBytes::new(1).number(19))
            .block(BlockBytes::new(2).data(&words(&[35])))
            .block(BlockBytes::new(4).data(&words(&[36])));
        if new_bitmap { made.block(BlockBytes::new(3).number(21)) } else { made }
    };
    let empty = redone(&add(0, false), 0, &bucket(&[1])).unwrap();
    let opaque = Opaque { previous: 19, bucket: 6, ..Opaque::new(OVERFLOW) };
    assert_eq!((Opaque::of(&empty).unwrap(), empty.item_count()), (opaque, 0));
    let (before, after) = change_of(&add(0, false), 1, &bucket(&[1]));
    assert_eq!(after, Opaque { next: 20, ..before });
    let bitmap = redone(&add(0, false), 2, &page(BITMAP, &[])).unwrap();
    assert_eq!(bitmap.0[24..32], words(&[0, 1 << 3]));
    assert_eq!(redone(&add(0, true), 3, &Page::zeroed()).unwrap().lower(), 24 + 4096);
    let numbers = |reused, new_bitmap| {
        let meta = redone(&add(reused, new_bitmap), 4, &meta_page()).unwrap();
        [word(&meta, 64), word(&meta, 80), word(&meta, 68), word(&meta, 468)]
    };
    assert_eq!(numbers(1, true), [36, 1, 0, 0]);
    assert_eq!(numbers(0, false), [36, 2, 0, 0]);
    assert_eq!(numbers(0, true), [36, 3, 1, 21]);
    let mut wrong = meta_page();
    wrong.put(60, &words(&[98])).unwrap();
    assert!(matches!(redone(&add(0, false), 4, &wrong), Err(RedoError::Mismatch(_))));
    let outside =
        record(ADD_OVFL_PAGE, &[0, 16, 0]).block(BlockBytes::new(2).data(&words(&[8152 * 8])));
    assert!(matches!(redone(&outside, 2, &page(BITMAP, &[])), Err(RedoError::Record(_))));
}

#[test]
fn pgwal_4_bits_and_counts_are_changed_where_they_are_and_nowhere_else() {
    let add = record(ADD_OVFL_PAGE, &[0, 16, 0])
        .block(BlockBytes::new(2).data(&words(&[35])))
        .block(BlockBytes::new(4).data(&words(&[36])));
    let split =
        record(SPLIT_ALLOCATE_PAGE, &[9, 0, 0, 0, 0x22, 0, 0x12, 0, 0]).block(BlockBytes::new(2));
    let counts = [
        record(INIT_BITMAP_PAGE, &[0, 16]).block(BlockBytes::new(1)),
        record(INSERT, &[1, 0]).block(BlockBytes::new(1)),
        record(UPDATE_META_PAGE, &[0; 8]).block(BlockBytes::new(0)),
    ];
    let full = bucket(&[1; 300]);
    let refused = |record: &RecordBytes, id| redone(record, id, &full).unwrap_err();
    for (record, id) in
        [(&add, 2), (&add, 4), (&split, 2)].into_iter().chain(counts.iter().zip([1, 1, 0]))
    {
        assert!(matches!(refused(record, id), RedoError::Mismatch(_)), "{record:?}");
    }
}

#[test]
fn a_bucket_is_split() {
    let allocate = |changes: u8, data: &[u32]| {
        let main = [&words(&[9])[..], &halves(&[0x22, 0x12]), &[changes]].concat();
        (0..2)
            .fold(record(SPLIT_ALLOCATE_PAGE, &main), |made, id| made.block(BlockBytes::new(id)))
            .block(BlockBytes::new(2).data(&words(data)))
    };
    let (before, after) = change_of(&allocate(0, &[]), 0, &bucket(&[1]));
    assert_eq!(after, Opaque { flags: 0x22, previous: 9, ..before });
    let new = redone(&allocate(0, &[]), 1, &Page::zeroed()).unwrap();
    let opaque = Opaque { previous: 9, bucket: 9, ..Opaque::new(0x12) };
    assert_eq!(Opaque::of(&new).unwrap(), opaque);
    let numbers = |changes, data: &[u32]| {
        let meta = redone(&allocate(changes, data), 2, &meta_page()).unwrap();
        [48, 52, 56, 60, 88].map(|at| word(&meta, at))
    };
    assert_eq!(numbers(0, &[]), [9, 3, 1, 1, 0]);
    assert_eq!(numbers(1, &[7, 15]), [9, 15, 7, 1, 0]);
    assert_eq!(numbers(2, &[3, 77]), [9, 3, 1, 3, 77]);
    assert_eq!(numbers(3, &[7, 15, 3, 77]), [9, 15, 7, 3, 77]);
    assert!(redone(&allocate(3, &[7, 15, 98, 77]), 2, &meta_page()).is_err());
    let complete = record(SPLIT_COMPLETE, &halves(&[0x42, 0x02]));
    let complete = complete.block(BlockBytes::new(0)).block(BlockBytes::new(1));
    for (id, flags) in [(0, 0x42), (1, 0x02)] {
        let (before, after) = change_of(&complete, id, &bucket(&[1]));
        assert_eq!(after, Opaque { flags, ..before });
    }
    let cleanup = record(SPLIT_CLEANUP, &[]).block(BlockBytes::new(0));
    let (before, after) = change_of(&cleanup, 0, &bucket(&[1]));
    assert_eq!(after, Opaque { flags: BUCKET | HAS_DEAD, ..before });
    let image = record(SPLIT_PAGE, &[]).block(BlockBytes::new(0));
    assert_eq!(redone(&image, 0, &bucket(&[1])), Err(NO_IMAGE));
}

#[test]
fn entries_move_to_a_page_before() {
    let moved = [halves(&[1, 3]), entry(4), entry(6)].concat();
    let contents = |to_first: u8| {
        record(MOVE_PAGE_CONTENTS, &[2, 0, to_first])
            .block(BlockBytes::new(0))
            .block(BlockBytes::new(1).data(&moved))
            .block(BlockBytes::new(2).data(&halves(&[1, 3])))
    };
    assert_eq!(codes(&redone(&contents(0), 1, &bucket(&[5, 7])).unwrap()), [4, 5, 6, 7]);
    assert_eq!(codes(&redone(&contents(0), 2, &bucket(&[4, 5, 6])).unwrap()), [5]);
    let locked = bucket(&[1, 2]);
    assert_eq!(redone(&contents(0), 0, &locked).unwrap(), locked, "with its LSN");
    let unknown = redone(&contents(1), 0, &locked);
    assert!(matches!(unknown, Err(RedoError::Unknown { block: 0, .. })));
    for main in [[1, 0, 0], [3, 0, 0]] {
        let made = record(MOVE_PAGE_CONTENTS, &main).block(BlockBytes::new(1).data(&moved));
        assert!(matches!(redone(&made, 1, &bucket(&[5])), Err(RedoError::Record(_))));
    }
}

#[test]
fn an_overflow_page_is_freed() {
    let squeeze = |count: u8, to_first: u8, to_previous: u8| {
        let main = [&words(&[30, 31])[..], &[count, 0, to_first, to_previous]].concat();
        let moved = [halves(&[2]), entry(6)].concat();
        let moved = if count > 0 { moved } else { Vec::new() };
        (2..5)
            .fold(record(SQUEEZE_PAGE, &main), |made, id| made.block(BlockBytes::new(id)))
            .block(BlockBytes::new(0))
            .block(BlockBytes::new(1).data(&moved))
            .block(BlockBytes::new(5).data(&words(&[35])))
            .block(BlockBytes::new(6).data(&words(&[12])))
    };
    let before = bucket(&[5, 7]);
    let opaque = |record: &RecordBytes, id| change_of(record, id, &before).1;
    let known = Opaque::of(&before).unwrap();
    assert_eq!(codes(&redone(&squeeze(1, 0, 0), 1, &before).unwrap()), [5, 6, 7]);
    assert_eq!(opaque(&squeeze(1, 0, 0), 1), known);
    assert_eq!(opaque(&squeeze(0, 1, 1), 1), Opaque { next: 31, ..known });
    let free = redone(&squeeze(1, 0, 0), 2, &before).unwrap();
    assert_eq!((Opaque::of(&free).unwrap(), free.item_count()), (Opaque::new(0), 0));
    assert_eq!(opaque(&squeeze(1, 0, 0), 3), Opaque { next: 31, ..known });
    assert!(matches!(redone(&squeeze(1, 0, 1), 3, &before), Err(RedoError::Unknown { .. })));
    assert_eq!(opaque(&squeeze(1, 0, 0), 4), Opaque { previous: 30, ..known });
    let mut bitmap = page(BITMAP, &[]);
    bitmap.put(24, &words(&[u32::MAX, u32::MAX])).unwrap();
    let bitmap = redone(&squeeze(1, 0, 0), 5, &bitmap).unwrap();
    assert_eq!(bitmap.0[24..32], words(&[u32::MAX, !(1 << 3)]));
    let meta = redone(&squeeze(1, 0, 0), 6, &meta_page()).unwrap();
    assert_eq!(word(&meta, 64), 12);
    assert_eq!(redone(&squeeze(1, 0, 0), 0, &before).unwrap(), before);
    assert!(matches!(redone(&squeeze(1, 1, 0), 0, &before), Err(RedoError::Unknown { .. })));
}

#[test]
fn entries_are_deleted() {
    let before = bucket(&[1, 2, 3, 4]);
    let delete = |clear: u8, first: u8| {
        record(DELETE, &[clear, first])
            .block(BlockBytes::new(0))
            .block(BlockBytes::new(1).data(&halves(&[2, 3])))
    };
    let after = redone(&delete(0, 0), 1, &before).unwrap();
    assert_eq!((codes(&after), Opaque::of(&after)), (alloc::vec![1, 4], Opaque::of(&before)));
    let after = Opaque::of(&redone(&delete(1, 1), 1, &before).unwrap()).unwrap();
    assert_eq!(after.flags, BUCKET | NEEDS_SPLIT_CLEANUP);
    assert_eq!(redone(&delete(1, 0), 0, &before).unwrap(), before);
    let vacuum = |count: u32, numbers: &[u16]| {
        record(VACUUM_ONE_PAGE, &[words(&[700, count]), halves(numbers)].concat())
            .block(BlockBytes::new(0))
            .block(BlockBytes::new(1))
    };
    let after = redone(&vacuum(2, &[1, 4]), 0, &before).unwrap();
    assert_eq!(codes(&after), [2, 3]);
    assert_eq!(Opaque::of(&after).unwrap().flags, BUCKET | NEEDS_SPLIT_CLEANUP);
    let meta = redone(&vacuum(2, &[1, 4]), 1, &meta_page()).unwrap();
    assert_eq!(meta.0[32..40], (-2.0_f64).to_le_bytes());
    for (count, numbers) in [(3, [1, 4]), (2, [1, 5]), (u32::MAX, [1, 4])] {
        assert!(redone(&vacuum(count, &numbers), 0, &before).is_err());
    }
}

#[test]
fn only_what_the_log_does_not_determine_is_masked() {
    let masked = |page: &Page| {
        let mut page = page.clone();
        mask(&mut page).unwrap();
        page
    };
    let with = |flags, state| {
        let mut page = page(flags, &[entry(1)]);
        let line = page.line(1).unwrap();
        page.set_line(1, Line { state, ..line }).unwrap();
        masked(&page)
    };
    let (normal, dead) = (LineState::Normal, LineState::Dead);
    assert_eq!(with(BUCKET, normal), with(BUCKET | HAS_DEAD, dead));
    assert_eq!(with(OVERFLOW, normal), with(OVERFLOW | HAS_DEAD, dead));
    assert_ne!(with(BUCKET, normal), with(BUCKET | NEEDS_SPLIT_CLEANUP, normal));
    assert_ne!(with(META, normal), with(META, dead));
    let free = with(0, normal);
    assert!(free.0[24..].iter().all(|byte| *byte == 0));
    assert_eq!((free.lower(), free.upper(), free.special()), (0, 0, 8176));
    let mut changed = meta_page();
    changed.set_lsn(Lsn(7));
    assert_eq!(masked(&meta_page()), masked(&changed));
    changed.put(64, &words(&[NO_BUCKET])).unwrap();
    assert_ne!(masked(&meta_page()), masked(&changed));
}

fn any_hash_page() -> impl Strategy<Value = Box<Page>> {
    let items = proptest::collection::vec(any::<u32>(), 0..12)
        .prop_map(|codes| codes.into_iter().map(entry).collect::<Vec<_>>());
    prop_oneof![
        4 => (0..256_u16, items).prop_map(|(flags, items)| page(flags, &items)),
        2 => proptest::collection::vec((24..480_usize, any::<u8>()), 0..20).prop_map(|bytes| {
            let mut page = meta_page();
            for (at, byte) in bytes {
                page.put(at, &[byte]).unwrap();
            }
            page
        }),
        1 => any_page(),
    ]
}

fn any_data() -> impl Strategy<Value = Vec<u8>> {
    let numbers = || proptest::collection::vec(0..12_u16, 0..6).prop_map(|row| halves(&row));
    let entries = proptest::collection::vec(any::<u32>(), 0..4)
        .prop_map(|codes| codes.into_iter().flat_map(entry).collect::<Vec<_>>());
    prop_oneof![
        numbers(),
        proptest::collection::vec(0..100_u32, 0..5).prop_map(|row| words(&row)),
        (numbers(), entries).prop_map(|(numbers, entries)| [numbers, entries].concat()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn any_hash_record() -> impl Strategy<Value = RecordBytes> {
    let main = prop_oneof![
        proptest::collection::vec(0..4_u8, 0..24),
        proptest::collection::vec(any::<u8>(), 0..24),
    ];
    (0..16_u8, main, proptest::collection::vec(any_data(), 8)).prop_map(|(kind, main, data)| {
        let record = record(kind << 4, &main);
        (0..).zip(&data).fold(record, |made, (id, data)| made.block(BlockBytes::new(id).data(data)))
    })
}

proptest! {
    /// PGWAL-1, PGWAL-2, PGWAL-3, PGWAL-4
    #[test]
    fn pgwal_1_no_record_makes_the_redo_of_a_hash_index_panic(
        record in any_hash_record(),
        page in any_hash_page(),
    ) {
        check_any(&record, &page);
    }
}
