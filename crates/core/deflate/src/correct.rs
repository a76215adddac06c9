//! Where the actual tokens are not the predicted ones, and what they are.

use crate::Error;
use crate::model::{Number, Symbol};
use crate::predict::{Guess, Predictor};
use crate::range::{Bit, Coder};
use crate::text::Text;
use crate::token::{MATCH_MIN, Token, distance_base, distance_symbol};

/// Kinds of predictions that go wrong at different rates.
const CLASSES: usize = 10;
/// Outcomes of the last two predictions.
const HISTORIES: usize = 4;
/// Largest length code above the shortest match.
const LENGTH_ABOVE_MAX: u32 = 259 - MATCH_MIN;

/// The models of corrections of tokens.
#[derive(Debug)]
pub(crate) struct TokenModels {
    wrong: [[Bit; HISTORIES]; CLASSES],
    history: usize,
    literal: [Bit; CLASSES],
    same_len: [Bit; 2],
    len: [Symbol<512>; 3],
    hops: [Number; 2],
    far: Symbol<32>,
}

impl TokenModels {
    pub(crate) const fn new() -> Self {
        Self {
            wrong: [[Bit::SELDOM; HISTORIES]; CLASSES],
            history: 0,
            literal: [Bit::EVEN; CLASSES],
            same_len: [Bit::EVEN; 2],
            len: [const { Symbol::new() }; 3],
            hops: [const { Number::new() }; 2],
            far: Symbol::new(),
        }
    }

    /// Codes the token at `at`, where [`Predictor::guess`] can tell what it expects, and passes it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a reader finds a token that cannot be there; never for a writer.
    pub(crate) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        predictor: &mut Predictor,
        text: &Text,
        at: u32,
        actual: Token,
    ) -> Result<Token, Error> {
        let guess = predictor.guess(text, at);
        let expected = expected(guess, text, at);
        let class = class(guess);
        let wrong = coder.bit(&mut self.wrong[class][self.history], actual != expected);
        self.history = (self.history << 1 | usize::from(wrong)) % HISTORIES;
        let token = if wrong {
            let token = self.other(coder, predictor, text, at, actual, guess);
            token.ok_or_else(|| damaged(text, at))?
        } else {
            expected
        };
        predictor.pass(text, at, token);
        Ok(token)
    }

    /// A token that is not the expected one; `None` when it cannot be there.
    fn other<C: Coder>(
        &mut self,
        coder: &mut C,
        predictor: &mut Predictor,
        text: &Text,
        at: u32,
        actual: Token,
        guess: Guess,
    ) -> Option<Token> {
        if guess.len() > 0 && coder.bit(&mut self.literal[class(guess)], actual.is_literal()) {
            return Some(literal(text, at));
        }
        let (found, code) = (guess.found, u32::from(actual.length_code()));
        let same = found.len > 0 && {
            let model = &mut self.same_len[usize::from(guess.put_off)];
            coder.bit(model, code == found.len)
        };
        let code = if same {
            found.len
        } else {
            let context = usize::from(found.len > 0) + usize::from(guess.put_off);
            let above = code.wrapping_sub(MATCH_MIN);
            MATCH_MIN + self.len[context].code(coder, above & 511)
        };
        if code - MATCH_MIN > LENGTH_ABOVE_MAX {
            return None;
        }
        let code = u16::try_from(code).ok()?;
        let len = Token::matched(code, 1).plain_len();
        let distance = self.distance(coder, predictor, text, at, len, actual.distance())?;
        Some(Token::matched(code, u16::try_from(distance).ok()?))
    }

    /// The distance of a match of this length.
    fn distance<C: Coder>(
        &mut self,
        coder: &mut C,
        predictor: &mut Predictor,
        text: &Text,
        at: u32,
        len: u32,
        actual: u32,
    ) -> Option<u32> {
        // 0 says that the distance is not in the chain.
        let hops = if C::WRITES { predictor.hops(text, at, len, actual) } else { None };
        let model = &mut self.hops[usize::from(len == MATCH_MIN)];
        let hops = model.code(coder, hops.map_or(0, |hops| hops + 1));
        if hops > 0 {
            return if C::WRITES { Some(actual) } else { predictor.hop(text, at, len, hops - 1) };
        }
        let (symbol, _, extra) = if C::WRITES { distance_symbol(actual) } else { (0, 0, 0) };
        let symbol = self.far.code(coder, u32::try_from(symbol).ok()?);
        let (base, extra_bits) = distance_base(symbol as usize)?;
        let distance = base + coder.raw(extra_bits, extra);
        if C::WRITES {
            return Some(distance);
        }
        // The writer hunted in vain: the steps that it spent are part of the state.
        let hunted = predictor.hops(text, at, len, distance).is_none();
        let index = text.index(at);
        let inside = len <= text.ahead(at) && distance as usize <= index;
        (hunted && inside && same_bytes(text, index, distance, len)).then_some(distance)
    }
}

fn same_bytes(text: &Text, index: usize, distance: u32, len: u32) -> bool {
    crate::chain::common(text.bytes(), index, distance, len as usize) == len as usize
}

fn literal(text: &Text, at: u32) -> Token {
    Token::literal(text.bytes()[text.index(at)])
}

pub(crate) fn expected(guess: Guess, text: &Text, at: u32) -> Token {
    if guess.len() == 0 {
        return literal(text, at);
    }
    let part = |value: u32| u16::try_from(value).expect("lengths and distances are short");
    Token::matched(part(guess.found.len), part(guess.found.distance))
}

fn class(guess: Guess) -> usize {
    if guess.put_off {
        return 1;
    }
    match guess.found.len {
        0 => 0,
        3 => 2,
        4 => 3,
        5 => 4,
        6..9 => 5,
        9..17 => 6,
        17..65 => 7,
        65..258 => 8,
        _ => 9,
    }
}

fn damaged(text: &Text, at: u32) -> Error {
    let offset = text.len() - u64::from(text.ahead(at));
    Error::Damaged { offset, reason: "a token that cannot be there" }
}
