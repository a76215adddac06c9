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
    data: Vec<u8>,
}

impl BlockBytes {
    pub(super) fn new(id: u8) -> Self {
        Self { id, number: u32::from(id) + 100, data: Vec::new() }
    }

    pub(super) fn number(self, number: u32) -> Self {
        Self { number, ..self }
    }

    pub(super) fn data(self, data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..self }
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
            let BlockBytes { id, number, data }: &BlockBytes = bytes;
            Block {
                id: *id,
                relation: Relation { tablespace: 1663, database: 5, number: 16_384 },
                fork: Fork::Main,
                number: *number,
                will_init: false,
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

/// Whatever the bytes: no panic, no change after an error, the same result twice, and a mask that
/// ends.
pub(super) fn check_any(record: &RecordBytes, before: &Page) {
    let record = record.record();
    for block in &record.blocks {
        let mut page = before.clone();
        match crate::redo(&record, block, &mut page) {
            Ok(()) => {
                let mut again = before.clone();
                crate::redo(&record, block, &mut again).unwrap();
                assert_eq!(page, again, "PGWAL-3");
            }
            Err(_) => assert_eq!(page, *before, "PGWAL-2"),
        }
        let masked = crate::mask::mask(&record, &mut page, block.number);
        if masked.is_ok() {
            let once = page.clone();
            // A page of which nothing is left has no header to be masked by.
            if crate::mask::mask(&record, &mut page, block.number).is_ok() {
                assert_eq!(page, once, "what is masked stays so");
            }
        }
    }
}

proptest! {
    /// PGWAL-1, PGWAL-2, PGWAL-3
    #[test]
    fn pgwal_1_no_record_makes_a_redo_panic(
        record in prop_oneof![
            5 => any_record(Rmgr::Gin),
            3 => any_record(Rmgr::Brin),
            1 => any_record(Rmgr::Sequence),
            1 => any_record(Rmgr::Generic),
            1 => any_record(Rmgr::Xlog),
        ],
        page in any_page(),
    ) {
        check_any(&record, &page);
    }
}
