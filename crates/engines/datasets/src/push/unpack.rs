//! Pushing the members of a tar or zip as files. Members arrive in the archive's order: contents go
//! to the store at once, names are kept until the end, when the tree is built in its own order.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cairn_chunk::ChunkKey;
use cairn_env::Env;
use cairn_tree::{Kind, Meta, Time, Xattrs};
use tokio::sync::mpsc;

use super::feed::ArchiveStream;
use super::file::read_full;
use super::read::{Piece, read_stream};
use super::tree::Tree;
use super::{Skipped, Stamp};
use crate::error::Error;
use crate::pages::default_directory_meta;

/// The most members: their names are held in memory until the end.
const MEMBERS_MAX: usize = 4 * 1024 * 1024;
/// Bytes of their names and attributes that are held, with [`MEMBER_BYTES`] for each.
const HELD_BYTES_MAX: usize = 1024 * 1024 * 1024;
const MEMBER_BYTES: usize = 256;
/// Bytes of a tar between the contents of two members: long names, attributes and padding.
const BETWEEN_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The length of a sparse member: its holes cost nothing in the tar, and time here.
const SPARSE_BYTES_MAX: u64 = 1024 * 1024 * 1024 * 1024;
const EVENTS_AHEAD: usize = 4;

type PathNames = Vec<Vec<u8>>;

/// Where an archive is read from.
#[derive(Clone)]
pub(crate) enum Archive {
    /// A file, or standard input for `-`.
    File(PathBuf),
    /// What comes in.
    Stream(ArchiveStream),
}

impl Archive {
    /// What is wrong with the archive, or with reading it.
    fn error(&self, error: io::Error) -> Error {
        match (error.downcast::<Error>(), self) {
            (Ok(inner), _) => inner,
            (Err(error), Self::File(path)) => Error::local("unpack", path, error),
            (Err(error), Self::Stream(_)) => {
                Error::invalid(format!("the archive is refused: {error}"))
            }
        }
    }
}

enum Event {
    File { path: PathNames, meta: Meta, pieces: mpsc::Receiver<Piece> },
    Other { path: PathNames, meta: Meta, kind: Option<Kind> },
    Skipped { path: String, why: String },
    Failed(io::Error),
}

impl Event {
    /// About what is held of it to the end, in bytes.
    fn held_bytes(&self) -> usize {
        let names = |path: &PathNames| path.iter().map(|name| name.len() + 24).sum::<usize>();
        let pairs = |meta: &Meta| {
            meta.xattrs.pairs().iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        };
        MEMBER_BYTES
            + match self {
                Self::File { path, meta, .. } => names(path) + pairs(meta),
                Self::Other { path, meta, kind } => {
                    let target = match kind {
                        Some(Kind::Symlink { target } | Kind::Hardlink { target }) => target.len(),
                        _ => 0,
                    };
                    names(path) + pairs(meta) + target
                }
                Self::Skipped { path, why } => path.len() + why.len(),
                Self::Failed(_) => 0,
            }
    }
}

/// Unpacks an archive into the tree.
pub(crate) async fn unpack(tree: &mut Tree<'_>, archive: Archive) -> Result<(), Error> {
    let mut events = start(&tree.env, &archive, tree.sink.key())?;
    let mut members: BTreeMap<PathNames, (Meta, Option<Kind>)> = BTreeMap::new();
    let (mut count, mut held) = (0, 0);
    while let Some(event) = events.recv().await {
        (count, held) = (count + 1, held + event.held_bytes());
        if count > MEMBERS_MAX {
            let max = MEMBERS_MAX as u64;
            return Err(Error::TooMany { what: "number of members of an archive", max });
        }
        if held > HELD_BYTES_MAX {
            let (what, max) = ("length of an archive's names", HELD_BYTES_MAX as u64);
            return Err(Error::TooMany { what, max });
        }
        match event {
            Event::Failed(error) => return Err(archive.error(error)),
            Event::Skipped { path, why } => tree.skipped.push(Skipped { path, why }),
            Event::Other { path, meta, kind } => {
                members.insert(path, (meta, kind));
            }
            Event::File { path: member, meta, pieces } => {
                let whole = tree.content(pieces).await.map_err(|error| archive.error(error))?;
                tree.files_read += 1;
                members.insert(member, (meta, Some(Kind::File { content: whole.content })));
            }
        }
    }
    assemble(tree, members).await
}

