//! Pages in memory over the files of relations: what was changed is written when room is needed, and
//! at the end.

use std::collections::BTreeMap;

use cairn_pgwal::{Fork, Page, Relation};

use super::forks::{ForkId, Forks};
use crate::error::Error;

/// Says that a block is in no slot.
const NOWHERE: u32 = u32::MAX;
/// The fork of a slot that is free.
const FREE: usize = usize::MAX;

/// A fixed number of pages, replaced by the clock's hand.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) files: Forks,
    checksums: bool,
    forks: Vec<Table>,
    /// Where in `forks` a fork is.
    index: BTreeMap<ForkId, usize>,
    /// The fork that was asked for last.
    last: Option<(ForkId, usize)>,
    slots: Vec<Slot>,
    slots_max: usize,
    hand: usize,
}

/// One fork.
#[derive(Debug)]
struct Table {
    id: ForkId,
    /// Its length in blocks, pages in memory counted.
    blocks: u32,
    /// The length that its files have.
    on_disk: u32,
    /// In which slot a block is.
    slots: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    page: Box<Page>,
    fork: usize,
    number: u32,
    dirty: bool,
    used: bool,
}

impl Buffers {
    pub(super) fn new(files: Forks, pages: usize, checksums: bool) -> Self {
        Self {
            files,
            checksums,
            forks: Vec::new(),
            index: BTreeMap::new(),
            last: None,
            slots: Vec::new(),
            slots_max: pages.max(1),
            hand: 0,
        }
    }

    fn table(&mut self, id: ForkId) -> Result<usize, Error> {
        if let Some((last, at)) = self.last
            && last == id
        {
            return Ok(at);
        }
        let at = match self.index.get(&id) {
            Some(at) => *at,
            None => {
                let blocks = self.files.blocks(id)?.unwrap_or(0);
                self.forks.push(Table { id, blocks, on_disk: blocks, slots: Vec::new() });
                self.index.insert(id, self.forks.len() - 1);
                self.forks.len() - 1
            }
        };
        self.last = Some((id, at));
        Ok(at)
    }

    /// A block's page, to be changed; `None` where the fork has no such block.
    pub(super) fn existing(&mut self, id: ForkId, number: u32) -> Result<Option<&mut Page>, Error> {
        let fork = self.table(id)?;
        if number >= self.forks[fork].blocks {
            return Ok(None);
        }
        self.page(fork, number).map(Some)
    }

    /// A block's page, to be changed. A fork that is too short gets blocks of zeros up to it.
    pub(super) fn made(&mut self, id: ForkId, number: u32) -> Result<&mut Page, Error> {
        let fork = self.table(id)?;
        if number == NOWHERE {
            return Err(Error::Block { relation: id.0, number });
        }
        let table = &mut self.forks[fork];
        table.blocks = table.blocks.max(number + 1);
        self.page(fork, number)
    }

    fn page(&mut self, fork: usize, number: u32) -> Result<&mut Page, Error> {
        let slot = self.forks[fork].slots.get(number as usize).copied().unwrap_or(NOWHERE);
        let slot = if slot == NOWHERE { self.load(fork, number)? } else { slot as usize };
        let slot = &mut self.slots[slot];
        (slot.used, slot.dirty) = (true, true);
        Ok(&mut slot.page)
    }

    fn load(&mut self, fork: usize, number: u32) -> Result<usize, Error> {
        let at = self.room()?;
        let slot = &mut self.slots[at];
        let table = &mut self.forks[fork];
        if number < table.on_disk {
            self.files.read(table.id, number, &mut slot.page)?;
        } else {
            slot.page.0.fill(0);
        }
        (slot.fork, slot.number) = (fork, number);
        if table.slots.len() <= number as usize {
            table.slots.resize(number as usize + 1, NOWHERE);
        }
        table.slots[number as usize] = u32::try_from(at).expect("there are fewer slots");
        Ok(at)
    }

