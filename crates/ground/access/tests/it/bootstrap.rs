use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cairn_access::{Action, Caller, Error, Resource, STATE_KEY};
use cairn_bucket::Bucket;

use crate::rough::Rough;
use crate::{first, may_read, open, show, simulate, start};

#[test]
fn the_first_start_makes_root_and_one_token() {
    simulate(1, async |env| {
        let bucket = Bucket::memory(&env);
        assert!(matches!(open(&bucket, &env).await, Err(Error::NotInitialised)));
        let (access, token) = first(&bucket, &env).await;
        let caller = show(&access, &token).await.unwrap();
        let snapshot = access.snapshot().await.unwrap();
        for action in Action::all() {
            let decision = snapshot.authorize(&caller, action, &Resource::Cluster);
            assert!(decision.is_allowed(), "{action}");
        }
        let me = snapshot.whoami(&caller).unwrap();
        assert_eq!(me.principal.unwrap().as_str(), "root");
        assert_eq!(me.token.unwrap(), token.info);
        assert_eq!(snapshot.tokens().count(), 1);
        assert_eq!(snapshot.grants().count(), 1);
        // ACCESS-4: a new bucket is open to nobody.
        assert!(!may_read(&access, &Caller::Anonymous, "a").await);

        let (again, none) = start(&bucket, &env).await.unwrap();
        assert!(none.is_none());
        assert!(show(&again, &token).await.is_ok());
    });
}

/// ACCESS-3: what is in the bucket lets nobody in.
#[test]
fn access_3_the_bucket_holds_no_token() {
    simulate(2, async |env| {
        let bucket = Bucket::memory(&env);
        let (_, token) = first(&bucket, &env).await;
        let stored = bucket.get(STATE_KEY).await.unwrap().bytes;
        let text = String::from_utf8_lossy(&stored);
        assert!(text.contains(token.info.id.as_str()));
        assert!(!text.contains(&token.token.expose()[6..20]));
    });
}

/// Two starters on one bucket: both read that there is nothing, both write, one has the token.
#[test]
fn one_of_two_starters_gets_the_token() {
    for seed in 0..20 {
        simulate(seed, async |env| {
            let (store, bucket) = Rough::new(&env, Duration::from_millis(20));
            let (a, b) = futures::join!(start(&bucket, &env), start(&bucket, &env));
            assert_eq!(store.write_count.load(Ordering::Relaxed), 2, "both tried");
            let ((a, a_token), (b, b_token)) = (a.unwrap(), b.unwrap());
            assert!(a_token.is_some() != b_token.is_some());
            let token = a_token.or(b_token).unwrap();
            for access in [a, b] {
                assert!(show(&access, &token).await.is_ok());
                assert_eq!(access.snapshot().await.unwrap().tokens().count(), 1);
            }
        });
    }
}

#[test]
fn a_lost_answer_does_not_lose_the_first_token() {
    simulate(3, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_millis(20));
        store.lose_answer.store(true, Ordering::Relaxed);
        let (access, token) = first(&bucket, &env).await;
        assert!(!store.lose_answer.load(Ordering::Relaxed));
        assert!(show(&access, &token).await.is_ok());
    });
}

/// The token is shown also when the bucket goes away right after it was made.
#[test]
fn the_first_token_needs_no_further_read() {
    simulate(6, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_millis(20));
        let before = store.read_count.load(Ordering::Relaxed);
        let (_, token) = start(&bucket, &env).await.unwrap();
        assert!(token.is_some());
        assert_eq!(
            store.read_count.load(Ordering::Relaxed),
            before + 1,
            "to see that there is none"
        );
    });
}

/// A damaged state is an error for every use, and nobody starts afresh over it.
#[test]
fn a_damaged_state_is_never_overwritten() {
    simulate(4, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, token) = first(&bucket, &env).await;
        let mut bytes = bucket.get(STATE_KEY).await.unwrap().bytes.to_vec();
        bytes[40] ^= 1;
        let damaged = Bytes::from(bytes);
        bucket.put(STATE_KEY, damaged.clone()).await.unwrap();
        assert!(matches!(start(&bucket, &env).await, Err(Error::Corrupt { .. })));
        assert!(matches!(open(&bucket, &env).await, Err(Error::Corrupt { .. })));
        env.clock.sleep(cairn_access::REFRESH_MAX + Duration::from_millis(1)).await;
        assert!(matches!(show(&access, &token).await, Err(Error::Corrupt { .. })));
        assert!(matches!(access.snapshot().await, Err(Error::Corrupt { .. })));
        assert!(matches!(access.recover().await, Err(Error::Corrupt { .. })));
        assert_eq!(bucket.get(STATE_KEY).await.unwrap().bytes, damaged);
    });
}

#[test]
fn whoever_owns_the_bucket_gets_back_in() {
    simulate(5, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, lost) = first(&bucket, &env).await;
        let found = access.recover().await.unwrap();
        assert_ne!(found.info.id, lost.info.id);
        let caller = show(&access, &found).await.unwrap();
        assert!(may_read(&access, &caller, "a").await);
        access.revoke_token(&lost.info.id).await.unwrap();
        assert!(matches!(show(&access, &lost).await, Err(Error::Unknown)));
        assert!(matches!(access.revoke_token(&found.info.id).await, Err(Error::LastAdmin)));
    });
}
