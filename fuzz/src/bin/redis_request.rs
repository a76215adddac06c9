//! What clients of Redis send: however the bytes are cut, the commands are the same, and a command that was read
//! is read again from what it is written as.

#![no_main]

use bytes::{Bytes, BytesMut};
use cairn_redis::{Reader, Unreadable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    for known in [false, true] {
        let whole = read(known, bytes, bytes.len().max(1));
        assert_eq!(read(known, bytes, usize::from(*cut).max(1)), whole);
        let Ok(commands) = whole else { continue };
        let written: Vec<u8> = commands.iter().flat_map(|words| written(words)).collect();
        assert_eq!(read(true, &written, written.len().max(1)), Ok(commands));
    }
});

fn read(known: bool, bytes: &[u8], piece: usize) -> Result<Vec<Vec<Bytes>>, Unreadable> {
    let (mut reader, mut from) = (Reader::default(), BytesMut::new());
    reader.lets_in(known);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece) {
        from.extend_from_slice(piece);
        while let Some(words) = reader.next(&mut from)? {
            assert!(!words.is_empty());
            found.push(words);
        }
        assert!(reader.held() <= cairn_redis::limits::REQUEST_BYTES_MAX);
    }
    Ok(found)
}

fn written(words: &[Bytes]) -> Vec<u8> {
    let mut all = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        all.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        all.extend_from_slice(word);
        all.extend_from_slice(b"\r\n");
    }
    all
}
