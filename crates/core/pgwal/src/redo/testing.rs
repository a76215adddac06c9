//! Records made by hand, and what every redo must stand.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::error::RedoError;
use crate::lsn::Lsn;
use crate::page::{PAGE_BYTES, Page, Place};
use crate::record::{Block, Fork, Major, Record, Relation};
use crate::rmgr::Rmgr;

/// The end of every record made here.
pub(super) const END: Lsn = Lsn(0x12_3456_7890);

/// A block of a record, with its data.
#[derive(Clone, Debug)]
pub(super) struct BlockBytes {
    id: u8,
    number: u32,
    will_init: bool,
    data: Vec<u8>,
}

impl BlockBytes {
    pub(super) fn new(id: u8) -> Self {
        Self { id, number: u32::from(id) + 100, will_init: false, data: Vec::new() }
    }

    pub(super) fn number(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// Its page is made anew.
    pub(super) fn will_init(self, will_init: bool) -> Self {
        Self { will_init, ..self }
    }

    pub(super) fn data(self, data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..self }
    }
}

/// Bytes of a record, field by field.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn u8(self, value: u8) -> Self {
        self.put(&[value])
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn u16s(self, values: &[u16]) -> Self {
        values.iter().fold(self, |bytes, value| bytes.u16(*value))
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A record with its bytes.
#[derive(Clone, Debug)]
pub(super) struct RecordBytes {
    rmgr: Rmgr,
    info: u8,
    main: Vec<u8>,
    blocks: Vec<BlockBytes>,
}

impl RecordBytes {
    pub(super) fn new(rmgr: Rmgr, info: u8) -> Self {
        Self { rmgr, info, main: Vec::new(), blocks: Vec::new() }
    }

    pub(super) fn main(self, main: &[u8]) -> Self {
        Self { main: main.to_vec(), ..self }
    }

    pub(super) fn block(mut self, block: BlockBytes) -> Self {
        self.blocks.push(block);
        self
    }

    pub(super) fn record(&self) -> Record<'_> {
        let block = |bytes| {
            let BlockBytes { id, number, will_init, data }: &BlockBytes = bytes;
            Block {
                id: *id,
                relation: Relation { tablespace: 1663, database: 5, number: 16_384 },
                fork: Fork::Main,
                number: *number,
                will_init: *will_init,
                image: None,
                data,
            }
        };
        Record {
            major: Major::V15,
            start: Lsn(END.0 - 64),
            end: END,
            previous: Lsn(END.0 - 128),
            xid: 700,
            info: self.info,
            rmgr: self.rmgr.number(),
            origin: 0,
            top_xid: 0,
            blocks: self.blocks.iter().map(block).collect(),
            main: &self.main,
        }
    }
}

/// The page after the redo of a block.
pub(super) fn redone(record: &RecordBytes, id: u8, before: &Page) -> Result<Box<Page>, RedoError> {
    let (record, mut page) = (record.record(), Box::new(before.clone()));
    crate::redo(&record, record.expect_block(id)?, &mut page)?;
    Ok(page)
}

/// A page whose header is in order, with items and a special space; the space may hold anything.
fn ordered_page() -> impl Strategy<Value = Box<Page>> {
    let items = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..20);
    let special = proptest::collection::vec(any::<u8>(), 0..40);
    (items, special, any::<u8>()).prop_map(|(items, special, hole)| {
        let mut page = Page::zeroed();
        page.init(special.len()).unwrap();
        let (lower, upper) = (page.lower(), page.upper());
        page.0[lower..upper].fill(hole);
        page.put(page.special(), &special).unwrap();
        for item in &items {
            page.add_item(item, Place::Any).unwrap();
        }
        page
    })
}

/// A page of any bytes; now and then its header is near what a header can be.
fn random_page() -> impl Strategy<Value = Box<Page>> {
    let bytes = proptest::collection::vec(any::<u8>(), PAGE_BYTES);
    let header = proptest::option::of(proptest::array::uniform3(0..8300_u16));
    (bytes, header).prop_map(|(bytes, header)| {
        let mut page = Page::zeroed();
        page.put(0, &bytes).unwrap();
        for (at, value) in (12..).step_by(2).zip(header.into_iter().flatten()) {
            page.put(at, &value.to_le_bytes()).unwrap();
        }
        page
    })
}