/// Builds the tree from members in the order of their paths. A directory is a member without a kind.
async fn assemble(
    tree: &mut Tree<'_>,
    mut members: BTreeMap<PathNames, (Meta, Option<Kind>)>,
) -> Result<(), Error> {
    let top = members.remove(&Vec::new());
    let meta = top.map_or_else(|| default_directory_meta(Time::default()), |(meta, _)| meta);
    tree.enter_new(Vec::new(), meta);
    let mut open: PathNames = Vec::new();
    let mut file: PathNames = Vec::new();
    for (mut path, (meta, kind)) in members {
        if !file.is_empty() && path.starts_with(&file) {
            let path = shown(&path);
            tree.skipped.push(Skipped { path, why: "it is below a file".to_owned() });
            continue;
        }
        let name = path.pop().expect("the top was taken out");
        while !path.starts_with(&open) {
            open.pop();
            tree.leave().await?;
        }
        for name in path.clone().into_iter().skip(open.len()) {
            tree.enter_new(name.clone(), default_directory_meta(meta.mtime));
            open.push(name);
        }
        match kind {
            None => {
                tree.enter_new(name.clone(), meta);
                open.push(name);
            }
            Some(kind) => {
                file = path;
                file.push(name.clone());
                tree.push(cairn_tree::Entry { name, meta, kind }).await?;
            }
        }
    }
    for _ in open {
        tree.leave().await?;
    }
    Ok(())
}

fn shown(path: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&path.join(&b'/')).into_owned()
}

fn start(env: &Env, archive: &Archive, key: &ChunkKey) -> Result<mpsc::Receiver<Event>, Error> {
    let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
    let (source, key) = (archive.clone(), key.clone());
    let work = move || {
        let unpacked = match &source {
            Archive::File(path) => unpack_file(path, &key, &sender),
            Archive::Stream(stream) => {
                stream.take().and_then(|input| unpack_stream(input, &key, &sender))
            }
        };
        if let Err(error) = unpacked {
            // Nobody listens when the push has ended.
            drop(sender.blocking_send(Event::Failed(error)));
        }
    };
    match archive {
        Archive::File(_) => env.spawn.work(Box::new(work)),
        // It waits for whoever sends.
        Archive::Stream(_) => env.spawn.thread(Box::new(work))?,
    }
    Ok(receiver)
}

fn unpack_file(path: &Path, key: &ChunkKey, to: &mpsc::Sender<Event>) -> io::Result<()> {
    if path == Path::new("-") {
        return unpack_stream(Box::new(BufReader::new(io::stdin())), key, to);
    }
    let mut file = File::open(path)?;
    let mut head = [0; 4];
    read_full(&mut file, &mut head)?;
    file.rewind()?;
    if head.starts_with(b"PK") {
        return unpack_zip(file, key, to);
    }
    unpack_stream(Box::new(BufReader::new(file)), key, to)
}

fn unpack_stream(
    mut input: Box<dyn Read>,
    key: &ChunkKey,
    to: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let mut head = vec![0; 4];
    let read = read_full(&mut input, &mut head)?;
    head.truncate(read);
    if head.starts_with(b"PK\x03\x04") {
        return Err(refused("a zip cannot be read as a stream; send a tar"));
    }
    let gzip = head.starts_with(&[0x1f, 0x8b]);
    let zstd = head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let mut whole = io::Cursor::new(head).chain(input);
    let mut plain: Box<dyn Read + '_> = if gzip {
        Box::new(flate2::read::MultiGzDecoder::new(&mut whole))
    } else if zstd {
        Box::new(zstd::stream::read::Decoder::new(&mut whole)?)
    } else {
        Box::new(&mut whole)
    };
    unpack_tar(&mut plain, key, to)?;
    drop(plain);
    // What follows the archive is nothing to us, but a stream that breaks off there did not come whole.
    io::copy(&mut whole, &mut io::sink()).map(drop)
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads, and fails when more comes between two members than may be there.
struct Between<'a> {
    input: &'a mut dyn Read,
    /// Bytes that may still come; none within a member.
    left: Rc<Cell<Option<u64>>>,
}

