//! The workers' side of a push: a batch of events in, entries with their chunks out.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use cairn_chunk::{ChunkKey, TreeHasher};
use cairn_env::Env;
use cairn_tree::{Content, Entry, Kind, Meta};
use rustix::fs::OFlags;
use tokio::sync::mpsc;

use super::file::{self, End, Part, WHOLE_BYTES_MAX, cut_whole, whole};
use super::scan::{Event, FileEvent, OtherKind, Stamp, meta_of, xattrs};
use super::{Loaded, archive};
use crate::error::Error;

/// How often a file is read again because it changed meanwhile (DATASETS-4).
pub(crate) const READS_MAX: u32 = 3;
/// Parts of a large file that wait for the store.
const PARTS_AHEAD: usize = 2;

/// What a worker made of an event.
pub(crate) enum Done {
    Enter {
        name: Vec<u8>,
        meta: Meta,
    },
    Leave,
    /// An entry that is complete.
    Entry(Box<Read>),
    /// A file that the base version has.
    Known(FileEvent),
    /// A file that must be read in parts.
    Large(FileEvent),
    Skipped {
        path: Vec<u8>,
        why: String,
    },
}

/// An entry that a worker completed.
pub(crate) struct Read {
    pub(crate) entry: Entry,
    pub(crate) chunks: Vec<Loaded>,
    pub(crate) pages: Vec<Loaded>,
    /// For the stat cache: the path below the source, and what the file was when it was read.
    pub(crate) stamp: Option<(Vec<u8>, Stamp)>,
    /// It kept changing while it was read: its path.
    pub(crate) unstable: Option<Vec<u8>>,
}

/// Reads all small files of a batch.
pub(crate) fn read_batch(events: Vec<Event>, key: &ChunkKey, open_archives: bool) -> Vec<Done> {
    events.into_iter().flat_map(|event| read_event(event, key, open_archives)).collect()
}

fn read_event(event: Event, key: &ChunkKey, open_archives: bool) -> Vec<Done> {
    match event {
        Event::Enter { name, mut meta, relative, path } => {
            let warning = take_xattrs(&mut meta, &path, &relative);
            std::iter::once(Done::Enter { name, meta }).chain(warning).collect()
        }
        Event::Leave => vec![Done::Leave],
        Event::Skipped { path, why } => vec![Done::Skipped { path, why }],
        Event::Other { name, mut meta, relative, path, kind } => {
            let warning = take_xattrs(&mut meta, &path, &relative);
            let kind = match kind {
                OtherKind::Symlink { target } => Kind::Symlink { target },
                OtherKind::Hardlink { target } => Kind::Hardlink { target },
            };
            let entry = Entry { name, meta, kind };
            let (chunks, pages) = (Vec::new(), Vec::new());
            let read = Read { entry, chunks, pages, stamp: None, unstable: None };
            std::iter::once(Done::Entry(Box::new(read))).chain(warning).collect()
        }
        Event::File(file) if file.unchanged => vec![Done::Known(file)],
        Event::File(file) => read_file(file, key, open_archives),
    }
}

fn take_xattrs(meta: &mut Meta, path: &Path, relative: &[u8]) -> Option<Done> {
    let (xattrs, problem) = xattrs(path);
    meta.xattrs = xattrs;
    let why = format!("its extended attributes are not stored: {}", problem?);
    Some(Done::Skipped { path: relative.to_vec(), why })
}

