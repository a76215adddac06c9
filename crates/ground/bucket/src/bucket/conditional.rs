//! BUCKET-6: conditional writes over connections that lose answers.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use cairn_base::ErrorKind;
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetOptions, PutMode, PutOptions, PutPayload, PutResult};

use super::{Bucket, Version, body};
use crate::Error;
use crate::retry::{Attempts, Budget};

/// The metadata under which a conditional write carries its id.
const PUT_ID: &str = "cairnput";

/// A write with a condition, on a store whose answers can be lost.
pub(super) struct Conditional<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) path: Path,
    pub(super) key: &'a str,
    pub(super) bytes: Bytes,
    pub(super) mode: PutMode,
    pub(super) id: String,
}

/// What stands where a conditional write wanted to be.
enum Found {
    Ours(Version),
    Other,
    Nothing,
}

impl Conditional<'_> {
    /// Sends once.
    pub(super) async fn send(&self, attributes: Attributes) -> Result<PutResult, Error> {
        let options = PutOptions { mode: self.mode.clone(), attributes, ..PutOptions::default() };
        let payload = PutPayload::from_bytes(self.bytes.clone());
        let done = self.bucket.shared.once.put_opts(&self.path, payload, options).await;
        done.map_err(|error| self.bucket.shared.failed(self.operation(), self.key, &error))
    }

    fn operation(&self) -> &'static str {
        if self.mode == PutMode::Create { "create" } else { "replace" }
    }

    /// Sends with the id attached, as long as the store takes attributes.
    async fn send_with_id(&self) -> Result<PutResult, Error> {
        let known = &self.bucket.shared.attributes;
        if !known.load(Ordering::Relaxed) {
            return self.send(Attributes::new()).await;
        }
        let name = Attribute::Metadata(PUT_ID.into());
        let attributes = Attributes::from_iter([(name, self.id.clone())]);
        match self.send(attributes).await {
            Err(Error::Unsupported { .. }) => {
                let done = self.send(Attributes::new()).await?;
                known.store(false, Ordering::Relaxed);
                Ok(done)
            }
            done => done,
        }
    }

    /// Sends until it is known whether the write took effect.
    pub(super) async fn resolve(&self) -> Result<Version, Error> {
        let shared = &self.bucket.shared;
        let budget = Budget::new(&shared.options, self.bytes.len());
        let mut attempts = Attempts::new(&shared.env, budget);
        // An attempt without an answer may have taken effect, now or later.
        let mut doubt = false;
        let mut last = None;
        loop {
            match attempts.run(self.send_with_id()).await {
                Some(Ok(done)) => return self.bucket.version_of(self.key, done).await,
                // S3 refuses one of two replaces that run at once, without saying which version won.
                Some(Err(Error::Exists { .. })) if self.mode != PutMode::Create => {
                    let (operation, key) = (self.operation(), self.key.to_owned());
                    last = Some(Error::Unavailable { operation, key, source: None });
                }
                Some(Err(refused @ (Error::Exists { .. } | Error::Changed { .. }))) => {
                    // Also without doubt of our own: a proxy may have sent the request twice.
                    match self.find().await {
                        Ok(Found::Ours(version)) => return Ok(version),
                        Ok(Found::Other) if !doubt => return Err(refused),
                        Ok(Found::Nothing) if !doubt && self.mode != PutMode::Create => {
                            return Err(refused);
                        }
                        // A create that ran into another one which then failed or was deleted.
                        Ok(Found::Nothing) if !doubt => last = Some(refused),
                        Ok(_) => return Err(self.in_doubt(last)),
                        Err(error) if error.kind() == ErrorKind::Retry => last = Some(error),
                        Err(error) => return Err(error),
                    }
                }
                Some(Err(error)) if error.kind() == ErrorKind::Retry => {
                    doubt |= !error.is_unsent();
                    last = Some(error);
                }
                Some(Err(error)) if doubt => return Err(self.in_doubt(Some(error))),
                Some(Err(error)) => return Err(error),
                None => {
                    doubt = true;
                    last = None;
                }
            }
            if !attempts.again().await {
                return self.give_up(doubt, last).await;
            }
        }
    }

    /// The budget is spent: one last look may still tell.
    async fn give_up(&self, doubt: bool, last: Option<Error>) -> Result<Version, Error> {
        match last {
            Some(error) if !doubt => Err(error),
            last => match self.find().await {
                Ok(Found::Ours(version)) => Ok(version),
                _ => Err(self.in_doubt(last)),
            },
        }
    }

    fn in_doubt(&self, last: Option<Error>) -> Error {
        let source = last.and_then(Error::into_cause);
        Error::InDoubt { key: self.key.to_owned(), source }
    }

    /// Whether the object is the one this write made: by its id, else by its bytes.
    async fn find(&self) -> Result<Found, Error> {
        let by_id = self.bucket.shared.attributes.load(Ordering::Relaxed);
        let call = || async {
            let options = GetOptions::new().with_head(by_id);
            let found = match self.bucket.open_object(&self.path, self.key, options).await {
                Err(Error::Missing { .. }) => return Ok(Found::Nothing),
                found => found?,
            };
            let version = Version::of(&found.meta);
            let ours = if by_id {
                let id = found.attributes.get(&Attribute::Metadata(PUT_ID.into()));
                id.is_some_and(|id| id.as_ref() == self.id)
            } else {
                found.meta.size == self.bytes.len() as u64
                    && body(found, self.key).await? == self.bytes
            };
            Ok(if ours { Found::Ours(version) } else { Found::Other })
        };
        self.bucket.run("read", self.key, call).await
    }
}
