//! Namespaces of keys on a node.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cairn_base::ProjectName;
use cairn_datasets::Error as NodeError;
use cairn_kv::{
    At, Commit, Committed, Condition, Cursor, Durable, Entry, Error, Imported, Info, KeyRange,
    LINE_BYTES_MAX, Lines, Namespace, Only, Op, Page, Pieces, Put, Scan, Seq, SettingsChange,
    Store, Touched, Value, Watch, decode, large_reference, large_size,
};
use futures::{StreamExt as _, TryStreamExt as _};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::{Method, Response, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::http::{Again, Asked, Node, strange};
use super::kv_watch::Watcher;
use crate::api::{KeyCommit, KeyPage, KeysCommitted, NamespacePage, NamespaceSettings};
use crate::call::LINES;
use crate::limits::KV_VALUE_BYTES_MAX;

const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";
/// Bytes of one request of an import: each is put by itself, and again when its answer was lost.
const IMPORT_PART_BYTES: usize = 8 << 20;

pub(super) fn told(error: NodeError) -> Error {
    Error::Remote { kind: error.kind(), message: error.to_string() }
}

fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, NON_ALPHANUMERIC).to_string()
}

pub(super) fn path(of: &Namespace, below: &str) -> String {
    let slash = if below.is_empty() { "" } else { "/" };
    format!("api/v1/kv/{}/{}{slash}{below}", of.project, of.name)
}

/// The path to a key; none for the two keys that no address can hold, for they mean a climb there.
fn key_path(of: &Namespace, what: &str, key: &[u8]) -> Option<String> {
    let climbs = matches!(key, b"." | b"..");
    (!climbs).then(|| path(of, &format!("{what}/{}", encoded(key))))
}

/// Adds a parameter to a query.
pub(super) fn add(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    query.push_str(value);
}

pub(super) fn add_range(query: &mut String, range: &KeyRange) {
    if !range.from.is_empty() {
        add(query, "from", &encoded(&range.from));
    }
    if let Some(to) = &range.to {
        add(query, "to", &encoded(to));
    }
}

fn add_at(query: &mut String, at: At) {
    match at {
        At::Durable | At::Newest => {}
        At::Seq(seq) => add(query, "at", &seq.to_string()),
        At::TimeMs(time_ms) => add(query, "at_ms", &time_ms.to_string()),
    }
}

