//! The control file, `global/pg_control` (`catalog/pg_control.h`).
//!
//! What differs from server to server is kept as it was read; only what a position in the log
//! determines is changed. PostgreSQL 15, numbers little endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | system identifier |
//! | 8 | 4 + 4 | version of this file (1300), version of the catalogs |
//! | 16 | 4 | state |
//! | 24 | 8 | when it was written, seconds since 1970 |
//! | 32 | 8 | where the last checkpoint's record is |
//! | 40 | 88 | that checkpoint, as in [`Checkpoint`] |
//! | 128 | 8 | LSN of unlogged relations |
//! | 136 | 8 + 4 | no connection before this position, and its timeline |
//! | 152 | 8 + 8 + 1 | start and end of a base backup, whether its end is required |
//! | 172 | 32 | [`Parameters`]; the three flags take 4 bytes with their padding |
//! | 204 | … | what the server was compiled for; at 228 bytes of a segment, at 252 version of checksums |
//! | 288 | 4 | CRC-32C of all before |

use alloc::vec::Vec;

use crate::effects::{Checkpoint, Parameters};
use crate::error::ControlError;
use crate::lsn::Lsn;
use crate::stream::CRC_32C;

/// Bytes of the file.
pub const CONTROL_BYTES: usize = 8192;

const VERSION: u32 = 1300;
const CRC_AT: usize = 288;
const CHECKPOINT_AT: usize = 40;
const PARAMETERS_AT: usize = 172;

/// What the server was doing when it last wrote its control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are PostgreSQL's")]
pub enum ServerState {
    StartingUp,
    ShutDown,
    ShutDownInRecovery,
    ShuttingDown,
    InCrashRecovery,
    InArchiveRecovery,
    InProduction,
}

const STATES: [ServerState; 7] = [
    ServerState::StartingUp,
    ServerState::ShutDown,
    ServerState::ShutDownInRecovery,
    ServerState::ShuttingDown,
    ServerState::InCrashRecovery,
    ServerState::InArchiveRecovery,
    ServerState::InProduction,
];

/// A control file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    bytes: Vec<u8>,
}

