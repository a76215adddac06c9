//! Holds: what a collection keeps although no tag and no pin may name it any more.
//!
//! Key: `holds/NAME`, an envelope of kind 9 around JSON: the roots of versions and of pinned contents,
//! each with its project.
//!
//! DATASETS-8 All that a hold names stays whole until the hold is taken away. The hold stands in the
//! bucket before the catalog is looked at, as an announcement does (DATASETS-1): when something was swept
//! since the refs were read, they are read again.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use bytes::Bytes;
use cairn_base::{ErrorKind, ProjectName};
use cairn_blocks::catalog::{SWAP_ATTEMPTS_MAX, pause};
use cairn_blocks::{CollectOptions, Collection, EnvelopeKind, Session, Standing};
use cairn_chunk::ChunkId;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::local::Datasets;
use crate::maintain::Reached;
use crate::pins;
use crate::refs::{REFS, RefState, target_of};

/// Where holds are.
const HOLDS: &str = "holds";
const READS_AT_ONCE: usize = 16;
/// How often a check begins anew because a collection ran beside it.
const CHECKS_MAX: u32 = 4;

/// A root, and the project that it is in.
type Root = (ProjectName, ChunkId);

/// What a hold names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    /// Of versions.
    pub(crate) versions: BTreeSet<Root>,
    /// Of contents that pins kept. One that was being written may lack something.
    pub(crate) values: BTreeSet<Root>,
}

/// A hold as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    versions: Vec<(String, String)>,
    values: Vec<(String, String)>,
}

/// What a hold was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The keys and bytes of all refs.
    pub refs: BTreeMap<String, Bytes>,
    /// The keys and bytes of all pins.
    pub pins: BTreeMap<String, Bytes>,
    /// Tags among the refs.
    pub tags: u64,
    /// Versions that they have, each once.
    pub versions: u64,
    hold: Hold,
    /// Of the hold in the bucket.
    version: Option<cairn_bucket::Version>,
}

fn hold_key(name: &str) -> String {
    format!("{HOLDS}/{name}")
}

impl Datasets {
    /// Holds every version that a tag has now, or had and remembers, and every pinned content
    /// (DATASETS-8), with what was held `before`, and returns them. `name` is a part of a key.
    ///
    /// # Errors
    /// [`Error::Blocks`]: of the kind conflict when the hold of before was taken away, or collections
    /// deleted what was about to be held again and again.
    pub async fn hold(&self, name: &str, before: Held) -> Result<Held, Error> {
        let key = hold_key(name);
        let mut version = before.version.clone();
        for attempt in 0..SWAP_ATTEMPTS_MAX {
            let session = self.blocks.session().await?;
            let mut held = self.read_all(before.clone()).await?;
            let bytes = self.refs.wrap(EnvelopeKind::Backup, &key, &Stored::of(&held.hold));
            let bucket = self.blocks.bucket();
            version = Some(match &version {
                Some(version) => bucket.replace(&key, bytes, version).await?,
                None => bucket.create(&key, bytes).await?,
            });
            let whole = self.is_whole(&session, &held.hold).await?;
            session.end().await?;
            if whole {
                held.version = version;
                return Ok(held);
            }
            pause(self.blocks.env(), attempt).await;
        }
        let (object, attempts) = (key, SWAP_ATTEMPTS_MAX);
        Err(cairn_blocks::Error::Contended { object, attempts }.into())
    }

    /// After the hold is in the bucket: whether nothing that it names is missing or about to go. Without
    /// a sweep since the session began that needs no look.
    async fn is_whole(&self, session: &Session, hold: &Hold) -> Result<bool, Error> {
        if session.standing().await? == Standing::Unswept {
            return Ok(true);
        }
        for (project, root) in hold.versions.iter().chain(&hold.values) {
            match self.check_complete(project, *root, &[]).await {
                Err(Error::Incomplete { .. }) => return Ok(false),
                other => other?,
            }
        }
        Ok(true)
    }

