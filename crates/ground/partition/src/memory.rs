//! A partition in this process's memory: the contract at its plainest. Nothing of it is durable. Tests
//! use it, and it is the model that the real one is compared with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_env::Env;
use tokio::sync::Notify;

use crate::commit::check_key;
use crate::limits::{CHANGES_MAX, PAGE_BYTES_MAX, SCAN_ENTRIES_MAX, WATCH_WAIT_MAX};
use crate::{
    AnyPartition, At, Change, Changes, Commit, Committed, Cursor, Entry, Error, Here, Name, Op,
    Page, Partition, PartitionId, Partitions, Reads, Scan, Seq, Settings, Status, Step, Usage,
    What,
};

/// A partition in memory.
pub struct Memory {
    name: Name,
    id: PartitionId,
    env: Env,
    state: Mutex<State>,
    moved: Notify,
}

/// A value, the reference in place of one, and when it is over.
type Kept = (Bytes, Option<Bytes>, Option<u64>);
/// What a commit made of a key: a value, or nothing.
type Version = (Seq, Option<Kept>);

#[derive(Clone, Default)]
struct State {
    settings: Settings,
    newest: Seq,
    oldest: Seq,
    now_ms: u64,
    /// Versions of each key, oldest first.
    keys: BTreeMap<Bytes, Vec<Version>>,
    changes: Vec<Change>,
    /// When the oldest state's commit, and each after it, was made.
    times: BTreeMap<Seq, u64>,
    removed: bool,
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new(name: Name, settings: Settings, env: &Env) -> Self {
        Self::with(name, State { settings, ..State::default() }, env)
    }

    fn with(name: Name, state: State, env: &Env) -> Self {
        let mut id = [0; 16];
        env.rng.fill(&mut id);
        let state = Mutex::new(state);
        Self { name, id: PartitionId(id), env: env.clone(), state, moved: Notify::new() }
    }

    /// The state, with what is over at this time removed.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wall_ms = u64::try_from(self.env.clock.wall_ns() / 1_000_000).unwrap_or(0);
        state.now_ms = state.now_ms.max(wall_ms);
        if state.expire() {
            self.moved.notify_waiters();
        }
        state.forget();
        state
    }

    /// The state, unless the partition was removed.
    fn open(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.state();
        if state.removed { Err(self.name.missing()) } else { Ok(state) }
    }

    fn page(&self, state: &State, scan: &Scan, at: Seq, after: Option<&Bytes>) -> Page {
        let mut page = Page { entries: Vec::new(), at, next: None };
        if scan.range.is_empty() {
            return page;
        }
        let limit = scan.limit.clamp(1, SCAN_ENTRIES_MAX);
        let keys = state.keys.range(scan.range.bounds());
        let keys: Box<dyn Iterator<Item = _>> =
            if scan.reverse { Box::new(keys.rev()) } else { Box::new(keys) };
        let beyond = |key: &Bytes| match after {
            None => true,
            Some(after) if scan.reverse => key < after,
            Some(after) => key > after,
        };
        let mut bytes = 0;
        for (key, versions) in keys.filter(|(key, _)| beyond(key)) {
            let Some(mut entry) = entry(key, versions, at) else { continue };
            if page.entries.len() == limit || bytes >= PAGE_BYTES_MAX {
                let last = page.entries.last().map(|entry| entry.key.clone()).unwrap_or_default();
                page.next = Some(Cursor::new(self.id, scan, at, &last));
                break;
            }
            if scan.keys_only {
                entry.value = Bytes::new();
            }
            bytes += entry.key.len() + entry.value.len();
            page.entries.push(entry);
        }
        page
    }
}

impl State {
    fn at(&self, at: At) -> Result<Seq, Error> {
        match at {
            At::Durable | At::Newest => Ok(self.newest),
            At::Seq(asked) if asked > self.newest => {
                Err(Error::Future { asked, last: self.newest })
            }
            At::Seq(asked) if asked < self.oldest => {
                Err(Error::Gone { asked, oldest: self.oldest })
            }
            At::Seq(asked) => Ok(asked),
            At::TimeMs(time_ms) => self.seq_at(time_ms),
        }
    }

    fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        let later = self.times.iter().find(|(_, made)| **made > time_ms);
        let found = later.map_or(self.newest, |(seq, _)| Seq(seq.0 - 1));
        self.at(At::Seq(found))
    }

    fn current(&self, key: &[u8]) -> Option<Entry> {
        let (key, versions) = self.keys.get_key_value(key)?;
        entry(key, versions, self.newest)
    }

    /// Deletes what is over.
    fn expire(&mut self) -> bool {
        let now_ms = self.now_ms;
        let over = |entry: &Entry| entry.expires_ms.is_some_and(|ms| ms <= now_ms);
        let current = self.keys.keys().filter_map(|key| self.current(key));
        let keys: Vec<Bytes> = current.filter(over).map(|entry| entry.key).collect();
        for key in &keys {
            let seq = self.begin();
            self.delete(seq, key.clone(), true);
        }
        !keys.is_empty()
    }

    /// Forgets history before the window.
    fn forget(&mut self) {
        let before = self.now_ms.saturating_sub(self.settings.history_ms);
        let old = self.times.iter().take_while(|(_, made)| **made < before).last();
        let Some(oldest) = old.map(|(seq, _)| *seq).filter(|seq| *seq > self.oldest) else {
            return;
        };
        self.oldest = oldest;
        self.times = self.times.split_off(&oldest);
        self.changes.retain(|change| change.seq > oldest);
        self.keys.retain(|_, versions| {
            let seen = versions.partition_point(|(seq, _)| *seq <= oldest);
            versions.drain(..seen.saturating_sub(1));
            versions.len() > 1 || versions.iter().any(|(_, value)| value.is_some())
        });
    }

    fn begin(&mut self) -> Seq {
        self.newest = self.newest.next();
        self.times.insert(self.newest, self.now_ms);
        self.newest
    }

    fn write(&mut self, seq: Seq, key: Bytes, value: Option<Kept>) {
        let versions = self.keys.entry(key).or_default();
        if versions.last().is_some_and(|(last, _)| *last == seq) {
            versions.pop();
        }
        versions.push((seq, value));
    }

    fn told(&mut self, seq: Seq, what: What) {
        self.changes.push(Change { seq, time_ms: self.now_ms, what });
    }

    fn delete(&mut self, seq: Seq, key: Bytes, expired: bool) {
        if self.current(&key).is_some() {
            self.write(seq, key.clone(), None);
        }
        self.told(seq, What::Deleted { key, expired });
    }

    fn put(&mut self, seq: Seq, key: Bytes, kept: Kept) {
        self.write(seq, key.clone(), Some(kept.clone()));
        let (value, reference, expires_ms) = kept;
        self.told(seq, What::Put(Entry { key, value, reference, seq, expires_ms }));
    }

    fn apply(&mut self, seq: Seq, op: Op) {
        match op {
            Op::Put { key, value, expires_ms } => self.put(seq, key, (value, None, expires_ms)),
            Op::Refer { key, reference, expires_ms } => {
                self.put(seq, key, (Bytes::new(), Some(reference), expires_ms));
            }
            Op::Delete { key } => self.delete(seq, key, false),
            Op::DeleteRange(range) => {
                let keys: Vec<Bytes> =
                    self.keys.range(range.bounds()).map(|(key, _)| key.clone()).collect();
                for key in keys {
                    if self.current(&key).is_some() {
                        self.write(seq, key, None);
                    }
                }
                self.told(seq, What::RangeDeleted(range));
            }
        }
    }

    fn check(&self, commit: &Commit) -> Result<(), Error> {
        for condition in &commit.conditions {
            let found = self.current(&condition.key).map(|entry| entry.seq);
            if found != condition.expected {
                let (key, expected) = (condition.key.to_vec(), condition.expected);
                return Err(Error::Condition { key, expected, found });
            }
        }
        commit.reads.as_ref().map_or(Ok(()), |reads| self.check_reads(reads))
    }

    fn check_reads(&self, reads: &Reads) -> Result<(), Error> {
        self.at(At::Seq(reads.at))?;
        let newest = |versions: &Vec<Version>| versions.last().map_or(Seq(0), |(seq, _)| *seq);
        let keys = reads.keys.iter().filter_map(|key| self.keys.get(key));
        let ranges = reads.ranges.iter().filter(|range| !range.is_empty());
        let ranged =
            ranges.flat_map(|range| self.keys.range(range.bounds()).map(|(_, found)| found));
        match keys.chain(ranged).map(newest).find(|seq| *seq > reads.at) {
            Some(by) => Err(Error::Conflict { by }),
            None => Ok(()),
        }
    }

    fn after(&self, after: Seq) -> Result<Changes, Error> {
        self.at(At::Seq(after))?;
        let mut told = Changes { changes: Vec::new(), upto: self.newest };
        let from = self.changes.partition_point(|change| change.seq <= after);
        let mut bytes = 0;
        for change in self.changes.iter().skip(from) {
            let full = told.changes.len() >= CHANGES_MAX || bytes >= PAGE_BYTES_MAX;
            if let Some(last) = told.changes.last().filter(|last| full && last.seq < change.seq) {
                told.upto = last.seq;
                break;
            }
            if let What::Put(entry) = &change.what {
                bytes += entry.key.len() + entry.value.len();
            }
            told.changes.push(change.clone());
        }
        Ok(told)
    }
}

/// The entry of a key after commit `at`.
fn entry(key: &Bytes, versions: &[Version], at: Seq) -> Option<Entry> {
    let seen = versions.partition_point(|(seq, _)| *seq <= at);
    let (seq, value) = versions.get(seen.checked_sub(1)?)?;
    let (value, reference, expires_ms) = value.clone()?;
    Some(Entry { key: key.clone(), value, reference, seq: *seq, expires_ms })
}

