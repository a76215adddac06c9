//! What changes keys.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use cairn_kv::{At, Commit, Error, KeyRange, Only, Op, Pieces, Put, Seq, Touched, limits};
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
    let value = match (&args.file, &args.value) {
        (Some(file), _) => {
            let named = || format!("reading {}", file.display());
            value_of(std::fs::File::open(file).with_context(named)?).with_context(named)?
        }
        (None, Some(value)) => typed(value)?,
        (None, None) => return Err(Usage("give a value, or --file".to_owned()).into()),
    };
    let ttl = args.ttl.as_deref().map(age).transpose()?.map(Duration::from_secs);
    let only = match (args.if_absent, args.if_seq) {
        (true, _) => Only::Absent,
        (false, Some(seq)) => Only::Seq(Seq(seq)),
        (false, None) => Only::Always,
    };
    let durable = args.durable.map(level);
    let put = Put { key: bytes(&args.key), value, ttl, only, durable };
    committed(context, store.put(&namespace, put).await?.seq)
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
    let put = Put { key: bytes(key), value: typed(value)?, only, ..Put::default() };
    committed(context, store.put(&namespace, put).await?.seq)
}

fn typed(value: &OsStr) -> anyhow::Result<Bytes> {
    if value == "-" { value_of(std::io::stdin().lock()) } else { Ok(bytes(value)) }
}

/// All that there is to read, or one byte more than a value may have: then the store refuses it.
fn value_of(from: impl std::io::Read) -> anyhow::Result<Bytes> {
    let mut value = Vec::new();
    from.take(limits::VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut value)?;
    Ok(value.into())
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
    let Place { store, namespace } = Place::of(context, namespace)?;
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
    let pieces = match file {
        Some(file) => {
            let opened = tokio::fs::File::open(file).await;
            pieces(opened.with_context(|| format!("reading {}", file.display()))?)
        }
        None => {
            let input = std::io::stdin().as_fd().try_clone_to_owned()?;
            pieces(tokio::fs::File::from_std(input.into()))
        }
    };
    let done = store.import(&namespace, pieces).await?;
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
            why: format!("what is to be imported cannot be read: {error}"),
        };
        let read = read.map_err(failed)?;
        Ok((read > 0).then(|| (Bytes::from(piece), from)))
    }))
}
