//! What an operator's page asks a node: its projects, its health, what it costs, who is logged in, the end
//! of the log, and a collection as it goes.

use std::collections::BTreeSet;

use cairn_access::{Origin, Owner};
use reqwest::Method;
use serde_json::Value;

use crate::support::{Server, tree};

async fn ask(server: &Server, token: &str, method: Method, path: &str) -> (u16, String) {
    let url = format!("{}{path}", server.url);
    let answer = server.http().request(method, url).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn get(server: &Server, token: &str, path: &str) -> Value {
    let (status, text) = ask(server, token, Method::GET, path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn filled() -> Server {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    for to in ["@b/data:v1", "@a/data:v1", "@a/other:v1", "@c/gone:v1", "@a/data:v2", "data:v1"] {
        server.fill(work.path(), to).await;
    }
    let gone = "/api/v1/projects/c/datasets/gone";
    assert_eq!(ask(&server, &server.root, Method::DELETE, gone).await.0, 200);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_those_that_one_may_read() {
    let server = filled().await;
    let names = |page: &Value| -> Vec<String> {
        let projects = page["projects"].as_array().unwrap().iter();
        projects.map(|project| project["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = get(&server, &server.root, "/api/v1/projects").await;
    assert_eq!(
        (names(&all), &all["next"]),
        (vec!["a".into(), "b".into(), "main".into()], &Value::Null)
    );
    let first = get(&server, &server.root, "/api/v1/projects?limit=2").await;
    assert_eq!((names(&first).len(), first["next"].as_str()), (2, Some("b")));
    let rest = get(&server, &server.root, "/api/v1/projects?limit=2&after=b").await;
    assert_eq!((names(&rest), &rest["next"]), (vec!["main".into()], &Value::Null));
    let reader = server.user("reader", &["reader @b/da*"]).await;
    assert_eq!(names(&get(&server, &reader, "/api/v1/projects").await), ["b"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_told_by_project() {
    let server = filled().await;
    let plain = get(&server, &server.root, "/api/v1/usage").await;
    assert_eq!(
        (&plain["pack_bytes"], &plain["projects"], &plain["edits"]),
        (&Value::Null, &Value::Null, &0.into())
    );
    let usage = get(&server, &server.root, "/api/v1/usage?detail=true").await;
    assert!(usage["pack_bytes"].as_u64().unwrap() > 3_000_000, "{usage}");
    let a = &usage["projects"][0];
    assert_eq!(
        (a["project"].as_str(), &a["datasets"], &a["tags"]),
        (Some("a"), &2.into(), &3.into())
    );
    assert_eq!(usage["projects"].as_array().unwrap().len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_how_it_is() {
    let server = filled().await;
    let doctor = get(&server, &server.root, "/api/v1/doctor").await;
    let findings = doctor["findings"].as_array().unwrap();
    let checks: BTreeSet<&str> = findings.iter().filter_map(|it| it["check"].as_str()).collect();
    let expected = ["audit log", "bucket", "clock", "collection", "contents", "program"];
    assert!(expected.iter().all(|check| checks.contains(check)), "{checks:?}");
    for finding in findings {
        let fine = finding["level"] == "ok";
        // A build without a console says so, and what to do.
        assert!(fine || finding["check"] == "program", "{finding}");
        assert_eq!(finding["next_step"].is_null(), fine, "{finding}");
    }
    let collection = |doctor: &Value| {
        let all = doctor["findings"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["check"] == "collection").unwrap()["detail"].to_string()
    };
    assert!(collection(&doctor).contains("none since"));
    assert_eq!(
        ask(&server, &server.root, Method::POST, "/api/v1/maintenance/collect").await.0,
        200
    );
    let doctor = get(&server, &server.root, "/api/v1/doctor").await;
    assert!(collection(&doctor).contains("0 hours ago: removed"), "{doctor}");
    server.stop().await;
}

/// ACCESS-6: a collection that tells how far it is is in the log before its result is told.
#[tokio::test(flavor = "multi_thread")]
async fn access_6_a_collection_tells_how_far_it_is() {
    let server = filled().await;
    let url = format!("{}/api/v1/maintenance/collect?dry_run=true", server.url);
    let asked = server.http().post(&url).bearer_auth(&server.root);
    let answer = asked.header("accept", "application/x-ndjson").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let text = answer.text().await.unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["result"]["versions"], 5, "{text}");
    assert_eq!(last["result"]["packs_deleted"], 0);
    for line in text.lines().rev().skip(1) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["progress"]["versions"].as_u64() <= line["progress"]["all"].as_u64());
    }
    let log = "/api/v1/audit?action=maintain&outcome=changed";
    let (_, log) = ask(&server, &server.root, Method::GET, log).await;
    assert!(log.contains("nothing: it was only asked"), "{log}");
    let plain = server.http().post(&url).bearer_auth(&server.root).send().await.unwrap();
    assert_eq!(plain.json::<Value>().await.unwrap()["versions"], 5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_from_its_end() {
    let server = filled().await;
    let read = async |query: &str| -> Vec<(u64, u64)> {
        let path = format!("/api/v1/audit?{query}");
        let (status, text) = ask(&server, &server.root, Method::GET, &path).await;
        assert_eq!(status, 200, "{text}");
        let lines = text.lines().filter(|line| !line.is_empty());
        let place = |line: Value| (line["seq"].as_u64().unwrap(), line["index"].as_u64().unwrap());
        lines.map(|line| place(serde_json::from_str(line).unwrap())).collect()
    };
    for _ in 0..7 {
        get(&server, &server.root, "/api/v1/usage").await;
        server.access.audit().commit().await.unwrap();
    }
    server.access.audit().commit().await.unwrap();
    let mut all = read("").await;
    // What reading records itself comes later.
    let end = *all.last().unwrap();
    all.reverse();
    let (mut found, mut before) = (Vec::new(), format!("{}.{}", end.0, end.1 + 1));
    loop {
        let page = read(&format!("order=newest&limit=3&before={before}")).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = format!("{}.{}", last.0, last.1);
        found.extend(page);
    }
    assert_eq!(found, all);
    let newest = read("order=newest&limit=2").await;
    assert!(newest.len() == 2 && newest[0] > newest[1] && newest[0] >= end, "{newest:?}");
    assert!(read(&format!("order=newest&before={}", end.0)).await.iter().all(|at| at.0 < end.0));
    assert_eq!(read("limit=2").await.len(), 2);
    for bad in [
        "order=newest&follow=true",
        "order=newest&after=3",
        "before=3",
        "order=newest&before=x",
        "order=up",
        "limit=0",
    ] {
        let (status, text) =
            ask(&server, &server.root, Method::GET, &format!("/api/v1/audit?{bad}")).await;
        assert_eq!(status, 400, "{bad}: {text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signs_out_everywhere() {
    let server = Server::start().await;
    let api = server.user("ada", &["reader data"]).await;
    server.user("bob", &["reader data"]).await;
    let open = async |name: &str| {
        let owner = Owner::Principal(name.parse().unwrap());
        let life = std::time::Duration::from_secs(3600);
        let made =
            server.access.open_session(owner, BTreeSet::new(), life, &Origin::default()).await;
        made.unwrap().token.expose().to_owned()
    };
    let (first, second, others) = (open("ada").await, open("ada").await, open("bob").await);
    let all = "/api/v1/login/sessions";
    let seen = get(&server, &second, all).await;
    let sessions = seen["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
    let other = sessions.iter().find(|session| session["current"] == false).unwrap();
    let one = format!("{all}/{}", other["id"].as_str().unwrap());
    // Nobody ends what is somebody else's.
    assert_eq!(ask(&server, &others, Method::DELETE, &one).await.0, 404);
    assert_eq!(ask(&server, &second, Method::DELETE, &one).await.0, 204);
    assert_eq!(ask(&server, &first, Method::GET, all).await.0, 401);
    let third = open("ada").await;
    let (status, ended) = ask(&server, &third, Method::DELETE, all).await;
    assert_eq!((status, ended.as_str()), (200, r#"{"ended":2}"#));
    for token in [&second, &third] {
        assert_eq!(ask(&server, token, Method::GET, all).await.0, 401);
    }
    // Tokens of programs, and other people's sessions, stay.
    assert_eq!(get(&server, &api, all).await["sessions"].as_array().unwrap().len(), 0);
    assert_eq!(ask(&server, &others, Method::GET, all).await.0, 200);
    server.stop().await;
}
