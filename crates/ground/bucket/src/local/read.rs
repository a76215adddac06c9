//! Reading: in place when the kernel has everything in memory, through the engine otherwise.
//!
//! The first try is made on the caller's thread with calls that refuse to wait: `openat2` with
//! `RESOLVE_CACHED` and `preadv2` with `RWF_NOWAIT`. A hop to another thread costs more than it saves:
//! 64 KiB from the page cache took 11 µs of CPU in place, 15 µs through a ring and 17 to 27 µs through
//! threads (two cores, Linux 6.18; `examples/io_bench.rs`).

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, coalesce_ranges};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use super::dirs::open_below;
use super::engine::blocking;
use super::meta::{self, Meta};
use super::{Failure, Shared};

/// The largest read that is tried in place: more would hold up the caller's thread for too long.
pub(super) const IN_PLACE_BYTES_MAX: usize = 1 << 20;
/// From this size on memory is used again: clearing it costs as much as half of the copy.
const LARGE_BYTES: usize = 512 << 10;
/// The pieces of a longer body.
const PIECE_BYTES: u64 = 1 << 20;
/// Pieces of one body that are read ahead.
const PIECES_AHEAD_MAX: usize = 2;
/// Ranges that lie nearer than this are read in one piece.
const COALESCE_BYTES: u64 = 64 << 10;

/// An open object: its bytes stay what they are, whatever happens to its key (BUCKET-4).
pub(super) struct Opened {
    pub(super) file: Arc<OwnedFd>,
    pub(super) meta: Meta,
}

/// Opens an object. Blocks.
pub(super) fn open(shared: &Shared, path: &str) -> Result<Opened, Failure> {
    let how = ResolveFlags::empty();
    accept(shared, path, open_below(&shared.root_dir, path, OFlags::RDONLY, how))
}

/// Opens an object if that needs no disk; `None` if it would, or if the kernel cannot tell.
fn open_cached(shared: &Shared, path: &str) -> Option<Result<Opened, Failure>> {
    match open_below(&shared.root_dir, path, OFlags::RDONLY, ResolveFlags::CACHED) {
        Err(Errno::AGAIN | Errno::NOSYS) => None,
        opened => Some(accept(shared, path, opened)),
    }
}

fn accept(shared: &Shared, path: &str, fd: Result<OwnedFd, Errno>) -> Result<Opened, Failure> {
    let file = match fd {
        Ok(file) => file,
        // Below an object, or a symbolic link, there is nothing of ours.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(shared.missing(path)),
        Err(error) => return Err(Failure::io("open", &shared.root.join(path), error)),
    };
    match meta::read(&file, path)? {
        Some(meta) => Ok(Opened { file: Arc::new(file), meta }),
        None => Err(shared.missing(path)),
    }
}

/// The metadata of what `path` names now. Blocks.
pub(super) fn look(shared: &Shared, path: &str) -> Result<Option<Meta>, Failure> {
    match open(shared, path) {
        Ok(opened) => Ok(Some(opened.meta)),
        Err(Failure::Missing { .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

pub(super) fn is_dir(shared: &Shared, path: &str) -> bool {
    super::dirs::open_dir(&shared.root_dir, path).is_ok()
}

async fn open_any(shared: &Arc<Shared>, path: &str) -> Result<Opened, Failure> {
    if let Some(opened) = open_cached(shared, path) {
        return opened;
    }
    let _permit = shared.permit().await?;
    let (own, path) = (Arc::clone(shared), path.to_owned());
    shared.call(move || open(&own, &path)).await
}

pub(super) async fn get(
    shared: &Arc<Shared>,
    location: &Path,
    options: GetOptions,
) -> object_store::Result<GetResult> {
    if options.version.is_some() {
        return Err(Failure::Unsupported.into());
    }
    let opened = open_any(shared, location.as_ref()).await?;
    let object = opened.meta.object(location);
    options.check_preconditions(&object)?;
    let range = match &options.range {
        Some(range) => {
            range.as_range(object.size).map_err(|error| Failure::range(location, &error))?
        }
        None => 0..object.size,
    };
    let body = if options.head { 0..0 } else { range.clone() };
    let payload = if body.end - body.start <= PIECE_BYTES {
        let bytes = read_at(shared, &opened.file, body, location.as_ref()).await?;
        stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()
    } else {
        pieces(shared, opened.file, body, location)
    };
    Ok(GetResult {
        payload: GetResultPayload::Stream(payload),
        meta: object,
        range,
        attributes: opened.meta.attributes,
        extensions: object_store::Extensions::default(),
    })
}

fn pieces(
    shared: &Arc<Shared>,
    file: Arc<OwnedFd>,
    range: Range<u64>,
    location: &Path,
) -> stream::BoxStream<'static, object_store::Result<Bytes>> {
    let (shared, location) = (Arc::clone(shared), location.clone());
    let count = (range.end - range.start).div_ceil(PIECE_BYTES);
    stream::iter(0..count)
        .map(move |index| {
            let start = range.start + index * PIECE_BYTES;
            let piece = start..range.end.min(start + PIECE_BYTES);
            let (shared, file, location) =
                (Arc::clone(&shared), Arc::clone(&file), location.clone());
            async move { Ok(read_at(&shared, &file, piece, location.as_ref()).await?) }
        })
        .buffered(PIECES_AHEAD_MAX)
        .boxed()
}

pub(super) async fn get_ranges(
    shared: &Arc<Shared>,
    location: &Path,
    ranges: &[Range<u64>],
) -> object_store::Result<Vec<Bytes>> {
    let opened = open_any(shared, location.as_ref()).await?;
    let size = opened.meta.size;
    let mut clipped = Vec::with_capacity(ranges.len());
    for range in ranges {
        let asked = object_store::GetRange::Bounded(range.clone());
        clipped.push(asked.as_range(size).map_err(|error| Failure::range(location, &error))?);
    }
    let (opened, path) = (&opened, location.as_ref());
    let read = |range| async move {
        let bytes: object_store::Result<Bytes> =
            read_at(shared, &opened.file, range, path).await.map_err(Into::into);
        bytes
    };
    coalesce_ranges(&clipped, read, COALESCE_BYTES).await
}

/// Reads exactly `range`, which lies in the file.
async fn read_at(
    shared: &Arc<Shared>,
    file: &Arc<OwnedFd>,
    range: Range<u64>,
    path: &str,
) -> Result<Bytes, Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Failure::Shrank { path: path.to_owned() },
        _ => Failure::io("read", &shared.root.join(path), error),
    };
    let len = usize::try_from(range.end - range.start)
        .map_err(|_| failed(io::Error::from(io::ErrorKind::OutOfMemory)))?;
    if len == 0 {
        return Ok(Bytes::new());
    }
    if len <= IN_PLACE_BYTES_MAX
        && let Some(bytes) = in_place(shared, file, range.start, len)
    {
        // Reads that never wait would keep other tasks from this thread.
        tokio::task::consume_budget().await;
        return Ok(bytes);
    }
    let _permit = shared.permit().await?;
    shared.io.read(Arc::clone(file), range.start, len).await.map_err(failed)
}

/// Reads what is in the kernel's memory.
fn in_place(shared: &Shared, file: &OwnedFd, at: u64, len: usize) -> Option<Bytes> {
    if len < LARGE_BYTES {
        let mut bytes = vec![0; len];
        return blocking::read_cached(file, at, &mut bytes).then(|| bytes.into());
    }
    let mut buffer = shared.buffers.take(len);
    blocking::read_cached(file, at, buffer.bytes_mut()).then(|| buffer.freeze())
}
