//! What a client sends: commands as arrays of bulk strings, or as lines that people type.
//!
//! The protocol is that of <https://redis.io/docs/latest/develop/reference/protocol-spec/>; of its types
//! a client sends no others. A reader keeps what it has of a command that comes in pieces, so that no
//! byte is looked at twice however small the pieces are.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::limits::{
    LINE_BYTES_MAX, REQUEST_BYTES_MAX, STRANGER_BYTES_MAX, STRANGER_WORDS_MAX, WORD_COST_BYTES,
    WORDS_MAX,
};

/// The longest line that tells a length: a sign, 19 digits, and the end of the line.
const LENGTH_LINE_MAX: usize = 23;
/// What ends a line, and a bulk string.
const END: &[u8; 2] = b"\r\n";

/// The bytes are no command: nothing that follows them can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Protocol error: {why}")]
pub struct Unreadable {
    why: &'static str,
}

/// Commands out of bytes.
#[derive(Debug, Default)]
pub struct Reader {
    /// Whether the client is let in: it may send more then.
    known: bool,
    words: Vec<Bytes>,
    /// Words that are still to come.
    left: usize,
    /// The length of the one that comes now.
    length: Option<usize>,
    /// Of the words that are here and the one that comes.
    bytes: usize,
    /// Bytes of a line without an end that were looked at.
    looked: usize,
}

impl Reader {
    /// Whether the client is let in from now on: it may send more then.
    pub fn lets_in(&mut self, known: bool) {
        self.known = known;
    }

    /// The next command, once all of it is here. It has at least one word.
    ///
    /// # Errors
    /// [`Unreadable`]; the reader is not to be used any more.
    pub fn next(&mut self, from: &mut BytesMut) -> Result<Option<Vec<Bytes>>, Unreadable> {
        loop {
            if self.left > 0 {
                if !self.word(from)? {
                    return Ok(None);
                }
                if self.left > 0 {
                    continue;
                }
                self.bytes = 0;
                return Ok(Some(std::mem::take(&mut self.words)));
            }
            match from.first() {
                None => return Ok(None),
                Some(b'*') => match self.length_line(from, "invalid multibulk length")? {
                    None => return Ok(None),
                    // Nothing, as an empty line is.
                    Some(count) if count <= 0 => {}
                    Some(count) => self.begin(count)?,
                },
                Some(_) => match self.line(from)? {
                    None => return Ok(None),
                    Some(words) if words.is_empty() => {}
                    Some(words) => return Ok(Some(words)),
                },
            }
        }
    }

