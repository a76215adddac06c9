use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_access::{Access, Error, Grant, GrantId, Role, Scope, Scopes, TokenSpec};
use cairn_bucket::Bucket;
use futures::future::join_all;

use crate::rough::Rough;
use crate::{first, grant, may_read, open, show, simulate, spec};

async fn grants(access: &Access) -> Vec<Grant> {
    access.snapshot().await.unwrap().grants().cloned().collect()
}

/// Two nodes change the state at the same time, again and again: no change is lost, both agree.
#[test]
fn changes_of_two_nodes_converge() {
    for seed in 0..10 {
        simulate(seed, async |env| {
            let (store, bucket) = Rough::new(&env, Duration::from_millis(5));
            let (a, _) = first(&bucket, &env).await;
            let b = open(&bucket, &env).await.unwrap();
            let add = async |access: &Access, name: &str| {
                for index in 0..20 {
                    let pattern = format!("{name}{index}");
                    access.add_grant(&grant("root", Role::Reader, &pattern)).await.unwrap();
                }
            };
            let before = store.write_count.load(Ordering::Relaxed);
            futures::join!(add(&a, "a"), add(&b, "b"));
            let writes = store.write_count.load(Ordering::Relaxed) - before;
            assert!(writes > 40, "nobody was in anybody's way: {writes} writes");
            assert_eq!(grants(&a).await.len(), 41);
            env.clock.sleep(cairn_access::REFRESH_MAX).await;
            assert_eq!(grants(&a).await, grants(&b).await);
        });
    }
}

/// Changes through one handle wait for each other instead of contending.
#[test]
fn changes_of_one_node_take_turns() {
    simulate(1, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_millis(5));
        let (access, _) = first(&bucket, &env).await;
        let before = store.write_count.load(Ordering::Relaxed);
        let made = join_all((0..50).map(|_| access.create_token(spec("root")))).await;
        let mut ids: Vec<_> = made.into_iter().map(|made| made.unwrap().info.id).collect();
        assert_eq!(store.write_count.load(Ordering::Relaxed), before + 50);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 50);
        assert_eq!(access.snapshot().await.unwrap().tokens().count(), 51);
    });
}

/// The same grant added by two nodes is one grant with one id.
#[test]
fn equal_grants_are_one() {
    simulate(2, async |env| {
        let (_, bucket) = Rough::new(&env, Duration::from_millis(5));
        let (a, _) = first(&bucket, &env).await;
        let b = open(&bucket, &env).await.unwrap();
        let same = grant("authenticated", Role::Reader, "shared-*");
        let (one, two) = futures::join!(a.add_grant(&same), b.add_grant(&same));
        let id: GrantId = one.unwrap();
        assert_eq!(two.unwrap(), id);
        assert_eq!(grants(&a).await.len(), 2);
        a.remove_grant(&id).await.unwrap();
        assert!(matches!(b.remove_grant(&id).await, Err(Error::NoGrant { .. })));
    });
}

/// The store did it and could not say so: the change is there once, and the caller is told so.
#[test]
fn a_lost_answer_neither_loses_nor_doubles_a_change() {
    simulate(3, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_millis(5));
        let (access, _) = first(&bucket, &env).await;
        let lose = || store.lose_answer.store(true, Ordering::Relaxed);
        lose();
        let token = access.create_token(spec("root")).await.unwrap();
        assert!(show(&access, &token).await.is_ok());
        assert_eq!(access.snapshot().await.unwrap().tokens().count(), 2);
        lose();
        access.revoke_token(&token.info.id).await.unwrap();
        assert_eq!(access.snapshot().await.unwrap().tokens().count(), 1);
        assert!(!store.lose_answer.load(Ordering::Relaxed));
    });
}

/// Answers get lost while others change the state too, so that the bucket itself does not know what
/// happened: still every change is there, once.
#[test]
fn changes_in_doubt_are_made_once() {
    for seed in 0..20 {
        simulate(seed, async |env| {
            let (store, bucket) = Rough::new(&env, Duration::from_millis(5));
            let (a, _) = first(&bucket, &env).await;
            let b = open(&bucket, &env).await.unwrap();
            let work = async |access: &Access| {
                for _ in 0..20 {
                    store.lose_answer.store(true, Ordering::Relaxed);
                    let token = access.create_token(spec("root")).await.unwrap();
                    assert!(show(access, &token).await.is_ok());
                }
            };
            futures::join!(work(&a), work(&b));
            env.clock.sleep(cairn_access::REFRESH_MAX).await;
            for access in [a, b] {
                assert_eq!(access.snapshot().await.unwrap().tokens().count(), 41);
            }
        });
    }
}

/// What a change refuses it does not write.
#[test]
fn a_refused_change_writes_nothing() {
    simulate(4, async |env| {
        let (store, bucket) = Rough::new(&env, Duration::from_millis(5));
        let (access, _) = first(&bucket, &env).await;
        let before = store.write_count.load(Ordering::Relaxed);
        assert!(matches!(access.create_token(spec("ci")).await, Err(Error::NoPrincipal { .. })));
        let wide_open = grant("anonymous", Role::Admin, "@*/*");
        assert!(matches!(access.add_grant(&wide_open).await, Err(Error::AnonymousRole)));
        let root = "root".parse().unwrap();
        assert!(matches!(access.remove_principal(&root).await, Err(Error::LastAdmin)));
        assert!(matches!(access.create_principal(&root).await, Err(Error::PrincipalExists { .. })));
        assert_eq!(store.write_count.load(Ordering::Relaxed), before);
    });
}

/// A day with several people: what each may do follows from grants and scopes, on every node.
#[test]
fn a_token_does_what_its_grants_and_scopes_say() {
    simulate(5, async |env| {
        let bucket = Bucket::memory(&env);
        let (here, _) = first(&bucket, &env).await;
        let ci = "ci".parse().unwrap();
        here.create_principal(&ci).await.unwrap();
        let all = here.create_token(spec("ci")).await.unwrap();
        let only = vec![Scope { role: Role::Reader, pattern: "raw-*".parse().unwrap() }];
        let limited = TokenSpec { scopes: Scopes::Only(only), ..spec("ci") };
        let limited = here.create_token(limited).await.unwrap();
        let there = open(&bucket, &env).await.unwrap();
        let (all, limited) =
            (show(&there, &all).await.unwrap(), show(&there, &limited).await.unwrap());
        assert!(!may_read(&there, &all, "raw-1").await, "no grant yet");

        let id = here.add_grant(&grant("ci", Role::Writer, "*")).await.unwrap();
        env.clock.sleep(cairn_access::REFRESH_MAX * 2).await;
        assert!(may_read(&there, &all, "raw-1").await);
        assert!(may_read(&there, &all, "other").await);
        assert!(may_read(&there, &limited, "raw-1").await);
        assert!(!may_read(&there, &limited, "other").await);

        here.remove_grant(&id).await.unwrap();
        env.clock.sleep(cairn_access::REFRESH_MAX * 2).await;
        assert!(!may_read(&there, &all, "raw-1").await);
        here.remove_principal(&ci).await.unwrap();
        assert_eq!(here.snapshot().await.unwrap().tokens().count(), 1);
    });
}
