//! Replays a log over a copy and compares what redo makes with the images that
//! `wal_consistency_checking` left in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cairn_pgwal::effects::{Effect, effects};
use cairn_pgwal::redo::{clear_visibility, visibility_clears, visibility_page};
use cairn_pgwal::{Block, Fork, Lsn, Major, Page, Record, RedoError, Relation, Rmgr, mask, redo};
use serde::Serialize;

use crate::archive::Archive;
use crate::base::Base;
use crate::compare::{Comparison, Copied, Side, compare};
use crate::error::Error;
use crate::pages::Pages;

/// What is replayed.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions {
    /// The first record; none means where the copy's last checkpoint says.
    pub from: Option<Lsn>,
    /// Records that end behind it are not replayed; none means to the end.
    pub to: Option<Lsn>,
    /// So many mismatches are kept with their pages.
    pub keep: usize,
}

/// What became of block references.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// References.
    pub blocks: u64,
    /// Taken from an image that was to be applied.
    pub images: u64,
    /// Redone and equal to the image beside the record.
    pub equal: u64,
    /// Redone and different from it.
    pub mismatches: u64,
    /// Redone, and no image to compare with.
    pub unchecked: u64,
    /// Redo failed.
    pub errors: u64,
    /// No redo is known.
    pub unimplemented: u64,
}

/// A page that differs, or could not be made.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The record.
    pub at: Lsn,
    /// Its resource manager and kind.
    pub kind: (u8, u8),
    /// The block's id in the record, and where it is.
    pub block: (u8, Relation, Fork, u32),
    /// Why redo failed, when it did.
    pub error: Option<String>,
    /// The page before the record, after our redo, and in the image.
    pub pages: Box<[Page; 3]>,
    /// The first byte that differs under the mask.
    pub first_difference: Option<usize>,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    /// Records replayed.
    pub records: u64,
    /// The end of the last one.
    pub end: Lsn,
    /// How many of each resource manager and kind, those without blocks as well.
    pub seen: BTreeMap<(u8, u8), u64>,
    /// What was seen that is seldom: how images were compressed, records that are long.
    pub features: BTreeSet<&'static str>,
    /// By resource manager and kind of record.
    pub kinds: BTreeMap<(u8, u8), Counts>,
    /// The first ones.
    pub mismatches: Vec<Mismatch>,
}

impl Report {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.kinds.values().fold(Counts::default(), |a, b| Counts {
            blocks: a.blocks + b.blocks,
            images: a.images + b.images,
            equal: a.equal + b.equal,
            mismatches: a.mismatches + b.mismatches,
            unchecked: a.unchecked + b.unchecked,
            errors: a.errors + b.errors,
            unimplemented: a.unimplemented + b.unimplemented,
        })
    }
}

/// Replays and compares.
///
/// # Errors
/// [`Error`]; what differs is not an error but in the report.
pub fn verify(
    base: &mut Base,
    archive: &Archive,
    options: &VerifyOptions,
) -> Result<Report, Error> {
    Ok(replay(base, archive, options)?.report)
}

/// Replays and compares, and in the end compares all pages with the files of stopped servers: stock
/// ones that recovered the same copy by the same log, or the one that wrote it.
///
/// # Errors
/// [`Error`]; what differs is not an error but in the report and the comparisons.
pub fn verify_against(
    base: &mut Base,
    archive: &Archive,
    options: &VerifyOptions,
    servers: &[(Side, &Path)],
) -> Result<(Report, Vec<Comparison>), Error> {
    let mut work = replay(base, archive, options)?;
    let mut compared =
        |(side, path): &(Side, &Path)| compare(&mut work.pages, (*side, path), &work.copied);
    let comparisons = servers.iter().map(&mut compared).collect::<Result<_, _>>()?;
    Ok((work.report, comparisons))
}

fn replay<'a>(
    base: &'a mut Base,
    archive: &Archive,
    options: &VerifyOptions,
) -> Result<Work<'a>, Error> {
    let start = match options.from {
        Some(from) => from,
        None => base.redo_start()?,
    };
    let mut work = Work {
        pages: Pages::new(base),
        copied: Copied::new(),
        report: Report::default(),
        keep: options.keep,
        segment_bytes: archive.segment_bytes(),
    };
    let mut records = archive.records(start);
    while let Some(raw) = records.advance()? {
        if options.to.is_some_and(|to| raw.end > to) {
            break;
        }
        let record = Record::decode(Major::V15, &raw)?;
        work.record(&record);
    }
    Ok(work)
}

