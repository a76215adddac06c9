//! Where the members of a tar lie: ustar, pax, GNU and v7 headers, by the rules of POSIX.1-2001
//! (pax interchange format) and of GNU tar's manual, "Basic Tar Format".
//!
//! A wrong guess costs deduplication and never bytes: whatever the splitter calls a piece, the
//! pieces together are the stream.

use crate::limits::{LAYOUT_RUN_BYTES_MAX, PAX_BYTES_MAX};
use crate::{PieceKind, Pieces};

pub(crate) const BLOCK_BYTES: usize = 512;

const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const GNU_IS_EXTENDED: usize = 482;
const SPARSE_IS_EXTENDED: usize = 504;

#[derive(Debug)]
enum State {
    /// Collecting a header block.
    Header,
    /// Collecting a block of a GNU sparse map; the content follows the last one.
    SparseMap { content: u64 },
    /// In the content of an extended header, kept if it is a pax header of the next member.
    Extended { left: u64, keep: bool, padding: u64 },
    /// In the content of a member.
    Content { left: u64, padding: u64 },
    /// In the zeros after a content.
    Padding { left: u64 },
    /// After the last thing that was understood.
    Tail { seen: u64 },
}

/// Splits a tar that arrives in parts of any size.
#[derive(Debug)]
pub(crate) struct Splitter {
    state: State,
    block: Vec<u8>,
    pax: Vec<u8>,
    /// The size that a pax header gives to the next member.
    pax_size: Option<u64>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            state: State::Header,
            block: Vec::with_capacity(BLOCK_BYTES),
            pax: Vec::new(),
            pax_size: None,
        }
    }
}

impl Splitter {
    /// Takes the next bytes. `None` if there are too many pieces.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], pieces: &mut Pieces) -> Option<()> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Header | State::SparseMap { .. } => self.feed_block(bytes, pieces)?,
                State::Extended { left, keep, .. } => {
                    let take = at_most(bytes.len(), *left);
                    if *keep {
                        self.pax.extend_from_slice(&bytes[..take]);
                    }
                    *left -= take as u64;
                    pieces.push(PieceKind::Layout, take as u64)?;
                    take
                }
                State::Content { left, .. } => {
                    let take = at_most(bytes.len(), *left);
                    *left -= take as u64;
                    pieces.push(PieceKind::Member, take as u64)?;
                    take
                }
                State::Padding { left } => {
                    let take = at_most(bytes.len(), *left);
                    *left -= take as u64;
                    pieces.push(PieceKind::Layout, take as u64)?;
                    take
                }
                State::Tail { seen } => {
                    for (kind, len) in tail_parts(*seen, bytes.len() as u64) {
                        pieces.push(kind, len)?;
                    }
                    *seen += bytes.len() as u64;
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
            self.advance();
        }
        Some(())
    }

    /// The bytes of the content at hand that may be passed over with [`Splitter::skip`].
    pub(crate) const fn skippable(&self) -> u64 {
        match self.state {
            State::Content { left, .. } => left,
            _ => 0,
        }
    }

    /// Passes over content that the caller need not read.
    pub(crate) fn skip(&mut self, len: u64, pieces: &mut Pieces) -> Option<()> {
        if let State::Content { left, .. } = &mut self.state {
            *left = left.saturating_sub(len);
        }
        pieces.push(PieceKind::Member, len)?;
        self.advance();
        Some(())
    }

    fn feed_block(&mut self, bytes: &[u8], pieces: &mut Pieces) -> Option<usize> {
        let take = (BLOCK_BYTES - self.block.len()).min(bytes.len());
        self.block.extend_from_slice(&bytes[..take]);
        pieces.push(PieceKind::Layout, take as u64)?;
        if self.block.len() == BLOCK_BYTES {
            let block = std::mem::take(&mut self.block);
            self.state = match self.state {
                State::SparseMap { content } if block[SPARSE_IS_EXTENDED] == 0 => {
                    State::Content { left: content, padding: padding(content) }
                }
                State::SparseMap { content } => State::SparseMap { content },
                _ => self.header(&block),
            };
            self.block = block;
            self.block.clear();
        }
        Some(take)
    }

    /// What follows a header block.
    fn header(&mut self, block: &[u8]) -> State {
        if block.iter().all(|&byte| byte == 0) {
            return State::Header;
        }
        if !is_header(block) {
            return State::Tail { seen: 0 };
        }
        let Some(size) = number(&block[SIZE]) else { return State::Tail { seen: 0 } };
        match block[TYPE] {
            b'x' | b'g' | b'X' | b'L' | b'K' => {
                let keep = matches!(block[TYPE], b'x' | b'X') && size <= PAX_BYTES_MAX as u64;
                self.pax.clear();
                State::Extended { left: size, keep, padding: padding(size) }
            }
            // Links, devices, directories and pipes carry no content, whatever their size says.
            b'1'..=b'6' => {
                self.pax_size = None;
                State::Header
            }
            kind => {
                let content = self.pax_size.take().unwrap_or(size);
                if kind == b'S' && block[GNU_IS_EXTENDED] != 0 {
                    State::SparseMap { content }
                } else {
                    State::Content { left: content, padding: padding(content) }
                }
            }
        }
    }

    /// Leaves states that have nothing left to take.
    fn advance(&mut self) {
        if let State::Extended { left: 0, keep, padding } = self.state {
            if keep {
                self.pax_size = pax_size(&self.pax);
                self.pax = Vec::new();
            }
            self.state = State::Padding { left: padding };
        }
        if let State::Content { left: 0, padding } = self.state {
            self.state = State::Padding { left: padding };
        }
        if matches!(self.state, State::Padding { left: 0 }) {
            self.state = State::Header;
        }
    }
}

