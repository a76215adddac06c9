//! Method `deflate/cairn-1`: a raw deflate stream as its plain bytes and corrections.
//!
//! Most streams come from zlib, from gzip, or from something much like them. A predictor chooses
//! each token as they would, at the level that fits best, and the corrections say where the stream
//! has another one. A stream of zlib itself needs a few bytes per block. Corrections of a stream:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | level, 1 to 9 |
//! | 1 | hash, the index in `Hash::ALL` |
//! | varint | `n`, the bytes of the block table |
//! | `n` | block table |
//! | rest | token table |
//!
//! Block table, per block: a varint `count << 4 | raw << 3 | kind << 1 | last`; the kind is
//! deflate's (0 stored, 1 static, 2 dynamic), the count that of the plain bytes of a stored block,
//! of the tokens of others. If `raw` is 1 the header of a dynamic block follows, which zlib would
//! write otherwise: a varint of its bits, and the bits from the lowest of each byte.
//!
//! Token table, per token that the predictor misses: a varint of tokens that it gets right before,
//! a varint `length - 2` (0: a literal), and unless it is a literal a varint of the distance.
//!
//! - DEFLATE-1 Neither side holds more than one block and `LOOKAHEAD` bytes after it, whatever the
//!   corrections say: blocks have a largest size, and each takes bytes of the block table.
//! - DEFLATE-2 What the predictor says depends on the plain bytes up to `LOOKAHEAD` after a token's
//!   first and on the tokens before it, and on nothing else: both sides hear the same.

mod bits;
mod block;
mod code;
mod matcher;
mod text;

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bits::BitWriter;
use block::{BLOCK_PLAIN_BYTES_MAX, BLOCK_TOKENS_MAX, Block, Kind, Parser};
use matcher::{Config, Hash, LOOKAHEAD, MATCH_MAX, MATCH_MIN, Matcher, Token};
use text::Text;

use crate::varint;
use crate::window::Window;

/// Plain bytes that decide the configuration.
const SAMPLE_BYTES: u64 = 256 << 10;
/// Blocks that may wait for the bytes after them; only empty ones come in such numbers.
const BLOCKS_WAITING_MAX: usize = 1024;
/// Positions are kept in 32 bits.
const STREAM_PLAIN_BYTES_MAX: u64 = (1 << 32) - (1 << 20);
/// Shorter streams are not worth their corrections.
const STREAM_BYTES_MIN: u64 = 256;
/// Plain bytes read at once when a stream is made again.
const READ_BYTES: usize = 64 << 10;

/// Why a stream is given up.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The reader failed.
    Io(io::Error),
    /// The stream is damaged, odd or not worth it; or the corrections are no corrections.
    Refused,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What makes a stream again.
#[derive(Debug)]
pub(crate) struct Recoded {
    pub(crate) inner_len: u64,
    pub(crate) out_len: u64,
    pub(crate) corrections: Vec<u8>,
}

/// Bounds for one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) limits: crate::Limits,
    pub(crate) inner_bytes_max: u64,
    pub(crate) corrections_max: usize,
}

impl Bounds {
    fn hold(&self, inner: u64, outer: u64, corrections: usize) -> bool {
        inner <= self.inner_bytes_max.min(STREAM_PLAIN_BYTES_MAX)
            && self.limits.ratio_ok(inner, outer)
            && corrections <= self.corrections_max
            && corrections as u64 <= worthwhile(outer)
    }
}

/// Corrections that are still worth it for `outer` compressed bytes.
const fn worthwhile(outer: u64) -> u64 {
    256 + outer / 8
}

/// The configuration that fitted the stream before, which is tried first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint(Option<Config>);

/// Reads the deflate stream that `input` stands at, and says how to make it again; its plain bytes
/// go to `sink`, which may refuse. `None`: it cannot be done, and `input` stands anywhere.
pub(crate) fn recode<R: Read>(
    input: &mut Window<R>,
    bounds: &Bounds,
    hint: &mut Hint,
    sink: impl FnMut(&[u8]) -> Option<()>,
) -> io::Result<Option<Recoded>> {
    match try_recode(input, bounds, hint, sink) {
        Ok(recoded) => Ok(Some(recoded)),
        Err(Stop::Refused) => Ok(None),
        Err(Stop::Io(error)) => Err(error),
    }
}

