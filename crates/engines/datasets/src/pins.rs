//! Contents that belong to no version: each is stored as a file of a push is, and kept by a pin.
//!
//! Key: `values/PROJECT/NAME/ID`, an envelope of kind 8 around JSON ([`Pin`]). Its root is that of a tree
//! with one file, so that collection, verification and reading know nothing new. Who pins says in
//! [`Pin::owner`] whose content it is, and when nobody can read it any more removes the pin: the next
//! collections take what it alone reached.
//!
//! DATASETS-1 A pin is announcement and publication in one: it is there before its writer looks at the
//! catalog, and it is handed out after that. A collector cannot tell one from the other, so it marks all
//! that a pin reaches and takes none that lacks something for a loss; [`Datasets::verify`] does.
//!
//! A writer that dies before it has pinned leaves chunks that a collection removes; one that dies after it
//! leaves a pin that its owner does not know of, see KV-5.

mod write;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::EnvelopeKind;
use cairn_chunk::ChunkId;
use cairn_tree::Kind;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use crate::content::ContentStream;
use crate::error::Error;
use crate::local::Datasets;
use crate::model::Dataset;
use crate::pages::Browser;

pub use self::write::PinWriter;

/// What pins are below.
pub(crate) const PREFIX: &str = "values";
/// The only name in the tree of a pin.
const FILE: &[u8] = b"value";
const READS_AT_ONCE: usize = 16;

/// The name of a pin: 128 random bits, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PinId(pub [u8; 16]);

impl PinId {
    /// Parses 32 hexadecimal digits.
    fn from_hex(text: &str) -> Option<Self> {
        cairn_blocks::pack::PackId::from_hex(text).map(|id| Self(id.0))
    }
}

impl fmt::Display for PinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Since when a pin's owner does not need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condemned {
    /// The owner's state that does not need it, by the owner's count.
    pub at: u64,
    /// When that was found, in milliseconds since 1970.
    pub since_ms: u64,
}

/// What a pin says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The root of its tree, in hexadecimal.
    root: String,
    /// The length of the content, in bytes.
    pub len: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Whose content it is, as its owner says it.
    pub owner: String,
    /// Whether the owner needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Condemned>,
    /// The pin that its owner's copy knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copy_of: Option<String>,
}

impl Pin {
    /// What its owner knows it by, of the pin that is called `id`.
    #[must_use]
    pub fn id(&self, id: PinId) -> PinId {
        self.copy_of.as_deref().and_then(PinId::from_hex).unwrap_or(id)
    }
}

/// A content that a pin keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Its pin.
    pub id: PinId,
    /// The root of its tree.
    pub root: ChunkId,
    /// Its length, in bytes.
    pub len: u64,
}

fn key(of: &Dataset, id: PinId) -> String {
    format!("{PREFIX}/{}/{}/{id}", of.project, of.name)
}

pub(crate) fn parse(key: &str) -> Option<(Dataset, PinId)> {
    let mut parts = key.strip_prefix(PREFIX)?.strip_prefix('/')?.split('/');
    let project = parts.next()?.parse().ok()?;
    let name = parts.next()?.parse().ok()?;
    let id = PinId::from_hex(parts.next()?)?;
    parts.next().is_none().then_some((Dataset { project, name }, id))
}

