//! What is in a log: its records, counted by kind, and what touched a page.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use cairn_pgwal::{Fork, Lsn, Major, Record, Relation, Rmgr};
use serde::Serialize;

use crate::archive::Archive;
use crate::error::Error;

/// Which records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InspectOptions {
    /// The first one begins here or later; none means with the oldest segment.
    pub from: Option<Lsn>,
    /// The last one ends here or before.
    pub to: Option<Lsn>,
    /// Only those of this resource manager.
    pub rmgr: Option<Rmgr>,
    /// Only those of this transaction.
    pub xid: Option<u32>,
    /// Only those that touch this relation, or this block of it.
    pub relation: Option<(Relation, Option<u32>)>,
}

/// A record, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Where it begins.
    pub lsn: String,
    /// Where it ends.
    pub end: String,
    /// Its resource manager.
    pub rmgr: &'static str,
    /// What it does, as `pg_waldump` calls it; empty for what has no name.
    pub kind: &'static str,
    /// Its resource manager's bits of the info.
    pub info: u8,
    /// Its transaction, 0 for none.
    pub xid: u32,
    /// Its length in bytes, images included.
    pub bytes: u64,
    /// The blocks that it touches.
    pub blocks: Vec<BlockLine>,
}

/// A block of a record, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockLine {
    /// `TABLESPACE/DATABASE/RELATION`.
    pub relation: String,
    /// Which fork: `main`, `fsm`, `vm` or `init`.
    pub fork: &'static str,
    /// The block.
    pub block: u32,
    /// Bytes of an image of the page, as stored; 0 for none.
    pub image_bytes: u64,
    /// Whether the page is begun anew, or taken from the image, whatever was there.
    pub anew: bool,
}

/// Records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindCounts {
    /// The resource manager.
    pub rmgr: &'static str,
    /// What they do.
    pub kind: &'static str,
    /// The resource manager's bits of the info.
    pub info: u8,
    /// How many.
    pub records: u64,
    /// Their bytes without images.
    pub record_bytes: u64,
    /// Images in them.
    pub images: u64,
    /// Bytes of those, as stored.
    pub image_bytes: u64,
}

/// All records that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// Where the first begins.
    pub from: String,
    /// Where the last ends.
    pub to: String,
    /// By resource manager and kind.
    pub kinds: Vec<KindCounts>,
}

/// Reads a log, and tells of every record that is wanted, until `tell` has seen enough.
///
/// # Errors
/// [`Error`].
pub fn inspect(
    archive: &Archive,
    options: &InspectOptions,
    tell: &mut dyn FnMut(&Line) -> ControlFlow<()>,
) -> Result<Inspected, Error> {
    let start = options.from.unwrap_or_else(|| archive.first());
    let mut kinds: BTreeMap<(u8, u8), KindCounts> = BTreeMap::new();
    let (mut first, mut last) = (None, start);
    let mut records = archive.records(start);
    while let Some(raw) = records.advance()? {
        if options.to.is_some_and(|to| raw.end > to) {
            break;
        }
        let bytes = raw.bytes.len() as u64;
        let record = Record::decode(Major::V15, &raw)?;
        (first, last) = (first.or(Some(record.start)), record.end);
        if !options.wants(&record) {
            continue;
        }
        let line = line(&record, bytes);
        let images: u64 = line.blocks.iter().map(|block| block.image_bytes).sum();
        let counts = kinds.entry((record.rmgr, record.kind())).or_insert(KindCounts {
            rmgr: line.rmgr,
            kind: line.kind,
            info: line.info,
            ..KindCounts::default()
        });
        counts.records += 1;
        counts.record_bytes += bytes.saturating_sub(images);
        counts.images += line.blocks.iter().filter(|block| block.image_bytes > 0).count() as u64;
        counts.image_bytes += images;
        if tell(&line).is_break() {
            break;
        }
    }
    Ok(Inspected {
        from: first.unwrap_or(start).to_string(),
        to: last.to_string(),
        kinds: kinds.into_values().collect(),
    })
}

impl InspectOptions {
    fn wants(&self, record: &Record<'_>) -> bool {
        let touches = |(relation, number): (Relation, Option<u32>)| {
            record.blocks.iter().any(|block| {
                block.relation == relation && number.is_none_or(|number| number == block.number)
            })
        };
        self.rmgr.is_none_or(|rmgr| rmgr.number() == record.rmgr)
            && self.xid.is_none_or(|xid| xid == record.xid)
            && self.relation.is_none_or(touches)
    }
}

fn rmgr_name(number: u8) -> &'static str {
    Rmgr::from_number(number).map_or("custom", Rmgr::name)
}

fn kind_name(record: &Record<'_>) -> &'static str {
    Rmgr::from_number(record.rmgr).map_or("", |rmgr| rmgr.kind_name(record.kind()))
}

fn line(record: &Record<'_>, bytes: u64) -> Line {
    let blocks = record.blocks.iter().map(|block| {
        let Relation { tablespace, database, number } = block.relation;
        BlockLine {
            relation: format!("{tablespace}/{database}/{number}"),
            fork: fork_name(block.fork),
            block: block.number,
            image_bytes: block.image.map_or(0, |image| image.bytes.len() as u64),
            anew: block.will_init || block.image.is_some_and(|image| image.apply),
        }
    });
    Line {
        lsn: record.start.to_string(),
        end: record.end.to_string(),
        rmgr: rmgr_name(record.rmgr),
        kind: kind_name(record),
        info: record.kind(),
        xid: record.xid,
        bytes,
        blocks: blocks.collect(),
    }
}

const fn fork_name(fork: Fork) -> &'static str {
    match fork {
        Fork::Main => "main",
        Fork::FreeSpace => "fsm",
        Fork::Visibility => "vm",
        Fork::Init => "init",
    }
}