fn try_recode<R: Read>(
    input: &mut Window<R>,
    bounds: &Bounds,
    hint: &mut Hint,
    mut sink: impl FnMut(&[u8]) -> Option<()>,
) -> Result<Recoded, Stop> {
    let start = input.consumed();
    let mut parser = Parser::new(input);
    let mut text = Text::default();
    let mut waiting = VecDeque::new();
    let mut waiting_len = 0;
    let mut table: Option<Table> = None;
    let mut at = 0;
    loop {
        let wanted = if table.is_none() { SAMPLE_BYTES } else { LOOKAHEAD as u64 };
        let first_len = waiting.front().map_or(0, |block: &Block| block.plain_len);
        let enough = !waiting.is_empty()
            && text.end() - at >= wanted.max(first_len + LOOKAHEAD as u64);
        if !enough && !parser.is_done() {
            if waiting.len() == BLOCKS_WAITING_MAX {
                return Err(Stop::Refused);
            }
            let from = text.end();
            let block = parser.block(&mut text)?;
            waiting_len += block.tokens.len();
            if waiting_len > 2 * BLOCK_TOKENS_MAX {
                return Err(Stop::Refused);
            }
            sink(text.from(from)).ok_or(Stop::Refused)?;
            waiting.push_back(block);
            continue;
        }
        let table = match &mut table {
            Some(table) => table,
            none => none.insert(Table::new(choose(&waiting, &text, hint)?)),
        };
        let Some(block) = waiting.pop_front() else { break };
        waiting_len -= block.tokens.len();
        table.add(&block, &text, at);
        at += block.plain_len;
        text.forget(at);
        if !bounds.hold(text.end(), parser.used() - start, table.len()) {
            return Err(Stop::Refused);
        }
    }
    let out_len = parser.used() - start;
    parser.finish();
    let table = table.filter(|_| out_len >= STREAM_BYTES_MIN).ok_or(Stop::Refused)?;
    Ok(Recoded { inner_len: at, out_len, corrections: table.into_bytes() })
}

/// The configuration that predicts the first tokens best.
fn choose(blocks: &VecDeque<Block>, text: &Text, hint: &mut Hint) -> Result<Config, Stop> {
    let tokens: u64 = blocks.iter().map(|block| block.tokens.len() as u64).sum();
    if let Some(config) = hint.0
        && misses(config, blocks, text, tokens / 64).is_some()
    {
        return Ok(config);
    }
    let mut best = Config { level: 6, hash: Hash::Three15 };
    // A miss costs about four bytes, a token about two: one in eight is too many.
    let mut least = tokens / 8 + 1;
    let mut found = tokens == 0;
    for level in [6, 9, 1, 8, 5, 7, 4, 3, 2] {
        for hash in Hash::ALL {
            let config = Config { level, hash };
            let fewer = least.checked_sub(1).and_then(|max| misses(config, blocks, text, max));
            if let Some(fewer) = fewer {
                (best, least, found) = (config, fewer, true);
            }
        }
    }
    *hint = Hint(found.then_some(best));
    if found { Ok(best) } else { Err(Stop::Refused) }
}

/// How many tokens at the beginning of the stream `config` misses; `None` if more than `max`.
fn misses(config: Config, blocks: &VecDeque<Block>, text: &Text, max: u64) -> Option<u64> {
    let mut matcher = Matcher::new(config);
    let mut at = 0;
    let mut misses = 0;
    for block in blocks {
        if block.kind == Kind::Stored {
            matcher.pass(text, at, block.plain_len);
            at += block.plain_len;
        }
        for token in &block.tokens {
            if at >= SAMPLE_BYTES {
                return Some(misses);
            }
            misses += u64::from(matcher.predict(text, at) != *token);
            if misses > max {
                return None;
            }
            matcher.commit(text, at, *token);
            at += token.plain_len() as u64;
        }
    }
    Some(misses)
}

/// Corrections in the making.
struct Table {
    config: Config,
    matcher: Matcher,
    blocks: Vec<u8>,
    tokens: Vec<u8>,
    run: u64,
}

impl Table {
    fn new(config: Config) -> Self {
        let matcher = Matcher::new(config);
        Self { config, matcher, blocks: Vec::new(), tokens: Vec::new(), run: 0 }
    }