/// The query and the headers of a put.
fn terms(put: &Put) -> (String, Vec<(&'static str, String)>) {
    let mut query = String::new();
    if let Some(ttl) = put.ttl {
        add(&mut query, "ttl", &format!("{}ms", ttl.as_millis()));
    }
    if let Some(durable) = put.durable {
        add(&mut query, "durable", if durable == Durable::Log { "log" } else { "bucket" });
    }
    let headers = match put.only {
        Only::Always => vec![],
        Only::Absent => vec![("if-none-match", "*".to_owned())],
        Only::Seq(seq) => vec![("if-match", format!("\"{seq}\""))],
    };
    (query, headers)
}

/// An entry whose value is not large.
fn small(of: &Namespace, entry: Entry) -> Result<Entry, Error> {
    match large_size(&entry) {
        None => Ok(entry),
        Some(size) => Err(Error::Large { namespace: of.clone(), key: entry.key.to_vec(), size }),
    }
}

impl Node {
    /// The entry of a key without its value, and the answer that has it.
    async fn opened(&self, key: &[u8], path: &str, at: At) -> Result<(Entry, Response), Error> {
        let mut query = String::new();
        add_at(&mut query, at);
        let (headers, body, again) = (&[][..], None, Again::Yes);
        let asked = Asked { method: Method::GET, path, query: &query, headers, body, again };
        let response = self.ask(&asked).await.map_err(told)?;
        let seq = number(&response, header::ETAG.as_str());
        let seq = Seq(seq.ok_or_else(|| told(strange("a value has no ETag")))?);
        let expires_ms = number(&response, "x-cairn-expires-ms");
        let size = number(&response, header::CONTENT_LENGTH.as_str());
        let large = size.filter(|size| *size > KV_VALUE_BYTES_MAX as u64);
        let (reference, key) = (large.map(large_reference), Bytes::copy_from_slice(key));
        Ok((Entry { key, value: Bytes::new(), reference, seq, expires_ms }, response))
    }

    async fn kv_get<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<T, Error> {
        let (headers, body, again) = (&[][..], None, Again::Yes);
        let asked = Asked { method: Method::GET, path, query, headers, body, again };
        let response = self.ask(&asked).await.map_err(told)?;
        self.json(response).await.map_err(told)
    }

    async fn kv_change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &str,
        headers: &[(&'static str, String)],
        body: Option<(&'static str, Bytes)>,
    ) -> Result<T, Error> {
        let asked = Asked { method, path, query, headers, body, again: Again::Unsent };
        let response = self.ask(&asked).await.map_err(told)?;
        self.json(response).await.map_err(told)
    }

    async fn set_namespace(
        &self,
        of: &Namespace,
        settings: SettingsChange,
        condition: &'static str,
    ) -> Result<Info, Error> {
        let SettingsChange { durable, history_ms } = settings;
        let asked = NamespaceSettings { clone_of: None, durable, history_ms };
        self.put_namespace(of, &asked, condition).await
    }

    async fn put_namespace(
        &self,
        of: &Namespace,
        asked: &NamespaceSettings,
        condition: &'static str,
    ) -> Result<Info, Error> {
        let body = json(asked)?;
        let headers = [(condition, "*".to_owned())];
        self.kv_change(Method::PUT, &path(of, ""), "", &headers, Some((JSON, body))).await
    }

    /// Opens a stream of lines.
    pub(super) async fn kv_lines(&self, path: &str, query: &str) -> Result<Response, Error> {
        let (headers, body, again) = ([("accept", LINES.to_owned())], None, Again::Yes);
        let asked = Asked { method: Method::GET, path, query, headers: &headers, body, again };
        self.ask_once(&asked).await.map_err(told)
    }
}

fn json<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let body = serde_json::to_vec(value);
    let why = |error| Error::Invalid { why: format!("a request is no JSON: {error}") };
    Ok(body.map_err(why)?.into())
}

/// A number in a header.
fn number(response: &Response, name: &str) -> Option<u64> {
    let text = response.headers().get(name)?.to_str().ok()?;
    text.trim_matches('"').parse().ok()
}

#[async_trait]
impl Store for Node {
    async fn create(&self, of: &Namespace, settings: SettingsChange) -> Result<Info, Error> {
        self.set_namespace(of, settings, "if-none-match").await
    }

    async fn clone_to(&self, of: &Namespace, to: &Namespace) -> Result<Info, Error> {
        of.check_clone(to)?;
        let clone_of = Some(of.name.to_string());
        let asked = NamespaceSettings { clone_of, ..NamespaceSettings::default() };
        self.put_namespace(to, &asked, "if-none-match").await
    }

    async fn change(&self, of: &Namespace, settings: SettingsChange) -> Result<Info, Error> {
        self.set_namespace(of, settings, "if-match").await
    }

    async fn list(&self, project: &ProjectName) -> Result<Vec<Namespace>, Error> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let mut query = String::new();
            if let Some(after) = &after {
                add(&mut query, "after", after);
            }
            let page: NamespacePage = self.kv_get(&format!("api/v1/kv/{project}"), &query).await?;
            for found in page.namespaces {
                let name = found.name.parse();
                let name = name.map_err(|_| told(strange("a namespace has no name")))?;
                all.push(Namespace { project: project.clone(), name });
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn status(&self, of: &Namespace) -> Result<Info, Error> {
        self.kv_get(&path(of, ""), "").await
    }

    async fn remove(&self, of: &Namespace) -> Result<(), Error> {
        let (path, again) = (path(of, ""), Again::Unsent);
        let (query, headers, body) = ("", &[][..], None);
        let asked = Asked { method: Method::DELETE, path: &path, query, headers, body, again };
        self.ask(&asked).await.map(drop).map_err(told)
    }

    async fn get(&self, of: &Namespace, key: &[u8], at: At) -> Result<Entry, Error> {
        let Some(path) = key_path(of, "keys", key) else {
            let scan = Scan { at, limit: 1, ..Scan::of(KeyRange::one(key)) };
            let found = self.scan(of, &scan).await?.entries.pop();
            let none = || Error::NoKey { namespace: of.clone(), key: key.to_vec() };
            return found.ok_or_else(none).and_then(|entry| small(of, entry));
        };
        let (entry, response) = self.opened(key, &path, at).await?;
        let entry = small(of, entry)?;
        let value = self.whole(response, KV_VALUE_BYTES_MAX).await.map_err(told)?;
        Ok(Entry { value, ..entry })
    }

    async fn read(&self, of: &Namespace, key: &[u8], at: At) -> Result<Value, Error> {
        let Some(path) = key_path(of, "keys", key) else {
            let entry = Store::get(self, of, key, at).await?;
            let (size, value) = (entry.value.len() as u64, entry.value.clone());
            let pieces = Box::pin(futures::stream::iter([Ok(value)]));
            return Ok(Value { entry: Entry { value: Bytes::new(), ..entry }, size, pieces });
        };
        let (entry, response) = self.opened(key, &path, at).await?;
        let size = number(&response, header::CONTENT_LENGTH.as_str()).unwrap_or(0);
        let pieces = Box::pin(self.pieces(response).map_err(told));
        Ok(Value { entry, size, pieces })
    }

    async fn write(
        &self,
        of: &Namespace,
        put: Put,
        size: Option<u64>,
        mut pieces: Pieces,
    ) -> Result<Committed, Error> {
        let mut first = BytesMut::from(put.value.as_ref());
        while first.len() <= KV_VALUE_BYTES_MAX {
            let Some(piece) = pieces.next().await.transpose()? else {
                return Store::put(self, of, Put { value: first.freeze(), ..put }).await;
            };
            first.extend_from_slice(&piece);
        }
        let path = key_path(of, "keys", &put.key).ok_or_else(|| {
            let why = "an address cannot hold this key: put a large value under another one";
            Error::Invalid { why: why.to_owned() }
        })?;
        let (query, mut headers) = terms(&put);
        headers.push((header::CONTENT_TYPE.as_str(), BYTES.to_owned()));
        let (method, again, body) = (Method::PUT, Again::Unsent, None);
        let asked = Asked { method, path: &path, query: &query, headers: &headers, body, again };
        let all = futures::stream::iter([Ok(first.freeze())]).chain(pieces);
        let sent = self.send_pieces(&asked, reqwest::Body::wrap_stream(all), size).await;
        let done: KeysCommitted = self.json(sent.map_err(told)?).await.map_err(told)?;
        Ok(Committed { seq: Seq(done.seq) })
    }

    async fn put(&self, of: &Namespace, put: Put) -> Result<Committed, Error> {
        let (query, headers) = terms(&put);
        let Put { key, value, ttl, only, .. } = put;
        if value.len() > KV_VALUE_BYTES_MAX {
            let (what, limit, unit) = ("the value", KV_VALUE_BYTES_MAX, "bytes");
            let size = value.len();
            return Err(cairn_partition::Error::TooLarge { what, size, limit, unit }.into());
        }
        let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let Some(path) = key_path(of, "keys", &key) else {
            return self.put_by_commit(of, key, value, ttl_ms, only).await;
        };
        let body = Some((BYTES, value));
        let done: KeysCommitted =
            self.kv_change(Method::PUT, &path, &query, &headers, body).await?;
        Ok(Committed { seq: Seq(done.seq) })
    }

    async fn commit(&self, of: &Namespace, commit: Commit) -> Result<Committed, Error> {
        if commit.reads.is_some() {
            let why = "a node takes conditions, and no transactions".to_owned();
            return Err(Error::Invalid { why });
        }
        self.send_commit(of, &KeyCommit::new(&commit)?).await
    }

    async fn touch(
        &self,
        of: &Namespace,
        key: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Touched, Error> {
        let Some(path) = key_path(of, "ttl", key) else {
            let why = "an address cannot hold this key: put it anew with a time to live";
            return Err(Error::Invalid { why: why.to_owned() });
        };
        let (method, query) = match ttl {
            Some(ttl) => (Method::PUT, format!("ttl={}ms", ttl.as_millis())),
            None => (Method::DELETE, String::new()),
        };
        self.kv_change(method, &path, &query, &[], None).await
    }

    async fn scan(&self, of: &Namespace, scan: &Scan) -> Result<Page, Error> {
        let mut query = format!("limit={}", scan.limit);
        add_range(&mut query, &scan.range);
        add_at(&mut query, scan.at);
        for (name, set) in [("reverse", scan.reverse), ("keys_only", scan.keys_only)] {
            if set {
                add(&mut query, name, "true");
            }
        }
        if let Some(cursor) = &scan.cursor {
            add(&mut query, "cursor", cursor.as_str());
        }
        let page: KeyPage = self.kv_get(&path(of, "scan"), &query).await?;
        let entries = page.entries.into_iter().map(crate::api::KeyEntry::entry);
        let next = page.next.map(|text| Cursor::from_text(&text)).transpose()?;
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, at: Seq(page.at), next })
    }

    async fn watch(
        &self,
        of: &Namespace,
        range: KeyRange,
        after: Option<Seq>,
    ) -> Result<Watch, Error> {
        let (node, of) = (self.clone(), of.clone());
        // Whether it can be watched is said at once.
        let watcher = Watcher::open(node, of, range, after).await?;
        Ok(Box::pin(futures::stream::try_unfold(watcher, |mut watcher| async move {
            let changes = watcher.next().await?;
            Ok(Some((changes, watcher)))
        })))
    }

    async fn export(&self, of: &Namespace, range: KeyRange, at: At) -> Result<Pieces, Error> {
        let mut query = String::new();
        add_range(&mut query, &range);
        add_at(&mut query, at);
        let response = self.kv_lines(&path(of, "export"), &query).await?;
        Ok(Box::pin(self.pieces(response).map_err(told)))
    }

    async fn import(&self, of: &Namespace, mut pieces: Pieces) -> Result<Imported, Error> {
        let (node, of) = (self.clone(), of.clone());
        let mut import = Import { node, of, part: Vec::new(), done: Imported::default(), line: 0 };
        let mut lines = Lines::default();
        while let Some(piece) = pieces.next().await {
            lines.push(&piece?);
            while let Some(line) = lines.next_line().map_err(|error| import.refused(&error))? {
                import.take(&line).await?;
            }
        }
        import.take(&lines.last()).await?;
        import.flush().await?;
        Ok(import.done)
    }
}

impl Node {
    async fn send_commit(&self, of: &Namespace, commit: &KeyCommit) -> Result<Committed, Error> {
        let body = Some((JSON, json(commit)?));
        let path = path(of, "commit");
        let done: KeysCommitted = self.kv_change(Method::POST, &path, "", &[], body).await?;
        Ok(Committed { seq: Seq(done.seq) })
    }

    async fn put_by_commit(
        &self,
        of: &Namespace,
        key: Bytes,
        value: Bytes,
        ttl_ms: Option<u64>,
        only: Only,
    ) -> Result<Committed, Error> {
        let condition = |expected| Condition { key: key.clone(), expected };
        let conditions = match only {
            Only::Always => vec![],
            Only::Absent => vec![condition(None)],
            Only::Seq(seq) => vec![condition(Some(seq))],
        };
        let ops = vec![Op::Put { key, value, expires_ms: None }];
        let commit = Commit { ops, conditions, ..Commit::default() };
        let mut commit = KeyCommit::new(&commit)?;
        for op in &mut commit.ops {
            if let crate::api::KeyOp::Put { ttl_ms: life, .. } = op {
                *life = ttl_ms;
            }
        }
        self.send_commit(of, &commit).await
    }
}

/// An import under way: whole lines, sent in parts.
struct Import {
    node: Node,
    of: Namespace,
    part: Vec<u8>,
    done: Imported,
    line: u64,
}

impl Import {
    async fn take(&mut self, line: &[u8]) -> Result<(), Error> {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        // The node would count lines of its part.
        self.line -= 1;
        decode(line).map_err(|error| self.refused(&error))?;
        self.line += 1;
        self.part.extend_from_slice(line);
        self.part.push(b'\n');
        if self.part.len() >= IMPORT_PART_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        if self.part.is_empty() {
            return Ok(());
        }
        let body = Some((LINES, Bytes::from(std::mem::take(&mut self.part))));
        let path = path(&self.of, "import");
        let (method, query, headers, again) = (Method::POST, "", &[][..], Again::Yes);
        let asked = Asked { method, path: &path, query, headers, body, again };
        let put = async {
            let response = self.node.ask(&asked).await?;
            self.node.json::<Imported>(response).await
        };
        let put = put.await.map_err(|error| Error::Import {
            line: self.line,
            entries: self.done.entries,
            why: error.to_string(),
            kind: error.kind(),
        })?;
        self.done.entries += put.entries;
        self.done.bytes += put.bytes;
        self.done.seq = put.seq;
        Ok(())
    }

    /// What is said of the line after the last one that was taken.
    fn refused(&self, error: &Error) -> Error {
        let (line, entries) = (self.line + 1, self.done.entries);
        Error::Line { line, why: error.to_string(), entries }
    }
}

const _: () = assert!(LINE_BYTES_MAX > 6 * KV_VALUE_BYTES_MAX, "a line of a watch fits");
