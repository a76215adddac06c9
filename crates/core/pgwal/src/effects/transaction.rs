//! `xact_redo`.
//!
//! A commit or abort: `u64` time, and when the record's info says so `u32` flags, which say which of
//! these follow, in this order: `u32` database and `u32` tablespace; a count and transactions; a count
//! and relations of 12 bytes that are dropped; a count and statistics of 12 bytes; a count and messages
//! of 16 bytes (commits alone); `u32` the prepared transaction; its name with a zero byte; `u64`
//! position and `u64` time at the origin, at no particular offset.

use alloc::vec::Vec;

use super::files::relation;
use super::{Effect, UNKNOWN};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::lsn::Lsn;
use crate::record::{Record, Relation};

const KIND: u8 = 0x70;
const HAS_FLAGS: u8 = 0x80;

const COMMIT: u8 = 0x00;
const PREPARE: u8 = 0x10;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ABORT_PREPARED: u8 = 0x40;
const ASSIGNMENT: u8 = 0x50;
const INVALIDATIONS: u8 = 0x60;

const HAS_DATABASE: u32 = 1;
const HAS_SUBTRANSACTIONS: u32 = 1 << 1;
const HAS_RELATIONS: u32 = 1 << 2;
const HAS_MESSAGES: u32 = 1 << 3;
const HAS_PREPARED: u32 = 1 << 4;
const HAS_ORIGIN: u32 = 1 << 5;
const HAS_NAME: u32 = 1 << 7;
const HAS_STATISTICS: u32 = 1 << 8;

const STATISTIC_BYTES: usize = 12;
const MESSAGE_BYTES: usize = 16;

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished<'a> {
    /// Whether it committed; else it aborted.
    pub committed: bool,
    /// The transaction; 0 when it had none.
    pub xid: u32,
    /// Whether it had been prepared.
    pub was_prepared: bool,
    /// Its subtransactions, which end with it.
    pub subtransactions: Vec<u32>,
    /// When, in microseconds since 2000.
    pub time: u64,
    /// The relations dropped with it, bytes of 12 each; [`Finished::dropped`] decodes them.
    relations: &'a [u8],
    /// What it was replayed from, if it was.
    pub origin: Option<Origin>,
}

impl Finished<'_> {
    /// The relations whose files are gone now.
    pub fn dropped(&self) -> impl Iterator<Item = Relation> {
        self.relations.chunks_exact(12).filter_map(|bytes| relation(&mut Fields::new(bytes)).ok())
    }
}

/// Where a transaction was replayed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The origin's number.
    pub number: u16,
    /// Its position.
    pub position: Lsn,
    /// When the transaction ended there, in microseconds since 2000.
    pub time: u64,
}

/// A prepared transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared<'a> {
    /// The transaction.
    pub xid: u32,
    /// The content of its state file, but for the CRC-32C behind it.
    pub state: &'a [u8],
}

pub(super) fn transaction<'a>(
    record: &Record<'a>,
    fields: Fields<'a>,
    effects: &mut Vec<Effect<'a>>,
) -> Result<(), RedoError> {
    let kind = record.info & KIND;
    match kind {
        COMMIT | ABORT | COMMIT_PREPARED | ABORT_PREPARED => {
            let finished = finished(record, kind, fields)?;
            effects.extend(finished.dropped().map(|relation| Effect::DropRelation { relation }));
            if let Some(origin) = finished.origin.filter(|_| finished.committed) {
                let (origin, remote) = (origin.number, origin.position);
                effects.push(Effect::OriginProgress { origin, remote });
            }
            effects.push(Effect::Finished(finished));
        }
        PREPARE => {
            let mut head = fields;
            // Magic and length, then the transaction.
            head.skip(8)?;
            effects.push(Effect::Prepared(Prepared { xid: head.u32()?, state: record.main }));
        }
        ASSIGNMENT | INVALIDATIONS => {}
        _ => return Err(UNKNOWN),
    }
    Ok(())
}

fn finished<'a>(
    record: &Record<'_>,
    kind: u8,
    mut fields: Fields<'a>,
) -> Result<Finished<'a>, RedoError> {
    let time = fields.u64()?;
    let flags = if record.info & HAS_FLAGS == 0 { 0 } else { fields.u32()? };
    let committed = matches!(kind, COMMIT | COMMIT_PREPARED);
    let was_prepared = matches!(kind, COMMIT_PREPARED | ABORT_PREPARED);
    if flags & HAS_DATABASE != 0 {
        fields.skip(8)?;
    }
    let mut subtransactions = Vec::new();
    if flags & HAS_SUBTRANSACTIONS != 0 {
        let mut list = Fields::new(counted(&mut fields, 4)?);
        while !list.is_empty() {
            subtransactions.push(list.u32()?);
        }
    }
    let relations = if flags & HAS_RELATIONS == 0 { &[] } else { counted(&mut fields, 12)? };
    if flags & HAS_STATISTICS != 0 {
        counted(&mut fields, STATISTIC_BYTES)?;
    }
    if flags & HAS_MESSAGES != 0 {
        counted(&mut fields, MESSAGE_BYTES)?;
    }
    let prepared = if flags & HAS_PREPARED == 0 { None } else { Some(fields.u32()?) };
    if flags & HAS_NAME != 0 {
        while fields.u8()? != 0 {}
    }
    let origin = match flags & HAS_ORIGIN {
        0 => None,
        _ => Some(Origin {
            number: record.origin,
            position: Lsn(fields.u64()?),
            time: fields.u64()?,
        }),
    };
    let xid = prepared.filter(|_| was_prepared).unwrap_or(record.xid);
    Ok(Finished { committed, xid, was_prepared, subtransactions, time, relations, origin })
}

/// A count, and so many things of `len` bytes.
fn counted<'a>(fields: &mut Fields<'a>, len: usize) -> Result<&'a [u8], RedoError> {
    let bytes = (fields.u32()? as usize).checked_mul(len);
    fields.take(bytes.ok_or(RedoError::Record("a count is too large"))?)
}
