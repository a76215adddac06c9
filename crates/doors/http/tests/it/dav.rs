//! WebDAV, asked by hand, by litmus, by cadaver and by rclone.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use cairn_datasets::Store as _;
use tokio::process::Command;

use crate::support::{Server, program, target, tree};

async fn propfind(server: &Server, path: &str, depth: Option<&str>, body: &str) -> (u16, String) {
    let method = Method::from_bytes(b"PROPFIND").unwrap();
    let mut request = server
        .http()
        .request(method, format!("{}{path}", server.url))
        .bearer_auth(&server.root)
        .body(body.to_owned());
    if let Some(depth) = depth {
        request = request.header("depth", depth);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn hrefs(xml: &str) -> Vec<&str> {
    let parts = xml.split("<D:href>").skip(1);
    parts.map(|part| part.split_once("</D:href>").unwrap().0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_is_listed() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    server.fill(work.path(), "@lab/other:v2").await;
    let one = Some("1");
    for (path, found) in [
        ("/dav", vec!["/dav/", "/dav/data/"]),
        ("/dav/@lab/", vec!["/dav/@lab/", "/dav/@lab/other/"]),
        ("/dav/data", vec!["/dav/data/", "/dav/data/v1/"]),
        (
            "/dav/data/v1/",
            vec![
                "/dav/data/v1/",
                "/dav/data/v1/empty",
                "/dav/data/v1/hello.txt",
                "/dav/data/v1/sub/",
            ],
        ),
        ("/dav/data/v1/dirlink", vec![]),
        ("/dav/data/v1/sub/link", vec!["/dav/data/v1/sub/link"]),
    ] {
        let (status, xml) = propfind(&server, path, one, "").await;
        assert_eq!(status, 207, "{path}: {xml}");
        if !found.is_empty() {
            assert_eq!(hrefs(&xml), found, "{path}");
        }
    }
    let (_, xml) = propfind(&server, "/dav/data/v1/sub/", one, "").await;
    let names = hrefs(&xml);
    for listed in ["link", "hard.txt", "noise.bin", "caf%E9%252f", "deep/"] {
        assert!(names.contains(&format!("/dav/data/v1/sub/{listed}").as_str()), "{names:?}");
    }
    assert!(!xml.contains("/out"), "a link that leads out is not there");
    let (_, file) = propfind(&server, "/dav/data/v1/hello.txt", Some("0"), "").await;
    let etag = server.get("/fs/data/v1/hello.txt", &[]).await.headers()["etag"].clone();
    let etag = etag.to_str().unwrap().replace('"', "&quot;");
    assert!(file.contains(&format!("<D:getetag>{etag}</D:getetag>")), "{file}");
    assert!(file.contains("<D:getcontentlength>13<"), "{file}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_only_and_not_endless() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let before = server.datasets.tag(&target("data:v1")).await.unwrap();
    let url = format!("{}/dav/data/v1/hello.txt", server.url);
    for method in ["PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK", "POST"]
    {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = server.http().request(method.clone(), &url).bearer_auth(&server.root);
        let answer = request.header("destination", &url).body("x").send().await.unwrap();
        assert_eq!(answer.status(), 405, "{method}");
        let allow = answer.headers()["allow"].to_str().unwrap().to_owned();
        assert!(allow.contains("PROPFIND") && !allow.contains("PUT"), "{allow}");
    }
    for depth in [None, Some("infinity"), Some("Infinity")] {
        let (status, body) = propfind(&server, "/dav/data/v1/", depth, "").await;
        assert_eq!(status, 403);
        assert!(body.contains("<D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>"));
    }
    for (path, depth, body, expected) in [
        ("/dav/data/v1/", "2", "", 400),
        ("/dav/data/v1/", "1", "<foo>", 400),
        ("/dav/data/v1/none", "0", "", 404),
        ("/dav/data/none/", "0", "", 404),
        ("/dav/none/", "1", "", 404),
        ("/dav/data/v1/hello.txt/", "0", "", 404),
        ("/dav/data/v1/a%2fb", "0", "", 400),
        ("/dav/data/v1/sub/out", "0", "", 404),
    ] {
        let (status, said) = propfind(&server, path, Some(depth), body).await;
        assert_eq!(status, expected, "{path} {body}: {said}");
    }
    let long = "x".repeat(65 * 1024);
    assert_eq!(propfind(&server, "/dav/data/v1/", Some("0"), &long).await.0, 413);
    let options = server.http().request(Method::OPTIONS, &url).bearer_auth(&server.root);
    let options = options.send().await.unwrap();
    assert_eq!(
        (options.status().as_u16(), &options.headers()["dav"]),
        (200, &"1".parse().unwrap())
    );
    assert_eq!(options.headers()["allow"], "OPTIONS, GET, HEAD, PROPFIND");
    let after = server.datasets.tag(&target("data:v1")).await.unwrap();
    assert_eq!(before, after);
    server.stop().await;
}

/// The files that litmus puts before it reads them.
const PUT_BY_LITMUS: &[(&str, &str)] = &[
    ("res", "This is\na test file.\nfor litmus\ntesting.\n"),
    ("res-\u{20ac}", "This is\na test file.\nfor litmus\ntesting.\n"),
    ("prop", ""),
    ("prop2", ""),
];

/// The checks that read.
const READ_BY_LITMUS: &[&str] = &[
    "options",
    "put_get",
    "put_get_utf8_segment",
    "propfind_invalid",
    "propfind_invalid2",
    "propfind_d0",
    "propextended",
];
/// Checks of what a server that only reads does not do.
const WRITTEN_BY_LITMUS: &[&str] = &[
    "put_no_parent",
    "delete_null",
    "delete_fragment",
    "mkcol",
    "mkcol_again",
    "delete_coll",
    "mkcol_no_parent",
    "mkcol_with_body",
    "propset",
    "propget",
    "propmove",
    "propdeletes",
    "propreplace",
    "propnullns",
    "prophighunicode",
    "propremoveset",
    "propsetremove",
    "propvalnspace",
    "propmanyns",
];

/// What the proxy itself answers: litmus prepares a place for itself, which a server that only reads
/// refuses. The place is in the dataset already; a PUT is granted only when the very bytes are there.
fn set_up(method: &Method, path: &str, body: &[u8]) -> Option<StatusCode> {
    let name = percent_encoding::percent_decode_str(path.rsplit('/').next()?).decode_utf8().ok()?;
    match method.as_str() {
        "MKCOL" if path.ends_with("/litmus/") => Some(StatusCode::CREATED),
        "DELETE" => Some(StatusCode::NO_CONTENT),
        "PUT" => {
            let there = PUT_BY_LITMUS.iter().any(|(known, content)| {
                *known == name && (content.as_bytes() == body || content.is_empty())
            });
            there.then_some(StatusCode::CREATED)
        }
        _ => None,
    }
}

async fn through(to: String, client: reqwest::Client, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    if let Some(status) = set_up(&parts.method, parts.uri.path(), &body) {
        return Response::builder().status(status).body(Body::empty()).unwrap();
    }
    let mut forward = client.request(parts.method, format!("{to}{}", parts.uri)).body(body);
    for (name, value) in &parts.headers {
        if !matches!(name.as_str(), "host" | "connection" | "content-length" | "te") {
            forward = forward.header(name, value);
        }
    }
    let answer = forward.send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if !matches!(name.as_str(), "transfer-encoding" | "content-length" | "connection") {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

/// The outcome of each check by name, of several runs the worst.
fn outcomes(said: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for line in said.replace('\r', "\n").lines() {
        let Some((_, rest)) = line.split_once(". ") else { continue };
        let Some((name, outcome)) = rest.split_once("..") else { continue };
        let outcome = outcome.trim_start_matches('.').split_whitespace().next().unwrap_or("");
        if matches!(outcome, "pass" | "FAIL" | "SKIPPED" | "WARNING:")
            && all.get(name).is_none_or(|known| known == "pass")
        {
            all.insert(name.to_owned(), outcome.to_owned());
        }
    }
    all
}

/// The checks of litmus 0.13 that read, on a place that it did not have to make; all others change
/// something, and are refused.
#[tokio::test(flavor = "multi_thread")]
async fn litmus_finds_what_it_reads_as_it_should_be() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    std::fs::create_dir(work.path().join("litmus")).unwrap();
    for (name, content) in PUT_BY_LITMUS {
        std::fs::write(work.path().join("litmus").join(name), content).unwrap();
    }
    server.fill(work.path(), "lit:v1").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dav/lit/v1/", listener.local_addr().unwrap());
    let (to, client) = (server.url.clone(), server.http());
    let proxy = axum::Router::new()
        .fallback(move |request: Request| through(to.clone(), client.clone(), request));
    server.env.spawn.task(Box::pin(async move { axum::serve(listener, proxy).await.unwrap() }));
    let home = tempfile::tempdir().unwrap();
    let mut litmus = Command::new("litmus");
    litmus.env("TESTS", "basic props http").current_dir(home.path());
    let ran = program(litmus.args(["-k", &url, "any", &server.root])).await;
    let Some(ran) = ran else { return };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let outcomes = outcomes(&said);
    for (check, outcome) in &outcomes {
        let reads = READ_BY_LITMUS.contains(&check.as_str());
        // Locks are Class 2, which is not claimed.
        let fine = outcome == "pass" || (check == "options" && outcome == "WARNING:");
        assert!(!reads || fine, "{check}: {outcome}\n{said}");
        let writes = WRITTEN_BY_LITMUS.contains(&check.as_str());
        assert!(fine || writes, "{check}: {outcome}\n{said}");
    }
    assert!(said.contains("server does not claim Class 2"), "{said}");
    let ran = READ_BY_LITMUS.iter().filter(|check| outcomes.contains_key(**check)).count();
    assert_eq!(ran, READ_BY_LITMUS.len(), "{said}");
    server.stop().await;
}
