//! Compressed bytes to blocks, tokens and plain bytes, however they are cut into pushes.

use crate::Error;
use crate::bits::BitReader;
use crate::header::{Header, LITERALS_MIN, Step, WIDTH_ORDER, WIDTHS_MIN, fixed_lens};
use crate::huffman::{Decoder, Found};
use crate::text::Text;
use crate::token::{END_OF_BLOCK, Token, distance_base, length_base};

/// What the parser tells about blocks.
pub(crate) trait Sink {
    /// A block of stored bytes, with the bits before its length.
    fn stored(&mut self, last: bool, padding: u8, len: u16);
    /// The next bytes of it are there.
    fn stored_bytes(&mut self, len: u16);
    /// A block of tokens begins.
    fn begin(&mut self, last: bool, dynamic: bool);
    /// A token of it.
    fn token(&mut self, token: Token, header: &Header);
    /// It ends.
    fn end(&mut self, header: &Header);
    /// The bits after the last block.
    fn finish(&mut self, padding: u8);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Block,
    StoredLen { last: bool },
    Stored { left: u16, last: bool },
    Counts { last: bool },
    Widths { last: bool, at: usize },
    Lens { last: bool, at: usize },
    Tokens { last: bool },
    Done,
}

/// Why a run of the parser ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It needs more compressed bytes.
    Input,
    /// It has told enough at once.
    Output,
    /// The stream is complete.
    Done,
}

/// A deflate stream in the course of being read.
#[derive(Debug)]
pub(crate) struct Parser {
    bits: BitReader,
    state: State,
    header: Header,
    widths: Decoder,
    literals: Decoder,
    distances: Decoder,
}

impl Parser {
    pub(crate) fn new() -> Self {
        Self {
            bits: BitReader::default(),
            state: State::Block,
            header: Header::empty(),
            widths: Decoder::new(),
            literals: Decoder::new(),
            distances: Decoder::new(),
        }
    }

    /// Compressed bytes that are used.
    pub(crate) fn used(&self) -> u64 {
        self.bits.used()
    }

    fn invalid(&self, reason: &'static str) -> Error {
        Error::Invalid { offset: self.used(), reason }
    }

    /// Reads on until `text` has grown by `plain_max`, or somewhat more.
    pub(crate) fn run(
        &mut self,
        input: &mut &[u8],
        text: &mut Text,
        plain_max: u64,
        sink: &mut impl Sink,
    ) -> Result<Pause, Error> {
        let end = text.len() + plain_max;
        while text.len() < end {
            self.bits.refill(input);
            let next = match self.state {
                State::Block => self.block(sink)?,
                State::StoredLen { last } => self.stored_len(last, sink)?,
                State::Stored { left, last } => self.stored(left, last, input, text, sink),
                State::Counts { last } => self.counts(last)?,
                State::Widths { last, at } => self.width(last, at)?,
                State::Lens { last, at } => self.lens(last, at, sink)?,
                State::Tokens { last } => self.tokens(last, input, text, end, sink)?,
                State::Done => return Ok(Pause::Done),
            };
            let Some(next) = next else { return Ok(Pause::Input) };
            if next == State::Done {
                sink.finish(self.bits.align());
            }
            self.state = next;
        }
        Ok(Pause::Output)
    }

    fn after(last: bool) -> State {
        if last { State::Done } else { State::Block }
    }

    fn block(&mut self, sink: &mut impl Sink) -> Result<Option<State>, Error> {
        let Some(bits) = self.bits.take(3) else { return Ok(None) };
        let last = bits & 1 == 1;
        Ok(Some(match bits >> 1 {
            0 => State::StoredLen { last },
            1 => {
                let (literals, distances) = fixed_lens();
                assert!(self.literals.set(&literals), "the fixed code is a code");
                assert!(self.distances.set(&distances), "the fixed code is a code");
                sink.begin(last, false);
                State::Tokens { last }
            }
            2 => State::Counts { last },
            _ => return Err(self.invalid("a block of the reserved kind")),
        }))
    }

    fn stored_len(&mut self, last: bool, sink: &mut impl Sink) -> Result<Option<State>, Error> {
        // The padding and the length, at once or not at all.
        if self.bits.count() / 8 < 4 {
            return Ok(None);
        }
        let padding = self.bits.align();
        let Some(both) = self.bits.take(32) else { return Ok(None) };
        let len = (both & 0xffff) as u16;
        if both >> 16 != u32::from(!len) {
            return Err(self.invalid("a stored block whose length does not match its complement"));
        }
        sink.stored(last, padding, len);
        Ok(Some(if len == 0 { Self::after(last) } else { State::Stored { left: len, last } }))
    }

    fn stored(
        &mut self,
        left: u16,
        last: bool,
        input: &mut &[u8],
        text: &mut Text,
        sink: &mut impl Sink,
    ) -> Option<State> {
        let before = left;
        let mut left = left;
        while left > 0 {
            let Some(byte) = self.bits.byte() else { break };
            text.push(byte);
            left -= 1;
        }
        if left > 0 {
            let (bytes, rest) = input.split_at(input.len().min(left.into()));
            text.extend(bytes);
            self.bits.skip(bytes.len());
            *input = rest;
            left -= u16::try_from(bytes.len()).expect("no more than were left");
        }
        if left < before {
            sink.stored_bytes(before - left);
        }
        self.state = State::Stored { left, last };
        (left == 0).then(|| Self::after(last))
    }

