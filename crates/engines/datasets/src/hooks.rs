//! Webhooks: a request to an address of the user for every move of a tag, at least once.
//!
//! Key: `hooks/PROJECT/NAME/ID`, an envelope of kind 4 around JSON: what the hook is, its secret, for
//! each tag the state that was told last (`seen`, by [`Version::id`](crate::Version::id)), the failures
//! since, and who delivers (`lease`). It changes by compare-and-swap and is deleted to remove it; a
//! delivery never makes it again.
//!
//! DATASETS-6 An event is told until its receiver takes it: `seen` moves only after that. Its id
//! follows from the hook and the move, so that a receiver that was told twice can know. What is to be
//! told stands in the ref's history, so a hub that was killed loses nothing, and events are lost only
//! with versions that retention removes before their receiver is there again.
//!
//! The lease keeps several hubs from telling the same thing over and over. It rests on their clocks and
//! is no part of the promise: two that deliver at a time tell an event twice.

mod deliver;
mod event;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::{ErrorKind, ProjectName};
use cairn_blocks::EnvelopeKind;
use cairn_blocks::catalog::{SWAP_ATTEMPTS_MAX, pause};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

pub use deliver::HookRunner;

use crate::error::Error;
use crate::local::Datasets;
use crate::model::Dataset;
use crate::refs::Refs;

/// Hooks of one dataset.
pub const HOOKS_PER_DATASET_MAX: usize = 16;
/// Hooks of a bucket.
pub const HOOKS_MAX: usize = 1000;
/// The longest address of a hook, in bytes.
pub const HOOK_URL_BYTES_MAX: usize = 2048;
/// The longest pattern of tags, in bytes.
pub const HOOK_TAGS_BYTES_MAX: usize = 256;
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const PREFIX: &str = "hooks";

/// A webhook of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Its id, 16 hexadecimal digits.
    pub id: String,
    /// Where requests go.
    pub url: String,
    /// Which tags it is about, with `*` for any characters.
    pub tags: String,
    /// Who made it.
    pub created_by: String,
    /// When, in nanoseconds since 1970 UTC.
    pub created_ns: i64,
    /// Failed attempts since the last delivery.
    #[serde(default)]
    pub failures: u32,
    /// Why the last attempt failed.
    #[serde(default)]
    pub error: Option<String>,
    /// When it is tried again, in nanoseconds since 1970 UTC.
    #[serde(default)]
    pub next_try_ns: Option<i64>,
}

/// What is carried to a receiver.
#[derive(Clone)]
pub struct Parcel {
    /// The project that it is from.
    pub project: ProjectName,
    /// Where to.
    pub url: String,
    /// The event's id.
    pub id: String,
    /// The event, as JSON.
    pub body: Bytes,
    /// What it is signed with.
    pub secret: Vec<u8>,
}

/// Carries parcels to their receivers.
#[async_trait]
pub trait Courier: Send + Sync + 'static {
    /// Carries one, within a bounded time. Returns when the receiver has taken it.
    ///
    /// # Errors
    /// Why the receiver did not, for people.
    async fn carry(&self, parcel: &Parcel) -> Result<(), String>;
}

/// Who delivers for a hook, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lease {
    holder: String,
    until_ns: i64,
}

/// The content of a hook's object.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookState {
    hook: Hook,
    /// In hexadecimal.
    secret: String,
    /// The state of each tag that was told last; a tag that is not here was not there.
    seen: BTreeMap<String, String>,
    #[serde(default)]
    lease: Option<Lease>,
}

impl HookState {
    fn secret(&self) -> Vec<u8> {
        let pairs = self.secret.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        pairs.filter_map(byte).collect()
    }
}

fn prefix(dataset: &Dataset) -> String {
    format!("{PREFIX}/{}/{}", dataset.project, dataset.name)
}

fn key(dataset: &Dataset, id: &str) -> String {
    format!("{}/{id}", prefix(dataset))
}

