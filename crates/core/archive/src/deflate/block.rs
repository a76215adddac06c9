//! The blocks of a deflate stream: read into tokens and plain bytes, and written from them.

use std::io::Read;

use super::Stop;
use super::bits::{BitReader, BitWriter};
use super::code::{
    Counts, DISTANCE_BASE, DISTANCE_EXTRA, DISTANCES, Decoder, END_OF_BLOCK, Encoder, LENGTH_BASE,
    LENGTH_EXTRA, LITERALS, Lengths, distance_code, length_code, read_header, zlib_header,
};
use super::matcher::{MATCH_MAX, Token};
use super::text::Text;
use crate::window::Window;

/// Most tokens of a block; gzip makes blocks of 32,767, others of a few times more.
pub(crate) const BLOCK_TOKENS_MAX: usize = 1 << 20;
/// Most plain bytes of a block: gzip's largest.
pub(crate) const BLOCK_PLAIN_BYTES_MAX: u64 = 9 << 20;

/// How a block is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Plain bytes as they are.
    Stored,
    /// The codes that everybody knows.
    Static,
    /// Codes of its own; its header's bits unless zlib would write the same.
    Dynamic(Option<(Vec<u8>, u32)>),
}

/// A block without its plain bytes.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    pub(crate) last: bool,
    pub(crate) tokens: Vec<Token>,
    pub(crate) plain_len: u64,
}

/// Reads a deflate stream block by block.
#[derive(Debug)]
pub(crate) struct Parser<'w, R> {
    input: BitReader<'w, R>,
    done: bool,
}

impl<'w, R: Read> Parser<'w, R> {
    pub(crate) fn new(input: &'w mut Window<R>) -> Self {
        Self { input: BitReader::new(input), done: false }
    }

    /// Whether the last block was read.
    pub(crate) const fn is_done(&self) -> bool {
        self.done
    }

    /// The bytes of the window that are used so far.
    pub(crate) fn used(&self) -> u64 {
        self.input.used()
    }

    /// Ends reading after the last block.
    pub(crate) fn finish(self) {
        self.input.finish();
    }

    /// Reads a block, and appends its plain bytes to `text`.
    pub(crate) fn block(&mut self, text: &mut Text) -> Result<Block, Stop> {
        let start = text.end();
        let last = self.input.bits(1)? == 1;
        let (kind, tokens) = match self.input.bits(2)? {
            0 => {
                self.stored(text)?;
                (Kind::Stored, Vec::new())
            }
            1 => (Kind::Static, self.tokens(&Lengths::fixed(), text)?),
            2 => {
                let mut header = BitWriter::default();
                let lengths = read_header(&mut self.input, &mut header)?;
                let header = header.into_bits();
                let tokens = self.tokens(&lengths, text)?;
                let counts = count(&tokens, text, start);
                let predicted = zlib_header(&counts).0.into_bits() == header;
                (Kind::Dynamic((!predicted).then_some(header)), tokens)
            }
            _ => return Err(Stop::Refused),
        };
        if last {
            self.input.align()?;
            self.done = true;
        }
        Ok(Block { kind, last, tokens, plain_len: text.end() - start })
    }

    fn stored(&mut self, text: &mut Text) -> Result<(), Stop> {
        self.input.align()?;
        let len = self.input.bits(16)?;
        if self.input.bits(16)? != len ^ 0xffff {
            return Err(Stop::Refused);
        }
        for _ in 0..len {
            let byte = self.input.bits(8)?;
            text.buf().push(byte.to_le_bytes()[0]);
        }
        Ok(())
    }

    fn tokens(&mut self, lengths: &Lengths, text: &mut Text) -> Result<Vec<Token>, Stop> {
        let literals = Decoder::new(&lengths.literals)?;
        let distances = Decoder::new(&lengths.distances)?;
        let end_max = text.end() + BLOCK_PLAIN_BYTES_MAX;
        let mut tokens = Vec::new();
        loop {
            self.input.refill()?;
            let symbol = literals.symbol(&mut self.input)?;
            if symbol == END_OF_BLOCK {
                return Ok(tokens);
            }
            if tokens.len() == BLOCK_TOKENS_MAX || text.end() > end_max {
                return Err(Stop::Refused);
            }
            if symbol < END_OF_BLOCK {
                tokens.push(Token::LITERAL);
                text.buf().push(symbol.to_le_bytes()[0]);
                continue;
            }
            let code = symbol - END_OF_BLOCK - 1;
            let base = *LENGTH_BASE.get(code).ok_or(Stop::Refused)?;
            let len = base + self.extra(LENGTH_EXTRA[code])?;
            let code_again = length_code(len);
            let code_dist = distances.symbol(&mut self.input)?;
            let base = *DISTANCE_BASE.get(code_dist).ok_or(Stop::Refused)?;
            let dist = base + self.extra(DISTANCE_EXTRA[code_dist])?;
            // 258 has two codes, of which everybody uses the shorter.
            if code_again != code || !text.append_match(usize::from(dist), usize::from(len)) {
                return Err(Stop::Refused);
            }
            tokens.push(Token { len, dist });
        }
    }

