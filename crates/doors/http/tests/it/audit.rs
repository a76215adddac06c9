//! ACCESS-6, AUDIT-1 and AUDIT-5 at the door: what requests leave in the audit log.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use cairn_bucket::{Bucket, Faulty, Memory, faulty::Faults};
use cairn_env::Env;
use cairn_http::Options;
use cairn_http::api::{AuditEntry, AuditLine, AuditVerify};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::support::{Server, target, tree};

async fn read(server: &Server, query: &[(&str, &str)]) -> Vec<AuditEntry> {
    let lines = server.node(&server.root).audit(query).await.unwrap();
    let lines: Vec<AuditLine> = lines.try_collect().await.unwrap();
    let entry = |line| match line {
        AuditLine::Entry(entry) => *entry,
        AuditLine::Gap(gap) => panic!("{gap:?}"),
    };
    lines.into_iter().map(entry).collect()
}

/// All that was recorded so far.
async fn entries(server: &Server, query: &[(&str, &str)]) -> Vec<AuditEntry> {
    server.access.audit().commit().await.unwrap();
    read(server, query).await
}

/// Identical reads in a row as one, also where the log was written between them.
fn joined(entries: Vec<AuditEntry>) -> Vec<AuditEntry> {
    let mut joined: Vec<AuditEntry> = Vec::new();
    for entry in entries {
        match joined.last_mut() {
            Some(last) if told(last) == told(&entry) => last.count += entry.count,
            _ => joined.push(entry),
        }
    }
    joined
}

fn told(entry: &AuditEntry) -> String {
    let AuditEntry { door, caller, action, resource, outcome, .. } = entry;
    format!("{door} {caller} {action} {resource} {outcome}")
}

async fn ask(server: &Server, method: Method, path: &str, token: &str, body: &str) -> u16 {
    let url = format!("{}{path}", server.url);
    let request = server.http().request(method, url).body(body.to_owned());
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn access_6_requests_of_all_kinds_are_recorded() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let reader = server.user("reader", &["reader data"]).await;
    let dataset = "/api/v1/projects/main/datasets/data";
    let file = "/fs/data/v1/hello.txt";
    let ask = |method, path, token, body| ask(&server, method, path, token, body);
    assert_eq!(ask(Method::GET, file, &reader, "").await, 200);
    assert_eq!(ask(Method::GET, file, &reader, "").await, 200);
    assert_eq!(ask(Method::GET, file, "", "").await, 401);
    assert_eq!(ask(Method::GET, file, "wrong", "").await, 401);
    assert_eq!(ask(Method::DELETE, dataset, &reader, "").await, 403);
    assert_eq!(ask(Method::DELETE, "/api/v1/access/grants/none", &server.root, "").await, 400);
    assert_eq!(ask(Method::GET, "/livez", "", "").await, 200);
    assert_eq!(ask(Method::GET, "/readyz", "", "").await, 200);
    assert_eq!(ask(Method::GET, "/api/openapi.json", "", "").await, 200);
    let copy = r#"{"from":{"name":"data","tag":"v1"}}"#;
    let tag = format!("{dataset}/tags/v2");
    assert_eq!(ask(Method::PUT, &tag, &server.root, copy).await, 200);
    let all = joined(entries(&server, &[]).await);
    let lines: Vec<String> = all.iter().map(told).collect();
    assert_eq!(
        lines[1..],
        [
            "fs reader read_dataset @main/data allowed",
            "fs anonymous read_dataset @main/data denied",
            "fs  authenticate  refused",
            "rest reader delete_dataset @main/data denied",
            "rest root manage_grants @*/* allowed",
            "rest root manage_grants @*/* failed",
            "rest root write_dataset @main/data allowed",
            "rest root read_dataset @main/data allowed",
            "rest root write_dataset @main/data changed",
        ]
    );
    assert_eq!(all[1].count, 2, "identical reads are counted");
    assert!(all[1..].iter().all(|entry| entry.peer == "127.0.0.1" && entry.time_ms > 0));
    assert!(all[1].credential.starts_with("token ") && all[2].credential.is_empty());
    assert!(all[9].detail.starts_with("v2 is data:v1, "), "{}", all[9].detail);
    let denied = entries(&server, &[("outcome", "denied"), ("caller", "rea*")]).await;
    assert_eq!(denied.len(), 1);
    let of_reading = entries(&server, &[("action", "read_audit")]).await;
    assert!(!of_reading.is_empty(), "reading the log is in the log");
    server.stop().await;
}