/// Reads a file that is small, or says that it is large.
pub(crate) fn read_file(file: FileEvent, key: &ChunkKey, open_archives: bool) -> Vec<Done> {
    if file.stamp.size > WHOLE_BYTES_MAX || file.sparse {
        return vec![Done::Large(file)];
    }
    let (mut meta, mut stamp, mut bytes) = match read_small(&file.path) {
        Ok(read) => read,
        Err(error) => return vec![Done::Skipped { path: file.relative, why: error.to_string() }],
    };
    let mut tries = 1;
    // The listing may be older than the reading: only a change during the reading counts.
    let mut unstable = changed(&file.path, &stamp);
    while unstable && tries < READS_MAX {
        tries += 1;
        match read_small(&file.path) {
            Ok(again) => (meta, stamp, bytes) = again,
            Err(error) => {
                return vec![Done::Skipped { path: file.relative, why: error.to_string() }];
            }
        }
        unstable = changed(&file.path, &stamp);
    }
    if bytes.len() as u64 > WHOLE_BYTES_MAX
        || (open_archives && cairn_archive::sniff(&bytes).is_some())
    {
        return vec![Done::Large(FileEvent { stamp, ..file })];
    }
    let warning = take_xattrs(&mut meta, &file.path, &file.relative);
    let chunks = cut_whole(key, &bytes);
    let (content, pages) = small_content(key, &bytes, &chunks);
    let entry = Entry { name: file.name, meta, kind: Kind::File { content } };
    let (stamp, unstable) =
        if unstable { (None, Some(file.relative)) } else { (Some((file.relative, stamp)), None) };
    let read = Read { entry, chunks, pages, stamp, unstable };
    std::iter::once(Done::Entry(Box::new(read))).chain(warning).collect()
}

/// Opens a regular file. What took its place since it was listed is not opened: a pipe would be
/// waited for.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        let why = "it is no regular file any more";
        Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why))
    }
}

fn read_small(path: &Path) -> std::io::Result<(Meta, Stamp, Bytes)> {
    let mut file = open(path)?;
    let stat = file.metadata()?;
    let limit = WHOLE_BYTES_MAX + 1;
    let size = usize::try_from(stat.len().min(limit)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size + 1);
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, limit), &mut bytes)?;
    Ok((meta_of(&stat), Stamp::of(&stat), Bytes::from(bytes)))
}

fn changed(path: &Path, stamp: &Stamp) -> bool {
    std::fs::symlink_metadata(path).map_or(true, |stat| Stamp::of(&stat) != *stamp)
}

/// The content of a file that is at hand, and the pages of its map when it needs one.
fn small_content(key: &ChunkKey, bytes: &Bytes, chunks: &[Loaded]) -> (Content, Vec<Loaded>) {
    let mut pages = Vec::new();
    let mut emit = |page: Vec<u8>| -> Result<_, cairn_tree::Error> {
        let id = key.id(&page);
        pages.push((id, Bytes::from(page)));
        Ok(id)
    };
    let mut builder = cairn_tree::StreamBuilder::new();
    for (id, chunk) in chunks {
        builder.push(whole(*id, chunk.len()), &mut emit).expect("a chunk is a valid slice");
    }
    let stream = builder.finish(&mut emit).expect("a megabyte is not too long");
    let root = (chunks.len() > 1).then(|| {
        let mut tree = TreeHasher::default();
        tree.update(bytes);
        tree.finish().0
    });
    let len = bytes.len() as u64;
    (Content { len, stream, root, outboard: None, recipe: None }, pages)
}

/// What comes from a worker that reads a large file.
pub(crate) enum Piece {
    Part(Part),
    End { end: End, meta: Meta, stamp: Stamp, changed: bool, warning: Option<String> },
    Failed(std::io::Error),
}

/// Starts a worker that reads a large file.
pub(crate) fn read_large(
    env: &Env,
    path: &Path,
    key: &ChunkKey,
    open_archives: bool,
) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(PARTS_AHEAD);
    let (path, key) = (path.to_path_buf(), key.clone());
    env.spawn.work(Box::new(move || {
        let mut give = |part| sender.blocking_send(Piece::Part(part)).is_ok();
        let last = match stream_file(&path, &key, open_archives, &mut give) {
            Ok(None) => return,
            Ok(Some((end, mut meta, stamp))) => {
                let (attributes, warning) = xattrs(&path);
                meta.xattrs = attributes;
                Piece::End { end, meta, stamp, changed: changed(&path, &stamp), warning }
            }
            Err(error) => Piece::Failed(error),
        };
        // Nobody listens when the push has ended.
        drop(sender.blocking_send(last));
    }));
    receiver
}

