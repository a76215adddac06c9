//! A data directory at a position of the log, made from a copy and an archive of WAL: a server that is
//! started on it does no recovery.
//!
//! - RESTORE-1 What is made is a state that the cluster had: never before the copy is whole, never a
//!   part of a record, and no change that the log makes to what the copy does not have.
//! - RESTORE-2 The control file is written last: a directory that is not finished starts no server.

mod backup;
mod buffers;
mod config;
mod copy;
mod forks;
mod origins;
mod replay;
mod slru;
mod status;
mod synthesis;
mod two_phase;
mod unlogged;

use std::path::{Path, PathBuf};

use cairn_pgwal::effects::{Effect, effects};
use cairn_pgwal::{Lsn, Major, Record, Rmgr, State};
use serde::Serialize;

use self::backup::Whole;
use self::buffers::Buffers;
use self::forks::Forks;
use self::replay::Replay;
use crate::archive::Archive;
use crate::base::CONTROL_FILE;
use crate::error::Error;

/// Where in the log to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// At its end.
    End,
    /// Behind the last record that ends here or before.
    Lsn(Lsn),
    /// Before the first transaction that ended later: microseconds since 2000.
    Time(i64),
}

/// What the directory is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server of its own, on a new timeline.
    Primary,
    /// A hot standby on the timeline of the log; of this server, as `primary_conninfo` names it.
    Standby(Option<String>),
}

/// What is made of what.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The copy: a stopped cluster's directory, or one made by `pg_basebackup`.
    pub base: PathBuf,
    /// The directory that is made; it must not be there, or be empty.
    pub out: PathBuf,
    /// Where to stop.
    pub target: Target,
    /// What it is for.
    pub role: Role,
    /// Pages held in memory, 8 KiB each.
    pub pages: usize,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The end of the last record that counts.
    pub at: String,
    /// The timeline of the directory.
    pub timeline: u32,
    /// The timeline of the log that it came from.
    pub from_timeline: u32,
    /// Records replayed.
    pub records: u64,
    /// Bytes of WAL replayed.
    pub wal_bytes: u64,
    /// When the last transaction ended, microseconds since 2000; none when none did.
    pub last_end: Option<u64>,
}

/// Told now and then how far the log was replayed.
pub type Progress<'a> = dyn Fn(Lsn) + 'a;

/// Every so many bytes of WAL progress is told.
const TOLD_EVERY: u64 = 4 << 20;
/// The record that ends a base backup.
const BACKUP_END: u8 = 0x50;

/// Makes the directory. When that fails, nothing is left of it.
///
/// # Errors
/// [`Error`].
pub fn restore(
    archive: &Archive,
    options: &RestoreOptions,
    progress: &Progress<'_>,
) -> Result<Restored, Error> {
    let copy = backup::look(&options.base)?;
    if copy.control.segment_bytes() != archive.segment_bytes() {
        let detail = "its segments of WAL are of another length than the archive's".to_owned();
        return Err(Error::Copy { path: options.base.clone(), detail });
    }
    let made = begin(&options.out)?;
    let done = Work { archive, options, copy, progress }.run();
    if done.is_err() && made {
        // The error says what went wrong; what is left behind is only in the way.
        drop(std::fs::remove_dir_all(&options.out));
    }
    done
}

/// Makes the directory, for its owner alone. Returns whether it was not there.
fn begin(out: &Path) -> Result<bool, Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |source| Error::Write { path: out.to_path_buf(), source };
    if out.exists() {
        let empty = std::fs::read_dir(out).map_err(failed)?.next().is_none();
        if !empty {
            let detail = "it is there already and is not empty; name another".to_owned();
            return Err(Error::Copy { path: out.to_path_buf(), detail });
        }
    }
    let there = out.exists();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(failed)?;
    Ok(!there)
}

struct Work<'a> {
    archive: &'a Archive,
    options: &'a RestoreOptions,
    copy: backup::Copy,
    progress: &'a Progress<'a>,
}

/// Where replay came to.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    /// The start and the end of the last record.
    last: Lsn,
    end: Lsn,
    records: u64,
}

