//! Events of a WebSocket as they are in the bodies of requests and answers: the encoding of "WebSocket-over-HTTP", as
//! published with Pushpin: `TYPE[ LENGTH]\r\n[CONTENT\r\n]`, the length in hexadecimal.

use axum::body::Bytes;

/// The media type of such a body.
pub(crate) const MEDIA_TYPE: &str = "application/websocket-events";
/// Bytes of all events of a body.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// Events of a body.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Bytes of a line that says what an event is.
const LINE_BYTES_MAX: usize = 32;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The client asks for a socket; the function gives it.
    Open,
    /// A message of text.
    Text(String),
    /// A message of bytes.
    Binary(Bytes),
    /// A ping for the client; what it answers, and its own pings, stay at this door.
    Ping(Bytes),
    /// A pong that nobody asked for.
    Pong(Bytes),
    /// The end, with a code and a reason where there was one.
    Close(Option<(u16, String)>),
    /// The client is gone without an end.
    Disconnect,
}

/// Events as a body.
pub(crate) fn encoded(events: &[Event]) -> Vec<u8> {
    let mut body = Vec::new();
    for event in events {
        match event {
            Event::Open => body.extend_from_slice(b"OPEN\r\n"),
            Event::Text(text) => put(&mut body, "TEXT", text.as_bytes()),
            Event::Binary(bytes) => put(&mut body, "BINARY", bytes),
            Event::Ping(bytes) => put(&mut body, "PING", bytes),
            Event::Pong(bytes) => put(&mut body, "PONG", bytes),
            Event::Close(None) => body.extend_from_slice(b"CLOSE\r\n"),
            Event::Close(Some((code, reason))) => {
                put(&mut body, "CLOSE", &[&code.to_be_bytes()[..], reason.as_bytes()].concat());
            }
            Event::Disconnect => body.extend_from_slice(b"DISCONNECT\r\n"),
        }
    }
    body
}

fn put(body: &mut Vec<u8>, kind: &str, content: &[u8]) {
    body.extend_from_slice(format!("{kind} {:x}\r\n", content.len()).as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n");
}

/// The events of a body; why it is none.
pub(crate) fn decoded(body: &Bytes) -> Result<Vec<Event>, &'static str> {
    let mut events = Vec::new();
    let mut at = 0;
    while at < body.len() {
        if events.len() == EVENTS_MAX {
            return Err("answers with too many events for a WebSocket");
        }
        let (event, next) = one(body, at).ok_or("answers with what are no WebSocket events")?;
        events.push(event);
        at = next;
    }
    Ok(events)
}

/// The event that begins at a place, and where the next one does.
fn one(body: &Bytes, at: usize) -> Option<(Event, usize)> {
    let rest = &body[at..];
    let line = rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\r')?;
    let begin = at + line + 2;
    if rest.get(line + 1) != Some(&b'\n') {
        return None;
    }
    let line = std::str::from_utf8(&rest[..line]).ok()?;
    let (kind, len) = match line.split_once(' ') {
        Some((kind, len)) => (kind, Some(hexadecimal(len)?)),
        None => (line, None),
    };
    let end = begin.checked_add(len.unwrap_or(0))?;
    let content = body.get(begin..end).map(|_| body.slice(begin..end))?;
    let next = if len.is_some() { end + 2 } else { end };
    if len.is_some() && body.get(end..next) != Some(&b"\r\n"[..]) {
        return None;
    }
    let event = match kind {
        "OPEN" => Event::Open,
        "TEXT" => Event::Text(String::from_utf8(content.to_vec()).ok()?),
        "BINARY" => Event::Binary(content),
        "PING" => Event::Ping(content),
        "PONG" => Event::Pong(content),
        "CLOSE" if content.is_empty() => Event::Close(None),
        "CLOSE" => {
            let (code, reason) = content.split_first_chunk::<2>()?;
            let reason = std::str::from_utf8(reason).ok()?.to_owned();
            Event::Close(Some((u16::from_be_bytes(*code), reason)))
        }
        "DISCONNECT" => Event::Disconnect,
        _ => return None,
    };
    Some((event, next))
}

/// Digits only: no sign, as `from_str_radix` would take.
fn hexadecimal(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { usize::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documented_examples() {
        let body =
            Bytes::from_static(b"OPEN\r\nTEXT 5\r\nhello\r\nTEXT 0\r\n\r\nCLOSE 2\r\n\x03\xe8\r\n");
        let events = decoded(&body).unwrap();
        let text = |text: &str| Event::Text(text.to_owned());
        let close = Event::Close(Some((1000, String::new())));
        assert_eq!(events, [Event::Open, text("hello"), text(""), close]);
        assert_eq!(encoded(&events), body);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let wrong: [&[u8]; 10] = [
            b"hello",
            b"OPEN",
            b"OPEN\n",
            b"TEXT 5\r\nhell",
            b"TEXT 5\r\nhelloXX",
            b"TEXT +5\r\nhello\r\n",
            b"TEXT ffffffffffffffff\r\nhello\r\n",
            b"TEXT 1\r\n\xff\r\n",
            b"CLOSE 1\r\nx\r\n",
            b"open\r\n",
        ];
        for body in wrong {
            assert!(decoded(&Bytes::from_static(body)).is_err(), "{body:?}");
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        prop_oneof![
            Just(Event::Open),
            Just(Event::Disconnect),
            any::<String>().prop_map(Event::Text),
            bytes().prop_map(Event::Binary),
            bytes().prop_map(Event::Ping),
            bytes().prop_map(Event::Pong),
            prop::option::of((any::<u16>(), any::<String>())).prop_map(Event::Close),
        ]
    }

    proptest! {
        #[test]
        fn events_come_back(events in prop::collection::vec(event(), 0..8)) {
            prop_assert_eq!(decoded(&encoded(&events).into()).unwrap(), events);
        }

        #[test]
        fn hostile_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(decoded(&body.into()));
        }
    }
}
