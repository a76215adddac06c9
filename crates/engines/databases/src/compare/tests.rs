use super::rules::kind;
use super::*;
use cairn_pgwal::page::Place;

#[test]
fn names_of_files_are_read() {
    assert_eq!(file_name("16384"), Some((16384, Fork::Main, 0)));
    assert_eq!(file_name("16384.2"), Some((16384, Fork::Main, 2)));
    assert_eq!(file_name("16384_fsm"), Some((16384, Fork::FreeSpace, 0)));
    assert_eq!(file_name("16384_vm.1"), Some((16384, Fork::Visibility, 1)));
    assert_eq!(file_name("16384_init"), Some((16384, Fork::Init, 0)));
    for other in
        ["PG_VERSION", "pg_filenode.map", "t3_16384", "16384_x", "16384.99999", "pgsql_tmp", ""]
    {
        assert_eq!(file_name(other), None, "{other}");
    }
}

#[test]
fn pages_are_told_apart_by_their_special_space() {
    let marked = |bytes: usize, mark: u16| {
        let mut page = Page::zeroed();
        page.init(bytes).unwrap();
        page.put(PAGE_BYTES - 2, &mark.to_le_bytes()).unwrap();
        kind(&page)
    };
    assert_eq!(kind(&Page::zeroed()), None);
    assert_eq!(marked(8, 0xf092), Some(Rmgr::Brin));
    assert_eq!(marked(8, 0xff82), Some(Rmgr::SpGist));
    assert_eq!(marked(8, 0x0001), Some(Rmgr::Gin));
    assert_eq!(marked(16, 0xff80), Some(Rmgr::Hash));
    assert_eq!(marked(16, 0xff81), Some(Rmgr::Gist));
    assert_eq!(marked(16, 0), Some(Rmgr::Btree));
    let mut heap = Page::zeroed();
    heap.init(0).unwrap();
    assert_eq!(kind(&heap), Some(Rmgr::Heap));
}

/// Identical, equal, excepted and different pages.
fn counts(comparison: &Comparison) -> [u64; 4] {
    let excepted = comparison.excepted.values().sum();
    [comparison.identical, comparison.equal, excepted, comparison.different]
}

#[test]
fn a_page_counts_as_what_it_is() {
    let mut comparison = Comparison::new(Side::Stock, Copied::new());
    let block = (Relation::default(), Fork::Main, 0);
    let mut page = Page::zeroed();
    page.init(0).unwrap();
    let mut hinted = page.clone();
    hinted.set_prune_xid(9);
    let mut other = page.clone();
    other.set_lower(28);
    comparison.page(block, &page, &page);
    comparison.page(block, &page, &hinted);
    comparison.page(block, &page, &other);
    assert_eq!(counts(&comparison), [1, 1, 0, 1]);
}

#[test]
fn every_bit_of_a_visibility_map_counts_but_those_that_the_log_lost() {
    let map = (Relation::default(), Fork::Visibility, 0);
    let mut page = Page::zeroed();
    page.init(0).unwrap();
    let mut bit = page.clone();
    bit.0[4000] = 1;
    let copied = Copied::from([(0, 0)]);
    for (side, copied, expected) in [
        (Side::Stock, copied.clone(), [0, 1, 0, 2]),
        (Side::Writer, Copied::new(), [0, 1, 0, 2]),
        (Side::Writer, copied, [0, 1, 1, 1]),
    ] {
        let mut comparison = Comparison::new(side, copied);
        comparison.page(map, &page, &Page::zeroed());
        comparison.page(map, &page, &bit);
        comparison.page(map, &bit, &page);
        assert_eq!(counts(&comparison), expected, "{side:?}");
    }
}

#[test]
fn a_sequence_of_the_writer_may_be_behind() {
    let mut page = Page::zeroed();
    page.init(8).unwrap();
    page.put(PAGE_BYTES - 8, &0x1717_u32.to_le_bytes()).unwrap();
    page.add_item(&[7; 48], Place::Insert(1)).unwrap();
    let row = page.item_range(1).unwrap().start;
    let block = (Relation::default(), Fork::Main, 0);
    for (at, side, expected) in [
        (row + 24, Side::Writer, [0, 0, 1, 0]),
        (row + 40, Side::Writer, [0, 0, 1, 0]),
        (row + 41, Side::Writer, [0, 0, 0, 1]),
        (row + 23, Side::Writer, [0, 0, 0, 1]),
        (row + 24, Side::Stock, [0, 0, 0, 1]),
    ] {
        let mut other = page.clone();
        other.0[at] = 9;
        let mut comparison = Comparison::new(side, Copied::new());
        comparison.page(block, &page, &other);
        assert_eq!(counts(&comparison), expected, "{at} {side:?}");
    }
}

/// A data directory with files of heap pages, each with its free space from there on; 0 is never written.
fn directory(files: &[(&str, &[u32])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for made in ["global", "base/5", "pg_tblspc/16/PG_15_202209061/5"] {
        std::fs::create_dir_all(directory.path().join(made)).unwrap();
    }
    std::fs::write(directory.path().join("PG_VERSION"), "15\n").unwrap();
    for (name, pages) in files {
        let bytes: Vec<u8> = pages
            .iter()
            .flat_map(|lower| {
                let mut page = Page::zeroed();
                if *lower > 0 {
                    page.init(0).unwrap();
                    page.set_lower(usize::try_from(*lower).unwrap());
                }
                page.0
            })
            .collect();
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

#[test]
fn every_page_of_every_file_is_compared() {
    let ours = directory(&[
        ("base/5/PG_VERSION", &[]),
        ("base/5/100", &[24, 28, 0]),
        ("base/5/200", &[24]),
        ("base/5/300", &[24]),
        ("global/400", &[32]),
    ]);
    let theirs = directory(&[
        ("base/5/PG_VERSION", &[]),
        // The second page is another, the third was never written.
        ("base/5/100", &[24, 32]),
        ("base/5/100_fsm", &[24, 24]),
        ("base/5/200", &[28]),
        ("base/5/200_init", &[]),
        ("global/400", &[32]),
        // Only they have it.
        ("pg_tblspc/16/PG_15_202209061/5/500", &[24]),
    ]);
    let mut base = crate::Base::open(ours.path()).unwrap();
    let mut pages = Pages::new(&mut base);
    // Only we have it, as far as it was replayed.
    pages.page(Relation { tablespace: 1663, database: 5, number: 300 }, Fork::Main, 0);
    pages.page(Relation { tablespace: 1663, database: 5, number: 100 }, Fork::Main, 2);
    let found = compare(&mut pages, (Side::Stock, theirs.path()), &Copied::new()).unwrap();
    assert_eq!(counts(&found), [2, 0, 3, 3]);
    let expected = BTreeMap::from([("free space map", 2), ("unlogged", 1)]);
    assert_eq!(found.excepted, expected);
    let numbers: Vec<u32> = found.differences.iter().map(|found| found.block.0.number).collect();
    assert_eq!(numbers, [500, 100, 300]);
}
