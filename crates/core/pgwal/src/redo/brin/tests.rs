use alloc::boxed::Box;

use super::super::testing::{BlockBytes, END, RecordBytes, redone};
use super::*;
use crate::rmgr::Rmgr;

fn record(kind: u8, main: &[u8]) -> RecordBytes {
    RecordBytes::new(Rmgr::Brin, kind).main(main)
}

fn page_of(kind: u16) -> Box<Page> {
    let mut page = Page::zeroed();
    init(&mut page, kind).unwrap();
    page
}

fn numbers(numbers: &[u32]) -> alloc::vec::Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn regular(items: &[&[u8]]) -> Box<Page> {
    let mut page = page_of(TYPE_REGULAR);
    for item in items {
        page.add_item(item, Place::Any).unwrap();
    }
    page
}

#[test]
fn an_index_begins_with_its_metapage() {
    let main = [&numbers(&[128])[..], &[1, 0]].concat();
    let record = record(CREATE_INDEX, &main).block(BlockBytes::new(0));
    let page = redone(&record, 0, &Page::zeroed()).unwrap();
    assert_eq!(page.0[24..40], numbers(&[META_MAGIC, 1, 128, 0]));
    assert_eq!((page.lower(), page.special(), page.lsn()), (40, 8184, END));
    assert_eq!(page.special_space(8).unwrap(), [0, 0, 0, 0, 0, 0, 0x91, 0xf0]);
}

#[test]
fn a_summary_is_inserted_and_mapped() {
    // Range 1363 is entry 3 of the second page of the map.
    let main = [&numbers(&[1363 * 16 + 5, 16])[..], &[2, 0]].concat();
    let blocks = |record: RecordBytes| {
        record
            .block(BlockBytes::new(0).number(0x0002_0007).data(b"summary"))
            .block(BlockBytes::new(1))
    };
    let insert = blocks(record(INSERT, &main));
    let page = redone(&insert, 0, &regular(&[b"first"])).unwrap();
    assert_eq!(page.item(2).unwrap(), b"summary");
    assert!(redone(&insert, 0, &regular(&[])).is_err(), "number 2 before number 1");
    let map = redone(&insert, 1, &page_of(TYPE_MAP)).unwrap();
    assert_eq!(map.0[24 + 18..24 + 24], [2, 0, 7, 0, 2, 0]);
    assert!(matches!(redone(&insert, 1, &regular(&[])), Err(RedoError::Mismatch(_))));
    let main = [&numbers(&[0, 16])[..], &[1, 0]].concat();
    let on_new = blocks(record(INSERT | INIT_PAGE, &main));
    let page = redone(&on_new, 0, &regular(&[b"a", b"b"])).unwrap();
    assert_eq!((page.item_count(), page.item(1).unwrap()), (1, &b"summary"[..]));
    let no_range = blocks(record(INSERT, &[0; 10]));
    assert!(matches!(redone(&no_range, 1, &page_of(TYPE_MAP)), Err(RedoError::Record(_))));
}

#[test]
fn a_summary_moves_to_another_page() {
    let main = [&[1, 0, 0, 0][..], &numbers(&[32, 16]), &[1, 0]].concat();
    let update = record(UPDATE | INIT_PAGE, &main)
        .block(BlockBytes::new(0).number(9).data(b"longer"))
        .block(BlockBytes::new(1))
        .block(BlockBytes::new(2));
    let new = redone(&update, 0, &Page::zeroed()).unwrap();
    assert_eq!(new.item(1).unwrap(), b"longer");
    let map = redone(&update, 1, &page_of(TYPE_MAP)).unwrap();
    assert_eq!(map.0[24 + 12..24 + 18], [0, 0, 9, 0, 1, 0]);
    let old = redone(&update, 2, &regular(&[b"short", b"stays"])).unwrap();
    assert!(!old.line(1).unwrap().is_used());
    assert_eq!(old.item(2).unwrap(), b"stays");
}

