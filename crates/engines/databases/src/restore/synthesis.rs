//! What a server needs to start at a position of the log without recovery: one record that says that
//! it was stopped there, and a control file that agrees.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cairn_pgwal::effects::Checkpoint;
use cairn_pgwal::{Appender, Control, Lsn, Major, Rmgr, ServerState, State};

use super::{Role, config, origins, unlogged};
use crate::archive::Archive;
use crate::base::CONTROL_FILE;
use crate::error::Error;
use crate::history::History;
use crate::layout::segment_name;

const SHUTDOWN_CHECKPOINT: u8 = 0x00;

pub(super) struct Synthesis<'a> {
    pub(super) archive: &'a Archive,
    pub(super) out: &'a Path,
    pub(super) control: Control,
    pub(super) state: &'a State,
    /// The start and the end of the last record.
    pub(super) last: Lsn,
    pub(super) end: Lsn,
}

impl Synthesis<'_> {
    /// Writes what is missing; returns the directory's timeline.
    pub(super) fn write(mut self, role: &Role) -> Result<u32, Error> {
        let status = self.out.join("pg_wal/archive_status");
        std::fs::create_dir_all(&status).map_err(|source| Error::Write { path: status, source })?;
        origins::write(self.out, &self.state.origins)?;
        self.control.set_parameters(&self.state.parameters);
        let timeline = match role {
            Role::Primary => self.primary()?,
            Role::Standby(_) => self.standby()?,
        };
        config::write(self.out, role, &self.state.parameters)?;
        sync_all(self.out)?;
        // RESTORE-2
        let path = self.out.join(CONTROL_FILE);
        put(&path, 0, &self.control.bytes())?;
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|source| Error::Write { path, source })?;
        Ok(timeline)
    }

    /// A server of its own: a new timeline, whose first record is a shutdown's checkpoint.
    fn primary(&mut self) -> Result<u32, Error> {
        let timeline = self.archive.newest_timeline() + 1;
        let history = self.archive.history().child(self.end, "restored without recovery");
        self.file(&History::file_name(timeline), history.as_bytes())?;
        let mut appender = Appender {
            major: Major::V15,
            system_id: self.control.system_id(),
            segment_bytes: self.archive.segment_bytes(),
            timeline,
            end: self.end,
            previous: self.last,
            written: BTreeMap::new(),
        };
        let checkpoint = Checkpoint {
            shutdown: true,
            redo: appender.next_start(),
            timeline,
            previous_timeline: timeline,
            oldest_running_xid: 0,
            time: self.state.time(),
            ..self.state.counters
        };
        let at = appender.append(Rmgr::Xlog, SHUTDOWN_CHECKPOINT, &checkpoint.bytes());
        for (number, (from, bytes)) in &appender.written {
            self.segment(timeline, *number, *from, bytes)?;
        }
        unlogged::reset(self.out)?;
        self.control.set_checkpoint(ServerState::ShutDown, at, &checkpoint);
        Ok(timeline)
    }

    /// A segment: what the archive has of it up to `from`, then these bytes, then zeros.
    fn segment(&self, timeline: u32, number: u64, from: usize, bytes: &[u8]) -> Result<(), Error> {
        let segment_bytes = self.archive.segment_bytes();
        let mut whole = if from == 0 {
            Vec::new()
        } else {
            let mut whole = self.archive.read_segment(Lsn(number * segment_bytes))?;
            whole.truncate(from);
            whole
        };
        whole.extend_from_slice(bytes);
        whole.resize(usize::try_from(segment_bytes).expect("at most 1 GiB"), 0);
        self.file(&segment_name(timeline, number, segment_bytes), &whole)
    }

    /// A standby: from the last checkpoint on it reads the log again, finds every page newer, and lets
    /// nobody in before it is where we are.
    fn standby(&mut self) -> Result<u32, Error> {
        let (at, checkpoint) = self.state.checkpoint.expect("it was set when replay began");
        let timeline = self.archive.history().timeline_of(self.end);
        let segment_bytes = self.archive.segment_bytes();
        let end = self.end.0.div_ceil(segment_bytes).max(1);
        for number in checkpoint.redo.0 / segment_bytes..end {
            let start = number * segment_bytes;
            let mut bytes = self.archive.read_segment(Lsn(start))?;
            // What comes later in the archive is not to be replayed from here.
            if self.end.0 - start < segment_bytes {
                let kept = usize::try_from(self.end.0 - start).expect("at most 1 GiB");
                bytes[kept..].fill(0);
            }
            let of = self.archive.history().timeline_of_segment(number, segment_bytes);
            self.file(&segment_name(of, number, segment_bytes), &bytes)?;
        }
        if let Some(text) = self.archive.history().text() {
            let name = History::file_name(self.archive.history().timeline());
            self.file(&name, text.as_bytes())?;
        }
        self.control.set_checkpoint(ServerState::InArchiveRecovery, at, &checkpoint);
        self.control.set_min_recovery(self.end, timeline);
        Ok(timeline)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        put(&self.out.join("pg_wal").join(name), 0, bytes)
    }
}

/// Writes a file's bytes from a place on.
fn put(path: &Path, at: u64, bytes: &[u8]) -> Result<(), Error> {
    let written = File::create(path).and_then(|file| file.write_all_at(bytes, at));
    written.map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

/// Makes everything durable that was written in the file system of a directory.
fn sync_all(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|file| Ok(rustix::fs::syncfs(&file)?));
    synced.map_err(|source| Error::Write { path: PathBuf::from(path), source })
}