    fn len(&self) -> usize {
        self.blocks.len() + self.tokens.len()
    }

    fn add(&mut self, block: &Block, text: &Text, mut at: u64) {
        let (kind, raw, count) = match &block.kind {
            Kind::Stored => (0, None, block.plain_len),
            Kind::Static => (1, None, block.tokens.len() as u64),
            Kind::Dynamic(raw) => (2, raw.as_ref(), block.tokens.len() as u64),
        };
        let flags = u64::from(raw.is_some()) << 3 | kind << 1 | u64::from(block.last);
        varint::put(&mut self.blocks, count << 4 | flags);
        if let Some((bytes, bits)) = raw {
            varint::put(&mut self.blocks, u64::from(*bits));
            self.blocks.extend_from_slice(bytes);
        }
        if block.kind == Kind::Stored {
            self.matcher.pass(text, at, block.plain_len);
        }
        for token in &block.tokens {
            if self.matcher.predict(text, at) == *token {
                self.run += 1;
            } else {
                varint::put(&mut self.tokens, self.run);
                self.run = 0;
                varint::put(&mut self.tokens, u64::from(token.len.saturating_sub(2)));
                if token.len != 0 {
                    varint::put(&mut self.tokens, token.dist.into());
                }
            }
            self.matcher.commit(text, at, *token);
            at += token.plain_len() as u64;
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        let hash = Hash::ALL.iter().position(|&hash| hash == self.config.hash);
        let hash = hash.and_then(|hash| u8::try_from(hash).ok()).expect("ALL has every hash");
        let mut out = vec![self.config.level, hash];
        varint::put(&mut out, self.blocks.len() as u64);
        out.extend_from_slice(&self.blocks);
        out.extend_from_slice(&self.tokens);
        out
    }
}

/// Why a stream was not made again.
#[derive(Debug)]
pub(crate) enum RebuildError {
    Read(io::Error),
    Write(io::Error),
    Misfit(&'static str),
}

impl From<Stop> for RebuildError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Io(error) => Self::Read(error),
            Stop::Refused => Self::Misfit("the corrections do not fit the plain bytes"),
        }
    }
}

/// Makes the stream of `out_len` bytes from the `inner_len` bytes of `inner` and its corrections.
pub(crate) fn rebuild<R: Read, W: Write>(
    inner: &mut R,
    corrections: &[u8],
    (inner_len, out_len): (u64, u64),
    out: &mut W,
) -> Result<(), RebuildError> {
    let mut left = out_len;
    let mut rebuild = Rebuild::new(corrections, inner, inner_len)?;
    let mut writer = BitWriter::default();
    loop {
        let start = rebuild.at;
        let block = rebuild.block()?;
        block::write(&block, &rebuild.text, start, &mut writer)?;
        let bytes = writer.take_bytes();
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or(RebuildError::Misfit("more bytes come out than the recipe says"))?;
        out.write_all(&bytes).map_err(RebuildError::Write)?;
        if block.last {
            break;
        }
        rebuild.text.forget(rebuild.at);
    }
    if left > 0 {
        return Err(RebuildError::Misfit("fewer bytes come out than the recipe says"));
    }
    if rebuild.at < inner_len || !rebuild.blocks.is_empty() || !rebuild.tokens.is_empty() {
        return Err(Stop::Refused.into());
    }
    Ok(())
}

/// A stream being made again.
struct Rebuild<'a, R> {
    matcher: Matcher,
    blocks: &'a [u8],
    tokens: &'a [u8],
    /// Tokens that the predictor gets right before the next miss.
    run: u64,
    text: Text,
    at: u64,
    inner: io::Take<&'a mut R>,
}

impl<'a, R: Read> Rebuild<'a, R> {
    fn new(corrections: &'a [u8], inner: &'a mut R, inner_len: u64) -> Result<Self, Stop> {
        let (&[level, hash], mut rest) = corrections.split_first_chunk().ok_or(Stop::Refused)?;
        let hash = *Hash::ALL.get(usize::from(hash)).ok_or(Stop::Refused)?;
        let blocks_len = varint::take(&mut rest).and_then(|len| usize::try_from(len).ok());
        let (blocks, tokens) =
            blocks_len.and_then(|len| rest.split_at_checked(len)).ok_or(Stop::Refused)?;
        if !(1..=9).contains(&level) || inner_len > STREAM_PLAIN_BYTES_MAX {
            return Err(Stop::Refused);
        }
        let mut rebuild = Self {
            matcher: Matcher::new(Config { level, hash }),
            blocks,
            tokens,
            run: 0,
            text: Text::default(),
            at: 0,
            inner: inner.take(inner_len),
        };
        rebuild.read_run()?;
        Ok(rebuild)
    }

