use std::sync::Arc;
use std::time::Duration;

use cairn_env::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Failure;
use crate::limits::Limits;

/// How long a call that is stopped may need to end.
const END_WAIT: Duration = Duration::from_secs(1);

/// How many calls of one function run and wait at a time.
#[derive(Clone)]
pub(crate) struct Places {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    max: (u32, u32),
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Self {
        let places = |count: u32| Arc::new(Semaphore::new(count as usize));
        let (running, waiting) = (places(limits.concurrency), places(limits.queue));
        Self { running, waiting, max: (limits.concurrency, limits.queue) }
    }

    /// A place among those that run; it is waited for until a call that takes as long as it may has ended.
    pub(crate) async fn take(
        &self,
        clock: &dyn Clock,
        limits: &Limits,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let busy = || Failure::Busy { running: self.max.0, waiting: self.max.1 };
        if let Ok(place) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(place);
        }
        let _waits = self.waiting.try_acquire().map_err(|_| busy())?;
        tokio::select! {
            biased;
            place = Arc::clone(&self.running).acquire_owned() => place.map_err(|_| busy()),
            () = clock.sleep(limits.wall() + END_WAIT) => Err(busy()),
        }
    }
}
