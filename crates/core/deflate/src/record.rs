//! How blocks begin, end and describe their codes.

use crate::header::{
    Header, LITERALS_MIN, Step, WIDTH_ORDER, WIDTH_SYMBOLS, WIDTHS_MIN, fixed_lens,
};
use crate::model::{Number, Symbol};
use crate::range::{Bit, Coder};
use crate::token::{DISTANCES, LITERALS};
use crate::trees::Freqs;

/// Most tokens that one record covers; blocks with more have several, and tell their codes before.
pub(crate) const SPAN_TOKENS_MAX: u32 = 1 << 20;

/// A kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stored,
    Fixed,
    Dynamic,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Stored, Self::Fixed, Self::Dynamic];
}

/// How a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) last: bool,
    pub(crate) kind: Kind,
}

/// The tokens of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its number of tokens. The last block takes what is there instead.
    pub(crate) tokens: u32,
    /// Whether the block goes on with another span.
    pub(crate) more: bool,
}

/// The models of records.
#[derive(Debug)]
pub(crate) struct RecordModels {
    last: Bit,
    kind: [Symbol<4>; 3],
    kind_before: Kind,
    padding_odd: Bit,
    stored_len_same: Bit,
    stored_len: Number,
    stored_len_before: u32,
    more: Bit,
    tokens_same: Bit,
    tokens: Number,
    tokens_before: u32,
    unusual: Bit,
    count_unusual: [Bit; 3],
    lens: [Symbol<16>; 16],
    step_unusual: [Bit; 4],
    step: Symbol<32>,
    widths_unusual: Bit,
    widths: [Symbol<8>; 8],
}

impl RecordModels {
    pub(crate) const fn new() -> Self {
        Self {
            last: Bit::EVEN,
            kind: [const { Symbol::new() }; 3],
            kind_before: Kind::Dynamic,
            padding_odd: Bit::SELDOM,
            stored_len_same: Bit::EVEN,
            stored_len: Number::new(),
            stored_len_before: 0xffff,
            more: Bit::SELDOM,
            tokens_same: Bit::EVEN,
            tokens: Number::new(),
            tokens_before: 16383,
            unusual: Bit::SELDOM,
            count_unusual: [Bit::EVEN; 3],
            lens: [const { Symbol::new() }; 16],
            step_unusual: [Bit::SELDOM; 4],
            step: Symbol::new(),
            widths_unusual: Bit::SELDOM,
            widths: [const { Symbol::new() }; 8],
        }
    }

    /// How a block begins; `None` when a reader finds a kind that does not exist.
    pub(crate) fn start<C: Coder>(&mut self, coder: &mut C, start: Start) -> Option<Start> {
        // Coded so that what is usual is a zero: a single dynamic block.
        let last = !coder.bit(&mut self.last, !start.last);
        let kind = 2 - start.kind as u32;
        let kind = self.kind[self.kind_before as usize].code(coder, kind);
        let kind = *Kind::ALL.get(2usize.checked_sub(kind as usize)?)?;
        self.kind_before = kind;
        Some(Start { last, kind })
    }

    /// The bits before the next byte's border.
    pub(crate) fn padding<C: Coder>(&mut self, coder: &mut C, padding: u8) -> u8 {
        if coder.bit(&mut self.padding_odd, padding != 0) {
            (coder.raw(7, padding.into()) & 0x7f) as u8
        } else {
            0
        }
    }

    /// The length of a stored block; `None` when a reader finds more blocks than were written.
    pub(crate) fn stored_len<C: Coder>(
        &mut self,
        coder: &mut C,
        start: Start,
        len: u32,
    ) -> Option<u32> {
        let len = if coder.bit(&mut self.stored_len_same, len != self.stored_len_before) {
            self.stored_len.code(coder, len).min(0xffff)
        } else {
            self.stored_len_before
        };
        self.stored_len_before = len;
        (len > 0 || start.last || coder.weigh()).then_some(len)
    }

    /// The number of tokens up to the end of a block, or of a part of it. `None` when a reader
    /// finds more blocks than were written: those that stand for no plain byte have their
    /// [weight](Coder::weigh).
    pub(crate) fn span<C: Coder>(
        &mut self,
        coder: &mut C,
        start: Start,
        span: Span,
    ) -> Option<Span> {
        if coder.bit(&mut self.more, span.more) {
            return Some(Span { tokens: SPAN_TOKENS_MAX, more: true });
        }
        if start.last {
            return Some(Span { tokens: 0, more: false });
        }
        let tokens = if coder.bit(&mut self.tokens_same, span.tokens != self.tokens_before) {
            self.tokens.code(coder, span.tokens).min(SPAN_TOKENS_MAX)
        } else {
            self.tokens_before
        };
        self.tokens_before = tokens;
        (tokens > 0 || coder.weigh()).then_some(Span { tokens, more: false })
    }

