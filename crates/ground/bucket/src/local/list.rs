//! Listing: directory by directory, in batches, so that memory does not grow with the bucket.

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::{DELIMITER, Path};
use object_store::{ListResult, ObjectMeta};
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::dirs::open_dir;
use super::{Failure, Shared, read};
use crate::RESERVED;
use crate::key::fault;

/// Objects that are looked at in one go.
const BATCH_MAX: usize = 512;

/// Where a walk stands: directories not yet begun, and the one that is being read.
struct Walk {
    waiting: Vec<String>,
    current: Option<(String, Dir)>,
}

enum Entry {
    Object(ObjectMeta),
    Directory(String),
}

/// Every object below `prefix`.
pub(super) fn all(
    shared: &Arc<Shared>,
    prefix: Option<&Path>,
) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
    let walk = Walk { waiting: vec![path_of(prefix)], current: None };
    let shared = Arc::clone(shared);
    let batches = stream::try_unfold(walk, move |walk| {
        let shared = Arc::clone(&shared);
        async move {
            let own = Arc::clone(&shared);
            let step = shared.call(move || batch(&own, walk)).await;
            step.map_err(object_store::Error::from)
        }
    });
    batches.map_ok(|batch| stream::iter(batch.into_iter().map(Ok))).try_flatten().boxed()
}

fn path_of(prefix: Option<&Path>) -> String {
    prefix.map_or_else(String::new, Path::to_string)
}

/// The next objects; `None` at the end. Blocks.
fn batch(shared: &Shared, mut walk: Walk) -> Result<Option<(Vec<ObjectMeta>, Walk)>, Failure> {
    let mut found = Vec::new();
    while found.len() < BATCH_MAX {
        let Some((path, mut dir)) = walk
            .current
            .take()
            .map_or_else(|| next_dir(shared, &mut walk.waiting), |current| Ok(Some(current)))?
        else {
            return Ok((!found.is_empty()).then_some((found, walk)));
        };
        let Some(entry) = dir.read() else { continue };
        let entry = entry.map_err(|error| Failure::io("list", &shared.root.join(&path), error))?;
        match classify(shared, &path, &entry)? {
            Some(Entry::Object(meta)) => found.push(meta),
            Some(Entry::Directory(below)) => walk.waiting.push(below),
            None => {}
        }
        walk.current = Some((path, dir));
    }
    Ok(Some((found, walk)))
}

fn next_dir(shared: &Shared, waiting: &mut Vec<String>) -> Result<Option<(String, Dir)>, Failure> {
    while let Some(path) = waiting.pop() {
        let failed = |error: Errno| Failure::io("list", &shared.root.join(&path), error);
        match open_dir(&shared.root_dir, &path) {
            Ok(fd) => {
                let dir = Dir::new(fd).map_err(failed)?;
                return Ok(Some((path, dir)));
            }
            // Removed meanwhile, or an object, below which there is nothing.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => shared.check_root()?,
            Err(error) => return Err(failed(error)),
        }
    }
    shared.check_root()?;
    Ok(None)
}

/// What an entry of a directory is to us. Names that no key can have are not ours.
fn classify(
    shared: &Shared,
    parent: &str,
    entry: &rustix::fs::DirEntry,
) -> Result<Option<Entry>, Failure> {
    let Ok(name) = entry.file_name().to_str() else { return Ok(None) };
    let own = parent.is_empty() && name == RESERVED;
    if own || matches!(name, "." | "..") {
        return Ok(None);
    }
    let path =
        if parent.is_empty() { name.to_owned() } else { format!("{parent}{DELIMITER}{name}") };
    if fault(&path).is_some() {
        tracing::debug!(path, "a file in the bucket's directory that no key can name");
        return Ok(None);
    }
    match entry.file_type() {
        FileType::Directory => Ok(Some(Entry::Directory(path))),
        FileType::RegularFile => object(shared, &path),
        FileType::Unknown if read::is_dir(shared, &path) => Ok(Some(Entry::Directory(path))),
        FileType::Unknown => object(shared, &path),
        _ => Ok(None),
    }
}

/// One open file gives size and version of the same state. `None`: deleted meanwhile.
fn object(shared: &Shared, path: &str) -> Result<Option<Entry>, Failure> {
    let Ok(location) = Path::parse(path) else { return Ok(None) };
    Ok(read::look(shared, path)?.map(|meta| Entry::Object(meta.object(&location))))
}

/// The objects right below `prefix`, and the directories that hold more of them.
pub(super) async fn one_level(
    shared: &Arc<Shared>,
    prefix: Option<&Path>,
) -> Result<ListResult, Failure> {
    let path = path_of(prefix);
    let own = Arc::clone(shared);
    shared.call(move || one_level_blocking(&own, path)).await
}

fn one_level_blocking(shared: &Shared, path: String) -> Result<ListResult, Failure> {
    let mut objects = Vec::new();
    let mut below = Vec::new();
    if let Some((path, mut dir)) = next_dir(shared, &mut vec![path])? {
        while let Some(entry) = dir.read() {
            let entry =
                entry.map_err(|error| Failure::io("list", &shared.root.join(&path), error))?;
            match classify(shared, &path, &entry)? {
                Some(Entry::Object(meta)) => objects.push(meta),
                Some(Entry::Directory(path)) => below.push(path),
                None => {}
            }
        }
    }
    let mut common_prefixes = Vec::new();
    for path in below {
        // A directory without objects is no prefix of any.
        let walk = Walk { waiting: vec![path.clone()], current: None };
        if first(shared, walk)? {
            common_prefixes.extend(Path::parse(&path));
        }
    }
    common_prefixes.sort();
    objects.sort_by(|a: &ObjectMeta, b| a.location.cmp(&b.location));
    Ok(ListResult { common_prefixes, objects, extensions: object_store::Extensions::default() })
}

/// Whether the walk meets an object.
fn first(shared: &Shared, mut walk: Walk) -> Result<bool, Failure> {
    while let Some((path, mut dir)) = next_dir(shared, &mut walk.waiting)? {
        while let Some(entry) = dir.read() {
            let entry =
                entry.map_err(|error| Failure::io("list", &shared.root.join(&path), error))?;
            match classify(shared, &path, &entry)? {
                Some(Entry::Object(_)) => return Ok(true),
                Some(Entry::Directory(below)) => walk.waiting.push(below),
                None => {}
            }
        }
    }
    Ok(false)
}
