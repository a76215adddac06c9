//! From the plain bytes and the corrections to the stream.

use std::io::{self, Read, Write};

use super::bits::BitWriter;
use super::block::{self, BLOCK_PLAIN_BYTES_MAX, BLOCK_TOKENS_MAX, Block, Kind};
use super::matcher::{Config, Hash, LOOKAHEAD, MATCH_MAX, MATCH_MIN, Matcher, Token};
use super::text::Text;
use super::{STREAM_PLAIN_BYTES_MAX, Stop};
use crate::varint;

/// Plain bytes read at once when a stream is made again.
const READ_BYTES: usize = 64 << 10;

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
pub(super) struct Rebuild<'a, R> {
    matcher: Matcher,
    pub(super) blocks: &'a [u8],
    tokens: &'a [u8],
    /// Tokens that the predictor gets right before the next miss.
    run: u64,
    text: Text,
    at: u64,
    inner: io::Take<&'a mut R>,
}

impl<'a, R: Read> Rebuild<'a, R> {
    pub(super) fn new(
        corrections: &'a [u8],
        inner: &'a mut R,
        inner_len: u64,
    ) -> Result<Self, Stop> {
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
        if token.plain_len() as u64 > end - self.at || self.matcher.is_overworked(self.at) {
            return Err(Stop::Refused);
        }
        self.matcher.commit(&self.text, self.at, token);
        self.at += token.plain_len() as u64;
        Ok(token)
    }

    fn missed_token(&mut self) -> Result<Token, Stop> {
        let mut take =
            || varint::take(&mut self.tokens).and_then(|value| u16::try_from(value).ok());
        let len = take().ok_or(Stop::Refused)?;
        if len == 0 {
            return Ok(Token::LITERAL);
        }
        let len = len.saturating_add(2);
        let dist = take().ok_or(Stop::Refused)?;
        let fits =
            (MATCH_MIN..=MATCH_MAX).contains(&usize::from(len)) && (1..=1 << 15).contains(&dist);
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
