//! How a dataset performs: what a version shares with the one before, where its new bytes are, and
//! what its producer could do about it.

use std::collections::BTreeMap;

use cairn_base::TagName;
use cairn_chunk::ChunkId;
use cairn_tree::{Content, Kind, Root, Slice, Source};
use serde::Serialize;

use crate::error::Error;
use crate::model::{Target, Version};
use crate::pages::{Browser, top_entry};

/// Files and file types listed.
const TOP: usize = 10;
/// The most chunks of the older version that are held in memory: 64 MiB.
const CHUNKS_MAX: usize = 8 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// What one version cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Performance {
    /// The version.
    pub version: Version,
    /// The root of the version it is compared with.
    pub compared_with: Option<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that the older version has too. This and the two below count what is inside of opened
    /// archives, so together they may be more than `bytes`.
    pub reused_bytes: u64,
    /// Bytes that it has not, each counted where it first stands.
    pub new_bytes: u64,
    /// Bytes that stand more than once within this version.
    pub repeated_bytes: u64,
    /// Where new bytes are, the largest first.
    pub files: Vec<Share>,
    /// The same by file name ending.
    pub types: Vec<Share>,
    /// Archives whose members were opened, and files that look like archives and could not be.
    pub archives_opened: u64,
    /// Those.
    pub archives_closed: u64,
    /// What the producer could do.
    pub advice: Vec<String>,
}

/// A part of the new bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// A path, or a file name ending.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Those of them that are new.
    pub new_bytes: u64,
}

/// Measures the current version of a tag: against that of the tag `against`, else against the version
/// before it, which is the tag's last superseded one, or the newest of the dataset's other tags that is
/// older. The first version of a dataset is measured on its own.
///
/// # Errors
/// [`Error::NoTag`]; [`Error::TooMany`] for more than eight million chunks; [`Error::Blocks`],
/// [`Error::Tree`].
pub async fn stat(
    browser: &Browser,
    tag: &TagName,
    against: Option<&TagName>,
) -> Result<Performance, Error> {
    let target = |tag: &TagName| Target { dataset: browser.dataset().clone(), tag: tag.clone() };
    let measured = browser.store().tag(&target(tag)).await?;
    let older = match against {
        Some(other) => Some(browser.store().tag(&target(other)).await?.current),
        None => match measured.history.first() {
            Some(version) => Some(version.clone()),
            None => before(browser, &measured.current).await?,
        },
    };
    performance(browser, &measured.current, older.as_ref()).await
}

/// The newest version of the dataset that is older than this one.
async fn before(browser: &Browser, version: &Version) -> Result<Option<Version>, Error> {
    let tags = browser.store().tags(browser.dataset()).await?;
    let older = tags.into_iter().flat_map(|tag| std::iter::once(tag.current).chain(tag.history));
    let older = older.filter(|other| other.time_ns < version.time_ns && other.root != version.root);
    Ok(older.max_by_key(|other| other.time_ns))
}

async fn performance(
    browser: &Browser,
    version: &Version,
    older: Option<&Version>,
) -> Result<Performance, Error> {
    let mut seen: BTreeMap<ChunkId, bool> = BTreeMap::new();
    if let Some(older) = older {
        let root = browser.root(older.root).await?;
        for (_, content) in files(browser, &root).await? {
            each_chunk(browser, &content, |id, _| {
                seen.insert(id, false);
            })
            .await?;
            check_bound(seen.len())?;
        }
    }
    let mut tally = Tally::default();
    let root = browser.root(version.root).await?;
    for (path, content) in files(browser, &root).await? {
        let mut new_bytes = 0;
        each_chunk(browser, &content, |id, len| match seen.get(&id) {
            Some(false) => tally.reused += len,
            Some(true) => tally.repeated += len,
            None => {
                seen.insert(id, true);
                new_bytes += len;
            }
        })
        .await?;
        check_bound(seen.len())?;
        tally.add(path, &content, new_bytes);
    }
    let advice = tally.advice(older);
    Ok(Performance {
        version: version.clone(),
        compared_with: older.map(|older| older.root.to_string()),
        bytes: version.bytes,
        reused_bytes: tally.reused,
        new_bytes: tally.new,
        repeated_bytes: tally.repeated,
        types: top(tally.types.into_iter().map(|(name, (bytes, new))| share(name, bytes, new))),
        files: top(tally.files.into_iter()),
        archives_opened: tally.opened,
        archives_closed: tally.closed,
        advice,
    })
}