/// Pages from well formed to random.
pub(super) fn any_page() -> impl Strategy<Value = Box<Page>> {
    prop_oneof![3 => ordered_page(), 1 => random_page(), 1 => Just(Page::zeroed())]
}

/// Bytes that look like the small numbers that records are full of, or like nothing.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![2 => Just(0), 3 => 0..8_u8, 1 => any::<u8>()];
    proptest::collection::vec(byte, 0..200)
}

/// Records of a resource manager of any kind, with blocks 0 to 4 and any bytes.
pub(super) fn any_record(rmgr: Rmgr) -> impl Strategy<Value = RecordBytes> {
    let data = proptest::collection::vec(any_bytes(), 5);
    (0..16_u8, any_bytes(), data).prop_map(move |(kind, main, data)| {
        let record = RecordBytes::new(rmgr, kind << 4).main(&main);
        (0..)
            .zip(&data)
            .fold(record, |record, (id, data)| record.block(BlockBytes::new(id).data(data)))
    })
}

/// A record that is right: its kind, its main data, and the data of any block.
pub(super) type Sample = (u8, Vec<u8>, Vec<u8>);

/// These records with some bytes changed, and with any blocks.
pub(super) fn near_record(rmgr: Rmgr, samples: Vec<Sample>) -> impl Strategy<Value = RecordBytes> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), 0..6_u8), 0..4);
    let sample = (prop::sample::select(samples), changes).prop_map(|(mut sample, changes)| {
        for (at, byte) in changes {
            let (main, data) = (&mut sample.1, &mut sample.2);
            let at = at.index(main.len() + data.len());
            let place = main.get_mut(at).or_else(|| data.get_mut(at));
            place.into_iter().for_each(|place| *place = byte);
        }
        sample
    });
    let blocks = proptest::collection::btree_map(0..5_u8, (0..4_u32, any::<bool>()), 1..6);
    (sample, blocks).prop_map(move |((kind, main, data), blocks)| {
        let record = RecordBytes::new(rmgr, kind).main(&main);
        blocks.into_iter().fold(record, |record, (id, (number, new))| {
            record.block(BlockBytes::new(id).number(number).will_init(new).data(&data))
        })
    })
}

/// A page with items that say their length at each place where some index looks for it.
pub(super) fn near_page(special_bytes: usize) -> impl Strategy<Value = Box<Page>> {
    let item = (1..12_u8, 0..4_u8, any::<[u8; 4]>()).prop_map(|(words, state, rest)| {
        let len = words * 8;
        let header = [(len << 2) | state, 0, 0, 0, len, 0, len, 0];
        let item = header.into_iter().chain(rest.into_iter().cycle());
        item.take(len.into()).collect::<Vec<u8>>()
    });
    let special = proptest::collection::vec(any::<u8>(), special_bytes);
    (proptest::collection::vec(item, 0..8), special).prop_map(|(items, special)| {
        let mut page = page_with(&special);
        for item in items {
            page.add_item(&item, Place::Any).unwrap();
        }
        page
    })
}

/// An empty page with this special space.
pub(super) fn page_with(special: &[u8]) -> Box<Page> {
    let mut page = Page::zeroed();
    page.init(special.len()).unwrap();
    let at = page.special();
    page.put(at, special).unwrap();
    page
}

/// All items of a page.
pub(super) fn items(page: &Page) -> Vec<Vec<u8>> {
    (1..=page.item_count()).map(|number| page.item(number).unwrap().to_vec()).collect()
}

/// Whatever the bytes: PGWAL-1 to PGWAL-4.
pub(super) fn check_any(record: &RecordBytes, before: &Page) {
    let record = record.record();
    record.blocks.iter().for_each(|block| crate::fuzzing::check_redo(&record, block, before));
}

proptest! {
    /// PGWAL-1, PGWAL-2, PGWAL-3, PGWAL-4
    #[test]
    fn pgwal_1_no_record_makes_a_redo_panic(
        record in prop_oneof![
            5 => any_record(Rmgr::Gin),
            3 => any_record(Rmgr::Brin),
            2 => any_record(Rmgr::Gist),
            2 => any_record(Rmgr::SpGist),
            1 => any_record(Rmgr::Sequence),
            1 => any_record(Rmgr::Generic),
            1 => any_record(Rmgr::Xlog),
        ],
        page in any_page(),
    ) {
        check_any(&record, &page);
    }
}
