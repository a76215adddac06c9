//! Shipping: what is in the log goes to the bucket, at most [`ShipOptions::lag`] later, or at once when
//! somebody waits for it. Nothing is sent when nothing was written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Error as BucketError, Seal};

use super::codec::{GroupHead, Place, SECTOR_BYTES};
use super::core::{Confirmed, Core, Shipping};
use super::load::{Cursor, Load};
use super::object::{self, Entry, Object, ObjectHead, key};
use super::read::Reader;
use super::replay::Span;
use super::store::{Store, bucket_failed};
use super::{Held, Log};
use crate::Error;

/// The first pause after a PUT that failed; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How a log is shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShipOptions {
    /// How old what is not in the bucket may become before it is sent.
    pub lag: Duration,
    /// Bytes of frames in one object at most; a larger group is alone.
    pub object_bytes: u64,
}

impl Default for ShipOptions {
    fn default() -> Self {
        Self { lag: Duration::from_secs(1), object_bytes: 8 << 20 }
    }
}

/// Sends a log to a bucket, for as long as the log is open.
#[derive(Clone)]
pub struct Shipper {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    store: Store,
    options: ShipOptions,
    objects: Mutex<Objects>,
}

/// What is in the bucket.
#[derive(Default)]
struct Objects {
    /// The objects, with what they hold where that is known.
    known: BTreeMap<u64, Option<Vec<Held>>>,
    /// The floor that the newest one says.
    floor: u64,
}

impl fmt::Debug for Shipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipper").field("life", &self.shared.store.life).finish_non_exhaustive()
    }
}

impl Shipper {
    /// Continues behind the last object of this log in the bucket, and goes on until the log is closed.
    ///
    /// # Errors
    /// [`Error::StaleLog`]: the bucket has more of this log than the disk, or something else.
    /// [`Error::Corrupt`]; [`Error::Storage`].
    pub async fn start(
        log: &Log,
        bucket: Bucket,
        seal: Arc<dyn Seal>,
        options: ShipOptions,
    ) -> Result<Self, Error> {
        let core = Arc::clone(log.core());
        let store = Store { bucket, seal, life: log.life() };
        let numbers = store.list().await?;
        let last = match numbers.last() {
            Some(number) => store.get(*number).await?,
            None => None,
        };
        let known = numbers.into_iter().map(|number| (number, None)).collect();
        let mut objects = Objects { known, floor: 0 };
        if let Some(last) = &last {
            objects.add(last);
        }
        let shared = Shared { core, store, options, objects: Mutex::new(objects) };
        let (pin, cursor) = shared.attach(last.as_ref().map(|last| last.head)).await?;
        let shared = Arc::new(shared);
        let (running, number) = (Arc::clone(&shared), last.map_or(0, |last| last.head.number) + 1);
        shared.core.env.spawn.task(Box::pin(async move {
            drop(pin);
            running.run(cursor, number).await;
        }));
        Ok(Self { shared })
    }