impl Read for Between<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get() else { return self.input.read(out) };
        if left == 0 && !out.is_empty() {
            return Err(refused("the names or attributes of a member are too long"));
        }
        let len = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.input.read(&mut out[..len])?;
        self.left.set(Some(left - read as u64));
        Ok(read)
    }
}

/// The names of a member's path, or why it has none. Leading `/` and `./` go; `..` is refused.
fn names(path: &[u8]) -> Result<PathNames, String> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err("its path leaves the archive".to_owned()),
            name if name.contains(&0) => return Err("its path has a zero byte".to_owned()),
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}

fn send(to: &mpsc::Sender<Event>, event: Event) -> io::Result<()> {
    to.blocking_send(event).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

fn send_file(
    path: PathNames,
    meta: Meta,
    input: &mut dyn Read,
    key: &ChunkKey,
    to: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let (sender, pieces) = mpsc::channel(2);
    send(to, Event::File { path, meta, pieces })?;
    let read = read_stream(input, key, &mut |part| sender.blocking_send(Piece::Part(part)).is_ok());
    let end = match read {
        Ok(Some(end)) => end,
        Ok(None) => return Err(io::ErrorKind::BrokenPipe.into()),
        Err(error) => {
            // Who waits for this file learns why it does not come.
            drop(sender.blocking_send(Piece::Failed(error)));
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    };
    let none = Time::default();
    let stamp = Stamp { inode: 0, size: end.len, mtime: none, ctime: none };
    let (meta, changed, warning) = (Meta::default(), false, None);
    let last = Piece::End { end, meta, stamp, changed, warning };
    sender.blocking_send(last).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

fn unpack_tar(input: &mut dyn Read, key: &ChunkKey, to: &mpsc::Sender<Event>) -> io::Result<()> {
    let left = Rc::new(Cell::new(Some(BETWEEN_BYTES_MAX)));
    let mut archive = tar::Archive::new(Between { input, left: Rc::clone(&left) });
    for entry in archive.entries()? {
        let mut entry = entry?;
        left.set(None);
        if entry.header().entry_type().is_gnu_sparse() && entry.size() > SPARSE_BYTES_MAX {
            return Err(refused("a sparse member is longer than 1 TiB"));
        }
        unpack_member(&mut entry, key, to)?;
        // What was not read is passed over here, so that what comes next is what is between.
        io::copy(&mut entry, &mut io::sink())?;
        left.set(Some(BETWEEN_BYTES_MAX));
    }
    Ok(())
}

fn unpack_member<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    key: &ChunkKey,
    to: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let raw = entry.path_bytes().into_owned();
    let path = match names(&raw) {
        Ok(path) => path,
        Err(why) => {
            let path = String::from_utf8_lossy(&raw).into_owned();
            return send(to, Event::Skipped { path, why });
        }
    };
    let meta = tar_meta(entry)?;
    let kind = entry.header().entry_type();
    let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
    if kind.is_dir() {
        return send(to, Event::Other { path, meta, kind: None });
    }
    if path.is_empty() {
        return Ok(());
    }
    if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
        return send_file(path, meta, entry, key, to);
    }
    if let (true, Some(target)) = (kind.is_symlink(), &target) {
        let kind = Some(Kind::Symlink { target: target.clone() });
        return send(to, Event::Other { path, meta, kind });
    }
    if let (true, Some(Ok(target))) = (kind.is_hard_link(), target.map(|t| names(&t))) {
        let kind = Some(Kind::Hardlink { target: target.join(&b'/') });
        return send(to, Event::Other { path, meta, kind });
    }
    let why = format!("a member of the type {kind:?} is not stored");
    send(to, Event::Skipped { path: shown(&path), why })
}

fn tar_meta<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Meta> {
    let header = entry.header();
    let narrow = |number: io::Result<u64>| number.map(|n| u32::try_from(n).unwrap_or_default());
    let mut meta = Meta {
        mode: header.mode()? & 0o7777,
        uid: narrow(header.uid())?,
        gid: narrow(header.gid())?,
        mtime: Time { secs: i64::try_from(header.mtime()?).unwrap_or_default(), nanos: 0 },
        ..Meta::default()
    };
    let mut pairs = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten().flatten() {
        match extension.key_bytes() {
            b"mtime" => {
                if let Some(time) =
                    std::str::from_utf8(extension.value_bytes()).ok().and_then(pax_time)
                {
                    meta.mtime = time;
                }
            }
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    pairs.push((name.to_vec(), extension.value_bytes().to_vec()));
                }
            }
        }
    }
    meta.xattrs = Xattrs::new(pairs).unwrap_or_default();
    Ok(meta)
}

