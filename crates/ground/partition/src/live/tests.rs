use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_bucket::Bucket;
use cairn_env::Env;
use futures::future::BoxFuture;
use slatedb::Db;

use super::*;
use crate::view::{self, BlockCache, Clock, rows};

struct Always;
impl Ownership for Always {
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
    fn used(&self) {}
    fn shipped(&self) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

async fn live(env: &Env) -> Live {
    let bucket = Bucket::memory(env);
    let mut settings = slatedb::Settings::default();
    settings.flush_interval = Some(Duration::from_millis(1));
    let db = Db::builder("p", bucket.store())
        .with_settings(settings)
        .with_db_cache(Arc::new(BlockCache::new(512 << 20)), 1)
        .with_system_clock(Arc::new(Clock(env.clone())))
        .with_filter_policies(vec![view::filters()])
        .build()
        .await
        .unwrap();
    let opening = Opening {
        name: Name::new("kv/main/a").unwrap(),
        id: PartitionId([1; 16]),
        settings: Settings::default(),
        view: View { db },
        horizon: Horizon::default(),
        warm: (Arc::new(Warm::new(256 << 20)), 1),
        ownership: Arc::new(Always),
        commit_wait: Duration::from_secs(30),
        env: env.clone(),
    };
    Live::start(opening).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn spike() {
    let env = Env::real();
    let live = Arc::new(live(&env).await);
    let n = 1_000_000u64;
    let key = |i: u64| format!("key-{:020}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes();
    let t = Instant::now();
    let mut at = 0;
    while at < n {
        let mut c = Commit::new();
        for i in at..at + 1000 {
            c = c.put(key(i), vec![7u8; 128]);
        }
        at += 1000;
        live.commit(c).await.unwrap();
    }
    println!("load {:?}", t.elapsed());
    for round in 0..2 {
        let t = Instant::now();
        for i in 0..100_000u64 {
            let k = key(i.wrapping_mul(7919) % n);
            assert!(live.get(&k, At::Durable).await.unwrap().is_some());
        }
        println!("get {round} {:?} each", t.elapsed() / 100_000);
        let t = Instant::now();
        for i in 0..100_000u64 {
            let k = rows::version_key(
                &key(i.wrapping_mul(7919) % n),
                Seq((i.wrapping_mul(7919) % n) / 1000 + 1),
            );
            assert!(live.shared.view.row(&k).await.unwrap().is_some());
        }
        println!("raw get {round} {:?} each", t.elapsed() / 100_000);
        let t = Instant::now();
        for i in 0..1000u64 {
            let mut s = Scan::of(crate::KeyRange { from: key(i).into(), to: None });
            s.limit = 100;
            live.scan(&s).await.unwrap();
        }
        println!("scan100 {round} {:?} each", t.elapsed() / 1000);
        live.shared
            .view
            .db
            .flush_with_options(slatedb::config::FlushOptions {
                flush_type: slatedb::config::FlushType::MemTable,
            })
            .await
            .unwrap();
    }
    for clients in [1, 32, 256] {
        let t = Instant::now();
        let mut tasks = vec![];
        for c in 0..clients {
            let live = Arc::clone(&live);
            tasks.push(tokio::spawn(async move {
                let mut k = 0;
                while t.elapsed() < Duration::from_secs(3) {
                    live.commit(Commit::new().put(format!("{c}-{k}"), vec![1u8; 128]))
                        .await
                        .unwrap();
                    k += 1;
                }
                k
            }));
        }
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        println!("{clients} clients {}/s", sum / 3);
    }
}
