//! A zip without seeking (APPNOTE 6.3): sizes and checksums follow the data, everything has its
//! zip64 form where it needs it, and names that are UTF-8 say so.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::archive::{Format, Item, ItemKind};
use crate::error::Error;

const LEVEL: u32 = 5;
/// Version 4.5: zip64. The upper byte says that attributes are those of Unix.
const MADE_BY: u16 = 3 << 8 | 45;
const NEEDS: u16 = 45;
const FOLLOWS: u16 = 1 << 3;
const UTF_8: u16 = 1 << 11;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
/// Zip's own time has no zone and ends in 2107, so everybody gets its first day; the extended stamp has
/// the true time.
const JANUARY_1980: u16 = 1 << 5 | 1;
/// Names are kept until the end, so there is a bound.
const ENTRIES_MAX: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Zip {
    out: Vec<u8>,
    /// Bytes that were taken before.
    taken: u64,
    rows: Vec<Row>,
    deflate: Option<DeflateEncoder<Vec<u8>>>,
    crc: crc32fast::Hasher,
}

/// What the directory at the end says of an entry.
struct Row {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    mtime: i64,
    crc: u32,
    packed: u64,
    len: u64,
    at: u64,
    data_at: u64,
    mode: u32,
}

fn failed(error: std::io::Error) -> Error {
    Error::Internal { detail: format!("a zip could not be written: {error}") }
}

impl Zip {
    fn at(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    fn put16(&mut self, values: &[u16]) {
        values.iter().for_each(|value| self.out.extend_from_slice(&value.to_le_bytes()));
    }

    fn put32(&mut self, values: &[u32]) {
        values.iter().for_each(|value| self.out.extend_from_slice(&value.to_le_bytes()));
    }

    fn put64(&mut self, values: &[u64]) {
        values.iter().for_each(|value| self.out.extend_from_slice(&value.to_le_bytes()));
    }

    /// The header before an entry. `known` has the checksum and length where they do not follow.
    fn local_header(&mut self, row: &Row, follows: bool) {
        self.put32(&[0x0403_4b50]);
        self.put16(&[NEEDS, row.flags, row.method, 0, JANUARY_1980]);
        self.put32(&[row.crc]);
        let name_len = u16::try_from(row.name.len()).unwrap_or(u16::MAX);
        if follows {
            // The zip64 field says that the lengths behind the data have eight bytes.
            self.put32(&[u32::MAX, u32::MAX]);
            self.put16(&[name_len, 20 + 9]);
            self.out.extend_from_slice(&row.name);
            self.put16(&[1, 16]);
            self.put64(&[0, 0]);
        } else {
            let len = u32::try_from(row.len).unwrap_or(u32::MAX);
            self.put32(&[len, len]);
            self.put16(&[name_len, 9]);
            self.out.extend_from_slice(&row.name);
        }
        self.unix_time(row.mtime);
    }

    /// The extended time stamp: seconds of Unix, where they fit.
    fn unix_time(&mut self, mtime: i64) {
        let clamped = mtime.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        let secs = i32::try_from(clamped).unwrap_or_default();
        self.put16(&[0x5455, 5]);
        self.out.push(1);
        self.out.extend_from_slice(&secs.to_le_bytes());
    }

    fn central_header(&mut self, row: &Row) {
        self.put32(&[0x0201_4b50]);
        self.put16(&[MADE_BY, NEEDS, row.flags, row.method, 0, JANUARY_1980]);
        self.put32(&[row.crc, u32::MAX, u32::MAX]);
        let name_len = u16::try_from(row.name.len()).unwrap_or(u16::MAX);
        self.put16(&[name_len, 28 + 9, 0, 0, 0]);
        self.put32(&[row.mode << 16, u32::MAX]);
        self.out.extend_from_slice(&row.name);
        self.put16(&[1, 24]);
        self.put64(&[row.len, row.packed, row.at]);
        self.unix_time(row.mtime);
    }

    fn drain(&mut self) {
        if let Some(deflate) = &mut self.deflate {
            self.out.append(deflate.get_mut());
        }
    }
}

impl Format for Zip {
    fn entry(&mut self, item: &Item) -> Result<(), Error> {
        if self.rows.len() >= ENTRIES_MAX {
            return Err(Error::invalid("a zip takes four million entries; download a tar.zst"));
        }
        let mut name = item.path.clone();
        if name.len() >= usize::from(u16::MAX) {
            return Err(Error::invalid("a path is too long for a zip; download a tar.zst"));
        }
        let utf_8 = if std::str::from_utf8(&name).is_ok() { UTF_8 } else { 0 };
        let (kind, method, follows, text) = match &item.kind {
            ItemKind::File { .. } => (FILE, DEFLATED, FOLLOWS, &[][..]),
            ItemKind::Directory => {
                name.push(b'/');
                (DIRECTORY, STORED, 0, &[][..])
            }
            ItemKind::Symlink { target } => (SYMLINK, STORED, 0, target.as_slice()),
        };
        let row = Row {
            name,
            flags: utf_8 | follows,
            method,
            mtime: item.mtime,
            crc: if follows == 0 { crc32fast::hash(text) } else { 0 },
            packed: text.len() as u64,
            len: text.len() as u64,
            at: self.at(),
            data_at: 0,
            mode: kind | item.mode,
        };
        self.local_header(&row, follows != 0);
        self.rows.push(Row { data_at: self.at(), ..row });
        self.out.extend_from_slice(text);
        if follows != 0 {
            self.crc = crc32fast::Hasher::new();
            self.deflate = Some(DeflateEncoder::new(Vec::new(), Compression::new(LEVEL)));
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.crc.update(bytes);
        if let Some(row) = self.rows.last_mut() {
            row.len += bytes.len() as u64;
        }
        if let Some(deflate) = &mut self.deflate {
            deflate.write_all(bytes).map_err(failed)?;
        }
        self.drain();
        Ok(())
    }

    fn file_end(&mut self) -> Result<(), Error> {
        if let Some(deflate) = self.deflate.take() {
            let rest = deflate.finish().map_err(failed)?;
            self.out.extend_from_slice(&rest);
        }
        let (at, crc) = (self.at(), self.crc.clone().finalize());
        let Some(row) = self.rows.last_mut() else { return Ok(()) };
        row.crc = crc;
        row.packed = at - row.data_at;
        let (packed, len) = (row.packed, row.len);
        self.put32(&[0x0807_4b50, crc]);
        self.put64(&[packed, len]);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let begin = self.at();
        let rows = std::mem::take(&mut self.rows);
        rows.iter().for_each(|row| self.central_header(row));
        let (end, count) = (self.at(), rows.len() as u64);
        self.put32(&[0x0606_4b50]);
        self.put64(&[44]);
        self.put16(&[MADE_BY, NEEDS]);
        self.put32(&[0, 0]);
        self.put64(&[count, count, end - begin, begin]);
        self.put32(&[0x0706_4b50, 0]);
        self.put64(&[end]);
        self.put32(&[1, 0x0605_4b50]);
        self.put16(&[0, 0, u16::MAX, u16::MAX]);
        self.put32(&[u32::MAX, u32::MAX]);
        self.put16(&[0]);
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        self.taken += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    fn held(&self) -> usize {
        self.out.len()
    }
}
