//! Changes of what is kept: each is one transaction of the project's namespace.

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_env::Env;
use cairn_kv::{
    At, Error as KvError, KeyRange, Kv, Only, Put, Scan, Seq, Settings as KvSettings, Transaction,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use crate::error::Error;
use crate::model::{Auth, Function, Info, Release, RouteInfo, Settings, State};
use crate::routes::Pattern;
use crate::rows::{self, FunctionRow, RouteRow};

/// Releases that are kept of a function besides the current one; older ones go with the next deployment.
pub const RELEASES_KEPT: usize = 10;
/// How often a transaction is tried while others change the same.
const ATTEMPTS_MAX: u32 = 16;
/// Functions and routes of one project.
pub const ROWS_MAX: usize = 100_000;

/// What is kept of functions.
#[derive(Clone)]
pub(crate) struct Registry {
    kv: Kv,
    env: Env,
}

/// What a transaction made, and where it is.
pub(crate) struct Made<T> {
    pub(crate) what: T,
    pub(crate) seq: Seq,
}

/// What comes of one try of a transaction.
pub(crate) type Tried<T> = Result<(Transaction, T), Error>;

impl Registry {
    pub(crate) fn new(kv: &Kv, env: &Env) -> Self {
        Self { kv: kv.of_engines(), env: env.clone() }
    }

    pub(crate) fn kv(&self) -> &Kv {
        &self.kv
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.env.clock.wall_ns() / 1_000_000).unwrap_or(0)
    }

    /// Makes the place for a project's functions, when it is not there.
    pub(crate) async fn ensure(&self, project: &ProjectName) -> Result<(), Error> {
        let of = rows::namespace(project);
        match self.kv.status(&of).await {
            Err(KvError::NoNamespace { .. }) => {}
            known => return Ok(known.map(drop)?),
        }
        match self.kv.create(&of, KvSettings::default()).await {
            Ok(_) | Err(KvError::Exists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Does `step` in a transaction, again when others changed what it read.
    async fn transact<'a, T, F>(&self, function: &Function, step: F) -> Result<Made<T>, Error>
    where
        F: Fn(Transaction) -> BoxFuture<'a, Tried<T>>,
    {
        let of = rows::namespace(&function.project);
        for _ in 0..ATTEMPTS_MAX {
            let (transaction, what) = step(self.kv.begin(&of).await?).await?;
            match transaction.commit().await {
                Ok(done) => return Ok(Made { what, seq: done.seq }),
                Err(cairn_kv::PartitionError::Conflict { .. }) => {}
                Err(error) => return Err(KvError::from(error).into()),
            }
        }
        Err(Error::Contended { function: function.clone() })
    }

    /// Stores a component under its hash, when it is not there.
    pub(crate) async fn keep_code(
        &self,
        project: &ProjectName,
        digest: &str,
        component: &Bytes,
    ) -> Result<(), Error> {
        let key = Bytes::from(rows::code(digest));
        let of = rows::namespace(project);
        let put = Put { key, value: Bytes::new(), ttl: None, only: Only::Absent, durable: None };
        let pieces = Box::pin(futures::stream::iter([Ok(component.clone())]));
        let size = component.len() as u64;
        match self.kv.write(&of, put, Some(size), pieces).await {
            Ok(_) => Ok(()),
            Err(KvError::Partition(cairn_kv::PartitionError::Condition { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of a component.
    pub(crate) async fn code(&self, project: &ProjectName, digest: &str) -> Result<Bytes, Error> {
        let (of, key) = (rows::namespace(project), rows::code(digest));
        let mut value = self.kv.read(&of, key.as_bytes(), At::Durable).await?;
        let mut bytes = Vec::with_capacity(usize::try_from(value.size).unwrap_or(0));
        while let Some(piece) = value.pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        let found = blake3::hash(&bytes).to_hex();
        if found.as_str() != digest {
            return Err(Error::Row { key, why: format!("its hash is {found}") });
        }
        Ok(bytes.into())
    }

    /// Adds a release that waits to be compiled. None when its component is not there any more.
    pub(crate) async fn add_release(
        &self,
        function: &Function,
        (digest, bytes): (&str, u64),
        settings: &Settings,
        by: &str,
    ) -> Result<Option<Made<Release>>, Error> {
        let name = &function.name;
        let made = self.transact(function, move |mut transaction: Transaction| {
            async move {
                if entry(&mut transaction, &rows::code(digest)).await?.is_none() {
                    return Ok((transaction, None));
                }
                let now_ms = self.now_ms();
                let found: Option<FunctionRow> =
                    row(&mut transaction, &rows::function(name)).await?;
                let before =
                    found.unwrap_or(FunctionRow { current: None, newest: 0, made_ms: now_ms });
                let number = before.newest.saturating_add(1);
                let release = Release {
                    number,
                    digest: digest.to_owned(),
                    bytes,
                    state: State::Compiling,
                    made_ms: now_ms,
                    by: by.to_owned(),
                    settings: settings.clone(),
                };
                let after = FunctionRow { newest: number, ..before };
                put(&mut transaction, rows::function(name), rows::encode(&after))?;
                put(&mut transaction, rows::release(name, number), rows::encode(&release))?;
                put(&mut transaction, rows::compiling(name, number), Bytes::new())?;
                put(&mut transaction, rows::used(digest, name, number), Bytes::new())?;
                Ok((transaction, Some(release)))
            }
            .boxed()
        });
        let Made { what, seq } = made.await?;
        Ok(what.map(|what| Made { what, seq }))
    }

    /// Says what came of compiling a release. When it can be run, and nobody has chosen a newer one meanwhile, it is what answers
    /// from now on (FUNCTIONS-2). None when the release is gone.
    pub(crate) async fn decide(
        &self,
        function: &Function,
        number: u32,
        state: &State,
    ) -> Result<Made<Option<Release>>, Error> {
        let name = &function.name;
        let decided = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::release(name, number);
                delete(&mut transaction, rows::compiling(name, number))?;
                let Some(release) = row::<Release>(&mut transaction, &key).await? else {
                    return Ok((transaction, None));
                };
                let release = Release { state: state.clone(), ..release };
                put(&mut transaction, key, rows::encode(&release))?;
                let found: Option<FunctionRow> =
                    row(&mut transaction, &rows::function(name)).await?;
                if let Some(before) = found
                    && matches!(state, State::Ready { .. })
                    && before.current.is_none_or(|current| current < number)
                {
                    let after = FunctionRow { current: Some(number), ..before };
                    put(&mut transaction, rows::function(name), rows::encode(&after))?;
                    prune(&mut transaction, name, number).await?;
                }
                Ok((transaction, Some(release)))
            }
            .boxed()
        });
        decided.await
    }

    /// Makes another release the one that answers.
    pub(crate) async fn switch(
        &self,
        function: &Function,
        number: u32,
    ) -> Result<Made<Release>, Error> {
        let name = &function.name;
        let switched = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let missing = || Error::NoFunction { function: function.clone() };
                let key = rows::function(name);
                let before: FunctionRow = row(&mut transaction, &key).await?.ok_or_else(missing)?;
                let release: Option<Release> =
                    row(&mut transaction, &rows::release(name, number)).await?;
                let release = release
                    .ok_or_else(|| Error::NoRelease { function: function.clone(), number })?;
                if !matches!(release.state, State::Ready { .. }) {
                    let state = release.state.as_str();
                    return Err(Error::NotReady { function: function.clone(), number, state });
                }
                put(
                    &mut transaction,
                    key,
                    rows::encode(&FunctionRow { current: Some(number), ..before }),
                )?;
                Ok((transaction, release))
            }
            .boxed()
        });
        switched.await
    }

    /// Removes a function with all its releases, and its routes when that was asked for.
    pub(crate) async fn remove(
        &self,
        function: &Function,
        with_routes: bool,
    ) -> Result<Made<Vec<String>>, Error> {
        let name = &function.name;
        let removed = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::function(name);
                if entry(&mut transaction, &key).await?.is_none() {
                    return Err(Error::NoFunction { function: function.clone() });
                }
                let (mut keys, mut patterns) = (Vec::new(), Vec::new());
                for (key, value) in below(&mut transaction, rows::ROUTES).await? {
                    let route: RouteRow = rows::decode(&key, &value)?;
                    if route.function == name.as_str() {
                        keys.push(key);
                        patterns.push(route.pattern);
                    }
                }
                if !patterns.is_empty() && !with_routes {
                    let routes = patterns.join(", ");
                    return Err(Error::InUse { function: function.clone(), routes });
                }
                for key in keys {
                    delete(&mut transaction, key)?;
                }
                delete(&mut transaction, key)?;
                for (_, value) in below(&mut transaction, &rows::releases(name)).await? {
                    let release: Release = rows::decode("release", &value)?;
                    forget(&mut transaction, name, &release).await?;
                }
                Ok((transaction, patterns))
            }
            .boxed()
        });
        removed.await
    }

    /// Adds a route to a function that is there.
    pub(crate) async fn add_route(
        &self,
        function: &Function,
        pattern: &Pattern,
        auth: Auth,
        by: &str,
    ) -> Result<Made<RouteInfo>, Error> {
        let made = self.transact(function, move |mut transaction: Transaction| {
            async move {
                if entry(&mut transaction, &rows::function(&function.name)).await?.is_none() {
                    return Err(Error::NoFunction { function: function.clone() });
                }
                let key = rows::route(pattern);
                if let Some(before) = row::<RouteRow>(&mut transaction, &key).await? {
                    let RouteRow { pattern, function, .. } = before;
                    return Err(Error::RouteExists { pattern, function });
                }
                let route = RouteRow {
                    pattern: pattern.to_string(),
                    function: function.name.to_string(),
                    auth,
                    made_ms: self.now_ms(),
                    by: by.to_owned(),
                };
                put(&mut transaction, key, rows::encode(&route))?;
                Ok((transaction, route_info(&function.project, route)))
            }
            .boxed()
        });
        made.await
    }

    /// Removes a route to a function.
    pub(crate) async fn remove_route(
        &self,
        function: &Function,
        pattern: &Pattern,
    ) -> Result<Made<RouteInfo>, Error> {
        let removed = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::route(pattern);
                let found: Option<RouteRow> = row(&mut transaction, &key).await?;
                let ours = |route: &RouteRow| route.function == function.name.as_str();
                let Some(route) = found.filter(ours) else {
                    return Err(Error::NoRoute { pattern: pattern.to_string() });
                };
                delete(&mut transaction, key)?;
                Ok((transaction, route_info(&function.project, route)))
            }
            .boxed()
        });
        removed.await
    }

    /// One function.
    pub(crate) async fn function(&self, function: &Function) -> Result<Info, Error> {
        let key = rows::function(&function.name);
        let row: Option<FunctionRow> = self.get(&function.project, &key).await?;
        let row = row.ok_or_else(|| Error::NoFunction { function: function.clone() })?;
        Ok(info(function, &row))
    }

    /// One release.
    pub(crate) async fn release(&self, function: &Function, number: u32) -> Result<Release, Error> {
        let key = rows::release(&function.name, number);
        let found = self.get(&function.project, &key).await?;
        found.ok_or_else(|| Error::NoRelease { function: function.clone(), number })
    }

    /// The releases of a function that are kept, the newest first.
    pub(crate) async fn releases(&self, function: &Function) -> Result<Vec<Release>, Error> {
        self.function(function).await?;
        let all = self.rows(&function.project, &rows::releases(&function.name)).await?;
        let read = all.iter().rev().map(|(key, value)| rows::decode(key, value));
        read.collect()
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        project: &ProjectName,
        key: &str,
    ) -> Result<Option<T>, Error> {
        let found = self.kv.get(&rows::namespace(project), key.as_bytes(), At::Durable).await;
        match found {
            // Where nothing was ever deployed there is no function.
            Err(KvError::NoNamespace { .. }) | Ok(None) => Ok(None),
            Ok(Some(entry)) => rows::decode(key, &entry.value).map(Some),
            Err(error) => Err(error.into()),
        }
    }

    /// All rows below a prefix, in order, of one state.
    pub(crate) async fn rows(
        &self,
        project: &ProjectName,
        prefix: &str,
    ) -> Result<Vec<(String, Bytes)>, Error> {
        let of = rows::namespace(project);
        let mut scan = Scan::of(KeyRange::prefix(Bytes::copy_from_slice(prefix.as_bytes())));
        let mut all = Vec::new();
        loop {
            let page = match self.kv.scan(&of, &scan).await {
                Err(KvError::NoNamespace { .. }) => return Ok(all),
                page => page?,
            };
            all.extend(page.entries.into_iter().map(|entry| (text(&entry.key), entry.value)));
            match page.next {
                Some(cursor) if all.len() < ROWS_MAX => scan.cursor = Some(cursor),
                _ => return Ok(all),
            }
        }
    }
}

