//! Replays a log into a data directory: recovery, by our redo.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cairn_pgwal::effects::{Effect, effects};
use cairn_pgwal::redo::{clear_visibility, cut_visibility, visibility_clears, visibility_page};
use cairn_pgwal::{Block, Fork, Record, Relation, Rmgr, State, redo};

use super::buffers::Buffers;
use super::copy::copy_directory;
use super::forks::ForkId;
use super::status::Status;
use super::two_phase;
use crate::error::Error;
use crate::layout::database_directory;

/// A data directory, and what recovery knows of it.
#[derive(Debug)]
pub(super) struct Replay {
    path: PathBuf,
    buffers: Buffers,
    status: Status,
    pub(super) state: State,
    /// Blocks that the log changed and that were not there. Such a relation is dropped or cut later
    /// in the log, or the copy is not whole.
    missing: BTreeSet<(ForkId, u32)>,
}

impl Replay {
    pub(super) fn new(path: &Path, buffers: Buffers, state: State) -> Self {
        let status = Status::new(path, state.parameters.track_commit_timestamp);
        let path = path.to_path_buf();
        Self { path, buffers, status, state, missing: BTreeSet::new() }
    }

    pub(super) fn record(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let failed = |detail: String| Error::Replay {
            at: record.start,
            rmgr: Rmgr::from_number(record.rmgr).map_or("unknown", Rmgr::name),
            detail,
        };
        for block in &record.blocks {
            self.block(record, block, &failed)?;
        }
        for clear in visibility_clears(record).map_err(|error| failed(error.to_string()))? {
            let id = (clear.relation, Fork::Visibility);
            let number = visibility_page(clear.heap_block);
            if let Some(page) = self.buffers.existing(id, number)? {
                clear_visibility(page, clear.heap_block, clear.bits);
            }
        }
        let effects = effects(record).map_err(|error| failed(error.to_string()))?;
        for effect in &effects {
            if let Effect::Unsupported(detail) = effect {
                return Err(failed((*detail).to_owned()));
            }
            self.files(effect)?;
            self.status.apply(effect)?;
            two_phase::apply(&self.path, effect)?;
        }
        self.state.apply(record, &effects);
        Ok(())
    }

    /// Changes a block's page, where it is older than the record. As in recovery, an image or the
    /// beginning of a new page counts whatever was there.
    fn block(
        &mut self,
        record: &Record<'_>,
        block: &Block<'_>,
        failed: &dyn Fn(String) -> Error,
    ) -> Result<(), Error> {
        let id = (block.relation, block.fork);
        let anew = block.will_init || block.image.is_some_and(|image| image.apply);
        // Maps of other forks are made longer as they are needed, without a record.
        let page = if anew || block.fork != Fork::Main {
            Some(self.buffers.made(id, block.number)?)
        } else {
            self.buffers.existing(id, block.number)?.filter(|page| !page.is_new())
        };
        let Some(page) = page else {
            self.missing.insert((id, block.number));
            return Ok(());
        };
        if !anew && page.lsn() >= record.end {
            return Ok(());
        }
        redo(record, block, page).map_err(|error| {
            let Relation { database, number, .. } = block.relation;
            failed(format!("block {} of {database}/{number}: {error}", block.number))
        })
    }

    /// Does to files what a record does.
    fn files(&mut self, effect: &Effect<'_>) -> Result<(), Error> {
        match effect {
            Effect::CreateFork { relation, fork } => self.buffers.create((*relation, *fork)),
            Effect::DropRelation { relation } => {
                self.missing.retain(|((missing, _), _)| missing != relation);
                self.buffers.remove(*relation)
            }
            Effect::Truncate { relation, blocks, main, visibility, free_space } => {
                let parts = Parts { main: *main, visibility: *visibility, free: *free_space };
                self.truncate(*relation, *blocks, &parts)
            }
            Effect::CopyDatabase { from, to } => {
                self.forget_database(*to)?;
                self.buffers.flush()?;
                let source = self.buffers.files.database(from.0, from.1)?;
                let target = self.buffers.files.database(to.0, to.1)?;
                copy_directory(&source, &target, &|_| true)
            }
            Effect::CreateDatabase { tablespace, database } => {
                self.buffers.files.make_database(*tablespace, *database)
            }
            Effect::DropDatabase { tablespace, database } => {
                self.forget_database((*tablespace, *database))
            }
            Effect::RelationMap { tablespace, database, bytes } => {
                let directory = match database {
                    0 => database_directory(1664, 0),
                    _ => database_directory(*tablespace, *database),
                };
                let directory = directory.ok_or(Error::Tablespace(*tablespace))?;
                let path = self.path.join(directory).join("pg_filenode.map");
                std::fs::write(&path, bytes).map_err(|source| Error::Write { path, source })
            }
            _ => Ok(()),
        }
    }

    fn forget_database(&mut self, database: (u32, u32)) -> Result<(), Error> {
        let of = |relation: &Relation| (relation.tablespace, relation.database) == database;
        self.missing.retain(|((missing, _), _)| !of(missing));
        self.buffers.forget_database(database.0, database.1);
        self.buffers.files.remove_database(database.0, database.1)
    }

    fn truncate(&mut self, relation: Relation, blocks: u32, parts: &Parts) -> Result<(), Error> {
        if parts.main {
            let main = (relation, Fork::Main);
            self.missing.retain(|(id, number)| *id != main || *number < blocks);
            self.buffers.create(main)?;
            self.buffers.truncate(main, blocks)?;
        }
        if parts.visibility {
            let map = (relation, Fork::Visibility);
            let last = visibility_page(blocks);
            // The page that has the first heap page that is gone stays when it has others too.
            let begins = blocks == 0 || visibility_page(blocks - 1) != last;
            if let Some(page) = self.buffers.existing(map, last)?.filter(|page| !page.is_new()) {
                cut_visibility(page, blocks);
            }
            self.buffers.truncate(map, if begins { last } else { last + 1 })?;
        }
        if parts.free {
            // Advice only, and not kept by the log: the next vacuum makes it again.
            self.buffers.truncate((relation, Fork::FreeSpace), 0)?;
        }
        Ok(())
    }

    /// Writes everything that was changed.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if let Some(((relation, _), number)) = self.missing.first() {
            let (relation, number, count) = (*relation, *number, self.missing.len());
            return Err(Error::Missing { relation, number, count });
        }
        self.buffers.flush()?;
        self.status.flush()
    }
}

/// Which forks a truncation cuts.
struct Parts {
    main: bool,
    visibility: bool,
    free: bool,
}
