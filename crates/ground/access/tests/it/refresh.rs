use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_access::{Access, Caller, Error, REFRESH_MAX, Role, TokenSpec};
use cairn_base::ErrorKind;
use cairn_bucket::Bucket;
use futures::future::join_all;

use crate::rough::Rough;
use crate::{first, grant, may_read, open, show, simulate, spec};

const TICK: Duration = Duration::from_millis(1);

/// ACCESS-5: at once where it was revoked, within `REFRESH_MAX` everywhere else.
#[test]
fn access_5_a_revoked_token_stops_everywhere() {
    simulate(1, async |env| {
        let bucket = Bucket::memory(&env);
        let (here, _) = first(&bucket, &env).await;
        here.create_principal(&"ci".parse().unwrap()).await.unwrap();
        here.add_grant(&grant("ci", Role::Reader, "*")).await.unwrap();
        let token = here.create_token(spec("ci")).await.unwrap();
        let there = open(&bucket, &env).await.unwrap();
        let caller = show(&there, &token).await.unwrap();

        here.revoke_token(&token.info.id).await.unwrap();
        assert!(matches!(show(&here, &token).await, Err(Error::Unknown)));
        assert!(!may_read(&here, &caller, "a").await);
        env.clock.sleep(REFRESH_MAX + TICK).await;
        assert!(matches!(show(&there, &token).await, Err(Error::Unknown)));
        // Also a connection that was let in before is out, and does not become an anonymous one.
        here.add_grant(&grant("anonymous", Role::Reader, "*")).await.unwrap();
        env.clock.sleep(REFRESH_MAX + TICK).await;
        assert!(may_read(&there, &Caller::Anonymous, "a").await);
        assert!(!may_read(&there, &caller, "a").await);
    });
}

/// ACCESS-5: expiry needs no message.
#[test]
fn access_5_a_token_expires_by_the_clock() {
    simulate(2, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, _) = first(&bucket, &env).await;
        let hour = Duration::from_secs(3600);
        let short = TokenSpec { expires_in: Some(hour), ..spec("root") };
        let token = access.create_token(short.clone()).await.unwrap();
        let caller = show(&access, &token).await.unwrap();
        env.clock.sleep(hour - TICK).await;
        assert!(show(&access, &token).await.is_ok());
        assert!(may_read(&access, &caller, "a").await);
        env.clock.sleep(TICK).await;
        assert!(matches!(show(&access, &token).await, Err(Error::Expired { .. })));
        assert!(!may_read(&access, &caller, "a").await);

        for life in [Duration::ZERO, cairn_access::TOKEN_LIFE_MAX + TICK, Duration::MAX] {
            let spec = TokenSpec { expires_in: Some(life), ..short.clone() };
            assert!(matches!(access.create_token(spec).await, Err(Error::Lifetime)), "{life:?}");
        }
    });
}

/// ACCESS-5: without the bucket there is no decision, neither on the state nor on expiry.
#[test]
fn access_5_nothing_is_decided_on_old_knowledge() {
    simulate(3, async |env| {
        let (store, bucket) = Rough::new(&env, TICK);
        let (access, token) = first(&bucket, &env).await;
        assert!(show(&access, &token).await.is_ok());
        store.down.store(true, Ordering::Relaxed);
        assert!(show(&access, &token).await.is_ok(), "the state is young enough");
        env.clock.sleep(REFRESH_MAX).await;
        let error = show(&access, &token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry);
        assert!(!error.asks_for_credential());
        store.down.store(false, Ordering::Relaxed);
        assert!(show(&access, &token).await.is_ok());
    });
}

#[test]
fn a_state_that_was_deleted_lets_nobody_in() {
    simulate(4, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, token) = first(&bucket, &env).await;
        bucket.delete(cairn_access::STATE_KEY).await.unwrap();
        env.clock.sleep(REFRESH_MAX + TICK).await;
        assert!(matches!(show(&access, &token).await, Err(Error::NotInitialised)));
        assert!(matches!(access.create_token(spec("root")).await, Err(Error::NotInitialised)));
    });
}

