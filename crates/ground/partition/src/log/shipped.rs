use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use cairn_bucket::{Bucket, Seal};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::object::{ObjectHead, key};
use super::replay::{Epochs, Frame};
use super::store::Store;
use super::{Held, LifeId};
use crate::{Epoch, Error, PartitionId};

/// Objects that are read at a time when a log is opened.
const READS: usize = 4;

/// A log as far as it was shipped: for who takes partitions over from a node that is gone.
#[derive(Clone)]
pub struct Shipped {
    store: Store,
    /// What each object holds, in their order.
    objects: Arc<Vec<(ObjectHead, Vec<Held>)>>,
}

/// The end of a shipped log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShippedEnd {
    /// The number of the last object.
    pub number: u64,
    /// The last group in it.
    pub group: u64,
    /// When that was written, in ns since 1970 by the clock of its node.
    pub wall_ns: i64,
}

/// The frames of one partition in a shipped log, in the order of their ids. Memory is bounded by one
/// object.
pub struct ShippedReplay {
    store: Store,
    partition: PartitionId,
    epochs: Epochs,
    /// The first id of each epoch that counts.
    begins: Vec<(Epoch, u64)>,
    numbers: VecDeque<u64>,
    ready: VecDeque<Frame>,
    last: u64,
}

impl fmt::Debug for Shipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipped").field("life", &self.store.life).finish_non_exhaustive()
    }
}

impl fmt::Debug for ShippedReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShippedReplay").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Shipped {
    /// Reads and verifies all objects of a log. What was collected before the oldest is no hole, and what
    /// is below the newest one's floor does not count: a process that was killed may have sent an object
    /// that arrives after its successor's was collected.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the object that is damaged or missing; [`Error::Storage`].
    pub async fn open(bucket: Bucket, seal: Arc<dyn Seal>, life: LifeId) -> Result<Self, Error> {
        Self { store: Store { bucket, seal, life }, objects: Arc::default() }.again().await
    }

    /// The log as it is now. Objects never change: only those are read that are new.
    ///
    /// # Errors
    /// As [`Shipped::open`].
    pub async fn again(&self) -> Result<Self, Error> {
        let (store, life) = (self.store.clone(), self.store.life);
        let numbers = store.list().await?;
        let read = stream::iter(numbers.into_iter().map(|number| {
            let store = store.clone();
            let known = self.objects.iter().find(|(head, _)| head.number == number).cloned();
            async move {
                if known.is_some() {
                    return Ok(known);
                }
                let found = store.get(number).await?;
                Ok::<_, Error>(found.map(|object| {
                    (object.head, object.entries.iter().map(|entry| entry.held).collect())
                }))
            }
        }));
        let found: Vec<Option<(ObjectHead, Vec<Held>)>> =
            read.buffered(READS).try_collect().await?;
        // What is deleted meanwhile is the oldest.
        let mut objects: Vec<_> = found.into_iter().skip_while(Option::is_none).flatten().collect();
        let floor = objects.last().map_or(0, |(head, _)| head.floor);
        objects.retain(|(head, _)| head.number >= floor);
        for pair in objects.windows(2) {
            let [(before, _), (after, _)] = pair else { continue };
            if before.number + 1 != after.number {
                let what = key(life, before.number + 1);
                let why = format!("it is missing between {} and {}", before.number, after.number);
                return Err(Error::Corrupt { what, offset: 0, why });
            }
            if before.last_group >= after.first_group {
                let why = "its groups do not follow those before".to_owned();
                return Err(Error::Corrupt { what: key(life, after.number), offset: 0, why });
            }
        }
        Ok(Self { store, objects: Arc::new(objects) })
    }

    /// How far it goes; `None` when nothing was shipped.
    #[must_use]
    pub fn last(&self) -> Option<ShippedEnd> {
        let (head, _) = self.objects.last()?;
        let ObjectHead { number, last_group: group, wall_ns, .. } = *head;
        Some(ShippedEnd { number, group, wall_ns })
    }

    /// The last frame that one ownership of a partition shipped.
    #[must_use]
    pub fn last_id(&self, partition: PartitionId, epoch: Epoch) -> Option<u64> {
        let held = self.objects.iter().flat_map(|(_, held)| held);
        let its = held.filter(|held| held.partition == partition && held.epoch == epoch);
        its.map(|held| held.last_id).max()
    }

    /// As [`super::Log::replay`].
    pub fn replay(
        &self,
        partition: PartitionId,
        after_id: u64,
        epochs: impl Fn(Epoch) -> bool + Send + Sync + 'static,
    ) -> ShippedReplay {
        let all = self
            .objects
            .iter()
            .flat_map(|(head, held)| held.iter().map(|held| (head.number, *held)));
        let counts = |held: &Held| held.partition == partition && epochs(held.epoch);
        let held: Vec<(u64, Held)> = all.filter(|(_, held)| counts(held)).collect();
        let begins = held.iter().map(|(_, held)| (held.epoch, held.first_id)).collect();
        let wanted = held.iter().filter(|(_, held)| held.last_id > after_id);
        let mut numbers: VecDeque<u64> = wanted.map(|(number, _)| *number).collect();
        numbers.make_contiguous().sort_unstable();
        let mut numbers: Vec<u64> = numbers.into();
        numbers.dedup();
        ShippedReplay {
            store: self.store.clone(),
            partition,
            epochs: Arc::new(epochs),
            begins,
            numbers: numbers.into(),
            ready: VecDeque::new(),
            last: after_id,
        }
    }
}

impl ShippedReplay {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the object; [`Error::Storage`].
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                if frame.id <= self.last {
                    let what = format!("the log of partition {:?}", self.partition);
                    let why = format!("frame {} follows frame {}", frame.id, self.last);
                    return Err(Error::Corrupt { what, offset: 0, why });
                }
                self.last = frame.id;
                return Ok(Some(frame));
            }
            let Some(number) = self.numbers.front().copied() else { return Ok(None) };
            let what = key(self.store.life, number);
            let Some(object) = self.store.get(number).await? else {
                let why = "it was deleted while the log was read".to_owned();
                return Err(Error::Corrupt { what, offset: 0, why });
            };
            for entry in
                object.entries.iter().filter(|entry| entry.held.partition == self.partition)
            {
                for frame in object.frames(entry) {
                    let bad = |bad: super::codec::Bad| bad.0.to_owned();
                    let frame = frame.map_err(|found| Error::Corrupt {
                        what: what.clone(),
                        offset: 0,
                        why: bad(found),
                    })?;
                    if self.counts(&frame) {
                        self.ready.push_back(frame);
                    }
                }
            }
            self.numbers.pop_front();
        }
    }

    fn counts(&self, frame: &Frame) -> bool {
        let later = |(begun, first): &(Epoch, u64)| *begun > frame.epoch && *first <= frame.id;
        frame.id > self.last && (self.epochs)(frame.epoch) && !self.begins.iter().any(later)
    }
}
