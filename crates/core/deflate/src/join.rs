use alloc::vec::Vec;

use cairn_base::varint;

use crate::bits::BitWriter;
use crate::correct::TokenModels;
use crate::header::{Header, fixed_lens};
use crate::huffman::Encoder;
use crate::predict::Predictor;
use crate::presets::PRESETS;
use crate::range::Reader;
use crate::record::{Kind, RecordModels, SPAN_TOKENS_MAX, Span, Start};
use crate::text::Text;
use crate::token::{END_OF_BLOCK, Token};
use crate::trees::Freqs;
use crate::{Error, VERSION};

/// Plain bytes that are taken in at once.
const TAKE_BYTES: usize = 64 << 10;
/// Bytes of the stream that are given away at once, or a block's header more.
const GIVE_BYTES: usize = 64 << 10;
/// Tokens that are written before their bytes are given away: at most six bytes each.
const GIVE_TOKENS: usize = 8 << 10;
const TOO_MANY: &str = "more blocks than were written";
/// Version, preset and checksum.
const PREFIX_BYTES: usize = 6;

/// Makes a deflate stream from its plain bytes and the corrections that a
/// [`Splitter`](crate::Splitter) found.
///
/// Holds at most about 10 MiB, whatever the corrections say.
#[derive(Debug)]
pub struct Joiner<'c> {
    records: Reader<'c>,
    record_models: RecordModels,
    tokens: Reader<'c>,
    token_models: TokenModels,
    predictor: Predictor,
    text: Text,
    at: u32,
    state: State,
    block: Block,
    bits: BitWriter,
    /// Bytes of the stream that were not given away yet.
    out: Vec<u8>,
    crc: crc32fast::Hasher,
    crc_expected: u32,
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a block.
    Block,
    /// In a stored block.
    Stored {
        left: u32,
        last: bool,
    },
    /// In a span of tokens.
    Tokens {
        start: Start,
        span: Span,
    },
    Done,
}

/// The tokens of a block that cannot be written before its codes are known.
#[derive(Debug)]
struct Block {
    tokens: Vec<Token>,
    freqs: Freqs,
    /// The codes of a block of several spans.
    codes: Option<(Encoder, Encoder)>,
}

