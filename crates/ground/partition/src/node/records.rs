//! What the bucket says of partitions and of the nodes that own them: small objects, moved by
//! compare-and-swap, in JSON, sealed where the bucket is, else with a checksum.
//!
//! | key | what |
//! |---|---|
//! | `partitions/owners/NAME` | [`Owner`] |
//! | `partitions/leases/LIFE` | [`Lease`], of the node whose log has this life |
//! | `partitions/views/ID/…` | the view |

use std::sync::Arc;

use bytes::Bytes;
use cairn_bucket::{Bucket, Seal, Version};
use cairn_env::Env;
use futures::TryStreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::log::LifeId;
use crate::view::Checked;
use crate::{Epoch, Error, Loss, Name, PartitionId, Settings};

/// The format that this version writes.
const FORMAT: u32 = 1;
/// A view that is made takes less, unless whoever made it is gone.
const MAKING_MS_MAX: u64 = 6 * 3_600_000;
/// Where owners are.
const OWNERS: &str = "partitions/owners";
const LEASES: &str = "partitions/leases";
pub(super) const VIEWS: &str = "partitions/views";

/// What a partition is, who owns it, and which logs hold what its view has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    format: u32,
    /// Of the partition, in hexadecimal.
    pub(super) id: String,
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) epoch: Epoch,
    /// The owner: its log's life, in hexadecimal.
    pub(super) life: String,
    /// What people call the owner.
    pub(super) node: String,
    /// Where the owner is reached.
    pub(super) address: Option<String>,
    /// The ownerships whose frames may not be in the view yet, the oldest first.
    pub(super) trail: Vec<Owned>,
    /// Since when its view is being made, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) making_ms: Option<u64>,
    /// The last log that was lost with something of the partition in it, perhaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) loss: Option<Loss>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Somebody owns it, or did when he died.
    Open,
    /// Nobody owns it, and its view has everything.
    Closed,
    /// It is gone. Its name may be used again.
    Removed,
    /// Its view is being made; if that ends half way, its name may be used again.
    Making,
}

/// One ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owned {
    pub(super) epoch: Epoch,
    pub(super) life: String,
    /// The last frame that counts: those after it were never acknowledged, and the next owner did not
    /// see them. Unknown while it lasts.
    pub(super) through: Option<u64>,
}

impl Owner {
    /// A new partition that nobody owns.
    pub(super) fn new(id: PartitionId, settings: Settings) -> Self {
        Self {
            format: FORMAT,
            id: hex::encode(id.0),
            settings,
            state: State::Closed,
            epoch: Epoch(0),
            life: String::new(),
            node: String::new(),
            address: None,
            trail: Vec::new(),
            making_ms: None,
            loss: None,
        }
    }

    /// Whether there is a partition of its name.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.state, State::Open | State::Closed)
    }

    pub(super) fn id(&self) -> Result<PartitionId, Error> {
        let mut id = [0; 16];
        let why = |_| Error::Corrupt {
            what: String::from(OWNERS),
            offset: 0,
            why: String::from("it has no valid id"),
        };
        hex::decode_to_slice(&self.id, &mut id).map_err(why)?;
        Ok(PartitionId(id))
    }

    pub(super) fn key(name: &Name) -> String {
        format!("{OWNERS}/{name}")
    }

    /// Where the view of a partition is.
    pub(super) fn view(id: PartitionId) -> String {
        format!("{VIEWS}/{}", hex::encode(id.0))
    }
}

/// That a node lives. It holds for all the node owns (LOG-1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    format: u32,
    pub(super) node: String,
    /// The boot of the machine that holds it: a process of the same boot that has the log's lock knows
    /// that the one before it is dead.
    pub(super) boot: String,
    /// Grows with each renewal, so that no two states are the same.
    pub(super) renewals: u64,
    /// How long it holds from each renewal.
    pub(super) ttl_ms: u64,
    pub(super) held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Held {
    /// The node lives, or did within `ttl_ms`.
    Taken,
    /// The node has gone and said so.
    Released,
    /// Another node has seen it unchanged for longer than it holds.
    Broken,
}

impl Lease {
    pub(super) fn new(node: &str, boot: &str, ttl_ms: u64) -> Self {
        let (node, boot) = (node.to_owned(), boot.to_owned());
        Self { format: FORMAT, node, boot, renewals: 1, ttl_ms, held: Held::Taken }
    }

    pub(super) fn key(life: &str) -> String {
        format!("{LEASES}/{life}")
    }
}

/// Reads and writes records.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) bucket: Bucket,
    pub(super) seal: Arc<dyn Seal>,
}

/// A record and the state it was read from.
pub(super) struct Read<T> {
    pub(super) record: T,
    pub(super) version: Version,
}