/// Whether a tag fits a pattern with `*` for any characters.
fn fits(pattern: &str, tag: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = tag.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

fn check_url(text: &str) -> Result<(), Error> {
    if text.len() > HOOK_URL_BYTES_MAX {
        let max = HOOK_URL_BYTES_MAX as u64;
        return Err(Error::TooMany { what: "length of a hook's address", max });
    }
    let bad = |why: &str| Err(Error::invalid(format!("{text:?} is no address of a hook: {why}")));
    let Ok(url) = url::Url::parse(text) else { return bad("give all of it, with https://") };
    if !matches!(url.scheme(), "http" | "https") {
        return bad("it begins with https:// or http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("it holds a password; receivers check the signature instead");
    }
    Ok(())
}

fn check_tags(pattern: &str) -> Result<(), Error> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte);
    if pattern.is_empty() || pattern.len() > HOOK_TAGS_BYTES_MAX || !pattern.bytes().all(fine) {
        let detail = format!("{pattern:?} names no tags; write names with `*` for any characters");
        return Err(Error::invalid(detail));
    }
    Ok(())
}

fn check_id(id: &str) -> Result<(), Error> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if id.len() == 2 * ID_BYTES && id.bytes().all(hex) {
        return Ok(());
    }
    Err(Error::NoHook { id: id.chars().take(64).collect() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all text");
        text
    })
}

impl Datasets {
    /// Makes a hook of a dataset, and returns its secret, which is not shown again. It is told moves
    /// from now on.
    ///
    /// # Errors
    /// [`Error::NoDataset`]; [`Error::Invalid`] for an address or a pattern that is none;
    /// [`Error::TooMany`].
    pub async fn add_hook(
        &self,
        dataset: &Dataset,
        url: &str,
        tags: &str,
        by: &str,
    ) -> Result<(Hook, Vec<u8>), Error> {
        check_url(url)?;
        check_tags(tags)?;
        let there = self.refs.tags(dataset).await?;
        let all = self.refs.hook_keys("").await?;
        let below = format!("{}/", prefix(dataset));
        let of_dataset = all.iter().filter(|key| key.starts_with(&below)).count();
        if all.len() >= HOOKS_MAX {
            return Err(Error::TooMany { what: "number of hooks", max: HOOKS_MAX as u64 });
        }
        if of_dataset >= HOOKS_PER_DATASET_MAX {
            let max = HOOKS_PER_DATASET_MAX as u64;
            return Err(Error::TooMany { what: "number of hooks of a dataset", max });
        }
        let mut random = [0; ID_BYTES + SECRET_BYTES];
        self.refs.env().rng.fill(&mut random);
        let (id, secret) = random.split_at(ID_BYTES);
        let seen = there.iter().filter(|tag| fits(tags, &tag.tag));
        let hook = Hook {
            id: hex(id),
            url: url.to_owned(),
            tags: tags.to_owned(),
            created_by: by.to_owned(),
            created_ns: self.refs.env().clock.wall_ns(),
            failures: 0,
            error: None,
            next_try_ns: None,
        };
        let state = HookState {
            hook: hook.clone(),
            secret: hex(secret),
            seen: seen.map(|tag| (tag.tag.clone(), tag.current.id())).collect(),
            lease: None,
        };
        let key = key(dataset, &hook.id);
        let bytes = self.refs.wrap(EnvelopeKind::Settings, &key, &state);
        self.refs.bucket().create(&key, bytes).await?;
        self.refs.watches().changed();
        Ok((hook, secret.to_vec()))
    }