    fn counts(&mut self, last: bool) -> Result<Option<State>, Error> {
        let Some(bits) = self.bits.take(14) else { return Ok(None) };
        let steps = core::mem::take(&mut self.header.steps);
        self.header = Header::empty();
        self.header.steps = steps;
        self.header.steps.clear();
        self.header.literals = (bits & 31) as usize + LITERALS_MIN;
        self.header.distances = (bits >> 5 & 31) as usize + 1;
        self.header.widths = (bits >> 10) as usize + WIDTHS_MIN;
        Ok(Some(State::Widths { last, at: 0 }))
    }

    fn width(&mut self, last: bool, at: usize) -> Result<Option<State>, Error> {
        let Some(bits) = self.bits.take(3) else { return Ok(None) };
        self.header.width_lens[WIDTH_ORDER[at]] = (bits & 7) as u8;
        if at + 1 < self.header.widths {
            return Ok(Some(State::Widths { last, at: at + 1 }));
        }
        if !self.widths.set(&self.header.width_lens) {
            return Err(self.invalid("a header with too many codes for code lengths"));
        }
        Ok(Some(State::Lens { last, at: 0 }))
    }

    fn lens(
        &mut self,
        last: bool,
        at: usize,
        sink: &mut impl Sink,
    ) -> Result<Option<State>, Error> {
        let (symbol, len) = match self.widths.find(self.bits.peek(), self.bits.count()) {
            Found::Symbol(symbol, len) => (symbol, len),
            Found::More => return Ok(None),
            Found::Nothing => return Err(self.invalid("a header with bits that mean nothing")),
        };
        let symbol = u8::try_from(symbol).expect("there are 19 symbols");
        let extra_bits = Step::extra_bits(symbol);
        if len + extra_bits > self.bits.count() {
            return Ok(None);
        }
        self.bits.drop(len);
        let extra = (self.bits.peek() & 0x7f & ((1 << extra_bits) - 1)) as u8;
        self.bits.drop(extra_bits);
        let step = Step { symbol, extra };
        let end = at + step.run();
        if end > self.header.len() || (symbol == 16 && at == 0) {
            return Err(self.invalid("a header that repeats what is not there"));
        }
        let value = match symbol {
            16 => self.header.lens[at - 1],
            17 | 18 => 0,
            _ => symbol,
        };
        self.header.lens[at..end].fill(value);
        self.header.steps.push(step);
        if end < self.header.len() {
            return Ok(Some(State::Lens { last, at: end }));
        }
        if self.header.lens[END_OF_BLOCK] == 0 {
            return Err(self.invalid("a block that cannot end"));
        }
        if !self.literals.set(self.header.literal_lens())
            || !self.distances.set(self.header.distance_lens())
        {
            return Err(self.invalid("a header with too many codes"));
        }
        sink.begin(last, true);
        Ok(Some(State::Tokens { last }))
    }

    fn tokens(
        &mut self,
        last: bool,
        input: &mut &[u8],
        text: &mut Text,
        end: u64,
        sink: &mut impl Sink,
    ) -> Result<Option<State>, Error> {
        while text.len() < end {
            self.bits.refill(input);
            let (bits, count) = (self.bits.peek(), self.bits.count());
            let (symbol, len) = match self.literals.find(bits, count) {
                Found::Symbol(symbol, len) => (symbol, len),
                Found::More => return Ok(None),
                Found::Nothing => return Err(self.invalid("bits that mean no symbol")),
            };
            if let Ok(byte) = u8::try_from(symbol) {
                self.bits.drop(len);
                text.push(byte);
                sink.token(Token::literal(byte), &self.header);
                continue;
            }
            if symbol == END_OF_BLOCK {
                self.bits.drop(len);
                sink.end(&self.header);
                return Ok(Some(Self::after(last)));
            }
            let Some((token, used)) = self.matched(symbol, bits >> len, count - len)? else {
                return Ok(None);
            };
            self.bits.drop(len + used);
            if !text.copy(token.distance(), token.plain_len()) {
                return Err(self.invalid("a match that begins before the stream"));
            }
            sink.token(token, &self.header);
        }
        Ok(Some(State::Tokens { last }))
    }

    /// The match whose length has this symbol, and the bits that it takes behind it.
    fn matched(&self, symbol: usize, bits: u64, count: u32) -> Result<Option<(Token, u32)>, Error> {
        let Some((base, extra)) = length_base(symbol) else {
            return Err(self.invalid("a length symbol that means nothing"));
        };
        if extra > count {
            return Ok(None);
        }
        let length = base + low_bits(bits, extra);
        let (bits, left) = (bits >> extra, count - extra);
        let (symbol_at, len) = match self.distances.find(bits, left) {
            Found::Symbol(symbol, len) => (symbol, len),
            Found::More => return Ok(None),
            Found::Nothing => return Err(self.invalid("bits that mean no distance")),
        };
        let Some((base, more)) = distance_base(symbol_at) else {
            return Err(self.invalid("a distance symbol that means nothing"));
        };
        if len + more > left {
            return Ok(None);
        }
        let distance = base + low_bits(bits >> len, more);
        let long_way = length == 258 && symbol < 285;
        let code = if long_way { 259 } else { (length & 0x1ff) as u16 };
        let token = Token::matched(code, (distance & 0xffff) as u16);
        Ok(Some((token, extra + len + more)))
    }
}

/// The lowest bits, up to 32.
fn low_bits(bits: u64, count: u32) -> u32 {
    (bits & 0xffff_ffff & ((1 << count) - 1)) as u32
}
