//! What compaction leaves out: versions that no state within the history window shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use slatedb::{
    CompactionFilter, CompactionFilterDecision, CompactionFilterError, CompactionFilterSupplier,
    CompactionJobContext, RowEntry, ValueDeletable,
};

use super::rows::{self, GROUP, VERSION, Version};
use crate::Seq;

/// The oldest state that can still be read. It never goes back.
#[derive(Clone, Default)]
pub(crate) struct Horizon(Arc<AtomicU64>);

impl Horizon {
    pub(crate) fn get(&self) -> Seq {
        Seq(self.0.load(Ordering::Acquire))
    }

    /// Moves on to `to`, which must be recorded in the view already.
    pub(crate) fn pass(&self, to: Seq) {
        self.0.fetch_max(to.0, Ordering::AcqRel);
    }
}

/// Makes the filter of each compaction.
pub(crate) struct HistoryFilters(pub(crate) Horizon);

#[async_trait]
impl CompactionFilterSupplier for HistoryFilters {
    async fn create_compaction_filter(
        &self,
        context: &CompactionJobContext,
    ) -> Result<Box<dyn CompactionFilter>, CompactionFilterError> {
        let last_run = context.is_dest_last_run;
        let filter = HistoryFilter { horizon: self.0.get(), last_run, covered: None };
        Ok(Box::new(filter))
    }
}

struct HistoryFilter {
    horizon: Seq,
    /// Nothing older lies below what is compacted.
    last_run: bool,
    /// The key whose newest version at or before the horizon has been seen: older ones are seen by
    /// nobody.
    covered: Option<Bytes>,
}

impl HistoryFilter {
    fn keeps(&mut self, row: &RowEntry) -> bool {
        match row.key.first() {
            Some(&VERSION) => self.keeps_version(row),
            // The last group reaches the horizon or lies beyond it, so one is always left.
            Some(&GROUP) => {
                rows::parse_seq_key(GROUP, &row.key).is_none_or(|last| last >= self.horizon)
            }
            _ => true,
        }
    }

    fn keeps_version(&mut self, row: &RowEntry) -> bool {
        let ValueDeletable::Value(value) = &row.value else { return true };
        let Some((_, seq)) = rows::parse_version_key(&row.key) else { return true };
        let key = rows::without_seq(&row.key);
        if self.covered.as_deref() == Some(key) {
            return false;
        }
        if seq > self.horizon {
            return true;
        }
        self.covered = Some(row.key.slice(..key.len()));
        let gone = rows::decode_version(value.clone()) == Some(Version::Gone);
        !(gone && self.last_run)
    }
}

#[async_trait]
impl CompactionFilter for HistoryFilter {
    async fn filter(
        &mut self,
        row: &RowEntry,
    ) -> Result<CompactionFilterDecision, CompactionFilterError> {
        if self.keeps(row) {
            return Ok(CompactionFilterDecision::Keep);
        }
        Ok(CompactionFilterDecision::Drop)
    }

    async fn on_compaction_end(&mut self) -> Result<(), CompactionFilterError> {
        Ok(())
    }
}