    /// The description of a block's codes, `freqs` telling what is usual if it is known here.
    /// `None` when a reader finds one that cannot be.
    pub(crate) fn header<C: Coder>(
        &mut self,
        coder: &mut C,
        freqs: Option<&Freqs>,
        actual: &Header,
    ) -> Option<Header> {
        let usual = freqs.map_or_else(fixed_header, Header::usual);
        if !coder.bit(&mut self.unusual, *actual != usual) {
            return Some(usual);
        }
        let mut header = Header::empty();
        let counts = &mut self.count_unusual;
        let (literals, distances) =
            ((actual.literals, usual.literals), (actual.distances, usual.distances));
        header.literals = count(coder, &mut counts[0], literals, LITERALS_MIN, 5);
        header.distances = count(coder, &mut counts[1], distances, 1, 5);
        self.lens(coder, &mut header, &usual, actual);
        self.steps(coder, &mut header, actual)?;
        let (lens_usual, widths_usual) = header.widths_usual();
        let (counts, widths) = (&mut self.count_unusual, (actual.widths, widths_usual));
        header.widths = count(coder, &mut counts[2], widths, WIDTHS_MIN, 4);
        if header.widths > WIDTH_SYMBOLS {
            return None;
        }
        let unusual = actual.width_lens != lens_usual;
        if coder.bit(&mut self.widths_unusual, unusual) {
            for &symbol in &WIDTH_ORDER[..header.widths] {
                let model = &mut self.widths[usize::from(lens_usual[symbol])];
                let len = model.code(coder, actual.width_lens[symbol].into());
                header.width_lens[symbol] = (len & 7) as u8;
            }
        } else {
            header.width_lens = lens_usual;
        }
        Some(header)
    }

    fn lens<C: Coder>(
        &mut self,
        coder: &mut C,
        header: &mut Header,
        usual: &Header,
        actual: &Header,
    ) {
        let at = |source: &Header, symbol: usize| {
            let lens = if symbol < header.literals {
                source.literal_lens().get(symbol)
            } else {
                source.distance_lens().get(symbol - header.literals)
            };
            lens.copied().unwrap_or(0)
        };
        let mut lens = [0; LITERALS + DISTANCES];
        for (symbol, len) in lens.iter_mut().enumerate().take(header.len()) {
            let model = &mut self.lens[usize::from(at(usual, symbol))];
            *len = (model.code(coder, at(actual, symbol).into()) & 15) as u8;
        }
        header.lens = lens;
    }

    fn steps<C: Coder>(
        &mut self,
        coder: &mut C,
        header: &mut Header,
        actual: &Header,
    ) -> Option<()> {
        let (mut at, mut number) = (0, 0);
        while at < header.len() {
            let usual = header.step_usual(at);
            let step = actual.steps.get(number).copied().unwrap_or(usual);
            let context = usize::from(usual.symbol.saturating_sub(15).min(3));
            let step = if coder.bit(&mut self.step_unusual[context], step != usual) {
                let symbol = (self.step.code(coder, step.symbol.into()) & 31) as u8;
                let extra = coder.raw(Step::extra_bits(symbol), step.extra.into());
                Step { symbol, extra: (extra & 0x7f) as u8 }
            } else {
                usual
            };
            let end = at + step.run();
            let value = match step.symbol {
                0..16 => step.symbol,
                16 => *header.lens.get(at.checked_sub(1)?)?,
                17 | 18 => 0,
                _ => return None,
            };
            if end > header.len() || header.lens[at..end].iter().any(|&len| len != value) {
                return None;
            }
            header.steps.push(step);
            (at, number) = (end, number + 1);
        }
        Some(())
    }
}

/// A number of lengths that is usually the usual one.
fn count<C: Coder>(
    coder: &mut C,
    model: &mut Bit,
    (actual, usual): (usize, usize),
    least: usize,
    bits: u32,
) -> usize {
    if !coder.bit(model, actual != usual) {
        return usual;
    }
    let above = u32::try_from(actual - least).expect("a header's numbers are small");
    least + coder.raw(bits, above) as usize
}

fn fixed_header() -> Header {
    let mut header = Header::empty();
    let (literals, distances) = fixed_lens();
    header.literals = LITERALS;
    header.distances = DISTANCES;
    header.lens[..LITERALS].copy_from_slice(&literals);
    header.lens[LITERALS..].copy_from_slice(&distances);
    header
}
