//! The face that commands are written against: the engine itself, or a node in front of it.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_partition::{
    At, Changes, Commit, Committed, Durable, Entry, KeyRange, Page, Scan, Seq, Settings,
};
use futures::Stream;
use serde::{Deserialize, Serialize};

use crate::{Error, Imported, Info, Namespace, Value};

/// Pieces of lines of entries, or of a value.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Changes as they come. The first item has none: it tells the position that the watch begins after.
pub type Watch = Pin<Box<dyn Stream<Item = Result<Changes, Error>> + Send>>;

/// When a put is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Only {
    /// In any case.
    #[default]
    Always,
    /// When the key is absent.
    Absent,
    /// When this commit was the last to write the key.
    Seq(Seq),
}

/// A value for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// How long it lives; for ever without.
    pub ttl: Option<Duration>,
    /// When it is made.
    pub only: Only,
    /// A level above the namespace's.
    pub durable: Option<Durable>,
}

/// Settings to change; what is none stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// When changes are acknowledged, at the least.
    pub durable: Option<Durable>,
    /// For how long what was overwritten or deleted stays readable, in milliseconds.
    pub history_ms: Option<u64>,
}

impl SettingsChange {
    /// The settings after the change.
    #[must_use]
    pub fn of(self, settings: Settings) -> Settings {
        Settings {
            durable: self.durable.unwrap_or(settings.durable),
            history_ms: self.history_ms.unwrap_or(settings.history_ms),
        }
    }
}

/// What the end of a key was set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The commit that did.
    pub seq: Seq,
    /// When the key is over, in milliseconds since 1970; never when none.
    pub expires_ms: Option<u64>,
}

/// Namespaces, wherever they are. [`crate::Kv`] is the model of what each call promises.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// As [`crate::Kv::create`].
    async fn create(&self, of: &Namespace, settings: SettingsChange) -> Result<Info, Error>;
    /// As [`crate::Kv::clone_to`].
    async fn clone_to(&self, of: &Namespace, to: &Namespace) -> Result<Info, Error>;
    /// As [`crate::Kv::change`].
    async fn change(&self, of: &Namespace, settings: SettingsChange) -> Result<Info, Error>;
    /// As [`crate::Kv::list`]; from a node, those that the caller may read.
    async fn list(&self, project: &ProjectName) -> Result<Vec<Namespace>, Error>;
    /// As [`crate::Kv::status`].
    async fn status(&self, of: &Namespace) -> Result<Info, Error>;
    /// As [`crate::Kv::remove`].
    async fn remove(&self, of: &Namespace) -> Result<(), Error>;
    /// As [`crate::Kv::get`]; [`Error::NoKey`] when there is none, [`Error::Large`] for a large value.
    async fn get(&self, of: &Namespace, key: &[u8], at: At) -> Result<Entry, Error>;
    /// As [`crate::Kv::read`].
    async fn read(&self, of: &Namespace, key: &[u8], at: At) -> Result<Value, Error>;
    /// As [`crate::Kv::write`].
    async fn write(
        &self,
        of: &Namespace,
        put: Put,
        size: Option<u64>,
        pieces: Pieces,
    ) -> Result<Committed, Error>;
    /// As [`crate::Kv::put`].
    async fn put(&self, of: &Namespace, put: Put) -> Result<Committed, Error>;
    /// As [`crate::Kv::commit`].
    async fn commit(&self, of: &Namespace, commit: Commit) -> Result<Committed, Error>;
    /// As [`crate::Kv::touch`].
    async fn touch(
        &self,
        of: &Namespace,
        key: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Touched, Error>;
    /// As [`crate::Kv::scan`].
    async fn scan(&self, of: &Namespace, scan: &Scan) -> Result<Page, Error>;
    /// As [`crate::Kv::follow`], as a stream.
    async fn watch(
        &self,
        of: &Namespace,
        range: KeyRange,
        after: Option<Seq>,
    ) -> Result<Watch, Error>;
    /// As [`crate::Kv::export`].
    async fn export(&self, of: &Namespace, range: KeyRange, at: At) -> Result<Pieces, Error>;
    /// As [`crate::Kv::import`].
    async fn import(&self, of: &Namespace, lines: Pieces) -> Result<Imported, Error>;
}
