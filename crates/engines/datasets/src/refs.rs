//! Refs: a small object per tag, moved by compare-and-swap, with its history.
//!
//! Key: `refs/PROJECT/NAME/TAG`, an envelope (`cairn_blocks::Sealer`) of kind 2 around JSON:
//! `current` (a version or null), `history` (newest first), `pending` (announced roots) and
//! `removed_ns`. A removed tag leaves its object behind, so that nobody can delete a tag that somebody
//! else has just made again: buckets have no conditional delete.
//!
//! DATASETS-1 A root that is about to be published stands in `pending` before the publisher looks at
//! the catalog (see `cairn_blocks::catalog`, BLOCKS-4). It becomes `current` in one swap that also
//! removes it from `pending`; when it was taken out of there, that swap cannot happen.

mod recent;

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;

use bytes::Bytes;
use cairn_base::{DatasetName, ErrorKind, ProjectName, TagName};
use cairn_blocks::catalog::{SWAP_ATTEMPTS_MAX, pause};
use cairn_blocks::{Blocks, EnvelopeKind, Finding, SessionId};
use cairn_bucket::Bucket;
use cairn_env::Env;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use self::recent::Recent;
pub use self::recent::TAG_AGE_MAX;
use crate::error::Error;
use crate::follow::Watches;
use crate::model::{Dataset, Rules, Tag, Target, Version};

/// Where refs are.
pub(crate) const REFS: &str = "refs";
/// The most superseded versions that a tag keeps, whatever the rules say.
pub const HISTORY_MAX: usize = 256;
/// The most publishers of one tag at a time.
const PENDING_MAX: usize = 64;
const READS_AT_ONCE: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    session: String,
    since_ns: i64,
    pub(crate) version: Version,
}

/// The content of a ref.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefState {
    pub(crate) current: Option<Version>,
    #[serde(default)]
    pub(crate) history: Vec<Version>,
    #[serde(default)]
    pub(crate) pending: Vec<Pending>,
    #[serde(default)]
    pub(crate) removed_ns: Option<i64>,
}

impl RefState {
    /// Makes an announced version the current one. Done twice it is done once: the answer of the first
    /// swap may have been lost.
    fn settle(&mut self, session: &str, version: &Version, on: Option<&On>) -> Settled {
        let Some(at) = self.pending.iter().position(|pending| pending.session == session) else {
            let mut all = self.current.iter().chain(&self.history);
            return if all.any(|settled| settled == version) {
                Settled::Done
            } else {
                Settled::Lost
            };
        };
        if on.is_some_and(|on| on.0 != self.current) {
            return Settled::Moved;
        }
        let version = self.pending.remove(at).version;
        if let Some(old) = self.current.replace(version) {
            self.history.insert(0, old);
            self.history.truncate(HISTORY_MAX);
        }
        self.removed_ns = None;
        Settled::Done
    }
}

/// Where a ref must still point when it moves; nowhere for one that is not there.
pub(crate) struct On(pub(crate) Option<Version>);

/// What came of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    Done,
    /// The announcement is gone.
    Lost,
    /// The ref points elsewhere than expected.
    Moved,
}

/// Says that a tag moved, or may have, whatever becomes of the swap and of who waits for it.
struct Moved<'a>(&'a Recent);

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        self.0.moved();
    }
}

/// Reads and moves refs.
#[derive(Clone)]
pub(crate) struct Refs {
    blocks: Blocks,
    recent: Arc<Recent>,
    watches: Watches,
}

pub(crate) fn ref_key(target: &Target) -> String {
    format!("refs/{}/{}/{}", target.dataset.project, target.dataset.name, target.tag)
}

fn settings_key(dataset: &Dataset) -> String {
    format!("settings/{}/{}", dataset.project, dataset.name)
}

