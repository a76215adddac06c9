//! Patterns of keys: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what is to mean itself.

/// Whether `text` fits `pattern`. Takes time in the product of their lengths at most.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    // Where the last star was, and what it has swallowed so far: there it goes on after a dead end. An
    // earlier star needs no second chance.
    let mut star: Option<(usize, usize)> = None;
    while here < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, here));
            at += 1;
        } else if let Some(next) = one(&pattern[at..], text[here]) {
            at += next;
            here += 1;
        } else if let Some((after, swallowed)) = star {
            star = Some((after, swallowed + 1));
            (at, here) = (after, swallowed + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// What every text that fits begins with.
pub(crate) fn prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| b"*?[\\".contains(byte));
    &pattern[..end.unwrap_or(pattern.len())]
}

/// The length of the first item of the pattern, when it fits the byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', set @ ..] => class(set, byte).and_then(|(length, fits)| fits.then_some(length + 1)),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// The length of a set with its closing bracket, and whether the byte is in it. A set without an end fits
/// nothing.
fn class(set: &[u8], byte: u8) -> Option<(usize, bool)> {
    let not = set.first() == Some(&b'^');
    let (mut at, mut found) = (usize::from(not), false);
    loop {
        match &set[at..] {
            [] => return None,
            [b']', ..] => return Some((at + 1, found != not)),
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [from, b'-', to, ..] if *to != b']' => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
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
            ("[", &[], &["[", ""]),
            ("", &[""], &["a"]),
        ] {
            for text in fitting {
                assert!(fits(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
            for text in others {
                assert!(!fits(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
        }
        assert_eq!(prefix(b"user:*"), b"user:");
        assert_eq!(prefix(b"us\\er"), b"us");
    }

    #[test]
    fn a_pattern_of_stars_takes_no_time() {
        let pattern = "*a".repeat(2000);
        assert!(!fits(pattern.as_bytes(), "a".repeat(1999).as_bytes()));
    }
}