fn at_most(len: usize, left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(len)
}

const fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

/// What the next `len` bytes are that no format explains, after `seen` of them: a short run is
/// Layout, and the rest of a long one worth chunking by itself.
pub(crate) fn tail_parts(seen: u64, len: u64) -> [(PieceKind, u64); 2] {
    let layout = LAYOUT_RUN_BYTES_MAX.saturating_sub(seen).min(len);
    [(PieceKind::Layout, layout), (PieceKind::Member, len - layout)]
}

/// Whether `block` begins with a tar header: its checksum is right, and it is not empty.
pub(crate) fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.get(..BLOCK_BYTES) else { return false };
    let Some(stored) = number(&block[CHECKSUM]) else { return false };
    let blanked = |signed: bool| {
        let sum = |bytes: &[u8]| -> i64 {
            bytes.iter().map(|&b| if signed { i64::from(b.cast_signed()) } else { b.into() }).sum()
        };
        sum(&block[..CHECKSUM.start]) + sum(&block[CHECKSUM.end..]) + 8 * i64::from(b' ')
    };
    // Old programs summed signed bytes.
    let Ok(stored) = i64::try_from(stored) else { return false };
    block[0] != 0 && (blanked(false) == stored || blanked(true) == stored)
}

/// A number field: octal digits between blanks, or base 256 if its first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let high = u64::from(first & 0x7f);
        return rest.iter().try_fold(high, |value, &byte| {
            (value >> 52 == 0).then_some(value << 8 | u64::from(byte))
        });
    }
    let start = field.iter().position(|&b| b != b' ').unwrap_or(field.len());
    let digits = field[start..].iter().take_while(|b| matches!(b, b'0'..=b'7'));
    let value = digits.clone().fold(0, |value, &digit| value << 3 | u64::from(digit - b'0'));
    let end = start + digits.count();
    let ends_well = field[end..].iter().all(|&b| b == 0 || b == b' ');
    ends_well.then_some(value)
}

/// The `size` record of a pax header: lines of `LENGTH KEY=VALUE\n`.
fn pax_size(mut records: &[u8]) -> Option<u64> {
    let mut size = None;
    while !records.is_empty() {
        let space = records.iter().take(20).position(|&byte| byte == b' ')?;
        let len: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..len)?;
        records = &records[len..];
        if let Some(value) = record.strip_prefix(b"size=") {
            let value = std::str::from_utf8(value.strip_suffix(b"\n")?).ok()?;
            size = value.parse().ok().filter(|&size: &u64| size < crate::limits::LEN_MAX);
        }
    }
    size
}

#[cfg(test)]
mod tests;
