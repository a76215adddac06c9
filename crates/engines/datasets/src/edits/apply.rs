//! Puts changes into a version: its directories are walked beside the plan, those that the plan does not
//! name keep their pages.

use std::cmp::Ordering;
use std::collections::btree_map;
use std::iter::Peekable;

use bytes::Bytes;
use cairn_chunk::ChunkId;
use cairn_tree::{DirectoryBuilder, Entry, Kind, Meta, Root, Totals};

use super::links;
use super::plan::{Plan, Put};
use crate::error::Error;
use crate::model::Version;
use crate::pages::{Browser, Entries, default_directory_meta, kind_name};
use crate::push::{Sink, emit};

/// The root of `base` with the changes of `plan`, all of whose pages went to the sink.
pub(super) async fn apply(
    browser: &Browser,
    base: Option<&Version>,
    mut plan: Plan,
    sink: &mut Sink<'_>,
) -> Result<(ChunkId, Totals), Error> {
    let root = match base {
        Some(version) => Some(browser.root(version.root).await?),
        None if plan.is_empty() => {
            return Err(Error::invalid("there is nothing to publish: the edit has no file"));
        }
        None => None,
    };
    let stays = root.as_ref().filter(|_| !plan.removed);
    if let Some(root) = stays {
        links::keep(browser, root, &mut plan).await?;
    }
    let page = stays.and_then(|root| root.page);
    let meta = match root {
        Some(root) => root.meta,
        None => default_directory_meta(plan.newest.unwrap_or_default()),
    };
    let mut merge =
        Merge { browser, sink, levels: vec![Level::new(browser, Vec::new(), meta, page, plan)] };
    let root = merge.run().await?;
    let totals = root.totals;
    let page = root.encode()?;
    let id = sink.key().id(&page);
    sink.pages(&mut vec![(id, Bytes::from(page))]).await?;
    sink.flush().await?;
    Ok((id, totals))
}

/// A directory that is being made.
struct Level {
    name: Vec<u8>,
    meta: Meta,
    /// What the version has there.
    old: Entries,
    next: Option<Entry>,
    plans: Peekable<btree_map::IntoIter<Vec<u8>, Plan>>,
    builder: DirectoryBuilder,
}

impl Level {
    fn new(
        browser: &Browser,
        name: Vec<u8>,
        meta: Meta,
        page: Option<ChunkId>,
        plan: Plan,
    ) -> Self {
        let (old, plans) = (browser.entries(page), plan.below.into_iter().peekable());
        Self { name, meta, old, next: None, plans, builder: DirectoryBuilder::new() }
    }
}

struct Merge<'a, 's> {
    browser: &'a Browser,
    sink: &'a mut Sink<'s>,
    levels: Vec<Level>,
}

/// What becomes of a name.
enum Fate {
    Gone,
    Entry(Entry),
    Directory(Box<Level>),
}

impl Merge<'_, '_> {
    async fn run(&mut self) -> Result<Root, Error> {
        loop {
            let level = self.levels.last_mut().expect("the top level is left last");
            if level.next.is_none() {
                level.next = level.old.next().await?;
            }
            let fate = match (&level.next, level.plans.peek()) {
                (None, None) => {
                    let level = self.levels.pop().expect("it was looked at above");
                    let (page, totals) = self.sink.directory(level.builder).await?;
                    if self.levels.is_empty() {
                        return Ok(Root { meta: level.meta, page, totals });
                    }
                    let kind = Kind::Directory { page, totals };
                    Fate::Entry(Entry { name: level.name, meta: level.meta, kind })
                }
                (Some(_), None) => keep(level),
                (None, Some(_)) => self.change(false)?,
                (Some(entry), Some((name, _))) => match entry.name.cmp(name) {
                    Ordering::Less => keep(level),
                    Ordering::Equal => self.change(true)?,
                    Ordering::Greater => self.change(false)?,
                },
            };
            match fate {
                Fate::Gone => {}
                Fate::Entry(entry) => self.push(&entry).await?,
                Fate::Directory(level) => self.levels.push(*level),
            }
        }
    }

    /// Carries out the next plan, on what the version has of that name if it has it.
    fn change(&mut self, there: bool) -> Result<Fate, Error> {
        let level = self.levels.last_mut().expect("the top level is left last");
        let old = if there { level.next.take() } else { None };
        let (name, mut plan) = level.plans.next().expect("it was looked at before");
        let old = old.filter(|_| !plan.removed);
        if let Some(entry) = plan.entry.take() {
            return Ok(Fate::Entry(entry));
        }
        let wrong = |old: &Entry, expected| {
            Err(Error::WrongKind { path: self.shown(&name), found: kind_name(&old.kind), expected })
        };
        if let Some(put) = plan.put {
            return match old {
                Some(old) if matches!(old.kind, Kind::Directory { .. }) => wrong(&old, "a file"),
                old => Ok(Fate::Entry(file(name, put, old))),
            };
        }
        match old {
            Some(Entry { meta, kind: Kind::Directory { page, .. }, .. }) => {
                Ok(Fate::Directory(Box::new(Level::new(self.browser, name, meta, page, plan))))
            }
            Some(old) if plan.newest.is_some() => wrong(&old, "a directory"),
            Some(old) => Ok(Fate::Entry(old)),
            None => Ok(match plan.newest {
                // Nothing is put below: there is no reason for a directory.
                None => Fate::Gone,
                Some(newest) => {
                    let meta = default_directory_meta(newest);
                    Fate::Directory(Box::new(Level::new(self.browser, name, meta, None, plan)))
                }
            }),
        }
    }

    /// The path of a name in the directory that is open.
    fn shown(&self, name: &[u8]) -> String {
        let names = self.levels.iter().skip(1).map(|level| level.name.as_slice());
        let names: Vec<&[u8]> = names.chain([name]).collect();
        String::from_utf8_lossy(&names.join(&b'/')).into_owned()
    }

    async fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut pages = Vec::new();
        let key = self.sink.key().clone();
        let level = self.levels.last_mut().expect("the top level is left last");
        level.builder.push(entry, &mut emit(&key, &mut pages))?;
        self.sink.pages(&mut pages).await
    }
}

fn keep(level: &mut Level) -> Fate {
    level.next.take().map_or(Fate::Gone, Fate::Entry)
}

/// The entry of a file that is put. One that takes a file's place keeps its attributes.
fn file(name: Vec<u8>, put: Put, old: Option<Entry>) -> Entry {
    let old = old.filter(|old| matches!(old.kind, Kind::File { .. } | Kind::Hardlink { .. }));
    let mut meta = old.map_or_else(|| Meta { mode: 0o644, ..Meta::default() }, |old| old.meta);
    meta.mtime = put.mtime;
    if let Some(executable) = put.executable {
        meta.mode = if executable { 0o755 } else { 0o644 };
    }
    Entry { name, meta, kind: Kind::File { content: put.content } }
}
