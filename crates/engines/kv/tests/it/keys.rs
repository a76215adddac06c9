use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_kv::{
    At, Commit, Durable, Error, KeyRange, Kv, Namespace, Only, Put, Seq, SettingsChange,
    Store as _, What,
};
use futures::StreamExt as _;

use crate::{made, namespace, simulate};

fn put(key: &str, value: &str) -> Put {
    Put { key: key.to_owned().into(), value: value.to_owned().into(), ..Put::default() }
}

async fn value(kv: &Kv, of: &Namespace, key: &str) -> Option<String> {
    let entry = kv.get(of, key.as_bytes(), At::Durable).await.unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

#[test]
fn namespaces_are_partitions_of_their_own() {
    simulate(1, async |_, kv| {
        let carts = made(&kv, "main/carts").await;
        let other = made(&kv, "lab/carts").await;
        kv.put(&carts, put("a", "here")).await.unwrap();
        assert_eq!(value(&kv, &other, "a").await, None);
        assert_eq!(kv.list(&"main".parse().unwrap()).await.unwrap(), std::slice::from_ref(&carts));
        assert_eq!(kv.list(&"mai".parse().unwrap()).await.unwrap(), []);
        let twice = kv.create(&carts, cairn_kv::Settings::default()).await.unwrap_err();
        assert!(matches!(twice, Error::Exists { .. }), "{twice}");
        let upper = kv.create(&namespace("main/Carts"), cairn_kv::Settings::default()).await;
        assert!(matches!(upper.unwrap_err(), Error::Name { .. }));
        let change = SettingsChange { history_ms: Some(5000), ..SettingsChange::default() };
        let info = kv.change(&carts, change).await.unwrap();
        assert_eq!((info.durable, info.history_ms), (Durable::Log, 5000));
        let long = SettingsChange { history_ms: Some(u64::MAX), ..SettingsChange::default() };
        assert_eq!(kv.change(&carts, long).await.unwrap_err().kind(), ErrorKind::Invalid);
        kv.remove(&carts).await.unwrap();
        let gone = kv.get(&carts, b"a", At::Durable).await.unwrap_err();
        assert!(matches!(&gone, Error::NoNamespace { .. }), "{gone}");
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_swap_fails_when_somebody_was_faster() {
    simulate(2, async |_, kv| {
        let of = made(&kv, "main/carts").await;
        let absent = Put { only: Only::Absent, ..put("a", "1") };
        let first = kv.put(&of, absent.clone()).await.unwrap().seq;
        let refused = kv.put(&of, absent).await.unwrap_err();
        assert_eq!((refused.kind(), refused.found()), (ErrorKind::Conflict, Some(Some(first))));
        kv.put(&of, Put { only: Only::Seq(first), ..put("a", "2") }).await.unwrap();
        let late = kv.put(&of, Put { only: Only::Seq(first), ..put("a", "3") }).await;
        assert!(late.unwrap_err().found().is_some());
        assert_eq!(value(&kv, &of, "a").await.as_deref(), Some("2"));
    });
}

#[test]
fn a_key_ends_at_its_time_and_lives_longer_when_touched() {
    simulate(3, async |env, kv| {
        let of = made(&kv, "main/carts").await;
        let minute = Duration::from_secs(60);
        for key in ["short", "long", "ever"] {
            kv.put(&of, Put { ttl: Some(minute), ..put(key, key) }).await.unwrap();
        }
        env.clock.sleep(Duration::from_secs(50)).await;
        kv.touch(&of, b"long", Some(minute)).await.unwrap();
        assert_eq!(kv.touch(&of, b"ever", None).await.unwrap().expires_ms, None);
        env.clock.sleep(Duration::from_secs(20)).await;
        assert_eq!(value(&kv, &of, "short").await, None);
        assert_eq!(value(&kv, &of, "long").await.as_deref(), Some("long"));
        env.clock.sleep(minute).await;
        assert_eq!(value(&kv, &of, "long").await, None);
        assert_eq!(value(&kv, &of, "ever").await.as_deref(), Some("ever"));
        let gone = kv.touch(&of, b"long", None).await.unwrap_err();
        assert!(matches!(gone, Error::NoKey { .. }), "{gone}");
        for wrong in [Duration::ZERO, Duration::from_nanos(5), Duration::MAX] {
            let refused = kv.touch(&of, b"ever", Some(wrong)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{wrong:?}");
        }
    });
}

/// KV-3: a watch tells every commit once and in order, of its range alone, and says when it cannot.
#[test]
fn kv_3_a_watch_has_no_gaps() {
    simulate(4, async |env, kv| {
        let of = made(&kv, "main/carts").await;
        let writer = async {
            for number in 0..200_u32 {
                let commit = Commit::new()
                    .put(format!("a{number}"), "v")
                    .put(format!("b{number}"), "v")
                    .delete(format!("a{}", number / 2));
                kv.commit(&of, commit).await.unwrap();
                env.clock.sleep(Duration::from_millis(u64::from(number % 7))).await;
            }
        };
        let watcher = async {
            let mut told = Vec::new();
            let mut watch = kv.watch(&of, KeyRange::prefix("b"), Some(Seq(0))).await.unwrap();
            while told.len() < 200 {
                for change in watch.next().await.unwrap().unwrap().changes {
                    let What::Put(entry) = change.what else { panic!("{change:?}") };
                    assert_eq!(entry.key, format!("b{}", told.len()));
                    told.push(change.seq);
                }
            }
            told
        };
        let ((), told) = futures::join!(writer, watcher);
        assert!(told.windows(2).all(|two| two[0] < two[1]));
        kv.change(&of, SettingsChange { history_ms: Some(0), ..SettingsChange::default() })
            .await
            .unwrap();
        env.clock.sleep(Duration::from_secs(5)).await;
        let gone = kv.watch(&of, KeyRange::all(), Some(Seq(0))).await.err().unwrap();
        assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
    });
}
