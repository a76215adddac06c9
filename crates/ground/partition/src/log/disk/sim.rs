use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_env::Rng;

use super::Disk;

const SECTOR_BYTES: usize = 512;

/// A disk in memory that loses, tears and damages what a real one may. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    shared: Arc<Mutex<Shared>>,
    /// Which boot this handle belongs to; older ones can do nothing more.
    boot: u64,
}

#[derive(Debug, Default)]
struct Shared {
    boot: u64,
    next: u64,
    files: BTreeMap<u64, File>,
    /// The directory as everybody sees it.
    names: BTreeMap<String, u64>,
    /// As it is after a crash, if none of `steps` is kept.
    names_synced: BTreeMap<String, u64>,
    steps: Vec<Step>,
    full: bool,
    writes: u64,
    syncs: u64,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
}

#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Step {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

fn apply(names: &mut BTreeMap<String, u64>, step: Step) {
    match step {
        Step::Create(name, file) => {
            names.insert(name, file);
        }
        Step::Rename(from, to) => {
            if let Some(file) = names.remove(&from) {
                names.insert(to, file);
            }
        }
        Step::Remove(name) => {
            names.remove(&name);
        }
    }
}

impl File {
    /// Decides about each sector that was written and not synced.
    fn settle(&mut self, rng: &dyn Rng) {
        let mode = rng.next_u64() % 4;
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let mut at = offset;
            while at < offset + bytes.len() {
                let end = (at + 1).next_multiple_of(SECTOR_BYTES).min(offset + bytes.len());
                let kept = match mode {
                    0 => true,
                    1 => false,
                    _ => rng.next_u64().is_multiple_of(2),
                };
                if kept {
                    self.synced[at..end].copy_from_slice(&bytes[at - offset..end - offset]);
                }
                at = end;
            }
        }
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The power fails and comes back. What was synced is there; of what was not, each sector is there
    /// or not, and of the changes to the directory the first few. Older handles can do nothing more: the
    /// disk is the one that is returned.
    #[must_use]
    pub fn crash(&self, rng: &dyn Rng) -> Self {
        let mut shared = self.all();
        let steps = std::mem::take(&mut shared.steps);
        let kept = rng.next_u64() % (steps.len() as u64 + 1);
        let mut names = std::mem::take(&mut shared.names_synced);
        for (step, _) in steps.into_iter().zip(0..kept) {
            apply(&mut names, step);
        }
        for file in shared.files.values_mut() {
            file.settle(rng);
            file.bytes = file.synced.clone();
        }
        shared.files.retain(|file, _| names.values().any(|kept| kept == file));
        shared.names = names.clone();
        shared.names_synced = names;
        (shared.fail_write, shared.fail_sync) = (None, None);
        shared.boot += 1;
        Self { shared: Arc::clone(&self.shared), boot: shared.boot }
    }

    /// The process ends, the system goes on: nothing is lost, and older handles can do nothing more.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut shared = self.all();
        (shared.fail_write, shared.fail_sync) = (None, None);
        shared.boot += 1;
        Self { shared: Arc::clone(&self.shared), boot: shared.boot }
    }

    /// A disk of its own with what is on this one now: an image of it.
    #[must_use]
    pub fn image(&self) -> Self {
        let shared = self.all();
        let whole = |(id, file): (&u64, &File)| {
            let bytes = file.bytes.clone();
            (*id, File { synced: bytes.clone(), bytes, unsynced: Vec::new() })
        };
        let copy = Shared {
            next: shared.next,
            files: shared.files.iter().map(whole).collect(),
            names: shared.names.clone(),
            names_synced: shared.names.clone(),
            ..Shared::default()
        };
        Self { shared: Arc::new(Mutex::new(copy)), boot: 0 }
    }

    /// From now on no space is left for new files, or there is again.
    pub fn set_full(&self, full: bool) {
        self.all().full = full;
    }

    /// The `number`-th write from now on fails, counted from 1, with a part of it done.
    pub fn fail_write(&self, number: u64) {
        let mut shared = self.all();
        shared.fail_write = Some(shared.writes + number);
    }

    /// The `number`-th sync of a file from now on fails, counted from 1, and the system forgets that
    /// there was something to write.
    pub fn fail_sync(&self, number: u64) {
        let mut shared = self.all();
        shared.fail_sync = Some(shared.syncs + number);
    }

    /// Flips bits of a stored byte. There must be such a file, of more bytes.
    pub fn flip(&self, name: &str, offset: usize, bits: u8) {
        let mut shared = self.all();
        let id = shared.names.get(name).copied();
        let file = id.and_then(|id| shared.files.get_mut(&id)).expect("there is such a file");
        file.bytes[offset] ^= bits;
        file.synced[offset] ^= bits;
    }

    /// How often a file was synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.all().syncs
    }

    fn all(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mine(&self) -> io::Result<MutexGuard<'_, Shared>> {
        let shared = self.all();
        if shared.boot == self.boot { Ok(shared) } else { Err(io::Error::other("it has crashed")) }
    }
}

impl Shared {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let id = self.names.get(name).copied();
        id.and_then(|id| self.files.get_mut(&id)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn step(&mut self, step: Step) {
        apply(&mut self.names, step.clone());
        self.steps.push(step);
    }
}

impl Disk for SimDisk {
    fn blocks(&self) -> bool {
        false
    }

    fn describe(&self, name: &str) -> String {
        format!("simulated/{name}")
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let shared = self.mine()?;
        let len = |id: &u64| shared.files.get(id).map_or(0, |file| file.bytes.len() as u64);
        Ok(shared.names.iter().map(|(name, id)| (name.clone(), len(id))).collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut shared = self.mine()?;
        if shared.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if shared.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::StorageFull)?;
        shared.next += 1;
        let id = shared.next;
        let file = File { bytes: vec![0; len], synced: vec![0; len], unsynced: Vec::new() };
        shared.files.insert(id, file);
        shared.step(Step::Create(name.to_owned(), id));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut shared = self.mine()?;
        shared.file(from)?;
        shared.step(Step::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut shared = self.mine()?;
        shared.file(name)?;
        shared.step(Step::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut shared = self.mine()?;
        shared.steps.clear();
        shared.names_synced = shared.names.clone();
        let kept = shared.names.clone();
        shared.files.retain(|file, _| kept.values().any(|kept| kept == file));
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut shared = self.mine()?;
        shared.writes += 1;
        let fails = shared.fail_write == Some(shared.writes);
        let bytes = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        let file = shared.file(name)?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let end = at.saturating_add(bytes.len());
        let space = file.bytes.get_mut(at..end);
        space.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(bytes);
        file.unsynced.push((at, bytes.to_vec()));
        if fails { Err(io::Error::other("a simulated fault")) } else { Ok(()) }
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut shared = self.mine()?;
        shared.syncs += 1;
        let fails = shared.fail_sync == Some(shared.syncs);
        let file = shared.file(name)?;
        let unsynced = std::mem::take(&mut file.unsynced);
        if fails {
            return Err(io::Error::other("a simulated fault"));
        }
        for (offset, bytes) in unsynced {
            file.synced[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut shared = self.mine()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let found = shared.file(name)?.bytes.get(at..at.saturating_add(out.len()));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn close(&self) {}
}
