//! Changes of a namespace as they come.

use std::time::Duration;

use cairn_partition::{AnyPartition, Change, Changes, KeyRange, Seq, What};

use crate::Error;

/// One that follows the changes of a range.
pub struct Follow {
    partition: AnyPartition,
    range: KeyRange,
    after: Seq,
}

impl Follow {
    pub(crate) fn new(partition: AnyPartition, range: KeyRange, after: Option<Seq>) -> Self {
        let after = after.unwrap_or_else(|| partition.status().durable);
        Self { partition, range, after }
    }

    /// What was told so far: changes after this come next.
    #[must_use]
    pub fn after(&self) -> Seq {
        self.after
    }

    /// The changes that come next, whole commits in their order (KV-3); none when there were none for
    /// `wait`. Of a commit only what is about the range is told. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Partition`], of which `Gone` says that changes after the position are not kept any more.
    pub async fn next(&mut self, wait: Duration) -> Result<Changes, Error> {
        let mut told = self.partition.changes(self.after, wait).await?;
        self.after = told.upto;
        told.changes.retain(|change| concerns(&self.range, change));
        Ok(told)
    }
}

/// Whether a change is about a key of the range.
#[must_use]
pub fn concerns(range: &KeyRange, change: &Change) -> bool {
    match &change.what {
        What::Put(entry) => range.contains(&entry.key),
        What::Deleted { key, .. } => range.contains(key),
        What::RangeDeleted(deleted) => {
            let begins =
                |from: &[u8], to: &Option<bytes::Bytes>| to.as_ref().is_none_or(|to| *from < **to);
            begins(&deleted.from, &range.to) && begins(&range.from, &deleted.to)
        }
    }
}
