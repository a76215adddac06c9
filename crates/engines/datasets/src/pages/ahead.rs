//! Reading ahead of a walk.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_chunk::ChunkId;
use cairn_tree::{DirectoryPage, Kind, Stream};

use super::Browser;
use crate::error::Error;

/// Pages read before they are asked for: level by level below the directory that is wanted, so that a
/// walk of a large tree costs a few requests and not one for each directory and file.
pub(super) struct Ahead {
    pages: Mutex<BTreeMap<ChunkId, Bytes>>,
    /// Whether contents are wanted too: the top pages of their maps are read with the directories.
    maps: bool,
}

/// Pages and bytes that one reading ahead fetches, and that wait at most.
const AHEAD_PAGES: usize = 512;
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
const AHEAD_PAGES_MAX: usize = 4 * AHEAD_PAGES;

impl Ahead {
    pub(super) fn new(maps: bool) -> Self {
        Self { pages: Mutex::default(), maps }
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<ChunkId, Bytes>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page that was read already.
    pub(super) fn take(&self, id: ChunkId) -> Option<Bytes> {
        self.pages().remove(&id)
    }

    /// Fetches a page and what is below it, as far as the bounds go.
    pub(super) async fn fetch(&self, browser: &Browser, id: ChunkId) -> Result<Bytes, Error> {
        if self.pages().len() > AHEAD_PAGES_MAX {
            self.pages().clear();
        }
        let (mut wave, mut left, mut bytes) = (vec![id], AHEAD_PAGES, 0);
        let mut wanted = None;
        while !wave.is_empty() && bytes < AHEAD_BYTES {
            wave.truncate(left);
            left -= wave.len();
            let read = browser.read_pages(&wave).await?;
            let mut below = Vec::new();
            for (page, content) in wave.into_iter().zip(read) {
                bytes += content.len();
                below.extend(pages_below(&content, self.maps));
                if page == id {
                    wanted = Some(content);
                } else {
                    self.pages().insert(page, content);
                }
            }
            below.retain(|page| *page != id && !self.pages().contains_key(page));
            below.sort_unstable();
            below.dedup();
            wave = below;
        }
        Ok(wanted.expect("the first wave has the page that is wanted"))
    }
}

/// The pages that a directory page leads to. What does not decode leads nowhere: whoever asks for it
/// learns what is wrong.
fn pages_below(page: &[u8], maps: bool) -> Vec<ChunkId> {
    match DirectoryPage::decode(page) {
        Err(_) => Vec::new(),
        Ok(DirectoryPage::Index(index)) => {
            index.children().iter().map(|child| child.page).collect()
        }
        Ok(DirectoryPage::Leaf(leaf)) => {
            leaf.entries().iter().filter_map(|entry| page_of(&entry.kind, maps)).collect()
        }
    }
}

fn page_of(kind: &Kind, maps: bool) -> Option<ChunkId> {
    match kind {
        Kind::Directory { page, .. } => *page,
        Kind::File { content } => match content.stream {
            Stream::Map { page, .. } if maps => Some(page),
            _ => None,
        },
        _ => None,
    }
}
