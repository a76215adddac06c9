//! Pins: versions that a collection keeps although no tag may have them any more.
//!
//! Key: `pins/NAME`, an envelope of kind 8 around JSON: `roots`, each with its project.
//!
//! DATASETS-8 Every version that a pin names stays whole until the pin is taken away. The pin stands in
//! the bucket before the catalog is looked at, as an announcement does (DATASETS-1): when something was
//! swept since the refs were read, they are read again.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use bytes::Bytes;
use cairn_base::{ErrorKind, ProjectName};
use cairn_blocks::catalog::{SWAP_ATTEMPTS_MAX, pause};
use cairn_blocks::{CollectOptions, EnvelopeKind, Standing};
use cairn_chunk::ChunkId;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::local::Datasets;
use crate::refs::{REFS, RefState, target_of};

/// Where pins are.
const PINS: &str = "pins";
const READS_AT_ONCE: usize = 16;

/// The versions that a pin keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) roots: BTreeSet<(ProjectName, ChunkId)>,
}

/// A pin as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    roots: Vec<(String, String)>,
}

/// What a pin was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// The keys and bytes of all refs.
    pub refs: Vec<(String, Bytes)>,
    /// Tags among them.
    pub tags: u64,
    /// Versions that they have, each once.
    pub versions: u64,
}

fn pin_key(name: &str) -> String {
    format!("{PINS}/{name}")
}

impl Datasets {
    /// Pins every version that a tag has now, or had and remembers (DATASETS-8), and returns the refs.
    /// `name` is a part of a key.
    ///
    /// # Errors
    /// [`Error::Blocks`]; of the kind conflict when collections went on all the time.
    pub async fn pin(&self, name: &str) -> Result<Pinned, Error> {
        let key = pin_key(name);
        for attempt in 0..SWAP_ATTEMPTS_MAX {
            let session = self.blocks.session().await?;
            let (pinned, pin) = self.read_refs().await?;
            let text =
                |(project, root): &(ProjectName, ChunkId)| (project.to_string(), root.to_string());
            let stored = Stored { roots: pin.roots.iter().map(text).collect() };
            let bytes = self.refs.wrap(EnvelopeKind::Backup, &key, &stored);
            self.blocks.bucket().put(&key, bytes).await?;
            let standing = session.standing().await?;
            session.end().await?;
            if standing == Standing::Unswept {
                return Ok(pinned);
            }
            pause(self.blocks.env(), attempt).await;
        }
        let (object, attempts) = (key, SWAP_ATTEMPTS_MAX);
        Err(cairn_blocks::Error::Contended { object, attempts }.into())
    }

    /// Takes a pin away, if there is one.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn unpin(&self, name: &str) -> Result<(), Error> {
        Ok(self.blocks.bucket().delete(&pin_key(name)).await?)
    }

    /// Looks up all that a pin keeps. Returns how many versions that is.
    ///
    /// # Errors
    /// [`Error::Blocks`]: of the kind not found when there is no such pin, of the kind corrupt when
    /// something that it keeps is missing or damaged.
    pub async fn check_pin(&self, name: &str) -> Result<u64, Error> {
        let pin = self.load_pin(&pin_key(name)).await?;
        let options = CollectOptions { dry_run: true, ..CollectOptions::default() };
        let mut collection = self.blocks.collect(options).await?;
        self.mark_pin(&mut collection, &pin).await?;
        Ok(pin.roots.len() as u64)
    }

    /// All pins. One that is taken away meanwhile counts for nothing.
    pub(crate) async fn pins(&self) -> Result<Vec<Pin>, Error> {
        let keys = self.blocks.bucket().list(PINS).map_ok(|head| head.key);
        let mut pins = Vec::new();
        for key in keys.try_collect::<Vec<String>>().await? {
            match self.load_pin(&key).await {
                Ok(pin) => pins.push(pin),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pins)
    }

    async fn load_pin(&self, key: &str) -> Result<Pin, Error> {
        let object = self.blocks.bucket().get(key).await?;
        let stored: Stored = self.refs.open(EnvelopeKind::Backup, key, &object.bytes)?;
        let roots = stored.roots.iter().map(|(project, root)| {
            let root = ChunkId::from_hex(root);
            ProjectName::from_str(project).ok().zip(root)
        });
        let roots: Option<BTreeSet<_>> = roots.collect();
        let damaged = || {
            let detail = "it names what is no project or no chunk".to_owned();
            cairn_blocks::Error::Corrupt { object: key.to_owned(), offset: 0, detail }
        };
        Ok(Pin { roots: roots.ok_or_else(damaged)? })
    }

    async fn read_refs(&self) -> Result<(Pinned, Pin), Error> {
        let (mut pinned, mut pin) = (Pinned::default(), Pin::default());
        let bucket = self.blocks.bucket();
        let read = bucket.list(REFS).map(|head| async {
            let key = head?.key;
            let object = bucket.get(&key).await?;
            Ok::<_, Error>((key, object.bytes))
        });
        pinned.refs = read.buffer_unordered(READS_AT_ONCE).try_collect().await?;
        pinned.refs.sort();
        for (key, bytes) in &pinned.refs {
            let Some(target) = target_of(key) else { continue };
            let state: RefState = self.refs.open(EnvelopeKind::Ref, key, bytes)?;
            pinned.tags += u64::from(state.current.is_some());
            for version in state.current.iter().chain(&state.history) {
                pin.roots.insert((target.dataset.project.clone(), version.root));
            }
        }
        pinned.versions = pin.roots.len() as u64;
        Ok((pinned, pin))
    }
}