    /// Takes extra bits, which the last refill made available.
    fn extra(&mut self, count: u8) -> Result<u16, Stop> {
        let value = self.input.peek() & ((1 << count) - 1);
        self.input.drop_bits(count.into())?;
        u16::try_from(value).map_err(|_| Stop::Refused)
    }
}

/// How often each symbol occurs in the block of these tokens, whose plain bytes begin at `start`.
fn count(tokens: &[Token], text: &Text, start: u64) -> Counts {
    let mut counts = Counts { literals: [0; LITERALS], distances: [0; DISTANCES] };
    counts.literals[END_OF_BLOCK] = 1;
    let mut rest = text.from(start);
    for token in tokens {
        if token.len == 0 {
            counts.literals[usize::from(rest[0])] += 1;
        } else {
            counts.literals[END_OF_BLOCK + 1 + length_code(token.len)] += 1;
            counts.distances[distance_code(token.dist)] += 1;
        }
        rest = &rest[token.plain_len()..];
    }
    counts
}

/// Writes a block whose plain bytes begin at `start` and are all in `text`.
pub(crate) fn write(
    block: &Block,
    text: &Text,
    start: u64,
    out: &mut BitWriter,
) -> Result<(), Stop> {
    out.put(block.last.into(), 1);
    let plain = text.from(start);
    let lengths = match &block.kind {
        Kind::Stored => {
            out.put(0, 2);
            out.align();
            let len = u16::try_from(block.plain_len).map_err(|_| Stop::Refused)?;
            out.put_bytes(&len.to_le_bytes());
            out.put_bytes(&(!len).to_le_bytes());
            out.put_bytes(&plain[..usize::from(len)]);
            None
        }
        Kind::Static => {
            out.put(1, 2);
            Some(Lengths::fixed())
        }
        Kind::Dynamic(None) => {
            out.put(2, 2);
            let (header, lengths) = zlib_header(&count(&block.tokens, text, start));
            let (bytes, bits) = header.into_bits();
            put_bits(&bytes, bits, out);
            Some(lengths)
        }
        Kind::Dynamic(Some((bytes, bits))) => {
            out.put(2, 2);
            put_bits(bytes, *bits, out);
            let mut input = Window::new(bytes.as_slice());
            Some(read_header(&mut BitReader::new(&mut input), &mut BitWriter::default())?)
        }
    };
    if let Some(lengths) = lengths {
        write_tokens(&block.tokens, plain, &lengths, out)?;
    }
    if block.last {
        out.align();
    }
    Ok(())
}

fn put_bits(bytes: &[u8], mut bits: u32, out: &mut BitWriter) {
    for &byte in bytes {
        let take = bits.min(8);
        out.put(u32::from(byte) & ((1 << take) - 1), take);
        bits -= take;
    }
}

fn write_tokens(
    tokens: &[Token],
    mut plain: &[u8],
    lengths: &Lengths,
    out: &mut BitWriter,
) -> Result<(), Stop> {
    let literals = Encoder::new(&lengths.literals);
    let distances = Encoder::new(&lengths.distances);
    for token in tokens {
        if token.len == 0 {
            literals.put(usize::from(plain[0]), out)?;
        } else {
            let code = length_code(token.len);
            literals.put(END_OF_BLOCK + 1 + code, out)?;
            out.put((token.len - LENGTH_BASE[code]).into(), LENGTH_EXTRA[code].into());
            let code = distance_code(token.dist);
            distances.put(code, out)?;
            out.put((token.dist - DISTANCE_BASE[code]).into(), DISTANCE_EXTRA[code].into());
        }
        plain = &plain[token.plain_len()..];
    }
    literals.put(END_OF_BLOCK, out)
}

impl Text {
    /// Appends `len` bytes from `dist` bytes back; `false` if that is before the beginning.
    fn append_match(&mut self, dist: usize, len: usize) -> bool {
        debug_assert!(len <= MATCH_MAX, "a length code stands for no more");
        let buf = self.buf();
        let Some(start) = buf.len().checked_sub(dist) else { return false };
        if dist >= len {
            buf.extend_from_within(start..start + len);
        } else {
            for offset in start..start + len {
                buf.push(buf[offset]);
            }
        }
        true
    }
}
