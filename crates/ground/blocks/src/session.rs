//! Writing: a session claims chunks, takes frames, fills packs, and registers what is durable.
//!
//! A session leases its right to write in the catalog before its first object (BLOCKS-2). It renews
//! the lease with every registration. Packs are uploaded one behind the other while the next one
//! fills: at most two packs are in memory.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use cairn_chunk::{ChunkId, ChunkKey};
use futures::channel::oneshot;
use tokio::sync::Mutex;

use crate::catalog::{Catalog, Lease, RunRef, SESSIONS_MAX};
use crate::error::Error;
use crate::frame::Frame;
use crate::index::Want;
use crate::pack::{PackBuilder, PackId};
use crate::run::{self, IndexEntry, RUN_ENTRIES_MAX, run_key};
use crate::store::Blocks;

/// So many entries wait at most for their registration: what a crash of the writer throws away.
const REGISTER_ENTRIES: usize = 64 * 1024;
/// A lease is renewed at least this often while packs are written.
const RENEW_EVERY: Duration = Duration::from_secs(240);
/// This many runs of one size class are merged into one.
const MERGE_RUNS: usize = 8;
/// The most chunks in one claim.
pub const CLAIM_IDS_MAX: usize = 16 * 1024;

/// The name of a session: random, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub [u8; 8]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {self}")
    }
}

/// What a session stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SessionStats {
    /// New chunks.
    pub chunks: u64,
    /// Their bytes before compression.
    pub content_bytes: u64,
    /// Bytes of packs and index runs written.
    pub stored_bytes: u64,
    /// Packs written.
    pub packs: u64,
}

/// What [`Session::standing`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No collection deleted anything since the session began: all it relied on is there.
    Unswept,
    /// Something was deleted meanwhile: what the session relied on must be looked up again.
    Swept,
}

#[derive(Default)]
struct State {
    leased_at: Option<Duration>,
    pack: Option<PackBuilder>,
    /// Entries of the pack that fills.
    filling: Vec<IndexEntry>,
    uploading: Option<oneshot::Receiver<Result<(), Error>>>,
    /// Entries of the pack that is being uploaded, then of uploaded packs: ready to be registered.
    written: Vec<IndexEntry>,
    /// Bytes of the packs of those entries.
    written_bytes: u64,
    /// Claimed and not yet registered.
    claimed: BTreeSet<ChunkId>,
    failed: Option<(String, cairn_base::ErrorKind)>,
    stats: SessionStats,
}

/// One writer's work in progress.
pub struct Session {
    blocks: Blocks,
    id: SessionId,
    sweeps_at_start: u64,
    calm_at_start: bool,
    state: Mutex<State>,
}

impl Blocks {
    /// Begins a session. Nothing is written yet. Read the refs that the work builds on *after* this.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`].
    pub async fn session(&self) -> Result<Session, Error> {
        let view = self.refreshed().await?;
        let mut id = SessionId::default();
        self.inner.env.rng.fill(&mut id.0);
        Ok(Session {
            blocks: self.clone(),
            id,
            sweeps_at_start: view.catalog.sweeps,
            calm_at_start: view.catalog.dying.is_empty(),
            state: Mutex::new(State::default()),
        })
    }
}

impl Session {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What it stored so far.
    pub async fn stats(&self) -> SessionStats {
        self.state.lock().await.stats
    }

    /// Claims chunks: `true` for each that the caller must now add, `false` for those that are stored
    /// already (in packs that stay, BLOCKS-3) or claimed before.
    ///
    /// # Errors
    /// [`Error::TooMany`] over [`CLAIM_IDS_MAX`]; [`Error::Bucket`], [`Error::Corrupt`].
    pub async fn claim(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        if ids.len() > CLAIM_IDS_MAX {
            return Err(Error::TooMany { what: "chunks in one claim", max: CLAIM_IDS_MAX as u64 });
        }
        let stored = self.blocks.has(ids, Want::Live).await?;
        let mut state = self.state.lock().await;
        Ok(ids
            .iter()
            .zip(stored)
            .map(|(id, stored)| !stored && state.claimed.insert(*id))
            .collect())
    }

