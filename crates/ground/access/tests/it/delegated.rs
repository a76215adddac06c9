//! ACCESS-8: who is admin of a part gives what he has there, and nothing else.

use std::time::Duration;

use cairn_access::{
    Access, Action, Error, GRANTS_PER_PART_MAX, GrantId, OWN_TOKENS_MAX, Origin, Owner, Role,
    Scope, Scopes, TokenSpec, Visit,
};
use cairn_bucket::Bucket;
use cairn_env::Env;

use crate::{first, grant, simulate, spec, visit};

/// `lea`, who is admin of the project `lab` and of `@main/open*`, and `bob`.
async fn lab(bucket: &Bucket, env: &Env) -> (Access, Visit) {
    let (access, _) = first(bucket, env).await;
    for name in ["lea", "bob"] {
        access.create_principal(&name.parse().unwrap()).await.unwrap();
    }
    for pattern in ["@lab/*", "@main/open*"] {
        access.add_grant(&grant("lea", Role::Admin, pattern)).await.unwrap();
    }
    let token = access.create_token(spec("lea")).await.unwrap();
    let lea = visit(&access, &token).await.unwrap();
    (access, lea)
}

fn denied<T: std::fmt::Debug>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Denied { .. }))
}

fn only(role: Role, pattern: &str) -> Scopes {
    Scopes::Only(vec![Scope { role, pattern: pattern.parse().unwrap() }])
}

#[test]
fn access_8_roles_are_given_only_within_what_one_administers() {
    simulate(60, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, lea) = lab(&bucket, &env).await;
        for (subject, role, pattern) in [
            ("bob", Role::Reader, "@lab/a"),
            ("bob", Role::Admin, "@lab/*"),
            ("lea", Role::Admin, "@lab/raw*"),
            ("authenticated", Role::Writer, "@lab/x*"),
            ("anonymous", Role::Reader, "@main/open-data"),
            ("group:staff", Role::Writer, "@main/open*"),
        ] {
            lea.add_grant(&grant(subject, role, pattern)).await.unwrap();
        }
        for pattern in ["@lab*/a", "@*/a", "@*/*", "@main/*", "@main/ope*", "@main/a", "@other/a"] {
            for subject in ["bob", "lea", "anonymous"] {
                let wide = grant(subject, Role::Reader, pattern);
                assert!(denied(lea.add_grant(&wide).await), "{wide}");
            }
        }
        let nobody = lea.add_grant(&grant("nobody", Role::Reader, "@lab/a")).await;
        assert!(matches!(nobody, Err(Error::NoPrincipal { .. })), "{nobody:?}");
        let open = lea.add_grant(&grant("anonymous", Role::Writer, "@lab/a")).await;
        assert!(matches!(open, Err(Error::AnonymousRole)), "{open:?}");
        // None of it made lea more than she was.
        let lea = lea.again().await.unwrap();
        for action in [Action::ManageAccess, Action::Maintain, Action::ReadAudit] {
            assert!(denied(lea.authorize(action, &cairn_access::Resource::Cluster)));
        }
        drop(access);
    });
}

#[test]
fn access_8_other_grants_are_neither_seen_nor_taken() {
    simulate(61, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, lea) = lab(&bucket, &env).await;
        let within = grant("bob", Role::Writer, "@lab/a*");
        let outside = grant("bob", Role::Reader, "@other/a");
        let over = grant("bob", Role::Reader, "@*/a");
        for grant in [&within, &outside, &over] {
            access.add_grant(grant).await.unwrap();
        }
        let lea = lea.again().await.unwrap();
        let mut seen: Vec<String> = lea.grants().into_iter().map(ToString::to_string).collect();
        seen.sort_unstable();
        let expected =
            ["bob is writer on @lab/a*", "lea is admin on @lab/*", "lea is admin on @main/open*"];
        assert_eq!(seen, expected);
        // One that is not there looks like one that is elsewhere.
        let unknown: GrantId = grant("bob", Role::Reader, "@nowhere/a").id();
        for id in [outside.id(), over.id(), unknown] {
            let refused = lea.remove_grant(&id).await;
            assert!(denied(refused), "{id}");
        }
        lea.remove_grant(&within.id()).await.unwrap();
        let left = access.snapshot().await.unwrap();
        assert!(left.grant(&within.id()).is_none() && left.grant(&over.id()).is_some());
    });
}

