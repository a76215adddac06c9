//! Old rows: pruned, vacuumed, frozen.

use super::row::Row;
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{Line, LineState, Page};
use crate::record::{Block, Record};

const FREEZE_XVAC: u8 = 0x02;
const INVALID_XVAC: u8 = 0x04;
const FROZEN_XID: u32 = 2;

pub(super) fn prune(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    main.skip(4)?;
    let (redirected, dead) = (main.u16()?, main.u16()?);
    let mut items = Fields::new(block.data);
    for _ in 0..redirected {
        let (from, to) = (items.u16()?, items.u16()?);
        page.set_line(from, Line::redirect(to))?;
    }
    for _ in 0..dead {
        page.set_line(items.u16()?, Line::DEAD)?;
    }
    while !items.is_empty() {
        page.set_line(items.u16()?, Line::UNUSED)?;
    }
    Ok(page.repair_fragmentation()?)
}

pub(super) fn vacuum(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let count = Fields::new(record.main).u16()?;
    let mut items = Fields::new(block.data);
    for _ in 0..count {
        let item = items.u16()?;
        let line = page.line(item)?;
        if line.state != LineState::Dead || line.has_item() {
            return Err(RedoError::Mismatch("a line pointer that is freed is not dead"));
        }
        page.set_line(item, Line::UNUSED)?;
    }
    page.truncate_lines();
    Ok(())
}

pub(super) fn freeze(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    main.skip(4)?;
    let mut rows = Fields::new(block.data);
    for _ in 0..main.u16()? {
        let (xmax, item) = (rows.u32()?, rows.u16()?);
        let (infomask2, infomask, flags) = (rows.u16()?, rows.u16()?, rows.u8()?);
        rows.skip(1)?;
        let mut row = Row::of(page, item)?;
        row.set_xmax(xmax);
        if flags & FREEZE_XVAC != 0 {
            row.set_command(FROZEN_XID);
        }
        if flags & INVALID_XVAC != 0 {
            row.set_command(0);
        }
        row.set_infomask(infomask);
        row.set_infomask2(infomask2);
    }
    Ok(())
}
