//! The checkers. Each starts from a fresh handle: what it sees is what a new process would.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::CollectOptions;
use cairn_datasets::{Browser, Error, Listed, Tag, Target, Version};
use cairn_tree::{Content, Entry, Kind};
use futures::TryStreamExt as _;

use crate::model::{Call, State};
use crate::trees::Files;
use crate::world::{Fate, Handle, World, datasets, fate, targets};

/// Collections after which nothing may be left: leases and announcements end in the first, packs are
/// condemned in the second, die in the third, and what was written again takes that way once more.
const COLLECTIONS: usize = 6;

/// Reads a version through the manifest, every byte.
///
/// # Errors
/// As [`Browser`].
pub async fn read_whole(
    handle: &Handle,
    target: &Target,
    version: &Version,
) -> Result<Files, Error> {
    let browser = Browser::new(Arc::clone(&handle.store), target.dataset.clone());
    let root = browser.root(version.root).await?;
    let kind = Kind::Directory { page: root.page, totals: root.totals };
    let top = Entry { name: Vec::new(), meta: root.meta.clone(), kind };
    let mut found: Vec<(String, Content)> = Vec::new();
    let mut visit = |listed: &Listed| {
        if let Kind::File { content } = &listed.entry.kind {
            found.push((String::from_utf8_lossy(&listed.path).into_owned(), content.clone()));
        }
        Ok::<_, Error>(true)
    };
    browser.walk(&top, &[], &mut visit).await?;
    let mut files = Files::new();
    for (path, content) in found {
        let mut bytes = Vec::new();
        let mut pieces = browser.content(&content, 0..content.len).await?;
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
        files.insert(path, Bytes::from(bytes));
    }
    Ok(files)
}

/// BUCKET-1 and BLOCKS-1 for every ref.
pub(crate) async fn refs(world: &World) {
    let handle = match world.open().await {
        Ok(handle) => handle,
        Err(error) => return world.model.broken("BUCKET-2", error),
    };
    let mut seen: Vec<(Target, Option<Tag>)> = Vec::new();
    for target in targets() {
        match handle.store.tag(&target).await {
            Ok(tag) => seen.push((target, Some(tag))),
            Err(error) if error.kind() == ErrorKind::NotFound => seen.push((target, None)),
            Err(error) => return world.model.broken("BUCKET-1", format!("{target}: {error}")),
        }
    }
    for (target, tag) in &seen {
        for version in tag.iter().flat_map(versions) {
            whole(world, &handle, target, version).await;
        }
    }
    let mut state = world.model.state();
    let mut broken = Vec::new();
    for (target, tag) in &seen {
        let found: Vec<&Version> = tag.iter().flat_map(versions).collect();
        broken.extend(acknowledged(&state, target, &found));
        broken.extend(ordered(&state, target, &found));
    }
    for suspicion in std::mem::take(&mut state.suspicions) {
        let there = seen.iter().any(|(target, tag)| {
            *target == suspicion.target
                && tag.iter().flat_map(versions).any(|version| version.by == suspicion.by)
        });
        if there {
            let (target, by, error) = (suspicion.target, suspicion.by, suspicion.error);
            broken.push(format!("BLOCKS-1: a read of {target} of {by} failed: {error}"));
        }
    }
    state.broken.extend(broken);
}

fn versions(tag: &Tag) -> impl Iterator<Item = &Version> {
    std::iter::once(&tag.current).chain(&tag.history)
}

/// BLOCKS-1 for one version.
async fn whole(world: &World, handle: &Handle, target: &Target, version: &Version) {
    let found = read_whole(handle, target, version).await;
    let mut state = world.model.state();
    let by = &version.by;
    let Some(publish) = state.publish(by).cloned() else {
        state.broken.push(format!("BUCKET-1: {target} has a version of nobody: {by}"));
        return;
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            state.broken.push(format!("BLOCKS-1: {target} of {by} cannot be read: {error}"));
            return;
        }
    };
    let known = state.contents.get(&version.root).cloned();
    let wanted = publish.files.or(known);
    if wanted.as_ref().is_some_and(|wanted| **wanted != found) {
        state.broken.push(format!("BLOCKS-1: {target} of {by} reads as something else"));
    }
    state.contents.insert(version.root, Arc::new(found));
    if !publish.call.targets.contains(target) {
        state.broken.push(format!("BUCKET-1: {by} was not published to {target}"));
    }
}

