//! Following a tag over HTTP: events, long polls, and the node's client.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cairn_bucket::Bucket;
use cairn_datasets::{REMOVED, Store};
use cairn_env::Env;
use cairn_http::Options;
use cairn_http::api::{FollowEnd, TagStates};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{Server, target};

const PATH: &str = "/api/v1/projects/main/datasets/data/tags/v1/follow";

async fn moved(server: &Server, content: &str) -> cairn_datasets::Version {
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("a"), content).unwrap();
    server.fill(work.path(), "data:v1").await.version
}

/// The events of an answer, read by a parser of its own: fields by name.
struct Events {
    body: futures::stream::BoxStream<'static, Vec<u8>>,
    text: String,
}

#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Events {
    async fn open(server: &Server, token: &str, after: Option<&str>) -> Self {
        let mut request = server
            .http()
            .get(format!("{}{PATH}", server.url))
            .bearer_auth(token)
            .header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let body = answer.bytes_stream().map(|piece| piece.unwrap().to_vec()).boxed();
        Self { body, text: String::new() }
    }

    /// The next event with data; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.clone().split_once("\n\n") {
                rest.clone_into(&mut self.text);
                let mut found =
                    Event { id: String::new(), name: "message".to_owned(), data: Value::Null };
                for line in event.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => id.clone_into(&mut found.id),
                        Some(("event", name)) => name.clone_into(&mut found.name),
                        Some(("data", data)) => found.data = serde_json::from_str(data).unwrap(),
                        _ => {}
                    }
                }
                if !found.data.is_null() {
                    return Some(found);
                }
                continue;
            }
            let piece = self.body.next().await?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_and_go_on_after_a_break() {
    let server = Server::start().await;
    let mut events = Events::open(&server, &server.root, None).await;
    let nothing = events.next().await.unwrap();
    assert_eq!((nothing.name.as_str(), nothing.id.as_str()), ("removed", REMOVED));
    assert!(nothing.data["version"].is_null());
    let mut ids = Vec::new();
    for round in 0..4 {
        let version = moved(&server, &format!("{round}")).await;
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.id), ("version", &version.id()));
        assert_eq!(event.data["id"], event.id.as_str());
        assert_eq!(event.data["version"]["root"], version.root.to_string());
        ids.push(event.id);
    }
    drop(events);
    let mut again = Events::open(&server, &server.root, Some(&ids[0])).await;
    for id in &ids[1..] {
        assert_eq!(&again.next().await.unwrap().id, id);
    }
    server.datasets.remove(&target("data:v1")).await.unwrap();
    assert_eq!(again.next().await.unwrap().name, "removed");
    // A node that stops does not wait for those who follow.
    let (end, ()) = futures::join!(again.next(), server.stop());
    assert!(end.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_waits_and_tells() {
    let server = Server::start().await;
    let ask = |query: String| {
        let (server, path) = (&server, format!("{PATH}{query}"));
        async move {
            let answer = server.get(&path, &[]).await;
            assert_eq!(answer.status(), 200);
            answer.json::<TagStates>().await.unwrap()
        }
    };
    let first = moved(&server, "1").await;
    let now = ask(String::new()).await;
    assert_eq!(now.states.len(), 1);
    assert_eq!(now.after.as_deref(), Some(first.id().as_str()));
    let quiet = ask(format!("?after={}&wait=1", first.id())).await;
    assert_eq!((quiet.states.len(), quiet.after), (0, now.after.clone()));
    let url = format!("{}{PATH}?after={}&wait=60", server.url, first.id());
    let waiting = server.http().get(url).bearer_auth(&server.root).send();
    let (answer, second) = futures::join!(waiting, moved(&server, "2"));
    let told: TagStates = answer.unwrap().json().await.unwrap();
    assert_eq!(told.states[0].version.as_ref(), Some(&second));
    let third = moved(&server, "3").await;
    let both = ask(format!("?after={}", first.id())).await;
    let ids: Vec<String> = both.states.iter().map(|state| state.id.clone()).collect();
    assert_eq!(ids, [second.id(), third.id()]);
    for bad in ["?wait=0", "?wait=61", "?wait=x", "?wait=", "?after=%ff"] {
        assert_eq!(server.get(&format!("{PATH}{bad}"), &[]).await.status(), 400, "{bad}");
    }
    server.stop().await;
}

/// ACCESS-5: who was shut out hears nothing more, and its stream ends.
#[tokio::test(flavor = "multi_thread")]
async fn access_5_a_revoked_token_ends_its_streams() {
    let server = Server::start().await;
    moved(&server, "1").await;
    let token = server.user("ada", &["reader data"]).await;
    let mut events = Events::open(&server, &token, None).await;
    assert_eq!(events.next().await.unwrap().name, "version");
    let info = server.node(&token).whoami().await.unwrap().token.unwrap();
    server.access.revoke_token(&info.id.parse().unwrap()).await.unwrap();
    let limit = Duration::from_secs(2);
    let last = tokio::time::timeout(limit, events.next()).await.unwrap().unwrap();
    assert_eq!(last.name, "end");
    let end: FollowEnd = serde_json::from_value(last.data).unwrap();
    assert_eq!(end.kind, "denied");
    assert!(events.next().await.is_none());

    let token = server.user("bob", &["reader data"]).await;
    let mut events = Events::open(&server, &token, None).await;
    events.next().await.unwrap();
    let grants = server.node(&server.root).grants().await.unwrap().grants;
    let grant = grants.iter().find(|grant| grant.grant.subject == "bob").unwrap();
    server.access.remove_grant(&grant.id.parse().unwrap()).await.unwrap();
    moved(&server, "2").await;
    assert_eq!(events.next().await.unwrap().name, "end", "the move is not told");
    server.stop().await;
}

/// Followers have places of their own: many of them leave the node as it was.
#[tokio::test(flavor = "multi_thread")]
async fn followers_take_no_places_of_requests() {
    let env = Env::real();
    let options = Options { requests_max: 1, followers_max: 3, ..Options::default() };
    let server = Server::on(Bucket::memory(&env), options).await;
    moved(&server, "1").await;
    let mut following = Vec::new();
    for _ in 0..3 {
        let mut events = Events::open(&server, &server.root, None).await;
        events.next().await.unwrap();
        following.push(events);
    }
    let refused = server.get(PATH, &[]).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(server.get("/fs/data/v1/a", &[]).await.text().await.unwrap(), "1");
    drop(following);
    while server.get(PATH, &[]).await.status() != 200 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

/// The client of a node gives what the engine gives, and outlives the node.
#[tokio::test(flavor = "multi_thread")]
async fn datasets_5_the_client_follows_over_a_restart() {
    let env = Env::real();
    let bucket = Bucket::memory(&env);
    let server = Server::on(bucket.clone(), Options::default()).await;
    let first = moved(&server, "1").await;
    let store: Arc<dyn Store> = Arc::new(server.node(&server.root));
    let mut follow = store.follow_from(&target("data:v1"), None);
    assert_eq!(follow.next().await.unwrap(), Some(first.clone()));
    let second = moved(&server, "2").await;
    assert_eq!(follow.next().await.unwrap(), Some(second));
    server.stop().await;
    let gone = follow.next().await.unwrap_err();
    assert_eq!(gone.kind(), cairn_base::ErrorKind::Closed, "{gone}");

    let (server, root) = Server::again(bucket).await;
    let third = moved(&server, "3").await;
    let store: Arc<dyn Store> = Arc::new(server.node(&root));
    let mut follow = store.follow_from(&target("data:v1"), Some(first.id()));
    follow.next().await.unwrap().unwrap();
    assert_eq!(follow.next().await.unwrap(), Some(third));
    let nobody: Arc<dyn Store> = Arc::new(server.node("x"));
    let denied = nobody.follow_from(&target("data:v1"), None).next().await.unwrap_err();
    assert_eq!(denied.kind(), cairn_base::ErrorKind::Denied);
    server.stop().await;
}

/// curl reads the stream as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn curl_follows_a_tag() {
    let server = Server::start().await;
    let first = moved(&server, "1").await;
    let spawned = tokio::process::Command::new("curl")
        .args(["-sSN", "--max-time", "20", "-H", "Accept: text/event-stream", "-u"])
        .arg(format!(":{}", server.root))
        .arg(format!("{}{PATH}", server.url))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut curl) = spawned else {
        eprintln!("skipped: there is no curl");
        return;
    };
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut ids = Vec::new();
    let second = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some(id) = line.strip_prefix("id: ") {
            ids.push(id.to_owned());
            break moved(&server, "2").await;
        }
    };
    while ids.len() < 2 {
        let line = lines.next_line().await.unwrap().unwrap();
        ids.extend(line.strip_prefix("id: ").map(str::to_owned));
    }
    assert_eq!(ids, [first.id(), second.id()]);
    server.stop().await;
}