    /// Whether a hold stands as [`Datasets::hold`] left it.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn is_held(&self, name: &str, held: &Held) -> Result<bool, Error> {
        match self.blocks.bucket().head(&hold_key(name)).await {
            Ok(head) => Ok(held.version.as_ref().is_some_and(|version| *version == head.version)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a hold away, if there is one.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn let_go(&self, name: &str) -> Result<(), Error> {
        Ok(self.blocks.bucket().delete(&hold_key(name)).await?)
    }

    /// The names of all holds.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn hold_names(&self) -> Result<Vec<String>, Error> {
        let below = format!("{HOLDS}/");
        let keys = self.blocks.bucket().list(HOLDS).map_ok(|head| head.key);
        let keys: Vec<String> = keys.try_collect().await?;
        Ok(keys.iter().filter_map(|key| Some(key.strip_prefix(&below)?.to_owned())).collect())
    }

    /// Looks up all that a hold names. Returns how many versions that is.
    ///
    /// # Errors
    /// [`Error::Blocks`]: of the kind not found when there is no such hold, of the kind corrupt when
    /// something that it names is missing or damaged.
    pub async fn check_hold(&self, name: &str) -> Result<u64, Error> {
        let hold = self.load_hold(&hold_key(name)).await?;
        let options = CollectOptions { dry_run: true, ..CollectOptions::default() };
        for attempt in 1.. {
            let mut collection = self.blocks.collect(options).await?;
            match self.mark_held(&mut collection, &hold, Reached::Published).await {
                // A collection replaced a run that this one was reading.
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < CHECKS_MAX => {}
                other => return other.map(|()| hold.versions.len() as u64),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Marks all that holds name (DATASETS-8). One that is taken away meanwhile counts for nothing.
    pub(crate) async fn mark_holds(&self, collection: &mut Collection) -> Result<(), Error> {
        for name in self.hold_names().await? {
            match self.load_hold(&hold_key(&name)).await {
                // One whose content was being written may lack something.
                Ok(hold) => self.mark_held(collection, &hold, Reached::Announced).await?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn mark_held(
        &self,
        collection: &mut Collection,
        hold: &Hold,
        values: Reached,
    ) -> Result<(), Error> {
        let versions = hold.versions.iter().map(|held| (held, Reached::Published));
        let values = hold.values.iter().map(|held| (held, values));
        for ((project, root), from) in versions.chain(values) {
            self.mark(collection, &self.key(project), *root, from).await?;
        }
        Ok(())
    }

    async fn load_hold(&self, key: &str) -> Result<Hold, Error> {
        let object = self.blocks.bucket().get(key).await?;
        let stored: Stored = self.refs.open(EnvelopeKind::Backup, key, &object.bytes)?;
        let hold = stored.versions_and_values();
        hold.ok_or_else(|| {
            let detail = "it names what is no project or no chunk".to_owned();
            cairn_blocks::Error::Corrupt { object: key.to_owned(), offset: 0, detail }.into()
        })
    }

    /// Refs and pins as they are now, and with `before` pins that were.
    async fn read_all(&self, before: Held) -> Result<Held, Error> {
        let mut held = Held { refs: self.objects(REFS).await?, ..before };
        held.pins.extend(self.objects(pins::PREFIX).await?);
        held.tags = 0;
        for (key, bytes) in &held.refs {
            let Some(target) = target_of(key) else { continue };
            let state: RefState = self.refs.open(EnvelopeKind::Ref, key, bytes)?;
            held.tags += u64::from(state.current.is_some());
            for version in state.current.iter().chain(&state.history) {
                held.hold.versions.insert((target.dataset.project.clone(), version.root));
            }
        }
        for (key, bytes) in &held.pins {
            let Some((of, _)) = pins::parse(key) else { continue };
            let pin: pins::Pin = self.refs.open(EnvelopeKind::Pin, key, bytes)?;
            held.hold.values.insert((of.project, pins::root_of(&pin, key)?));
        }
        held.versions = held.hold.versions.len() as u64;
        Ok(held)
    }

    async fn objects(&self, prefix: &str) -> Result<BTreeMap<String, Bytes>, Error> {
        let bucket = self.blocks.bucket();
        let reads = bucket.list(prefix).map(|head| async {
            let key = head?.key;
            match bucket.get(&key).await {
                Ok(object) => Ok(Some((key, object.bytes))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::from(error)),
            }
        });
        let found = reads.buffer_unordered(READS_AT_ONCE);
        found.try_filter_map(|found| async move { Ok(found) }).try_collect().await
    }
}

impl Stored {
    fn of(hold: &Hold) -> Self {
        let text = |(project, root): &Root| (project.to_string(), root.to_string());
        let texts = |roots: &BTreeSet<Root>| roots.iter().map(text).collect();
        Self { versions: texts(&hold.versions), values: texts(&hold.values) }
    }

    fn versions_and_values(&self) -> Option<Hold> {
        let root = |(project, root): &(String, String)| {
            Some((ProjectName::from_str(project).ok()?, ChunkId::from_hex(root)?))
        };
        let roots = |texts: &[(String, String)]| texts.iter().map(root).collect::<Option<_>>();
        Some(Hold { versions: roots(&self.versions)?, values: roots(&self.values)? })
    }
}
