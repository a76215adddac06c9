//! One function as this node runs it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_base::DatasetName;
use cairn_wasm::Kind;
use tokio::sync::Semaphore;

use crate::latency::Lately;
use crate::logs::Journal;
use crate::model::{Function, Here, Release};
use crate::tiers::Callable;

/// Requests that one program answers at a time, each with what it was sent in memory.
pub(crate) const PROGRAMS_MAX: usize = 64;

/// Filters with their priorities, in their order.
pub(crate) type Filters = BTreeSet<(u16, DatasetName)>;

/// A function that is there, with what is known of it here.
pub(crate) struct Slot {
    pub(crate) of: Function,
    pub(crate) made_ms: u64,
    pub(crate) journal: Arc<Journal>,
    pub(crate) counts: Counts,
    pub(crate) lately: Lately,
    /// What its requests pass first, in this order.
    filters: Mutex<Filters>,
    /// Room for requests that it answers as a program.
    pub(crate) programs: Arc<Semaphore>,
    current: Mutex<Current>,
    /// One at a time makes it ready.
    pub(crate) loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    number: Option<u32>,
    ready: Option<Arc<Ready>>,
}

/// A release that can be called.
pub(crate) struct Ready {
    pub(crate) release: Release,
    pub(crate) call: Callable,
}

/// What was done on this node since it started.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Slot {
    pub(crate) fn new(of: Function, made_ms: u64, journal: Journal, filters: Filters) -> Self {
        Self {
            of,
            made_ms,
            journal: Arc::new(journal),
            counts: Counts::default(),
            lately: Lately::default(),
            filters: Mutex::new(filters),
            programs: Arc::new(Semaphore::new(PROGRAMS_MAX)),
            current: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of its filters, in their order.
    pub(crate) fn filters(&self) -> Vec<DatasetName> {
        let filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        filters.iter().map(|(_, name)| name.clone()).collect()
    }

    /// These are its filters from now on.
    pub(crate) fn change_filters(&self, change: impl FnOnce(&mut Filters)) {
        change(&mut self.filters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The release that answers, as far as this node knows.
    pub(crate) fn number(&self) -> Option<u32> {
        self.current().number
    }

    /// From now on this release answers; calls that were begun end where they are.
    pub(crate) fn switch(&self, number: Option<u32>) {
        let mut current = self.current();
        current.number = number;
        current.ready.take_if(|ready| Some(ready.release.number) != number);
    }

    /// The release that answers, when it is ready.
    pub(crate) fn ready(&self) -> Option<Arc<Ready>> {
        self.current().ready.clone()
    }

    /// A release is ready, and is what answers if it still should be.
    pub(crate) fn put(&self, ready: &Arc<Ready>) {
        let mut current = self.current();
        if current.number == Some(ready.release.number) {
            current.ready = Some(Arc::clone(ready));
        }
    }

    /// What was done here, at this time since whenever.
    pub(crate) fn here(&self, now: Duration) -> Here {
        Here {
            calls: self.counts.calls.load(Ordering::Relaxed),
            failures: self.counts.failures.load(Ordering::Relaxed),
            latency: self.lately.told(now),
        }
    }

    pub(crate) fn count(&self, failed: bool, (took, now): (Duration, Duration)) {
        self.lately.add(took, now);
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Ready {
    pub(crate) fn kind(&self) -> Kind {
        match self.call {
            Callable::Http(_) => Kind::Http,
            Callable::Program(_) => Kind::Command,
        }
    }
}