impl Datasets {
    /// All pins, in the order of their datasets.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn pins(&self) -> Result<Vec<(Dataset, PinId)>, Error> {
        self.pins_below(PREFIX).await
    }

    /// The pins of one dataset.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn pins_of(&self, of: &Dataset) -> Result<Vec<(Dataset, PinId)>, Error> {
        self.pins_below(&format!("{PREFIX}/{}/{}", of.project, of.name)).await
    }

    async fn pins_below(&self, prefix: &str) -> Result<Vec<(Dataset, PinId)>, Error> {
        let heads = self.blocks.bucket().list(prefix);
        let found = heads.try_filter_map(|head| futures::future::ok(parse(&head.key)));
        let mut pins: Vec<_> = found.try_collect().await?;
        pins.sort();
        Ok(pins)
    }

    /// What a pin says, and its version for [`Datasets::condemn`]; none when it is not there.
    ///
    /// # Errors
    /// [`Error::Bucket`]; [`Error::Blocks`] with a corrupt kind.
    pub async fn pin(
        &self,
        of: &Dataset,
        id: PinId,
    ) -> Result<Option<(Pin, cairn_bucket::Version)>, Error> {
        let key = key(of, id);
        match self.blocks.bucket().get(&key).await {
            Ok(object) => {
                let pin: Pin = self.refs.open(EnvelopeKind::Pin, &key, &object.bytes)?;
                root_of(&pin, &key)?;
                Ok(Some((pin, object.version)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers whether its owner needs a pin. One that was changed or removed since it was read stays
    /// as it is.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn condemn(
        &self,
        of: &Dataset,
        id: PinId,
        read: (Pin, cairn_bucket::Version),
        condemned: Option<Condemned>,
    ) -> Result<(), Error> {
        let (pin, version) = read;
        let key = key(of, id);
        let bytes = self.refs.wrap(EnvelopeKind::Pin, &key, &Pin { condemned, ..pin });
        match self.blocks.bucket().replace(&key, bytes, &version).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a pin. Who reads its content now may be told that it is gone.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn unpin(&self, of: &Dataset, id: PinId) -> Result<(), Error> {
        Ok(self.blocks.bucket().delete(&key(of, id)).await?)
    }

    /// Keeps what a pin of `of` keeps by a new one of `to` too: of a dataset in the same project, whose chunks
    /// it shares. None when there is nothing to keep any more.
    ///
    /// # Errors
    /// [`Error::Bucket`]; [`Error::Blocks`] with a corrupt kind.
    pub async fn pin_too(
        &self,
        of: &Dataset,
        id: PinId,
        to: &Dataset,
    ) -> Result<Option<PinId>, Error> {
        debug_assert_eq!(of.project, to.project, "chunks are shared in a project");
        let Some((pin, _)) = self.pin(of, id).await? else { return Ok(None) };
        let copy_of = Some(pin.id(id).to_string());
        let made = self.pin_as(to, Pin { made_ms: self.now_ms(), condemned: None, copy_of, ..pin });
        let made = made.await?;
        // Whoever has marked before this one was there has seen the other (DATASETS-1): it is there yet.
        if self.pin(of, id).await?.is_none() {
            self.unpin(to, made).await?;
            return Ok(None);
        }
        Ok(Some(made))
    }

    /// The bytes `range` of a content that a pin of `of` keeps. The range must lie inside it.
    ///
    /// # Errors
    /// [`Error::Blocks`], [`Error::Tree`]; of a kind that is `NotFound` when the pin was removed and its
    /// chunks are gone.
    pub async fn pinned(
        &self,
        of: &Dataset,
        pinned: &Pinned,
        range: Range<u64>,
    ) -> Result<ContentStream, Error> {
        let browser = Browser::warm(self, of.clone());
        let root = browser.root(pinned.root).await?;
        let found = browser.lookup(&root, &[FILE.to_vec()]).await?;
        let Some(Kind::File { content }) = found.map(|entry| entry.kind) else {
            return Err(cairn_tree::Error::Child { what: "file of a pin" }.into());
        };
        if content.len != pinned.len {
            return Err(cairn_tree::Error::Child { what: "length of a pin" }.into());
        }
        Ok(browser.content(&content, range).await?.reading_ahead())
    }

    /// The pins with their roots, as they can be read.
    pub(crate) async fn pin_roots(
        &self,
    ) -> Result<Vec<(Dataset, PinId, Result<ChunkId, Error>)>, Error> {
        let pins = self.pins().await?.into_iter();
        let reads = pins.map(|(of, id)| async move {
            let root = match self.pin(&of, id).await {
                Ok(None) => return None,
                Ok(Some((pin, _))) => root_of(&pin, &key(&of, id)),
                Err(error) => Err(error),
            };
            Some((of, id, root))
        });
        let reads: Vec<_> = reads.collect();
        let found = futures::stream::iter(reads).buffered(READS_AT_ONCE);
        Ok(found.filter_map(futures::future::ready).collect().await)
    }

    /// Keeps a content by a new pin, before its writer looks at the catalog.
    async fn pin_new(
        &self,
        of: &Dataset,
        root: ChunkId,
        len: u64,
        owner: &str,
    ) -> Result<Pinned, Error> {
        let pin = Pin {
            root: root.to_string(),
            len,
            made_ms: self.now_ms(),
            owner: owner.to_owned(),
            condemned: None,
            copy_of: None,
        };
        Ok(Pinned { id: self.pin_as(of, pin).await?, root, len })
    }

    async fn pin_as(&self, of: &Dataset, pin: Pin) -> Result<PinId, Error> {
        let mut id = PinId([0; 16]);
        self.blocks.env().rng.fill(&mut id.0);
        let key = key(of, id);
        let bytes: Bytes = self.refs.wrap(EnvelopeKind::Pin, &key, &pin);
        self.blocks.bucket().create(&key, bytes).await?;
        Ok(id)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.blocks.env().clock.wall_ns() / 1_000_000).unwrap_or(0)
    }
}

/// The key of a pin in the bucket, for messages.
pub(crate) fn shown(of: &Dataset, id: PinId) -> String {
    key(of, id)
}

pub(crate) fn root_of(pin: &Pin, key: &str) -> Result<ChunkId, Error> {
    ChunkId::from_hex(&pin.root).ok_or_else(|| {
        let (object, detail) = (key.to_owned(), "a pin names no root".to_owned());
        cairn_blocks::Error::Corrupt { object, offset: 0, detail }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_pins() {
        let of = Dataset { project: "p".parse().unwrap(), name: "n-1.x".parse().unwrap() };
        let id = PinId([7; 16]);
        assert_eq!(parse(&key(&of, id)), Some((of, id)));
        let hex = "07".repeat(16);
        for other in ["values/p/n", "refs/p/n/x", "values/p/n/zz", &format!("values/p/n/{hex}/x")] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