    /// Bytes of the command under way: those that were taken, and those that the word has that comes now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes
    }

    /// Whether it is in the middle of a command.
    pub(crate) fn is_under_way(&self) -> bool {
        self.left > 0
    }

    /// How many bytes the word under way has.
    pub(crate) fn awaited(&self) -> usize {
        self.length.map_or(0, |length| length + END.len())
    }

    fn begin(&mut self, count: i64) -> Result<(), Unreadable> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if !self.known && count > STRANGER_WORDS_MAX {
            return Err(Unreadable { why: "unauthenticated multibulk length" });
        }
        if count > WORDS_MAX {
            return Err(Unreadable { why: "invalid multibulk length" });
        }
        self.left = count;
        Ok(())
    }

    /// Takes the next word; `false` when it is not here.
    fn word(&mut self, from: &mut BytesMut) -> Result<bool, Unreadable> {
        let length = match self.length {
            Some(length) => length,
            None => {
                if from.first().is_some_and(|byte| *byte != b'$') {
                    return Err(Unreadable { why: "expected '$'" });
                }
                let said = self.length_line(from, "invalid bulk length")?;
                let Some(said) = said else { return Ok(false) };
                self.announced(said)?
            }
        };
        let Some(rest) = from.get(length..length + END.len()) else { return Ok(false) };
        if rest != END {
            return Err(Unreadable { why: "a bulk string does not end where it said" });
        }
        // A copy: what keeps one word does not keep all that came with it.
        let word = Bytes::copy_from_slice(&from[..length]);
        from.advance(length + END.len());
        self.words.push(word);
        (self.left, self.length) = (self.left - 1, None);
        Ok(true)
    }

    fn announced(&mut self, said: i64) -> Result<usize, Unreadable> {
        let invalid = Unreadable { why: "invalid bulk length" };
        let length = usize::try_from(said).map_err(|_| invalid.clone())?;
        if !self.known && length > STRANGER_BYTES_MAX {
            return Err(Unreadable { why: "unauthenticated bulk length" });
        }
        self.bytes = self.bytes.saturating_add(length).saturating_add(WORD_COST_BYTES);
        if self.bytes > REQUEST_BYTES_MAX {
            return Err(invalid);
        }
        self.length = Some(length);
        Ok(length)
    }

    /// The number of a line as `*3` or `$5`, which it takes.
    fn length_line(
        &mut self,
        from: &mut BytesMut,
        why: &'static str,
    ) -> Result<Option<i64>, Unreadable> {
        let seen = &from[..from.len().min(LENGTH_LINE_MAX)];
        let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
            let complete = from.len() >= LENGTH_LINE_MAX;
            return if complete { Err(Unreadable { why }) } else { Ok(None) };
        };
        let number = seen[..end].strip_suffix(b"\r").and_then(|line| line.get(1..));
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        from.advance(end + 1);
        number.map(Some).ok_or(Unreadable { why })
    }

    /// The words of a line, which it takes.
    fn line(&mut self, from: &mut BytesMut) -> Result<Option<Vec<Bytes>>, Unreadable> {
        let Some(end) = from[self.looked..].iter().position(|byte| *byte == b'\n') else {
            self.looked = from.len();
            let long = self.looked > LINE_BYTES_MAX;
            return if long { Err(Unreadable { why: "too big inline request" }) } else { Ok(None) };
        };
        let end = self.looked + end;
        self.looked = 0;
        if end > LINE_BYTES_MAX {
            return Err(Unreadable { why: "too big inline request" });
        }
        let line = from.split_to(end + 1);
        let words = line[..].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        Ok(Some(words.map(Bytes::copy_from_slice).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Vec<Bytes>>, Unreadable> {
        in_pieces(&[bytes])
    }

    fn in_pieces(pieces: &[&[u8]]) -> Result<Vec<Vec<Bytes>>, Unreadable> {
        let (mut reader, mut from) = (Reader::default(), BytesMut::new());
        reader.lets_in(true);
        let mut found = Vec::new();
        for piece in pieces {
            from.extend_from_slice(piece);
            while let Some(words) = reader.next(&mut from)? {
                found.push(words);
            }
        }
        Ok(found)
    }

    #[test]
    fn arrays_and_lines_are_commands() {
        let read = all(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n\r\n*0\r\n  SET  k v\n").unwrap();
        let words: Vec<Vec<&[u8]>> =
            read.iter().map(|words| words.iter().map(|word| &word[..]).collect()).collect();
        assert_eq!(
            words,
            [vec![&b"GET"[..], b"a"], vec![&b"PING"[..]], vec![&b"SET"[..], b"k", b"v"],]
        );
    }

    #[test]
    fn what_is_no_command_is_told() {
        for (bytes, why) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*99999999999\r\n", "invalid multibulk length"),
            (b"*1\r\n:1\r\n", "expected '$'"),
            (b"*1\r\n*1\r\n", "expected '$'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$99999999999\r\n", "invalid bulk length"),
            (b"*1\r\n$00000000000000000000000001\r\n", "invalid bulk length"),
            (b"*1\r\n$1\r\nabc\r\n", "a bulk string does not end where it said"),
            (&[b'a'; LINE_BYTES_MAX + 1], "too big inline request"),
        ] {
            assert_eq!(all(bytes).unwrap_err(), Unreadable { why });
        }
    }

    #[test]
    fn redis_1_a_stranger_sends_little() {
        let mut reader = Reader::default();
        let mut next = |bytes: &[u8]| reader.next(&mut BytesMut::from(bytes));
        assert!(next(b"*11\r\n").unwrap_err().to_string().contains("unauthenticated"));
        assert!(next(b"*1\r\n$16385\r\n").unwrap_err().to_string().contains("unauthenticated"));
    }

    fn command() -> impl Strategy<Value = Vec<u8>> {
        let word = proptest::collection::vec(any::<u8>(), 0..20);
        let array = proptest::collection::vec(word, 1..5).prop_map(|words| {
            let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(&word);
                bytes.extend_from_slice(END);
            }
            bytes
        });
        prop_oneof![4 => array, 1 => proptest::collection::vec(any::<u8>(), 0..30)]
    }

    proptest! {
        /// REDIS-1: how the bytes are cut makes no difference, whatever they are.
        #[test]
        fn redis_1_pieces_are_the_same_as_the_whole(
            commands in proptest::collection::vec(command(), 0..6),
            cut in 1_usize..9,
        ) {
            let bytes = commands.concat();
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(in_pieces(&pieces), all(&bytes));
        }
    }
}
