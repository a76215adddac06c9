//! What an encoder would write next.
//!
//! The answer depends on the preset, on the plain bytes up to
//! [`LOOKAHEAD_BYTES`](crate::text::LOOKAHEAD_BYTES) ahead and on the tokens before, and on nothing
//! else (DEFLATE-2): after a token that was not as predicted it goes on from the actual one.

use crate::chain::{Chains, common, match_max};
use crate::presets::{Params, Style};
use crate::text::{Text, WINDOW_BYTES};
use crate::token::Token;

/// Steps of searches that a plain byte pays for, on average.
const STEPS_PER_BYTE: i64 = 256;
/// Steps that may be spent ahead of that.
const STEPS_SAVED_MAX: i64 = 16 << 20;
/// Steps of a search when none are left, so that time stays proportional to the bytes.
const STEPS_POOR: u32 = 16;
/// Steps at which the hunt for a distance ends.
const HOPS_STEPS_MAX: u32 = 1024;

/// A match that was found; without length if none was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) len: u32,
    pub(crate) distance: u32,
}

/// A prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guess {
    /// The match that begins here, if one was found.
    pub(crate) found: Match,
    /// Whether it is put off for a better one at the next byte.
    pub(crate) put_off: bool,
}

impl Guess {
    /// The length that is predicted, 0 for a literal.
    pub(crate) fn len(self) -> u32 {
        if self.put_off { 0 } else { self.found.len }
    }
}

/// An encoder's state.
#[derive(Debug)]
pub(crate) struct Predictor {
    params: Params,
    chains: Chains,
    /// What the last prediction found at the byte after it, if it put a match off.
    ahead: Option<Match>,
    /// Steps that are paid for and not spent.
    steps_saved: i64,
}

impl Predictor {
    /// A predictor of tokens from `start` on.
    pub(crate) fn new(params: Params, start: u64) -> Self {
        Self {
            params,
            chains: Chains::new(params.hash, start),
            ahead: None,
            steps_saved: STEPS_SAVED_MAX,
        }
    }

    /// Says what comes at `at`, where all tokens before are passed. `text` is
    /// [ready](Text::is_ready) there, and has a byte.
    pub(crate) fn guess(&mut self, text: &Text, at: u32) -> Guess {
        let found = match self.ahead.take() {
            Some(found) => found,
            None => self.search(text, at, self.params.shortest - 1),
        };
        let lazy = self.params.style == Style::Lazy;
        if !lazy || found.len == 0 || found.len >= self.params.lazy {
            return Guess { found, put_off: false };
        }
        let next = self.search(text, at.wrapping_add(1), found.len);
        let put_off = next.len > found.len;
        self.ahead = put_off.then_some(next);
        Guess { found, put_off }
    }

    /// Passes the token that is at `at`.
    pub(crate) fn pass(&mut self, text: &Text, at: u32, token: Token) {
        let len = token.plain_len();
        let end = at.wrapping_add(len);
        if token.is_stored() {
            self.ahead = None;
            self.chains.skip_far(end);
            return;
        }
        self.steps_saved =
            (self.steps_saved + STEPS_PER_BYTE * i64::from(len)).min(STEPS_SAVED_MAX);
        if !token.is_literal() {
            self.ahead = None;
            if self.params.style == Style::Fast && len > self.params.lazy {
                self.chains.insert(text, at.wrapping_add(1));
                self.chains.skip(end);
                return;
            }
        }
        self.chains.insert(text, end);
    }

    /// The best match at `at` that is longer than `floor`.
    fn search(&mut self, text: &Text, at: u32, floor: u32) -> Match {
        self.chains.insert(text, at.wrapping_add(1));
        let max = match_max(text, at);
        let mut best = floor as usize;
        if max <= best {
            return Match::default();
        }
        let mut steps = self.params.steps;
        if floor >= self.params.good {
            steps >>= 2;
        }
        if self.steps_saved <= 0 {
            steps = steps.min(STEPS_POOR);
        }
        let nice = (self.params.nice as usize).min(max);
        let bytes = text.bytes();
        let index = text.index(at);
        let mut found = Match::default();
        let mut left = steps;
        let mut tail = Tail::new(bytes, index, best);
        let mut walk = self.chains.walk(at);
        // zlib looks at its farthest distance only if it is the first.
        let mut limit = self.params.distance;
        while left > 0 {
            let Some(distance) = walk.next(limit) else { break };
            limit = self.params.distance - 1;
            left -= 1;
            if !tail.is_at(bytes, distance) {
                continue;
            }
            let len = common(bytes, index, distance, max);
            if len > best {
                best = len;
                found = Match { len: u32_of(len), distance };
                if len >= nice {
                    break;
                }
                tail = Tail::new(bytes, index, best);
            }
        }
        self.steps_saved -= i64::from(steps - left);
        let far = self.params.style == Style::Lazy && found.distance > self.params.far;
        if found.len == self.params.shortest && far { Match::default() } else { found }
    }