/// Every change is in the log with what was changed when its answer comes, without waiting.
#[tokio::test(flavor = "multi_thread")]
async fn audit_1_changes_are_in_the_log_when_they_are_acknowledged() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    let node = server.node(&server.root);
    let store: Arc<dyn cairn_datasets::Store> = Arc::new(server.node(&server.root));
    let changed = async |what: &str| {
        let all = read(&server, &[("outcome", "changed")]).await;
        let detail = &all.last().unwrap().detail;
        assert!(detail.contains(what), "{what} is not in {detail}");
    };
    crate::support::push(&store, work.path(), &["data:v1", "data:latest"]).await.unwrap();
    changed("as data:v1 data:latest").await;
    node.create_principal("bob").await.unwrap();
    changed("made principal bob").await;
    let grant = json!({"subject": "bob", "role": "reader", "pattern": "@main/da*"});
    let grant = serde_json::from_value(grant).unwrap();
    let named = node.add_grant(&grant).await.unwrap();
    changed("bob is reader on @main/da*").await;
    let token = json!({"principal": "bob", "label": "x", "scopes": null, "expires_in_seconds": 60});
    let made = node.create_token(&serde_json::from_value(token).unwrap()).await.unwrap();
    changed(&format!("made token {} of bob, until", made.info.id)).await;
    node.revoke_token(&made.info.id).await.unwrap();
    changed(&format!("revoked token {}", made.info.id)).await;
    node.remove_grant(&named.id).await.unwrap();
    changed(&format!("removed grant {}: bob is reader", named.id)).await;
    node.remove_principal("bob").await.unwrap();
    changed("removed principal bob").await;
    node.collect(&serde_json::from_value(json!({"dry_run": true})).unwrap()).await.unwrap();
    changed("nothing: it was only asked").await;
    let rules = "/api/v1/projects/main/datasets/data/rules";
    let shown: Value = server.get(rules, &[]).await.json().await.unwrap();
    let status = ask(&server, Method::PUT, rules, &server.root, &shown.to_string()).await;
    assert_eq!(status, 200);
    changed("rules {").await;
    store.remove(&target("data:v1")).await.unwrap();
    changed("removed tag v1").await;
    node.remove_dataset(&target("data").dataset).await.unwrap();
    changed("removed all 1 tags").await;
    let verified = node.audit_verify(&AuditVerify::default(), |_| {}).await.unwrap();
    assert!(verified.findings.is_empty() && verified.head.is_some());
    let kept = AuditVerify { head: verified.head, from: None };
    assert!(node.audit_verify(&kept, |_| {}).await.unwrap().findings.is_empty());
    let wrong = AuditVerify { head: Some("7".to_owned()), from: None };
    let refused = node.audit_verify(&wrong, |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), cairn_base::ErrorKind::Invalid);
    server.stop().await;
}

/// A bucket that takes no segment of the log: nothing is changed, and no retry makes it so.
#[tokio::test(flavor = "multi_thread")]
async fn access_6_no_change_where_the_log_cannot_be_written() {
    use axum::body::Bytes;
    let env = Env::real();
    let memory = Arc::new(Memory::new(&env));
    let faulty = Faulty::new(memory, Faults::default(), &env);
    let bucket = Bucket::from_store(Arc::new(faulty.clone()), "faulty://", &env);
    let server = Server::on(bucket.clone(), Options::default()).await;
    // Somebody else's bytes stand where the next hundred segments would.
    server.access.audit().commit().await.unwrap();
    let last = server.access.audit().log().last().await.unwrap();
    for seq in last + 1..last + 5 {
        let key = format!("audit/0000000000000/{seq:03x}");
        bucket.create(&key, Bytes::from_static(b"not a segment")).await.unwrap();
    }
    // That alone does not stop it: the log goes on behind what cannot be read.
    let grants = "/api/v1/access/grants";
    let grant = r#"{"subject":"anonymous","role":"reader","pattern":"@main/open"}"#;
    assert_eq!(ask(&server, Method::POST, grants, &server.root, grant).await, 201);
    faulty.set(Faults { before_ppm: 1_000_000, ..Faults::default() });
    let principals = "/api/v1/access/principals";
    let refused = tokio::time::timeout(
        Duration::from_secs(60),
        ask(&server, Method::POST, principals, &server.root, r#"{"name":"bob"}"#),
    );
    assert_eq!(refused.await.unwrap(), 503);
    faulty.set(Faults::default());
    let listed = server.get(principals, &[]).await.text().await.unwrap();
    assert!(!listed.contains("bob"), "{listed}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_followed_until_the_token_is_revoked() {
    let server = Server::start().await;
    server.user("auditor", &[]).await;
    let everything = cairn_access::Grant {
        subject: "auditor".parse().unwrap(),
        role: cairn_access::Role::Admin,
        pattern: "@*/*".parse().unwrap(),
    };
    server.access.add_grant(&everything).await.unwrap();
    let token = server.token("auditor", None).await;
    let query = [("follow", "true"), ("resource", "@main/watched")];
    let node = server.node(&token);
    let mut lines = Box::pin(node.audit(&query).await.unwrap());
    for round in 0..2 {
        assert_eq!(ask(&server, Method::GET, "/fs/other/v1/a", "", "").await, 401);
        assert_eq!(ask(&server, Method::GET, "/fs/watched/v1/a", "", "").await, 401);
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next()).await.unwrap();
        let Some(Ok(AuditLine::Entry(entry))) = line else { panic!("{round}: {line:?}") };
        assert_eq!(told(&entry), "fs anonymous read_dataset @main/watched denied");
    }
    let (own, id) = {
        let tokens = server.access.snapshot().await.unwrap();
        let ids = tokens.tokens().filter(|token| token.principal.as_str() == "auditor");
        let ids: Vec<_> = ids.map(|token| token.id.clone()).collect();
        (ids.len(), ids)
    };
    assert_eq!(own, 2);
    for id in &id {
        server.access.revoke_token(id).await.unwrap();
    }
    let end = tokio::time::timeout(Duration::from_secs(30), lines.next()).await.unwrap();
    assert!(matches!(end, Some(Err(_))), "a revoked token reads on: {end:?}");
    let of_following = entries(&server, &[("caller", "auditor"), ("action", "read_audit")]).await;
    let outcomes: Vec<_> = of_following.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["allowed", "denied"], "following fills no log by itself");
    server.stop().await;
}

