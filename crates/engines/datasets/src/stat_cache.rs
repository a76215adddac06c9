//! What a push or pull remembers of a directory: the attributes of every file when it was read or
//! written, and the root of the version. The next push takes unchanged files from that version without
//! reading them; the next pull knows what it may overwrite.
//!
//! One file per directory and project; losing it costs time, and makes a pull ask before it overwrites.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `CRNSTAT1` |
//! | 32 | root of the published manifest |
//! | n | rows in the order of the scan |
//! | 32 | BLAKE3 of all before |
//!
//! A row: the bytes shared with the path before, the length of the rest, the rest, inode, size, and
//! seconds (zigzag) and nanoseconds of mtime and ctime, all numbers as LEB128.
//!
//! A file that changed within the last two seconds before a push has no row: a later change could
//! carry the same time stamp.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cairn_chunk::ChunkId;
use cairn_tree::Time;

use crate::model::Project;
use crate::push::Stamp;

const MAGIC: &[u8; 8] = b"CRNSTAT1";
const HEADER_BYTES: usize = 40;
const HASH_BYTES: u64 = 32;
const PATH_BYTES_MAX: u64 = 1 << 20;
/// A file must have been untouched for so long for its stamp to tell a later change.
pub(crate) const SETTLED_NS: i64 = 2_000_000_000;

/// The cache of one source directory.
pub(crate) struct CacheFile {
    path: PathBuf,
}

impl CacheFile {
    pub(crate) fn new(directory: &Path, kind: &str, source: &Path, project: &Project) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(project.bucket_id.as_bytes());
        hasher.update(project.key.as_bytes());
        hasher.update(source.as_os_str().as_bytes());
        let name = hasher.finalize().to_hex();
        Self { path: directory.join(kind).join(format!("{}.stat", &name[..32])) }
    }

    /// Opens the cache when there is a whole one.
    pub(crate) fn open(&self) -> Option<(CacheReader, ChunkId)> {
        let mut file = File::open(&self.path).ok()?;
        let len = file.metadata().ok()?.len();
        let rows = len.checked_sub(HEADER_BYTES as u64 + HASH_BYTES)?;
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut (&mut file).take(len - HASH_BYTES), &mut hasher).ok()?;
        let mut hash = [0; 32];
        file.read_exact(&mut hash).ok()?;
        if *hasher.finalize().as_bytes() != hash {
            return None;
        }
        let mut input = BufReader::new(File::open(&self.path).ok()?);
        let mut header = [0; HEADER_BYTES];
        input.read_exact(&mut header).ok()?;
        let root = ChunkId(header[8..].try_into().ok()?);
        let reader = CacheReader { input: input.take(rows), path: Vec::new(), next: None };
        (header[..8] == *MAGIC).then_some((reader, root))
    }

    /// Where work in progress is marked.
    pub(crate) fn marker(&self) -> PathBuf {
        self.path.with_extension("part")
    }

    /// Where the manifest pages of a pull are kept.
    pub(crate) fn pages(&self) -> PathBuf {
        self.path.with_extension("pages")
    }

    /// Makes the directory that it and its neighbours are in.
    pub(crate) fn make(&self) -> io::Result<()> {
        std::fs::create_dir_all(self.path.parent().expect("it was made with a parent"))
    }

    /// Begins a new cache beside the old one. Files touched after `settled` get no row.
    pub(crate) fn create(&self, settled: i64) -> io::Result<CacheWriter> {
        self.make()?;
        let staged = self.path.with_extension(format!("{}.new", std::process::id()));
        let file = File::create(&staged)?;
        let mut writer = CacheWriter {
            output: BufWriter::new(file),
            hasher: blake3::Hasher::new(),
            rows: Vec::new(),
            last: Vec::new(),
            settled,
            staged,
            path: self.path.clone(),
            failed: None,
        };
        // The root is only known at the end: room for it.
        writer.output.write_all(&[0; HEADER_BYTES])?;
        Ok(writer)
    }
}

