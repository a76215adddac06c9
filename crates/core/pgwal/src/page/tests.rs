use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn empty(special: usize) -> Box<Page> {
    let mut page = Page::zeroed();
    page.init(special).unwrap();
    page
}

/// Items do not overlap and lie between upper and special.
fn assert_sound(page: &Page) {
    page.check_header().unwrap();
    let mut ranges: Vec<_> = (1..=page.item_count())
        .filter_map(|number| page.line(number).ok().filter(|line| line.has_item()))
        .map(|line| (usize::from(line.offset), aligned(usize::from(line.len))))
        .collect();
    ranges.sort_unstable();
    let mut end = page.upper();
    for (start, len) in ranges {
        assert!(start >= end, "items overlap");
        end = start + len;
    }
    assert!(end <= page.special());
    page.check_items().unwrap();
}

#[test]
fn items_that_are_not_where_items_may_be_are_found() {
    let mut page = empty(16);
    for item in [&[1; 16][..], &[2; 8], &[3; 9]] {
        page.add_item(item, Place::Any).unwrap();
    }
    page.check_items().unwrap();
    let second = page.line(2).unwrap();
    for (offset, len) in [(second.offset, 9), (second.offset + 4, 4), (8168, 16), (8128, 8)] {
        let mut wrong = page.clone();
        wrong.set_line(2, Line { offset, len, ..second }).unwrap();
        assert!(matches!(wrong.check_items(), Err(PageError::BadItem(1..=2))), "{offset} {len}");
    }
    page.set_upper(page.upper() - 4);
    assert!(matches!(page.check_items(), Err(PageError::Header { .. })));
}

#[test]
fn an_empty_page_is_as_postgresql_makes_it() {
    let page = empty(16);
    assert_eq!(&page.0[10..20], &[0, 0, 24, 0, 0xf0, 0x1f, 0xf0, 0x1f, 4, 0x20]);
    assert!(page.is_empty() && !page.is_new());
    assert_eq!(Page::zeroed().init(9000), Err(PageError::Full(9000)));
}

#[test]
fn items_are_inserted_replaced_and_deleted() {
    let mut page = empty(8);
    for (number, item) in [(1, &b"one"[..]), (1, b"zero"), (3, b"two and more")] {
        page.add_item(item, Place::Insert(number)).unwrap();
    }
    let items = |page: &Page| -> Vec<Vec<u8>> {
        (1..=page.item_count()).map(|n| page.item(n).unwrap().to_vec()).collect()
    };
    assert_eq!(items(&page), [&b"zero"[..], b"one", b"two and more"]);
    page.replace_item(2, b"something longer").unwrap();
    assert_eq!(items(&page), [&b"zero"[..], b"something longer", b"two and more"]);
    page.delete_item(1).unwrap();
    assert_eq!(items(&page), [&b"something longer"[..], b"two and more"]);
    assert_sound(&page);
    assert_eq!(page.delete_item(3), Err(PageError::NoItem(3)));
    assert_eq!(page.add_item(&[0; 9000], Place::Any), Err(PageError::Full(9000)));
    assert_eq!(page.add_item(b"x", Place::Overwrite(1)), Err(PageError::Taken(1)));
}

/// What is done to a page in the property test.
#[derive(Clone, Debug)]
enum Step {
    Add(Vec<u8>, u16),
    Fill(Vec<u8>),
    Delete(u16),
    DeleteInPlace(u16),
    DeleteMany(Vec<u16>),
    Replace(u16, Vec<u8>),
    Free(u16),
    Repair,
    Truncate,
}

fn step() -> impl Strategy<Value = Step> {
    let item = || proptest::collection::vec(any::<u8>(), 1..700);
    prop_oneof![
        6 => (item(), 1..20_u16).prop_map(|(item, at)| Step::Add(item, at)),
        2 => item().prop_map(Step::Fill),
        1 => (1..20_u16).prop_map(Step::Delete),
        1 => (1..20_u16).prop_map(Step::DeleteInPlace),
        1 => proptest::collection::btree_set(1..20_u16, 0..6)
            .prop_map(|numbers| Step::DeleteMany(numbers.into_iter().collect())),
        1 => (1..20_u16, item()).prop_map(|(at, item)| Step::Replace(at, item)),
        1 => (1..20_u16).prop_map(Step::Free),
        1 => Just(Step::Repair),
        1 => Just(Step::Truncate),
    ]
}

fn take(page: &mut Page, step: &Step) -> Result<(), PageError> {
    match step {
        Step::Add(item, at) => page.add_item(item, Place::Insert(*at)).map(drop),
        Step::Fill(item) => page.add_item(item, Place::Any).map(drop),
        Step::Delete(at) => page.delete_item(*at),
        Step::DeleteInPlace(at) => page.delete_item_in_place(*at),
        Step::DeleteMany(numbers) => page.delete_items(numbers),
        Step::Replace(at, item) => page.replace_item(*at, item),
        Step::Free(at) => page.set_line(*at, Line::UNUSED),
        Step::Repair => page.repair_fragmentation(),
        Step::Truncate => {
            page.truncate_lines();
            Ok(())
        }
    }
}

proptest! {
    #[test]
    fn items_never_overlap(steps in proptest::collection::vec(step(), 0..60)) {
        let mut page = empty(16);
        page.special_space_mut(16).unwrap().fill(0x5a);
        for step in &steps {
            take(&mut page, step).unwrap_or_default();
            assert_sound(&page);
            assert!(page.special_space(16).unwrap().iter().all(|byte| *byte == 0x5a));
        }
    }

    /// PGWAL-1
    #[test]
    fn pgwal_1_no_page_makes_a_primitive_panic(
        seed in any::<u64>(),
        header in proptest::array::uniform4(any::<u16>()),
        steps in proptest::collection::vec(step(), 1..12),
    ) {
        let mut page = Page::zeroed();
        let mut state = seed | 1;
        for byte in &mut page.0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[3];
        }
        for (at, value) in (10..).step_by(2).zip(header) {
            let small = value % 8300;
            page.put(at, &small.to_le_bytes()).unwrap();
        }
        for step in &steps {
            take(&mut page, step).unwrap_or_default();
        }
    }
}
