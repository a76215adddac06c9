//! gzip files, of one stream or several (RFC 1952): header and trailer are Layout.

use std::io::{self, Read};

use crate::content::Content;
use crate::deflate::{self, Bounds, Hint};
use crate::plan::Draft;
use crate::window::Window;
use crate::{Format, Limits};

pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];
const FIXED_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
/// Longest header: names and comments are short.
const HEADER_BYTES_MAX: usize = 8 << 10;

const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;

/// Plans a gzip file.
pub(crate) fn plan<R: Read>(reader: R, limits: &Limits) -> io::Result<Option<Draft>> {
    let mut input = Window::new(reader);
    let mut content = Content::default();
    let mut draft = Draft::default();
    let mut hint = Hint::default();
    let mut streams = 0u64;
    while let Some(header) = header_len(input.fill(HEADER_BYTES_MAX)?) {
        input.consume(header);
        if draft.layout(header as u64).is_none() {
            return Ok(None);
        }
        let bounds = Bounds {
            limits: *limits,
            inner_bytes_max: limits.inner_bytes_max.saturating_sub(draft.pieces.total_len()),
            corrections_max: draft.recipe.corrections_left(),
        };
        let pieces = &mut draft.pieces;
        let feed = |plain: &[u8]| content.feed(plain, pieces);
        let recoded = deflate::recode(&mut input, &bounds, &mut hint, feed)?;
        let Some(recoded) = recoded else { return Ok(None) };
        if content.close(&mut draft.pieces).is_none() || draft.deflate(recoded).is_none() {
            return Ok(None);
        }
        let trailer = input.fill(TRAILER_BYTES)?.len().min(TRAILER_BYTES);
        input.consume(trailer);
        if draft.layout(trailer as u64).is_none() {
            return Ok(None);
        }
        streams += 1;
    }
    if streams == 0 || draft.tail(&mut input)?.is_none() {
        return Ok(None);
    }
    draft.format = Some(if content.is_tar() { Format::TarGz } else { Format::Gzip });
    Ok(Some(draft))
}

/// The length of the gzip header that `bytes` begin with.
fn header_len(bytes: &[u8]) -> Option<usize> {
    let fixed = bytes.first_chunk::<FIXED_BYTES>()?;
    let flags = fixed[3];
    if !fixed.starts_with(&MAGIC) || fixed[2] != 8 || flags & 0xe0 != 0 {
        return None;
    }
    let mut at = FIXED_BYTES;
    if flags & FLAG_EXTRA != 0 {
        let len = bytes.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0)? + 1;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        at += 2;
    }
    (at <= bytes.len()).then_some(at)
}