impl Work<'_> {
    fn run(self) -> Result<Restored, Error> {
        let out = &self.options.out;
        copy::copy_cluster(&self.options.base, out)?;
        let control = out.join(CONTROL_FILE);
        std::fs::remove_file(&control).map_err(|source| Error::Write { path: control, source })?;
        let files = Forks::new(out);
        let checksums = self.copy.control.has_checksums();
        let buffers = Buffers::new(files, self.options.pages, checksums);
        let mut replay = Replay::new(out, buffers, self.state()?);
        let reached = self.replay(&mut replay)?;
        replay.finish()?;
        let synthesis = synthesis::Synthesis {
            archive: self.archive,
            out,
            control: self.copy.control.clone(),
            state: &replay.state,
            last: reached.last,
            end: reached.end,
        };
        let timeline = synthesis.write(&self.options.role)?;
        Ok(Restored {
            at: reached.end.to_string(),
            timeline,
            from_timeline: self.archive.history().timeline_of(reached.end),
            records: reached.records,
            wal_bytes: reached.end.0.saturating_sub(self.copy.redo.0),
            last_end: Some(replay.state.last_end).filter(|ended| *ended > 0),
        })
    }

    /// What the server knew at the checkpoint that the copy was taken after.
    fn state(&self) -> Result<State, Error> {
        let origins = origins::read(&self.options.base)?;
        let at = self.copy.checkpoint;
        let mut records = self.archive.records(at);
        let raw = records.advance()?.filter(|raw| raw.start == at);
        let checkpoint = raw.and_then(|raw| {
            let record = Record::decode(Major::V15, &raw).ok()?;
            effects(&record).ok()?.into_iter().find_map(|effect| match effect {
                Effect::Checkpoint(checkpoint) => Some(checkpoint),
                _ => None,
            })
        });
        let Some(checkpoint) = checkpoint else {
            let detail = format!("the archive has no checkpoint at {at}, where the copy has one");
            return Err(Error::Copy { path: self.options.base.clone(), detail });
        };
        let mut state = State::new(checkpoint, self.copy.control.parameters(), origins);
        state.checkpoint = Some((at, checkpoint));
        Ok(state)
    }

    fn replay(&self, replay: &mut Replay) -> Result<Reached, Error> {
        let target = self.options.target;
        let mut reached = Reached { end: self.copy.redo, ..Reached::default() };
        let mut whole = false;
        let mut told = self.copy.redo;
        let mut stopped = false;
        if matches!(target, Target::Time(time) if time < replay.state.checkpoint_time()) {
            return Err(self.too_early(target));
        }
        let mut records = self.archive.records(self.copy.redo);
        while let Some(raw) = records.advance()? {
            let record = Record::decode(Major::V15, &raw)?;
            if is_beyond(target, &record)? {
                stopped = true;
                break;
            }
            replay.record(&record)?;
            whole = whole || self.makes_whole(&record);
            reached = Reached { last: record.start, end: record.end, records: reached.records + 1 };
            if record.end.0 >= told.0 + TOLD_EVERY {
                told = record.end;
                (self.progress)(told);
            }
        }
        (self.progress)(reached.end);
        let missed = match target {
            Target::Lsn(lsn) if !stopped && reached.end < lsn => Some(lsn.to_string()),
            Target::Time(_) if !stopped => {
                Some("a transaction that ended later than told".to_owned())
            }
            _ => None,
        };
        if let Some(missed) = missed {
            let end = reached.end;
            return Err(Error::Target(format!("the log ends at {end}, before {missed}")));
        }
        // RESTORE-1
        if whole { Ok(reached) } else { Err(self.too_early(target)) }
    }

    /// Whether the copy is a state that the cluster had once this record was replayed.
    fn makes_whole(&self, record: &Record<'_>) -> bool {
        match self.copy.whole {
            Whole::From(from) => record.end >= from,
            Whole::BackupOf(start) => {
                Rmgr::from_number(record.rmgr) == Some(Rmgr::Xlog)
                    && record.kind() == BACKUP_END
                    && record.main.first_chunk() == Some(&start.0.to_le_bytes())
            }
        }
    }

    fn too_early(&self, target: Target) -> Error {
        let from = match self.copy.whole {
            Whole::From(from) => format!("the copy is of {from} or later"),
            Whole::BackupOf(start) => {
                format!(
                    "the copy is of a backup that began at {start}, and is whole when that ended"
                )
            }
        };
        let before = match target {
            Target::End => "the log ends",
            Target::Lsn(_) | Target::Time(_) => "the moment that was named is",
        };
        Error::Target(format!("{from}, {before} before; name a later moment, or an older copy"))
    }
}

/// Whether a record comes behind where to stop.
fn is_beyond(target: Target, record: &Record<'_>) -> Result<bool, Error> {
    match target {
        Target::End => Ok(false),
        Target::Lsn(lsn) => Ok(record.end > lsn),
        Target::Time(time) => {
            if Rmgr::from_number(record.rmgr) != Some(Rmgr::Transaction) {
                return Ok(false);
            }
            let effects = effects(record).map_err(|error| Error::Replay {
                at: record.start,
                rmgr: Rmgr::Transaction.name(),
                detail: error.to_string(),
            })?;
            Ok(effects.iter().any(|effect| {
                matches!(effect, Effect::Finished(finished) if finished.time.cast_signed() > time)
            }))
        }
    }
}