impl Control {
    /// Reads one.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ControlError> {
        if bytes.len() != CONTROL_BYTES {
            return Err(ControlError::Length(bytes.len()));
        }
        let control = Self { bytes: bytes.to_vec() };
        if control.u32(8) != VERSION {
            return Err(ControlError::Version(control.u32(8)));
        }
        if CRC_32C.checksum(&bytes[..CRC_AT]) != control.u32(CRC_AT) {
            return Err(ControlError::Crc);
        }
        let sane = STATES.get(control.u32(16) as usize).is_some() && control.u32(216) == 8192;
        let segment = control.segment_bytes();
        if !sane || !segment.is_power_of_two() || !(1 << 20..=1 << 30).contains(&segment) {
            return Err(ControlError::Fields);
        }
        Ok(control)
    }

    /// The file's bytes, with their CRC.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let crc = CRC_32C.checksum(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The cluster.
    #[must_use]
    pub fn system_id(&self) -> u64 {
        self.u64(0)
    }

    /// What the server was doing.
    #[must_use]
    pub fn state(&self) -> ServerState {
        STATES[self.u32(16) as usize]
    }

    /// The last checkpoint's record.
    #[must_use]
    pub fn checkpoint_at(&self) -> Lsn {
        Lsn(self.u64(32))
    }

    /// The last checkpoint. That it was a shutdown is not known here, but by [`Control::state`].
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::read(&self.bytes[CHECKPOINT_AT..CHECKPOINT_AT + Checkpoint::BYTES])
            .expect("the file is long enough")
    }

    /// Before this position there is no consistent state; 0 for none.
    #[must_use]
    pub fn min_recovery(&self) -> Lsn {
        Lsn(self.u64(136))
    }

    /// Settings that a standby depends on.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let number = |index: usize| self.u32(PARAMETERS_AT + index * 4);
        Parameters {
            wal_level: number(0),
            wal_log_hints: self.bytes[PARAMETERS_AT + 4] != 0,
            max_connections: number(2),
            max_worker_processes: number(3),
            max_wal_senders: number(4),
            max_prepared_transactions: number(5),
            max_locks_per_transaction: number(6),
            track_commit_timestamp: self.bytes[PARAMETERS_AT + 28] != 0,
        }
    }

    /// Bytes of a segment of WAL.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        u64::from(self.u32(228))
    }

    /// Whether pages carry checksums.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        self.u32(252) != 0
    }

    /// The same for a server in this state, whose last checkpoint is this one.
    pub fn set_checkpoint(&mut self, state: ServerState, at: Lsn, checkpoint: &Checkpoint) {
        let number = STATES.iter().position(|known| *known == state).expect("all are listed");
        self.put(16, &u32::try_from(number).expect("there are few").to_le_bytes());
        self.put(24, &checkpoint.time.to_le_bytes());
        self.put(32, &at.0.to_le_bytes());
        self.put(CHECKPOINT_AT, &checkpoint.bytes());
        // No base backup is under way.
        self.bytes[136..172].fill(0);
    }

    /// Demands that the log is replayed up to a position before anyone may connect.
    pub fn set_min_recovery(&mut self, at: Lsn, timeline: u32) {
        self.put(136, &at.0.to_le_bytes());
        self.put(144, &timeline.to_le_bytes());
    }

    /// Replaces the settings that a standby depends on.
    pub fn set_parameters(&mut self, parameters: &Parameters) {
        let flag = u32::from;
        let fields = [
            parameters.wal_level,
            flag(parameters.wal_log_hints),
            parameters.max_connections,
            parameters.max_worker_processes,
            parameters.max_wal_senders,
            parameters.max_prepared_transactions,
            parameters.max_locks_per_transaction,
            flag(parameters.track_commit_timestamp),
        ];
        for (index, field) in fields.into_iter().enumerate() {
            self.put(PARAMETERS_AT + index * 4, &field.to_le_bytes());
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(*self.bytes[at..].first_chunk().expect("the file is long enough"))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(*self.bytes[at..].first_chunk().expect("the file is long enough"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = alloc::vec![0; CONTROL_BYTES];
        bytes[..8].copy_from_slice(&7_u64.to_le_bytes());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16] = 1;
        bytes[216..220].copy_from_slice(&8192_u32.to_le_bytes());
        bytes[228..232].copy_from_slice(&(16_u32 << 20).to_le_bytes());
        let crc = CRC_32C.checksum(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn what_is_set_is_read_back() {
        let mut control = Control::read(&sample()).unwrap();
        assert_eq!((control.system_id(), control.state()), (7, ServerState::ShutDown));
        let checkpoint = Checkpoint {
            redo: Lsn(0x0123_4567_89ab),
            timeline: 4,
            next_xid: 5 << 32 | 6,
            oldest_running_xid: 9,
            full_page_writes: true,
            ..control.checkpoint()
        };
        let parameters = Parameters {
            max_connections: 77,
            track_commit_timestamp: true,
            wal_level: 2,
            ..control.parameters()
        };
        control.set_checkpoint(ServerState::InArchiveRecovery, Lsn(99), &checkpoint);
        control.set_parameters(&parameters);
        control.set_min_recovery(Lsn(123), 4);
        let read = Control::read(&control.bytes()).unwrap();
        assert_eq!(read.state(), ServerState::InArchiveRecovery);
        assert_eq!((read.checkpoint_at(), read.min_recovery()), (Lsn(99), Lsn(123)));
        assert_eq!((read.checkpoint(), read.parameters()), (checkpoint, parameters));
    }

    #[test]
    fn every_damaged_byte_that_counts_is_noticed() {
        let whole = sample();
        for at in 0..CRC_AT + 4 {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            assert!(Control::read(&bad).is_err(), "byte {at}");
        }
        assert_eq!(Control::read(&whole[..100]), Err(ControlError::Length(100)));
    }
}