#[async_trait]
impl Partition for Memory {
    fn name(&self) -> &Name {
        &self.name
    }

    fn status(&self) -> Status {
        let state = self.state();
        let (newest, oldest) = (state.newest, state.oldest);
        Status { newest, durable: newest, oldest, settings: state.settings }
    }

    async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        let state = self.open()?;
        let at = state.at(at)?;
        let found = state.keys.get_key_value(key);
        Ok(found.and_then(|(key, versions)| entry(key, versions, at)))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        scan.range.check()?;
        let state = self.open()?;
        let opened = scan.cursor.as_ref().map(|cursor| cursor.open(self.id, scan)).transpose()?;
        let at = opened.as_ref().map_or(scan.at, |(at, _)| At::Seq(*at));
        let at = state.at(at)?;
        Ok(self.page(&state, scan, at, opened.as_ref().map(|(_, last)| last)))
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        commit.check()?;
        let commit = commit.effective();
        let mut state = self.open()?;
        state.check(&commit)?;
        if !commit.ops.is_empty() {
            let seq = state.begin();
            commit.ops.into_iter().for_each(|op| state.apply(seq, op));
            self.moved.notify_waiters();
        }
        Ok(Committed { seq: state.newest })
    }

    async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error> {
        const LOOK: Duration = Duration::from_millis(250);
        let end = self.env.clock.monotonic().saturating_add(wait.min(WATCH_WAIT_MAX));
        loop {
            let moved = self.moved.notified();
            let mut moved = std::pin::pin!(moved);
            moved.as_mut().enable();
            let told = self.open()?.after(after)?;
            let left = end.saturating_sub(self.env.clock.monotonic());
            if !told.changes.is_empty() || left.is_zero() {
                return Ok(told);
            }
            // In between, time may end what has an end.
            let sleep = self.env.clock.sleep(left.min(LOOK));
            tokio::select! {
                biased;
                () = moved => {}
                () = sleep => {}
            }
        }
    }

    async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        self.open()?.seq_at(time_ms)
    }
}

/// Partitions in memory.
pub struct MemoryStore {
    env: Env,
    /// By their names; none for those that were removed.
    partitions: Mutex<BTreeMap<Name, Option<Arc<Memory>>>>,
}

impl MemoryStore {
    /// None yet.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self { env: env.clone(), partitions: Mutex::default() }
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<Name, Option<Arc<Memory>>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, made: Memory) -> Result<AnyPartition, Error> {
        let mut partitions = self.partitions();
        if partitions.get(&made.name).is_some_and(Option::is_some) {
            return Err(Error::Exists { name: made.name.to_string() });
        }
        let made = Arc::new(made);
        partitions.insert(made.name.clone(), Some(Arc::clone(&made)));
        Ok(made)
    }

    fn find(&self, name: &Name) -> Result<Arc<Memory>, Error> {
        self.partitions().get(name).cloned().flatten().ok_or_else(|| name.missing())
    }
}

#[async_trait]
impl Partitions for MemoryStore {
    fn usage(&self) -> Option<Usage> {
        None
    }

    async fn create(&self, name: &Name, settings: Settings) -> Result<AnyPartition, Error> {
        settings.check()?;
        self.add(Memory::new(name.clone(), settings, &self.env))
    }

    async fn clone_to(
        &self,
        name: &Name,
        to: &Name,
        before: Step<'_>,
    ) -> Result<AnyPartition, Error> {
        let source = self.find(name)?;
        if self.partitions().get(to).is_some_and(Option::is_some) {
            return Err(Error::Exists { name: to.to_string() });
        }
        let state = source.open()?.clone();
        before.await?;
        drop(source.open()?);
        self.add(Memory::with(to.clone(), state, &self.env))
    }

    async fn open(&self, name: &Name) -> Result<AnyPartition, Error> {
        Ok(self.find(name)?)
    }

    async fn here(&self, name: &Name) -> Result<Here, Error> {
        let known = self.partitions().get(name).cloned();
        Ok(match known {
            Some(Some(found)) => Here::Open(found),
            Some(None) => Here::Removed,
            None => Here::Unknown,
        })
    }

    async fn change(&self, name: &Name, settings: Settings) -> Result<(), Error> {
        settings.check()?;
        self.find(name)?.state().settings = settings;
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        let partitions = self.partitions();
        let there = partitions.iter().filter(|(_, found)| found.is_some()).map(|(name, _)| name);
        Ok(there.filter(|name| name.is_below(prefix)).cloned().collect())
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        let found = self.partitions().get_mut(name).and_then(Option::take);
        let found = found.ok_or_else(|| name.missing())?;
        found.state().removed = true;
        found.moved.notify_waiters();
        Ok(())
    }
}
