//! Files: `smgr_redo`, `dbase_redo`, `relmap_redo`.

use alloc::vec::Vec;

use super::{Effect, UNKNOWN};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::record::{Fork, Record, Relation};

const CREATE: u8 = 0x10;
const TRUNCATE: u8 = 0x20;
const TRUNCATE_MAIN: u32 = 1;
const TRUNCATE_VISIBILITY: u32 = 2;
const TRUNCATE_FREE_SPACE: u32 = 4;

const FILE_COPY: u8 = 0x00;
const WAL_LOG: u8 = 0x10;
const DROP: u8 = 0x20;

/// Tablespaces of a dropped database at most: an effect is much longer than what it is made of.
const TABLESPACES_MAX: u32 = 4096;

/// A relation as it stands in records: tablespace, database, number.
pub(super) fn relation(fields: &mut Fields<'_>) -> Result<Relation, RedoError> {
    let (tablespace, database, number) = (fields.u32()?, fields.u32()?, fields.u32()?);
    Ok(Relation { tablespace, database, number })
}

pub(super) fn storage<'a>(
    record: &Record<'_>,
    mut fields: Fields<'_>,
) -> Result<Option<Effect<'a>>, RedoError> {
    match record.kind() {
        CREATE => {
            let relation = relation(&mut fields)?;
            let fork = u8::try_from(fields.u32()?).ok().and_then(Fork::from_number);
            let fork = fork.ok_or(RedoError::Record("a fork is unknown"))?;
            Ok(Some(Effect::CreateFork { relation, fork }))
        }
        TRUNCATE => {
            let blocks = fields.u32()?;
            let relation = relation(&mut fields)?;
            let flags = fields.u32()?;
            Ok(Some(Effect::Truncate {
                relation,
                blocks,
                main: flags & TRUNCATE_MAIN != 0,
                visibility: flags & TRUNCATE_VISIBILITY != 0,
                free_space: flags & TRUNCATE_FREE_SPACE != 0,
            }))
        }
        _ => Err(UNKNOWN),
    }
}

pub(super) fn database(
    record: &Record<'_>,
    mut fields: Fields<'_>,
    effects: &mut Vec<Effect<'_>>,
) -> Result<(), RedoError> {
    let database = fields.u32()?;
    match record.kind() {
        FILE_COPY => {
            let tablespace = fields.u32()?;
            let (source, source_tablespace) = (fields.u32()?, fields.u32()?);
            effects.push(Effect::CopyDatabase {
                from: (source_tablespace, source),
                to: (tablespace, database),
            });
        }
        WAL_LOG => {
            effects.push(Effect::CreateDatabase { tablespace: fields.u32()?, database });
        }
        DROP => {
            let tablespaces = fields.u32()?;
            if tablespaces > TABLESPACES_MAX {
                return Err(RedoError::Record("a database is in too many tablespaces"));
            }
            for _ in 0..tablespaces {
                effects.push(Effect::DropDatabase { tablespace: fields.u32()?, database });
            }
        }
        _ => return Err(UNKNOWN),
    }
    Ok(())
}

pub(super) fn relation_map(mut fields: Fields<'_>) -> Result<Effect<'_>, RedoError> {
    let (database, tablespace, len) = (fields.u32()?, fields.u32()?, fields.u32()?);
    Ok(Effect::RelationMap { tablespace, database, bytes: fields.take(len as usize)? })
}