/// Order of a scan: names one below the other, so `/` sorts before everything.
fn scan_order(a: &[u8], b: &[u8]) -> Ordering {
    let key = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    a.iter().map(key).cmp(b.iter().map(key))
}

pub(crate) struct CacheReader {
    input: io::Take<BufReader<File>>,
    path: Vec<u8>,
    next: Option<Stamp>,
}

impl CacheReader {
    /// The stamp of a path. Paths must be asked for in the order of a scan.
    pub(crate) fn seek(&mut self, path: &[u8]) -> Option<Stamp> {
        loop {
            if self.next.is_none() {
                self.next = Some(self.row()?);
            }
            match scan_order(&self.path, path) {
                Ordering::Less => self.next = None,
                Ordering::Equal => return self.next.take(),
                Ordering::Greater => return None,
            }
        }
    }

    fn row(&mut self) -> Option<Stamp> {
        let shared = usize::try_from(self.number()?).ok()?;
        let rest = self.number().filter(|len| *len <= PATH_BYTES_MAX)?;
        if shared > self.path.len() {
            return None;
        }
        self.path.truncate(shared);
        let read = (&mut self.input).take(rest).read_to_end(&mut self.path).ok()?;
        if read as u64 != rest {
            return None;
        }
        let (inode, size) = (self.number()?, self.number()?);
        Some(Stamp { inode, size, mtime: self.time()?, ctime: self.time()? })
    }

    fn time(&mut self) -> Option<Time> {
        let secs = self.number()?;
        let secs = (secs >> 1).cast_signed() ^ -(secs & 1).cast_signed();
        Some(Time { secs, nanos: u32::try_from(self.number()?).ok()? })
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.input.read_exact(&mut byte).ok()?;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

pub(crate) struct CacheWriter {
    output: BufWriter<File>,
    hasher: blake3::Hasher,
    rows: Vec<u8>,
    last: Vec<u8>,
    settled: i64,
    staged: PathBuf,
    path: PathBuf,
    failed: Option<io::Error>,
}

impl CacheWriter {
    pub(crate) fn add(&mut self, path: &[u8], stamp: &Stamp) {
        if nanoseconds(stamp.mtime).max(nanoseconds(stamp.ctime)) > self.settled {
            return;
        }
        let shared = self.last.iter().zip(path).take_while(|(a, b)| a == b).count();
        let rest = &path[shared..];
        put(&mut self.rows, shared as u64);
        put(&mut self.rows, rest.len() as u64);
        self.rows.extend_from_slice(rest);
        put(&mut self.rows, stamp.inode);
        put(&mut self.rows, stamp.size);
        for time in [stamp.mtime, stamp.ctime] {
            put(&mut self.rows, ((time.secs << 1) ^ (time.secs >> 63)).cast_unsigned());
            put(&mut self.rows, u64::from(time.nanos));
        }
        self.last.clear();
        self.last.extend_from_slice(path);
        if self.rows.len() >= 64 * 1024 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.output.write_all(&self.rows).err();
        }
        self.rows.clear();
    }

    /// Ends the cache and puts it in the place of the old one.
    pub(crate) fn finish(mut self, root: ChunkId) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.flush();
        if let Some(error) = self.failed.take() {
            std::fs::remove_file(&self.staged)?;
            return Err(error);
        }
        self.output.flush()?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&root.0);
        self.output.get_ref().write_all_at(&header, 0)?;
        let mut written = File::open(&self.staged)?;
        io::copy(&mut written, &mut self.hasher)?;
        let hash = self.hasher.finalize();
        self.output.write_all(hash.as_bytes())?;
        self.output.flush()?;
        std::fs::rename(&self.staged, &self.path)
    }
}

impl Drop for CacheWriter {
    /// A push that failed leaves no staged file. After `finish` there is none.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.staged)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "a staged stat cache was left behind");
        }
    }
}

fn nanoseconds(time: Time) -> i64 {
    time.secs.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}
