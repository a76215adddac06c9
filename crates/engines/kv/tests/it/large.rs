//! Values that are too large for a row.

use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_datasets::{CollectOptions, Condemned, Datasets, Store as _};
use cairn_env::Env;
use cairn_kv::{
    At, Committed, Error, KeyRange, Kv, LARGE_BYTES_MAX, Namespace, Only, Pieces, Put, Scan, Seq,
    Settings, Store, Swept, What, large_size, limits,
};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{namespace, opened};

const MIB: usize = 1 << 20;
/// The kind of a limit that was passed.
const TOO_LARGE: ErrorKind = ErrorKind::Invalid;
const HOUR: Duration = Duration::from_secs(3600);

/// Runs on one thread whose time moves only when every task waits.
fn simulate(test: impl AsyncFnOnce(Env, Kv, Datasets)) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let env = Env::simulated(5);
        let (kv, datasets) = opened(&env).await;
        test(env, kv, datasets).await;
    });
}

/// Bytes that no chunk shares with those of another seed.
fn content(seed: u8, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn pieces(content: &Bytes) -> Pieces {
    let pieces: Vec<_> = content.chunks(300_000).map(Bytes::copy_from_slice).map(Ok).collect();
    Box::pin(futures::stream::iter(pieces))
}

fn named(key: &'static str) -> Put {
    Put { key: key.into(), ..Put::default() }
}

async fn write(kv: &Kv, of: &Namespace, key: &'static str, content: &Bytes) -> Committed {
    kv.write(of, named(key), None, pieces(content)).await.unwrap()
}

async fn read(kv: &Kv, of: &Namespace, key: &str, at: At) -> Result<Bytes, Error> {
    let value = kv.read(of, key.as_bytes(), at).await?;
    let all: Vec<Bytes> = value.pieces.try_collect().await?;
    let all = Bytes::from(all.concat());
    assert_eq!(all.len() as u64, value.size);
    Ok(all)
}

async fn made(kv: &Kv, history: Duration) -> Namespace {
    let of = namespace("main/files");
    let history_ms = u64::try_from(history.as_millis()).unwrap();
    kv.create(&of, Settings { history_ms, ..Settings::default() }).await.unwrap();
    of
}

/// Collects until nothing is left to collect, and returns how many chunks there are.
async fn collected(datasets: &Datasets) -> u64 {
    let options = CollectOptions {
        grace: Duration::ZERO,
        lease: Duration::ZERO,
        ..CollectOptions::default()
    };
    for _ in 0..3 {
        datasets.env().clock.sleep(Duration::from_secs(1)).await;
        datasets.collect(options).await.unwrap();
    }
    datasets.blocks().usage().chunks
}

async fn verified(datasets: &Datasets) {
    let verified = datasets.verify(std::sync::Arc::new(|_| {})).await.unwrap();
    assert!(verified.blocks.findings.is_empty(), "{:?}", verified.blocks.findings);
}

#[test]
fn large_values_are_read_as_they_were_written() {
    simulate(async |_, kv, datasets| {
        let of = made(&kv, HOUR).await;
        for (size, large) in [(0, false), (4 * MIB, false), (4 * MIB + 1, true), (9 * MIB, true)] {
            let content = content(1, size);
            let Committed { seq } = write(&kv, &of, "k", &content).await;
            assert_eq!(read(&kv, &of, "k", At::Durable).await.unwrap(), content);
            let entry = kv.get(&of, b"k", At::Durable).await.unwrap().unwrap();
            assert_eq!(large_size(&entry), large.then_some(size as u64));
            let page = kv.scan(&of, &Scan::of(KeyRange::all())).await.unwrap();
            assert_eq!(page.entries.as_slice(), std::slice::from_ref(&entry));
            let mut follow = kv.follow(&of, KeyRange::all(), Some(Seq(seq.0 - 1))).await.unwrap();
            let told = follow.next(Duration::ZERO).await.unwrap().changes;
            assert_eq!(told[0].what, What::Put(entry.clone()));
            if large {
                assert!(entry.value.is_empty());
                for range in [0..1, 5..5_000_000.min(size as u64), size as u64 - 1..size as u64] {
                    let part = kv.large(&of, &entry, range.clone()).await.unwrap();
                    let part: Vec<Bytes> = part.try_collect().await.unwrap();
                    let at = |place: u64| usize::try_from(place).unwrap();
                    let (from, to) = (at(range.start), at(range.end));
                    assert_eq!(part.concat(), content[from..to]);
                }
                let error = Store::get(&kv, &of, b"k", At::Durable).await.unwrap_err();
                assert!(matches!(error, Error::Large { size: told, .. } if told == size as u64));
            }
        }
        let touched = kv.touch(&of, b"k", Some(HOUR)).await.unwrap();
        let entry = kv.get(&of, b"k", At::Seq(touched.seq)).await.unwrap().unwrap();
        assert_eq!((large_size(&entry), entry.expires_ms), (Some(9 << 20), touched.expires_ms));
        verified(&datasets).await;
    });
}

#[test]
fn what_cannot_be_put_leaves_nothing() {
    simulate(async |_, kv, datasets| {
        let of = made(&kv, HOUR).await;
        let bytes = content(2, 5 * MIB);
        let kind = async |put: Put, size, pieces| {
            kv.write(&of, put, size, pieces).await.unwrap_err().kind()
        };
        let too_large = kind(named("k"), Some(LARGE_BYTES_MAX + 1), pieces(&bytes)).await;
        assert_eq!(too_large, TOO_LARGE);
        let put = Put { only: Only::Seq(Seq(9)), ..named("k") };
        assert_eq!(kind(put, None, pieces(&bytes)).await, ErrorKind::Conflict);
        let broken = futures::stream::iter([Err(Error::Remote {
            kind: ErrorKind::Closed,
            message: "the client went away".to_owned(),
        })]);
        let broken = Box::pin(pieces(&bytes).chain(broken));
        assert_eq!(kind(named("k"), None, broken).await, ErrorKind::Closed);
        let none = kv.write(&namespace("main/none"), named("k"), None, pieces(&bytes)).await;
        assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(kind(named(""), None, pieces(&bytes)).await, ErrorKind::Invalid);
        // A condition that ceases to hold while the value comes.
        let (raced, late) = (kv.clone(), of.clone());
        let stream = pieces(&bytes).chain(futures::stream::once(async move {
            raced
                .put(&late, Put { value: "first".into(), ..named("k") })
                .await
                .map(|_| Bytes::new())
        }));
        let put = Put { only: Only::Absent, ..named("k") };
        assert_eq!(kind(put, None, Box::pin(stream)).await, ErrorKind::Conflict);
        assert_eq!(read(&kv, &of, "k", At::Durable).await.unwrap(), "first");
        assert_eq!(datasets.pins().await.unwrap(), []);
        datasets.blocks().refresh().await.unwrap();
        assert_eq!(datasets.blocks().usage().sessions, 0);
    });
}

/// KV-5, BLOCKS-4: collections while a value comes, and between its parts, take nothing of it.
#[test]
fn kv_5_a_collection_while_a_value_is_written_keeps_it() {
    simulate(async |_, kv, datasets| {
        let of = made(&kv, HOUR).await;
        let all = content(3, 40 * MIB);
        let collector = datasets.clone();
        let stream = pieces(&all).enumerate().then(move |(number, piece)| {
            let datasets = collector.clone();
            async move {
                if number % 40 == 20 {
                    let options =
                        CollectOptions { grace: Duration::ZERO, ..CollectOptions::default() };
                    datasets.collect(options).await.unwrap();
                }
                piece
            }
        });
        kv.write(&of, named("k"), Some(all.len() as u64), Box::pin(stream)).await.unwrap();
        assert!(collected(&datasets).await > 0);
        assert_eq!(read(&kv, &of, "k", At::Durable).await.unwrap(), all);
        verified(&datasets).await;
    });
}

/// KV-5: what took its place does not end it before the window does; then its chunks go.
#[test]
fn kv_5_an_overwritten_value_is_read_until_the_window_is_over() {
    simulate(async |env, kv, datasets| {
        let of = made(&kv, 4 * HOUR).await;
        let (old, new) = (content(4, 6 * MIB), content(5, 5 * MIB));
        let first = write(&kv, &of, "k", &old).await;
        let both = {
            env.clock.sleep(2 * HOUR).await;
            write(&kv, &of, "k", &new).await;
            collected(&datasets).await
        };
        let kept = |kept, condemned, removed| Swept { kept, condemned, removed };
        assert_eq!(kv.sweep().await.unwrap(), kept(1, 1, 0), "the new one is young");
        for _ in 0..3 {
            env.clock.sleep(HOUR).await;
            assert_eq!(kv.sweep().await.unwrap(), kept(1, 1, 0));
            assert_eq!(collected(&datasets).await, both);
            assert_eq!(read(&kv, &of, "k", At::Seq(first.seq)).await.unwrap(), old);
        }
        env.clock.sleep(2 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap(), kept(1, 0, 1));
        let error = read(&kv, &of, "k", At::Seq(first.seq)).await.unwrap_err();
        assert!(matches!(error, Error::Partition(_)), "{error}");
        assert!(collected(&datasets).await < both);
        assert_eq!(read(&kv, &of, "k", At::Durable).await.unwrap(), new);
        assert_eq!(kv.sweep().await.unwrap(), kept(1, 0, 0));
        verified(&datasets).await;
    });
}

/// KV-5: a deleted key, and one whose time was over, likewise.
#[test]
fn kv_5_deleted_and_expired_values_go() {
    simulate(async |env, kv, datasets| {
        let of = made(&kv, Duration::ZERO).await;
        write(&kv, &of, "deleted", &content(6, 5 * MIB)).await;
        let put = Put { ttl: Some(3 * HOUR), ..named("over") };
        kv.write(&of, put, None, pieces(&content(7, 5 * MIB))).await.unwrap();
        kv.commit(&of, cairn_kv::Commit::new().delete("deleted")).await.unwrap();
        assert_eq!(kv.sweep().await.unwrap().kept, 2, "they are young");
        env.clock.sleep(2 * HOUR).await;
        let swept = kv.sweep().await.unwrap();
        assert_eq!((swept.kept, swept.condemned), (1, 1));
        env.clock.sleep(2 * HOUR).await;
        let swept = kv.sweep().await.unwrap();
        assert_eq!((swept.condemned, swept.removed), (1, 1));
        env.clock.sleep(HOUR).await;
        assert_eq!(kv.sweep().await.unwrap().removed, 1);
        assert_eq!(collected(&datasets).await, 0);
    });
}

/// KV-5: a writer that dies between pin and commit.
#[test]
fn kv_5_a_crash_between_pin_and_commit_leaves_nothing() {
    simulate(async |env, kv, datasets| {
        let of = made(&kv, HOUR).await;
        let dataset =
            cairn_datasets::Dataset { project: of.project.clone(), name: of.name.clone() };
        for owner in ["key:k", "key:other"] {
            let writer = datasets.pin_begin(&dataset, 5 << 20).await.unwrap();
            let writer = writer.write(&content(8, 5 * MIB)).await.unwrap();
            writer.pin(owner).await.unwrap();
        }
        let value = content(9, 5 * MIB);
        write(&kv, &of, "k", &value).await;
        assert_eq!(kv.sweep().await.unwrap().kept, 3, "one might still be committed");
        env.clock.sleep(2 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap().condemned, 2);
        env.clock.sleep(2 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap().removed, 2);
        let left = collected(&datasets).await;
        assert_eq!(read(&kv, &of, "k", At::Durable).await.unwrap(), value);
        kv.remove(&of).await.unwrap();
        assert_eq!(datasets.pins().await.unwrap(), [], "they go with their namespace");
        assert!(left > 0 && collected(&datasets).await == 0);
        // A namespace that was removed while a value came.
        let writer = datasets.pin_begin(&dataset, 5 << 20).await.unwrap();
        writer.write(&value).await.unwrap().pin("key:k").await.unwrap();
        assert_eq!(kv.sweep().await.unwrap().kept, 1);
        env.clock.sleep(2 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap().removed, 1);
    });
}

/// KV-1: a line says that a large value is there, and an import says what to do about it.
#[test]
fn kv_1_an_export_tells_of_a_large_value() {
    simulate(async |_, kv, _| {
        let of = made(&kv, HOUR).await;
        write(&kv, &of, "a", &content(10, limits::VALUE_BYTES_MAX + 1)).await;
        write(&kv, &of, "b", &"small".into()).await;
        let lines = kv.export(&of, KeyRange::all(), At::Durable).await.unwrap();
        let lines: Vec<Bytes> = lines.try_collect().await.unwrap();
        let lines = String::from_utf8(lines.concat()).unwrap();
        let expected = "{\"key\":\"a\",\"size\":4194305}\n{\"key\":\"b\",\"value\":\"small\"}\n";
        assert_eq!(lines, expected);
        let again = Box::pin(futures::stream::iter([Ok(Bytes::from(lines))]));
        let said = kv.import(&of, again).await.unwrap_err().to_string();
        assert!(said.contains("line 1: it stands for a large value, of 4194305 bytes"), "{said}");
    });
}

/// KV-5: a log that was lost may have taken along the states by which pins were condemned.
#[test]
fn kv_5_a_state_that_was_lost_condemns_nothing() {
    simulate(async |env, kv, datasets| {
        let of = made(&kv, HOUR).await;
        let value = content(11, 5 * MIB);
        write(&kv, &of, "k", &value).await;
        env.clock.sleep(2 * HOUR).await;
        let (dataset, id) = datasets.pins().await.unwrap().remove(0);
        let condemn = async |at| {
            let read = datasets.pin(&dataset, id).await.unwrap().unwrap();
            let condemned = Some(Condemned { at, since_ms: 0 });
            datasets.condemn(&dataset, id, read, condemned).await.unwrap();
        };
        let condemned = async || datasets.pin(&dataset, id).await.unwrap().unwrap().0.condemned;
        condemn(1).await;
        assert_eq!(kv.sweep().await.unwrap().kept, 1);
        assert_eq!(condemned().await, None, "its key refers to it");
        kv.commit(&of, cairn_kv::Commit::new().delete("k")).await.unwrap();
        condemn(99).await;
        assert_eq!(kv.sweep().await.unwrap().condemned, 1);
        assert_eq!(condemned().await.unwrap().at, 2, "there is no commit 99");
        assert_eq!(read(&kv, &of, "k", At::Seq(Seq(1))).await.unwrap(), value);
        condemn(1).await;
        assert_eq!(kv.sweep().await.unwrap().condemned, 1);
        assert_eq!(condemned().await.unwrap().at, 2, "commit 1 shows it");
        env.clock.sleep(2 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap().removed, 1);
    });
}

/// KV-5: a clone keeps the large values that it shows, also those of the past, whatever becomes of its
/// source, and lets them go by itself.
#[test]
fn kv_5_a_clone_keeps_its_values() {
    simulate(async |env, kv, datasets| {
        let of = made(&kv, 4 * HOUR).await;
        let (old, new) = (content(12, 6 * MIB), content(13, 5 * MIB));
        let first = write(&kv, &of, "k", &old).await;
        write(&kv, &of, "k", &new).await;
        let clone = Namespace { name: "clone".parse().unwrap(), ..of.clone() };
        let info = kv.clone_to(&of, &clone).await.unwrap();
        assert_eq!((info.name.as_str(), info.history_ms), ("clone", 4 * 3_600_000));
        let again = kv.clone_to(&of, &clone).await.unwrap_err();
        assert!(matches!(again, Error::Exists { .. }), "{again}");
        let elsewhere = Namespace { project: "lab".parse().unwrap(), ..clone.clone() };
        let foreign = kv.clone_to(&of, &elsewhere).await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::Invalid, "{foreign}");
        kv.remove(&of).await.unwrap();
        env.clock.sleep(2 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap(), Swept { kept: 1, condemned: 1, removed: 0 });
        collected(&datasets).await;
        assert_eq!(read(&kv, &clone, "k", At::Durable).await.unwrap(), new);
        assert_eq!(read(&kv, &clone, "k", At::Seq(first.seq)).await.unwrap(), old);
        verified(&datasets).await;
        env.clock.sleep(5 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap().removed, 1);
        kv.remove(&clone).await.unwrap();
        assert_eq!(datasets.pins().await.unwrap(), []);
        assert_eq!(collected(&datasets).await, 0);
    });
}

