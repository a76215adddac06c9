//! Posting lists: row addresses, packed (`access/gin/ginpostinglist.c`).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 6 | the first row address |
//! | 6 | 2 | n |
//! | 8 | n | for each further one its distance from the one before, 7 bits a byte, low bits first |
//! | 8 + n | 0 or 1 | a zero, when n is odd |
//!
//! For the distances a row address is a number: the block's shifted by 11 bits, and the item's.

use alloc::vec::Vec;

use super::super::tid::Tid;
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::PAGE_BYTES;

const HEADER_BYTES: usize = Tid::BYTES + 2;
const ITEM_BITS: u32 = 11;
/// Bits of a row address.
const ADDRESS_BITS: u32 = 32 + ITEM_BITS;
const CONTINUES: u8 = 0x80;

/// What is wrong with a list; the caller knows whose it is.
pub(super) type Checked<T> = Result<T, &'static str>;

const CUT: &str = "a posting list is cut off";
const UNSORTED: &str = "the row addresses of a posting list do not rise";

/// Cuts off the first list, with its padding.
pub(super) fn split_first(lists: &[u8]) -> Checked<(&[u8], &[u8])> {
    let len = lists.get(6..8).and_then(|len| len.first_chunk()).ok_or(CUT)?;
    let len = HEADER_BYTES + usize::from(u16::from_le_bytes(*len)).next_multiple_of(2);
    lists.split_at_checked(len).ok_or(CUT)
}

/// Row addresses that are not packed, as numbers; they must rise.
pub(super) fn addresses(bytes: &[u8]) -> Checked<Vec<u64>> {
    let mut fields = Fields::new(bytes);
    let mut addresses = Vec::with_capacity(bytes.len() / Tid::BYTES);
    while !fields.is_empty() {
        push(&mut addresses, address(&mut fields)?)?;
    }
    Ok(addresses)
}

fn address(fields: &mut Fields<'_>) -> Checked<u64> {
    let tid = Tid::read(fields).map_err(|_: RedoError| CUT)?;
    let address = u64::from(tid.block) << ITEM_BITS | u64::from(tid.item);
    if tid.item >> ITEM_BITS == 0 { Ok(address) } else { Err("a row address is out of range") }
}

fn push(addresses: &mut Vec<u64>, address: u64) -> Checked<()> {
    if addresses.last().is_some_and(|last| *last >= address) {
        return Err(UNSORTED);
    }
    addresses.push(address);
    Ok(())
}

/// The row addresses of a list as [`split_first`] gives it.
pub(super) fn decode(list: &[u8]) -> Checked<Vec<u64>> {
    let mut fields = Fields::new(list);
    let mut last = address(&mut fields)?;
    let len = usize::from(fields.u16().map_err(|_| CUT)?);
    let mut packed = fields.rest().get(..len).ok_or(CUT)?;
    let mut addresses = Vec::with_capacity(len + 1);
    addresses.push(last);
    while !packed.is_empty() {
        let (distance, rest) = decode_distance(packed)?;
        packed = rest;
        last += distance;
        if last >> ADDRESS_BITS != 0 {
            return Err("a row address is out of range");
        }
        push(&mut addresses, last)?;
    }
    Ok(addresses)
}

/// A distance is less than 2^49: it has 7 bytes at most.
fn decode_distance(packed: &[u8]) -> Checked<(u64, &[u8])> {
    let mut distance = 0;
    for (index, shift) in (0..ADDRESS_BITS).step_by(7).enumerate() {
        let byte = *packed.get(index).ok_or(CUT)?;
        distance |= u64::from(byte & !CONTINUES) << shift;
        if byte & CONTINUES == 0 {
            return Ok((distance, &packed[index + 1..]));
        }
    }
    Err("a row address is out of range")
}

/// Packs row addresses, which must rise and be some, into one list.
pub(super) fn encode(addresses: &[u64]) -> Checked<Vec<u8>> {
    let (first, others) = addresses.split_first().ok_or("a posting list without row addresses")?;
    let mut list = Vec::with_capacity(HEADER_BYTES + 2 * others.len() + 1);
    list.extend_from_slice(&tid(*first).bytes());
    list.extend_from_slice(&[0; 2]);
    let mut last = *first;
    for address in others {
        let distance = address.checked_sub(last).filter(|distance| *distance > 0);
        encode_distance(distance.ok_or(UNSORTED)?, &mut list);
        last = *address;
        if list.len() > PAGE_BYTES {
            return Err("a posting list is longer than a page");
        }
    }
    let len = u16::try_from(list.len() - HEADER_BYTES).expect("it is no longer than a page");
    list[Tid::BYTES..HEADER_BYTES].copy_from_slice(&len.to_le_bytes());
    if !list.len().is_multiple_of(2) {
        list.push(0);
    }
    Ok(list)
}

#[allow(clippy::cast_possible_truncation, reason = "the masks leave what fits")]
const fn tid(address: u64) -> Tid {
    Tid {
        block: (address >> ITEM_BITS & 0xffff_ffff) as u32,
        item: (address & ((1 << ITEM_BITS) - 1)) as u16,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the mask leaves 7 bits")]
fn encode_distance(mut distance: u64, list: &mut Vec<u8>) {
    while distance > 0x7f {
        list.push(CONTINUES | (distance & 0x7f) as u8);
        distance >>= 7;
    }
    list.push(distance as u8);
}
