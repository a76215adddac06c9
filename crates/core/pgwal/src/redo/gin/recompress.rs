//! Changes of the posting lists in a leaf of a posting tree (`ginRedoRecompress`).
//!
//! The data (`ginxlogRecompressDataLeaf`), nothing of it aligned to more than 2 bytes: 2 bytes how many
//! actions, then for each
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | the list's number, from 0, in the page before all actions |
//! | 1 | 1 | the action |
//! | 2 | | insert, replace: a posting list with its padding |
//! | 2 | 2 + 6 n | add: n, and n row addresses |

use alloc::vec::Vec;

use super::super::tid::Tid;
use super::posting_list;
use super::posting_tree::{DATA_AT, set_data};
use super::{Opaque, flag};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;

const DELETE: u8 = 1;
const INSERT: u8 = 2;
const REPLACE: u8 = 3;
const ADD_ADDRESSES: u8 = 4;

pub(super) fn redo(data: &[u8], page: &mut Page) -> Result<(), RedoError> {
    let opaque = Opaque::of(page)?;
    if !opaque.has(flag::DATA) || !opaque.has(flag::LEAF) {
        return Err(RedoError::Mismatch("only a leaf of a posting tree has posting lists"));
    }
    if !opaque.has(flag::COMPRESSED) {
        compress(opaque, page)?;
    }
    let len = page.lower().checked_sub(DATA_AT);
    let len = len.ok_or(RedoError::Mismatch("the posting lists end before they begin"))?;
    let changed = change(data, page.bytes_at(DATA_AT, len)?)?;
    set_data(&changed, page)
}

/// Packs the row addresses of a leaf that a version before 9.4 wrote.
fn compress(opaque: Opaque, page: &mut Page) -> Result<(), RedoError> {
    let plain = page.bytes_at(DATA_AT, usize::from(opaque.count) * Tid::BYTES)?;
    let addresses = posting_list::addresses(plain).map_err(RedoError::Mismatch)?;
    let list = if addresses.is_empty() {
        Vec::new()
    } else {
        posting_list::encode(&addresses).map_err(RedoError::Mismatch)?
    };
    set_data(&list, page)?;
    Opaque { count: 0, flags: opaque.flags | flag::COMPRESSED, ..opaque }.write(page)?;
    Ok(())
}

/// The lists after all actions. Each action takes bytes of the record and the lists are at most a
/// page, so the work is bounded by both.
fn change(data: &[u8], mut lists: &[u8]) -> Result<Vec<u8>, RedoError> {
    let mut fields = Fields::new(data);
    let actions = fields.u16()?;
    if actions == 0 {
        return Err(RedoError::Record("it changes no posting list"));
    }
    let (mut changed, mut number) = (Vec::with_capacity(lists.len() + data.len()), 0);
    for _ in 0..actions {
        let (target, action) = (fields.u8()?, fields.u8()?);
        if target < number {
            return Err(RedoError::Record("posting lists are not changed in their order"));
        }
        while number < target {
            changed.extend_from_slice(next(&mut lists)?);
            number += 1;
        }
        match action {
            INSERT => changed.extend_from_slice(take_list(&mut fields)?),
            DELETE => drop(next(&mut lists)?),
            REPLACE => {
                changed.extend_from_slice(take_list(&mut fields)?);
                next(&mut lists)?;
            }
            ADD_ADDRESSES => {
                let added = take_addresses(&mut fields)?;
                changed.extend_from_slice(&add(next(&mut lists)?, &added)?);
            }
            _ => return Err(RedoError::Record("no such action on a posting list")),
        }
        number = match action {
            INSERT => number,
            _ => number.checked_add(1).ok_or(RedoError::Record("too many posting lists"))?,
        };
    }
    changed.extend_from_slice(lists);
    Ok(changed)
}

/// The next list of the page.
fn next<'a>(lists: &mut &'a [u8]) -> Result<&'a [u8], RedoError> {
    let (list, rest) = posting_list::split_first(lists).map_err(RedoError::Mismatch)?;
    *lists = rest;
    Ok(list)
}

fn take_list<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], RedoError> {
    let (list, _) = posting_list::split_first(fields.rest()).map_err(RedoError::Record)?;
    fields.take(list.len())
}

fn take_addresses(fields: &mut Fields<'_>) -> Result<Vec<u64>, RedoError> {
    let count = usize::from(fields.u16()?);
    posting_list::addresses(fields.take(count * Tid::BYTES)?).map_err(RedoError::Record)
}

/// The list with more row addresses; one that it has already stays once.
fn add(list: &[u8], added: &[u64]) -> Result<Vec<u8>, RedoError> {
    let mut addresses = posting_list::decode(list).map_err(RedoError::Mismatch)?;
    addresses.extend_from_slice(added);
    addresses.sort();
    addresses.dedup();
    posting_list::encode(&addresses).map_err(RedoError::Mismatch)
}
