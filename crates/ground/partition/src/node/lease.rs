//! The lease of a node: kept by renewing one object, and seen to be over by others that watch it.
//!
//! LOG-1 rests on this: the holder counts from *before* it asks for a renewal, and acknowledges
//! nothing after that time is over; whoever wants to break the lease counts from *after* it has seen
//! that renewal, waits longer than the lease holds, and breaks it by a compare-and-swap against the
//! state that he has seen. Only the rates of two clocks must agree, to one part in [`DRIFT`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_bucket::Version;
use cairn_env::Env;
use tokio::sync::Notify;

use super::records::{Held, Lease, Read, Records};
use crate::Error;
use crate::log::Gate;

/// One part in so many by which the rates of clocks may differ.
const DRIFT: u32 = 20;
/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// After so long without a change a node is idle.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// How long leases hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Of a node whose partitions change: renewed three times within it.
    pub busy: Duration,
    /// Of a node that has changed nothing for a minute: renewed after two thirds of it.
    pub idle: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { busy: Duration::from_secs(15), idle: Duration::from_secs(90) }
    }
}

/// The lease of this node.
pub(super) struct Keeper {
    records: Records,
    env: Env,
    key: String,
    times: LeaseTimes,
    state: Mutex<Kept>,
    /// When it is over by this node's monotonic clock, in nanoseconds; 0 when it is lost.
    until_ns: AtomicU64,
    /// When something was changed last, by the same clock.
    used_ns: AtomicU64,
    /// Something is changed after a time of rest, or the node stops.
    woken: Notify,
}

struct Kept {
    lease: Lease,
    version: Version,
    /// Renewals since then that nobody confirmed; each may stand in the bucket, now or later.
    unsure: Option<Unsure>,
}

/// Renewals whose outcome is not known.
#[derive(Clone, Copy)]
struct Unsure {
    /// When the first of them was asked for: it may have been seen from then on.
    from: Duration,
    /// The number of the last.
    renewals: u64,
}

/// What a renewal came to.
enum Renewed {
    Yes,
    /// Somebody broke it.
    Broken,
}

impl Keeper {
    /// Takes the lease of the life `life`. Waits until one of another boot is over.
    pub(super) async fn take(
        records: Records,
        env: &Env,
        life: &str,
        node: &str,
        boot: &str,
        times: LeaseTimes,
    ) -> Result<Self, Error> {
        let key = Lease::key(life);
        let ttl_ms = ms(times.busy);
        loop {
            let before: Option<Read<Lease>> = records.read(&key).await?;
            let mut lease = Lease::new(node, boot, ttl_ms);
            if let Some(Read { record, version }) = &before {
                if record.held == Held::Taken && record.boot != boot {
                    outlast(&records, env, &key, record, version).await?;
                }
                lease.renewals = record.renewals.saturating_add(1);
            }
            let from = env.clock.monotonic();
            let version = before.as_ref().map(|read| &read.version);
            let Some(version) = records.swap(&key, version, &lease).await? else { continue };
            let keeper = Self {
                records,
                env: env.clone(),
                key,
                times,
                state: Mutex::new(Kept { lease, version, unsure: None }),
                until_ns: AtomicU64::new(0),
                used_ns: AtomicU64::new(ns(from)),
                woken: Notify::new(),
            };
            keeper.holds(from, times.busy);
            return Ok(keeper);
        }
    }

    fn holds(&self, from: Duration, ttl: Duration) {
        self.until_ns.store(ns(from.saturating_add(ttl)), Ordering::Release);
    }

    /// Whether it is certain that nobody has broken it.
    pub(super) fn is_held(&self) -> bool {
        ns(self.env.clock.monotonic()) < self.until_ns.load(Ordering::Acquire)
    }

    /// Something is changed.
    pub(super) fn used(&self) {
        let now = ns(self.env.clock.monotonic());
        let before = self.used_ns.swap(now, Ordering::AcqRel);
        if now.saturating_sub(before) > ns(IDLE_AFTER) {
            self.woken.notify_one();
        }
    }