/// A pax time: seconds with an optional fraction.
fn pax_time(text: &str) -> Option<Time> {
    let (secs, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (whole, nanos) = (secs.parse::<i64>().ok()?, digits.parse::<u32>().ok()?);
    if secs.starts_with('-') && nanos > 0 {
        return Some(Time { secs: whole.checked_sub(1)?, nanos: 1_000_000_000 - nanos });
    }
    Some(Time { secs: whole, nanos })
}

fn unpack_zip(file: File, key: &ChunkKey, to: &mpsc::Sender<Event>) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(io::Error::other)?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(io::Error::other)?;
        let raw = member.name_raw().to_vec();
        let path = match names(&raw) {
            Ok(path) if path.is_empty() => continue,
            Ok(path) => path,
            Err(why) => {
                let path = String::from_utf8_lossy(&raw).into_owned();
                send(to, Event::Skipped { path, why })?;
                continue;
            }
        };
        let mode = member.unix_mode().unwrap_or(if member.is_dir() { 0o755 } else { 0o644 });
        let secs = member.last_modified().and_then(zip_seconds).unwrap_or_default();
        let meta = Meta { mode: mode & 0o7777, mtime: Time { secs, nanos: 0 }, ..Meta::default() };
        if member.is_dir() {
            send(to, Event::Other { path, meta, kind: None })?;
        } else if mode & 0o170_000 == 0o120_000 {
            let mut target = Vec::new();
            (&mut member).take(4097).read_to_end(&mut target)?;
            send(to, Event::Other { path, meta, kind: Some(Kind::Symlink { target }) })?;
        } else {
            send_file(path, meta, &mut member, key, to)?;
        }
    }
    Ok(())
}

/// A zip's local time, taken as UTC because a zip does not say of which zone.
fn zip_seconds(time: zip::DateTime) -> Option<i64> {
    let days =
        days_since_1970(i64::from(time.year()), i64::from(time.month()), i64::from(time.day()));
    let clock = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60;
    Some(days * 86_400 + clock + i64::from(time.second()))
}

/// Days of a civil date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times() {
        assert_eq!(pax_time("12"), Some(Time { secs: 12, nanos: 0 }));
        assert_eq!(pax_time("12.5"), Some(Time { secs: 12, nanos: 500_000_000 }));
        assert_eq!(pax_time("-1.25"), Some(Time { secs: -2, nanos: 750_000_000 }));
        assert_eq!(pax_time("x"), None);
    }

    #[test]
    fn member_paths() {
        assert_eq!(names(b"./a//b/").unwrap(), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(names(b"/etc/x").unwrap(), [b"etc".to_vec(), b"x".to_vec()]);
        assert!(names(b"a/../../b").unwrap_err().contains("leaves"));
    }

    #[test]
    fn days() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        assert_eq!(days_since_1970(1980, 1, 1), 3_652);
    }
}