impl<'c> Joiner<'c> {
    /// A joiner of one stream.
    ///
    /// # Errors
    /// [`Error::Version`], [`Error::Damaged`].
    pub fn new(corrections: &'c [u8]) -> Result<Self, Error> {
        let damaged = |reason| Error::Damaged { offset: 0, reason };
        let Some((prefix, mut rest)) = corrections.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(damaged("too short"));
        };
        let [version, preset, crc @ ..] = *prefix;
        if version != VERSION {
            return Err(Error::Version { found: version });
        }
        let params = PRESETS.get(usize::from(preset)).ok_or(damaged("an unknown preset"))?;
        let len = varint::take(&mut rest).and_then(|len| usize::try_from(len).ok());
        let parts = len.and_then(|len| rest.split_at_checked(len));
        let (records, tokens) = parts.ok_or(damaged("a length beyond the end"))?;
        Ok(Self {
            records: Reader::new(records),
            record_models: RecordModels::new(),
            tokens: Reader::new(tokens),
            token_models: TokenModels::new(),
            predictor: Predictor::new(*params, 0),
            text: Text::new(),
            at: 0,
            state: State::Block,
            block: Block { tokens: Vec::new(), freqs: Freqs::new(), codes: None },
            bits: BitWriter::default(),
            out: Vec::new(),
            crc: crc32fast::Hasher::new(),
            crc_expected: u32::from_le_bytes(crc),
            failed: false,
        })
    }

    /// Takes the next plain bytes, and gives what can be written of the stream to `sink`, in pieces
    /// of at most 128 KiB.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::PlainLong`]: the corrections do not belong to these bytes.
    /// [`Error::Refused`]: `sink` returned `None`; corrections that are made to do harm can say
    /// much more than the plain bytes do, so it should once it has got the length of the stream.
    /// [`Error::Poisoned`] after one of these.
    pub fn push(
        &mut self,
        plain: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<(), Error> {
        for part in plain.chunks(TAKE_BYTES) {
            self.text.extend(part);
            self.guarded(sink)?;
            self.text.trim(self.at);
        }
        Ok(())
    }

    /// Ends the plain bytes, and gives the rest of the stream to `sink`. All that was given is the
    /// original stream if and only if this returns `Ok`.
    ///
    /// # Errors
    /// Those of [`Joiner::push`]; [`Error::PlainShort`]; [`Error::Mismatch`].
    pub fn finish(mut self, sink: &mut impl FnMut(&[u8]) -> Option<()>) -> Result<(), Error> {
        self.text.finish();
        self.guarded(sink)?;
        if self.state != State::Done {
            return Err(Error::PlainShort { found: self.text.len() });
        }
        let found = self.crc.finalize();
        if found == self.crc_expected {
            Ok(())
        } else {
            Err(Error::Mismatch { expected: self.crc_expected, found })
        }
    }

    fn guarded(&mut self, sink: &mut impl FnMut(&[u8]) -> Option<()>) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Poisoned);
        }
        let result = self.work(sink).and_then(|()| self.give(sink));
        self.failed = result.is_err();
        result
    }

    /// Gives away what was written.
    fn give(&mut self, sink: &mut impl FnMut(&[u8]) -> Option<()>) -> Result<(), Error> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.crc.update(&self.out);
        let taken = sink(&self.out);
        self.out.clear();
        taken.ok_or(Error::Refused)
    }

    /// Plain bytes that are used.
    fn used(&self) -> u64 {
        self.text.len() - u64::from(self.text.ahead(self.at))
    }

    fn damaged(&self, reason: &'static str) -> Error {
        Error::Damaged { offset: self.used(), reason }
    }

    /// Goes as far as the plain bytes allow.
    fn work(&mut self, sink: &mut impl FnMut(&[u8]) -> Option<()>) -> Result<(), Error> {
        loop {
            if self.out.len() >= GIVE_BYTES {
                self.give(sink)?;
            }
            let next = match self.state {
                State::Block => Some(self.begin()?),
                State::Stored { left, last } => self.stored(left, last)?,
                State::Tokens { start, span } => {
                    if self.tokens(start, span)? {
                        Some(self.end(start, span, sink)?)
                    } else {
                        None
                    }
                }
                State::Done if self.text.ahead(self.at) > 0 => {
                    let expected = self.used();
                    return Err(Error::PlainLong { expected, found: self.text.len() });
                }
                State::Done => None,
            };
            let Some(next) = next else { return Ok(()) };
            self.state = next;
        }
    }

    fn begin(&mut self) -> Result<State, Error> {
        let any = Start { last: false, kind: Kind::Stored };
        let start = self.record_models.start(&mut self.records, any);
        let start = start.ok_or_else(|| self.damaged("an unknown kind of block"))?;
        self.bits.put(&mut self.out, u32::from(start.last) | (start.kind as u32) << 1, 3);
        if start.kind != Kind::Stored {
            self.block.tokens.clear();
            self.block.freqs = Freqs::new();
            self.block.codes = None;
            let span = self.span(start)?;
            if span.more {
                self.block.codes = Some(self.codes(start, None)?);
            }
            return Ok(State::Tokens { start, span });
        }
        let padding = self.record_models.padding(&mut self.records, 0);
        let len = self.record_models.stored_len(&mut self.records, start, 0);
        let len = len.ok_or_else(|| self.damaged(TOO_MANY))?;
        self.bits.align(&mut self.out, padding);
        self.bits.put(&mut self.out, len | (!len & 0xffff) << 16, 32);
        self.bits.align(&mut self.out, 0);
        if len == 0 {
            Ok(self.after(start.last))
        } else {
            Ok(State::Stored { left: len, last: start.last })
        }
    }

    fn span(&mut self, start: Start) -> Result<Span, Error> {
        let any = Span { tokens: 0, more: false };
        let span = self.record_models.span(&mut self.records, start, any);
        span.ok_or_else(|| self.damaged(TOO_MANY))
    }

    fn after(&mut self, last: bool) -> State {
        if !last {
            return State::Block;
        }
        let padding = self.record_models.padding(&mut self.records, 0);
        self.bits.align(&mut self.out, padding);
        State::Done
    }

    fn stored(&mut self, left: u32, last: bool) -> Result<Option<State>, Error> {
        let len = left.min(self.text.ahead(self.at));
        let index = self.text.index(self.at);
        self.out.extend_from_slice(&self.text.bytes()[index..index + len as usize]);
        let len =
            u16::try_from(len).map_err(|_| self.damaged("a stored block that is too long"))?;
        if len > 0 {
            self.predictor.pass(&self.text, self.at, Token::stored(len));
            self.at = self.at.wrapping_add(len.into());
        }
        let left = left - u32::from(len);
        self.state = State::Stored { left, last };
        Ok((left == 0).then(|| self.after(last)))
    }

    /// Reads tokens up to the end of the span; false if it needs more plain bytes.
    fn tokens(&mut self, start: Start, span: Span) -> Result<bool, Error> {
        let to_end = start.last && !span.more;
        let count = if to_end { SPAN_TOKENS_MAX } else { span.tokens };
        while self.block.tokens.len() < count as usize {
            if !self.text.is_ready(self.at) {
                return Ok(false);
            }
            if self.text.ahead(self.at) == 0 {
                return Ok(to_end);
            }
            let token = self.token_models.code(
                &mut self.tokens,
                &mut self.predictor,
                &self.text,
                self.at,
                Token::literal(0),
            )?;
            self.block.freqs.count(token);
            self.block.tokens.push(token);
            self.at = self.at.wrapping_add(token.plain_len());
        }
        if to_end && self.text.ahead(self.at) > 0 {
            return Err(self.damaged("a block with too many tokens"));
        }
        Ok(!to_end || self.text.is_ended())
    }

    /// Writes the tokens of a span.
    fn end(
        &mut self,
        start: Start,
        span: Span,
        sink: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<State, Error> {
        let (literals, distances) = match self.block.codes.take() {
            Some(codes) => codes,
            None => {
                self.block.freqs.literals[END_OF_BLOCK] = 1;
                let freqs = self.block.freqs.clone();
                self.codes(start, Some(&freqs))?
            }
        };
        let tokens = core::mem::take(&mut self.block.tokens);
        for part in tokens.chunks(GIVE_TOKENS) {
            self.write(part, &literals, &distances);
            self.give(sink)?;
        }
        self.block.tokens = tokens;
        self.block.tokens.clear();
        if span.more {
            let span = self.span(start)?;
            self.block.codes = Some((literals, distances));
            return Ok(State::Tokens { start, span });
        }
        let (code, len) = literals.code(END_OF_BLOCK);
        self.bits.put(&mut self.out, code, len);
        Ok(self.after(start.last))
    }

    fn write(&mut self, tokens: &[Token], literals: &Encoder, distances: &Encoder) {
        for &token in tokens {
            let (symbol, extra_bits, extra) = token.symbol();
            let (code, len) = literals.code(symbol);
            self.bits.put(&mut self.out, code | extra << len, len + extra_bits);
            if !token.is_literal() {
                let (symbol, extra_bits, extra) = token.distance_symbol();
                let (code, len) = distances.code(symbol);
                self.bits.put(&mut self.out, code | extra << len, len + extra_bits);
            }
        }
    }

    /// The codes of a block, whose description is written.
    fn codes(&mut self, start: Start, freqs: Option<&Freqs>) -> Result<(Encoder, Encoder), Error> {
        let (literals, distances) = if start.kind == Kind::Fixed {
            let (literals, distances) = fixed_lens();
            (Encoder::new(&literals), Encoder::new(&distances))
        } else {
            let header = self.record_models.header(&mut self.records, freqs, &Header::empty());
            let header = header.filter(|header| header.write(&mut self.bits, &mut self.out));
            let header = header.ok_or_else(|| self.damaged("a header that cannot be"))?;
            (Encoder::new(header.literal_lens()), Encoder::new(header.distance_lens()))
        };
        literals.zip(distances).ok_or_else(|| self.damaged("codes that cannot be"))
    }
}
