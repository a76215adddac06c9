//! What is kept by id between requests: each for its owner, so many at a time, forgotten when nobody asks for
//! it for [`UPLOAD_IDLE_MAX`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_env::Clock;

use crate::error::Error;
use crate::uploads::UPLOAD_IDLE_MAX;

/// Cheap to clone.
pub(crate) struct Owned<I, T> {
    clock: Arc<dyn Clock>,
    all: Arc<Mutex<BTreeMap<I, One<T>>>>,
}

struct One<T> {
    kept: Arc<T>,
    owner: String,
    used: Duration,
}

impl<I, T> Clone for Owned<I, T> {
    fn clone(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), all: Arc::clone(&self.all) }
    }
}

impl<I: Ord, T> Owned<I, T> {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, all: Arc::default() }
    }

    /// Forgets what is idle, and says whether there is room for one more below `max`.
    ///
    /// # Errors
    /// [`Error::TooMany`] of `what`.
    pub(crate) fn room(&self, what: &'static str, max: usize) -> Result<(), Error> {
        let now = self.clock.monotonic();
        let count = self.with(|all| {
            all.retain(|_, one| now.saturating_sub(one.used) < UPLOAD_IDLE_MAX);
            all.len()
        });
        if count >= max { Err(Error::TooMany { what, max: max as u64 }) } else { Ok(()) }
    }

    pub(crate) fn keep(&self, id: I, owner: &str, kept: Arc<T>) {
        let one = One { kept, owner: owner.to_owned(), used: self.clock.monotonic() };
        self.with(|all| all.insert(id, one));
    }

    /// What its owner asks for; none for everybody else.
    pub(crate) fn get(&self, id: &I, owner: &str) -> Option<Arc<T>> {
        let now = self.clock.monotonic();
        self.with(|all| {
            let one = all.get_mut(id).filter(|one| one.owner == owner)?;
            one.used = now;
            Some(Arc::clone(&one.kept))
        })
    }

    pub(crate) fn forget(&self, id: &I) {
        self.with(|all| all.remove(id));
    }

    pub(crate) fn count(&self) -> usize {
        self.with(|all| all.len())
    }

    fn with<R>(&self, work: impl FnOnce(&mut BTreeMap<I, One<T>>) -> R) -> R {
        work(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
