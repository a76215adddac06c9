//! What a record does beyond the pages it names: files, transactions, counters, parameters.
//!
//! The second pure function beside redo. What it returns is in the terms of PostgreSQL's own state, and
//! whoever keeps that state (sizes of relations, transaction status, the control file) applies it in the
//! order of the log. That a record's heap flags clear bits of the visibility map is told apart, by
//! [`visibility_clears`](crate::redo::visibility_clears).

mod checkpoint;
mod files;
mod multixact;
#[cfg(test)]
mod tests;
mod transaction;

use alloc::vec::Vec;

pub use checkpoint::{Checkpoint, Parameters};
pub use multixact::Member;
pub use transaction::{Finished, Origin, Prepared};

use crate::error::RedoError;
use crate::fields::Fields;
use crate::lsn::Lsn;
use crate::record::{Fork, Record, Relation};
use crate::rmgr::Rmgr;

/// Something that a record does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A fork's file is there, empty when it was not.
    CreateFork {
        /// The relation.
        relation: Relation,
        /// The fork.
        fork: Fork,
    },
    /// A relation has no blocks from here on.
    Truncate {
        /// The relation.
        relation: Relation,
        /// The blocks its main fork keeps.
        blocks: u32,
        /// Whether the main fork is cut.
        main: bool,
        /// Whether the visibility map is cut to what those blocks need.
        visibility: bool,
        /// Whether the free space map is.
        free_space: bool,
    },
    /// A relation's files are gone.
    DropRelation {
        /// The relation.
        relation: Relation,
    },
    /// A database's files are copied, as they are at this record.
    CopyDatabase {
        /// Tablespace and database.
        from: (u32, u32),
        /// Tablespace and database.
        to: (u32, u32),
    },
    /// A database's directory is made; its pages follow in the log.
    CreateDatabase {
        /// Its tablespace.
        tablespace: u32,
        /// The database.
        database: u32,
    },
    /// A database's files are gone from one tablespace.
    DropDatabase {
        /// The tablespace.
        tablespace: u32,
        /// The database.
        database: u32,
    },
    /// A map of relations to files is replaced.
    RelationMap {
        /// Its tablespace.
        tablespace: u32,
        /// Its database, 0 for the one that all share.
        database: u32,
        /// The map's file.
        bytes: &'a [u8],
    },
    /// A transaction ended.
    Finished(Finished<'a>),
    /// A transaction was prepared.
    Prepared(Prepared<'a>),
    /// A page of transaction status is new and zero.
    StatusPage {
        /// Its number.
        page: u32,
    },
    /// Transaction status before a page is gone.
    StatusTruncated {
        /// The first page that is kept.
        page: u32,
        /// The oldest transaction.
        oldest_xid: u32,
        /// The database that has it.
        database: u32,
    },
    /// A page of commit timestamps is new and zero.
    TimestampPage {
        /// Its number.
        page: u32,
    },
    /// Commit timestamps before a page are gone.
    TimestampsTruncated {
        /// The first page that is kept.
        page: u32,
        /// The oldest transaction that has one.
        oldest_xid: u32,
    },
    /// A page of multixact offsets is new and zero.
    OffsetPage {
        /// Its number.
        page: u32,
    },
    /// A page of multixact members is new and zero.
    MemberPage {
        /// Its number.
        page: u32,
    },
    /// A multixact was made.
    MultiXact {
        /// Its id.
        id: u32,
        /// Where its members begin.
        offset: u32,
        /// Its members.
        members: Vec<Member>,
    },
    /// Multixacts before one are gone.
    MultiXactsTruncated {
        /// The database of the oldest.
        database: u32,
        /// The first that is kept.
        oldest: u32,
        /// The first member that is gone.
        first_member: u32,
        /// The first member that is kept.
        oldest_member: u32,
    },
    /// Object ids below this may be in use.
    NextOid {
        /// The next one.
        oid: u32,
    },
    /// A checkpoint.
    Checkpoint(Checkpoint),
    /// Settings that a standby depends on changed.
    Parameters(Parameters),
    /// Whether pages are logged whole after a checkpoint.
    FullPageWrites(bool),
    /// Recovery ended, and a timeline began.
    EndOfRecovery {
        /// The new timeline.
        timeline: u32,
        /// The one before.
        previous: u32,
    },
    /// Changes of an origin are here up to one of its positions.
    OriginProgress {
        /// The origin.
        origin: u16,
        /// Its position.
        remote: Lsn,
    },
    /// An origin is forgotten.
    OriginDropped {
        /// The origin.
        origin: u16,
    },
    /// The transactions that run.
    Running {
        /// The next transaction.
        next_xid: u32,
        /// The oldest that runs.
        oldest_xid: u32,
        /// The last that ended.
        latest_completed: u32,
    },
    /// Something that cannot be followed, and why.
    Unsupported(&'static str),
}

/// What a record does beyond its blocks.
///
/// # Errors
/// [`RedoError::Record`] for a record that is malformed.
pub fn effects<'a>(record: &Record<'a>) -> Result<Vec<Effect<'a>>, RedoError> {
    let mut effects = Vec::new();
    let fields = Fields::new(record.main);
    match Rmgr::from_number(record.rmgr) {
        Some(Rmgr::Xlog) => effects.extend(checkpoint::xlog(record, fields)?),
        Some(Rmgr::Transaction) => transaction::transaction(record, fields, &mut effects)?,
        Some(Rmgr::Storage) => effects.extend(files::storage(record, fields)?),
        Some(Rmgr::Database) => files::database(record, fields, &mut effects)?,
        Some(Rmgr::RelMap) => effects.push(files::relation_map(fields)?),
        Some(Rmgr::Tablespace) => {
            effects.push(Effect::Unsupported("tablespaces are not supported"));
        }
        Some(Rmgr::Clog) => effects.push(status(record, fields)?),
        Some(Rmgr::CommitTs) => effects.push(timestamps(record, fields)?),
        Some(Rmgr::MultiXact) => effects.push(multixact::multixact(record, fields)?),
        Some(Rmgr::ReplicationOrigin) => effects.push(origin(record, fields)?),
        Some(Rmgr::Standby) => effects.extend(running(record, fields)?),
        Some(_) => {}
        None => {
            effects.push(Effect::Unsupported("an extension's resource manager is not supported"));
        }
    }
    Ok(effects)
}