#[test]
fn a_summary_changes_in_its_place() {
    let update = record(SAME_PAGE_UPDATE, &[1, 0]).block(BlockBytes::new(0).data(b"a longer one"));
    let page = redone(&update, 0, &regular(&[b"one", b"two"])).unwrap();
    assert_eq!((page.item(1).unwrap(), page.item(2).unwrap()), (&b"a longer one"[..], &b"two"[..]));
}

#[test]
fn the_map_is_extended() {
    let extend =
        record(MAP_EXTEND, &numbers(&[3])).block(BlockBytes::new(0)).block(BlockBytes::new(1));
    let mut meta = page_of(TYPE_META);
    let page = redone(&extend, 0, &meta).unwrap();
    assert_eq!((page.0[36..40].to_vec(), page.lower()), (numbers(&[3]), 40));
    meta.init(8).unwrap();
    assert!(matches!(redone(&extend, 0, &meta), Err(RedoError::Mismatch(_))));
    let map = redone(&extend, 1, &regular(&[b"was regular"])).unwrap();
    assert_eq!((map.item_count(), page_type(&map)), (0, Ok(TYPE_MAP)));
}

#[test]
fn pgwal_4_a_page_of_another_shape_or_type_is_refused() {
    let extend = record(MAP_EXTEND, &numbers(&[3])).block(BlockBytes::new(0));
    let mut low = page_of(TYPE_META);
    low.set_upper(24);
    assert!(matches!(redone(&extend, 0, &low), Err(RedoError::Mismatch(_))));
    // Its map would reach into its special space.
    let mut wide = Page::zeroed();
    wide.init(4096).unwrap();
    wide.put(4096 + TYPE_AT, &TYPE_MAP.to_le_bytes()).unwrap();
    let main = [&numbers(&[800, 1])[..], &[1, 0]].concat();
    let insert =
        record(INSERT, &main).block(BlockBytes::new(0).data(b"summary")).block(BlockBytes::new(1));
    assert!(matches!(redone(&insert, 1, &wide), Err(RedoError::Page(_))));
    assert!(matches!(redone(&insert, 0, &page_of(TYPE_MAP)), Err(RedoError::Mismatch(_))));
    let change = record(SAME_PAGE_UPDATE, &[1, 0]).block(BlockBytes::new(0).data(b"x"));
    assert!(matches!(redone(&change, 0, &page_of(TYPE_MAP)), Err(RedoError::Mismatch(_))));
}

#[test]
fn a_summary_is_taken_back() {
    let main = [&numbers(&[16, 32])[..], &[2, 0]].concat();
    let record = record(DESUMMARIZE, &main).block(BlockBytes::new(0)).block(BlockBytes::new(1));
    let map = redone(&record, 0, &page_of(TYPE_MAP)).unwrap();
    assert_eq!(map.0[24 + 12..24 + 18], [0xff, 0xff, 0xff, 0xff, 0, 0]);
    let page = redone(&record, 1, &regular(&[b"one", b"two", b"three"])).unwrap();
    assert_eq!((page.item_count(), page.line(2).unwrap().is_used()), (3, false));
    assert!(redone(&record, 1, &regular(&[b"one"])).is_err());
}

#[test]
fn only_what_the_log_determines_is_compared() {
    let mut page = regular(&[b"item"]);
    page.put(8188, &EVACUATE.to_le_bytes()).unwrap();
    page.0[100] = 1;
    mask(&mut page).unwrap();
    assert_eq!(page.0[100], 0);
    assert_eq!(page.special_space(8).unwrap(), [0, 0, 0, 0, 0, 0, 0x93, 0xf0]);
    let mut map = page_of(TYPE_MAP);
    map.0[100] = 1;
    mask(&mut map).unwrap();
    assert_eq!(map.0[100], 1, "a page of the map has no hole");
}
