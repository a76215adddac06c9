//! A cache of frames on this machine's disk, for buckets that are far away.
//!
//! Frames are kept as they are stored in the bucket, compressed and, in an encrypted bucket, sealed:
//! the disk learns nothing that the bucket's owner would not show. A frame is put here after the chunks
//! that were asked of it were verified, and what is read back is verified again (BUCKET-3): by its
//! checksum here, and by its chunks' ids as everything is. What is damaged, short or gone is a miss.
//!
//! Nothing here must last, so nothing is synced. The directory is `DIR/BUCKET-ID`, locked by the one
//! process that uses it; frames are written once under names that are never used again (BLOCKS-5), so
//! what a restart finds there is as good as it was. A write that fails, because the disk is full or
//! for another reason, turns the cache off for this process.
//!
//! A frame is the file `XX/PACK-OFFSET-LENGTH`, all in hexadecimal, `XX` the pack's first byte:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `CRNFRAM1` |
//! | 8 | 16 | pack id |
//! | 24 | 4 | offset of the frame in the pack, little endian |
//! | 28 | 4 | length of the frame, little endian |
//! | 32 | 32 | BLAKE3 of the 32 bytes before and the frame |
//! | 64 | n | the frame as stored |

mod fifo;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_env::Env;

use self::fifo::Fifo;
use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use crate::pack::{FramePlace, PackId};
use crate::seal::TAG_BYTES;

const MAGIC: &[u8; 8] = b"CRNFRAM1";
const HEAD_BYTES: usize = 64;
const SUMMED_BYTES: usize = 32;
/// No stored frame is longer.
const STORED_BYTES_MAX: usize = FRAME_BYTES_MAX + FRAME_HEADER_BYTES + TAG_BYTES;
/// What a file takes on disk at least, and in steps of what.
const BLOCK_BYTES: u64 = 4096;
/// Frames that wait for being written, in bytes; what comes on top is not kept.
const WAITING_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where frames are cached, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCacheOptions {
    /// The directory; made when it is missing. Each bucket has a directory of its own in it.
    pub dir: PathBuf,
    /// The most bytes that this bucket's frames take there.
    pub bytes_max: u64,
}

/// Numbers about the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCacheStats {
    /// Frames that were found.
    pub hits: u64,
    /// Frames that were looked for and not found, damaged ones too.
    pub misses: u64,
    /// Frames found whose bytes were not what was put there.
    pub damaged: u64,
    /// Frames that made room for others.
    pub evictions: u64,
    /// Frames that are there.
    pub frames: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Bytes that they may take.
    pub bytes_max: u64,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
    evictions: AtomicU64,
}

/// Frames on disk. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DiskCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    bytes_max: u64,
    frames: Mutex<Fifo<FramePlace>>,
    counts: Counts,
    waiting: AtomicU64,
    off: AtomicBool,
    /// Held as long as the cache is used.
    _lock: File,
}

impl DiskCache {
    /// Opens the cache of the bucket `id`. What is there already is found in the background.
    ///
    /// # Errors
    /// What the file system says; [`ErrorKind::WouldBlock`] when another process uses it.
    pub(crate) async fn open(options: &DiskCacheOptions, id: &str, env: &Env) -> io::Result<Self> {
        let (dir, bytes_max) = (options.dir.join(id), options.bytes_max);
        let lock = env.spawn.run({
            let dir = dir.clone();
            move || locked(&dir)
        });
        let lock = lock.await.map_err(io::Error::other)??;
        let shared = Shared {
            dir,
            bytes_max,
            frames: Mutex::new(Fifo::new(bytes_max)),
            counts: Counts::default(),
            waiting: AtomicU64::new(0),
            off: AtomicBool::new(false),
            _lock: lock,
        };
        let cache = Self { shared: Arc::new(shared) };
        let found = cache.clone();
        env.spawn.work(Box::new(move || found.find_all()));
        Ok(cache)
    }