    /// Adds a frame from a client that is not trusted: every chunk is checked against its id and
    /// must have been claimed.
    ///
    /// # Errors
    /// [`Error::BadFrame`], and nothing is stored; else as [`Session::add`].
    pub async fn add_checked(&self, key: &ChunkKey, frame: Frame) -> Result<(), Error> {
        let key = key.clone();
        let frame =
            self.blocks.inner.env.spawn.run(move || frame.verify(&key).map(|()| frame)).await??;
        let state = self.state.lock().await;
        if let Some(chunk) = frame.chunks.iter().find(|chunk| !state.claimed.contains(&chunk.id)) {
            return Err(Error::BadFrame { detail: format!("chunk {} was not claimed", chunk.id) });
        }
        drop(state);
        self.add(frame).await
    }

    /// Adds a frame of claimed chunks. It is durable after the next [`Session::flush`].
    ///
    /// # Errors
    /// [`Error::SessionExpired`]; [`Error::Upload`] once a pack could not be stored.
    pub async fn add(&self, frame: Frame) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        begin(&mut state)?;
        let added = self.add_locked(&mut state, &frame).await;
        conclude(&mut state, added)
    }

    async fn add_locked(&self, state: &mut State, frame: &Frame) -> Result<(), Error> {
        self.lease(state).await?;
        if state.pack.is_none() {
            let id = PackId::fresh(self.id, self.blocks.inner.env.rng.as_ref());
            let (target, master) =
                (self.blocks.inner.options.pack_bytes, &self.blocks.inner.master);
            state.pack = Some(PackBuilder::new(id, target, master.as_ref()));
        }
        let pack = state.pack.as_mut().expect("it was made above");
        let place = pack.append(frame);
        let full = pack.is_full();
        state.filling.extend(IndexEntry::of_frame(place, &frame.chunks));
        state.stats.chunks += frame.chunks.len() as u64;
        state.stats.content_bytes +=
            frame.chunks.iter().map(|chunk| u64::from(chunk.len)).sum::<u64>();
        if full {
            self.rotate(state).await?;
            let many = state.written.len() >= REGISTER_ENTRIES;
            if many || state.written_bytes >= self.blocks.inner.options.register_bytes {
                self.settle(state).await?;
                self.register(state).await?;
            }
        }
        Ok(())
    }

    /// Makes all that was added durable and known to everyone (BUCKET-1).
    ///
    /// # Errors
    /// As [`Session::add`].
    pub async fn flush(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        begin(&mut state)?;
        let flushed = self.flush_locked(&mut state).await;
        conclude(&mut state, flushed)
    }

    async fn flush_locked(&self, state: &mut State) -> Result<(), Error> {
        self.rotate(state).await?;
        self.settle(state).await?;
        self.register(state).await
    }

    /// Whether all that this session relied on still stands. To be asked after the new root was
    /// announced and before the ref moves (BLOCKS-4).
    ///
    /// # Errors
    /// [`Error::SessionExpired`] when it had a lease and lost it.
    pub async fn standing(&self) -> Result<Standing, Error> {
        let state = self.state.lock().await;
        let view = self.blocks.refreshed().await?;
        if state.leased_at.is_some() && !listed(&view.catalog, self.id) {
            return Err(Error::SessionExpired);
        }
        let calm = self.calm_at_start
            && view.catalog.dying.is_empty()
            && view.catalog.sweeps == self.sweeps_at_start;
        Ok(if calm { Standing::Unswept } else { Standing::Swept })
    }

    /// Renews the lease of a session that has one and may be silent for long, for its work goes on
    /// elsewhere. To be called every few minutes; most calls do nothing.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] when the lease is lost already; [`Error::Bucket`].
    pub async fn keep(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        if state.leased_at.is_some() { self.lease(&mut state).await } else { Ok(()) }
    }

    /// Gives the lease back. Without it the lease runs out by itself.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn end(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        if state.leased_at.take().is_some() {
            let id = self.id;
            self.blocks
                .inner
                .catalog
                .update(|catalog| {
                    catalog.sessions.retain(|lease| lease.session != id);
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }

    /// Takes or renews the lease.
    async fn lease(&self, state: &mut State) -> Result<(), Error> {
        let inner = &self.blocks.inner;
        let now = inner.env.clock.monotonic();
        let fresh = state.leased_at.is_none();
        if state.leased_at.is_some_and(|at| now.saturating_sub(at) < RENEW_EVERY) {
            return Ok(());
        }
        let (id, wall) = (self.id, inner.env.clock.wall_ns());
        inner
            .catalog
            .update(|catalog| {
                if !fresh {
                    catalog.lease_mut(id)?.renewed_ns = wall;
                } else if !listed(catalog, id) {
                    if catalog.sessions.len() >= SESSIONS_MAX {
                        let max = SESSIONS_MAX as u64;
                        return Err(Error::TooMany { what: "number of sessions", max });
                    }
                    let lease = Lease { session: id, started_ns: wall, renewed_ns: wall };
                    catalog.sessions.push(lease);
                }
                Ok(())
            })
            .await?;
        state.leased_at = Some(now);
        Ok(())
    }

    /// Sends the pack that fills on its way, once the one before it has arrived.
    async fn rotate(&self, state: &mut State) -> Result<(), Error> {
        let Some(pack) = state.pack.take() else { return Ok(()) };
        self.settle(state).await?;
        let key = pack.id.key();
        let bytes = pack.finish();
        state.stats.packs += 1;
        state.stats.stored_bytes += bytes.len() as u64;
        state.written_bytes += bytes.len() as u64;
        let filled = std::mem::take(&mut state.filling);
        state.written.extend(filled);
        let (sender, receiver) = oneshot::channel();
        let bucket = self.blocks.inner.bucket.clone();
        self.blocks.inner.env.spawn.task(Box::pin(async move {
            let stored = bucket.put(&key, bytes).await.map(drop).map_err(Error::from);
            // Without a receiver the session is gone, and the pack is nobody's.
            drop(sender.send(stored));
        }));
        state.uploading = Some(receiver);
        Ok(())
    }

    /// Waits for the pack on its way.
    async fn settle(&self, state: &mut State) -> Result<(), Error> {
        let Some(receiver) = state.uploading.as_mut() else { return Ok(()) };
        let stored = receiver.await.unwrap_or(Err(Error::Worker(cairn_env::Lost)));
        state.uploading = None;
        stored
    }

    /// Writes the entries of stored packs as a run and enters it in the catalog (BLOCKS-2).
    async fn register(&self, state: &mut State) -> Result<(), Error> {
        while !state.written.is_empty() {
            let tail = state.written.len().saturating_sub(RUN_ENTRIES_MAX);
            let mut entries = state.written.split_off(tail);
            entries.sort_unstable_by_key(|entry| entry.id);
            entries.dedup_by_key(|entry| entry.id);
            let run = self.run_write(entries.clone(), state).await?;
            let (id, wall) = (self.id, self.blocks.inner.env.clock.wall_ns());
            self.blocks
                .inner
                .catalog
                .update(|catalog| {
                    catalog.lease_mut(id)?.renewed_ns = wall;
                    if !catalog.runs.contains(&run) {
                        catalog.runs.push(run.clone());
                    }
                    Ok(())
                })
                .await?;
            state.leased_at = Some(self.blocks.inner.env.clock.monotonic());
            self.blocks.refresh().await?;
            for entry in &entries {
                state.claimed.remove(&entry.id);
            }
        }
        state.written_bytes = 0;
        // A session that wrote nothing has no lease to merge under.
        if state.leased_at.is_some() { self.merge(state).await } else { Ok(()) }
    }

    async fn run_write(
        &self,
        entries: Vec<IndexEntry>,
        state: &mut State,
    ) -> Result<RunRef, Error> {
        let run = self.blocks.run_put(self.id, entries).await?;
        state.stats.stored_bytes += run.bytes;
        Ok(run)
    }

    /// Stores a run for the collector, under this session's lease.
    pub(crate) async fn run_put_leased(&self, entries: Vec<IndexEntry>) -> Result<RunRef, Error> {
        let mut state = self.state.lock().await;
        self.lease(&mut state).await?;
        self.run_write(entries, &mut state).await
    }

    /// Merges runs of one size class once there are enough of them.
    ///
    /// Of a chunk that is stored twice one entry goes, which may be the very one that a collection's
    /// marks rest on. So the other must be in a pack that no collection under way can delete: one that
    /// is offered in the catalog of the swap (BLOCKS-6).
    async fn merge(&self, state: &mut State) -> Result<(), Error> {
        let view = self.blocks.view();
        let Some(chosen) = merge_choice(&view.catalog) else { return Ok(()) };
        let mut entries = Vec::new();
        for head in view.runs.iter().filter(|head| chosen.contains(&head.name)) {
            entries.extend(self.blocks.run_entries(head).await?);
        }
        entries.sort_unstable_by_key(|entry| (entry.id, !view.catalog.offers(&entry.frame.pack)));
        let mut chosen_over = BTreeSet::new();
        entries.dedup_by(|next, kept| {
            let same = next.id == kept.id;
            if same && next.frame.pack != kept.frame.pack {
                chosen_over.insert(kept.frame.pack);
            }
            same
        });
        let safe = |catalog: &Catalog| chosen_over.iter().all(|pack| catalog.offers(pack));
        if !safe(&view.catalog) {
            return Ok(());
        }
        let merged = self.run_write(entries, state).await?;
        let id = self.id;
        let swapped = self
            .blocks
            .inner
            .catalog
            .update(|catalog| {
                catalog.lease_mut(id)?;
                Ok(safe(catalog) && catalog.swap_runs(&chosen, vec![merged.clone()]))
            })
            .await?;
        self.blocks.refresh().await?;
        // Runs that were merged stay for a collection that is under way and reads by an older
        // catalog. The next collection removes them with what else nobody names.
        if !swapped {
            self.blocks.inner.bucket.delete(&run_key(&merged.name)).await?;
        }
        Ok(())
    }
}

