//! Changes of what is kept: each is one transaction of the project's namespace.

mod calls;
mod filters;
mod plans;
mod read;
mod schedules;
mod triggers;

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_env::Env;
use cairn_kv::{
    Durable, Error as KvError, KeyRange, Kv, Only, Put, Seq, Settings as KvSettings, Transaction,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;

pub(crate) use self::calls::Taken;
pub use self::filters::FILTERS_MAX;
use self::filters::filtered_by;
pub(crate) use self::schedules::{Turn, ended};
use crate::error::Error;
use crate::model::{Auth, Function, Here, Info, Release, RouteFiles, RouteInfo, Settings, State};
use crate::routes::Pattern;
use crate::rows::{self, FunctionRow, RouteRow};

/// Releases that are kept of a function besides the current one; older ones go with the next deployment.
pub const RELEASES_KEPT: usize = 10;
/// Routes of a project.
pub const ROUTES_MAX: usize = 1000;
/// How often a transaction is tried while others change the same.
const ATTEMPTS_MAX: u32 = 16;
/// Rows that a transaction reads at a time.
const ROWS_MAX: usize = 100_000;

/// What is kept of functions.
#[derive(Clone)]
pub(crate) struct Registry {
    /// The partitions that this node has, or may take.
    kv: Kv,
    /// Those of other nodes, as they are in the bucket.
    in_bucket: Kv,
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
    pub(crate) fn new(kv: &Kv, in_bucket: &Kv, env: &Env) -> Self {
        Self { kv: kv.of_engines(), in_bucket: in_bucket.of_engines(), env: env.clone() }
    }

    pub(crate) fn kv(&self) -> &Kv {
        &self.kv
    }

    pub(crate) fn in_bucket(&self) -> &Kv {
        &self.in_bucket
    }

    /// The projects that have functions.
    pub(crate) async fn projects(&self) -> Result<Vec<ProjectName>, Error> {
        let name = rows::NAME.parse().expect("it is a name of a dataset");
        Ok(self.in_bucket.projects_with(&name).await?)
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

    /// Does `step` in a transaction, again when others changed what it read. It is in the bucket when this returns: what
    /// somebody asked for survives the loss of the node with its disk.
    async fn transact<'a, T, F>(&self, function: &Function, step: F) -> Result<Made<T>, Error>
    where
        F: Fn(Transaction) -> BoxFuture<'a, Tried<T>>,
    {
        self.transact_at(Some(Durable::Bucket), function, step).await
    }

    /// The same for what a node notes of its own work, which is done again where that is lost: it is in the node's log.
    async fn note<'a, T, F>(&self, function: &Function, step: F) -> Result<Made<T>, Error>
    where
        F: Fn(Transaction) -> BoxFuture<'a, Tried<T>>,
    {
        self.transact_at(None, function, step).await
    }

    async fn transact_at<'a, T, F>(
        &self,
        durable: Option<Durable>,
        function: &Function,
        step: F,
    ) -> Result<Made<T>, Error>
    where
        F: Fn(Transaction) -> BoxFuture<'a, Tried<T>>,
    {
        let of = rows::namespace(&function.project);
        for _ in 0..ATTEMPTS_MAX {
            let (transaction, what) = step(self.kv.begin(&of).await?).await?;
            match transaction.commit_at(durable).await {
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
        let decided = self.note(function, move |mut transaction: Transaction| {
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
                if let Some(before) = found {
                    let ready = matches!(state, State::Ready { .. });
                    let newer = before.current.is_none_or(|current| current < number);
                    let current = if ready && newer { Some(number) } else { before.current };
                    let after = FunctionRow { current, ..before };
                    put(&mut transaction, rows::function(name), rows::encode(&after))?;
                    prune(&mut transaction, name, current).await?;
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

    /// Removes a function with all its releases and schedules, and its routes when that was asked for.
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
                let others = filtered_by(&mut transaction, name).await?;
                if !others.is_empty() {
                    let (function, others) = (function.clone(), others.join(", "));
                    return Err(Error::IsFilter { function, others });
                }
                let (mut keys, mut patterns) = (Vec::new(), Vec::new());
                for (key, value) in below(&mut transaction, rows::ROUTES).await? {
                    let route: RouteRow = rows::decode(&key, &value)?;
                    if route.function == name.as_str() && route.files.is_none() {
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
                for prefix in rows::called_by_others(name) {
                    delete_below(&mut transaction, &prefix)?;
                }
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

    /// Adds a route to a function that is there, or to files; with `replace` one for the same requests to the same is changed.
    pub(crate) async fn add_route(
        &self,
        function: &Function,
        (pattern, files): (&Pattern, Option<&RouteFiles>),
        auth: Auth,
        by: &str,
        replace: bool,
    ) -> Result<Made<RouteInfo>, Error> {
        let made = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let there = entry(&mut transaction, &rows::function(&function.name)).await?;
                if files.is_none() && there.is_none() {
                    return Err(Error::NoFunction { function: function.clone() });
                }
                let key = rows::route(pattern);
                let before = row::<RouteRow>(&mut transaction, &key).await?;
                let same = |before: &RouteRow| {
                    before.function == function.name.as_str()
                        && before.files.is_some() == files.is_some()
                };
                if let Some(before) = before.as_ref().filter(|before| !replace || !same(before)) {
                    let name = rows::name(&key, &before.function)?;
                    let (project, pattern) = (function.project.clone(), before.pattern.clone());
                    let function = Function { project, name };
                    return Err(Error::RouteExists { pattern, function });
                }
                let all = below(&mut transaction, rows::ROUTES).await?.len();
                if before.is_none() && all >= ROUTES_MAX {
                    let why = format!("a project has at most {ROUTES_MAX} routes: remove some");
                    return Err(Error::Invalid { why });
                }
                let route = RouteRow {
                    pattern: pattern.to_string(),
                    function: function.name.to_string(),
                    files: files.cloned(),
                    auth,
                    made_ms: before.map_or_else(|| self.now_ms(), |before| before.made_ms),
                    by: by.to_owned(),
                };
                put(&mut transaction, key, rows::encode(&route))?;
                Ok((transaction, route_info(&function.project, route)))
            }
            .boxed()
        });
        made.await
    }

    /// Removes a route to a function, or to the files of the dataset of this name.
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
}

/// Whether another node has the partition.
pub(crate) fn is_elsewhere(error: &KvError) -> bool {
    matches!(error, KvError::Partition(cairn_kv::PartitionError::Elsewhere { .. }))
}

fn info(function: &Function, row: &FunctionRow, newest: &State) -> Info {
    Info {
        project: function.project.to_string(),
        name: function.name.to_string(),
        current: row.current,
        newest: row.newest,
        newest_state: newest.as_str().to_owned(),
        made_ms: row.made_ms,
        here: Here::default(),
    }
}

fn route_info(project: &ProjectName, row: RouteRow) -> RouteInfo {
    RouteInfo {
        pattern: row.pattern,
        project: project.to_string(),
        function: row.function,
        files: row.files,
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
    current: Option<u32>,
) -> Result<(), Error> {
    let mut others = Vec::new();
    for (key, value) in below(transaction, &rows::releases(name)).await? {
        let release: Release = rows::decode(&key, &value)?;
        if Some(release.number) != current && release.state != State::Compiling {
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
    if found.len() == ROWS_MAX {
        let why = format!("there are {ROWS_MAX} or more of {prefix:?}: remove some");
        return Err(Error::Invalid { why });
    }
    Ok(found.into_iter().map(|entry| (text(&entry.key), entry.value)).collect())
}

fn delete_below(transaction: &mut Transaction, prefix: &str) -> Result<(), Error> {
    let range = KeyRange::prefix(Bytes::copy_from_slice(prefix.as_bytes()));
    Ok(transaction.delete_range(range).map_err(KvError::from)?)
}

fn put(transaction: &mut Transaction, key: String, value: Bytes) -> Result<(), Error> {
    Ok(transaction.put(key, value).map_err(KvError::from)?)
}

fn delete(transaction: &mut Transaction, key: String) -> Result<(), Error> {
    Ok(transaction.delete(key).map_err(KvError::from)?)
}
