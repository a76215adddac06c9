use std::time::Duration;

use cairn_bucket::Plain;

use super::*;
use crate::log::RealDisk;
use crate::{At, Commit};

async fn node(bucket: &Bucket, dir: &std::path::Path, env: &Env) -> Node {
    let disk = Arc::new(RealDisk::open(dir).unwrap());
    let options = NodeOptions { boot: String::from("b"), ..NodeOptions::default() };
    Node::open(bucket.clone(), Arc::new(Plain), disk, options, env).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let env = Env::real();
    let bucket = Bucket::memory(&env);
    let dir = tempfile::tempdir().unwrap();
    let name = Name::new("kv/main/a").unwrap();
    let first = node(&bucket, dir.path(), &env).await;
    let made = first.create(&name, Settings::default()).await.unwrap();
    for i in 0..100u64 {
        made.commit(Commit::new().put(format!("k{i}"), format!("v{i}"))).await.unwrap();
    }
    assert_eq!(made.get(b"k7", At::Durable).await.unwrap().unwrap().value, "v7");
    // Gone without a word.
    first.shared.log.poison(Error::Busy { why: String::from("crash") });
    drop(made);
    first.shared.closing.store(true, Ordering::Release);
    first.shared.log.close().await.ok();
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = node(&bucket, dir.path(), &env).await;
    let found = second.open(&name).await.unwrap();
    for i in 0..100u64 {
        let entry = found.get(format!("k{i}").as_bytes(), At::Durable).await.unwrap().unwrap();
        assert_eq!(entry.value, format!("v{i}"));
    }
    second.close().await.unwrap();
    let third = node(&bucket, dir.path(), &env).await;
    let found = third.open(&name).await.unwrap();
    assert_eq!(found.status().newest.0, 100);
    assert_eq!(third.list("kv/main").await.unwrap(), [name]);
}
