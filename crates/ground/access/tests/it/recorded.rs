//! ACCESS-6: what the gate decides is recorded before anybody acts on it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_access::{
    Access, Action, Error, NewToken, Origin, Peer, Resource, Role, Shown, TokenSpec, Visit,
};
use cairn_audit::{Entry, Filter, Line, Outcome};
use cairn_bucket::Bucket;
use futures::TryStreamExt as _;

use crate::rough::Rough;
use crate::{dataset, first, grant, simulate, spec};

fn origin() -> Origin {
    let address = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    Origin { door: "dav", request: "r1".to_owned(), peer: Peer { address, ..Peer::default() } }
}

async fn visit(access: &Access, token: &NewToken) -> Visit {
    let header = format!("Bearer {}", token.token.expose());
    access
        .admit(Shown { authorization: Some(&header), ..Shown::default() }, origin())
        .await
        .unwrap()
}

async fn entries(access: &Access) -> Vec<Entry> {
    access.audit().commit().await.unwrap();
    let log = access.audit().log();
    let all: Vec<_> = log.read(0, Filter::default()).await.unwrap().try_collect().await.unwrap();
    let entry = |line| match line {
        Line::Entry(entry) => *entry,
        Line::Gap(gap) => panic!("{gap:?}"),
    };
    all.into_iter().flat_map(|batch| batch.lines).map(entry).collect()
}

/// Caller, credential, action, resource, outcome and detail.
fn told(entry: &Entry) -> String {
    let record = &entry.record;
    format!(
        "{} {} | {} {} {} {} {} {} {} | {}",
        record.door,
        record.peer,
        record.caller,
        record.credential,
        record.action,
        record.resource,
        record.outcome,
        record.count,
        record.request,
        record.detail
    )
}

#[test]
fn access_6_decisions_are_recorded_with_who_and_where() {
    simulate(1, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, root) = first(&bucket, &env).await;
        access.create_principal(&"ci".parse().unwrap()).await.unwrap();
        let read = grant("ci", Role::Reader, "a");
        access.add_grant(&read).await.unwrap();
        let token = access.create_token(spec("ci")).await.unwrap();
        let id = token.info.id.clone();
        let ci = visit(&access, &token).await;
        ci.authorize(Action::ReadDataset, &dataset("a")).unwrap();
        let denied = ci.authorize(Action::WriteDataset, &dataset("a"));
        assert!(matches!(denied, Err(Error::Denied { .. })));
        ci.sign_in().unwrap();
        let nobody = access.admit(Shown::default(), origin()).await.unwrap();
        assert!(nobody.authorize(Action::ReadDataset, &dataset("a")).is_err());
        assert!(nobody.sign_in().is_err());
        let bad = Shown { authorization: Some("Bearer nonsense"), ..Shown::default() };
        assert!(matches!(access.admit(bad, origin()).await, Err(Error::Malformed)));
        let lines: Vec<String> = entries(&access).await.iter().map(told).collect();
        let at = "dav 192.0.2.7";
        let by = read.id();
        let who = format!("{at} | ci token {id}");
        let nameless = format!("{at} | anonymous ");
        let open = "it is not open to everybody; show a token";
        let weak = "you are reader there and it takes writer; ask an administrator for it";
        assert_eq!(
            lines,
            [
                format!(
                    "bucket  |   manage_access @*/* changed 1  | made the first token of root, {}",
                    root.info.id
                ),
                format!("{who} read_dataset @main/a allowed 1 r1 | {by}"),
                format!("{who} write_dataset @main/a denied 1 r1 | {weak}"),
                format!("{who} sign_in  allowed 1 r1 | "),
                format!("{nameless} read_dataset @main/a denied 1 r1 | {open}"),
                format!("{nameless} sign_in  denied 1 r1 | {open}"),
                format!(
                    "{at} |   authenticate  refused 1 r1 | the credential is not a Cairn token; \
                     one begins with cairn_"
                ),
            ]
        );
    });
}

/// A stream that asks again and again tells the log once; what is denied later is told.
#[test]
fn a_visit_that_goes_on_is_recorded_once() {
    simulate(2, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, root) = first(&bucket, &env).await;
        let token = access.create_token(spec("root")).await.unwrap();
        let mut stream = visit(&access, &token).await;
        for _ in 0..5 {
            stream.authorize(Action::ReadAudit, &Resource::Cluster).unwrap();
            env.clock.sleep(Duration::from_secs(2)).await;
            stream = stream.again().await.unwrap();
        }
        access.revoke_token(&token.info.id).await.unwrap();
        stream = stream.again().await.unwrap();
        assert!(stream.authorize(Action::ReadAudit, &Resource::Cluster).is_err());
        let outcomes: Vec<_> =
            entries(&access).await.iter().skip(1).map(|e| e.record.outcome).collect();
        assert_eq!(outcomes, [Outcome::Allowed, Outcome::Denied]);
        drop(root);
    });
}

