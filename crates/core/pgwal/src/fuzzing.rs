//! Hostile bytes for everything here, for fuzz targets and for tests. Nothing else may use it.

mod log;
mod page;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::effects::Effect;
use crate::fields::Fields;
use crate::lsn::Lsn;
use crate::page::Page;
use crate::record::{Block, Fork, Major, Record, Relation};
use crate::rmgr::Rmgr;

pub use log::stream;
pub use page::check_redo;

/// The resource managers that change pages.
const REDO: [Rmgr; 11] = [
    Rmgr::Heap,
    Rmgr::Heap2,
    Rmgr::Btree,
    Rmgr::Hash,
    Rmgr::Gin,
    Rmgr::Gist,
    Rmgr::SpGist,
    Rmgr::Brin,
    Rmgr::Sequence,
    Rmgr::Generic,
    Rmgr::Xlog,
];

const IN_ORDER: u8 = 0x80;

const END: Lsn = Lsn(0x12_3456_7890);
const XID: u32 = 700;

fn record<'a>(rmgr: u8, info: u8, blocks: Vec<Block<'a>>, main: &'a [u8]) -> Record<'a> {
    Record {
        major: Major::V15,
        start: Lsn(END.0 - 64),
        end: END,
        previous: Lsn(END.0 - 128),
        xid: XID,
        info,
        rmgr,
        origin: 3,
        top_xid: 0,
        blocks,
        main,
    }
}

/// A record against a page, once for each of its blocks.
///
/// | offset | bytes | what |
/// |---|---|---|
/// | 0 | 1 | the resource manager: an index of those that change pages; the upper bit: a page in order |
/// | 1 | 1 | the record's info |
/// | 2 | 1 | a bit for each block, 0 to 7, that there is |
/// | 3 | 1 | a bit for each block that begins anew |
/// | 4 | 1 | the number of block 0; the others follow |
/// | 5 | 2 + 2 + 2 | lengths of the next three |
/// | 11 | | main data; the data of each block; how the page begins, or its items |
/// | | | how the page ends, or its special space; between both are zeros |
pub fn redo(bytes: &[u8]) {
    let mut fields = Fields::new(bytes);
    let Ok([rmgr, info, present, anew, base, ..]) = fields.take(11) else { return };
    let mut lengths = Fields::new(&bytes[5..11]);
    let mut next = || {
        let len = usize::from(lengths.u16().expect("six bytes"));
        fields.take(len.min(fields.rest().len())).expect("there are as many")
    };
    let (main, data, start) = (next(), next(), next());
    let (in_order, end) = (rmgr & IN_ORDER != 0, fields.rest());
    let page = if in_order { page::in_order(start, end) } else { page::between(start, end) };
    let Some(page) = page else { return };
    let has = |bits: u8, id: u8| bits & (1 << id) != 0;
    let block = |id: u8| Block {
        id,
        relation: Relation { tablespace: 1663, database: 5, number: 16_384 },
        fork: Fork::Main,
        number: base.wrapping_add(id).into(),
        will_init: has(*anew, id),
        image: None,
        data,
    };
    let blocks = (0..8).filter(|id| has(*present, *id)).map(block).collect();
    let rmgr = REDO[usize::from(rmgr & !IN_ORDER) % REDO.len()];
    check_record(&record(rmgr.number(), *info, blocks, main), &page);
}

/// What a record does beyond pages: its resource manager, its info, its main data.
pub fn effects(bytes: &[u8]) {
    let Some(([rmgr, info], main)) = bytes.split_first_chunk() else { return };
    check_effects(&record(*rmgr, *info, Vec::new(), main));
}

fn check_record(record: &Record<'_>, page: &Page) {
    for block in &record.blocks {
        check_redo(record, block, page);
    }
    check_effects(record);
    let Ok(clears) = crate::redo::visibility_clears(record) else { return };
    assert!(clears.len() <= 2);
    for clear in clears {
        let mut map = page.clone();
        crate::redo::clear_visibility(&mut map, clear.heap_block, clear.bits);
        assert!(!crate::redo::clear_visibility(&mut map, clear.heap_block, clear.bits));
    }
}

/// No more comes out than the record has bytes for.
fn check_effects(record: &Record<'_>) {
    let Ok(effects) = crate::effects::effects(record) else { return };
    assert!(effects.len() <= record.main.len() / 4 + 2);
    for effect in &effects {
        let len = match effect {
            Effect::Finished(ended) => {
                ended.subtransactions.len() * 4 + ended.dropped().count() * 12
            }
            Effect::MultiXact { members, .. } => members.len() * 8,
            Effect::RelationMap { bytes, .. } => bytes.len(),
            Effect::Prepared(prepared) => prepared.state.len(),
            _ => 0,
        };
        assert!(len <= record.main.len());
    }
}
