use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_tree::{Kind, Root, Source};

use crate::browse::{ChangeKind, join};
use crate::error::Error;
use crate::meter::Meter;
use crate::model::Dataset;
use crate::pages::Browser;
use crate::store::Store;

/// The most chunks that are looked for in local files: about 100 MiB of memory.
const SEEDS_MAX: usize = 1024 * 1024;

#[derive(Clone)]
struct Place {
    file: Arc<PathBuf>,
    offset: u64,
    len: u32,
}

/// Chunks that files of the destination are thought to have. Each is checked against its id when it
/// is taken, so a file that was changed or replaced meanwhile costs a fetch and nothing else.
pub(crate) struct Seeds {
    key: ChunkKey,
    places: Mutex<BTreeMap<ChunkId, Place>>,
    meter: Arc<Meter>,
    reused: crate::meter::Counter,
}

impl Seeds {
    pub(crate) fn new(key: ChunkKey, meter: Arc<Meter>) -> Self {
        Self { key, places: Mutex::default(), meter, reused: crate::meter::Counter::default() }
    }

    pub(crate) fn reused_bytes(&self) -> u64 {
        self.reused.get()
    }

    /// Takes in the files of an older version that the newer one changed or has not.
    pub(crate) async fn learn(
        &self,
        browser: &Browser,
        old: &Root,
        new: &Root,
        destination: &Path,
    ) -> Result<(), Error> {
        let mut files = Vec::new();
        browser
            .diff(old, new, &mut |change| {
                let kinds = [ChangeKind::Removed, ChangeKind::Modified];
                if let Some(entry) = change.old.as_ref().filter(|_| kinds.contains(&change.kind))
                    && let Kind::File { content } = &entry.kind
                    && content.recipe.is_none()
                {
                    files.push((change.path.clone(), content.stream.clone()));
                }
                Ok::<(), Error>(())
            })
            .await?;
        for (path, stream) in files {
            let path = Arc::new(local(destination, &path));
            let mut slices = browser.slices(&stream, 0);
            let mut offset = 0;
            while let Some(slice) = slices.next().await? {
                if let Source::Chunk { id, skip: 0 } = slice.source {
                    self.add(id, &path, offset, u32::try_from(slice.len).unwrap_or_default());
                }
                offset += slice.len;
            }
        }
        Ok(())
    }

    fn add(&self, id: ChunkId, file: &Arc<PathBuf>, offset: u64, len: u32) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() < SEEDS_MAX {
            places.insert(id, Place { file: Arc::clone(file), offset, len });
        }
    }

    /// Chunks, from local files where they have them, else from the store.
    pub(crate) async fn read(
        &self,
        store: &dyn Store,
        dataset: &Dataset,
        ids: &[ChunkId],
    ) -> Result<Vec<Bytes>, Error> {
        let mut chunks: Vec<Option<Bytes>> = self.take(store, ids).await?;
        let missing: Vec<usize> = (0..ids.len()).filter(|at| chunks[*at].is_none()).collect();
        let wanted: Vec<ChunkId> = missing.iter().map(|at| ids[*at]).collect();
        if !wanted.is_empty() {
            for (at, bytes) in missing.into_iter().zip(store.read(dataset, &wanted).await?) {
                self.meter.moved.add(bytes.len() as u64);
                chunks[at] = Some(bytes);
            }
        }
        Ok(chunks.into_iter().flatten().collect())
    }

    async fn take(&self, store: &dyn Store, ids: &[ChunkId]) -> Result<Vec<Option<Bytes>>, Error> {
        let places: Vec<Option<Place>> = {
            let known = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            ids.iter().map(|id| known.get(id).cloned()).collect()
        };
        if places.iter().all(Option::is_none) {
            return Ok(vec![None; ids.len()]);
        }
        let (key, ids) = (self.key.clone(), ids.to_vec());
        let work = move || {
            let mut open: Option<(Arc<PathBuf>, File)> = None;
            let take =
                |(place, id): (Option<Place>, &ChunkId)| take_one(&key, &place?, id, &mut open);
            places.into_iter().zip(&ids).map(take).collect::<Vec<_>>()
        };
        let chunks = store.env().spawn.run(work).await?;
        self.reused.add(chunks.iter().flatten().map(|chunk| chunk.len() as u64).sum());
        Ok(chunks)
    }
}

fn take_one(
    key: &ChunkKey,
    place: &Place,
    id: &ChunkId,
    open: &mut Option<(Arc<PathBuf>, File)>,
) -> Option<Bytes> {
    if open.as_ref().is_none_or(|(path, _)| *path != place.file) {
        *open = Some((Arc::clone(&place.file), File::open(&*place.file).ok()?));
    }
    let (_, file) = open.as_ref()?;
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset).ok()?;
    (key.id(&bytes) == *id).then(|| Bytes::from(bytes))
}

/// Where a path of a version is in the destination.
pub(crate) fn local(destination: &Path, path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    if path.is_empty() {
        return destination.to_path_buf();
    }
    destination.join(std::ffi::OsStr::from_bytes(path))
}

/// A path one name further down.
pub(crate) fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    join(directory, name)
}
