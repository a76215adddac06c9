//! Pull: make a directory be a version, moving only what it lacks.
//!
//! Files are written under a temporary name, verified, given their attributes and renamed: a file in
//! the destination is as it was or whole (DATASETS-3). Directories are opened one below the other
//! without following links, so nothing outside is touched, whatever the manifest or the destination
//! holds. What was pulled is remembered, so that the next pull reads neither unchanged files nor
//! their chunks, and local changes are noticed before they would be lost.

mod apply;
mod check;
mod queue;
mod seeds;
mod switch;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub(crate) use seeds::Seeds;
pub use switch::pull_switch;

use crate::error::Error;
use crate::meter::Meter;
use crate::model::{Target, Version};
use crate::pages::Browser;
use crate::store::Store;

/// How a pull goes about it.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Overwrite files that were changed here, and things of another kind that are in the way.
    pub force: bool,
    /// Delete what the version has not.
    pub delete: bool,
    /// Where the memory of pulls is kept; none means that files are read to know what they are.
    pub state_dir: Option<PathBuf>,
    /// Counts what is done.
    pub meter: Arc<Meter>,
}

/// What a pull did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// The version that the destination now is.
    pub version: Version,
    /// Files written.
    pub files_written: u64,
    /// Files that were there already.
    pub files_kept: u64,
    /// Things deleted.
    pub deleted: u64,
    /// Bytes of chunks that were fetched.
    pub fetched_bytes: u64,
    /// Bytes of chunks that were taken from files of the destination.
    pub reused_bytes: u64,
    /// Attributes that could not be set, and why; the first few.
    pub warnings: Vec<String>,
}

/// Makes `destination` be the version that `target` points to.
///
/// # Errors
/// [`Error::NoTag`]; [`Error::InTheWay`] before anything was changed; [`Error::Local`];
/// [`Error::Blocks`] and [`Error::Remote`] with nothing half written.
pub async fn pull(
    store: &Arc<dyn Store>,
    target: &Target,
    destination: &Path,
    options: &PullOptions,
) -> Result<Pulled, Error> {
    let browser = Browser::new(Arc::clone(store), target.dataset.clone()).reading_ahead(true);
    let (version, root) = browser.open(&target.tag).await?;
    let project = store.project(&target.dataset.project).await?;
    options.meter.files_expected.add(version.files);
    options.meter.bytes_expected.add(version.bytes);
    Box::pin(apply::apply(&browser, &version, &root, destination, &project, options)).await
}