struct Work<'a> {
    pages: Pages<'a>,
    copied: Copied,
    report: Report,
    keep: usize,
    segment_bytes: u64,
}

impl Work<'_> {
    fn record(&mut self, record: &Record<'_>) {
        self.report.records += 1;
        self.report.end = record.end;
        *self.report.seen.entry((record.rmgr, record.kind())).or_default() += 1;
        self.note_features(record);
        let cleared = self.clear_visibility(record);
        for block in &record.blocks {
            self.block(record, block);
        }
        let effects = effects(record);
        for effect in effects.iter().flatten() {
            self.note_copy(effect);
            self.pages.apply(effect);
        }
        let failed = u64::from(cleared.is_err()) + u64::from(effects.is_err());
        if failed > 0 {
            self.report.kinds.entry((record.rmgr, record.kind())).or_default().errors += failed;
        }
    }

    /// Notes databases whose visibility maps lost bits in the log.
    fn note_copy(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::CreateDatabase { tablespace, database } => {
                self.copied.insert((*tablespace, *database));
            }
            Effect::CopyDatabase { from, to } if self.copied.contains(from) => {
                self.copied.insert(*to);
            }
            _ => {}
        }
    }

    /// Notes what a record has that is seldom.
    fn note_features(&mut self, record: &Record<'_>) {
        let segments = record.end.0 / self.segment_bytes - record.start.0 / self.segment_bytes;
        if segments > 1 {
            self.report.features.insert("record over a whole segment");
        }
        for image in record.blocks.iter().filter_map(|block| block.image) {
            self.report.features.extend(image.compression());
        }
    }

    /// Clears the bits of visibility maps to which the record has no reference.
    fn clear_visibility(&mut self, record: &Record<'_>) -> Result<(), RedoError> {
        for clear in visibility_clears(record)? {
            let number = visibility_page(clear.heap_block);
            let map = self.pages.page(clear.relation, Fork::Visibility, number);
            clear_visibility(map, clear.heap_block, clear.bits);
        }
        Ok(())
    }

    fn block(&mut self, record: &Record<'_>, block: &Block<'_>) {
        let page = self.pages.page(block.relation, block.fork, block.number);
        let before = page.clone();
        let done = redo(record, block, page);
        let counts = self.report.kinds.entry((record.rmgr, record.kind())).or_default();
        counts.blocks += 1;
        let expected = block.image.filter(|image| !image.apply).and_then(|image| {
            let mut expected = Page::zeroed();
            image.restore(&mut expected).is_ok().then_some(expected)
        });
        let difference = match (&done, &expected) {
            (Ok(()), Some(expected)) => first_difference(record, block, page, expected),
            _ => None,
        };
        match (&done, &expected) {
            (Ok(()), _) if block.image.is_some_and(|image| image.apply) => counts.images += 1,
            (Ok(()), Some(_)) if difference.is_none() => counts.equal += 1,
            (Ok(()), Some(_)) => counts.mismatches += 1,
            (Ok(()), None) => counts.unchecked += 1,
            (Err(RedoError::Unknown { .. }), _) => counts.unimplemented += 1,
            (Err(_), _) => counts.errors += 1,
        }
        if (done.is_err() || difference.is_some()) && self.report.mismatches.len() < self.keep {
            let image = expected.as_deref().cloned().unwrap_or(Page([0; 8192]));
            self.report.mismatches.push(Mismatch {
                at: record.start,
                kind: (record.rmgr, record.kind()),
                block: (block.id, block.relation, block.fork, block.number),
                error: done.as_ref().err().map(ToString::to_string),
                pages: Box::new([before, page.clone(), image]),
                first_difference: difference,
            });
        }
        // What follows is judged by itself: it begins with the true page.
        if let Some(mut expected) = expected.filter(|_| done.is_err() || difference.is_some()) {
            expected.set_lsn(record.end);
            *page = *expected;
        }
    }
}

/// The first byte that differs once both are blanked.
fn first_difference(
    record: &Record<'_>,
    block: &Block<'_>,
    ours: &Page,
    theirs: &Page,
) -> Option<usize> {
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    if Rmgr::from_number(record.rmgr).is_some() {
        let blanked = mask::mask(record, &mut ours, block.number)
            .and_then(|()| mask::mask(record, &mut theirs, block.number));
        if blanked.is_err() {
            return Some(0);
        }
    }
    ours.0.iter().zip(&theirs.0).position(|(a, b)| a != b)
}
