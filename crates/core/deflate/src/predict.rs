//! What an encoder would write next.
//!
//! The answer depends on the preset, on the plain bytes up to
//! [`LOOKAHEAD_BYTES`](crate::text::LOOKAHEAD_BYTES) ahead and on the tokens before, and on nothing
//! else (DEFLATE-2): after a token that was not as predicted it goes on from the actual one.

use crate::chain::{Chains, common, match_max};
use crate::presets::{Params, Style};
use crate::text::Text;
use crate::token::{MATCH_MIN, Token};

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
            None => self.search(text, at, MATCH_MIN - 1),
        };
        let lazy = self.params.style == Style::Lazy;
        if !lazy || found.len < MATCH_MIN || found.len >= self.params.lazy {
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
        self.steps_saved = (self.steps_saved + STEPS_PER_BYTE * i64::from(len)).min(STEPS_SAVED_MAX);
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
        let here = &bytes[index..index + max];
        let mut found = Match::default();
        let mut left = steps;
        for distance in self.chains.walk(at, self.params.distance) {
            // zlib looks at its farthest distance only if it is the first.
            if left == 0 || (distance == self.params.distance && left < steps) {
                break;
            }
            left -= 1;
            let back = index - distance as usize;
            let there = &bytes[back..back + max];
            if there[best] != here[best] || there[best - 1] != here[best - 1] {
                continue;
            }
            let len = common(bytes, index, distance, max);
            if len > best {
                best = len;
                found = Match { len: u32_of(len), distance };
                if len >= nice {
                    break;
                }
            }
        }
        self.steps_saved -= i64::from(steps - left);
        let far = self.params.style == Style::Lazy && found.distance > self.params.far;
        if found.len == MATCH_MIN && far { Match::default() } else { found }
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
        for distance in self.chains.walk(at, crate::text::WINDOW_BYTES) {
            if left == 0 {
                break;
            }
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