    /// Deletes objects that nobody needs, oldest first: those below the floor that an object in the bucket
    /// says. One that is deleted may come back, when a process that was killed had sent it, and does not
    /// count then. Returns how many it deleted.
    ///
    /// # Errors
    /// Of the bucket. What was deleted stays so.
    pub async fn collect(&self) -> Result<u64, Error> {
        let shared = &self.shared;
        let numbers: Vec<u64> = shared.objects().known.keys().copied().collect();
        let mut deleted = 0;
        for number in numbers {
            if !shared.released(&shared.holds(number).await?) {
                break;
            }
            if number < shared.objects().floor {
                let done = shared.store.bucket.delete(&key(shared.store.life, number)).await;
                done.map_err(|error| bucket_failed(&error))?;
                shared.objects().known.remove(&number);
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

impl Objects {
    /// An object is in the bucket.
    fn add(&mut self, object: &Object) {
        self.known.insert(object.head.number, Some(held(object)));
        self.floor = self.floor.max(object.head.floor);
    }
}

fn held(object: &Object) -> Vec<Held> {
    object.entries.iter().map(|Entry { held, .. }| *held).collect()
}

impl Shared {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an object holds, which is read when it is not known.
    async fn holds(&self, number: u64) -> Result<Vec<Held>, Error> {
        if let Some(Some(known)) = self.objects().known.get(&number) {
            return Ok(known.clone());
        }
        let found = self.store.get(number).await?;
        let known = found.as_ref().map(held).unwrap_or_default();
        self.objects().known.insert(number, Some(known.clone()));
        Ok(known)
    }

    /// The first object that is needed, of all before the one that comes next.
    fn floor(&self, next: u64) -> u64 {
        let objects = self.objects();
        let needed = |known: &Option<Vec<Held>>| match known {
            Some(held) => !self.released(held),
            None => true,
        };
        let first = objects.known.iter().find(|(_, known)| needed(known));
        first.map_or(next, |(number, _)| *number)
    }

    /// Partitions that the log has forgotten had released all.
    fn released(&self, held: &[Held]) -> bool {
        let state = self.core.state();
        held.iter().all(|held| {
            let part = state.parts.get(&held.partition);
            part.is_none_or(|part| part.state().released >= held.last_id)
        })
    }

    fn stale(&self, number: u64, why: String) -> Error {
        let found = key(self.store.life, number);
        Error::StaleLog { life: hex::encode(self.store.life.0), found, why }
    }

    /// From now on the log keeps what is not in the bucket.
    async fn attach(&self, last: Option<ObjectHead>) -> Result<(super::core::Pin, Cursor), Error> {
        let pin = {
            let mut state = self.core.state();
            self.core.pin(&mut state, 0)
        };
        let group = last.map_or(0, |last| last.last_group);
        if let Some(last) = last {
            self.check(&last).await?;
        }
        let cursor = self.find(group + 1).await?.map_or_else(|| self.end(), |(cursor, _)| cursor);
        let now = self.core.env.clock.monotonic();
        self.core.change(|state| {
            let mut shipping = Shipping { group, ..Shipping::default() };
            for segment in state.segments.iter().filter(|segment| segment.number >= cursor.segment)
            {
                let whole = segment.number > cursor.segment;
                let from = if whole { SECTOR_BYTES as u64 } else { cursor.offset };
                shipping.unshipped_bytes += segment.used - from;
            }
            let all = state.segments.back().map_or(0, |last| last.last_group());
            if all > group {
                shipping.marks.push_back((all, now));
            } else {
                shipping.group = all;
            }
            state.shipping = Some(shipping);
        });
        Ok((pin, cursor))
    }

    /// The object `last` was made of this log.
    async fn check(&self, last: &ObjectHead) -> Result<(), Error> {
        let all = self.end().group - 1;
        if last.last_group > all {
            let why = format!("it ends with group {}, the disk with group {all}", last.last_group);
            return Err(self.stale(last.number, why));
        }
        // The group itself may have been recycled; then the first one after it is found.
        let is_it = |local: &GroupHead| local.number == last.last_group;
        match self.find(last.last_group).await? {
            Some((_, local)) if is_it(&local) && local.mark != last.mark => {
                let why = format!("group {} on the disk is another one", last.last_group);
                Err(self.stale(last.number, why))
            }
            _ => Ok(()),
        }
    }

    /// Where the group will be that is next.
    fn end(&self) -> Cursor {
        let state = self.core.state();
        let last = state.segments.back().expect("a log has a segment");
        Cursor { segment: last.number, offset: last.used, group: last.next_group }
    }

    /// Where `group` is, or the first one after it; `None` when it is still to be written.
    async fn find(&self, group: u64) -> Result<Option<(Cursor, GroupHead)>, Error> {
        let span = {
            let state = self.core.state();
            let holds = state.segments.iter().find(|segment| {
                segment.next_group > group && segment.next_group > segment.first_group
            });
            holds.map(|segment| Span {
                number: segment.number,
                name: segment.name.clone(),
                from: SECTOR_BYTES as u64,
                to: segment.used,
            })
        };
        let Some(span) = span else { return Ok(None) };
        let core = Arc::clone(&self.core);
        self.reading(move || {
            let place = Place { life: core.life, segment: span.number };
            let mut reader = Reader::new(&core.disk, &span.name, place, span.to);
            let mut offset = span.from;
            loop {
                let head = reader.group(offset).map_err(|stop| stop.corrupt(&reader))?;
                if head.number >= group {
                    let cursor = Cursor { segment: span.number, offset, group: head.number };
                    return Ok(Some((cursor, head)));
                }
                offset += head.bytes();
            }
        })
        .await
    }

    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let run = self.core.env.spawn.run(read).await;
        run.unwrap_or_else(|lost| {
            let (what, kind) = ("read the log", ErrorKind::Retry);
            Err(Error::Storage { what, why: lost.to_string(), kind })
        })
    }

    async fn run(&self, mut cursor: Cursor, mut number: u64) {
        while self.due().await {
            match self.ship(cursor, number).await {
                Ok(Some(next)) => (cursor, number) = (next, number + 1),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the log can not be shipped any more");
                    return self.core.poison(error);
                }
            }
        }
    }

    /// Waits until something should be sent; `false` when the log has ended.
    async fn due(&self) -> bool {
        loop {
            let (oldest, hurry) = {
                let state = self.core.state();
                if state.failed.is_some() || state.is_abandoned() {
                    return false;
                }
                let oldest = state.shipping.as_ref().and_then(|shipping| shipping.marks.front());
                (oldest.map(|(_, at)| *at), state.closing)
            };
            let hurry = hurry || self.core.ship_waiting.load(Ordering::Relaxed) > 0;
            let Some(oldest) = oldest else {
                self.core.ship.notified().await;
                continue;
            };
            let age = self.core.env.clock.monotonic().saturating_sub(oldest);
            if hurry || age >= self.options.lag {
                return true;
            }
            tokio::select! {
                biased;
                () = self.core.ship.notified() => {}
                () = self.core.env.clock.sleep(self.options.lag - age) => {}
            }
        }
    }

    /// Sends the next object. `None` when the log ended before.
    async fn ship(&self, cursor: Cursor, number: u64) -> Result<Option<Cursor>, Error> {
        let load = self.load(cursor, number).await?;
        let (head, bytes, next) = (load.head, load.bytes, load.next);
        let key = key(self.store.life, number);
        let encoded = object::encode(&head, load.frames);
        let object = Object::decode(&Bytes::from(encoded.clone()));
        let object = object.expect("what was encoded is decoded");
        let sealed = Bytes::from(self.store.seal.seal(&key, &encoded));
        drop(encoded);
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.store.bucket.create(&key, sealed.clone()).await {
                Ok(_) => break,
                Err(error) => error,
            };
            if matches!(error, BucketError::Exists { .. } | BucketError::InDoubt { .. }) {
                match self.resolve(number, &head, &sealed).await {
                    Ok(Some(Ours::This)) => break,
                    Ok(Some(Ours::Earlier(object, next, bytes))) => {
                        self.done(&object, bytes);
                        return Ok(Some(next));
                    }
                    Ok(None) => {}
                    Err(error) if error.kind() == ErrorKind::Retry => {}
                    Err(error) => return Err(error),
                }
            }
            tracing::warn!(%error, key, "an object of the log was not sent; it is tried again");
            self.core.env.clock.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            let state = self.core.state();
            if state.failed.is_some() || state.is_abandoned() {
                return Ok(None);
            }
        }
        self.done(&object, bytes);
        Ok(Some(next))
    }

    /// What stands where the object should be: this one, or one that an earlier process of this log sent
    /// without an answer; `None` when nothing does.
    async fn resolve(
        &self,
        number: u64,
        head: &ObjectHead,
        sealed: &Bytes,
    ) -> Result<Option<Ours>, Error> {
        let key = key(self.store.life, number);
        let found = match self.store.bucket.get(&key).await {
            Ok(found) => found.bytes,
            Err(BucketError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(bucket_failed(&error)),
        };
        if found == *sealed {
            return Ok(Some(Ours::This));
        }
        let object = self.store.decode(number, &found)?;
        self.check(&object.head).await?;
        if object.head.first_group != head.first_group {
            let (theirs, ours) = (object.head.first_group, head.first_group);
            let why = format!("it begins with group {theirs}, and the disk continues with {ours}");
            return Err(self.stale(number, why));
        }
        let first = self.find(object.head.first_group).await?;
        let next = self.find(object.head.last_group + 1).await?;
        let next = next.map_or_else(|| self.end(), |(cursor, _)| cursor);
        let bytes = first.map_or(0, |(first, _)| self.between(first, next));
        Ok(Some(Ours::Earlier(object, next, bytes)))
    }

    /// Bytes of groups from one place to another.
    fn between(&self, from: Cursor, to: Cursor) -> u64 {
        let state = self.core.state();
        let inside = |number| from.segment <= number && number <= to.segment;
        let bytes = state.segments.iter().filter(|segment| inside(segment.number)).map(|segment| {
            let begin =
                if segment.number == from.segment { from.offset } else { SECTOR_BYTES as u64 };
            let end = if segment.number == to.segment { to.offset } else { segment.used };
            end.saturating_sub(begin)
        });
        bytes.sum()
    }

    /// An object is in the bucket.
    fn done(&self, object: &Object, bytes: u64) {
        self.objects().add(object);
        let group = object.head.last_group;
        let frame = |entry: &Entry| (entry.held.partition, entry.held.epoch, entry.held.last_id);
        let frames = object.entries.iter().map(frame).collect();
        self.core.change(|state| {
            if let Some(shipping) = state.shipping.as_mut() {
                shipping.group = group;
                shipping.unshipped_bytes = shipping.unshipped_bytes.saturating_sub(bytes);
                while shipping.marks.front().is_some_and(|(last, _)| *last <= group) {
                    shipping.marks.pop_front();
                }
            }
            state.confirmed.push(Confirmed { group, frames });
        });
    }

    /// Reads what goes into the next object: at least one group.
    async fn load(&self, cursor: Cursor, number: u64) -> Result<Load, Error> {
        let spans: Vec<Span> = {
            let state = self.core.state();
            let rest = state.segments.iter().filter(|segment| segment.number >= cursor.segment);
            let span = |segment: &super::core::Segment| Span {
                number: segment.number,
                name: segment.name.clone(),
                from: if segment.number == cursor.segment {
                    cursor.offset
                } else {
                    SECTOR_BYTES as u64
                },
                to: segment.used,
            };
            rest.map(span).collect()
        };
        let (core, max) = (Arc::clone(&self.core), self.options.object_bytes);
        let (life, floor) = (self.store.life, self.floor(number));
        self.reading(move || {
            let (first_group, last_group) = (cursor.group, cursor.group);
            let (wall_ns, mark) = (0, 0);
            let head = ObjectHead { life, number, first_group, last_group, wall_ns, mark, floor };
            let mut load = Load { head, frames: Vec::new(), bytes: 0, next: cursor };
            for span in spans {
                if !load.span(&core, &span, max)? {
                    break;
                }
            }
            Ok(load)
        })
        .await
    }
}

/// Whose object it is that stands in the way.
enum Ours {
    This,
    Earlier(Object, Cursor, u64),
}