impl Records {
    pub(super) fn new(bucket: Bucket, seal: &Arc<dyn Seal>) -> Self {
        let seal = if seal.seals() { Arc::clone(seal) } else { Arc::new(Checked) };
        Self { bucket, seal }
    }

    /// The bytes of a record.
    pub(super) fn encode<T: Serialize>(&self, key: &str, record: &T) -> Bytes {
        let plain = serde_json::to_vec(record).expect("records are plain data");
        Bytes::from(self.seal.seal(key, &plain))
    }

    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Read<T>>, Error> {
        let object = match self.bucket.get(key).await {
            Err(cairn_bucket::Error::Missing { .. }) => return Ok(None),
            other => other.map_err(|error| in_bucket("read a partition's record", &error))?,
        };
        let corrupt = |why: String| Error::Corrupt { what: key.to_owned(), offset: 0, why };
        let plain =
            self.seal.open(key, &object.bytes).map_err(|error| corrupt(error.to_string()))?;
        let format: Format =
            serde_json::from_slice(&plain).map_err(|why| corrupt(why.to_string()))?;
        if format.format != FORMAT {
            let why = format!("format {} is of a later version of this program", format.format);
            return Err(Error::Invalid { why: format!("{key}: {why}") });
        }
        let record = serde_json::from_slice(&plain).map_err(|why| corrupt(why.to_string()))?;
        Ok(Some(Read { record, version: object.version }))
    }

    /// The names of all partitions that there are or were, that are `prefix` or below it, in order.
    pub(super) async fn names(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        let below = format!("{OWNERS}/{prefix}");
        let parent = below.rsplit_once('/').map_or(OWNERS, |(parent, _)| parent);
        let heads = self.bucket.list(parent).map_ok(|head| head.key).try_collect::<Vec<_>>().await;
        let keys = heads.map_err(|error| in_bucket("list partitions", &error))?;
        let names = keys.iter().filter_map(|key| key.strip_prefix(OWNERS)?.strip_prefix('/'));
        let names = names.filter_map(|name| Name::new(name).ok());
        let mut found: Vec<Name> = names.filter(|name| name.is_below(prefix)).collect();
        found.sort();
        Ok(found)
    }

    /// Of those, the partitions that there are.
    pub(super) async fn there(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        let mut found = Vec::new();
        for name in self.names(prefix).await? {
            let owner = self.read::<Owner>(&Owner::key(&name)).await?;
            found.extend(owner.is_some_and(|owner| owner.record.is_there()).then_some(name));
        }
        Ok(found)
    }

    /// The state of a record; one whose view has been made for too long is given up.
    pub(super) async fn given_up(
        &self,
        name: &Name,
        found: &Read<Owner>,
        env: &Env,
    ) -> Result<State, Error> {
        let state = found.record.state;
        let now_ms = u64::try_from(env.clock.wall_ns() / 1_000_000).unwrap_or(0);
        let began_ms = found.record.making_ms.unwrap_or(0);
        if state != State::Making || now_ms.saturating_sub(began_ms) < MAKING_MS_MAX {
            return Ok(state);
        }
        let removed = Owner { state: State::Removed, ..found.record.clone() };
        let swapped = self.swap(&Owner::key(name), Some(&found.version), &removed).await?;
        Ok(swapped.map_or(state, |_| State::Removed))
    }

    /// Writes over the state that was read, or, for `None`, a record that is not there. `None`:
    /// somebody else was there first.
    pub(super) async fn swap<T: Serialize>(
        &self,
        key: &str,
        before: Option<&Version>,
        record: &T,
    ) -> Result<Option<Version>, Error> {
        let bytes = self.encode(key, record);
        let written = match before {
            Some(before) => self.bucket.replace(key, bytes, before).await,
            None => self.bucket.create(key, bytes).await,
        };
        match written {
            Ok(version) => Ok(Some(version)),
            Err(cairn_bucket::Error::Changed { .. } | cairn_bucket::Error::Exists { .. }) => {
                Ok(None)
            }
            Err(error) => Err(in_bucket("write a partition's record", &error)),
        }
    }
}

/// The life of a log as records have it.
pub(super) fn life_id(text: &str) -> Result<LifeId, Error> {
    let mut bytes = [0; 16];
    let why = |_| Error::Corrupt {
        what: String::from("the record of a partition"),
        offset: 0,
        why: format!("{text:?} is no life of a log"),
    };
    hex::decode_to_slice(text, &mut bytes).map_err(why)?;
    Ok(LifeId(bytes))
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// What the bucket's error is for us.
pub(crate) fn in_bucket(what: &'static str, error: &cairn_bucket::Error) -> Error {
    Error::Storage { what, why: error.to_string(), kind: error.kind() }
}
