//! What a pull writes: gathered into batches, fetched and written while the walk goes on, and told in
//! the order of the walk.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_env::Lost;
use cairn_tree::{Content, Meta};
use futures::future::{self, BoxFuture};
use futures::stream::{FuturesOrdered, StreamExt as _};

use super::seeds::local;
use super::write::{self, FileJob, Staged};
use crate::content::{Piece, read_slices};
use crate::error::Error;
use crate::meter::Meter;
use crate::pages::Browser;
use crate::push::Stamp;

/// A file up to this size is written together with others.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// Files written by a batch; each may hold a directory open.
const BATCH_FILES: usize = 128;
/// Files of a batch with those that stay as they are.
const BATCH_ITEMS: usize = 4096;
/// Batches, or large files, on their way at a time.
const BATCHES_AT_ONCE: usize = 3;

/// A file to be written: where it goes, and what it is made of.
pub(super) struct Target {
    pub(super) path: Vec<u8>,
    pub(super) directory: Arc<OwnedFd>,
    pub(super) name: Vec<u8>,
    pub(super) meta: Meta,
    pub(super) content: Content,
}

/// A file that is as the version says.
pub(super) struct Settled {
    pub(super) path: Vec<u8>,
    pub(super) stamp: Stamp,
    pub(super) written: bool,
}

/// Files that are settled, in the order of the walk.
#[derive(Default)]
pub(super) struct Done {
    pub(super) files: Vec<Settled>,
    pub(super) warnings: Vec<String>,
}

enum Item {
    Kept(Settled),
    Small(Target),
}

pub(super) struct Queue {
    browser: Browser,
    destination: Arc<PathBuf>,
    meter: Arc<Meter>,
    /// Tells workers that nobody waits any more: they outlive a pull that is given up.
    given_up: Arc<AtomicBool>,
    batch: Vec<Item>,
    batch_bytes: u64,
    batch_files: usize,
    /// Polled by whoever waits for anything, through [`Queue::next`].
    under_way: FuturesOrdered<BoxFuture<'static, Result<Done, Error>>>,
}

impl Queue {
    pub(super) fn new(browser: Browser, destination: PathBuf, meter: Arc<Meter>) -> Self {
        Self {
            browser,
            destination: Arc::new(destination),
            meter,
            given_up: Arc::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            batch_files: 0,
            under_way: FuturesOrdered::new(),
        }
    }

    /// Whether [`Queue::next`] must be called before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= BATCHES_AT_ONCE
    }

    /// What was settled next; pending forever when nothing is under way.
    pub(super) async fn next(&mut self) -> Result<Done, Error> {
        match self.under_way.next().await {
            Some(done) => done,
            None => future::pending().await,
        }
    }

    /// Adds a file that stays.
    pub(super) fn keep(&mut self, path: Vec<u8>, stamp: Stamp) {
        self.batch.push(Item::Kept(Settled { path, stamp, written: false }));
        self.start_when_full();
    }

    /// Adds a file to be written.
    pub(super) fn write(&mut self, target: Target) {
        let content = &target.content;
        if content.recipe.is_none() && content.len <= SMALL_BYTES_MAX {
            self.batch_bytes += content.len;
            self.batch_files += 1;
            self.batch.push(Item::Small(target));
            self.start_when_full();
        } else {
            self.start();
            let (browser, meter) = (self.browser.clone(), Arc::clone(&self.meter));
            let destination = Arc::clone(&self.destination);
            self.under_way.push_back(Box::pin(large(browser, target, destination, meter)));
        }
    }

    fn start_when_full(&mut self) {
        if self.batch_bytes >= BATCH_BYTES
            || self.batch_files >= BATCH_FILES
            || self.batch.len() >= BATCH_ITEMS
        {
            self.start();
        }
    }

    fn start(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        (self.batch_bytes, self.batch_files) = (0, 0);
        let items = std::mem::take(&mut self.batch);
        let writer = Writer {
            destination: Arc::clone(&self.destination),
            meter: Arc::clone(&self.meter),
            given_up: Arc::clone(&self.given_up),
        };
        self.under_way.push_back(Box::pin(small(self.browser.clone(), items, writer)));
    }

    /// Starts what was gathered; `false` when nothing is left to wait for.
    pub(super) fn drain(&mut self) -> bool {
        self.start();
        !self.under_way.is_empty()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Release);
    }
}