fn stream_file(
    path: &Path,
    key: &ChunkKey,
    open_archives: bool,
    give: &mut dyn FnMut(Part) -> bool,
) -> std::io::Result<Option<(End, Meta, Stamp)>> {
    let mut file = open(path)?;
    let stat = file.metadata()?;
    let (meta, stamp) = (meta_of(&stat), Stamp::of(&stat));
    let sparse = std::os::unix::fs::MetadataExt::blocks(&stat).saturating_mul(512) < stat.len();
    if open_archives && !sparse {
        let mut head = vec![0; 1024];
        let read = file::read_full(&mut file, &mut head)?;
        if let Some(plan) = archive::plan(&mut file, &head[..read])? {
            let end = archive::read_parts(&mut file, &plan, key, give)?;
            return Ok(end.map(|end| (end, meta, stamp)));
        }
    }
    let end = file::read_parts(&mut file, stat.len(), sparse, key, give)?;
    Ok(end.map(|end| (end, meta, stamp)))
}

/// Starts a worker that reads standard input to its end.
pub(crate) fn read_stdin(env: &Env, key: &ChunkKey) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(PARTS_AHEAD);
    let key = key.clone();
    env.spawn.work(Box::new(move || {
        let mut give = |part| sender.blocking_send(Piece::Part(part)).is_ok();
        let last = match read_stream(&mut std::io::stdin().lock(), &key, &mut give) {
            Ok(None) => return,
            Ok(Some(end)) => {
                let size = end.len;
                let none = cairn_tree::Time::default();
                let stamp = Stamp { inode: 0, size, mtime: none, ctime: none };
                let meta = Meta { mode: 0o644, ..Meta::default() };
                Piece::End { end, meta, stamp, changed: false, warning: None }
            }
            Err(error) => Piece::Failed(error),
        };
        drop(sender.blocking_send(last));
    }));
    receiver
}

/// Reads a stream of unknown length.
pub(crate) fn read_stream(
    input: &mut dyn std::io::Read,
    key: &ChunkKey,
    give: &mut dyn FnMut(Part) -> bool,
) -> std::io::Result<Option<End>> {
    let mut tree = TreeHasher::default();
    let mut cut = file::Cut::new(key, cairn_chunk::SizeClass::Small);
    let mut len = 0;
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let mut input = &mut *input;
        let read = file::read_full(&mut input, &mut buffer)?;
        tree.update(&buffer[..read]);
        len += read as u64;
        let mut part = Part { nodes: tree.take_nodes(), read: read as u64, ..Part::default() };
        let mut chunk = |id, bytes: Bytes| {
            part.slices.push(whole(id, bytes.len()));
            part.chunks.push((id, bytes));
        };
        cut.take(&buffer[..read], &mut chunk);
        let ended = read < buffer.len();
        if ended {
            cut.end(&mut chunk);
        }
        if !give(part) {
            return Ok(None);
        }
        if ended {
            let (root, nodes) = tree.finish();
            return Ok(Some(End { len, root, nodes, recipe: None }));
        }
    }
}

pub(crate) fn io_error(path: &Path, error: std::io::Error) -> Error {
    Error::local("read", path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_any_more_is_not_opened() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // With a writer there is nothing to wait for, so that only the check can refuse it.
        let _writer = File::options().read(true).write(true).open(&pipe).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        std::fs::write(dir.path().join("file"), "f").unwrap();
        for path in [&pipe, &link, &dir.path().to_path_buf()] {
            assert!(open(path).is_err(), "{}", path.display());
        }
        assert!(open(&dir.path().join("file")).is_ok());
    }

    #[test]
    fn what_is_left_out_is_named_by_its_whole_path() {
        let path = std::path::PathBuf::from("/this/directory/is/gone");
        let (name, relative) = (b"gone".to_vec(), b"is/gone".to_vec());
        let enter = Event::Enter { name, meta: Meta::default(), relative, path };
        let done = read_event(enter, &ChunkKey::new([1; 32]), false);
        assert!(
            matches!(&done[..], [Done::Enter { .. }, Done::Skipped { path, .. }] if path == b"is/gone")
        );
    }
}
