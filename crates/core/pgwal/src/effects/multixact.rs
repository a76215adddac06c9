//! `multixact_redo`.

use alloc::vec::Vec;

use super::{Effect, UNKNOWN};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::record::Record;

/// A member of a multixact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The transaction.
    pub xid: u32,
    /// What it does: 0–3 locks of growing strength, 4 an update of no key, 5 an update.
    pub status: u8,
}

pub(super) fn multixact<'a>(
    record: &Record<'_>,
    mut fields: Fields<'_>,
) -> Result<Effect<'a>, RedoError> {
    Ok(match record.kind() {
        0x00 => Effect::OffsetPage { page: fields.u32()? },
        0x10 => Effect::MemberPage { page: fields.u32()? },
        0x20 => {
            let (id, offset, count) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let mut members = Vec::new();
            for _ in 0..count {
                let xid = fields.u32()?;
                let status = u8::try_from(fields.u32()?).ok().filter(|status| *status <= 5);
                let status = status.ok_or(RedoError::Record("a multixact's member is unknown"))?;
                members.push(Member { xid, status });
            }
            Effect::MultiXact { id, offset, members }
        }
        0x30 => {
            let database = fields.u32()?;
            let (_from, oldest) = (fields.u32()?, fields.u32()?);
            let (first_member, oldest_member) = (fields.u32()?, fields.u32()?);
            Effect::MultiXactsTruncated { database, oldest, first_member, oldest_member }
        }
        _ => return Err(UNKNOWN),
    })
}
