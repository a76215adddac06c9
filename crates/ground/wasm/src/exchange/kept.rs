//! What a function keeps: keys in its default store, and blobs as objects of its default container.

use std::sync::Arc;

use bytes::Bytes;

use super::buffers::pairs;
use crate::blobs::{BlobError, Container};
use crate::guest::Guest;
use crate::stores::{Store, StoreError};

/// The store and the container that a function has without naming one.
const DEFAULT: &str = "default";
/// Pairs that begin with one text.
const PAIRS_MAX: usize = 1000;
/// Values that are read at a time.
const VALUES_MAX: usize = 16;
/// Bytes of a blob that are read at a time.
const READ_BYTES: usize = 1 << 20;

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "a key is text in UTF-8 here".to_owned())
}

fn untold(error: StoreError) -> String {
    error.to_string()
}

impl Guest {
    async fn keys(&mut self) -> Result<Arc<dyn Store>, String> {
        if let Some(store) = &self.exchange.store {
            return Ok(Arc::clone(store));
        }
        let store = self.stores.open(DEFAULT).await.map_err(untold)?;
        self.exchange.store = Some(Arc::clone(&store));
        Ok(store)
    }

    pub(super) async fn key_set(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), String> {
        let (key, keys) = (text(key)?, self.keys().await?);
        keys.set(vec![(key, value.into())]).await.map_err(untold)
    }

    /// The value of a key; nothing where there is none.
    pub(super) async fn key_get(&mut self, key: Vec<u8>) -> Result<Bytes, String> {
        let (key, keys) = (text(key)?, self.keys().await?);
        let mut found = keys.get(&[key]).await.map_err(untold)?;
        Ok(found.pop().flatten().unwrap_or_default())
    }

    /// Keys that begin with a text, with their values, as pairs.
    pub(super) async fn key_subset(&mut self, prefix: Vec<u8>) -> Result<Vec<u8>, String> {
        let (prefix, keys) = (text(prefix)?, self.keys().await?);
        let mut names = Vec::new();
        if !prefix.is_empty() && keys.exists(&prefix).await.map_err(untold)? {
            names.push(prefix.clone());
        }
        let mut after = prefix.clone();
        loop {
            let (page, more) = keys.keys(Some(&after)).await.map_err(untold)?;
            let last = page.last().filter(|last| more && last.starts_with(&prefix)).cloned();
            names.extend(page.into_iter().take_while(|name| name.starts_with(&prefix)));
            if names.len() > PAIRS_MAX {
                return Err(format!("more than {PAIRS_MAX} keys begin with {prefix:?}"));
            }
            let Some(last) = last else { break };
            after = last;
        }
        let (mut found, mut held) = (Vec::new(), 0);
        for some in names.chunks(VALUES_MAX) {
            let values = keys.get(some).await.map_err(untold)?;
            let there = some.iter().zip(values).filter_map(|(name, value)| Some((name, value?)));
            let there: Vec<(&String, Bytes)> = there.collect();
            let bytes = there.iter().map(|(_, value)| value.len() as u64).sum::<u64>();
            if let Err(error) = self.staged.take(bytes) {
                self.staged.give_back(held);
                return Err(error.to_string());
            }
            held += bytes;
            found.extend(there);
        }
        let all = pairs(found.iter().map(|(name, value)| (name.as_bytes(), &value[..])));
        self.staged.give_back(held);
        Ok(all)
    }

    /// The function's own container, made where it is to be written and not there.
    async fn objects(&mut self, write: bool) -> Result<Arc<dyn Container>, BlobError> {
        if let Some(objects) = &self.exchange.objects {
            return Ok(Arc::clone(objects));
        }
        let objects = match self.blobs.open(DEFAULT).await {
            Err(BlobError::NoContainer) if write => match self.blobs.create(DEFAULT).await {
                Ok(made) => made,
                // Another call may have made it meanwhile.
                Err(error) => self.blobs.open(DEFAULT).await.map_err(|_| error)?,
            },
            opened => opened?,
        };
        self.exchange.objects = Some(Arc::clone(&objects));
        Ok(objects)
    }

    /// Keeps bytes under their hash, and that under a name where there is one; the hash.
    pub(super) async fn blob_put(
        &mut self,
        name: Option<Vec<u8>>,
        content: Vec<u8>,
    ) -> Result<String, String> {
        let name = name.map(text).transpose()?;
        let objects = self.objects(true).await.map_err(|error| error.to_string())?;
        let hash = blake3::hash(&content).to_hex().to_string();
        let put = objects.put(&format!("blobs/{hash}"), content.into()).await;
        put.map_err(|error| error.to_string())?;
        if let Some(name) = name {
            let named = objects.put(&format!("names/{name}"), hash.clone().into()).await;
            named.map_err(|error| error.to_string())?;
        }
        Ok(hash)
    }

    /// The bytes of a blob, or the hash of a name, in a buffer.
    pub(super) async fn blob_get(&mut self, folder: &str, name: Vec<u8>) -> Result<i32, String> {
        let name = text(name)?;
        let objects = self.objects(false).await.map_err(|error| error.to_string())?;
        let object = objects.object(&format!("{folder}/{name}")).await;
        let object = object.map_err(|error| format!("{name}: {error}"))?;
        let id = self.made("a buffer for it", &[]);
        let mut at = 0;
        loop {
            let bytes = object.read(at, READ_BYTES).await.map_err(|error| error.to_string());
            let read = bytes.and_then(|bytes| {
                at += bytes.len() as u64;
                self.append(id, &bytes).map(|()| bytes.is_empty())
            });
            match read {
                Ok(true) => return Ok(id),
                Ok(false) => {}
                Err(error) => {
                    self.free(id);
                    return Err(error);
                }
            }
        }
    }
}
