//! Edits over REST: by a client of ours that breaks off, and by curl.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::support::{Server, noise, program};

const API: &str = "/api/v1";

async fn call(
    server: &Server,
    token: &str,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> (u16, Value) {
    let url = format!("{}{API}/{path}", server.url);
    let answer = server.http().request(method, url).bearer_auth(token).body(body).send();
    let answer = answer.await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn begin(server: &Server, token: &str, tag: &str) -> String {
    let body = json!({ "tag": tag }).to_string().into_bytes();
    let (status, opened) =
        call(server, token, Method::POST, "projects/main/datasets/data/edits", body).await;
    assert_eq!(status, 201, "{opened}");
    format!("edits/{}", opened["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_parts_that_break_off_is_whole() {
    let server = Server::start().await;
    let token = server.user("ada", &["writer data"]).await;
    let edit = begin(&server, &token, "main").await;
    let bytes = noise(5_000_000, 3);
    let path = format!("{edit}/files/dir/a%20file");
    let put = format!("{path}?size=5000000&mtime=1700000000.5");
    let first = format!("{put}&offset=0");
    let (status, told) =
        call(&server, &token, Method::PUT, &first, bytes[..2_000_000].to_vec()).await;
    assert_eq!((status, &told["received"], &told["done"]), (200, &2_000_000.into(), &false.into()));
    // A body that breaks off: what arrived counts.
    let address = server.url.strip_prefix("http://").unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT {API}/{put}&offset=2000000 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-length: 3000000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&bytes[2_000_000..3_500_000]).await.unwrap();
    socket.shutdown().await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
    let received = loop {
        let (status, told) = call(&server, &token, Method::GET, &edit, Vec::new()).await;
        assert_eq!(status, 200);
        let received = usize::try_from(told["files"][0]["received"].as_u64().unwrap()).unwrap();
        if received > 2_000_000 {
            break received;
        }
    };
    // The error says where to go on, as the list does.
    let (status, refused) = call(&server, &token, Method::PUT, &first, bytes[..10].to_vec()).await;
    assert_eq!((status, refused["error"]["kind"].as_str()), (409, Some("conflict")));
    let mut from = usize::try_from(refused["error"]["received"].as_u64().unwrap()).unwrap();
    assert!(from >= received && from <= 3_500_000, "{from}");
    let (status, early) =
        call(&server, &token, Method::POST, &format!("{edit}/publish"), Vec::new()).await;
    assert_eq!(status, 409, "{early}");
    while from < bytes.len() {
        let rest = format!("{put}&offset={from}");
        let (status, told) =
            call(&server, &token, Method::PUT, &rest, bytes[from..].to_vec()).await;
        let (field, is) = if status == 200 { (&told, 200) } else { (&told["error"], 409) };
        assert_eq!(status, is, "{told}");
        from = usize::try_from(field["received"].as_u64().unwrap()).unwrap();
    }
    let body = json!({ "expect": null, "message": "by hand" }).to_string().into_bytes();
    let (status, published) =
        call(&server, &token, Method::POST, &format!("{edit}/publish"), body).await;
    assert_eq!(status, 200, "{published}");
    assert_eq!(
        (&published["version"]["by"], &published["version"]["files"]),
        (&"ada".into(), &1.into())
    );
    let file = server.get("/fs/data/main/dir/a%20file", &[]).await;
    assert_eq!(file.headers()["last-modified"], "Tue, 14 Nov 2023 22:13:20 GMT");
    assert_eq!(file.bytes().await.unwrap(), bytes);
    let (status, _) = call(&server, &token, Method::GET, &edit, Vec::new()).await;
    assert_eq!(status, 404, "it has ended");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_its_owners_while_that_one_may_write() {
    let server = Server::start().await;
    let ada = server.user("ada", &["writer data"]).await;
    let bob = server.user("bob", &["writer data"]).await;
    let edit = begin(&server, &ada, "main").await;
    let put = format!("{edit}/files/a");
    assert_eq!(call(&server, &bob, Method::PUT, &put, b"x".to_vec()).await.0, 404);
    assert_eq!(call(&server, &ada, Method::PUT, &put, b"x".to_vec()).await.0, 200);
    for (path, body, status) in [
        ("a//b", "x", 400),
        ("a%2fb", "x", 400),
        ("%00", "x", 400),
        ("%ff", "x", 400),
        ("b/", "x", 400),
        ("b?size=1", "two bytes", 400),
        ("b?size=-1", "", 400),
        ("b?size=99999999999999999999", "", 400),
        ("b?size=9&mtime=soon", "", 400),
        ("b?size=9&offset=5", "x", 409),
        ("a/below", "x", 400),
    ] {
        let path = format!("{edit}/files/{path}");
        let (found, told) = call(&server, &ada, Method::PUT, &path, body.into()).await;
        assert_eq!(found, status, "{path}: {told}");
    }
    assert_eq!(
        call(&server, &ada, Method::DELETE, &format!("{edit}/files/none"), Vec::new()).await.0,
        404
    );
    // A body over the bound is refused before it is read.
    let url = format!("{}{API}/{edit}/files/big?size=99999999", server.url);
    let large =
        server.http().put(url).bearer_auth(&ada).body(vec![0; 65 * 1024 * 1024]).send().await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 413));
    let grants = server.access.snapshot().await.unwrap();
    let grant = grants.grants().find(|grant| grant.subject.to_string() == "ada").unwrap().id();
    server.access.remove_grant(&grant).await.unwrap();
    assert_eq!(call(&server, &ada, Method::PUT, &put, b"y".to_vec()).await.0, 403);
    assert_eq!(
        call(&server, &ada, Method::POST, &format!("{edit}/publish"), Vec::new()).await.0,
        403
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_edit_is_told_in_pages_and_given_up() {
    let server = Server::start().await;
    let token = server.root.clone();
    let edit = begin(&server, &token, "main").await;
    for name in ["a", "b/c", "d", "e"] {
        let put = format!("{edit}/files/{name}");
        assert_eq!(call(&server, &token, Method::PUT, &put, name.into()).await.0, 200);
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = format!("{edit}?limit=3{after}");
        let (_, page) = call(&server, &token, Method::GET, &page, Vec::new()).await;
        found.extend(page["files"].as_array().unwrap().iter().map(|file| file["path"].clone()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(Value::from(found), json!(["a", "b/c", "d", "e"]));
    assert_eq!(call(&server, &token, Method::DELETE, &edit, Vec::new()).await.0, 204);
    assert_eq!(call(&server, &token, Method::GET, &edit, Vec::new()).await.0, 404);
    assert_eq!(server.get("/api/v1/projects/main/datasets/data", &[]).await.status(), 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_edits_a_dataset() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    let large = work.path().join("large");
    let bytes = noise(3_000_000, 5);
    std::fs::write(&large, &bytes).unwrap();
    let curl = async |args: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sSf", "--max-time", "20", "-u", &format!(":{}", server.root)]).args(args);
        program(&mut command).await.map(|output| {
            assert!(output.status.success(), "{args:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        })
    };
    let edits = format!("{}{API}/projects/main/datasets/data/edits", server.url);
    let Some(opened) = curl(&["-d", r#"{"tag":"main"}"#, &edits]).await else { return };
    let id = serde_json::from_str::<Value>(&opened).unwrap()["id"].as_str().unwrap().to_owned();
    let edit = format!("{}{API}/edits/{id}", server.url);
    let put =
        curl(&["-T", large.to_str().unwrap(), &format!("{edit}/files/dir/large")]).await.unwrap();
    assert!(put.contains(r#""received":3000000,"done":true"#), "{put}");
    let script = work.path().join("run.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    let put = format!("{edit}/files/run.sh?executable=true");
    curl(&["-T", script.to_str().unwrap(), &put]).await.unwrap();
    let said = curl(&["-d", "{}", &format!("{edit}/publish")]).await.unwrap();
    assert!(said.contains(r#""files":2"#), "{said}");
    let out = work.path().join("out");
    let file = format!("{}/fs/data/main/dir/large", server.url);
    curl(&["-o", out.to_str().unwrap(), &file]).await.unwrap();
    assert_eq!(std::fs::read(out).unwrap(), bytes);
    let tree = format!("{}{API}/projects/main/datasets/data/tags/main/tree", server.url);
    let tree: Value = serde_json::from_str(&curl(&[&tree]).await.unwrap()).unwrap();
    assert_eq!(tree["children"][1]["mode"], 0o755);
    // A second edit takes a directory out.
    let opened = curl(&["-d", r#"{"tag":"main"}"#, &edits]).await.unwrap();
    let id = serde_json::from_str::<Value>(&opened).unwrap()["id"].as_str().unwrap().to_owned();
    let edit = format!("{}{API}/edits/{id}", server.url);
    curl(&["-X", "DELETE", &format!("{edit}/files/dir")]).await.unwrap();
    curl(&["-X", "POST", &format!("{edit}/publish")]).await.unwrap();
    let list = curl(&[&format!("{}/fs/data/main/?format=json", server.url)]).await.unwrap();
    assert!(list.contains("run.sh") && !list.contains("large"), "{list}");
    server.stop().await;
}