    /// The hooks of a dataset, the oldest first.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Blocks`].
    pub async fn hooks(&self, dataset: &Dataset) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        for key in self.refs.hook_keys(&prefix(dataset)).await? {
            if let Some((state, _)) = self.refs.load_hook(&key).await? {
                hooks.push(state.hook);
            }
        }
        hooks.sort_by(|a, b| (a.created_ns, &a.id).cmp(&(b.created_ns, &b.id)));
        Ok(hooks)
    }

    /// Removes a hook.
    ///
    /// # Errors
    /// [`Error::NoHook`].
    pub async fn remove_hook(&self, dataset: &Dataset, id: &str) -> Result<(), Error> {
        let (key, _) = self.hook(dataset, id).await?;
        self.refs.bucket().delete(&key).await?;
        Ok(())
    }

    /// Tells a hook an event of the type `test`, once and now.
    ///
    /// # Errors
    /// [`Error::NoHook`]; [`Error::Undelivered`] with what the receiver did.
    pub async fn test_hook(
        &self,
        dataset: &Dataset,
        id: &str,
        courier: &dyn Courier,
    ) -> Result<(), Error> {
        let (_, state) = self.hook(dataset, id).await?;
        let parcel = event::test(dataset, &state, self.refs.env());
        courier.carry(&parcel).await.map_err(|detail| Error::Undelivered { detail })
    }

    async fn hook(&self, dataset: &Dataset, id: &str) -> Result<(String, HookState), Error> {
        check_id(id)?;
        let key = key(dataset, id);
        match self.refs.load_hook(&key).await? {
            Some((state, _)) => Ok((key, state)),
            None => Err(Error::NoHook { id: id.to_owned() }),
        }
    }
}

impl Refs {
    /// The keys of hooks below a prefix; of all when it is empty.
    async fn hook_keys(&self, below: &str) -> Result<Vec<String>, Error> {
        let prefix = if below.is_empty() { PREFIX } else { below };
        Ok(self.bucket().list(prefix).map_ok(|head| head.key).try_collect().await?)
    }

    async fn load_hook(
        &self,
        key: &str,
    ) -> Result<Option<(HookState, cairn_bucket::Version)>, Error> {
        match self.bucket().get(key).await {
            Ok(object) => {
                let state = self.open(EnvelopeKind::Settings, key, &object.bytes)?;
                Ok(Some((state, object.version)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes a hook until a compare-and-swap succeeds, and returns what it is then; none when it is
    /// not there or the closure does not want to.
    async fn update_hook(
        &self,
        key: &str,
        mut change: impl FnMut(&mut HookState) -> bool + Send,
    ) -> Result<Option<HookState>, Error> {
        for attempt in 0..SWAP_ATTEMPTS_MAX {
            let Some((mut state, version)) = self.load_hook(key).await? else { return Ok(None) };
            let before = state.clone();
            if !change(&mut state) {
                return Ok(None);
            }
            if state == before {
                return Ok(Some(state));
            }
            let bytes = self.wrap(EnvelopeKind::Settings, key, &state);
            match self.bucket().replace(key, bytes, &version).await {
                Ok(_) => return Ok(Some(state)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    pause(self.env(), attempt).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let object = key.to_owned();
        Err(cairn_blocks::Error::Contended { object, attempts: SWAP_ATTEMPTS_MAX }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_tags() {
        for (pattern, tag, fit) in [
            ("*", "v1", true),
            ("v1", "v1", true),
            ("v1", "v12", false),
            ("v*", "v12", true),
            ("*-rc", "v1-rc", true),
            ("*-rc", "v1-rc2", false),
            ("v*-rc*", "v1-rc2", true),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(fits(pattern, tag), fit, "{pattern} {tag}");
        }
        for bad in ["", "a b", "a/b", &"a".repeat(300)] {
            assert!(check_tags(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_http_and_hold_no_password() {
        for good in ["https://example.org/hook?x=1", "http://127.0.0.1:8080/"] {
            check_url(good).unwrap();
        }
        let long = format!("https://x/{}", "a".repeat(3000));
        for bad in ["", "example.org", "ftp://x/", "file:///etc/passwd", "https://u:p@x/", &long] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