#[derive(Default)]
struct Tally {
    reused: u64,
    repeated: u64,
    new: u64,
    bytes: u64,
    small: u64,
    count: u64,
    opened: u64,
    closed: u64,
    closed_new: u64,
    files: Vec<Share>,
    types: BTreeMap<String, (u64, u64)>,
}

fn share(name: String, bytes: u64, new_bytes: u64) -> Share {
    Share { name, bytes, new_bytes }
}

fn top(shares: impl Iterator<Item = Share>) -> Vec<Share> {
    let mut shares: Vec<Share> = shares.filter(|share| share.new_bytes > 0).collect();
    shares.sort_by(|a, b| b.new_bytes.cmp(&a.new_bytes).then_with(|| a.name.cmp(&b.name)));
    shares.truncate(TOP);
    shares
}

impl Tally {
    fn add(&mut self, path: Vec<u8>, content: &Content, new_bytes: u64) {
        let path = String::from_utf8_lossy(&path).into_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        let ending = match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => format!(".{}", ending.to_lowercase()),
            _ => "(none)".to_owned(),
        };
        let closed = [".gz", ".tgz", ".zip", ".whl", ".jar", ".zst", ".xz", ".bz2"];
        if content.recipe.is_some() {
            self.opened += 1;
        } else if closed.contains(&ending.as_str()) {
            self.closed += 1;
            self.closed_new += new_bytes;
        }
        let of_type = self.types.entry(ending).or_default();
        of_type.0 += content.len;
        of_type.1 += new_bytes;
        self.new += new_bytes;
        self.bytes += content.len;
        self.count += 1;
        self.small += u64::from(content.len < 256);
        self.files.push(share(path, content.len, new_bytes));
        if self.files.len() > TOP * 100 {
            self.files = top(std::mem::take(&mut self.files).into_iter());
        }
    }

    fn advice(&self, older: Option<&Version>) -> Vec<String> {
        let mut advice = Vec::new();
        let percent = |part: u64, whole: u64| part * 100 / whole.max(1);
        if self.closed_new > MIB && percent(self.closed_new, self.new) >= 20 {
            advice.push(format!(
                "{} % of the new bytes are in {} compressed files that could not be opened; push \
                 their contents uncompressed, or write them with gzip, zip or zstd",
                percent(self.closed_new, self.new),
                self.closed
            ));
        }
        let rewritten: Vec<&Share> = self
            .files
            .iter()
            .filter(|file| file.bytes > 4 * MIB && percent(file.new_bytes, file.bytes) > 90)
            .collect();
        if let (Some(first), Some(older)) = (rewritten.first(), older)
            && older.bytes > 0
        {
            advice.push(format!(
                "{} large files were rewritten nearly whole, such as {}: if little of them changed, \
                 write them in a stable order and without time stamps",
                rewritten.len(),
                first.name
            ));
        }
        if self.count > 10_000 && percent(self.small, self.count) > 50 {
            advice.push(
                "more than half of the files have less than 256 bytes; each still costs about 40 \
                 bytes of manifest: put small records together"
                    .to_owned(),
            );
        }
        // Opened archives count with what is inside them, so the whole is not the version's size.
        let all = self.reused + self.repeated + self.new;
        if self.repeated > MIB && percent(self.repeated, all) > 30 {
            advice.push(format!(
                "{} % of the bytes stand more than once; they are stored once, but pulls write them \
                 each time",
                percent(self.repeated, all)
            ));
        }
        advice
    }
}

fn check_bound(count: usize) -> Result<(), Error> {
    if count > CHUNKS_MAX {
        return Err(Error::TooMany { what: "number of chunks to compare", max: CHUNKS_MAX as u64 });
    }
    Ok(())
}

async fn files(browser: &Browser, root: &Root) -> Result<Vec<(Vec<u8>, Content)>, Error> {
    let mut files = Vec::new();
    browser
        .walk(&top_entry(root), b"", &mut |listed| {
            if let Kind::File { content } = &listed.entry.kind {
                files.push((listed.path.clone(), content.clone()));
            }
            Ok::<bool, Error>(true)
        })
        .await?;
    Ok(files)
}

async fn each_chunk(
    browser: &Browser,
    content: &Content,
    mut visit: impl FnMut(ChunkId, u64),
) -> Result<(), Error> {
    let mut slices = browser.slices(&content.stream, 0);
    while let Some(Slice { source, len }) = slices.next().await? {
        if let Source::Chunk { id, .. } = source {
            visit(id, len);
        }
    }
    Ok(())
}
