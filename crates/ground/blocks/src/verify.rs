//! Reading every stored byte back and comparing it with what it should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_chunk::ChunkKey;
use serde::Serialize;

use crate::error::Error;
use crate::frame::ChunkLen;
use crate::index::{Want, pages_fetch};
use crate::pack::{Footer, FramePlace, FrameRow, PackId, frame_is_whole};
use crate::read::frame_decode;
use crate::run::IndexEntry;
use crate::store::Blocks;

/// The most findings that a report lists; the rest are counted.
pub const FINDINGS_MAX: usize = 1000;

/// Damaged frames remembered one by one; of further ones the whole pack counts as damaged.
const DAMAGED_FRAMES_MAX: usize = 64 * 1024;

/// What could not be read, so that it can be said which versions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    packs: BTreeSet<PackId>,
    frames: BTreeSet<(PackId, u32)>,
}

impl Damage {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.frames.is_empty()
    }

    /// Whether what the index says of a chunk leads to damage.
    #[must_use]
    pub fn hits(&self, entry: &IndexEntry) -> bool {
        let place = entry.frame;
        self.packs.contains(&place.pack) || self.frames.contains(&(place.pack, place.offset))
    }

    fn frame(&mut self, pack: PackId, row: &FrameRow) {
        if self.frames.len() < DAMAGED_FRAMES_MAX {
            self.frames.insert((pack, row.offset));
        } else {
            self.packs.insert(pack);
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object in the bucket.
    pub object: String,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub detail: String,
    /// How many chunks it makes unreadable.
    pub chunks: u64,
}

/// What a verification read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Packs read.
    pub packs: u64,
    /// Frames read.
    pub frames: u64,
    /// Chunks checked against their ids.
    pub chunks: u64,
    /// Bytes read from the bucket.
    pub bytes: u64,
    /// What is wrong, the first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub findings_left_out: u64,
    /// Where chunks cannot be read.
    #[serde(skip)]
    pub damage: Damage,
}

impl VerifyReport {
    /// Adds what is wrong.
    pub fn found(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out += 1;
        }
    }

    fn failed(&mut self, object: String, error: &Error, chunks: u64) {
        let (offset, detail) = match error {
            Error::Corrupt { offset, detail, .. } => (*offset, detail.clone()),
            other => (0, other.to_string()),
        };
        self.found(Finding { object, offset, detail, chunks });
    }

    /// Whether all is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Called with the bytes read so far.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

impl Blocks {
    /// Reads every index run and every pack that they name. `keys` are those of all projects.
    ///
    /// # Errors
    /// Only when the bucket itself fails; damage is in the report.
    pub async fn verify(
        &self,
        keys: &[ChunkKey],
        progress: &Progress,
    ) -> Result<VerifyReport, Error> {
        let mut report = VerifyReport::default();
        let view = self.refreshed().await?;
        let mut packs: Vec<PackId> = Vec::new();
        for run in &view.runs {
            packs.extend(&run.packs);
            let key = crate::run::run_key(&run.name);
            self.verify_begin(&key, crate::run::MAGIC, &mut report).await?;
            for page in 0..run.pages() {
                if let Err(error) = pages_fetch(&self.inner, run, &(page..page + 1)).await {
                    stop_unless_damage(&error)?;
                    report.failed(key.clone(), &error, 64);
                }
            }
        }
        packs.sort_unstable();
        packs.dedup();
        for pack in packs {
            self.verify_pack(pack, keys, &mut report).await?;
            progress(report.bytes);
        }
        Ok(report)
    }

    /// The first bytes of an object, which nobody else looks at.
    async fn verify_begin(
        &self,
        key: &str,
        begin: &[u8],
        report: &mut VerifyReport,
    ) -> Result<(), Error> {
        match self.inner.bucket.get_range(key, 0..begin.len() as u64).await {
            Ok(found) if found == begin => {}
            Ok(_) => {
                let detail = "it does not begin as such an object does".to_owned();
                report.found(Finding { object: key.to_owned(), offset: 0, detail, chunks: 0 });
            }
            Err(error) => {
                let error = error.into();
                stop_unless_damage(&error)?;
                report.failed(key.to_owned(), &error, 0);
            }
        }
        Ok(())
    }