pub(crate) fn info(function: &Function, row: &FunctionRow) -> Info {
    Info {
        project: function.project.to_string(),
        name: function.name.to_string(),
        current: row.current,
        newest: row.newest,
        made_ms: row.made_ms,
    }
}

pub(crate) fn route_info(project: &ProjectName, row: RouteRow) -> RouteInfo {
    RouteInfo {
        pattern: row.pattern,
        project: project.to_string(),
        function: row.function,
        auth: row.auth,
        made_ms: row.made_ms,
        by: row.by,
    }
}

pub(crate) fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// Lets go of releases that are too old, now that `current` answers.
async fn prune(
    transaction: &mut Transaction,
    name: &DatasetName,
    current: u32,
) -> Result<(), Error> {
    let mut others = Vec::new();
    for (key, value) in below(transaction, &rows::releases(name)).await? {
        let release: Release = rows::decode(&key, &value)?;
        if release.number != current && release.state != State::Compiling {
            others.push(release);
        }
    }
    let old = others.len().saturating_sub(RELEASES_KEPT);
    for release in &others[..old] {
        forget(transaction, name, release).await?;
    }
    Ok(())
}

/// Removes a release, and its component when it was the last with it.
async fn forget(
    transaction: &mut Transaction,
    name: &DatasetName,
    release: &Release,
) -> Result<(), Error> {
    let Release { number, digest, .. } = release;
    delete(transaction, rows::release(name, *number))?;
    delete(transaction, rows::compiling(name, *number))?;
    delete(transaction, rows::used(digest, name, *number))?;
    // What this transaction removes is not among them.
    if below(transaction, &rows::uses(digest)).await?.is_empty() {
        delete(transaction, rows::code(digest))?;
    }
    Ok(())
}

async fn entry(transaction: &mut Transaction, key: &str) -> Result<Option<()>, Error> {
    let found = transaction.entry(key.as_bytes()).await.map_err(KvError::from)?;
    Ok(found.map(drop))
}

async fn row<T: serde::de::DeserializeOwned>(
    transaction: &mut Transaction,
    key: &str,
) -> Result<Option<T>, Error> {
    let found = transaction.get(key.as_bytes()).await.map_err(KvError::from)?;
    found.map(|value| rows::decode(key, &value)).transpose()
}

async fn below(transaction: &mut Transaction, prefix: &str) -> Result<Vec<(String, Bytes)>, Error> {
    let range = KeyRange::prefix(Bytes::copy_from_slice(prefix.as_bytes()));
    let found = transaction.scan(&range, ROWS_MAX).await.map_err(KvError::from)?;
    Ok(found.into_iter().map(|entry| (text(&entry.key), entry.value)).collect())
}

fn put(transaction: &mut Transaction, key: String, value: Bytes) -> Result<(), Error> {
    Ok(transaction.put(key, value).map_err(KvError::from)?)
}

fn delete(transaction: &mut Transaction, key: String) -> Result<(), Error> {
    Ok(transaction.delete(key).map_err(KvError::from)?)
}
