//! Which preset fits a stream.

use alloc::vec::Vec;

use crate::correct::expected;
use crate::predict::Predictor;
use crate::presets::{ORDER, PRESETS};
use crate::text::Text;
use crate::token::Token;

/// Tokens that tell enough.
pub(crate) const SAMPLE_TOKENS: usize = 48 << 10;
/// Plain bytes that tell enough.
pub(crate) const SAMPLE_BYTES: u64 = 1 << 20;
/// Tokens of each round, and how many presets, the best so far, take part in it.
const ROUNDS: [(usize, usize); 3] = [(2048, PRESETS.len()), (8192, 7), (SAMPLE_TOKENS, 3)];

/// The beginning of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) text: &'a Text,
    /// Position of the first token.
    pub(crate) at: u32,
    /// Plain bytes before it.
    pub(crate) before: u64,
    pub(crate) tokens: &'a [Token],
}

/// The preset that predicts most of these tokens.
pub(crate) fn estimate(sample: Sample<'_>) -> u8 {
    // Most streams come from an encoder that is known, and then one preset makes no mistake. Others
    // give themselves away soon.
    if let Some(exact) = ORDER.into_iter().find(|&number| sample.misses(number, 1) == 0) {
        return exact;
    }
    let mut field: Vec<(usize, u8)> = ORDER.into_iter().map(|number| (0, number)).collect();
    for (count, places) in ROUNDS {
        field.truncate(places);
        let tokens = &sample.tokens[..sample.tokens.len().min(count)];
        let part = Sample { tokens, ..sample };
        let mut best = usize::MAX;
        for (misses, number) in &mut field {
            *misses = part.misses(*number, best.saturating_add(16).saturating_mul(2));
            best = best.min(*misses);
        }
        field.sort_by_key(|&(misses, _)| misses);
        if tokens.len() == sample.tokens.len() {
            break;
        }
    }
    field[0].1
}

impl Sample<'_> {
    /// How many tokens the preset predicts wrongly; counting ends at `max`.
    fn misses(self, number: u8, max: usize) -> usize {
        let mut predictor = Predictor::new(PRESETS[usize::from(number)], self.before);
        let (mut at, mut misses) = (self.at, 0);
        for &token in self.tokens {
            if !self.text.is_ready(at) || misses >= max {
                break;
            }
            if !token.is_stored() {
                let guess = predictor.guess(self.text, at);
                misses += usize::from(expected(guess, self.text, at) != token);
            }
            predictor.pass(self.text, at, token);
            at = at.wrapping_add(token.plain_len());
        }
        misses
    }
}
