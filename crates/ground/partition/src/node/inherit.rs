//! What earlier owners left in their logs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cairn_bucket::Version;

use super::Shared;
use super::records::{Lease, Owned, Owner, Read, life_id};
use crate::log::{Frame, Log, Replay, Shipped, ShippedReplay, Writer};
use crate::view::wal::{Frames, Source};
use crate::{Durable, Epoch, Error, Loss, Name, PartitionId, Seq};

/// Earlier ownerships, each with the last frame that counts.
pub(super) struct Inheritance {
    pub(super) trail: Vec<Owned>,
    /// The last owner's log is not here, and it may have had what is nowhere else.
    pub(super) loss: Option<Loss>,
    shipped: BTreeMap<String, Arc<Shipped>>,
}

impl Inheritance {
    /// Finds out where each ownership ended. The last one's owner acknowledges nothing any more.
    pub(super) async fn of(shared: &Shared, name: &Name, owner: &Owner) -> Result<Self, Error> {
        let id = owner.id()?;
        let mut found = Self { trail: Vec::new(), loss: None, shipped: BTreeMap::new() };
        let mut reached = 0;
        for owned in &owner.trail {
            let mut owned = owned.clone();
            if owned.life != shared.life() && !found.shipped.contains_key(&owned.life) {
                let shipped = shared.shipped(&owned.life).await?;
                found.shipped.insert(owned.life.clone(), shipped);
            }
            let shipped = found.shipped.get(&owned.life);
            let last = match shipped {
                Some(shipped) => shipped.last_id(id, owned.epoch),
                None => last_local(&shared.log, id, owned.epoch),
            };
            let last = last.unwrap_or(reached).max(reached);
            match (shipped, owned.through) {
                (Some(shipped), None) if owner.settings.durable == Durable::Log => {
                    found.loss = Some(loss(shared, name, owner, shipped));
                }
                // Its node counted what was on its disk alone, which is gone with it.
                (Some(_), Some(through)) => owned.through = Some(through.min(last).max(reached)),
                _ => {}
            }
            owned.through.get_or_insert(last);
            reached = owned.through.unwrap_or(reached);
            found.trail.push(owned);
        }
        Ok(found)
    }

    pub(super) fn into_source(self, shared: &Shared, id: PartitionId, epoch: Epoch) -> Inherited {
        let life = shared.life();
        let (log, trail, shipped) = (shared.log.clone(), self.trail, self.shipped);
        Inherited { log, life, id, epoch, trail, shipped, made: Mutex::new(None) }
    }
}

/// The log of the last owner is not here: what it acknowledged at level `log` and had not shipped is
/// lost, and nobody can say whether there was any.
fn loss(shared: &Shared, name: &Name, owner: &Owner, shipped: &Shipped) -> Loss {
    let ms = |wall_ns: i64| u64::try_from(wall_ns / 1_000_000).unwrap_or(0);
    let loss = Loss {
        log: owner.life.clone(),
        node: owner.node.clone(),
        after_ms: shipped.last().map(|last| ms(last.wall_ns)),
        noticed_ms: ms(shared.env.clock.wall_ns()),
    };
    tracing::warn!(
        partition = %name,
        node = owner.node,
        log = owner.life,
        shipped_through_ms = loss.after_ms,
        "the log of this partition's last owner is not on this node's disk: what was acknowledged at \
         level log and not shipped yet is lost"
    );
    loss
}

/// Logs of nodes that are gone which are kept at hand: who takes over one partition takes over more.
const SHIPPED_MAX: usize = 8;

/// Shipped logs by their lives, each as of a state of its lease.
pub(super) type ShippedLogs = BTreeMap<String, (Option<Version>, Arc<Shipped>)>;

impl Shared {
    /// The shipped log of a node that is gone. It does not grow by anything that counts while its lease
    /// is as it was: a node that comes back on its disk takes the lease again, and ships more.
    async fn shipped(&self, life: &str) -> Result<Arc<Shipped>, Error> {
        let lease: Option<Read<Lease>> = self.records.read(&Lease::key(life)).await?;
        let lease = lease.map(|lease| lease.version);
        if let Some((of, found)) = self.logs().get(life)
            && *of == lease
        {
            return Ok(Arc::clone(found));
        }
        let (bucket, seal) = (self.records.bucket.clone(), Arc::clone(&self.seal));
        let opened = Arc::new(Shipped::open(bucket, seal, life_id(life)?).await?);
        let mut logs = self.logs();
        if logs.len() >= SHIPPED_MAX {
            logs.pop_first();
        }
        logs.insert(life.to_owned(), (lease, Arc::clone(&opened)));
        Ok(opened)
    }

