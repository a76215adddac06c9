//! Parts of files, which end where lines do.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_datasets::{Browser, Dataset, Datasets, Listed, Version};
use cairn_tree::{Content, Kind};
use cairn_wasm::{File, FileError};
use tokio::sync::OnceCell;

use super::RUNS_MAX;
use crate::error::Error;
use crate::files::{DataFile, failed};

/// A part of a file of a version.
#[derive(Clone)]
pub(crate) struct Part {
    of: Arc<Whole>,
    /// Where it would begin and end, if lines did.
    from: u64,
    to: u64,
}

/// A file of a version.
struct Whole {
    browser: Browser,
    content: Content,
    /// What tells its bytes from others.
    identity: String,
}

/// The parts of the files below a path of a version, in the order of their paths.
///
/// # Errors
/// [`Error::Data`]; [`Error::Invalid`] when there are none, or too many.
pub(crate) async fn parts(
    datasets: &Datasets,
    dataset: Dataset,
    version: &Version,
    (path, split): (&[String], Option<u64>),
) -> Result<Vec<Part>, Error> {
    let browser = Browser::warm(datasets, dataset);
    let root = browser.root(version.root).await?;
    let top = browser.at(&root, path).await?;
    let path = path.join("/").into_bytes();
    let (mut files, mut seen) = (Vec::new(), 0_usize);
    let mut visit = |listed: &Listed| -> Result<bool, Error> {
        seen += 1;
        match &listed.entry.kind {
            Kind::File { content } => files.push((listed.path.clone(), Some(content.clone()))),
            Kind::Hardlink { .. } => files.push((listed.path.clone(), None)),
            Kind::Directory { .. } | Kind::Symlink { .. } => {}
        }
        check(files.len() <= RUNS_MAX && seen <= ENTRIES_MAX).map(|()| true)
    };
    match top.kind {
        Kind::Directory { .. } => browser.walk(&top, &path, &mut visit).await?,
        _ => drop(visit(&Listed { path, entry: top })?),
    }
    let mut found = Vec::new();
    for (path, content) in files {
        let content = match content {
            Some(content) => content,
            None => {
                let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
                browser.file_at(&root, &names).await?.1
            }
        };
        let identity = identity(&browser, &content).await?;
        let of = Whole { browser: browser.clone(), identity, content };
        split_into(&mut found, of, split);
        check(found.len() <= RUNS_MAX)?;
    }
    if found.is_empty() {
        return Err(Error::Invalid { why: "there are no files".to_owned() });
    }
    Ok(found)
}

fn check(fits: bool) -> Result<(), Error> {
    if fits {
        return Ok(());
    }
    let why = format!("it has more than {RUNS_MAX} parts: choose longer ones, or less of it");
    Err(Error::Invalid { why })
}

/// Archives that are rebuilt are read from their beginning only: they are in one part.
fn split_into(found: &mut Vec<Part>, of: Whole, split: Option<u64>) {
    let bytes = split.filter(|_| of.content.recipe.is_none()).unwrap_or(u64::MAX);
    let of = Arc::new(of);
    let mut from = 0_u64;
    while found.len() <= RUNS_MAX {
        let to = from.saturating_add(bytes).min(of.content.len);
        found.push(Part { of: Arc::clone(&of), from, to });
        if to == of.content.len {
            break;
        }
        from = to;
    }
}

/// What tells the bytes of a file from others, whatever it is called: their hash. That of a long one was said by whoever
/// published it, so it is believed in its own dataset alone; that of a short one is computed, for it may be long in another version.
async fn identity(browser: &Browser, content: &Content) -> Result<String, Error> {
    let hash = match content.root {
        Some(root) => blake3::Hash::from_bytes(root),
        None => {
            let mut hasher = blake3::Hasher::new();
            let mut stream = browser.content(content, 0..content.len).await?;
            while let Some(bytes) = stream.next().await? {
                hasher.update(&bytes);
            }
            hasher.finalize()
        }
    };
    let Dataset { project, name } = browser.dataset();
    Ok(format!("@{project}/{name} {hash}"))
}

impl Part {
    /// What tells its bytes from others.
    pub(crate) fn identity(&self) -> String {
        format!("part {} {} {}", self.of.identity, self.from, self.to)
    }

    pub(crate) fn open(self) -> Arc<dyn File> {
        Arc::new(Lines { part: self, opened: OnceCell::new() })
    }
}

/// Entries of folders that are looked at for files.
const ENTRIES_MAX: usize = 1_000_000;
/// The longest line that begins in one part and ends in another.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Bytes that are read at a time to find the end of a line.
const LOOK_BYTES: u64 = 64 << 10;

impl Whole {
    /// Where the first line begins that does so at `at` or later.
    async fn line(&self, at: u64) -> Result<u64, FileError> {
        let len = self.content.len;
        let mut from = at.saturating_sub(1);
        if at == 0 {
            return Ok(0);
        }
        while from < len {
            if from - at.min(from) > LINE_BYTES_MAX {
                let why = format!("a line has more than {LINE_BYTES_MAX} bytes");
                return Err(FileError::Other(why));
            }
            let to = (from + LOOK_BYTES).min(len);
            let mut stream = self.browser.content(&self.content, from..to).await.map_err(failed)?;
            while let Some(bytes) = stream.next().await.map_err(failed)? {
                if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                    return Ok(from + end as u64 + 1);
                }
                from += bytes.len() as u64;
            }
        }
        Ok(len)
    }
}

/// The lines of a file that begin in a part of it.
struct Lines {
    part: Part,
    /// Where the first one begins, and the file up to the end of the last one.
    opened: OnceCell<(u64, DataFile)>,
}

impl Lines {
    async fn opened(&self) -> Result<&(u64, DataFile), FileError> {
        let opened = self.opened.get_or_try_init(|| async {
            let Part { of, from, to } = &self.part;
            let (from, to) = (of.line(*from).await?, of.line(*to).await?);
            let file = DataFile::new(of.browser.clone(), of.content.clone());
            Ok((from, file.until(to)))
        });
        opened.await
    }
}

#[async_trait]
impl File for Lines {
    async fn size(&self) -> Option<u64> {
        let (from, file) = self.opened().await.ok()?;
        Some(file.size().await?.saturating_sub(*from))
    }

    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError> {
        let (from, file) = self.opened().await?;
        file.read(from.saturating_add(at), most).await
    }
}