/// BUCKET-1: what was acknowledged is there, unless something may have taken it away.
fn acknowledged(state: &State, target: &Target, found: &[&Version]) -> Vec<String> {
    let fate = fate(&target.dataset);
    let mut broken = Vec::new();
    let removed = |began: u64| {
        let may = |call: &&Call| call.targets.contains(target) && after(call, began);
        state.removes.iter().find(may)
    };
    let calls = state.publishes.iter().enumerate();
    for (number, publish) in calls.filter(|(_, publish)| publish.call.targets.contains(target)) {
        let (call, by) = (&publish.call, format!("op-{number}"));
        let there = found.iter().any(|version| version.by == by);
        if there || call.ended.is_none() {
            continue;
        }
        let superseded = || {
            state.publishes.iter().enumerate().any(|(other, publish)| {
                other != number
                    && publish.call.targets.contains(target)
                    && after(&publish.call, call.began)
            })
        };
        let gone = match fate {
            Fate::Strict => false,
            Fate::Wild => removed(call.began).is_some() || superseded(),
            Fate::Fleeting => true,
        };
        if !gone {
            broken.push(format!("BUCKET-1: {target} has lost {by}"));
        }
    }
    for remove in state.removes.iter().filter(|call| call.targets.contains(target)) {
        let Some(_) = remove.ended else { continue };
        for version in found {
            let publish = state.publish(&version.by);
            let before = publish.and_then(|publish| publish.call.ended);
            if before.is_some_and(|ended| ended < remove.began) {
                broken.push(format!("BUCKET-1: {} came back to {target}", version.by));
            }
        }
    }
    broken
}

/// Whether a call may have had its effect after the tick `began`.
fn after(call: &Call, began: u64) -> bool {
    call.ended.is_none_or(|ended| ended > began)
}

/// A history has the order of the calls, and each of them once.
fn ordered(state: &State, target: &Target, found: &[&Version]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut names = BTreeSet::new();
    for (place, newer) in found.iter().enumerate() {
        let Some(publish) = state.publish(&newer.by) else { continue };
        if !names.insert(&newer.by) && !publish.repeats {
            broken.push(format!("BUCKET-1: {} stands twice in {target}", newer.by));
        }
        for older in &found[place + 1..] {
            let Some(other) = state.publish(&older.by) else { continue };
            if publish.call.ended.is_some_and(|ended| ended < other.call.began) {
                let (newer, older) = (&newer.by, &older.by);
                broken.push(format!("BUCKET-1: {target} has {newer} above {older}"));
            }
        }
    }
    broken
}

/// BLOCKS-4: collections come to an end. Nothing is left that no ref reaches, and no object that
/// nobody knows.
pub async fn progress(world: &World) {
    let handle = match world.open().await {
        Ok(handle) => handle,
        Err(error) => return world.model.broken("BUCKET-2", error),
    };
    let options = CollectOptions {
        grace: Duration::ZERO,
        lease: Duration::from_secs(3600),
        rewrite_below_percent: 100,
        dry_run: false,
    };
    let mut last = None;
    for _ in 0..COLLECTIONS {
        world.env.clock.sleep(Duration::from_secs(1)).await;
        match handle.datasets.collect(options).await {
            Ok(collected) => last = Some(collected.blocks),
            Err(error) => return world.model.broken("BLOCKS-1", format!("a collection: {error}")),
        }
    }
    let fresh = match world.open().await {
        Ok(handle) => handle,
        Err(error) => return world.model.broken("BUCKET-2", error),
    };
    let usage = fresh.datasets.blocks().usage();
    let (packs, runs) = (count(world, "packs").await, count(world, "index").await);
    let last = last.unwrap_or_default();
    let clean = last.chunks == last.chunks_live
        && last.bytes == last.bytes_live
        && last.packs_deleted + last.orphans_deleted + last.packs_condemned == 0
        && (usage.condemned, usage.sessions) == (0, 0)
        && (usage.packs, usage.runs) == (packs, runs);
    if !clean {
        let what = format!("garbage is left: {last:?} {usage:?} {packs} packs {runs} runs");
        world.model.broken("BLOCKS-4", what);
    }
}

async fn count(world: &World, prefix: &str) -> u64 {
    let listed: Result<Vec<_>, _> = world.bucket.list(prefix).try_collect().await;
    listed.map_or(u64::MAX, |heads| heads.len() as u64)
}

/// The engine's own verification agrees.
pub(crate) async fn verified(world: &World) {
    let Ok(handle) = world.open().await else { return };
    match handle.datasets.verify(Arc::new(|_| ())).await {
        Ok(verified) if verified.blocks.findings.is_empty() => {}
        Ok(verified) => world.model.broken("BLOCKS-1", format!("{:?}", verified.blocks.findings)),
        Err(error) => world.model.broken("BLOCKS-1", format!("a verification: {error}")),
    }
    for dataset in datasets() {
        if let Err(error) = handle.store.tags(&dataset).await
            && error.kind() != ErrorKind::NotFound
        {
            world.model.broken("BUCKET-1", error);
        }
    }
}
