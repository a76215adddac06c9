//! Namespaces of keys as functions open them.
//!
//! FUNCTIONS-4 A function reads and changes what its own grants allow, and nothing by who calls it: it is a
//! principal, `function/@PROJECT/NAME`, asked for and recorded as all others are.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_access::{Access, Action, Resource, Use, Visit};
use cairn_base::ErrorKind;
use cairn_env::{Env, Spawn};
use cairn_kv::{
    At, Commit, Entry, Error as KvError, KeyRange, Kv, Namespace, Only, Op, PartitionError, Put,
    Scan, Seq, Settings, large_size,
};
use cairn_wasm::{Store, StoreError, Stores};

use crate::model::Function;
use crate::visits::admitted;

/// The store that a function has without naming one: the namespace of its own name.
const DEFAULT: &str = "default";
/// Keys of a page.
const KEYS_MAX: usize = 1000;
/// Bytes of values that are read at a time.
const BYTES_MAX: usize = 64 << 20;
/// How often a number is added to while others change it.
const ATTEMPTS_MAX: u32 = 100;

/// The stores of one function.
pub(crate) struct FunctionStores {
    kv: Kv,
    access: Access,
    env: Env,
    function: Function,
}

impl FunctionStores {
    pub(crate) fn new(kv: &Kv, access: &Access, env: &Env, function: &Function) -> Self {
        let (kv, access, env) = (kv.clone(), access.clone(), env.clone());
        Self { kv, access, env, function: function.clone() }
    }

    /// `NAME` in the function's project, `@PROJECT/NAME`, or the default.
    fn named(&self, name: &str) -> Option<Namespace> {
        let own = |name: &str| {
            let project = self.function.project.clone();
            Some(Namespace { project, name: name.parse().ok()? })
        };
        match name.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
            Some((project, name)) => {
                Some(Namespace { project: project.parse().ok()?, name: name.parse().ok()? })
            }
            None if name == DEFAULT => own(self.function.name.as_str()),
            None => own(name),
        }
    }
}

#[async_trait]
impl Stores for FunctionStores {
    async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError> {
        let namespace = self.named(name).ok_or(StoreError::NoSuchStore)?;
        let visit = admitted((&self.access, &self.env), &self.function, "function").await;
        let visit = visit.map_err(refused)?;
        let (kv, spawn) = (self.kv.clone(), Arc::clone(&self.env.spawn));
        let opened = Opened { kv, spawn, namespace, visit };
        // Who may not read it is not told whether it is there.
        opened.may(Action::ReadKeys).await?;
        match self.kv.status(&opened.namespace).await {
            Err(KvError::NoNamespace { .. }) if name == DEFAULT => {
                opened.whole(Opened::make).await?
            }
            known => drop(known.map_err(failed)?),
        }
        Ok(Arc::new(opened))
    }
}

/// A namespace that a function has open.
#[derive(Clone)]
struct Opened {
    kv: Kv,
    spawn: Arc<dyn Spawn>,
    namespace: Namespace,
    visit: Visit,
}

impl Opened {
    /// Whether the function may, as of now.
    async fn may(&self, action: Action) -> Result<Use, StoreError> {
        let Namespace { project, name } = self.namespace.clone();
        let visit = self.visit.again().await.map_err(refused)?;
        visit.authorize_counted(action, &Resource::Dataset(project, name)).map_err(refused)
    }

    /// Does a change to its end, with its record, also when the function that asked for it is stopped meanwhile.
    async fn whole<T, W>(&self, work: impl FnOnce(Self) -> W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let lost = |_| StoreError::Other("the node stops".to_owned());
        self.spawn.to_its_end(work(self.clone())).await.map_err(lost)?
    }

    /// Makes the namespace; another call may have made it meanwhile.
    async fn make(self) -> Result<(), StoreError> {
        let Namespace { project, name } = self.namespace.clone();
        let visit = self.visit.again().await.map_err(refused)?;
        visit
            .authorize(Action::SetNamespace, &Resource::Dataset(project, name))
            .map_err(refused)?;
        let made = visit.change(
            async {
                self.kv.create(&self.namespace, Settings::default()).await.map_err(Made::Kept)
            },
            |_| "made a namespace".to_owned(),
        );
        match made.await {
            Ok(_) | Err(Made::Kept(KvError::Exists { .. })) => Ok(()),
            Err(Made::Kept(error)) => Err(failed(error)),
            Err(Made::Access(error)) => Err(refused(error)),
        }
    }

    /// Makes a change, and says what came of it.
    async fn change(self, ops: Vec<Op>) -> Result<(), StoreError> {
        let changing = self.may(Action::WriteKeys).await?;
        let commit = Commit { ops, ..Commit::default() };
        match self.kv.commit(&self.namespace, commit).await {
            Ok(done) => changing.changed(done.seq.0).map_err(refused),
            Err(error) => {
                changing.failed(&error.to_string()).map_err(refused)?;
                Err(failed(error))
            }
        }
    }

    async fn entry(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.kv.get(&self.namespace, key.as_bytes(), At::Durable).await;
        found.map_err(failed)
    }