    /// A slot that is free now.
    fn room(&mut self) -> Result<usize, Error> {
        if self.slots.len() < self.slots_max {
            let (page, number) = (Page::zeroed(), 0);
            self.slots.push(Slot { page, fork: FREE, number, dirty: false, used: false });
            return Ok(self.slots.len() - 1);
        }
        loop {
            let at = self.hand;
            self.hand = (at + 1) % self.slots.len();
            if !std::mem::take(&mut self.slots[at].used) {
                self.write_out(at)?;
                self.release(at);
                return Ok(at);
            }
        }
    }

    fn write_out(&mut self, at: usize) -> Result<(), Error> {
        let slot = &mut self.slots[at];
        if slot.fork == FREE || !std::mem::take(&mut slot.dirty) {
            return Ok(());
        }
        if self.checksums && !slot.page.is_new() {
            slot.page.set_checksum(slot.number);
        }
        let table = &mut self.forks[slot.fork];
        if slot.number > table.on_disk {
            // The blocks before it are in memory still, or of zeros.
            self.files.set_blocks(table.id, slot.number)?;
        }
        self.files.write(table.id, slot.number, &slot.page)?;
        table.on_disk = table.on_disk.max(slot.number + 1);
        Ok(())
    }

    fn release(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if slot.fork != FREE {
            self.forks[slot.fork].slots[slot.number as usize] = NOWHERE;
        }
        (slot.fork, slot.dirty, slot.used) = (FREE, false, false);
    }

    /// Forgets the pages of a fork from a block on.
    fn forget(&mut self, fork: usize, first: u32) {
        let table = &mut self.forks[fork];
        let kept = (first as usize).min(table.slots.len());
        let gone: Vec<u32> = table.slots.drain(kept..).filter(|slot| *slot != NOWHERE).collect();
        for slot in gone {
            let slot = &mut self.slots[slot as usize];
            (slot.fork, slot.dirty, slot.used) = (FREE, false, false);
        }
    }

    /// Makes a fork's file, empty when there is none.
    pub(super) fn create(&mut self, id: ForkId) -> Result<(), Error> {
        let fork = self.table(id)?;
        match self.files.blocks(id)? {
            Some(_) => Ok(()),
            None => self.files.set_blocks(id, self.forks[fork].on_disk),
        }
    }

    /// Cuts a fork; a shorter one stays as it is.
    pub(super) fn truncate(&mut self, id: ForkId, blocks: u32) -> Result<(), Error> {
        let fork = self.table(id)?;
        self.forget(fork, blocks);
        let table = &mut self.forks[fork];
        table.blocks = table.blocks.min(blocks);
        if table.on_disk > blocks {
            table.on_disk = blocks;
            self.files.set_blocks(id, blocks)?;
        }
        Ok(())
    }

    /// Removes a relation with its forks.
    pub(super) fn remove(&mut self, relation: Relation) -> Result<(), Error> {
        for fork in [Fork::Main, Fork::FreeSpace, Fork::Visibility, Fork::Init] {
            let id = (relation, fork);
            if let Some(at) = self.index.get(&id).copied() {
                self.forget(at, 0);
                (self.forks[at].blocks, self.forks[at].on_disk) = (0, 0);
            }
            self.files.remove(id)?;
        }
        Ok(())
    }

    /// Forgets what is in memory of a database's relations.
    pub(super) fn forget_database(&mut self, tablespace: u32, database: u32) {
        self.last = None;
        let of = |id: &ForkId| (id.0.tablespace, id.0.database) == (tablespace, database);
        let gone: Vec<usize> =
            self.index.iter().filter(|(id, _)| of(id)).map(|(_, at)| *at).collect();
        for at in gone {
            self.forget(at, 0);
            // Its length is asked of the files again.
            self.index.remove(&self.forks[at].id);
        }
    }

    /// Writes all that was changed, and gives the files their lengths.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let mut dirty: Vec<_> = (0..self.slots.len())
            .filter(|at| self.slots[*at].fork != FREE && self.slots[*at].dirty)
            .collect();
        dirty.sort_unstable_by_key(|at| (self.slots[*at].fork, self.slots[*at].number));
        for at in dirty {
            self.write_out(at)?;
        }
        for fork in self.index.values() {
            let table = &mut self.forks[*fork];
            if table.blocks > table.on_disk {
                self.files.set_blocks(table.id, table.blocks)?;
                table.on_disk = table.blocks;
            }
        }
        Ok(())
    }
}
