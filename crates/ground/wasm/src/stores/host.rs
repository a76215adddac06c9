//! `wasi:keyvalue` for guests, on whatever [`super::Stores`] they were given.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource};

use self::bindings::wasi::keyvalue::{atomics, batch, store};
use super::{Store, StoreError};
use crate::guest::Guest;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": super::Bucket,
            "wasi:keyvalue/atomics.cas": super::Cas,
        },
    });
}

/// A store that a guest has open.
#[allow(unreachable_pub, reason = "the bindings name it to whoever could see them")]
pub struct Bucket(Arc<dyn Store>);

/// A key whose version a guest has looked at.
#[allow(unreachable_pub, reason = "the bindings name it to whoever could see them")]
pub struct Cas {
    store: Arc<dyn Store>,
    key: String,
    version: u64,
}

type Told<T> = wasmtime::Result<Result<T, store::Error>>;

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bindings::Imports::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

impl From<StoreError> for store::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchStore => Self::NoSuchStore,
            StoreError::Denied => Self::AccessDenied,
            StoreError::Other(why) => Self::Other(why),
        }
    }
}

impl Guest {
    fn opened(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<Arc<dyn Store>> {
        Ok(Arc::clone(&self.table.get(bucket)?.0))
    }
}

fn told<T>(done: Result<T, StoreError>) -> Told<T> {
    Ok(done.map_err(Into::into))
}

impl store::Host for Guest {
    async fn open(&mut self, identifier: String) -> Told<Resource<Bucket>> {
        match self.stores.open(&identifier).await {
            Ok(store) => Ok(Ok(self.table.push(Bucket(store))?)),
            Err(error) => told(Err(error)),
        }
    }
}

impl store::HostBucket for Guest {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Told<Option<Vec<u8>>> {
        let found = self.opened(&bucket)?.get(&[key]).await;
        told(found.map(|mut found| found.pop().flatten().map(Into::into)))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Told<()> {
        told(self.opened(&bucket)?.set(vec![(key, value.into())]).await)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Told<()> {
        told(self.opened(&bucket)?.delete(&[key]).await)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Told<bool> {
        told(self.opened(&bucket)?.exists(&key).await)
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Told<store::KeyResponse> {
        let found = self.opened(&bucket)?.keys(cursor.as_deref()).await;
        told(found.map(|(keys, more)| {
            let cursor = keys.last().filter(|_| more).cloned();
            store::KeyResponse { keys, cursor }
        }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Guest {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Told<i64> {
        told(self.opened(&bucket)?.increment(&key, delta).await)
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Cas { store, key, version, .. } = self.table.delete(cas)?;
        let error = |error: StoreError| atomics::CasError::StoreError(error.into());
        match store.swap(&key, version, value.into()).await {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => {}
            Err(failed) => return Ok(Err(error(failed))),
        }
        // Another try begins with what is there now.
        match looked_at(store, key).await {
            Ok(cas) => Ok(Err(atomics::CasError::CasFailed(self.table.push(cas)?))),
            Err(failed) => Ok(Err(error(failed))),
        }
    }
}

async fn looked_at(store: Arc<dyn Store>, key: String) -> Result<Cas, StoreError> {
    let (_, version) = store.versioned(&key).await?;
    Ok(Cas { store, key, version })
}

impl atomics::HostCas for Guest {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Told<Resource<Cas>> {
        let store = self.opened(&bucket)?;
        match looked_at(store, key).await {
            Ok(cas) => Ok(Ok(self.table.push(cas)?)),
            Err(error) => told(Err(error)),
        }
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Told<Option<Vec<u8>>> {
        let Cas { store, key, .. } = self.table.get(&cas)?;
        let (store, key) = (Arc::clone(store), key.clone());
        // Values are not kept for a guest: its memory is what bounds them.
        let (value, version) = match store.versioned(&key).await {
            Ok(found) => found,
            Err(error) => return told(Err(error)),
        };
        self.table.get_mut(&cas)?.version = version;
        Ok(Ok(value.map(Into::into)))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for Guest {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Told<Vec<Option<(String, Vec<u8>)>>> {
        let found = self.opened(&bucket)?.get(&keys).await;
        told(found.map(|found| {
            let pairs = keys.into_iter().zip(found);
            pairs.map(|(key, value)| Some((key, value?.into()))).collect()
        }))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Told<()> {
        let pairs = pairs.into_iter().map(|(key, value)| (key, value.into())).collect();
        told(self.opened(&bucket)?.set(pairs).await)
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Told<()> {
        told(self.opened(&bucket)?.delete(&keys).await)
    }
}