    async fn verify_pack(
        &self,
        pack: PackId,
        keys: &[ChunkKey],
        report: &mut VerifyReport,
    ) -> Result<(), Error> {
        report.packs += 1;
        let footer = match self.footer(pack).await {
            Ok(footer) => footer,
            Err(error) => {
                stop_unless_damage(&error)?;
                report.failed(pack.key(), &error, 0);
                report.damage.packs.insert(pack);
                return Ok(());
            }
        };
        let begin = [crate::pack::MAGIC.as_slice(), &pack.0].concat();
        self.verify_begin(&pack.key(), &begin, report).await?;
        for (row, chunks) in &footer.frames {
            report.frames += 1;
            report.bytes += u64::from(row.len);
            match self.frame_checked(pack, row, chunks).await {
                Ok(content) => {
                    report.chunks += chunks.len() as u64;
                    let keys = keys.to_vec();
                    let of = chunks.clone();
                    let wrong = self.inner.env.spawn.run(move || strangers(&keys, &of, &content));
                    let wrong = wrong.await?;
                    if wrong > 0 {
                        let detail = "the content is not what its chunk ids say".to_owned();
                        let (object, offset) = (pack.key(), u64::from(row.offset));
                        report.found(Finding { object, offset, detail, chunks: wrong });
                        report.damage.frame(pack, row);
                    }
                }
                Err(error) => {
                    stop_unless_damage(&error)?;
                    report.failed(pack.key(), &error, chunks.len() as u64);
                    report.damage.frame(pack, row);
                }
            }
        }
        self.verify_places(pack, &footer, report).await
    }

    /// Where the index names this pack for a chunk, the pack must have the chunk at that place: a pack
    /// may hold a chunk twice. A chunk that the index does not name is a second copy that a merge of
    /// runs dropped, whose first has been collected: nothing refers to it, or the walk of the versions
    /// finds it missing.
    async fn verify_places(
        &self,
        pack: PackId,
        footer: &Footer,
        report: &mut VerifyReport,
    ) -> Result<(), Error> {
        let frames = footer.frames.iter().flat_map(|(row, chunks)| {
            let frame = FramePlace { pack, offset: row.offset, len: row.len };
            IndexEntry::of_frame(frame, chunks)
        });
        let places: BTreeSet<IndexEntry> = frames.collect();
        for (row, chunks) in &footer.frames {
            let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
            let found = match self.find(&ids, Want::Any).await {
                Ok(found) => found,
                Err(error) => return stop_unless_damage(&error),
            };
            let lost = found.into_iter().flatten().map(|found| found.entry);
            let lost = lost.filter(|entry| entry.frame.pack == pack && !places.contains(entry));
            let chunks = lost.count() as u64;
            if chunks > 0 {
                let detail = "the index does not lead to chunks that are here".to_owned();
                let (object, offset) = (pack.key(), u64::from(row.offset));
                report.found(Finding { object, offset, detail, chunks });
            }
        }
        Ok(())
    }

    /// A pack's footer, from the bucket.
    pub(crate) async fn footer(&self, pack: PackId) -> Result<Footer, Error> {
        let head = self.inner.bucket.head(&pack.key()).await?;
        Footer::read(&self.inner.bucket, pack, head.size, self.inner.master.as_ref()).await
    }

    /// A frame's content, its stored bytes checked against the footer and its length against its
    /// chunks.
    pub(crate) async fn frame_checked(
        &self,
        pack: PackId,
        row: &FrameRow,
        chunks: &[ChunkLen],
    ) -> Result<Bytes, Error> {
        let range = u64::from(row.offset)..u64::from(row.offset + row.len);
        let stored = self.inner.bucket.get_range(&pack.key(), range).await?;
        let (row, master) = (*row, self.inner.master.clone());
        let place = FramePlace { pack, offset: row.offset, len: row.len };
        let expected: usize = chunks.iter().map(|chunk| chunk.len as usize).sum();
        let corrupt =
            move |detail: &str| Err(Error::corrupt(&pack.key(), u64::from(row.offset), detail));
        let work = move || {
            if !frame_is_whole(&row, &stored) {
                return corrupt("frame checksum mismatch");
            }
            let content = frame_decode(master.as_ref(), place, &stored)?;
            if content.len() != expected {
                return corrupt("the frame's length is not that of its chunks");
            }
            Ok(content)
        };
        self.inner.env.spawn.run(work).await?
    }
}

/// How many chunks of a frame are under no key what their id says.
fn strangers(keys: &[ChunkKey], chunks: &[ChunkLen], content: &[u8]) -> u64 {
    let (mut at, mut wrong) = (0, 0);
    for chunk in chunks {
        let end = at + chunk.len as usize;
        wrong += u64::from(!keys.iter().any(|key| key.id(&content[at..end]) == chunk.id));
        at = end;
    }
    wrong
}

/// Damage is reported and the verification goes on; a bucket that fails ends it.
fn stop_unless_damage(error: &Error) -> Result<(), Error> {
    match (error, error.kind()) {
        (Error::Bucket(inner), kind) if kind != ErrorKind::NotFound => {
            Err(Error::Upload { cause: inner.to_string(), kind })
        }
        _ => Ok(()),
    }
}
