//! zip files (PKWARE APPNOTE 6.3): the central directory says where members are, and everything
//! that is no member's data is Layout: local headers, descriptors, the directory, what stands
//! before the first member.

use std::io::{self, Read, Seek, SeekFrom};

use crate::deflate::{self, Bounds, Hint, Recoded};
use crate::limits::{COPY_BYTES, LAYOUT_RUN_BYTES_MAX};
use crate::plan::Draft;
use crate::window::Window;
use crate::{Format, Limits, PieceKind, ZIP_ENTRIES_MAX};

const LOCAL_MAGIC: &[u8; 4] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
const ENTRY_MAGIC: &[u8; 4] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const END_MAGIC: &[u8; 4] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 65_535;
const LOCATOR_MAGIC: &[u8; 4] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const END64_MAGIC: &[u8; 4] = b"PK\x06\x06";
const END64_BYTES: usize = 56;
const EXTRA_ZIP64: u16 = 1;

const FLAG_ENCRYPTED: u16 = 1;
const METHOD_DEFLATE: u16 = 8;

/// A member: where its local header is, and its data's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    header: u64,
    len: u64,
    deflated: bool,
}

/// Where the central directory is. Offsets in it count from `base`.
#[derive(Debug)]
struct Directory {
    start: u64,
    len: u64,
    count: u64,
    base: u64,
}

/// Plans a zip of `outer_len` bytes.
pub(crate) fn plan<R: Read + Seek>(
    archive: &mut R,
    outer_len: u64,
    limits: &Limits,
) -> io::Result<Option<Draft>> {
    let Some(directory) = find_directory(archive, outer_len)? else { return Ok(None) };
    let Some(mut entries) = read_entries(archive, &directory)? else { return Ok(None) };
    entries.sort_unstable();
    let mut draft = Draft { format: Some(Format::Zip), ..Draft::default() };
    let mut hint = Hint::default();
    let mut at = 0;
    for (index, entry) in entries.iter().enumerate() {
        let end = entries.get(index + 1).map_or(directory.start, |next| next.header);
        let Some(start) = data_start(archive, entry.header)? else { return Ok(None) };
        // Members that overlap are a bomb, or a mistake.
        if start.checked_add(entry.len).is_none_or(|data_end| data_end > end) {
            return Ok(None);
        }
        if gap(&mut draft, start - at).is_none()
            || member(archive, &mut draft, start, *entry, limits, &mut hint)?.is_none()
        {
            return Ok(None);
        }
        at = start + entry.len;
    }
    Ok(gap(&mut draft, outer_len - at).map(|()| draft))
}

/// Bytes that are no member's: Layout, but for a long run before the headers.
fn gap(draft: &mut Draft, len: u64) -> Option<()> {
    let directory_like = draft.pieces.is_empty() && len > LAYOUT_RUN_BYTES_MAX;
    if directory_like {
        return draft.copy(PieceKind::Member, len);
    }
    draft.layout(len)
}

/// Adds a member: its plain bytes if it can be made again from them, else its data as it is.
fn member<R: Read + Seek>(
    archive: &mut R,
    draft: &mut Draft,
    start: u64,
    entry: Entry,
    limits: &Limits,
    hint: &mut Hint,
) -> io::Result<Option<()>> {
    if entry.deflated && draft.recipe.has_room() && hint.is_promising() {
        archive.seek(SeekFrom::Start(start))?;
        let bounds = Bounds {
            limits: *limits,
            inner_bytes_max: limits.inner_bytes_max.saturating_sub(draft.pieces.total_len()),
            corrections_max: draft.recipe.corrections_left(),
        };
        if let Some(recoded) = recode(archive, entry.len, &bounds, hint)? {
            let inner_len = recoded.inner_len;
            return Ok(draft
                .deflate(recoded)
                .and_then(|()| draft.pieces.push(PieceKind::Member, inner_len)));
        }
    }
    Ok(draft.copy(PieceKind::Member, entry.len))
}

fn recode<R: Read>(
    archive: &mut R,
    len: u64,
    bounds: &Bounds,
    hint: &mut Hint,
) -> io::Result<Option<Recoded>> {
    let mut input = Window::new(archive.take(len));
    let recoded = deflate::recode(&mut input, bounds, hint, |_| Some(()))?;
    Ok(recoded.filter(|recoded| recoded.out_len == len))
}

/// Where the data of the member begins whose local header is at `header`.
fn data_start<R: Read + Seek>(archive: &mut R, header: u64) -> io::Result<Option<u64>> {
    let Some(local) = read_at::<_, LOCAL_BYTES>(archive, header)? else { return Ok(None) };
    let names = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
    Ok(local.starts_with(LOCAL_MAGIC).then_some(header + LOCAL_BYTES as u64 + names))
}

