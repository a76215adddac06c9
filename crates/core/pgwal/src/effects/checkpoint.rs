//! `xlog_redo`, but for images of pages.

use super::Effect;
use crate::error::RedoError;
use crate::fields::Fields;
use crate::lsn::Lsn;
use crate::record::Record;

const SHUTDOWN: u8 = 0x00;
const ONLINE: u8 = 0x10;
const NEXT_OID: u8 = 0x30;
const PARAMETERS: u8 = 0x60;
const FULL_PAGE_WRITES: u8 = 0x80;
const END_OF_RECOVERY: u8 = 0x90;

/// A checkpoint's body.
///
/// | offset | bytes | what |
/// |---|---|---|
/// | 0 | 8 | redo position |
/// | 8 | 4 + 4 | timeline, and the one before |
/// | 16 | 1 | whether pages are logged whole; 7 unused |
/// | 24 | 8 | next transaction, its epoch in the upper half |
/// | 32 | 4 × 7 | next oid, next multixact, next member, oldest transaction and its database, oldest multixact and its database |
/// | 60 | 4 | unused |
/// | 64 | 8 | time, seconds since 1970 |
/// | 72 | 4 × 3 | oldest and newest transaction with a timestamp, oldest running one |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; the table says where")]
pub struct Checkpoint {
    /// Whether the server was stopped by it.
    pub shutdown: bool,
    pub redo: Lsn,
    pub timeline: u32,
    pub previous_timeline: u32,
    pub full_page_writes: bool,
    pub next_xid: u64,
    pub next_oid: u32,
    pub next_multi: u32,
    pub next_member: u32,
    pub oldest_xid: u32,
    pub oldest_xid_database: u32,
    pub oldest_multi: u32,
    pub oldest_multi_database: u32,
    pub time: u64,
    pub oldest_timestamp_xid: u32,
    pub newest_timestamp_xid: u32,
    pub oldest_running_xid: u32,
}

impl Checkpoint {
    /// Bytes of its body.
    pub const BYTES: usize = 88;

    /// Reads its body; that it is one of a shutdown is not in it.
    ///
    /// # Errors
    /// [`RedoError::Record`] when it is too short.
    pub fn read(body: &[u8]) -> Result<Self, RedoError> {
        let mut fields = Fields::new(body);
        let redo = Lsn(fields.u64()?);
        let (timeline, previous_timeline) = (fields.u32()?, fields.u32()?);
        let full_page_writes = fields.u8()? != 0;
        fields.skip(7)?;
        let next_xid = fields.u64()?;
        let (next_oid, next_multi, next_member) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (oldest_xid, oldest_xid_database) = (fields.u32()?, fields.u32()?);
        let (oldest_multi, oldest_multi_database) = (fields.u32()?, fields.u32()?);
        fields.skip(4)?;
        Ok(Self {
            shutdown: false,
            redo,
            timeline,
            previous_timeline,
            full_page_writes,
            next_xid,
            next_oid,
            next_multi,
            next_member,
            oldest_xid,
            oldest_xid_database,
            oldest_multi,
            oldest_multi_database,
            time: fields.u64()?,
            oldest_timestamp_xid: fields.u32()?,
            newest_timestamp_xid: fields.u32()?,
            oldest_running_xid: fields.u32()?,
        })
    }

    /// Its body.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.redo.0.to_le_bytes());
        put(8, &self.timeline.to_le_bytes());
        put(12, &self.previous_timeline.to_le_bytes());
        put(16, &[u8::from(self.full_page_writes)]);
        put(24, &self.next_xid.to_le_bytes());
        let numbers = [
            self.next_oid,
            self.next_multi,
            self.next_member,
            self.oldest_xid,
            self.oldest_xid_database,
            self.oldest_multi,
            self.oldest_multi_database,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            put(32 + index * 4, &number.to_le_bytes());
        }
        put(64, &self.time.to_le_bytes());
        put(72, &self.oldest_timestamp_xid.to_le_bytes());
        put(76, &self.newest_timestamp_xid.to_le_bytes());
        put(80, &self.oldest_running_xid.to_le_bytes());
        bytes
    }
}

/// Settings that are in the control file because a standby depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are PostgreSQL's")]
pub struct Parameters {
    pub max_connections: u32,
    pub max_worker_processes: u32,
    pub max_wal_senders: u32,
    pub max_prepared_transactions: u32,
    pub max_locks_per_transaction: u32,
    pub wal_level: u32,
    pub wal_log_hints: bool,
    pub track_commit_timestamp: bool,
}

pub(super) fn xlog<'a>(
    record: &Record<'_>,
    mut fields: Fields<'_>,
) -> Result<Option<Effect<'a>>, RedoError> {
    Ok(Some(match record.kind() {
        SHUTDOWN => {
            Effect::Checkpoint(Checkpoint { shutdown: true, ..Checkpoint::read(fields.rest())? })
        }
        ONLINE => Effect::Checkpoint(Checkpoint::read(fields.rest())?),
        NEXT_OID => Effect::NextOid { oid: fields.u32()? },
        PARAMETERS => Effect::Parameters(parameters(fields)?),
        FULL_PAGE_WRITES => Effect::FullPageWrites(fields.u8()? != 0),
        END_OF_RECOVERY => {
            fields.skip(8)?;
            Effect::EndOfRecovery { timeline: fields.u32()?, previous: fields.u32()? }
        }
        _ => return Ok(None),
    }))
}

fn parameters(mut fields: Fields<'_>) -> Result<Parameters, RedoError> {
    Ok(Parameters {
        max_connections: fields.u32()?,
        max_worker_processes: fields.u32()?,
        max_wal_senders: fields.u32()?,
        max_prepared_transactions: fields.u32()?,
        max_locks_per_transaction: fields.u32()?,
        wal_level: fields.u32()?,
        wal_log_hints: fields.u8()? != 0,
        track_commit_timestamp: fields.u8()? != 0,
    })
}