/// AUDIT-5: whatever a request carries, no credential of it comes into the log.
#[tokio::test(flavor = "multi_thread")]
async fn audit_5_no_credential_and_no_control_character_comes_into_the_log() {
    let server = Server::start().await;
    let other = Server::start().await;
    let secrets = [server.root.clone(), other.root.clone(), "hunter2hunter2".to_owned()];
    for secret in &secrets {
        for header in [format!("Bearer {secret}"), format!("Digest {secret}"), secret.clone()] {
            for path in ["/fs/", "/nothing", "/api/v1/access/whoami", "/api/v1/audit"] {
                let request = server.http().get(format!("{}{path}", server.url));
                request.header("authorization", &header).send().await.unwrap();
            }
        }
        let two = server.http().get(format!("{}/fs/", server.url));
        let two = two.header("authorization", secret).header("authorization", secret);
        two.send().await.unwrap();
    }
    let tag = "/api/v1/projects/main/datasets/data/tags/%1b%5b31m";
    ask(&server, Method::DELETE, tag, &server.root, "").await;
    let principal = "/api/v1/access/principals/%1b%5b31m";
    ask(&server, Method::DELETE, principal, &server.root, "").await;
    entries(&server, &[]).await;
    let log = server.get("/api/v1/audit", &[]).await.text().await.unwrap();
    assert!(log.lines().count() > 5);
    for secret in &secrets {
        assert!(!log.contains(&secret[secret.len() - 12..]), "a secret is in the log");
    }
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        for text in value.as_object().unwrap().values().filter_map(Value::as_str) {
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
    server.stop().await;
    other.stop().await;
}

/// A seal whose key for the log is lost.
struct NoKey;

impl cairn_access::Seal for NoKey {
    fn seal(&self, _name: &str, plain: &[u8]) -> Vec<u8> {
        plain.to_vec()
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, cairn_access::SealError> {
        if name.starts_with("audit/") {
            let (kind, detail) = (cairn_base::ErrorKind::Denied, "another key".to_owned());
            return Err(cairn_access::SealError { kind, detail });
        }
        Ok(sealed.to_vec())
    }
}

/// AUDIT-4: a node whose log cannot be written says that it is not ready, and after a minute does
/// nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn audit_4_a_node_without_its_log_is_not_ready() {
    use axum::body::Body;
    use axum::http::Request;
    use cairn_access::{Access, Plain};
    use tower::ServiceExt as _;

    let clock = Arc::new(cairn_testkit::Shifted::default());
    let env = Env { clock: clock.clone(), ..Env::real() };
    let bucket = Bucket::memory(&env);
    let first = Access::bootstrap(bucket.clone(), env.clone(), Arc::new(Plain)).await.unwrap();
    first.0.audit().commit().await.unwrap();
    let token = first.1.unwrap().token.expose().to_owned();
    let access = Access::open(bucket.clone(), env.clone(), Arc::new(NoKey)).await.unwrap();
    let options = cairn_blocks::Options::default();
    let datasets =
        cairn_datasets::Datasets::open_or_init(bucket, None, options, &env).await.unwrap();
    let uploads = cairn_datasets::Uploads::new(datasets.clone());
    let door = cairn_http::DoorBuilder::new(datasets, uploads, access.clone()).build().unwrap();
    let ask = async |path: &str| {
        let request = Request::get(path).header("host", "node");
        let request = request.header("authorization", format!("Bearer {token}"));
        let answer = door.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(ask("/fs/").await, 200, "a read goes on while its record waits");
    let unwritten = access.audit().commit().await.unwrap_err();
    assert!(unwritten.to_string().contains("another key"), "{unwritten}");
    assert_eq!((ask("/readyz").await, ask("/fs/").await), (200, 200));
    clock.forward(Duration::from_secs(61));
    assert_eq!((ask("/readyz").await, ask("/fs/").await, ask("/livez").await), (503, 503, 200));
}