fn find_directory<R: Read + Seek>(
    archive: &mut R,
    outer_len: u64,
) -> io::Result<Option<Directory>> {
    let tail_len = outer_len.min((END_BYTES + COMMENT_BYTES_MAX) as u64);
    let tail_start = outer_len - tail_len;
    archive.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    archive.by_ref().take(tail_len).read_to_end(&mut tail)?;
    let ends_here = |at: &usize| {
        tail[*at..].starts_with(END_MAGIC)
            && *at + END_BYTES + usize::from(u16_at(&tail[*at..], 20)) == tail.len()
    };
    let candidates = 0..(tail.len() + 1).saturating_sub(END_BYTES);
    let Some(at) = candidates.rev().find(ends_here) else { return Ok(None) };
    let end = &tail[at..at + END_BYTES];
    let end_at = tail_start + at as u64;
    let wide = match end_at.checked_sub(LOCATOR_BYTES as u64) {
        Some(locator) => read_end64(archive, locator)?,
        None => None,
    };
    let (limit, count, len, offset) = wide.unwrap_or_else(|| {
        let count = u64::from(u16_at(end, 10));
        (end_at, count, u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)))
    });
    let Some(start) = limit.checked_sub(len) else { return Ok(None) };
    let Some(base) = start.checked_sub(offset) else { return Ok(None) };
    let fits = count <= ZIP_ENTRIES_MAX && len >= count * ENTRY_BYTES as u64;
    Ok(fits.then_some(Directory { start, len, count, base }))
}

/// The zip64 end that the locator at `locator` points to: its place, and count, length and offset
/// of the directory. Where something stands before the zip, the end is found from the locator.
fn read_end64<R: Read + Seek>(
    archive: &mut R,
    locator: u64,
) -> io::Result<Option<(u64, u64, u64, u64)>> {
    let bytes = read_at::<_, LOCATOR_BYTES>(archive, locator)?;
    let Some(bytes) = bytes.filter(|bytes| bytes.starts_with(LOCATOR_MAGIC)) else {
        return Ok(None);
    };
    let beside = locator.checked_sub(END64_BYTES as u64);
    for at in [Some(u64_at(&bytes, 8)), beside].into_iter().flatten() {
        if at >= locator {
            continue;
        }
        let end = read_at::<_, END64_BYTES>(archive, at)?;
        if let Some(end) = end.filter(|end| end.starts_with(END64_MAGIC)) {
            return Ok(Some((at, u64_at(&end, 32), u64_at(&end, 40), u64_at(&end, 48))));
        }
    }
    Ok(None)
}

fn read_entries<R: Read + Seek>(
    archive: &mut R,
    directory: &Directory,
) -> io::Result<Option<Vec<Entry>>> {
    archive.seek(SeekFrom::Start(directory.start))?;
    let mut input = Window::new(archive.take(directory.len));
    let mut entries = Vec::new();
    for _ in 0..directory.count {
        let data = input.fill(COPY_BYTES * 4)?;
        let Some((entry, used)) = parse_entry(data, directory.base) else { return Ok(None) };
        entries.push(entry);
        input.consume(used);
    }
    Ok(Some(entries))
}

/// The entry that `data` begins with, and its length.
fn parse_entry(data: &[u8], base: u64) -> Option<(Entry, usize)> {
    let fixed = data.first_chunk::<ENTRY_BYTES>()?;
    if !fixed.starts_with(ENTRY_MAGIC) {
        return None;
    }
    let name_len = usize::from(u16_at(fixed, 28));
    let extra_len = usize::from(u16_at(fixed, 30));
    let used = ENTRY_BYTES + name_len + extra_len + usize::from(u16_at(fixed, 32));
    let extra = data.get(..used)?.get(ENTRY_BYTES + name_len..)?.get(..extra_len)?;
    let plain = u32_at(fixed, 24);
    let (len, header) = (u32_at(fixed, 20), u32_at(fixed, 42));
    let mut wide = zip64_extra(extra).unwrap_or_default();
    let mut widen = |value: u32| {
        if value != u32::MAX {
            return Some(u64::from(value));
        }
        let (front, rest) = wide.split_first_chunk::<8>()?;
        wide = rest;
        Some(u64::from_le_bytes(*front))
    };
    widen(plain)?;
    let (len, header) = (widen(len)?, widen(header)?);
    let encrypted = u16_at(fixed, 8) & FLAG_ENCRYPTED != 0;
    let deflated = u16_at(fixed, 10) == METHOD_DEFLATE && !encrypted;
    Some((Entry { header: base.checked_add(header)?, len, deflated }, used))
}

fn zip64_extra(mut extra: &[u8]) -> Option<&[u8]> {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let (field, rest) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
        if u16_at(head, 0) == EXTRA_ZIP64 {
            return Some(field);
        }
        extra = rest;
    }
    None
}

/// `N` bytes at `at`, if the archive has them.
fn read_at<R: Read + Seek, const N: usize>(
    archive: &mut R,
    at: u64,
) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    archive.seek(SeekFrom::Start(at))?;
    match archive.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
