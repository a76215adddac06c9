//! What looks at keys.

use std::ffi::OsStr;
use std::io::Write as _;

use anyhow::Context as _;
use cairn_http::api::{KeyChange, KeyEntry};
use cairn_kv::{Entry, KeyRange, Scan, Seq, Value, What, large_size};
use futures::TryStreamExt as _;

use super::{Place, bytes, prefix_range, state, told};
use crate::cli::{KvGet, KvScan};
use crate::context::Context;
use crate::output::{self, time};

/// Entries that are asked for at a time.
const PAGE: usize = 1000;
/// Characters of a value that a list shows.
const VALUE_CHARS: usize = 60;

pub(super) async fn get(context: &Context, args: &KvGet) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::read(context, &args.namespace).await?;
    let at = state(context, args.at.as_deref())?;
    let Value { mut entry, mut pieces, .. } = store.read(&namespace, &bytes(&args.key), at).await?;
    if let Some(file) = &args.output {
        let named = || format!("writing {}, which is not whole", file.display());
        let mut to = std::fs::File::create(file).with_context(named)?;
        while let Some(piece) = pieces.try_next().await.with_context(named)? {
            to.write_all(&piece).with_context(named)?;
        }
        if !context.global.json {
            return Ok(());
        }
        return output::json(&KeyEntry::new(&entry, true));
    }
    if context.global.json {
        if large_size(&entry).is_none() {
            entry.value = pieces.try_collect::<Vec<_>>().await?.concat().into();
        }
        return output::json(&KeyEntry::new(&entry, false));
    }
    while let Some(piece) = pieces.try_next().await? {
        output::data(&piece)?;
    }
    Ok(())
}

pub(super) async fn scan(context: &Context, args: &KvScan) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::read(context, &args.namespace).await?;
    let range = match (&args.from, &args.to) {
        (None, None) => prefix_range(args.prefix.as_deref()),
        (from, to) => {
            let from = from.as_deref().map(bytes).unwrap_or_default();
            KeyRange { from, to: to.as_deref().map(bytes) }
        }
    };
    let mut left = args.limit.unwrap_or(usize::MAX);
    let at = state(context, args.at.as_deref())?;
    let mut scan = Scan { reverse: args.reverse, keys_only: args.keys, at, ..Scan::of(range) };
    while left > 0 {
        scan.limit = left.min(PAGE);
        let page = store.scan(&namespace, &scan).await?;
        left -= page.entries.len().min(left);
        for entry in &page.entries {
            show(context, entry, args.keys)?;
        }
        match page.next {
            Some(next) => scan.cursor = Some(next),
            None => break,
        }
    }
    Ok(())
}

fn show(context: &Context, entry: &Entry, keys_only: bool) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(&KeyEntry::new(entry, keys_only));
    }
    if keys_only {
        return output::line(&told(&entry.key));
    }
    output::line(&format!("{:>8}  {}  {}", entry.seq, told(&entry.key), value(entry)))
}

/// The beginning of a value, or how long a large one is.
fn value(entry: &Entry) -> String {
    match large_size(entry) {
        Some(size) => format!("({})", output::bytes(size)),
        None => beginning(&entry.value),
    }
}

/// The beginning of a value, on one line.
fn beginning(value: &[u8]) -> String {
    let shown = told(value.get(..4 * VALUE_CHARS).unwrap_or(value));
    let cut: String = shown.chars().take(VALUE_CHARS).collect();
    if cut.len() < shown.len() || value.len() > 4 * VALUE_CHARS { cut + "…" } else { cut }
}

pub(super) async fn watch(
    context: &Context,
    namespace: &str,
    prefix: Option<&OsStr>,
    after: Option<u64>,
) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::read(context, namespace).await?;
    let mut watch = store.watch(&namespace, prefix_range(prefix), after.map(Seq)).await?;
    while let Some(told) = watch.try_next().await? {
        let count = told.changes.len();
        if count == 0 && context.global.json {
            output::json(&KeyChange::at(told.upto))?;
        }
        for (index, change) in told.changes.iter().enumerate() {
            if context.global.json {
                let next = told.changes.get(index + 1).map(|next| next.seq);
                output::json(&KeyChange::new(change, next != Some(change.seq)))?;
                continue;
            }
            let ns = i64::try_from(change.time_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            output::line(&format!("{:>8}  {}  {}", change.seq, time(ns), happened(&change.what)))?;
        }
    }
    Ok(())
}

fn happened(what: &What) -> String {
    match what {
        What::Put(entry) => format!("put     {}  {}", told(&entry.key), value(entry)),
        What::Deleted { key, expired: true } => format!("expired {}", told(key)),
        What::Deleted { key, expired: false } => format!("deleted {}", told(key)),
        What::RangeDeleted(range) => {
            let to = range.to.as_ref().map_or("the end".to_owned(), |to| told(to));
            format!("deleted {} to {to}", told(&range.from))
        }
    }
}

pub(super) async fn export(
    context: &Context,
    namespace: &str,
    prefix: Option<&OsStr>,
    at: Option<&str>,
) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::read(context, namespace).await?;
    let at = state(context, at)?;
    let mut pieces = store.export(&namespace, prefix_range(prefix), at).await?;
    while let Some(piece) = pieces.try_next().await? {
        output::data(&piece)?;
    }
    Ok(())
}