/// KV-5: a namespace of which nothing says that it ever was loses nothing.
#[test]
fn kv_5_a_missing_record_takes_nothing_along() {
    simulate(async |env, kv, datasets| {
        let of = namespace("main/unknown");
        let dataset =
            cairn_datasets::Dataset { project: of.project.clone(), name: of.name.clone() };
        let writer = datasets.pin_begin(&dataset, 5 << 20).await.unwrap();
        writer.write(&content(14, 5 * MIB)).await.unwrap().pin("key:k").await.unwrap();
        env.clock.sleep(24 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap(), Swept::default());
        assert_eq!(datasets.pins().await.unwrap().len(), 1);
    });
}

/// KV-5: a namespace that is removed and cloned anew again and again keeps what the clone shows, however
/// late the end of its removal comes.
#[test]
fn kv_5_a_name_that_is_cloned_again() {
    simulate(async |env, kv, datasets| {
        let of = made(&kv, Duration::ZERO).await;
        let value = content(15, 5 * MIB);
        write(&kv, &of, "k", &value).await;
        let clone = Namespace { name: "clone".parse().unwrap(), ..of.clone() };
        for _ in 0..3 {
            kv.clone_to(&of, &clone).await.unwrap();
            let pins = datasets.pins().await.unwrap();
            assert_eq!(pins.len(), 2, "each has its own");
            kv.remove(&clone).await.unwrap();
        }
        kv.clone_to(&of, &clone).await.unwrap();
        kv.remove(&of).await.unwrap();
        env.clock.sleep(2 * HOUR).await;
        assert_eq!(kv.sweep().await.unwrap().kept, 1);
        collected(&datasets).await;
        assert_eq!(read(&kv, &clone, "k", At::Durable).await.unwrap(), value);
        let error = kv.clone_to(&of, &clone).await.unwrap_err();
        assert!(matches!(error, Error::NoNamespace { .. }), "{error}");
        assert_eq!(read(&kv, &clone, "k", At::Durable).await.unwrap(), value);
    });
}