    fn frames(&self) -> MutexGuard<'_, Fifo<FramePlace>> {
        self.shared.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a frame is there, as far as memory knows.
    pub(crate) fn may_have(&self, place: &FramePlace) -> bool {
        if self.is_off() {
            return false;
        }
        let found = self.frames().contains(place);
        if !found {
            self.shared.counts.misses.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// A frame as it was put here, checksum verified. Waits for the disk.
    pub(crate) fn get(&self, place: &FramePlace) -> Option<Bytes> {
        if self.is_off() {
            return None;
        }
        let counts = &self.shared.counts;
        if !self.frames().hit(place) {
            counts.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        match read(&self.path(place), place) {
            Ok(Some(frame)) => {
                counts.hits.fetch_add(1, Ordering::Relaxed);
                Some(frame)
            }
            Ok(None) => {
                counts.damaged.fetch_add(1, Ordering::Relaxed);
                counts.misses.fetch_add(1, Ordering::Relaxed);
                self.remove(place);
                None
            }
            Err(error) => {
                tracing::debug!(%error, "a cached frame cannot be read");
                counts.misses.fetch_add(1, Ordering::Relaxed);
                self.remove(place);
                None
            }
        }
    }

    /// Forgets a frame: what it holds was not what its chunks' ids say.
    pub(crate) fn remove(&self, place: &FramePlace) {
        self.frames().remove(place);
        self.unlink(place);
    }

    /// Keeps frames as they are stored, beside the async threads; more than can be written soon are
    /// left out.
    pub(crate) fn keep(&self, frames: Vec<(FramePlace, Bytes)>, env: &Env) {
        for (place, stored) in frames {
            let len = stored.len() as u64;
            let waiting = &self.shared.waiting;
            if self.is_off() || stored.len() != place.len as usize {
                return;
            }
            if self.frames().contains(&place) {
                continue;
            }
            if waiting.fetch_add(len, Ordering::Relaxed) + len > WAITING_BYTES_MAX {
                waiting.fetch_sub(len, Ordering::Relaxed);
                return;
            }
            let cache = self.clone();
            env.spawn.work(Box::new(move || {
                cache.put(place, &stored);
                cache.shared.waiting.fetch_sub(len, Ordering::Relaxed);
            }));
        }
    }

    /// Keeps one frame. Waits for the disk.
    pub(crate) fn put(&self, place: FramePlace, stored: &[u8]) {
        if self.is_off() || self.frames().contains(&place) {
            return;
        }
        match write(&self.path(&place), &place, stored) {
            Ok(()) => {}
            // Another request wrote it at the same time, or a process before this one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                self.unlink(&place);
                self.turn_off(&error);
                return;
            }
        }
        let gone = self.frames().insert(place, weight(&place));
        self.shared.counts.evictions.fetch_add(gone.len() as u64, Ordering::Relaxed);
        for place in gone {
            self.unlink(&place);
        }
    }

    pub(crate) fn stats(&self) -> DiskCacheStats {
        let (frames, bytes) = {
            let fifo = self.frames();
            (fifo.len() as u64, fifo.weight())
        };
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.shared.counts;
        DiskCacheStats {
            hits: count(&counts.hits),
            misses: count(&counts.misses),
            damaged: count(&counts.damaged),
            evictions: count(&counts.evictions),
            frames,
            bytes,
            bytes_max: if self.is_off() { 0 } else { self.shared.bytes_max },
        }
    }

    fn is_off(&self) -> bool {
        self.shared.off.load(Ordering::Relaxed)
    }

    fn turn_off(&self, error: &io::Error) {
        if !self.shared.off.swap(true, Ordering::Relaxed) {
            let dir = self.shared.dir.display();
            tracing::warn!(
                %error, %dir,
                "the cache on disk is off until the next start; free its disk, or give another \
                 --cache-dir or --cache-size"
            );
        }
    }

    fn path(&self, place: &FramePlace) -> PathBuf {
        let FramePlace { pack, offset, len } = place;
        self.shared.dir.join(format!("{:02x}/{pack}-{offset:08x}-{len:08x}", pack.0[0]))
    }

    fn unlink(&self, place: &FramePlace) {
        match std::fs::remove_file(self.path(place)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::debug!(%error, "a cached frame cannot be removed");
            }
            _ => {}
        }
    }

    /// Takes over what an earlier process left, and removes what is more than may be. Files with other
    /// names are not ours.
    fn find_all(&self) {
        for first in 0..=u8::MAX {
            let Ok(entries) = std::fs::read_dir(self.shared.dir.join(format!("{first:02x}")))
            else {
                continue;
            };
            for entry in entries.map_while(Result::ok) {
                let Some(place) = entry.file_name().to_str().and_then(place_of) else { continue };
                if place.pack.0[0] != first {
                    continue;
                }
                let gone = self.frames().insert_known(place, weight(&place));
                gone.iter().for_each(|place| self.unlink(place));
            }
        }
    }
}

/// What a frame takes on disk.
fn weight(place: &FramePlace) -> u64 {
    (u64::from(place.len) + HEAD_BYTES as u64).next_multiple_of(BLOCK_BYTES)
}

/// The place that a file's name says.
fn place_of(name: &str) -> Option<FramePlace> {
    let mut parts = name.split('-');
    let pack = PackId::from_hex(parts.next()?)?;
    let mut number = || {
        let text = parts.next().filter(|text| text.len() == 8)?;
        text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
        u32::from_str_radix(text, 16).ok()
    };
    let place = FramePlace { pack, offset: number()?, len: number()? };
    (parts.next().is_none() && place.len as usize <= STORED_BYTES_MAX).then_some(place)
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes the directory, and locks it for as long as the file is open.
fn locked(dir: &Path) -> io::Result<File> {
    make_dir(dir)?;
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    lock.try_lock().map_err(io::Error::from)?;
    Ok(lock)
}

fn head(place: &FramePlace, stored: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..24].copy_from_slice(&place.pack.0);
    head[24..28].copy_from_slice(&place.offset.to_le_bytes());
    head[28..32].copy_from_slice(&place.len.to_le_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head[..SUMMED_BYTES]).update(stored);
    head[SUMMED_BYTES..].copy_from_slice(hasher.finalize().as_bytes());
    head
}

fn write(path: &Path, place: &FramePlace, stored: &[u8]) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_dir(path.parent().unwrap_or(path))?;
            open()?
        }
        opened => opened?,
    };
    let mut bytes = Vec::with_capacity(HEAD_BYTES + stored.len());
    bytes.extend_from_slice(&head(place, stored));
    bytes.extend_from_slice(stored);
    file.write_all(&bytes)
}

/// A frame from its file; `None` when that holds something else.
fn read(path: &Path, place: &FramePlace) -> io::Result<Option<Bytes>> {
    let len = place.len as usize + HEAD_BYTES;
    let mut bytes = Vec::with_capacity(len + 1);
    File::open(path)?.take(len as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() != len || bytes[..HEAD_BYTES] != head(place, &bytes[HEAD_BYTES..]) {
        return Ok(None);
    }
    Ok(Some(Bytes::from(bytes).slice(HEAD_BYTES..)))
}

#[cfg(test)]
mod tests;
