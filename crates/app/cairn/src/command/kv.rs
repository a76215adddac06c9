//! Namespaces of keys, and keys: on a node, by the face that its engine has too.

mod change;
mod read;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use bytes::Bytes;
use cairn_base::{ProjectName, Reference};
use cairn_kv::{At, Durable, Info, KeyRange, Namespace, Seq, SettingsChange, Store};
use serde_json::json;

use crate::cli::{self, KvSettings, Level};
use crate::context::{Context, version_reference};
use crate::exit::Usage;
use crate::output::{self, age, shown};

pub(crate) async fn kv(context: &Context, args: &cli::Kv) -> anyhow::Result<()> {
    match args {
        cli::Kv::Create(args) => {
            let place = Place::of(context, &args.namespace)?;
            status(context, &place.store.create(&place.namespace, settings(args)?).await?)
        }
        cli::Kv::Clone { source, namespace } => {
            let (from, to) = (Place::of(context, source)?, Place::of(context, namespace)?);
            if namespace_reference(source)?.host != namespace_reference(namespace)?.host {
                let what = format!("{source} and {namespace} are not on the same node");
                return Err(Usage(what).into());
            }
            status(context, &from.store.clone_to(&from.namespace, &to.namespace).await?)
        }
        cli::Kv::Ls { project } => ls(context, project.as_deref()).await,
        cli::Kv::Status { namespace } => {
            let place = Place::read(context, namespace).await?;
            status(context, &place.store.status(&place.namespace).await?)
        }
        cli::Kv::Set(args) => {
            let place = Place::of(context, &args.namespace)?;
            status(context, &place.store.change(&place.namespace, settings(args)?).await?)
        }
        cli::Kv::Rm { namespace, yes } => rm(context, namespace, *yes).await,
        cli::Kv::Put(args) => change::put(context, args).await,
        cli::Kv::Get(args) => read::get(context, args).await,
        cli::Kv::Del(args) => change::del(context, args).await,
        cli::Kv::Scan(args) => read::scan(context, args).await,
        cli::Kv::Watch { namespace, prefix, after } => {
            read::watch(context, namespace, prefix.as_deref(), *after).await
        }
        cli::Kv::Cas { namespace, key, expect, value } => {
            change::cas(context, namespace, key, *expect, value).await
        }
        cli::Kv::Ttl { namespace, key, duration, none } => {
            change::ttl(context, namespace, key, duration.as_deref(), *none).await
        }
        cli::Kv::Export { namespace, prefix, at } => {
            read::export(context, namespace, prefix.as_deref(), at.as_deref()).await
        }
        cli::Kv::Import { namespace, file } => {
            change::import(context, namespace, file.as_deref()).await
        }
    }
}

/// A namespace, and where it is.
struct Place {
    store: Arc<dyn Store>,
    namespace: Namespace,
}

impl Place {
    /// Where it can be changed.
    fn of(context: &Context, text: &str) -> anyhow::Result<Self> {
        let reference = namespace_reference(text)?;
        let store = context.keys(Some(&reference))?;
        Ok(Self { store, namespace: named(reference) })
    }

    /// Where it can be read: the bucket will do.
    async fn read(context: &Context, text: &str) -> anyhow::Result<Self> {
        let reference = namespace_reference(text)?;
        let store = context.keys_read(Some(&reference)).await?;
        Ok(Self { store, namespace: named(reference) })
    }
}

fn namespace_reference(text: &str) -> anyhow::Result<Reference> {
    let reference = version_reference(text)?;
    if reference.tag.is_some() {
        let what = format!("{text:?} names a tag; a namespace is [HOST/][@PROJECT/]NAME");
        return Err(Usage(what).into());
    }
    Ok(reference)
}

fn named(reference: Reference) -> Namespace {
    Namespace { project: reference.project, name: reference.name }
}

fn settings(args: &KvSettings) -> anyhow::Result<SettingsChange> {
    let history = args.history.as_deref().map(age).transpose()?;
    let history_ms = history.map(|seconds| seconds.saturating_mul(1000));
    Ok(SettingsChange { durable: args.durable.map(level), history_ms })
}

fn level(level: Level) -> Durable {
    match level {
        Level::Log => Durable::Log,
        Level::Bucket => Durable::Bucket,
    }
}

fn status(context: &Context, info: &Info) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(info);
    }
    let level = if info.durable == Durable::Log { "log" } else { "bucket" };
    output::line(&format!(
        "@{}/{}\n  commits         {} ({} acknowledged, readable from {})\n  acknowledged by {level}\n  \
         history         {} s",
        info.project,
        info.name,
        info.seq,
        info.durable_seq,
        info.oldest_seq,
        info.history_ms / 1000,
    ))?;
    let Some(lost) = &info.lost else { return Ok(()) };
    let after = lost.after_ms.map_or_else(|| "its beginning".to_owned(), time);
    output::line(&format!(
        "  may be lost     what node {} acknowledged at level log from {after} to {}: its log {} was gone",
        lost.node,
        time(lost.noticed_ms),
        lost.log,
    ))
}

fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| ms.to_string(), |time| format!("{time:.0}"))
}

async fn ls(context: &Context, project: Option<&str>) -> anyhow::Result<()> {
    let project: ProjectName = match project {
        None => ProjectName::default(),
        Some(text) => text.strip_prefix('@').unwrap_or(text).parse()?,
    };
    for namespace in context.keys_read(None).await?.list(&project).await? {
        if context.global.json {
            let (project, name) = (namespace.project.as_str(), namespace.name.as_str());
            output::json(&json!({ "project": project, "name": name }))?;
        } else {
            output::line(&namespace.to_string())?;
        }
    }
    Ok(())
}

async fn rm(context: &Context, text: &str, yes: bool) -> anyhow::Result<()> {
    let Place { store, namespace } = Place::of(context, text)?;
    if !yes {
        let what = format!("{namespace} goes with all its keys, for good; say --yes to do it");
        return Err(Usage(what).into());
    }
    store.remove(&namespace).await?;
    if context.global.json {
        return output::json(&json!({ "removed": namespace.to_string() }));
    }
    output::line(&format!("removed {namespace}"))
}

fn bytes(text: &OsStr) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn prefix_range(prefix: Option<&OsStr>) -> KeyRange {
    prefix.map_or_else(KeyRange::all, |prefix| KeyRange::prefix(bytes(prefix)))
}

/// A commit, a moment, or an age.
fn state(context: &Context, text: Option<&str>) -> anyhow::Result<At> {
    let Some(text) = text else { return Ok(At::Durable) };
    if let Ok(seq) = text.parse() {
        return Ok(At::Seq(Seq(seq)));
    }
    let moment = output::moment(text, context.env.clock.wall_ns()).ok_or_else(|| {
        Usage(format!(
            "{text:?} is no state; write a commit (17), a time (2026-11-22T10:00:00Z) or how long ago \
             (15m)"
        ))
    })?;
    Ok(At::TimeMs(u64::try_from(moment.div_euclid(1_000_000)).unwrap_or(0)))
}

/// Bytes for people: text as it is, without what acts on a terminal, and other bytes as escapes.
fn told(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => shown(text),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

fn committed(context: &Context, seq: Seq) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(&json!({ "seq": seq.0 }));
    }
    output::line(&format!("commit {seq}"))
}