    fn read_run(&mut self) -> Result<(), Stop> {
        self.run = if self.tokens.is_empty() {
            u64::MAX
        } else {
            varint::take(&mut self.tokens).ok_or(Stop::Refused)?
        };
        Ok(())
    }

    fn block(&mut self) -> Result<Block, Stop> {
        let word = varint::take(&mut self.blocks).ok_or(Stop::Refused)?;
        let (last, raw, count) = (word & 1 == 1, word & 8 != 0, word >> 4);
        let kind = match word >> 1 & 3 {
            0 if !raw => Kind::Stored,
            1 if !raw => Kind::Static,
            2 => Kind::Dynamic(if raw { Some(self.raw_header()?) } else { None }),
            _ => return Err(Stop::Refused),
        };
        let start = self.at;
        let mut tokens = Vec::new();
        if kind == Kind::Stored {
            if count > u64::from(u16::MAX) || self.read_to(start + count)? < start + count {
                return Err(Stop::Refused);
            }
            self.read_to(start + count + LOOKAHEAD as u64)?;
            self.matcher.pass(&self.text, start, count);
            self.at += count;
        } else {
            if count > BLOCK_TOKENS_MAX as u64 {
                return Err(Stop::Refused);
            }
            for _ in 0..count {
                tokens.push(self.token(start)?);
            }
        }
        Ok(Block { kind, last, tokens, plain_len: self.at - start })
    }

    fn raw_header(&mut self) -> Result<(Vec<u8>, u32), Stop> {
        let bits = varint::take(&mut self.blocks).and_then(|bits| u32::try_from(bits).ok());
        let bits = bits.ok_or(Stop::Refused)?;
        let (bytes, rest) =
            self.blocks.split_at_checked(bits.div_ceil(8) as usize).ok_or(Stop::Refused)?;
        self.blocks = rest;
        Ok((bytes.to_vec(), bits))
    }

    /// The next token of the block whose plain bytes begin at `start`.
    fn token(&mut self, start: u64) -> Result<Token, Stop> {
        let end = self.read_to(self.at + LOOKAHEAD as u64)?;
        if self.at >= end || self.at - start > BLOCK_PLAIN_BYTES_MAX {
            return Err(Stop::Refused);
        }
        let mut token = self.matcher.predict(&self.text, self.at);
        if self.run == 0 {
            token = self.missed_token()?;
            self.read_run()?;
        } else {
            self.run -= 1;
        }
        if token.plain_len() as u64 > end - self.at {
            return Err(Stop::Refused);
        }
        self.matcher.commit(&self.text, self.at, token);
        self.at += token.plain_len() as u64;
        Ok(token)
    }

    fn missed_token(&mut self) -> Result<Token, Stop> {
        let mut take = || varint::take(&mut self.tokens).and_then(|value| u16::try_from(value).ok());
        let len = take().ok_or(Stop::Refused)?;
        if len == 0 {
            return Ok(Token::LITERAL);
        }
        let len = len.saturating_add(2);
        let dist = take().ok_or(Stop::Refused)?;
        let fits = (MATCH_MIN..=MATCH_MAX).contains(&usize::from(len)) && (1..=1 << 15).contains(&dist);
        if fits { Ok(Token { len, dist }) } else { Err(Stop::Refused) }
    }

    /// Reads plain bytes until `end` or the end of the stream, and says where that is.
    fn read_to(&mut self, end: u64) -> Result<u64, Stop> {
        if self.text.end() < end && self.inner.limit() > 0 {
            let wanted = self.inner.limit().min(READ_BYTES.max(LOOKAHEAD) as u64 * 2);
            let got = self.inner.by_ref().take(wanted).read_to_end(self.text.buf())?;
            if (got as u64) < wanted {
                return Err(Stop::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(self.text.end())
    }
}

#[cfg(test)]
mod tests;
