//! What is kept, read from the partition of this node, or in the bucket from that of another.

use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_kv::{At, Error as KvError, KeyRange, Kv, Scan};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use super::{Registry, info, is_elsewhere, route_info, text};
use crate::error::Error;
use crate::model::{Function, Info, Release, RouteInfo, State};
use crate::rows::{self, FunctionRow};

impl Registry {
    /// Reads where a project's rows are: in this node's partition, or in another node's as far as it is in the bucket.
    pub(super) async fn ask<'a, T, F>(&'a self, read: F) -> Result<T, KvError>
    where
        F: Fn(&'a Kv) -> BoxFuture<'a, Result<T, KvError>>,
    {
        match read(&self.kv).await {
            Err(error) if is_elsewhere(&error) => read(&self.in_bucket).await,
            found => found,
        }
    }

    /// The bytes of a component.
    pub(crate) async fn code(&self, project: &ProjectName, digest: &str) -> Result<Bytes, Error> {
        let (of, key) = (rows::namespace(project), rows::code(digest));
        let mut value = self.ask(|kv| kv.read(&of, key.as_bytes(), At::Durable).boxed()).await?;
        let mut bytes = Vec::with_capacity(usize::try_from(value.size).unwrap_or(0));
        let mut hasher = blake3::Hasher::new();
        while let Some(piece) = value.pieces.next().await {
            let piece = piece?;
            hasher.update(&piece);
            bytes.extend_from_slice(&piece);
        }
        let found = hasher.finalize().to_hex();
        if found.as_str() != digest {
            return Err(Error::Row { key, why: format!("its hash is {found}") });
        }
        Ok(bytes.into())
    }

    /// The functions of a project, by name.
    pub(crate) async fn functions(&self, project: &ProjectName) -> Result<Vec<Info>, Error> {
        let found = self.rows(project, rows::FUNCTIONS).await?;
        let mut infos = Vec::with_capacity(found.len());
        for (key, value) in &found {
            let name = rows::name(key, &key[rows::FUNCTIONS.len()..])?;
            let function = Function { project: project.clone(), name };
            infos.push(self.with_newest(&function, &rows::decode(key, value)?).await?);
        }
        Ok(infos)
    }

    /// A function with how its newest release stands. The one that answers is ready: that is not read.
    async fn with_newest(&self, function: &Function, row: &FunctionRow) -> Result<Info, Error> {
        if row.current == Some(row.newest) {
            let ready = State::Ready { kind: String::new() };
            return Ok(info(function, row, &ready));
        }
        let newest: Option<Release> =
            self.get(&function.project, &rows::release(&function.name, row.newest)).await?;
        // It was removed in between.
        let newest = newest.map_or(State::Compiling, |release| release.state);
        Ok(info(function, row, &newest))
    }

    /// The routes of a project, in the order of their patterns.
    pub(crate) async fn routes(&self, of: &ProjectName) -> Result<Vec<RouteInfo>, Error> {
        let found = self.rows(of, rows::ROUTES).await?;
        let read =
            found.into_iter().map(|(key, value)| Ok(route_info(of, rows::decode(&key, &value)?)));
        read.collect()
    }

    /// One function.
    pub(crate) async fn function(&self, function: &Function) -> Result<Info, Error> {
        let key = rows::function(&function.name);
        let row: Option<FunctionRow> = self.get(&function.project, &key).await?;
        let row = row.ok_or_else(|| Error::NoFunction { function: function.clone() })?;
        self.with_newest(function, &row).await
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

    pub(super) async fn get<T: serde::de::DeserializeOwned>(
        &self,
        project: &ProjectName,
        key: &str,
    ) -> Result<Option<T>, Error> {
        let of = rows::namespace(project);
        match self.ask(|kv| kv.get(&of, key.as_bytes(), At::Durable).boxed()).await {
            // Where nothing was ever deployed there is no function.
            Err(KvError::NoNamespace { .. }) | Ok(None) => Ok(None),
            Ok(Some(entry)) => rows::decode(key, &entry.value).map(Some),
            Err(error) => Err(error.into()),
        }
    }

    /// All rows below a prefix, in order, of one state.
    pub(super) async fn rows(
        &self,
        project: &ProjectName,
        prefix: &str,
    ) -> Result<Vec<(String, Bytes)>, Error> {
        Ok(self.some_rows(project, prefix, usize::MAX).await?.0)
    }

    /// The same, and no more once there are so many; and whether those are all.
    pub(super) async fn some_rows(
        &self,
        project: &ProjectName,
        prefix: &str,
        most: usize,
    ) -> Result<(Vec<(String, Bytes)>, bool), Error> {
        let of = rows::namespace(project);
        let mut scan = Scan::of(KeyRange::prefix(Bytes::copy_from_slice(prefix.as_bytes())));
        let mut all = Vec::new();
        loop {
            let page = match self.ask(|kv| kv.scan(&of, &scan).boxed()).await {
                Err(KvError::NoNamespace { .. }) => return Ok((all, true)),
                page => page?,
            };
            all.extend(page.entries.into_iter().map(|entry| (text(&entry.key), entry.value)));
            match page.next {
                Some(_) if all.len() >= most => return Ok((all, false)),
                Some(cursor) => scan.cursor = Some(cursor),
                None => return Ok((all, true)),
            }
        }
    }
}
