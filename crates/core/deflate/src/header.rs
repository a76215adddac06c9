//! The description of the codes of a dynamic block (RFC 1951, 3.2.7), as it was written.

use alloc::vec::Vec;

use crate::bits::BitWriter;
use crate::huffman::{CODE_BITS_MAX, Encoder};
use crate::token::{DISTANCES, END_OF_BLOCK, LITERALS};
use crate::trees::{Freqs, code_lengths};

/// Symbols of the code that code lengths are written with.
pub(crate) const WIDTH_SYMBOLS: usize = 19;
/// Longest code of such a symbol.
const WIDTH_BITS_MAX: u32 = 7;
/// The order in which the lengths of that code are written.
pub(crate) const WIDTH_ORDER: [usize; WIDTH_SYMBOLS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Fewest symbols of the literal and length code that are written.
pub(crate) const LITERALS_MIN: usize = END_OF_BLOCK + 1;
/// Fewest lengths of the code for code lengths that are written.
pub(crate) const WIDTHS_MIN: usize = 4;

/// One step of a description: a length, or a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// 0 to 15 a length, 16 to 18 a repetition.
    pub(crate) symbol: u8,
    /// The extra bits of a repetition.
    pub(crate) extra: u8,
}

impl Step {
    /// Extra bits of a symbol.
    pub(crate) const fn extra_bits(symbol: u8) -> u32 {
        match symbol {
            16 => 2,
            17 => 3,
            18 => 7,
            _ => 0,
        }
    }

    /// Code lengths that this step stands for.
    pub(crate) const fn run(self) -> usize {
        match self.symbol {
            16 | 17 => 3 + self.extra as usize,
            18 => 11 + self.extra as usize,
            _ => 1,
        }
    }

    /// The step that zlib takes at `at` of `lens`, of which one code ends at `end`, and the code
    /// that `at` is in begins at `start`.
    pub(crate) fn usual(lens: &[u8], start: usize, at: usize, end: usize) -> Self {
        let len = lens[at];
        let run = lens[at..end].iter().take_while(|&&next| next == len).count();
        let step = |symbol: u8, least: usize, most: usize| Self {
            symbol,
            extra: u8::try_from(run.min(most) - least).expect("a run is short"),
        };
        match run {
            0..3 => Self { symbol: len, extra: 0 },
            3..11 if len == 0 => step(17, 3, 10),
            _ if len == 0 => step(18, 11, 138),
            _ if at > start && lens[at - 1] == len => step(16, 3, 6),
            _ => Self { symbol: len, extra: 0 },
        }
    }
}

/// A description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Symbols of the literal and length code, 257 to 288.
    pub(crate) literals: usize,
    /// Symbols of the distance code, 1 to 32.
    pub(crate) distances: usize,
    /// Lengths of both, one after the other, and zeros.
    pub(crate) lens: [u8; LITERALS + DISTANCES],
    /// How they are written.
    pub(crate) steps: Vec<Step>,
    /// Lengths of the code that the steps are written with, by symbol.
    pub(crate) width_lens: [u8; WIDTH_SYMBOLS],
    /// How many of those are written, 4 to 19.
    pub(crate) widths: usize,
}

impl Header {
    /// A description without codes.
    pub(crate) const fn empty() -> Self {
        Self {
            literals: LITERALS_MIN,
            distances: 1,
            lens: [0; LITERALS + DISTANCES],
            steps: Vec::new(),
            width_lens: [0; WIDTH_SYMBOLS],
            widths: WIDTHS_MIN,
        }
    }

    /// What zlib would write for a block with these frequencies.
    pub(crate) fn usual(freqs: &Freqs) -> Self {
        let mut header = Self::empty();
        let mut literal_lens = [0; LITERALS];
        let mut distance_lens = [0; DISTANCES];
        // The last symbols mean nothing, and no block has them.
        let (literals, distances) = (&freqs.literals[..286], &freqs.distances[..30]);
        header.literals =
            code_lengths(literals, CODE_BITS_MAX, &mut literal_lens[..286]).max(LITERALS_MIN);
        header.distances = code_lengths(distances, CODE_BITS_MAX, &mut distance_lens[..30]);
        let (first, second) = header.lens.split_at_mut(header.literals);
        first.copy_from_slice(&literal_lens[..header.literals]);
        second[..header.distances].copy_from_slice(&distance_lens[..header.distances]);
        header.steps_usual();
        (header.width_lens, header.widths) = header.widths_usual();
        header
    }

    /// Code lengths that are written.
    pub(crate) const fn len(&self) -> usize {
        self.literals + self.distances
    }

    /// The lengths of the literal and length code.
    pub(crate) fn literal_lens(&self) -> &[u8] {
        &self.lens[..self.literals]
    }

    /// The lengths of the distance code.
    pub(crate) fn distance_lens(&self) -> &[u8] {
        &self.lens[self.literals..self.len()]
    }

    /// The step that zlib would take at `at`.
    pub(crate) fn step_usual(&self, at: usize) -> Step {
        let (start, end) =
            if at < self.literals { (0, self.literals) } else { (self.literals, self.len()) };
        Step::usual(&self.lens, start, at, end)
    }

    fn steps_usual(&mut self) {
        let mut at = 0;
        while at < self.len() {
            let step = self.step_usual(at);
            at += step.run();
            self.steps.push(step);
        }
    }

    /// The code that zlib would write the steps with, and how many lengths of it.
    pub(crate) fn widths_usual(&self) -> ([u8; WIDTH_SYMBOLS], usize) {
        let mut freqs = [0; WIDTH_SYMBOLS];
        for step in &self.steps {
            freqs[usize::from(step.symbol)] += 1;
        }
        let mut lens = [0; WIDTH_SYMBOLS];
        code_lengths(&freqs, WIDTH_BITS_MAX, &mut lens);
        let last = WIDTH_ORDER.iter().rposition(|&symbol| lens[symbol] > 0);
        (lens, last.map_or(0, |last| last + 1).max(WIDTHS_MIN))
    }

    /// Writes the description. False if its codes make none.
    pub(crate) fn write(&self, bits: &mut BitWriter, out: &mut Vec<u8>) -> bool {
        let number = |value: usize| u32::try_from(value).expect("a header's numbers are small");
        let Some(encoder) = Encoder::new(&self.width_lens) else { return false };
        bits.put(out, number(self.literals - LITERALS_MIN), 5);
        bits.put(out, number(self.distances - 1), 5);
        bits.put(out, number(self.widths - WIDTHS_MIN), 4);
        for &symbol in &WIDTH_ORDER[..self.widths] {
            bits.put(out, self.width_lens[symbol].into(), 3);
        }
        for step in &self.steps {
            let (code, len) = encoder.code(step.symbol.into());
            bits.put(out, code, len);
            bits.put(out, step.extra.into(), Step::extra_bits(step.symbol));
        }
        true
    }
}

/// The lengths of the codes of a fixed block (RFC 1951, 3.2.6).
pub(crate) fn fixed_lens() -> ([u8; LITERALS], [u8; DISTANCES]) {
    let mut literals = [8; LITERALS];
    literals[144..256].fill(9);
    literals[256..280].fill(7);
    (literals, [5; DISTANCES])
}
