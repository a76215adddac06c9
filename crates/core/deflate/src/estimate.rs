//! Which preset fits a stream.

use alloc::vec::Vec;

use crate::correct::expected;
use crate::predict::Predictor;
use crate::presets::{ORDER, PRESETS};
use crate::text::Text;
use crate::token::Token;

/// Tokens that tell enough.
const SAMPLE_TOKENS: usize = 48 << 10;
/// Plain bytes that tell enough.
const SAMPLE_BYTES: u32 = 1 << 20;
/// Tokens or bytes behind the sample, so that all predictions in it see what they look at.
const BEHIND: usize = 1024;
/// Tokens for each that the preset of a stream before may miss, so that no better one is sought.
const TOKENS_PER_MISS: usize = 64;
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
    /// The preset that is tried first.
    pub(crate) like: Option<u8>,
}

impl Sample<'_> {
    /// The preset that predicts most of the tokens; `None` if there are too few to tell.
    ///
    /// Depends on the stream alone, not on how much more of it is there already.
    pub(crate) fn estimate(&self) -> Option<u8> {
        let tokens = self.tokens.len() >= SAMPLE_TOKENS + BEHIND;
        let bytes = self.text.ahead(self.at) as usize >= SAMPLE_BYTES as usize + BEHIND;
        if self.tokens.is_empty() || !(tokens || bytes || self.text.is_ended()) {
            return None;
        }
        let mut len = 0u32;
        let starts = self.tokens.iter().take(SAMPLE_TOKENS).take_while(|token| {
            let inside = len < SAMPLE_BYTES;
            len += token.plain_len();
            inside
        });
        let count = starts.count();
        Some(Self { tokens: &self.tokens[..count], ..*self }.best())
    }

    fn best(self) -> u8 {
        // Most streams come from an encoder that is known, and then one preset makes no mistake.
        // Others give themselves away soon.
        let mut order = self.like.into_iter().chain(ORDER);
        let exact = order.find(|&number| self.misses(number, 1) == 0);
        // One that is only nearly right will not be so for the next stream either.
        let max = self.tokens.len() / TOKENS_PER_MISS;
        let near = || self.like.filter(|&number| self.misses(number, max + 1) <= max);
        exact.or_else(near).unwrap_or_else(|| best_of_all(self))
    }

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

/// The preset that misses least, in rounds of which each takes fewer of them and looks longer.
fn best_of_all(sample: Sample<'_>) -> u8 {
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
