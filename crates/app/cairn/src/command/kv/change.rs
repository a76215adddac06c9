//! What changes keys.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use cairn_kv::{At, Commit, Error, KeyRange, Only, Op, Pieces, Put, Seq, Touched};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::{Place, bytes, committed, level, prefix_range};
use crate::cli::{KvDel, KvPut};
use crate::context::Context;
use crate::exit::Usage;
use crate::output::{self, age, time};

/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

pub(super) async fn put(context: &Context, args: &KvPut) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::of(context, &args.namespace)?;
    let input = match (&args.file, &args.value) {
        (Some(file), _) => Input::file(file).await?,
        (None, Some(value)) => Input::typed(value)?,
        (None, None) => return Err(Usage("give a value, or --file".to_owned()).into()),
    };
    let ttl = args.ttl.as_deref().map(age).transpose()?.map(Duration::from_secs);
    let only = match (args.if_absent, args.if_seq) {
        (true, _) => Only::Absent,
        (false, Some(seq)) => Only::Seq(Seq(seq)),
        (false, None) => Only::Always,
    };
    let durable = args.durable.map(level);
    let put = Put { key: bytes(&args.key), value: Bytes::new(), ttl, only, durable };
    let done = store.write(&namespace, put, input.size, input.pieces).await?;
    committed(context, done.seq)
}

pub(super) async fn cas(
    context: &Context,
    namespace: &str,
    key: &OsStr,
    expect: u64,
    value: &OsStr,
) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::of(context, namespace)?;
    let only = if expect == 0 { Only::Absent } else { Only::Seq(Seq(expect)) };
    let (put, input) = (Put { key: bytes(key), only, ..Put::default() }, Input::typed(value)?);
    let done = store.write(&namespace, put, input.size, input.pieces).await?;
    committed(context, done.seq)
}

/// Bytes that a command takes.
struct Input {
    /// How many, where that is known.
    size: Option<u64>,
    pieces: Pieces,
}

impl Input {
    async fn file(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("reading {}", path.display());
        let file = tokio::fs::File::open(path).await.with_context(named)?;
        let about = file.metadata().await.with_context(named)?;
        let size = about.is_file().then_some(about.len());
        Ok(Self { size, pieces: pieces(file) })
    }

    fn stdin() -> anyhow::Result<Self> {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self { size: None, pieces: pieces(tokio::fs::File::from_std(input.into())) })
    }

    /// What was typed; `-` is standard input.
    fn typed(value: &OsStr) -> anyhow::Result<Self> {
        if value == "-" {
            return Self::stdin();
        }
        let value = bytes(value);
        let size = Some(value.len() as u64);
        Ok(Self { size, pieces: Box::pin(futures::stream::iter([Ok(value)])) })
    }
}

pub(super) async fn del(context: &Context, args: &KvDel) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::of(context, &args.namespace)?;
    let ops = match (&args.prefix, args.range.as_deref(), args.all) {
        (Some(prefix), ..) => vec![Op::DeleteRange(prefix_range(Some(prefix)))],
        (None, Some([from, to]), _) => {
            vec![Op::DeleteRange(KeyRange::between(bytes(from), bytes(to)))]
        }
        (None, _, true) => vec![Op::DeleteRange(KeyRange::all())],
        (None, _, false) => args.keys.iter().map(|key| Op::Delete { key: bytes(key) }).collect(),
    };
    let commit = Commit { ops, ..Commit::default() };
    committed(context, store.commit(&namespace, commit).await?.seq)
}

pub(super) async fn ttl(
    context: &Context,
    namespace: &str,
    key: &OsStr,
    duration: Option<&str>,
    none: bool,
) -> anyhow::Result<()> {
    let shown = duration.is_none() && !none;
    let Place { store, namespace } = match shown {
        true => Place::read(context, namespace).await?,
        false => Place::of(context, namespace)?,
    };
    let key = bytes(key);
    let Touched { seq, expires_ms } = match (duration, none) {
        (None, false) => {
            let entry = store.get(&namespace, &key, At::Durable).await?;
            Touched { seq: entry.seq, expires_ms: entry.expires_ms }
        }
        (duration, _) => {
            let ttl = duration.map(age).transpose()?.map(Duration::from_secs);
            store.touch(&namespace, &key, ttl).await?
        }
    };
    if context.global.json {
        return output::json(&json!({ "seq": seq.0, "expires_ms": expires_ms }));
    }
    let ns = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    output::line(
        &expires_ms
            .map_or("lives for ever".to_owned(), |ms| format!("lives until {}", time(ns(ms)))),
    )
}

pub(super) async fn import(
    context: &Context,
    namespace: &str,
    file: Option<&Path>,
) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::of(context, namespace)?;
    let input = match file {
        Some(file) => Input::file(file).await?,
        None => Input::stdin()?,
    };
    let done = store.import(&namespace, input.pieces).await?;
    if context.global.json {
        return output::json(&done);
    }
    let (entries, size) = (done.entries, output::bytes(done.bytes));
    output::line(&format!("imported {entries} keys, {size}, into {namespace}"))
}

fn pieces(from: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> Pieces {
    Box::pin(futures::stream::try_unfold(from, |mut from| async move {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut from).take(PIECE_BYTES as u64).read_to_end(&mut piece).await;
        let failed = |error: std::io::Error| Error::Invalid {
            why: format!("the input cannot be read: {error}"),
        };
        let read = read.map_err(failed)?;
        Ok((read > 0).then(|| (Bytes::from(piece), from)))
    }))
}
