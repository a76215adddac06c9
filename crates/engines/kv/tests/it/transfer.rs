use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_kv::{
    At, Commit, Entry, Error, KeyRange, Kv, Lines, Namespace, Pieces, Seq, decode, encode,
};
use futures::{StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;

use crate::{made, simulate};

fn pieces(all: &[u8], size: usize) -> Pieces {
    let pieces: Vec<_> = all.chunks(size.max(1)).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    Box::pin(futures::stream::iter(pieces))
}

async fn exported(kv: &Kv, of: &Namespace) -> Vec<u8> {
    let pieces = kv.export(of, KeyRange::all(), At::Durable).await.unwrap();
    let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
    pieces.concat()
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let key = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..20),
        "\\PC{1,8}".prop_map(String::into_bytes),
    ];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        ".{0,30}".prop_map(String::into_bytes),
    ];
    // Far enough ahead of the simulated clock.
    let expires_ms = prop::option::of(2_000_000_000_000..u64::MAX);
    (key, value, expires_ms).prop_map(|(key, value, expires_ms)| Entry {
        key: key.into(),
        value: value.into(),
        reference: None,
        seq: Seq(1),
        expires_ms,
    })
}

proptest! {
    #[test]
    fn every_entry_is_its_line(entry in any_entry()) {
        let mut line = Vec::new();
        encode(&entry, &mut line);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let (key, value, expires_ms) = decode(&line).unwrap();
        prop_assert_eq!((key, value, expires_ms), (entry.key, entry.value, entry.expires_ms));
    }

    /// KV-1: what is exported gives the same entries elsewhere, however its bytes are cut, and also twice.
    #[test]
    fn kv_1_an_export_gives_the_same_entries(
        entries in prop::collection::vec(any_entry(), 0..60),
        size in 1..5000_usize,
    ) {
        simulate(1, async |_, kv| {
            let (from, to) = (made(&kv, "main/from").await, made(&kv, "main/to").await);
            let mut model = BTreeMap::new();
            let mut commit = Commit::new();
            for Entry { key, value, expires_ms, .. } in &entries {
                model.insert(key.clone(), (value.clone(), *expires_ms));
                commit = match expires_ms {
                    Some(ms) => commit.put_until(key.clone(), value.clone(), *ms),
                    None => commit.put(key.clone(), value.clone()),
                };
            }
            kv.commit(&from, commit).await.unwrap();
            let lines = exported(&kv, &from).await;
            for _ in 0..2 {
                let done = kv.import(&to, pieces(&lines, size)).await.unwrap();
                assert_eq!(done.entries, model.len() as u64);
            }
            assert_eq!(exported(&kv, &to).await, lines);
            let page = kv.scan(&to, &cairn_kv::Scan::of(KeyRange::all())).await.unwrap();
            let found: BTreeMap<_, _> =
                page.entries.into_iter().map(|e| (e.key, (e.value, e.expires_ms))).collect();
            assert_eq!(found, model);
        });
    }

    /// KV-4: whatever the bytes, an import ends in entries or in an error, and what it says is in is in.
    #[test]
    fn kv_4_hostile_lines_end_in_an_error(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "(\\{\"key\":\"[a-c]\",\"value\":\"x\"(,\"expires_ms\":[0-9]{1,21})?\\}|\n|\\{|[ ,\"]){0,12}"
                .prop_map(String::into_bytes),
        ],
        size in 1..50_usize,
    ) {
        simulate(2, async |_, kv| {
            let of = made(&kv, "main/to").await;
            let done = kv.import(&of, pieces(&text, size)).await;
            let before = match done {
                Ok(done) => done.entries,
                Err(Error::Line { line, entries, .. }) => {
                    assert!(line >= 1 && line <= 1 + text.iter().filter(|b| **b == b'\n').count() as u64);
                    entries
                }
                Err(other) => panic!("{other}"),
            };
            assert!(before <= text.len() as u64);
            let seq = kv.status(&of).await.unwrap().seq;
            assert!((before > 0) == (seq > Seq(0)));
        });
    }

    #[test]
    fn lines_do_not_depend_on_how_bytes_come(
        text in "([a-z]{0,9}\n){0,9}[a-z]{0,5}",
        size in 1..20_usize,
    ) {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            lines.push(piece);
            while let Some(line) = lines.next_line().unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        found.push(String::from_utf8(lines.last().to_vec()).unwrap());
        let expected: Vec<_> = text.split('\n').map(str::to_owned).collect();
        prop_assert_eq!(found, expected);
    }
}

/// KV-4: a line that never ends is refused before it fills the memory.
#[test]
fn kv_4_a_line_without_an_end_is_refused() {
    simulate(3, async |_, kv| {
        let of = made(&kv, "main/to").await;
        let head = Ok(Bytes::from_static(b"{\"key\":\"a\",\"value\":\"1\"}\n"));
        let endless = futures::stream::repeat_with(|| Ok(Bytes::from(vec![b'x'; 1 << 20])));
        let lines = futures::stream::iter([head]).chain(endless);
        let refused = kv.import(&of, Box::pin(lines)).await.unwrap_err();
        assert!(matches!(refused, Error::Line { line: 2, entries: 1, .. }), "{refused}");
    });
}

/// KV-1: what changes while an export is read is not in it.
#[test]
fn kv_1_an_export_is_of_one_state() {
    simulate(4, async |_, kv| {
        let of = made(&kv, "main/from").await;
        let mut commit = Commit::new();
        for number in 0..2500 {
            commit = commit.put(format!("{number:05}"), "before");
        }
        kv.commit(&of, commit).await.unwrap();
        let mut pieces = kv.export(&of, KeyRange::all(), At::Durable).await.unwrap();
        let mut all = pieces.next().await.unwrap().unwrap().to_vec();
        kv.commit(&of, Commit::new().put("02000", "after").delete("02001")).await.unwrap();
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        let text = String::from_utf8(all).unwrap();
        assert_eq!(text.lines().count(), 2500);
        assert!(!text.contains("after"));
    });
}
