//! Files in memory.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{File, FileError};

/// Bytes as a file.
#[must_use]
pub fn held(bytes: Bytes) -> Arc<dyn File> {
    Arc::new(Held(bytes))
}

struct Held(Bytes);

#[async_trait]
impl File for Held {
    async fn size(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError> {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.0.len());
        Ok(self.0.slice(from..from.saturating_add(most).min(self.0.len())))
    }
}
