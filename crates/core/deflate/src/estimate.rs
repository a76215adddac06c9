//! Which preset fits a stream.

use alloc::vec::Vec;

use crate::correct::expected;
use crate::predict::Predictor;
use crate::presets::PRESETS;
use crate::text::Text;
use crate::token::Token;

/// Tokens of each round and how many presets, the best so far, take part in it.
const ROUNDS: [(usize, usize); 3] = [(2048, PRESETS.len()), (8192, 7), (SAMPLE_TOKENS, 3)];
/// Tokens that tell enough.
pub(crate) const SAMPLE_TOKENS: usize = 48 << 10;
/// Plain bytes that tell enough.
pub(crate) const SAMPLE_BYTES: u64 = 1 << 20;

/// The preset that predicts most of these tokens, the first of which is at `at` and has `before`
/// plain bytes before it.
pub(crate) fn estimate(text: &Text, at: u32, before: u64, tokens: &[Token]) -> u8 {
    let mut field: Vec<(usize, u8)> = (0u8..).take(PRESETS.len()).map(|n| (0, n)).collect();
    // Of those that do the same, the usual ones first.
    field.sort_by_key(|&(_, number)| (number / 9, [5, 8, 0, 6, 7, 4, 3, 2, 1][usize::from(number % 9)]));
    for (count, places) in ROUNDS {
        field.truncate(places);
        let mut best = usize::MAX;
        let sample = &tokens[..tokens.len().min(count)];
        for (wrong, number) in &mut field {
            *wrong = misses(text, at, before, sample, *number, best);
            best = best.min(*wrong);
        }
        field.sort_by_key(|&(wrong, _)| wrong);
        if sample.len() == tokens.len() {
            break;
        }
    }
    field[0].1
}

/// How many tokens the preset predicts wrongly; counting ends well beyond `best`.
fn misses(
    text: &Text,
    at: u32,
    before: u64,
    tokens: &[Token],
    number: u8,
    best: usize,
) -> usize {
    let mut predictor = Predictor::new(PRESETS[usize::from(number)], before);
    let (mut at, mut wrong) = (at, 0);
    for &token in tokens {
        if !text.is_ready(at) || wrong / 2 > best.saturating_add(16) {
            break;
        }
        if !token.is_stored() {
            wrong += usize::from(expected(predictor.guess(text, at), text, at) != token);
        }
        predictor.pass(text, at, token);
        at = at.wrapping_add(token.plain_len());
    }
    wrong
}
