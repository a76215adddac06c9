//! The words of a command, read one after the other.

use bytes::Bytes;

use crate::error::Error;

/// Words that are not read yet.
pub(crate) struct Words<'a>(pub(crate) &'a [Bytes]);

impl<'a> Words<'a> {
    /// Those behind the name of a command.
    pub(crate) fn of(command: &'a [Bytes]) -> Self {
        Self(command.get(1..).unwrap_or_default())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that are left.
    pub(crate) fn rest(&self) -> &'a [Bytes] {
        self.0
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Result<&'a Bytes, Error> {
        self.maybe().ok_or_else(Error::syntax)
    }

    /// The next one, if there is one.
    pub(crate) fn maybe(&mut self) -> Option<&'a Bytes> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next one as a number.
    pub(crate) fn number(&mut self) -> Result<i64, Error> {
        number(self.next()?)
    }

    /// The next one in lower case, as names of options are read; cut where no option is that long.
    pub(crate) fn option(&mut self) -> Option<String> {
        self.maybe().map(|word| name(word))
    }
}

/// A name of a command or an option, in lower case; cut where none is that long.
pub(crate) fn name(word: &[u8]) -> String {
    let seen = &word[..word.len().min(32)];
    String::from_utf8_lossy(seen).to_ascii_lowercase()
}

/// A number as Redis writes it: no sign but a minus, no leading zeros.
pub(crate) fn number(word: &[u8]) -> Result<i64, Error> {
    let text = std::str::from_utf8(word).map_err(|_| Error::no_integer())?;
    let number: i64 = text.parse().map_err(|_| Error::no_integer())?;
    if number.to_string() == text { Ok(number) } else { Err(Error::no_integer()) }
}
