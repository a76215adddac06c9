//! The catalog: one small object, changed by compare-and-swap, that says which index runs there are,
//! which sessions write, and which packs are on their way out.
//!
//! It is the only thing that pushers and the collector agree on. The rules:
//!
//! - BLOCKS-2 A run enters the catalog only together with a check, in the same compare-and-swap, that
//!   its session is still listed. A session that was removed never comes back. So the objects of a
//!   session that is not listed and that no run names are nobody's, for ever.
//! - BLOCKS-3 Deduplication never offers a chunk whose pack is condemned or dying.
//! - BLOCKS-4 A pack is deleted only after it was made dying in one compare-and-swap, and then a mark
//!   that began afterwards did not reach it. A publisher announces its root first (a pending ref,
//!   which marks count), then looks at the catalog, and only then moves the ref. Of a collector and a
//!   publisher that cross, at least one sees the other.
//! - BLOCKS-6 An index entry leaves the catalog only with its pack, or for an entry of the same chunk in
//!   a pack that is offered in that same compare-and-swap. Marks are made on entries: a dying pack is
//!   deleted because *another* copy was marked, so that copy's entry must not be merged away meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Version};
use cairn_env::Env;
use serde::{Deserialize, Serialize};

use crate::envelope::{EnvelopeKind, Sealer};
use crate::error::Error;
use crate::pack::PackId;
use crate::session::SessionId;

/// The object's key.
pub const CATALOG_KEY: &str = "catalog";
/// How often a compare-and-swap is tried before the caller is told.
pub const SWAP_ATTEMPTS_MAX: u32 = 64;
/// The most sessions at a time.
pub const SESSIONS_MAX: usize = 4096;
const SWAP_PAUSE_MS_MAX: u64 = 200;

/// One index run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRef {
    pub(crate) name: String,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// One writer's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) session: SessionId,
    pub(crate) started_ns: i64,
    pub(crate) renewed_ns: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalog {
    pub(crate) runs: Vec<RunRef>,
    pub(crate) sessions: Vec<Lease>,
    /// Unreferenced packs and since when (wall clock, nanoseconds).
    pub(crate) condemned: BTreeMap<PackId, i64>,
    /// Packs that a collection is about to delete, and the value of `sweeps` when they became so.
    pub(crate) dying: BTreeMap<PackId, u64>,
    /// Counts every change of `dying`: when it stands still, nothing was deleted.
    pub(crate) sweeps: u64,
}

impl Catalog {
    pub(crate) fn offers(&self, pack: &PackId) -> bool {
        !self.condemned.contains_key(pack) && !self.dying.contains_key(pack)
    }

    pub(crate) fn lease_mut(&mut self, session: SessionId) -> Result<&mut Lease, Error> {
        self.sessions.iter_mut().find(|lease| lease.session == session).ok_or(Error::SessionExpired)
    }
}

/// Reads and swaps the catalog.
#[derive(Clone)]
pub(crate) struct CatalogStore {
    pub(crate) bucket: Bucket,
    pub(crate) sealer: Sealer,
    pub(crate) env: Env,
}

impl CatalogStore {
    /// The catalog and its version; an empty one and `None` when there is none yet.
    pub(crate) async fn load(&self) -> Result<(Catalog, Option<Version>), Error> {
        match self.bucket.get(CATALOG_KEY).await {
            Ok(object) => {
                let payload =
                    self.sealer.unwrap(EnvelopeKind::Catalog, CATALOG_KEY, &object.bytes)?;
                let catalog = serde_json::from_slice(&payload)
                    .map_err(|error| Error::corrupt(CATALOG_KEY, 0, error.to_string()))?;
                Ok((catalog, Some(object.version)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((Catalog::default(), None)),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies `change` to the newest catalog until a compare-and-swap succeeds. `change` may run
    /// several times, but not after a swap that may have taken effect; its error ends the attempt and
    /// changes nothing.
    pub(crate) async fn update<T>(
        &self,
        mut change: impl FnMut(&mut Catalog) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for attempt in 0..SWAP_ATTEMPTS_MAX {
            let (mut catalog, version) = self.load().await?;
            let before = catalog.clone();
            let answer = change(&mut catalog)?;
            if catalog == before {
                return Ok(answer);
            }
            if self.swap(&catalog, version.as_ref()).await? {
                return Ok(answer);
            }
            pause(&self.env, attempt).await;
        }
        Err(Error::Contended { object: CATALOG_KEY.to_owned(), attempts: SWAP_ATTEMPTS_MAX })
    }

    async fn swap(&self, catalog: &Catalog, version: Option<&Version>) -> Result<bool, Error> {
        let payload = serde_json::to_vec(catalog).expect("a catalog is plain data");
        let bytes =
            self.sealer.wrap(EnvelopeKind::Catalog, CATALOG_KEY, &payload, self.env.rng.as_ref());
        let swapped = match version {
            Some(version) => self.bucket.replace(CATALOG_KEY, Bytes::from(bytes), version).await,
            None => self.bucket.create(CATALOG_KEY, Bytes::from(bytes)).await,
        };
        match swapped {
            Ok(_) => Ok(true),
            // Perhaps it took effect and others built on it: a second try could undo the first, and
            // its caller must delete nothing.
            Err(error @ cairn_bucket::Error::InDoubt { .. }) => Err(error.into()),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits a random time that grows with the attempts, so that writers who collide spread out.
pub async fn pause(env: &Env, attempt: u32) {
    let limit = (2_u64 << attempt.min(10)).min(SWAP_PAUSE_MS_MAX);
    env.clock.sleep(Duration::from_millis(env.rng.next_u64() % limit)).await;
}

macro_rules! serde_hex {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let mut id = Self([0; _]);
                hex::decode_to_slice(&text, &mut id.0).map_err(serde::de::Error::custom)?;
                Ok(id)
            }
        }
    };
}

serde_hex!(PackId);
serde_hex!(SessionId);
