use std::io::{self, Read, Seek, SeekFrom};

use crate::deflate::Recoded;
use crate::limits::COPY_BYTES;
use crate::tar::tail_parts;
use crate::window::Window;
use crate::{
    Error, Guess, Limits, PieceKind, Pieces, Recipe, Segment, gzip, proof, sniff, tar, zip, zstd,
};

/// What an archive turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A tar.
    Tar,
    /// A tar in gzip.
    TarGz,
    /// Anything else in gzip.
    Gzip,
    /// A tar in zstd.
    TarZst,
    /// Anything else in zstd.
    Zstd,
    /// A zip, also under the names of its descendants (wheel, jar, office documents).
    Zip,
}

/// How an archive is opened: what its inner stream is made of, and how the archive is made from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is.
    pub format: Format,
    /// The inner stream.
    pub pieces: Pieces,
    /// The way back.
    pub recipe: Recipe,
    /// The length of the inner stream.
    pub inner_len: u64,
    /// The length of the archive.
    pub outer_len: u64,
}

/// Reads an archive from its beginning and plans how to open it, having proved that it can be made
/// again byte for byte. `None`: store it as it is. It is no archive, or a damaged or odd one, or one
/// beyond `limits`.
///
/// Cost: a plain tar is read in its headers only; compressed parts are inflated, re-made and
/// compared. Memory: see the crate's documentation.
///
/// # Errors
/// [`Error::Read`]: the reader failed. Nothing in the archive's bytes is an error.
pub fn plan<R: Read + Seek>(archive: &mut R, limits: &Limits) -> Result<Option<Plan>, Error> {
    read_plan(archive, limits).map_err(Error::Read)
}

fn read_plan<R: Read + Seek>(archive: &mut R, limits: &Limits) -> io::Result<Option<Plan>> {
    let outer_len = archive.seek(SeekFrom::End(0))?;
    archive.rewind()?;
    let mut head = Vec::with_capacity(1024);
    archive.by_ref().take(1024).read_to_end(&mut head)?;
    archive.rewind()?;
    let Some(guess) = sniff(&head) else { return Ok(None) };
    if guess != Guess::Tar && outer_len > limits.outer_bytes_max {
        return Ok(None);
    }
    let draft = match guess {
        Guess::Tar => plan_tar(archive, outer_len)?,
        Guess::Gzip => gzip::plan(&mut *archive, limits)?,
        Guess::Zip => zip::plan(archive, outer_len, limits)?,
        Guess::Zstd => zstd::plan(&mut *archive, limits)?,
    };
    // A file that grew or shrank meanwhile is not the one that was planned.
    let plan = draft.and_then(Draft::finish).filter(|plan| plan.outer_len == outer_len);
    match plan {
        Some(plan) if plan.recipe.is_identity() => Ok(Some(plan)),
        Some(plan) if proof::holds(archive, &plan.recipe)? => Ok(Some(plan)),
        _ => Ok(None),
    }
}

/// A plan in the making.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) format: Option<Format>,
    pub(crate) pieces: Pieces,
    pub(crate) recipe: Recipe,
}

impl Draft {
    /// Bytes of the archive itself, copied. `None`, here and below: a limit is reached.
    pub(crate) fn layout(&mut self, len: u64) -> Option<()> {
        self.copy(PieceKind::Layout, len)
    }

    /// Bytes that stand in the archive as they are.
    pub(crate) fn copy(&mut self, kind: PieceKind, len: u64) -> Option<()> {
        self.pieces.push(kind, len)?;
        self.recipe.push(Segment::Copy { len })
    }

    /// A recoded stream, whose pieces are already there.
    pub(crate) fn deflate(&mut self, recoded: Recoded) -> Option<()> {
        let Recoded { inner_len, out_len, corrections } = recoded;
        self.recipe.push(Segment::Deflate { inner_len, out_len, corrections })
    }

    /// Whatever follows the last thing that was understood.
    pub(crate) fn tail<R: Read>(&mut self, input: &mut Window<R>) -> io::Result<Option<()>> {
        let mut seen = 0;
        loop {
            let len = input.fill(COPY_BYTES)?.len();
            if len == 0 {
                return Ok(Some(()));
            }
            input.consume(len);
            for (kind, len) in tail_parts(seen, len as u64) {
                if self.copy(kind, len).is_none() {
                    return Ok(None);
                }
            }
            seen += len as u64;
        }
    }

    fn finish(self) -> Option<Plan> {
        let plan = Plan {
            format: self.format?,
            inner_len: self.recipe.inner_len(),
            outer_len: self.recipe.outer_len(),
            pieces: self.pieces,
            recipe: self.recipe,
        };
        assert_eq!(plan.pieces.total_len(), plan.inner_len, "ARCHIVE-3: pieces cover the stream");
        Some(plan)
    }
}

/// Plans a plain tar: headers are read, contents passed over.
fn plan_tar<R: Read + Seek>(archive: &mut R, outer_len: u64) -> io::Result<Option<Draft>> {
    let mut draft = Draft { format: Some(Format::Tar), ..Draft::default() };
    let mut splitter = tar::Splitter::default();
    let mut buf = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < outer_len {
        let skip = splitter.skippable().min(outer_len - at);
        let done = if skip > COPY_BYTES as u64 {
            at = archive.seek(SeekFrom::Start(at + skip))?;
            splitter.skip(skip, &mut draft.pieces)
        } else {
            let wanted = usize::try_from(outer_len - at).unwrap_or(usize::MAX).min(buf.len());
            archive.read_exact(&mut buf[..wanted])?;
            at += wanted as u64;
            splitter.feed(&buf[..wanted], &mut draft.pieces)
        };
        if done.is_none() {
            return Ok(None);
        }
    }
    Ok(draft.recipe.push(Segment::Copy { len: outer_len }).map(|()| draft))
}