#[test]
fn access_6_a_change_is_in_the_log_before_and_after() {
    simulate(3, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, root) = first(&bucket, &env).await;
        let root = visit(&access, &root).await;
        root.authorize(Action::ReadDataset, &dataset("from")).unwrap();
        root.authorize(Action::WriteDataset, &dataset("to")).unwrap();
        let log = access.audit().log().clone();
        let seen = async || {
            let all: Vec<_> =
                log.read(0, Filter::default()).await.unwrap().try_collect().await.unwrap();
            all.iter().map(|batch| batch.lines.len()).sum::<usize>()
        };
        let work = async || {
            assert_eq!(seen().await, 3, "what was allowed is in the log before the change");
            Ok::<u8, Error>(7)
        };
        assert_eq!(root.change(work(), |done| format!("made {done}")).await.unwrap(), 7);
        assert_eq!(seen().await, 4, "and what was changed before it is acknowledged");
        let refused = async { Err::<u8, _>(Error::LastAdmin) };
        assert!(root.change(refused, |_| String::new()).await.is_err());
        let all = entries(&access).await;
        let last = |at: usize| {
            let record = &all[at].record;
            (record.outcome, record.resource.as_str().to_owned(), record.detail.to_string())
        };
        assert_eq!(last(3), (Outcome::Changed, "@main/to".to_owned(), "made 7".to_owned()));
        assert_eq!((last(4).0, all.len()), (Outcome::Failed, 5));
    });
}

/// ACCESS-6: where the log cannot be written nothing is changed.
#[test]
fn access_6_no_change_without_the_log() {
    simulate(4, async |env| {
        let (rough, bucket) = Rough::new(&env, Duration::from_millis(1));
        let (access, root) = first(&bucket, &env).await;
        access.audit().commit().await.unwrap();
        let root = visit(&access, &root).await;
        root.authorize(Action::WriteDataset, &dataset("a")).unwrap();
        rough.down.store(true, Ordering::Relaxed);
        let work = async { panic!("it was done") };
        let refused = root.change::<u8, Error>(work, |_| String::new()).await.unwrap_err();
        assert!(matches!(refused, Error::Audit(_)), "{refused}");
        rough.down.store(false, Ordering::Relaxed);
        env.clock.sleep(Duration::from_secs(60)).await;
        // The answer is lost on the way back: done, and the log cannot be reached any more.
        root.authorize(Action::WriteDataset, &dataset("b")).unwrap();
        let work = async {
            rough.down.store(true, Ordering::Relaxed);
            Ok::<u8, Error>(1)
        };
        let told = root.change(work, |_| String::new()).await.unwrap_err();
        assert!(matches!(told, Error::Unrecorded(_)), "{told}");
        assert_eq!(told.kind(), cairn_base::ErrorKind::Internal, "not to be tried blindly");
    });
}

/// ACCESS-6: what does not fit any more is refused, also when it would be allowed.
#[test]
fn access_6_a_flood_of_questions_ends_in_refusals_not_in_silence() {
    simulate(5, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, root) = first(&bucket, &env).await;
        let visits = visit(&access, &root).await;
        let mut asked = 0_usize;
        let refused = loop {
            match visits.authorize(Action::ReadDataset, &dataset(&format!("d{asked}"))) {
                Ok(_) => asked += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Audit(cairn_audit::Error::Full { .. })), "{refused}");
        assert_eq!(refused.kind(), cairn_base::ErrorKind::Retry);
        assert_eq!(entries(&access).await.len(), asked + 1);
        visits.authorize(Action::ReadDataset, &dataset("again")).unwrap();
    });
}

/// AUDIT-5: a token that holds, one that expired, one that was mistyped: none is in the log.
#[test]
fn audit_5_no_token_is_in_the_log() {
    simulate(6, async |env| {
        let bucket = Bucket::memory(&env);
        let (access, root) = first(&bucket, &env).await;
        let short = TokenSpec { expires_in: Some(Duration::from_secs(1)), ..spec("root") };
        let expired = access.create_token(short).await.unwrap();
        env.clock.sleep(Duration::from_secs(2)).await;
        let recovered = access.recover().await.unwrap();
        let mistyped = {
            let mut text = root.token.expose().to_owned();
            let last = if text.pop() == Some('a') { 'b' } else { 'a' };
            text.push(last);
            text
        };
        let shown = [root.token.expose(), expired.token.expose(), &mistyped, "hunter2"];
        for token in shown {
            for header in [format!("Bearer {token}"), format!("Basic {token}"), token.to_owned()] {
                let shown = Shown { authorization: Some(&header), ..Shown::default() };
                if let Ok(visit) = access.admit(shown, origin()).await {
                    visit.authorize(Action::ManageAccess, &Resource::Cluster).unwrap();
                }
            }
        }
        let log = serde_json::to_string(&entries(&access).await).unwrap();
        assert!(log.contains(root.info.id.as_str()) && log.contains(expired.info.id.as_str()));
        for token in shown.into_iter().chain([recovered.token.expose()]) {
            // No part of a token is public; its id is a hash of it.
            let secret = token.get(token.len().saturating_sub(20)..).unwrap();
            assert!(!log.contains(secret), "{secret} is in the log");
        }
    });
}
