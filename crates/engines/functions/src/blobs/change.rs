//! Changes of containers: each is one version of its tag, made to its end with its record.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use cairn_access::Action;
use cairn_datasets::{
    EDIT_WRITE_BYTES_MAX, EditId, EditPublication, Error as DataError, Expect, FileWrite,
    Store as _, Target,
};
use cairn_wasm::{BlobError, File};

use super::{FunctionBlobs, Shared, failed};

/// Names from the top of the tree down.
type Path = Vec<Vec<u8>>;

/// What is changed.
pub(super) enum Change {
    /// There is a container without objects, where there was none.
    Create,
    /// There is no container any more.
    Remove,
    /// There are no objects any more.
    Clear,
    /// These files are there no more.
    Delete(Vec<Path>),
    /// There is this file.
    Put { path: Path, bytes: Bytes },
    /// There is a file with these bytes, and the other one no more.
    Copy { from: Arc<dyn File>, path: Path, gone: Option<Path> },
}

impl Change {
    fn action(&self) -> Action {
        match self {
            Self::Remove => Action::DeleteDataset,
            _ => Action::WriteDataset,
        }
    }

    /// What was done, for the record.
    fn told(&self, target: &Target) -> String {
        let shown = |path: &Path| String::from_utf8_lossy(&path.join(&b'/')).into_owned();
        match self {
            Self::Create => format!("published {target} without files"),
            Self::Remove => format!("removed tag {}", target.tag),
            Self::Clear => format!("removed all files of {target}"),
            Self::Delete(paths) => format!("removed {} files of {target}", paths.len()),
            Self::Put { path, .. } | Self::Copy { path, gone: None, .. } => {
                format!("put {} into {target}", shown(path))
            }
            Self::Copy { path, gone: Some(gone), .. } => {
                format!("moved {} to {} in {target}", shown(gone), shown(path))
            }
        }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Access(#[from] cairn_access::Error),
    #[error("the object was not read to its end: {0}")]
    Source(String),
    #[error("there is a container of that name already")]
    Exists,
}

impl From<Unmade> for BlobError {
    fn from(error: Unmade) -> Self {
        match error {
            Unmade::Data(error) => failed(error),
            error => Self::Other(error.to_string()),
        }
    }
}

impl FunctionBlobs {
    /// Makes a change, also when the call that asked for it ends meanwhile; bytes that are still to be read then
    /// are not.
    pub(super) async fn change(&self, on: Target, change: Change) -> Result<(), BlobError> {
        let Shared { env, turns, .. } = &*self.shared;
        let stops = || BlobError::Other("the node stops".to_owned());
        let turn = Arc::clone(turns).acquire_owned().await.map_err(|_| stops())?;
        let waits = Arc::new(());
        let (this, waited_for) = (self.clone(), Arc::downgrade(&waits));
        let work = env.spawn.to_its_end(async move {
            let _turn = turn;
            this.recorded(&on, change, waited_for).await
        });
        let done = work.await.map_err(|_| stops())?;
        drop(waits);
        done
    }

    async fn recorded(
        &self,
        on: &Target,
        change: Change,
        waited_for: Weak<()>,
    ) -> Result<(), BlobError> {
        let visit = self.may(change.action(), on).await?;
        let datasets = &self.shared.datasets;
        if !matches!(change, Change::Create) {
            // A change makes no container.
            datasets.tag(on).await.map_err(failed)?;
        }
        if matches!(&change, Change::Delete(paths) if paths.is_empty()) {
            return Ok(());
        }
        let told = change.told(on);
        let made = visit.change(
            async {
                match change {
                    Change::Remove => Ok(datasets.remove(on).await?),
                    change => self.edited(on, change, &waited_for).await,
                }
            },
            |()| told,
        );
        Ok(made.await?)
    }

    /// Makes one version.
    async fn edited(
        &self,
        on: &Target,
        change: Change,
        waited_for: &Weak<()>,
    ) -> Result<(), Unmade> {
        let (edits, owner) = (&self.shared.edits, self.owner());
        let id = edits.begin(on, &owner).await?;
        let expect = match change {
            Change::Create => Expect::Nothing,
            _ => Expect::Anything,
        };
        let drafted = self.draft(id, change, waited_for).await;
        let publication = EditPublication { expect: expect.clone(), message: None };
        let published = match drafted {
            Ok(()) => match edits.publish(id, &owner, &publication).await {
                Err(DataError::Moved { .. }) if expect == Expect::Nothing => Err(Unmade::Exists),
                published => published.map(drop).map_err(Into::into),
            },
            Err(error) => Err(error),
        };
        if published.is_err() {
            // What it stored is collected, whether it is given up or forgotten.
            drop(edits.abandon(id, &owner).await);
        }
        published
    }

    async fn draft(&self, id: EditId, change: Change, waited_for: &Weak<()>) -> Result<(), Unmade> {
        let (edits, owner) = (&self.shared.edits, self.owner());
        match change {
            Change::Create | Change::Clear => edits.clear(id, &owner)?,
            // That makes no version.
            Change::Remove => {}
            Change::Delete(paths) => {
                for path in paths {
                    match edits.remove(id, &owner, path).await {
                        Ok(()) | Err(DataError::NoPath { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Change::Put { path, mut bytes } => {
                let mut write = write(path, bytes.len() as u64);
                loop {
                    let piece = bytes.split_to(bytes.len().min(EDIT_WRITE_BYTES_MAX));
                    let (at, len) = (write.clone(), piece.len() as u64);
                    edits.write(id, &owner, at, piece).await?;
                    write.offset += len;
                    if bytes.is_empty() {
                        break;
                    }
                }
            }
            Change::Copy { from, path, gone } => {
                if let Some(gone) = gone {
                    edits.remove(id, &owner, gone).await?;
                }
                self.copied(id, &*from, path, waited_for).await?;
            }
        }
        Ok(())
    }

    /// Writes the bytes of one object as another, as they are read.
    async fn copied(
        &self,
        id: EditId,
        from: &dyn File,
        path: Path,
        waited_for: &Weak<()>,
    ) -> Result<(), Unmade> {
        let (edits, owner) = (&self.shared.edits, self.owner());
        let mut write = write(path, from.size().await.unwrap_or(0));
        loop {
            let left = usize::try_from(write.size - write.offset).unwrap_or(usize::MAX);
            let piece = if left == 0 {
                Bytes::new()
            } else {
                let read = from.read(write.offset, left.min(EDIT_WRITE_BYTES_MAX)).await;
                read.map_err(|error| Unmade::Source(error.to_string()))?
            };
            if piece.is_empty() && left > 0 {
                return Err(Unmade::Source("it is shorter than it was".to_owned()));
            }
            let (at, len) = (write.clone(), piece.len() as u64);
            edits.write(id, &owner, at, piece).await?;
            write.offset += len;
            if write.offset == write.size {
                return Ok(());
            }
            if waited_for.strong_count() == 0 {
                return Err(Unmade::Source("the call has ended".to_owned()));
            }
        }
    }
}

fn write(path: Path, size: u64) -> FileWrite {
    FileWrite { path, offset: 0, size, mtime: None, executable: None }
}