    /// How many nearer matches of `len` bytes at `at` were passed over for that at `distance`.
    /// `None` if it is not in the chain, or too far along it.
    pub(crate) fn hops(&mut self, text: &Text, at: u32, len: u32, distance: u32) -> Option<u32> {
        self.hunt(text, at, len, |_, found| found == distance).map(|(hops, _)| hops)
    }

    /// The distance of the match of `len` bytes at `at` that [`Predictor::hops`] gave this number.
    pub(crate) fn hop(&mut self, text: &Text, at: u32, len: u32, hops: u32) -> Option<u32> {
        self.hunt(text, at, len, |count, _| count == hops).map(|(_, distance)| distance)
    }

    fn hunt(
        &mut self,
        text: &Text,
        at: u32,
        len: u32,
        wanted: impl Fn(u32, u32) -> bool,
    ) -> Option<(u32, u32)> {
        self.chains.insert(text, at.wrapping_add(1));
        let len = len as usize;
        if len > match_max(text, at) {
            return None;
        }
        let steps = if self.steps_saved <= 0 { STEPS_POOR } else { HOPS_STEPS_MAX };
        let (mut hops, mut left) = (0, steps);
        let mut found = None;
        let mut walk = self.chains.walk(at);
        while left > 0 {
            let Some(distance) = walk.next(WINDOW_BYTES) else { break };
            left -= 1;
            if common(text.bytes(), text.index(at), distance, len) < len {
                continue;
            }
            if wanted(hops, distance) {
                found = Some((hops, distance));
                break;
            }
            hops += 1;
        }
        self.steps_saved -= i64::from(steps - left);
        found
    }
}

fn u32_of(len: usize) -> u32 {
    u32::try_from(len).expect("a match is short")
}

/// The last bytes of those that a match must have to be longer than the best so far.
#[derive(Clone, Copy)]
struct Tail {
    at: u32,
    word: u32,
    mask: u32,
}

impl Tail {
    #[inline(always)]
    fn new(bytes: &[u8], index: usize, best: usize) -> Self {
        let at = index + best.max(3) - 3;
        let mask = if at + 4 > bytes.len() {
            // At the very end of the text there is no whole word: all bytes are compared at once.
            0
        } else if best < 3 {
            0xff_ffff
        } else {
            u32::MAX
        };
        let at = u32::try_from(at).expect("the text that is held is short");
        Self { at, word: word(bytes, at) & mask, mask }
    }

    /// Whether they are also `distance` before.
    #[inline(always)]
    fn is_at(self, bytes: &[u8], distance: u32) -> bool {
        word(bytes, self.at.wrapping_sub(distance)) & self.mask == self.word
    }
}

#[inline(always)]
fn word(bytes: &[u8], at: u32) -> u32 {
    let word = bytes.get(at as usize..at as usize + 4).and_then(|word| word.first_chunk());
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use expect_test::expect_file;

    use super::*;
    use crate::presets::PRESETS;

    const PLAIN: &[u8] = include_bytes!("../tests/it/golden/plain");

    /// Checksum of the tokens that the predictor would write by itself.
    fn tokens(params: Params, steps_saved: i64) -> u32 {
        let mut text = Text::new();
        text.extend(PLAIN);
        text.finish();
        let mut predictor = Predictor::new(params, 0);
        predictor.steps_saved = steps_saved;
        let (mut at, mut crc) = (0, crc32fast::Hasher::new());
        while text.ahead(at) > 0 {
            let guess = predictor.guess(&text, at);
            let token = crate::correct::expected(guess, &text, at);
            crc.update(&token.length_code().to_le_bytes());
            crc.update(&token.distance().to_le_bytes());
            predictor.pass(&text, at, token);
            at += token.plain_len();
        }
        crc.finalize()
    }

    /// DEFLATE-3: stored corrections rely on every one of these.
    #[test]
    fn predictions_never_change() {
        let lines = PRESETS.iter().enumerate().map(|(number, &params)| {
            let (rich, poor) = (tokens(params, STEPS_SAVED_MAX), tokens(params, -100_000));
            format!("{number} {rich:08x} {poor:08x}\n")
        });
        expect_file!["../tests/it/golden/predictions"]
            .assert_eq(&lines.collect::<alloc::string::String>());
    }

    /// DEFLATE-4: at level 9 each token of such a text has thousands of candidates.
    #[test]
    fn searches_have_a_budget() {
        let mut state = 1u64;
        let mut text = Text::new();
        for _ in 0..400_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push(b'a' + u8::from(state >> 63 == 1));
        }
        text.finish();
        let mut predictor = Predictor::new(PRESETS[8], 0);
        predictor.steps_saved = 0;
        let (mut at, mut poor) = (0, 0);
        while text.ahead(at) > 0 {
            poor += u32::from(predictor.steps_saved <= 0);
            let guess = predictor.guess(&text, at);
            let token = crate::correct::expected(guess, &text, at);
            predictor.pass(&text, at, token);
            at += token.plain_len();
            assert!(predictor.steps_saved > -2 * 4096, "at {at}: {}", predictor.steps_saved);
        }
        assert!(poor > 1000, "{poor}");
    }
}
