//! What the process around a door knows of itself and the door does not.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_datasets::Collected;

use crate::api::Check;

/// Looks at what only the process knows. May block for a moment.
pub type SelfChecks = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// When, and what came of it.
type Last = Option<(i64, Result<String, String>)>;

/// The last collection of a process, whoever asked for it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LastCollection(Arc<Mutex<Last>>);

impl LastCollection {
    /// Keeps what came of a collection at `now_ns`, in nanoseconds since 1970.
    pub fn note(&self, now_ns: i64, ended: Result<&Collected, String>) {
        let told = ended.map(collected_what);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now_ns, told));
    }

    pub(crate) fn get(&self) -> Last {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a collection did, in words.
#[must_use]
pub fn collected_what(done: &Collected) -> String {
    let (tags, versions) = (done.tags_removed, done.versions_removed);
    format!("removed {tags} tags, {versions} versions, {} packs", done.blocks.packs_deleted)
}

/// How full the disk is that `path` is on. Blocks.
#[must_use]
pub fn disk_space(check: &str, path: &Path) -> Check {
    crate::rest::disk_space(check, path)
}