    /// Puts a value if the key is as it was seen; whether it was.
    async fn put_if(self, key: String, seen: u64, value: Bytes) -> Result<bool, StoreError> {
        let changing = self.may(Action::WriteKeys).await?;
        let only = if seen == 0 { Only::Absent } else { Only::Seq(Seq(seen)) };
        let put = Put { key: key.into(), value, only, ..Put::default() };
        match self.kv.put(&self.namespace, put).await {
            Ok(done) => changing.changed(done.seq.0).map_err(refused).map(|()| true),
            Err(KvError::Partition(PartitionError::Condition { .. })) => {
                changing.unchanged().map_err(refused).map(|()| false)
            }
            Err(error) => {
                changing.failed(&error.to_string()).map_err(refused)?;
                Err(failed(error))
            }
        }
    }
}

/// Why a namespace was not made.
#[derive(Debug, thiserror::Error)]
enum Made {
    #[error(transparent)]
    Kept(KvError),
    #[error(transparent)]
    Access(#[from] cairn_access::Error),
}

#[async_trait]
impl Store for Opened {
    async fn get(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.may(Action::ReadKeys).await?;
        if let [key] = keys {
            return Ok(vec![self.entry(key).await?.map(value).transpose()?]);
        }
        if keys.len() > KEYS_MAX {
            return Err(StoreError::Other(format!("more than {KEYS_MAX} keys at a time")));
        }
        let mut transaction = self.kv.begin(&self.namespace).await.map_err(failed)?;
        let (mut found, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let entry = transaction.entry(key.as_bytes()).await.map_err(KvError::from);
            let value = entry.map_err(failed)?.map(value).transpose()?;
            bytes += value.as_ref().map_or(0, Bytes::len);
            if bytes > BYTES_MAX {
                return Err(StoreError::Other(format!("more than {BYTES_MAX} bytes at a time")));
            }
            found.push(value);
        }
        Ok(found)
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.may(Action::ReadKeys).await?;
        Ok(self.entry(key).await?.is_some())
    }

    async fn set(&self, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        let put =
            |(key, value): (String, Bytes)| Op::Put { key: key.into(), value, expires_ms: None };
        let ops = pairs.into_iter().map(put).collect();
        self.whole(|store| store.change(ops)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        let delete = |key: &String| Op::Delete { key: key.clone().into() };
        let ops = keys.iter().map(delete).collect();
        self.whole(|store| store.change(ops)).await
    }

    async fn keys(&self, after: Option<&str>) -> Result<(Vec<String>, bool), StoreError> {
        self.may(Action::ReadKeys).await?;
        let mut scan = Scan::of(KeyRange::all());
        scan.limit = KEYS_MAX;
        scan.keys_only = true;
        if let Some(after) = after {
            // The least key that is greater.
            scan.range.from = [after.as_bytes(), b"\0"].concat().into();
        }
        loop {
            let page = self.kv.scan(&self.namespace, &scan).await.map_err(failed)?;
            // A key that is no text is none that a function could name.
            let text = |entry: Entry| String::from_utf8(entry.key.into()).ok();
            let keys: Vec<String> = page.entries.into_iter().filter_map(text).collect();
            match page.next {
                Some(next) if keys.is_empty() => scan.cursor = Some(next),
                next => return Ok((keys, next.is_some())),
            }
        }
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let (before, version) = self.versioned(key).await?;
            let before = before.map_or(Ok(0), |text| number(&text))?;
            let sum = before.checked_add(delta);
            let sum = sum.ok_or_else(|| StoreError::Other("the sum is too large".to_owned()))?;
            if self.swap(key, version, sum.to_string().into()).await? {
                return Ok(sum);
            }
        }
        Err(StoreError::Other("others change the number all the time: try again".to_owned()))
    }

    async fn versioned(&self, key: &str) -> Result<(Option<Bytes>, u64), StoreError> {
        self.may(Action::ReadKeys).await?;
        let Some(entry) = self.entry(key).await? else { return Ok((None, 0)) };
        let seq = entry.seq.0;
        Ok((Some(value(entry)?), seq))
    }

    async fn swap(&self, key: &str, version: u64, value: Bytes) -> Result<bool, StoreError> {
        let key = key.to_owned();
        self.whole(move |store| store.put_if(key, version, value)).await
    }
}

fn value(entry: Entry) -> Result<Bytes, StoreError> {
    match large_size(&entry) {
        None => Ok(entry.value),
        Some(size) => Err(StoreError::Other(format!("the value has {size} bytes: too many here"))),
    }
}

/// A number as text, as clients of Redis have them.
fn number(text: &[u8]) -> Result<i64, StoreError> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| StoreError::Other("the value is no number".to_owned()))
}

fn refused(error: cairn_access::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Denied => StoreError::Denied,
        _ => StoreError::Other(error.to_string()),
    }
}

fn failed(error: KvError) -> StoreError {
    match error {
        KvError::NoNamespace { .. } => StoreError::NoSuchStore,
        error => StoreError::Other(error.to_string()),
    }
}