const UNKNOWN: RedoError = RedoError::Record("its kind is unknown");

/// `clog_redo`.
fn status<'a>(record: &Record<'_>, mut fields: Fields<'_>) -> Result<Effect<'a>, RedoError> {
    let page = fields.u32()?;
    Ok(match record.kind() {
        0x00 => Effect::StatusPage { page },
        0x10 => {
            Effect::StatusTruncated { page, oldest_xid: fields.u32()?, database: fields.u32()? }
        }
        _ => return Err(UNKNOWN),
    })
}

/// `commit_ts_redo`.
fn timestamps<'a>(record: &Record<'_>, mut fields: Fields<'_>) -> Result<Effect<'a>, RedoError> {
    let page = fields.u32()?;
    Ok(match record.kind() {
        0x00 => Effect::TimestampPage { page },
        0x10 => Effect::TimestampsTruncated { page, oldest_xid: fields.u32()? },
        _ => return Err(UNKNOWN),
    })
}

/// `replorigin_redo`.
fn origin<'a>(record: &Record<'_>, mut fields: Fields<'_>) -> Result<Effect<'a>, RedoError> {
    Ok(match record.kind() {
        0x00 => {
            let remote = Lsn(fields.u64()?);
            Effect::OriginProgress { origin: fields.u16()?, remote }
        }
        0x10 => Effect::OriginDropped { origin: fields.u16()? },
        _ => return Err(UNKNOWN),
    })
}

/// `standby_redo`: of its records only the running transactions matter beyond a standby's memory.
fn running<'a>(
    record: &Record<'_>,
    mut fields: Fields<'_>,
) -> Result<Option<Effect<'a>>, RedoError> {
    if record.kind() != 0x10 {
        return Ok(None);
    }
    // Two counts, and a flag with its padding.
    fields.skip(12)?;
    Ok(Some(Effect::Running {
        next_xid: fields.u32()?,
        oldest_xid: fields.u32()?,
        latest_completed: fields.u32()?,
    }))
}