    /// Renews until somebody breaks it or `done` says so. Calls `moved` whenever it holds again.
    pub(super) async fn keep(
        &self,
        moved: impl Fn() + Send,
        done: impl Fn() -> bool + Send,
    ) -> Result<(), Error> {
        let mut wait = self.times.busy / 3;
        while !done() {
            tokio::select! {
                biased;
                () = self.woken.notified() => {}
                () = self.env.clock.sleep(wait) => {}
            }
            if done() {
                break;
            }
            let rested =
                ns(self.env.clock.monotonic()).saturating_sub(self.used_ns.load(Ordering::Acquire));
            let idle = rested > ns(IDLE_AFTER);
            let ttl = if idle { self.times.idle } else { self.times.busy };
            match self.renew(ttl, Held::Taken).await {
                Ok(Renewed::Yes) => {
                    wait = if idle { ttl * 2 / 3 } else { ttl / 3 };
                    if !self.is_held() {
                        // It was confirmed too late to count.
                        wait = Duration::ZERO;
                    }
                    moved();
                }
                Ok(Renewed::Broken) => {
                    self.until_ns.store(0, Ordering::Release);
                    return Err(Error::Closed {
                        what: String::from("the node's lease"),
                        why: String::from("another node has seen no sign of life and taken over"),
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the node's lease was not renewed: trying again");
                    wait = AGAIN.min(ttl / 3);
                }
            }
        }
        Ok(())
    }

    /// Ends `keep`.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Gives it back, so that others need not wait.
    pub(super) async fn release(&self) -> Result<(), Error> {
        self.until_ns.store(0, Ordering::Release);
        let first = self.renew(self.times.busy, Held::Released).await;
        if first.is_ok() {
            return Ok(());
        }
        // A renewal that was under way stood in between.
        self.renew(self.times.busy, Held::Released).await.map(drop)
    }

    async fn renew(&self, ttl: Duration, held: Held) -> Result<Renewed, Error> {
        let now = self.env.clock.monotonic();
        let (mut lease, version, unsure) = {
            let mut kept = self.kept();
            let before = kept.unsure.map_or(kept.lease.renewals, |unsure| unsure.renewals);
            let from = kept.unsure.map_or(now, |unsure| unsure.from);
            let unsure = Unsure { from, renewals: before.saturating_add(1) };
            kept.unsure = Some(unsure);
            (kept.lease.clone(), kept.version.clone(), unsure)
        };
        let confirmed = lease.renewals;
        lease.renewals = unsure.renewals;
        (lease.ttl_ms, lease.held) = (ms(ttl), held);
        let written = self.records.swap(&self.key, Some(&version), &lease).await;
        let (lease, version, from) = match written {
            Ok(Some(version)) => (lease, version, now),
            other => {
                // It, or one before it, may have been written all the same.
                let found: Option<Read<Lease>> = self.records.read(&self.key).await?;
                let Some(Read { record, version }) = found else { return Ok(Renewed::Broken) };
                let mine = record.held != Held::Broken
                    && (record.node == lease.node && record.boot == lease.boot)
                    && (confirmed..=unsure.renewals).contains(&record.renewals);
                if !mine {
                    return Ok(Renewed::Broken);
                }
                if record.renewals == confirmed || (held == Held::Released && record.held != held) {
                    self.kept().version = version;
                    let changed = || Error::Busy { why: String::from("the lease was not renewed") };
                    return Err(other.err().unwrap_or_else(changed));
                }
                // Others may have seen it since the first of them was asked for.
                (record, version, unsure.from)
            }
        };
        let ttl = Duration::from_millis(lease.ttl_ms);
        *self.kept() = Kept { lease, version, unsure: None };
        if held == Held::Taken {
            self.holds(from, ttl);
        }
        Ok(Renewed::Yes)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Acknowledgements pass while the lease holds.
impl Gate for Keeper {
    fn open(&self) -> bool {
        self.is_held()
    }
}

/// Waits until a lease has been seen unchanged for longer than it holds, or has changed.
async fn outlast(
    records: &Records,
    env: &Env,
    key: &str,
    lease: &Lease,
    version: &Version,
) -> Result<(), Error> {
    let seen = env.clock.monotonic();
    let over = seen.saturating_add(longer(lease.ttl_ms));
    tracing::info!(node = lease.node, wait = ?longer(lease.ttl_ms), "waiting until a lease is over");
    loop {
        let left = over.saturating_sub(env.clock.monotonic());
        if left.is_zero() {
            return Ok(());
        }
        env.clock.sleep(left.min(Duration::from_secs(5))).await;
        let now: Option<Read<Lease>> = records.read(key).await?;
        if now.is_none_or(|now| now.version != *version) {
            return Ok(());
        }
    }
}

/// Longer than a lease holds by any clock.
fn longer(ttl_ms: u64) -> Duration {
    let ttl = Duration::from_millis(ttl_ms);
    ttl.saturating_add(ttl / DRIFT)
}

/// Leases of other nodes, as this node sees them.
#[derive(Default)]
pub(super) struct Watched(Mutex<Vec<Seen>>);

struct Seen {
    life: String,
    version: Version,
    since: Duration,
}

/// Lives that are watched at most; the one that was seen first goes.
const WATCHED_MAX: usize = 1024;

impl Watched {
    /// How long the node with the life `life` may own something yet, if it gives no sign of life: ask
    /// again then. None when it owns nothing any more: it has gone, or its lease was seen unchanged for
    /// longer than it holds, and is broken now.
    pub(super) async fn left(
        &self,
        records: &Records,
        env: &Env,
        life: &str,
    ) -> Result<Option<Duration>, Error> {
        let key = Lease::key(life);
        // A life that never had a lease never acknowledged anything.
        let Some(Read { record, version }) = records.read::<Lease>(&key).await? else {
            return Ok(None);
        };
        if record.held != Held::Taken {
            return Ok(None);
        }
        let now = env.clock.monotonic();
        let (seen, holds) = (self.since(life, &version, now), longer(record.ttl_ms));
        let left = holds.saturating_sub(now.saturating_sub(seen));
        if !left.is_zero() {
            return Ok(Some(left));
        }
        let mut broken = record;
        (broken.held, broken.renewals) = (Held::Broken, broken.renewals.saturating_add(1));
        let done = records.swap(&key, Some(&version), &broken).await?.is_some();
        if done {
            tracing::warn!(
                node = broken.node,
                life,
                "a node gave no sign of life: its lease is broken"
            );
        }
        // Whoever was faster has renewed or broken it.
        Ok((!done).then_some(holds))
    }

    /// Since when this state has been seen.
    fn since(&self, life: &str, version: &Version, now: Duration) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = seen.iter_mut().find(|one| one.life == life) {
            if one.version != *version {
                (one.version, one.since) = (version.clone(), now);
            }
            return one.since;
        }
        if seen.len() == WATCHED_MAX {
            seen.remove(0);
        }
        seen.push(Seen { life: life.to_owned(), version: version.clone(), since: now });
        now
    }
}

/// The same lease for several who look at it.
pub(super) type SharedKeeper = Arc<Keeper>;

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use cairn_bucket::faulty::{Faults, PPM};
    use cairn_bucket::{Bucket, Faulty, Memory, Options, Plain};

    use super::*;

    /// LOG-1: a renewal that was written and not confirmed counts from when it was asked for first, for
    /// others have seen it since then.
    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_was_confirmed_late_holds_no_longer() {
        let env = Env::simulated(1);
        let faulty = Faulty::new(Arc::new(Memory::new(&env)), Faults::default(), &env);
        let options = Options { deadline: Duration::from_millis(100), ..Options::default() };
        let store = Arc::new(faulty.clone());
        let bucket = Bucket::from_store_with(store, "memory://", options, &env);
        let records = Records { bucket, seal: Arc::new(Plain) };
        let ttl = Duration::from_secs(3);
        let times = LeaseTimes { busy: ttl, idle: ttl };
        let keeper = Keeper::take(records, &env, "a", "a", "b", times).await.unwrap();
        env.clock.sleep(Duration::from_secs(1)).await;
        let asked = env.clock.monotonic();
        faulty.set(Faults { after_ppm: PPM, ..Faults::default() });
        assert!(keeper.renew(ttl, Held::Taken).await.is_err());
        env.clock.sleep(Duration::from_secs(1)).await;
        faulty.set(Faults::default());
        assert!(matches!(keeper.renew(ttl, Held::Taken).await, Ok(Renewed::Yes)));
        assert_eq!(keeper.until_ns.load(Ordering::Acquire), ns(asked + ttl));
        // The next one is confirmed at once, and counts from now.
        let now = env.clock.monotonic();
        assert!(matches!(keeper.renew(ttl, Held::Taken).await, Ok(Renewed::Yes)));
        assert_eq!(keeper.until_ns.load(Ordering::Acquire), ns(now + ttl));
    }
}