impl Blocks {
    /// Stores sorted entries as a run that no catalog names yet.
    pub(crate) async fn run_put(
        &self,
        session: SessionId,
        entries: Vec<IndexEntry>,
    ) -> Result<RunRef, Error> {
        let inner = &self.inner;
        let name = PackId::fresh(session, inner.env.rng.as_ref()).to_string();
        let (count, master, of) = (entries.len() as u64, inner.master.clone(), name.clone());
        let bytes =
            inner.env.spawn.run(move || run::encode(&of, &entries, master.as_ref())).await?;
        let reference = RunRef { name, entries: count, bytes: bytes.len() as u64 };
        inner.bucket.put(&run_key(&reference.name), bytes).await?;
        Ok(reference)
    }
}

/// Opens a change of the state. Until [`conclude`], the session counts as failed: when the caller's
/// future is dropped half way, no later call takes what was half done for whole.
fn begin(state: &mut State) -> Result<(), Error> {
    if let Some((cause, kind)) = &state.failed {
        return Err(Error::Upload { cause: cause.clone(), kind: *kind });
    }
    let cut_off = "an earlier call of this session was cut off".to_owned();
    state.failed = Some((cut_off, cairn_base::ErrorKind::Closed));
    Ok(())
}

/// Closes a change of the state. Any failure is final for the session.
fn conclude(state: &mut State, result: Result<(), Error>) -> Result<(), Error> {
    state.failed = result.as_ref().err().map(|error| (error.to_string(), error.kind()));
    result
}

fn listed(catalog: &Catalog, session: SessionId) -> bool {
    catalog.sessions.iter().any(|lease| lease.session == session)
}

/// The runs to merge: a size class (of a factor of four) that has [`MERGE_RUNS`] and fits one run.
fn merge_choice(catalog: &Catalog) -> Option<Vec<String>> {
    for class in 0..32 {
        let runs: Vec<&RunRef> =
            catalog.runs.iter().filter(|run| run.entries.max(1).ilog2() / 2 == class).collect();
        let total: u64 = runs.iter().map(|run| run.entries).sum();
        if runs.len() >= MERGE_RUNS && total <= RUN_ENTRIES_MAX as u64 {
            return Some(runs.iter().map(|run| run.name.clone()).collect());
        }
    }
    None
}

impl Catalog {
    /// Replaces runs when all of them are still there.
    pub(crate) fn swap_runs(&mut self, old: &[String], new: Vec<RunRef>) -> bool {
        let present = |name: &String| self.runs.iter().any(|run| run.name == *name);
        if !old.iter().all(present) {
            return false;
        }
        self.runs.retain(|run| !old.contains(&run.name));
        self.runs.extend(new);
        true
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)
    }
}
