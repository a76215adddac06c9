//! Patterns of keys: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what is to mean itself.

use crate::error::Error;
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_STEPS_MAX};

/// A pattern, and what is left of the steps that may be taken with it.
pub(crate) struct Pattern {
    items: Vec<Item>,
    prefix: Vec<u8>,
    steps: usize,
}

enum Item {
    /// Any number of any bytes.
    Star,
    /// One byte of these.
    Class(Box<[bool; 256]>),
    One(u8),
    Any,
}

impl Pattern {
    /// # Errors
    /// When it is longer than a pattern may be.
    pub(crate) fn new(text: &[u8]) -> Result<Self, Error> {
        if text.len() > PATTERN_BYTES_MAX {
            let max = PATTERN_BYTES_MAX;
            return Err(Error::said(format_args!("a pattern has at most {max} bytes")));
        }
        let end = text.iter().position(|byte| b"*?[\\".contains(byte));
        let prefix = text[..end.unwrap_or(text.len())].to_vec();
        let (mut items, mut rest) = (Vec::new(), text);
        while let Some((item, after)) = next(rest) {
            items.push(item);
            rest = after;
        }
        Ok(Self { items, prefix, steps: PATTERN_STEPS_MAX })
    }

    /// What every text that fits begins with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Whether `text` fits.
    ///
    /// # Errors
    /// When this and what was asked before take too many steps.
    pub(crate) fn fits(&mut self, text: &[u8]) -> Result<bool, Error> {
        let (mut at, mut here) = (0, 0);
        // Where the last star was, and what it has swallowed so far: there it goes on after a dead end. An
        // earlier star needs no second chance.
        let mut star: Option<(usize, usize)> = None;
        while here < text.len() {
            let left = self.steps.checked_sub(1);
            let long = || Error::said("the pattern takes too long: write more of it before a star");
            self.steps = left.ok_or_else(long)?;
            let fits = match self.items.get(at) {
                Some(Item::Star) => {
                    (star, at) = (Some((at + 1, here)), at + 1);
                    continue;
                }
                Some(Item::Any) => true,
                Some(Item::One(byte)) => *byte == text[here],
                Some(Item::Class(class)) => class[usize::from(text[here])],
                None => false,
            };
            (at, here) = match (fits, star) {
                (true, _) => (at + 1, here + 1),
                (false, Some((after, swallowed))) => {
                    star = Some((after, swallowed + 1));
                    (after, swallowed + 1)
                }
                (false, None) => return Ok(false),
            };
        }
        Ok(self.items[at..].iter().all(|item| matches!(item, Item::Star)))
    }
}

/// The first item of a pattern, and what comes after it.
fn next(pattern: &[u8]) -> Option<(Item, &[u8])> {
    Some(match pattern {
        [] => return None,
        [b'*', rest @ ..] => (Item::Star, rest),
        [b'?', rest @ ..] => (Item::Any, rest),
        [b'\\', literal, rest @ ..] => (Item::One(*literal), rest),
        [b'[', set @ ..] => class(set),
        [literal, rest @ ..] => (Item::One(*literal), rest),
    })
}

/// A set, and what comes after its closing bracket, or after the end when there is none.
fn class(set: &[u8]) -> (Item, &[u8]) {
    let (not, mut rest) = match set {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut class = Box::new([not; 256]);
    let mut put = |from: u8, to: u8| {
        class[usize::from(from.min(to))..=usize::from(from.max(to))].fill(!not);
    };
    loop {
        rest = match rest {
            [] => return (Item::Class(class), rest),
            [b']', rest @ ..] => return (Item::Class(class), rest),
            [b'\\', literal, rest @ ..] => {
                put(*literal, *literal);
                rest
            }
            [from, b'-', to, rest @ ..] => {
                put(*from, *to);
                rest
            }
            [literal, rest @ ..] => {
                put(*literal, *literal);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, fitting, others) in [
            ("*", &["", "a", "ab"][..], &[][..]),
            ("h?llo", &["hello", "hallo"], &["hllo", "heello"]),
            ("h*llo", &["hllo", "heeeello"], &["hell", "ello"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo"]),
            ("h[^e]llo", &["hallo"], &["hello"]),
            ("h[b-d]", &["hb", "hd"], &["ha", "he"]),
            ("a\\*", &["a*"], &["ab"]),
            ("*a*b*c", &["abc", "xaxbxc"], &["abcd", "acb"]),
            ("", &[""], &["a"]),
        ] {
            let mut compiled = Pattern::new(pattern.as_bytes()).unwrap();
            for text in fitting {
                assert!(compiled.fits(text.as_bytes()).unwrap(), "{pattern} {text}");
            }
            for text in others {
                assert!(!compiled.fits(text.as_bytes()).unwrap(), "{pattern} {text}");
            }
        }
        assert_eq!(Pattern::new(b"user:*").unwrap().prefix(), b"user:");
        assert_eq!(Pattern::new(b"us\\er").unwrap().prefix(), b"us");
    }

    /// REDIS-1.
    #[test]
    fn redis_1_a_pattern_takes_no_more_than_so_many_steps() {
        assert!(Pattern::new(&[b'a'; PATTERN_BYTES_MAX + 1]).is_err());
        let mut hard = Pattern::new("*a".repeat(PATTERN_BYTES_MAX / 2).as_bytes()).unwrap();
        let text = [b"a".repeat(500), vec![b'b'; 3500]].concat();
        let asked = (0..PATTERN_STEPS_MAX).find(|_| hard.fits(&text).is_err());
        assert!(asked.is_some_and(|asked| asked > 0), "{asked:?}");
    }
}