/// Fetches and writes a batch.
async fn small(browser: Browser, items: Vec<Item>, writer: Writer) -> Result<Done, Error> {
    let (mut slices, mut counts) = (Vec::new(), Vec::new());
    for item in &items {
        let Item::Small(target) = item else { continue };
        let (before, mut more) = (slices.len(), browser.slices(&target.content.stream, 0));
        while let Some(slice) = more.next().await? {
            slices.push(slice);
        }
        counts.push(slices.len() - before);
    }
    let mut pieces = read_slices(&browser, &slices).await?.into_iter();
    let pieces = counts.into_iter().map(|count| pieces.by_ref().take(count).collect()).collect();
    let work = move || writer.write(items, pieces);
    browser.store().env().spawn.run(work).await.map_err(|Lost| Error::Worker(Lost))?
}

/// Writes batches, on a worker.
struct Writer {
    destination: Arc<PathBuf>,
    meter: Arc<Meter>,
    given_up: Arc<AtomicBool>,
}

impl Writer {
    fn write(&self, items: Vec<Item>, contents: Vec<Vec<Piece>>) -> Result<Done, Error> {
        let mut contents = contents.into_iter();
        let mut done = Done::default();
        for item in items {
            if self.given_up.load(Ordering::Acquire) {
                break;
            }
            match item {
                Item::Kept(kept) => done.files.push(kept),
                Item::Small(target) => {
                    let pieces = contents.next().expect("there is one for each file");
                    done.files.push(self.file(target, pieces, &mut done.warnings)?);
                }
            }
        }
        Ok(done)
    }

    fn file(
        &self,
        target: Target,
        pieces: Vec<Piece>,
        warnings: &mut Vec<String>,
    ) -> Result<Settled, Error> {
        let Target { path, directory, name, meta, content } = target;
        let job = FileJob { directory, name, meta, len: content.len, pieces };
        let stamp = write::write_file(&job, warnings)
            .map_err(|error| Error::local("write", local(&self.destination, &path), error))?;
        self.meter.bytes.add(content.len);
        Ok(Settled { path, stamp, written: true })
    }
}

/// Fetches and writes a large file; one batch of it is written while the next is fetched.
async fn large(
    browser: Browser,
    target: Target,
    destination: Arc<PathBuf>,
    meter: Arc<Meter>,
) -> Result<Done, Error> {
    let Target { path, directory, name, meta, content } = target;
    let failed = |error: std::io::Error| Error::local("write", local(&destination, &path), error);
    let spawn = browser.store().env().spawn.clone();
    let mut staged = Staged::create(&directory, &meta).map_err(|error| failed(error.into()))?;
    let mut pieces = browser.content(&content, 0..content.len).await?;
    let mut batch = pieces.next_batch().await?;
    while !batch.is_empty() {
        let bytes = batch.iter().map(Piece::len).sum();
        let write = move || {
            batch.iter().try_for_each(|piece| staged.write(piece))?;
            Ok::<_, std::io::Error>(staged)
        };
        let (written, next) = future::join(spawn.run(write), pieces.next_batch()).await;
        staged = written.map_err(|Lost| Error::Worker(Lost))?.map_err(failed)?;
        meter.bytes.add(bytes);
        batch = next?;
    }
    let finish = move || {
        let mut warnings = Vec::new();
        let stamp = staged.finish(&name, &meta, &mut warnings)?;
        Ok::<_, std::io::Error>((stamp, warnings))
    };
    let finished = spawn.run(finish).await.map_err(|Lost| Error::Worker(Lost))?;
    let (stamp, warnings) = finished.map_err(failed)?;
    Ok(Done { files: vec![Settled { path, stamp, written: true }], warnings })
}