/// ACCESS-8: a token that is limited gives no more than it may itself.
#[test]
fn access_8_a_scope_limits_what_is_given() {
    simulate(62, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, lea) = lab(&bucket, &env).await;
        let limited = async |scopes: Scopes| {
            let token = lea.create_token(TokenSpec { scopes, ..spec("lea") }).await.unwrap();
            visit(&access, &token).await.unwrap()
        };
        let reader = limited(only(Role::Reader, "@lab/*")).await;
        assert!(denied(reader.add_grant(&grant("bob", Role::Reader, "@lab/a")).await));
        assert!(denied(reader.create_token(spec("lea")).await));
        assert!(reader.grants().is_empty());
        let part = limited(only(Role::Admin, "@lab/raw*")).await;
        part.add_grant(&grant("bob", Role::Reader, "@lab/raw-1")).await.unwrap();
        assert!(denied(part.add_grant(&grant("lea", Role::Admin, "@lab/*")).await));
        // Nothing said is all that there is.
        let again = part.create_token(spec("lea")).await.unwrap();
        assert_eq!(again.info.scopes, only(Role::Admin, "@lab/raw*"));
        for (scopes, stronger) in [
            (only(Role::Writer, "@lab/raw-*"), false),
            (only(Role::Reader, "@lab/*"), true),
            (only(Role::Reader, "@main/open"), true),
        ] {
            let made = part.create_token(TokenSpec { scopes, ..spec("lea") }).await;
            assert_eq!(matches!(made, Err(Error::Stronger { .. })), stronger, "{made:?}");
            assert_eq!(made.is_ok(), !stronger);
        }
    });
}

/// ACCESS-8: one's own tokens are one's own, and end with what they were made with.
#[test]
fn access_8_tokens_of_ones_own_are_no_stronger() {
    simulate(63, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, lea) = lab(&bucket, &env).await;
        let root = access.create_token(spec("root")).await.unwrap();
        for other in ["bob", "root"] {
            assert!(denied(lea.create_token(spec(other)).await), "{other}");
        }
        assert!(denied(lea.revoke_token(&root.info.id).await));
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let short = TokenSpec { expires_in: Some(hour), ..spec("lea") };
        let short = lea.create_token(short).await.unwrap();
        let ends = short.info.expires_ms;
        let short = visit(&access, &short).await.unwrap();
        env.clock.sleep(minute).await;
        let short = short.again().await.unwrap();
        assert_eq!(short.create_token(spec("lea")).await.unwrap().info.expires_ms, ends);
        let longer = TokenSpec { expires_in: Some(hour), ..spec("lea") };
        assert!(matches!(short.create_token(longer).await, Err(Error::Stronger { .. })));
        let shorter = TokenSpec { expires_in: Some(minute), ..spec("lea") };
        let shorter = short.create_token(shorter).await.unwrap();
        // She sees and revokes hers alone.
        let lea = lea.again().await.unwrap();
        assert_eq!(
            (lea.tokens().len(), lea.again().await.unwrap().snapshot().tokens().count()),
            (4, 6)
        );
        lea.revoke_token(&shorter.info.id).await.unwrap();
        assert_eq!(lea.again().await.unwrap().tokens().len(), 3);
        // A session is had again any time, so it sets no end; a token of it stays when it ends.
        let owner = Owner::Principal("lea".parse().unwrap());
        let session =
            access.open_session(owner, [].into(), hour, &Origin::default()).await.unwrap();
        let session = visit(&access, &session).await.unwrap();
        assert_eq!(session.create_token(spec("lea")).await.unwrap().info.expires_ms, None);
    });
}

/// Nobody fills the cluster's lists by being admin of a part.
#[test]
fn what_admins_of_a_part_make_has_bounds() {
    simulate(64, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, lea) = lab(&bucket, &env).await;
        // Her own grant on @lab/* counts.
        for at in 1..GRANTS_PER_PART_MAX {
            lea.add_grant(&grant("bob", Role::Reader, &format!("@lab/a{at}"))).await.unwrap();
        }
        let one_more = grant("bob", Role::Reader, "@lab/b");
        let full = lea.add_grant(&one_more).await;
        assert!(matches!(full, Err(Error::TooMany { .. })), "{full:?}");
        lea.add_grant(&grant("bob", Role::Reader, "@lab/a1")).await.unwrap();
        lea.add_grant(&grant("bob", Role::Reader, "@main/open")).await.unwrap();
        access.add_grant(&one_more).await.unwrap();
        for _ in 1..OWN_TOKENS_MAX {
            lea.create_token(spec("lea")).await.unwrap();
        }
        let full = lea.create_token(spec("lea")).await;
        assert!(matches!(full, Err(Error::TooMany { .. })), "{full:?}");
        access.create_token(spec("lea")).await.unwrap();
    });
}
