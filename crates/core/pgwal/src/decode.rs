//! A record's parts (`access/xlogrecord.h`).
//!
//! Behind the record's header stand headers of blocks and of the main data, then their data in the
//! same order: for each block its image and its bytes, at last the main data.
//!
//! | first byte | what follows |
//! |---|---|
//! | 0–32 | a block of this id: `u8` fork (lower 4 bits) and flags, `u16` bytes of data; with an image `u16` its length, `u16` offset of its hole, `u8` flags, and `u16` length of the hole when it is compressed and has one; unless it is of the relation before, tablespace, database and relation, `u32` each; `u32` number of the block |
//! | 252 | `u32`: the top-level transaction |
//! | 253 | `u16`: the replication origin |
//! | 254 | `u32`: bytes of the main data; the last header |
//! | 255 | `u8`: bytes of the main data; the last header |

use alloc::vec::Vec;

use crate::error::WalError;
use crate::fields::Fields;
use crate::image::{HAS_HOLE, is_compressed};
use crate::page::PAGE_BYTES;
use crate::record::{Block, Fork, Image, Major, Record, Relation};
use crate::stream::{RECORD_HEADER_BYTES, RawRecord};

const BLOCK_ID_MAX: u8 = 32;
const TOP_XID: u8 = 252;
const ORIGIN: u8 = 253;
const MAIN_LONG: u8 = 254;
const MAIN_SHORT: u8 = 255;

const FORK_BITS: u8 = 0x0f;
const HAS_IMAGE: u8 = 0x10;
const HAS_DATA: u8 = 0x20;
const WILL_INIT: u8 = 0x40;
const SAME_RELATION: u8 = 0x80;
const APPLY: u8 = 0x02;

impl<'a> Record<'a> {
    /// Decodes a record.
    ///
    /// # Errors
    /// [`WalError::Record`]. Nothing is allocated beyond a row for each block.
    pub fn decode(major: Major, raw: &RawRecord<'a>) -> Result<Self, WalError> {
        Decoder::new(major, raw)
            .and_then(Decoder::run)
            .map_err(|detail| WalError::Record { at: raw.start, detail })
    }
}

/// How long the parts of a block are.
struct Lengths {
    image: usize,
    data: usize,
}

struct Decoder<'a> {
    record: Record<'a>,
    fields: Fields<'a>,
    lengths: Vec<Lengths>,
    /// Bytes of data that the headers so far promise.
    promised: usize,
    relation: Option<Relation>,
}

type Detail = &'static str;
const SHORT: Detail = "it is shorter than its headers say";

impl<'a> Decoder<'a> {
    fn new(major: Major, raw: &RawRecord<'a>) -> Result<Self, Detail> {
        let mut fields = Fields::new(raw.bytes);
        let mut header = || {
            let (_len, xid) = (fields.u32()?, fields.u32()?);
            let (previous, info, rmgr) = (fields.u64()?, fields.u8()?, fields.u8()?);
            fields.skip(RECORD_HEADER_BYTES - 18)?;
            Ok::<_, crate::RedoError>((xid, previous, info, rmgr))
        };
        let (xid, previous, info, rmgr) = header().map_err(|_| SHORT)?;
        let record = Record {
            major,
            start: raw.start,
            end: raw.end,
            previous: crate::Lsn(previous),
            xid,
            info,
            rmgr,
            origin: 0,
            top_xid: 0,
            blocks: Vec::new(),
            main: &[],
        };
        Ok(Self { record, fields, lengths: Vec::new(), promised: 0, relation: None })
    }

    fn run(mut self) -> Result<Record<'a>, Detail> {
        let mut main = 0;
        while self.fields.rest().len() > self.promised {
            let short = |_| SHORT;
            match self.fields.u8().map_err(short)? {
                MAIN_SHORT => {
                    main = usize::from(self.fields.u8().map_err(short)?);
                    break;
                }
                MAIN_LONG => {
                    main = self.fields.u32().map_err(short)? as usize;
                    break;
                }
                ORIGIN => self.record.origin = self.fields.u16().map_err(short)?,
                TOP_XID => self.record.top_xid = self.fields.u32().map_err(short)?,
                id if id <= BLOCK_ID_MAX => self.block(id)?,
                _ => return Err("it has a part of an unknown kind"),
            }
        }
        if self.promised.checked_add(main) != Some(self.fields.rest().len()) {
            return Err("its parts are not as long as it is");
        }
        for (block, lengths) in self.record.blocks.iter_mut().zip(&self.lengths) {
            if let Some(image) = &mut block.image {
                image.bytes = self.fields.take(lengths.image).map_err(|_| SHORT)?;
            }
            block.data = self.fields.take(lengths.data).map_err(|_| SHORT)?;
        }
        self.record.main = self.fields.rest();
        Ok(self.record)
    }

    fn block(&mut self, id: u8) -> Result<(), Detail> {
        if self.record.blocks.last().is_some_and(|last| last.id >= id) {
            return Err("its blocks are out of order");
        }
        let short = |_| SHORT;
        let flags = self.fields.u8().map_err(short)?;
        let data = usize::from(self.fields.u16().map_err(short)?);
        if (flags & HAS_DATA != 0) != (data > 0) {
            return Err("a block's data is not as its flags say");
        }
        let (image, image_len) = match flags & HAS_IMAGE {
            0 => (None, 0),
            _ => self.image().map(|(image, len)| (Some(image), len))?,
        };
        if flags & SAME_RELATION == 0 {
            let mut oid = || self.fields.u32().map_err(short);
            let (tablespace, database, number) = (oid()?, oid()?, oid()?);
            self.relation = Some(Relation { tablespace, database, number });
        }
        let relation = self.relation.ok_or("a block is of no relation")?;
        let fork = Fork::from_number(flags & FORK_BITS).ok_or("a block is of an unknown fork")?;
        let number = self.fields.u32().map_err(short)?;
        let will_init = flags & WILL_INIT != 0;
        self.promised += image_len + data;
        self.lengths.push(Lengths { image: image_len, data });
        self.record.blocks.push(Block { id, relation, fork, number, will_init, image, data: &[] });
        Ok(())
    }

    fn image(&mut self) -> Result<(Image<'a>, usize), Detail> {
        let short = |_| SHORT;
        let len = usize::from(self.fields.u16().map_err(short)?);
        let hole_offset = self.fields.u16().map_err(short)?;
        let info = self.fields.u8().map_err(short)?;
        let (compressed, has_hole) = (is_compressed(info), info & HAS_HOLE != 0);
        let hole = match (compressed, has_hole) {
            (true, true) => usize::from(self.fields.u16().map_err(short)?),
            (true, false) => 0,
            (false, _) => PAGE_BYTES.checked_sub(len).ok_or("an image is longer than a page")?,
        };
        let fits = usize::from(hole_offset) + hole <= PAGE_BYTES;
        let sound =
            if has_hole { hole_offset > 0 && hole > 0 } else { hole_offset == 0 && hole == 0 };
        if !fits || !sound || len > PAGE_BYTES || (compressed && len == PAGE_BYTES) {
            return Err("an image's hole cannot be");
        }
        let hole_len = u16::try_from(hole).map_err(|_| "an image's hole cannot be")?;
        let apply = info & APPLY != 0;
        Ok((Image { bytes: &[], hole_offset, hole_len, info, apply }, len))
    }
}