/// Many requests cost one read per `REFRESH_MAX`, also when they all come at once.
#[test]
fn many_requests_cause_one_read() {
    simulate(5, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_millis(50));
        let (access, token) = first(&bucket, &env).await;
        access.audit().commit().await.unwrap();
        env.clock.sleep(REFRESH_MAX).await;
        let before = store.read_count.load(Ordering::Relaxed);
        for _ in 0..10 {
            let shown = join_all((0..100).map(|_| show(&access, &token))).await;
            assert!(shown.iter().all(Result::is_ok));
        }
        assert_eq!(store.read_count.load(Ordering::Relaxed), before + 1);
    });
}

/// Who asks all the time never waits: the state is read again while the one before still serves.
#[test]
fn steady_requests_wait_for_no_read() {
    simulate(9, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_millis(50));
        let (access, token) = first(&bucket, &env).await;
        access.audit().commit().await.unwrap();
        assert!(show(&access, &token).await.is_ok());
        let before = store.read_count.load(Ordering::Relaxed);
        for _ in 0..400 {
            env.clock.sleep(TICK * 10).await;
            let asked = env.clock.monotonic();
            assert!(show(&access, &token).await.is_ok());
            assert_eq!(env.clock.monotonic(), asked);
        }
        let reads = store.read_count.load(Ordering::Relaxed) - before;
        assert!((3..=5).contains(&reads), "{reads} reads in 4 s");
    });
}

/// A bucket slower than `REFRESH_MAX` slows requests down, and does not starve them: all who asked
/// before a read began are served by it.
#[test]
fn a_slow_bucket_starves_nobody() {
    simulate(6, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_secs(2));
        let (access, token) = first(&bucket, &env).await;
        access.audit().commit().await.unwrap();
        env.clock.sleep(REFRESH_MAX).await;
        let before = store.read_count.load(Ordering::Relaxed);
        let shown = join_all((0..100).map(|_| show(&access, &token))).await;
        assert!(shown.iter().all(Result::is_ok));
        assert_eq!(store.read_count.load(Ordering::Relaxed), before + 1);
    });
}

/// A request that is dropped while it reads holds up nobody.
#[test]
fn a_dropped_reader_hands_over() {
    simulate(7, async |env| {
        let (_, bucket) = Rough::new(&env, Duration::from_millis(100));
        let (access, token) = first(&bucket, &env).await;
        env.clock.sleep(REFRESH_MAX).await;
        let dropped = tokio::time::timeout(Duration::from_millis(50), show(&access, &token)).await;
        assert!(dropped.is_err());
        assert!(show(&access, &token).await.is_ok());
    });
}

/// A large state is only looked at while nobody changes it, and read when somebody did.
#[test]
fn a_large_state_is_read_when_it_changed() {
    simulate(8, async |env| {
        let bucket = Bucket::memory(&env);
        let (here, _) = first(&bucket, &env).await;
        for index in 0..1_000 {
            let name = format!("a-principal-with-a-name-of-some-length-{index}");
            here.create_principal(&name.parse().unwrap()).await.unwrap();
        }
        let size = bucket.head(cairn_access::STATE_KEY).await.unwrap().size;
        assert!(size > 64 * 1024, "{size}");
        let there = open(&bucket, &env).await.unwrap();
        let count = async |access: &Access| access.snapshot().await.unwrap().principals().count();
        assert_eq!(count(&there).await, 1_001);
        env.clock.sleep(REFRESH_MAX + TICK).await;
        assert_eq!(count(&there).await, 1_001);
        here.create_principal(&"one-more".parse().unwrap()).await.unwrap();
        assert_eq!(count(&here).await, 1_002);
        env.clock.sleep(REFRESH_MAX + TICK).await;
        assert_eq!(count(&there).await, 1_002);
    });
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// Doors run on many threads.
#[test]
fn futures_are_send() {
    simulate(9, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, token) = assert_send(first(&bucket, &env)).await;
        let caller = assert_send(show(&access, &token)).await.unwrap();
        assert!(assert_send(may_read(&access, &caller, "a")).await);
        let made = assert_send(access.create_token(spec("root"))).await.unwrap();
        assert_send(access.revoke_token(&made.info.id)).await.unwrap();
    });
}
