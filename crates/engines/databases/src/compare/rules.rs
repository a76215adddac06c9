//! What is equal, and what is not compared, by name and with the reason.
//!
//! Not compared:
//!
//! - `free space map`: the log has next to nothing of it. Recovery guesses at it, and it is advice.
//! - `unlogged`: a relation that has an init fork. Nothing of its other forks is in the log.
//! - `visibility map without bits`: `CREATE DATABASE` logs the pages of a map as if their bits were a hole
//!   (`RelationCopyStorageUsingBuffer`), so that whoever replays the log lacks them, until a vacuum sets them
//!   again. Only the writer has them, and the page is excepted only while each of our bits is among its bits.
//! - `sequence ahead`: the log has a sequence's value up to 32 steps before the writer gives it out. Only the
//!   three fields of the row may differ.
//!
//! Blanked beyond PostgreSQL's own masks:
//!
//! - A flag of GiST pages that C's redo of a deletion sets and the server that wrote the record does not.
//! - The header of a page of a visibility map: all that it says is in its bits.
//! - Of the writer, what SP-GiST remembers of pages with room: it is set without a record.

use cairn_pgwal::page::HEADER_BYTES;
use cairn_pgwal::{Fork, PAGE_BYTES, Page, Relation, Rmgr, mask};

use super::Side;

const FREE_SPACE: &str = "free space map";
const UNLOGGED: &str = "unlogged";
const BITS_LOST: &str = "visibility map without bits";
const SEQUENCE_AHEAD: &str = "sequence ahead";

/// What two pages are to each other.
pub(super) enum Judgement {
    Identical,
    /// Under the mask of what the log does not determine.
    Equal,
    Excepted(&'static str),
    Different {
        kind: Option<Rmgr>,
        first: usize,
    },
}

/// Why a fork is not compared.
pub(super) fn exception(fork: Fork, unlogged: bool) -> Option<&'static str> {
    match fork {
        Fork::FreeSpace => Some(FREE_SPACE),
        Fork::Main | Fork::Visibility if unlogged => Some(UNLOGGED),
        _ => None,
    }
}

/// Compares our page with theirs. Whether `CREATE DATABASE` has `copied` its database matters as above.
pub(super) fn judge(
    side: Side,
    (_, fork, number): (Relation, Fork, u32),
    copied: bool,
    ours: &Page,
    theirs: &Page,
) -> Judgement {
    if ours.0 == theirs.0 {
        return Judgement::Identical;
    }
    let kind = kind(theirs);
    let first = if fork == Fork::Visibility {
        let bits = |page: &Page| page.clone().0.into_iter().skip(HEADER_BYTES);
        let more = bits(ours).zip(bits(theirs)).any(|(ours, theirs)| ours & !theirs != 0);
        if side == Side::Writer && copied && !more && bits(ours).ne(bits(theirs)) {
            return Judgement::Excepted(BITS_LOST);
        }
        bits(ours).zip(bits(theirs)).position(|(a, b)| a != b).map(|at| at + HEADER_BYTES)
    } else {
        let first = first_difference(side, number, kind, ours, theirs);
        if first.is_some() && (side, kind) == (Side::Writer, Some(Rmgr::Sequence)) {
            let rest = sequence_rest(ours);
            if rest.is_some() && rest == sequence_rest(theirs) {
                return Judgement::Excepted(SEQUENCE_AHEAD);
            }
        }
        first
    };
    first.map_or(Judgement::Equal, |first| Judgement::Different { kind, first })
}

/// Whose page it is, by its special space: each access method but the btree leaves a mark there.
pub(super) fn kind(page: &Page) -> Option<Rmgr> {
    const SEQUENCE_MAGIC: u32 = 0x1717;
    if page.is_new() || page.check_header().is_err() {
        return None;
    }
    let special = page.special();
    let mark = page.u16_at(PAGE_BYTES - 2).unwrap_or_default();
    match PAGE_BYTES - special {
        0 => Some(Rmgr::Heap),
        8 if page.u32_at(special) == Ok(SEQUENCE_MAGIC) => Some(Rmgr::Sequence),
        8 => Some(match mark {
            0xf091..=0xf093 => Rmgr::Brin,
            0xff82 => Rmgr::SpGist,
            0xff83 => Rmgr::Generic,
            _ => Rmgr::Gin,
        }),
        16 => Some(match mark {
            0xff80 => Rmgr::Hash,
            0xff81 => Rmgr::Gist,
            _ => Rmgr::Btree,
        }),
        _ => None,
    }
}

/// The first byte that differs once what may differ is blanked.
fn first_difference(
    side: Side,
    number: u32,
    kind: Option<Rmgr>,
    ours: &Page,
    theirs: &Page,
) -> Option<usize> {
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    for page in [&mut ours, &mut theirs] {
        match kind {
            Some(kind) if mask::mask_kind(kind, page, number).is_err() => return Some(0),
            Some(Rmgr::Gist) => blank_deletion(page),
            Some(Rmgr::SpGist) if side == Side::Writer && number == 0 => blank_last_used(page),
            _ => {}
        }
    }
    ours.0.iter().zip(&theirs.0).position(|(a, b)| a != b)
}

/// Blanks the flag by which C's redo of a deletion marks a GiST page.
fn blank_deletion(page: &mut Page) {
    const FLAGS: usize = PAGE_BYTES - 4;
    const TUPLES_DELETED: u8 = 1 << 2;
    page.0[FLAGS] &= !TUPLES_DELETED;
}

/// Blanks what SP-GiST's first page remembers of pages with room: it is set without a record.
fn blank_last_used(page: &mut Page) {
    const LAST_USED: usize = HEADER_BYTES + 4;
    const LAST_USED_BYTES: usize = 8 * 8;
    page.0[LAST_USED..LAST_USED + LAST_USED_BYTES].fill(0);
}

/// A sequence's page under its mask and without the value, the count of logged steps and whether it was
/// called.
fn sequence_rest(page: &Page) -> Option<Page> {
    const ROW_HEADER_BYTES: usize = 24;
    const FIELDS_BYTES: usize = 8 + 8 + 1;
    let mut page = page.clone();
    mask::mask_kind(Rmgr::Sequence, &mut page, 0).ok()?;
    let row = page.item_range(1).ok()?.start;
    page.bytes_at_mut(row + ROW_HEADER_BYTES, FIELDS_BYTES).ok()?.fill(0);
    Some(page)
}