/// The target that a ref's key names.
pub(crate) fn target_of(key: &str) -> Option<Target> {
    let mut parts = key.strip_prefix("refs/")?.split('/');
    let project = ProjectName::from_str(parts.next()?).ok()?;
    let name = DatasetName::from_str(parts.next()?).ok()?;
    let tag = TagName::from_str(parts.next()?).ok()?;
    parts.next().is_none().then_some(Target { dataset: Dataset { project, name }, tag })
}

impl Refs {
    pub(crate) fn new(blocks: Blocks) -> Self {
        Self { blocks, recent: Arc::new(Recent::new()), watches: Watches::default() }
    }

    pub(crate) fn env(&self) -> &Env {
        self.blocks.env()
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        self.blocks.bucket()
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.watches
    }

    fn now(&self) -> i64 {
        self.blocks.env().clock.wall_ns()
    }

    pub(crate) async fn load(
        &self,
        target: &Target,
    ) -> Result<Option<(RefState, cairn_bucket::Version)>, Error> {
        let key = ref_key(target);
        match self.blocks.bucket().get(&key).await {
            Ok(object) => {
                let state = self.open(EnvelopeKind::Ref, &key, &object.bytes)?;
                Ok(Some((state, object.version)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn open<T: serde::de::DeserializeOwned>(
        &self,
        kind: EnvelopeKind,
        key: &str,
        bytes: &[u8],
    ) -> Result<T, Error> {
        let payload = self.blocks.sealer().unwrap(kind, key, bytes)?;
        serde_json::from_slice(&payload).map_err(|error| {
            cairn_blocks::Error::Corrupt {
                object: key.to_owned(),
                offset: 0,
                detail: error.to_string(),
            }
            .into()
        })
    }

    pub(crate) fn wrap<T: Serialize>(&self, kind: EnvelopeKind, key: &str, value: &T) -> Bytes {
        let payload = serde_json::to_vec(value).expect("refs and rules are plain data");
        let rng = self.blocks.env().rng.as_ref();
        Bytes::from(self.blocks.sealer().wrap(kind, key, &payload, rng))
    }

    /// Changes a ref until a compare-and-swap succeeds; the closure's error changes nothing. The
    /// closure may see its own change: a swap whose answer was lost is tried again.
    pub(crate) async fn update<T>(
        &self,
        target: &Target,
        mut change: impl FnMut(&mut RefState) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let key = ref_key(target);
        for attempt in 0..SWAP_ATTEMPTS_MAX {
            let (mut state, version) = match self.load(target).await? {
                Some((state, version)) => (state, Some(version)),
                None => (RefState::default(), None),
            };
            let before = state.clone();
            let answer = change(&mut state)?;
            if state == before {
                return Ok(answer);
            }
            let bytes = self.wrap(EnvelopeKind::Ref, &key, &state);
            let bucket = self.blocks.bucket();
            let swapped = {
                let _moved = Moved(&self.recent);
                match &version {
                    Some(version) => bucket.replace(&key, bytes, version).await,
                    None => bucket.create(&key, bytes).await,
                }
            };
            match swapped {
                Ok(_) => {
                    if state.current != before.current {
                        self.watches.wake(target);
                    }
                    return Ok(answer);
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    pause(self.blocks.env(), attempt).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(cairn_blocks::Error::Contended { object: key, attempts: SWAP_ATTEMPTS_MAX }.into())
    }

    /// Announces a root (DATASETS-1).
    pub(crate) async fn announce(
        &self,
        target: &Target,
        session: SessionId,
        version: &Version,
    ) -> Result<(), Error> {
        let (session, since_ns) = (session.to_string(), self.now());
        self.update(target, |state| {
            if state.pending.len() >= PENDING_MAX {
                let what = "number of publishers of a tag at a time";
                return Err(Error::TooMany { what, max: PENDING_MAX as u64 });
            }
            state.pending.retain(|pending| pending.session != session);
            let version = version.clone();
            state.pending.push(Pending { session: session.clone(), since_ns, version });
            Ok(())
        })
        .await
    }

    /// Moves the ref to the announced root; with `on`, only from there.
    ///
    /// # Errors
    /// [`Error::Moved`] when it points elsewhere.
    pub(crate) async fn settle(
        &self,
        target: &Target,
        session: SessionId,
        version: &Version,
        on: Option<&On>,
    ) -> Result<(), Error> {
        let session = session.to_string();
        match self.update(target, |state| Ok(state.settle(&session, version, on))).await? {
            Settled::Done => Ok(()),
            Settled::Lost => Err(cairn_blocks::Error::SessionExpired.into()),
            Settled::Moved => Err(target.moved()),
        }
    }

    /// Takes an announcement back.
    pub(crate) async fn retract(&self, target: &Target, session: SessionId) -> Result<(), Error> {
        let session = session.to_string();
        self.update(target, |state| {
            state.pending.retain(|pending| pending.session != session);
            Ok(())
        })
        .await
    }

    /// Every ref below a project or of one dataset, removed ones too.
    pub(crate) async fn all(
        &self,
        project: Option<&ProjectName>,
        name: Option<&DatasetName>,
    ) -> Result<Vec<(Target, RefState)>, Error> {
        let mut states: Vec<(Target, RefState)> = self
            .targets(project, name)
            .map(|target| async {
                let target = target?;
                Ok(self.load(&target).await?.map(|(state, _)| (target, state)))
            })
            .buffer_unordered(READS_AT_ONCE)
            .try_filter_map(
                |found: Option<(Target, RefState)>| async move { Ok::<_, Error>(found) },
            )
            .try_collect()
            .await?;
        states.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(states)
    }

    /// Every ref of the bucket, or what is wrong with it.
    pub(crate) async fn checked(&self) -> Result<Vec<(Target, Result<RefState, Finding>)>, Error> {
        let loads = self.targets(None, None).map(|target| async { self.check(target?).await });
        let checked = loads.buffer_unordered(READS_AT_ONCE);
        let mut states: Vec<_> =
            checked.try_filter_map(|found| async move { Ok(found) }).try_collect().await?;
        states.sort_by(|a: &(Target, _), b| a.0.cmp(&b.0));
        Ok(states)
    }

    async fn check(
        &self,
        target: Target,
    ) -> Result<Option<(Target, Result<RefState, Finding>)>, Error> {
        let error = match self.load(&target).await {
            Ok(state) => return Ok(state.map(|(state, _)| (target, Ok(state)))),
            Err(error) => error,
        };
        let mut finding = error.into_finding(&ref_key(&target))?;
        finding.detail = format!("{}; `cairn rm {target}` removes the tag", finding.detail);
        Ok(Some((target, Err(finding))))
    }

    /// The states of a dataset's refs, unread.
    pub(crate) async fn heads(
        &self,
        dataset: &Dataset,
    ) -> Result<Vec<(Target, cairn_bucket::Version)>, Error> {
        let prefix = format!("refs/{}/{}", dataset.project, dataset.name);
        let listing = self.blocks.bucket().list(&prefix).map_err(Error::from);
        let heads = listing.try_filter_map(|head| async move {
            Ok(target_of(&head.key).map(|target| (target, head.version)))
        });
        heads.try_collect().await
    }

    /// What refs there are.
    pub(crate) fn targets(
        &self,
        project: Option<&ProjectName>,
        name: Option<&DatasetName>,
    ) -> impl Stream<Item = Result<Target, Error>> {
        let mut prefix = "refs".to_owned();
        if let Some(project) = project {
            prefix = format!("{prefix}/{project}");
            if let Some(name) = name {
                prefix = format!("{prefix}/{name}");
            }
        }
        let listing = self.blocks.bucket().list(&prefix).map_err(Error::from);
        listing.try_filter_map(|head| async move { Ok(target_of(&head.key)) })
    }

    /// The tags of a dataset that are not removed.
    pub(crate) async fn tags(&self, dataset: &Dataset) -> Result<Vec<Tag>, Error> {
        let states = self.all(Some(&dataset.project), Some(&dataset.name)).await?;
        let tags: Vec<Tag> =
            states.into_iter().filter_map(|(target, state)| tag(&target, state)).collect();
        if tags.is_empty() {
            return Err(Error::NoDataset { dataset: dataset.to_string() });
        }
        Ok(tags)
    }

    /// A tag's current version and history.
    pub(crate) async fn tag(&self, target: &Target) -> Result<Tag, Error> {
        let loaded = self.load(target).await?;
        loaded.and_then(|(state, _)| tag(target, state)).ok_or_else(|| Error::NoTag {
            dataset: target.dataset.to_string(),
            tag: target.tag.to_string(),
        })
    }

    /// Removes a tag with its history, also one whose ref is damaged.
    pub(crate) async fn remove(&self, target: &Target) -> Result<(), Error> {
        let now = self.now();
        if let Err(error) = self.load(target).await {
            error.into_finding(&ref_key(target))?;
            return self.bury(target).await;
        }
        let mut found = false;
        self.update(target, |state| {
            // Found before and gone now: this call removed it and lost the answer, or another did.
            if state.current.is_none() && found {
                return Ok(());
            }
            found = true;
            if state.current.is_none() {
                return Err(Error::NoTag {
                    dataset: target.dataset.to_string(),
                    tag: target.tag.to_string(),
                });
            }
            state.current = None;
            state.history.clear();
            state.removed_ns = Some(now);
            Ok(())
        })
        .await
    }

    /// Puts a removed tag in the place of a ref that cannot be read. Publishers that had announced
    /// themselves there find that out when they settle.
    async fn bury(&self, target: &Target) -> Result<(), Error> {
        let key = ref_key(target);
        let object = self.blocks.bucket().get(&key).await?;
        let removed = RefState { removed_ns: Some(self.now()), ..RefState::default() };
        let bytes = self.wrap(EnvelopeKind::Ref, &key, &removed);
        let _moved = Moved(&self.recent);
        self.blocks.bucket().replace(&key, bytes, &object.version).await?;
        self.watches.wake(target);
        Ok(())
    }

    /// Drops announcements of publishers that were silent for `age_ns`.
    pub(crate) async fn drop_stale(&self, target: &Target, age_ns: i64) -> Result<(), Error> {
        let limit = self.now().saturating_sub(age_ns);
        self.update(target, |state| {
            state.pending.retain(|pending| pending.since_ns >= limit);
            Ok(())
        })
        .await
    }

    pub(crate) async fn rules(&self, dataset: &Dataset) -> Result<Rules, Error> {
        let key = settings_key(dataset);
        match self.blocks.bucket().get(&key).await {
            Ok(object) => self.open(EnvelopeKind::Settings, &key, &object.bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Rules::default()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn set_rules(&self, dataset: &Dataset, rules: &Rules) -> Result<(), Error> {
        let key = settings_key(dataset);
        self.blocks.bucket().put(&key, self.wrap(EnvelopeKind::Settings, &key, rules)).await?;
        Ok(())
    }
}

fn tag(target: &Target, state: RefState) -> Option<Tag> {
    let current = state.current?;
    Some(Tag { tag: target.tag.to_string(), current, history: state.history })
}

/// Groups refs by dataset, without removed ones.
pub(crate) fn by_dataset(states: Vec<(Target, RefState)>) -> BTreeMap<Dataset, Vec<Tag>> {
    let mut datasets: BTreeMap<Dataset, Vec<Tag>> = BTreeMap::new();
    for (target, state) in states {
        if let Some(tag) = tag(&target, state) {
            datasets.entry(target.dataset).or_default().push(tag);
        }
    }
    datasets
}
