//! Following a tag.

use std::time::Duration;

use crate::error::Error;
use crate::local::Datasets;
use crate::model::{Target, Version};

/// How often a tag that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The states of a tag.
pub struct Follow {
    datasets: Datasets,
    target: Target,
    told: Option<Option<Version>>,
    looked_at: Duration,
}

impl Datasets {
    /// Follows a tag from what it is now on.
    #[must_use]
    pub fn follow(&self, target: Target) -> Follow {
        Follow { datasets: self.clone(), target, told: None, looked_at: Duration::ZERO }
    }
}

impl Follow {
    /// The next state: first what the tag is now, then each newer one when it comes. `None`: the tag is
    /// not there, or was removed. Cancel safe.
    ///
    /// # Errors
    /// The bucket failed.
    pub async fn next(&mut self) -> Result<Option<Version>, Error> {
        let clock = &self.datasets.blocks.env().clock;
        loop {
            if self.told.is_some() {
                let next = self.looked_at + LOOK_EVERY;
                clock.sleep(next.saturating_sub(clock.monotonic())).await;
            }
            let loaded = self.datasets.refs.load(&self.target).await?;
            self.looked_at = clock.monotonic();
            let now = loaded.and_then(|(state, _)| state.current);
            if self.told.as_ref() != Some(&now) {
                self.told = Some(now.clone());
                return Ok(now);
            }
        }
    }
}
