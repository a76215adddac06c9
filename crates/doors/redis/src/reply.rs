//! What a client is answered, in the two forms of the protocol.

use std::io::Write as _;

use bytes::Bytes;

/// The protocol that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// RESP2, with which every connection begins.
    #[default]
    Two,
    /// RESP3, after `HELLO 3`.
    Three,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A word of the protocol.
    Word(&'static str),
    /// A code in capitals, and a text for people.
    Error(String),
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Bytes),
    /// Nothing where bytes would be.
    Nothing,
    /// Nothing where a list would be.
    NoList,
    /// A list.
    List(Vec<Self>),
    /// Names with what they stand for.
    Map(Vec<(&'static str, Self)>),
}

/// Done, with nothing to tell.
pub(crate) const OK: Reply = Reply::Word("OK");

impl Reply {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bytes(Bytes::from(text.into()))
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn maybe(value: Option<Bytes>) -> Self {
        value.map_or(Self::Nothing, Self::Bytes)
    }

    /// Appends it.
    pub(crate) fn write(&self, protocol: Protocol, out: &mut Vec<u8>) {
        let three = protocol == Protocol::Three;
        match self {
            Self::Word(word) => line(out, b'+', word),
            // A line is a line whatever is in a name that it tells.
            Self::Error(text) => line(out, b'-', &text.replace(['\r', '\n'], " ")),
            Self::Number(number) => length(out, b':', *number),
            Self::Bytes(bytes) => {
                length(out, b'$', bytes.len());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Nothing | Self::NoList if three => out.extend_from_slice(b"_\r\n"),
            Self::Nothing => out.extend_from_slice(b"$-1\r\n"),
            Self::NoList => out.extend_from_slice(b"*-1\r\n"),
            Self::List(list) => {
                length(out, b'*', list.len());
                list.iter().for_each(|one| one.write(protocol, out));
            }
            Self::Map(map) => {
                length(out, if three { b'%' } else { b'*' }, map.len() * if three { 1 } else { 2 });
                for (name, value) in map {
                    Self::Bytes(Bytes::from_static(name.as_bytes())).write(protocol, out);
                    value.write(protocol, out);
                }
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn length(out: &mut Vec<u8>, kind: u8, number: impl std::fmt::Display) {
    out.push(kind);
    write!(out, "{number}\r\n").expect("a buffer takes all text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_say_the_same() {
        let reply = Reply::List(vec![
            OK,
            Reply::Error("ERR a\r\nb".to_owned()),
            Reply::Number(-1),
            Reply::text("x"),
            Reply::Nothing,
            Reply::NoList,
            Reply::Map(vec![("proto", Reply::Number(3))]),
        ]);
        for (protocol, expected) in [
            (
                Protocol::Two,
                "*7\r\n+OK\r\n-ERR a  b\r\n:-1\r\n$1\r\nx\r\n$-1\r\n*-1\r\n*2\r\n$5\r\nproto\r\n:3\r\n",
            ),
            (
                Protocol::Three,
                "*7\r\n+OK\r\n-ERR a  b\r\n:-1\r\n$1\r\nx\r\n_\r\n_\r\n%1\r\n$5\r\nproto\r\n:3\r\n",
            ),
        ] {
            let mut out = Vec::new();
            reply.write(protocol, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
