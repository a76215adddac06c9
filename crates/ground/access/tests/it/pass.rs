//! What is asked again and again is decided on the state of the moment all the same.

use std::time::Duration;

use cairn_access::{Access, Action, Error, NewToken, Origin, REFRESH_MAX, Role, Shown, TokenSpec};
use cairn_audit::{Filter, Line, Outcome, Record};
use cairn_base::ErrorKind;
use cairn_bucket::Bucket;
use cairn_env::Env;
use futures::TryStreamExt as _;

use crate::{dataset, first, grant, open, simulate, spec};

/// Whoever it was allowed to.
async fn pass(access: &Access, token: Option<&NewToken>, name: &str) -> Result<String, Error> {
    pass_for(access, token, name, "one").await
}

async fn pass_for(
    access: &Access,
    token: Option<&NewToken>,
    name: &str,
    request: &str,
) -> Result<String, Error> {
    let header = token.map(|token| format!("Bearer {}", token.token.expose()));
    let shown = Shown { authorization: header.as_deref(), session: None };
    let origin = Origin { door: "web", request: request.to_owned(), ..Origin::default() };
    let passed = access.pass(shown, origin, Action::InvokeFunction, &dataset(name)).await?;
    Ok(passed.caller().name().to_owned())
}

/// ACCESS-5: a token that is revoked or over, and a grant that is taken back, end it at once at the node
/// that did so, and everywhere when that is read.
#[test]
fn access_5_what_was_allowed_before_is_decided_anew() {
    simulate(1, async |env: Env| {
        let bucket = Bucket::memory(&env);
        let (here, _) = first(&bucket, &env).await;
        here.create_principal(&"ci".parse().unwrap()).await.unwrap();
        let hello = here.add_grant(&grant("ci", Role::Invoker, "hello")).await.unwrap();
        let there = open(&bucket, &env).await.unwrap();
        let hour = Duration::from_secs(3600);
        let short = TokenSpec { expires_in: Some(hour), ..spec("ci") };
        let [token, short, long] =
            [spec("ci"), short, spec("ci")].map(|spec| here.create_token(spec));
        let (token, short, long) =
            (token.await.unwrap(), short.await.unwrap(), long.await.unwrap());
        env.clock.sleep(REFRESH_MAX * 2).await;
        for _ in 0..3 {
            for token in [&token, &short, &long] {
                for node in [&here, &there] {
                    assert_eq!(pass(node, Some(token), "hello").await.unwrap(), "ci");
                    assert!(pass(node, Some(token), "other").await.is_err());
                    assert!(pass(node, None, "hello").await.is_err());
                }
            }
        }
        here.revoke_token(&token.info.id).await.unwrap();
        assert!(matches!(pass(&here, Some(&token), "hello").await, Err(Error::Unknown)));
        env.clock.sleep(REFRESH_MAX * 2).await;
        assert!(matches!(pass(&there, Some(&token), "hello").await, Err(Error::Unknown)));
        assert!(pass(&there, Some(&short), "hello").await.is_ok());
        env.clock.sleep(hour).await;
        for node in [&here, &there] {
            let over = pass(node, Some(&short), "hello").await;
            assert!(matches!(over, Err(Error::Expired { .. })), "{over:?}");
            assert!(pass(node, Some(&long), "hello").await.is_ok());
        }
        here.remove_grant(&hello).await.unwrap();
        let denied = pass(&here, Some(&long), "hello").await;
        assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
        here.add_grant(&grant("anonymous", Role::Invoker, "hello")).await.unwrap();
        assert_eq!(pass(&here, None, "hello").await.unwrap(), "anonymous");
    });
}

/// ACCESS-9: each is counted, and what is recorded first of a time names its own request.
#[test]
fn access_9_what_passes_is_counted() {
    simulate(2, async |env: Env| {
        let bucket = Bucket::memory(&env);
        let (access, token) = first(&bucket, &env).await;
        for request in ["a", "b"] {
            for _ in 0..10 {
                pass_for(&access, Some(&token), "hello", request).await.unwrap();
            }
            access.settle().await.unwrap();
        }
        let filter = Filter { action: Some("invoke_function".to_owned()), ..Filter::default() };
        let batches = access.audit().log().read(0, filter).await.unwrap();
        let batches: Vec<_> = batches.try_collect().await.unwrap();
        let record = |line| match line {
            Line::Entry(entry) => entry.record,
            Line::Gap(gap) => panic!("{gap:?}"),
        };
        let all: Vec<Record> =
            batches.into_iter().flat_map(|batch| batch.lines).map(record).collect();
        let told = |record: &Record| (record.request.to_string(), record.count);
        let all: Vec<_> =
            all.iter().filter(|one| one.outcome == Outcome::Allowed).map(told).collect();
        let of = |request: &str, count| (request.to_owned(), count);
        // The log has those of one moment in one record.
        assert_eq!(all, [of("a", 10), of("b", 10)]);
    });
}

/// ACCESS-4: a function has what it was granted.
#[test]
fn access_4_functions_have_grants_of_their_own() {
    simulate(3, async |env: Env| {
        let bucket = Bucket::memory(&env);
        let (access, _) = first(&bucket, &env).await;
        let may = async || {
            let visit = access.admit_function("@main/hello", Origin::default()).await.unwrap();
            assert_eq!(visit.caller().name(), "function/@main/hello");
            visit.authorize(Action::WriteKeys, &dataset("carts")).is_ok()
        };
        assert!(!may().await);
        let given = access.add_grant(&grant("function/@main/hello", Role::Writer, "carts")).await;
        assert!(may().await);
        access.remove_grant(&given.unwrap()).await.unwrap();
        assert!(!may().await);
        // What no function is called is given nothing.
        for wrong in
            ["hello", "main/hello", "@hello", "@/hello", "@main/", "@main/a/b", "x/@main/y"]
        {
            let given = grant(&format!("function/{wrong}"), Role::Reader, "carts");
            let refused = access.add_grant(&given).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{wrong}");
            assert!(refused.to_string().contains("function/@PROJECT/NAME"), "{refused}");
        }
    });
}