    fn logs(&self) -> MutexGuard<'_, ShippedLogs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last_local(log: &Log, id: PartitionId, epoch: Epoch) -> Option<u64> {
    let held = log.partitions().into_iter();
    held.filter(|held| held.partition == id && held.epoch == epoch).map(|held| held.last_id).max()
}

/// The frames of earlier ownerships, and the writer of this one.
pub(super) struct Inherited {
    log: Log,
    life: String,
    id: PartitionId,
    epoch: Epoch,
    trail: Vec<Owned>,
    shipped: BTreeMap<String, Arc<Shipped>>,
    made: Mutex<Option<Writer>>,
}

impl Inherited {
    /// The writer, after the view was opened.
    pub(super) fn made(&self) -> Option<Writer> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Source for Inherited {
    async fn frames(&self, after: u64, seq: Seq) -> Result<Box<dyn Frames>, Error> {
        let part = |owned: &Owned, reached| {
            let epoch = owned.epoch;
            let is_it = move |found: Epoch| found == epoch;
            match self.shipped.get(&owned.life) {
                Some(shipped) => Part::Shipped(shipped.replay(self.id, reached, is_it)),
                None => Part::Local(self.log.replay(self.id, reached, is_it)),
            }
        };
        Ok(Box::new(Chain::of(&self.trail, (after, seq), part)))
    }

    fn writer(&self, after: u64) -> Result<Writer, Error> {
        debug_assert!(!self.life.is_empty(), "a log has a life");
        let reached = self.trail.iter().filter_map(|owned| owned.through).max().unwrap_or(0);
        let writer = self.log.writer(self.id, self.epoch, after.max(reached))?;
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer.clone());
        Ok(writer)
    }
}

/// Shipped logs by their lives.
pub(super) type Logs = BTreeMap<String, Arc<Shipped>>;

/// A trail, with the last frame of each ownership that was shipped and counts.
pub(super) fn as_shipped(trail: &[Owned], id: PartitionId, logs: &Logs) -> Vec<Owned> {
    let mut reached = 0;
    let shipped = trail.iter().map(|owned| {
        let last = logs[&owned.life].last_id(id, owned.epoch).unwrap_or(reached).max(reached);
        reached = owned.through.map_or(last, |through| through.min(last).max(reached));
        Owned { through: Some(reached), ..owned.clone() }
    });
    shipped.collect()
}

/// Where one ownership's frames come from.
pub(super) enum Part {
    Local(Replay),
    Shipped(ShippedReplay),
}

/// What is left of one ownership.
struct Left {
    frames: Part,
    life: String,
    /// The last frame that counts.
    through: u64,
    /// A frame of it was given.
    begun: bool,
}

/// One ownership's frames after the other's, each to the last that counts, and none missing. An
/// ownership may begin some numbers after the one before: those were of frames that the view had heard
/// of and that were lost with their node. Its batches follow those before all the same.
pub(super) struct Chain {
    parts: VecDeque<Left>,
    reached: u64,
    /// The last batch that the view has, or that was given.
    seq: Seq,
}

impl Chain {
    /// The frames after `after`, whose batches follow `seq`, of ownerships of which all is known that
    /// counts. `part` gives those of one after a frame.
    pub(super) fn of(
        trail: &[Owned],
        (after, seq): (u64, Seq),
        part: impl Fn(&Owned, u64) -> Part,
    ) -> Self {
        let mut parts = VecDeque::new();
        let mut reached = after;
        for owned in trail {
            let through = owned.through.unwrap_or(0);
            if through <= reached {
                continue;
            }
            let frames = part(owned, reached);
            parts.push_back(Left { frames, life: owned.life.clone(), through, begun: false });
            reached = through;
        }
        Self { parts, reached: after, seq }
    }
}

#[async_trait]
impl Frames for Chain {
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        while let Some(part) = self.parts.front_mut() {
            if self.reached >= part.through {
                self.parts.pop_front();
                continue;
            }
            let frame = match &mut part.frames {
                Part::Local(replay) => replay.next().await?,
                Part::Shipped(replay) => replay.next().await?,
            };
            let next = self.reached + 1;
            let follows = |id: u64| id == next || (!part.begun && id > next && id <= part.through);
            let Some(frame) = frame.filter(|frame| follows(frame.id)) else {
                return Err(missing(&part.life, next, part.through));
            };
            if frame.first_seq > self.seq.next() {
                return Err(missing(&part.life, next, frame.id - 1));
            }
            part.begun = true;
            self.reached = frame.id;
            self.seq = self.seq.max(frame.last_seq);
            return Ok(Some(frame));
        }
        Ok(None)
    }
}

fn missing(life: &str, from: u64, to: u64) -> Error {
    let why = format!("frames {from} to {to} of a partition are missing, and its view needs them");
    Error::Corrupt { what: format!("log {life}"), offset: 0, why }
}
