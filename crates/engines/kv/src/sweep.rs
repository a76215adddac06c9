//! Removing the pins of large values that no state shows any more (KV-5).

use std::time::Duration;

use cairn_datasets::{Condemned, Dataset, PinId};
use cairn_partition::{AnyPartition, At, Entry, Error as PartitionError, Here, Seq};

use futures::StreamExt as _;

use crate::large::{YOUNG, dataset, decode, owned, present};
use crate::{Error, Kv, Namespace};

/// How often a process looks for large values that nobody can read any more.
pub const SWEEP_EVERY: Duration = Duration::from_secs(3600);
const REMOVALS_AT_ONCE: usize = 16;
/// What was over when a pin was condemned has been removed by its partition after this time.
const SETTLED_MS: u64 = 60_000;

/// What a sweep found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Pins that are needed, or may be.
    pub kept: u64,
    /// Pins that are not needed any more, and wait for the end of the history window.
    pub condemned: u64,
    /// Pins removed.
    pub removed: u64,
}

/// What becomes of a pin.
enum Fate {
    Kept,
    Condemned,
    Removed,
}

impl Kv {
    /// Looks at the pins of all namespaces that are this node's, or nobody's, and removes what no state shows
    /// any more. No node loses a namespace to a sweep. What fails is logged, and tried again by the next sweep.
    ///
    /// # Errors
    /// [`Error::Values`] when the pins cannot be listed.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let mut last: Option<(Dataset, Here)> = None;
        for (of, id) in self.datasets.pins().await? {
            if last.as_ref().is_none_or(|(before, _)| *before != of) {
                last = Some((of.clone(), self.here(&of).await));
            }
            let partition = match &last {
                Some((_, Here::Open(partition))) => Some(partition),
                Some((_, Here::Removed)) => None,
                _ => continue,
            };
            match self.sweep_one(&of, id, partition).await {
                Ok(Fate::Kept) => swept.kept += 1,
                Ok(Fate::Condemned) => swept.condemned += 1,
                Ok(Fate::Removed) => swept.removed += 1,
                Err(error) => {
                    tracing::warn!(%error, "the pin {id} of a value of {of} could not be looked at");
                }
            }
        }
        Ok(swept)
    }

    /// Sweeps now and then, as long as it is polled.
    pub async fn keep_swept(&self) {
        loop {
            self.env.clock.sleep(SWEEP_EVERY).await;
            match self.sweep().await {
                Ok(swept) if swept == Swept::default() => {}
                Ok(swept) => tracing::info!(?swept, "swept large values"),
                Err(error) => tracing::warn!(%error, "large values could not be swept"),
            }
        }
    }

    /// Where the partition of a namespace is that has pins.
    async fn here(&self, of: &Dataset) -> Here {
        let namespace = Namespace { project: of.project.clone(), name: of.name.clone() };
        let found = match namespace.partition() {
            Ok(name) => self.partitions.here(&name).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        match found {
            Ok(Here::Unknown) => {
                // A record may be missing because it was damaged or not restored: that takes nothing along.
                tracing::warn!("{namespace} has large values, and nothing says that it ever was");
                Here::Unknown
            }
            Ok(here) => here,
            Err(error) => {
                tracing::debug!(%error, "the large values of {namespace} are not looked at");
                Here::Elsewhere
            }
        }
    }

    async fn sweep_one(
        &self,
        of: &Dataset,
        id: PinId,
        partition: Option<&AnyPartition>,
    ) -> Result<Fate, Error> {
        let Some((pin, version)) = self.datasets.pin(of, id).await? else {
            return Ok(Fate::Removed);
        };
        let (now_ms, known_as) = (self.now_ms(), pin.id(id));
        let young = u64::try_from(YOUNG.as_millis()).unwrap_or(u64::MAX);
        if now_ms.saturating_sub(pin.made_ms) < young {
            return Ok(Fate::Kept);
        }
        let Some(partition) = partition else {
            // Its namespace was removed while it was written.
            self.datasets.unpin(of, id).await?;
            return Ok(Fate::Removed);
        };
        let Some(key) = owned(&pin.owner) else { return Ok(Fate::Kept) };
        let found = present(partition, &key).await?;
        if found.is_some_and(|entry| refers(&entry, known_as)) {
            if pin.condemned.is_some() {
                // A log was lost, and with it what had taken its place.
                self.datasets.condemn(of, id, (pin, version), None).await?;
            }
            return Ok(Fate::Kept);
        }
        if let Some(condemned) = pin.condemned {
            match over(partition, &key, known_as, condemned, now_ms).await? {
                Some(true) => {
                    self.datasets.unpin(of, id).await?;
                    return Ok(Fate::Removed);
                }
                Some(false) => return Ok(Fate::Condemned),
                None => {}
            }
        }
        let at = partition.status().durable.0;
        let condemned = Some(Condemned { at, since_ms: now_ms });
        self.datasets.condemn(of, id, (pin, version), condemned).await?;
        Ok(Fate::Condemned)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.env.clock.wall_ns() / 1_000_000).unwrap_or(0)
    }

    /// The pins that a namespace has now.
    pub(crate) async fn pins_of(&self, of: &Namespace) -> Result<Vec<(Dataset, PinId)>, Error> {
        Ok(self.datasets.pins_of(&dataset(of)).await?)
    }

    /// Removes pins that nothing refers to any more. What is left goes by sweeps.
    pub(crate) async fn forget(&self, pins: &[(Dataset, PinId)]) {
        let removals = pins.iter().map(|(of, id)| async move {
            if let Err(error) = self.datasets.unpin(of, *id).await {
                tracing::warn!(%error, "the pin {id} of {of} is left to a sweep");
            }
        });
        let removals: Vec<_> = removals.collect();
        futures::stream::iter(removals).buffer_unordered(REMOVALS_AT_ONCE).collect::<()>().await;
    }
}

/// Whether an entry refers to a pin, as far as it can be read.
fn refers(entry: &Entry, id: PinId) -> bool {
    let reference = entry.reference.as_ref();
    reference.is_some_and(|reference| decode(reference).is_none_or(|pinned| pinned.id == id))
}

/// Whether no state that can be read is before the one that a pin was condemned at; none when that says
/// nothing, for it is a state that the partition does not have, or one that shows the value.
async fn over(
    partition: &AnyPartition,
    key: &[u8],
    id: PinId,
    condemned: Condemned,
    now_ms: u64,
) -> Result<Option<bool>, Error> {
    if now_ms.saturating_sub(condemned.since_ms) < SETTLED_MS {
        return Ok(Some(false));
    }
    // What was over then, and not removed yet, is seen in a past state.
    match partition.get(key, At::Seq(Seq(condemned.at))).await {
        Ok(Some(entry)) if refers(&entry, id) => return Ok(None),
        Ok(_) | Err(PartitionError::Gone { .. }) => {}
        Err(PartitionError::Future { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let Some(before) = condemned.at.checked_sub(1) else { return Ok(Some(true)) };
    match partition.get(key, At::Seq(Seq(before))).await {
        Ok(_) => Ok(Some(false)),
        Err(PartitionError::Gone { .. }) => Ok(Some(true)),
        Err(error) => Err(error.into()),
    }
}
