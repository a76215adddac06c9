//! Clients that mean no good, and clients that go away.

use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::OpenFrame;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_datasets::Store as _;
use cairn_http::limits::{FRAMES_BYTES_MAX, IDS_BYTES_MAX, JSON_BYTES_MAX};
use cairn_http::{ErrorBody, Options, wire};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, target, tree};

/// Sends bytes as they are, and reads until the other side closes.
pub(crate) async fn exchange(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    // The server may refuse before it has read everything.
    let written = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    assert!(!answer.is_empty() || written.is_err() || read.is_err() || read.unwrap() == 0);
    String::from_utf8_lossy(&answer).into_owned()
}

struct Upload {
    base: String,
    key: ChunkKey,
}

async fn begin(server: &Server, token: &str) -> Upload {
    let url = format!("{}/api/v1/projects/main/uploads", server.url);
    let body = r#"{"targets":[{"name":"data","tag":"v1"}]}"#;
    let answer = server.http().post(url).bearer_auth(token).body(body).send().await.unwrap();
    let opened: cairn_http::api::UploadOpened = answer.json().await.unwrap();
    let mut key = [0; 32];
    hex::decode_to_slice(&opened.key, &mut key).unwrap();
    let base = format!("{}/api/v1/uploads/{}", server.url, opened.id);
    Upload { base, key: ChunkKey::new(key) }
}

async fn post(server: &Server, token: &str, url: &str, body: Bytes) -> (StatusCode, Bytes) {
    let answer = server.http().post(url).bearer_auth(token).body(body).send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap())
}

fn message(body: &[u8]) -> String {
    serde_json::from_slice::<ErrorBody>(body).unwrap().error.message
}

/// Defect 6 of the earlier system: uploads were never looked at.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_what_it_says_is_taken() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let upload = begin(&server, &token).await;
    let (claim, frames) = (format!("{}/claim", upload.base), format!("{}/frames", upload.base));
    let good = upload.key.id(b"good");
    let (status, bitmap) = post(&server, &token, &claim, wire::encode_ids(&[good, good])).await;
    assert_eq!((status, &bitmap[..]), (StatusCode::OK, &[1][..]), "a claim is given once");
    let frame = |id: ChunkId, content: &[u8]| {
        let mut open = OpenFrame::default();
        open.push(id, content);
        wire::encode_frame(&open.encode(1))
    };
    let whole = frame(good, b"good");
    for (body, said) in [
        (frame(good, b"evil"), "is not chunk"),
        (frame(upload.key.id(b"other"), b"other"), "was not claimed"),
        (whole.slice(..whole.len() - 1), "the body ends within"),
        (Bytes::from_static(&[255; 64]), "4294967295 chunks"),
        (Bytes::from_static(&[0; 64]), "0 chunks"),
    ] {
        let (status, body) = post(&server, &token, &frames, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(message(&body).contains(said), "{}", message(&body));
    }
    let (status, body) = post(&server, &token, &claim, Bytes::from_static(&[1; 33])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{}", message(&body));
    assert_eq!(post(&server, &token, &frames, whole).await.0, StatusCode::NO_CONTENT);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_upload_is_none() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let other = server.user("other", &["writer data"]).await;
    let upload = begin(&server, &token).await;
    for what in ["claim", "frames", "publish"] {
        let url = format!("{}/{what}", upload.base);
        let (status, body) = post(&server, &other, &url, Bytes::new()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{what}");
        assert!(message(&body).starts_with("there is no upload"));
    }
    let gone = server.http().delete(&upload.base).bearer_auth(&other).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    // A grant that went away takes the upload along.
    let grants: Vec<_> = server.access.snapshot().await.unwrap().grants().cloned().collect();
    let grant = grants.iter().find(|grant| grant.subject.to_string() == "ci").unwrap();
    server.access.remove_grant(&grant.id()).await.unwrap();
    let url = format!("{}/claim", upload.base);
    assert_eq!(post(&server, &token, &url, Bytes::new()).await.0, StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_bounds() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let upload = begin(&server, &token).await;
    let id = upload.base.rsplit('/').next().unwrap().to_owned();
    for (path, max) in [
        (format!("/api/v1/uploads/{id}/frames"), FRAMES_BYTES_MAX),
        (format!("/api/v1/uploads/{id}/claim"), IDS_BYTES_MAX),
        ("/api/v1/projects/main/uploads".to_owned(), JSON_BYTES_MAX),
        ("/api/v1/projects/main/datasets/data/chunks".to_owned(), IDS_BYTES_MAX),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n"
        );
        let said = format!("{head}Content-Length: {}\r\n\r\n", max + 1);
        let answer = exchange(&server, said.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
        assert!(answer.contains("send it in several requests"), "{answer}");
        if max <= JSON_BYTES_MAX {
            let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            chunked.extend_from_slice(format!("{:x}\r\n", max + 1).as_bytes());
            chunked.resize(chunked.len() + max + 1, b' ');
            chunked.extend_from_slice(b"\r\n0\r\n\r\n");
            let answer = exchange(&server, &chunked).await;
            assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
        }
    }
    server.stop().await;
}

/// HTTP-2: a client that goes away in the middle of a frame leaves whole frames and a usable upload.
#[tokio::test(flavor = "multi_thread")]
async fn http_2_a_cut_off_body_does_no_harm() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let upload = begin(&server, &token).await;
    let contents: Vec<Vec<u8>> = (0..4_u8).map(|at| vec![at; 5000]).collect();
    let ids: Vec<ChunkId> = contents.iter().map(|content| upload.key.id(content)).collect();
    let claim = format!("{}/claim", upload.base);
    assert_eq!(post(&server, &token, &claim, wire::encode_ids(&ids)).await.1[0], 15);
    let frame = |at: usize| {
        let mut open = OpenFrame::default();
        open.push(ids[at], &contents[at]);
        wire::encode_frame(&open.encode(1))
    };
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let path = upload.base.trim_start_matches(&server.url);
    let head = format!(
        "POST {path}/frames HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 100000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[frame(0), frame(1).slice(..20)].concat()).await.unwrap();
    drop(stream);
    let rest = [frame(1), frame(2), frame(3)].concat();
    let frames = format!("{}/frames", upload.base);
    let (status, _) = post(&server, &token, &frames, rest.into()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let gone = server.http().delete(&upload.base).bearer_auth(&token).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_at_once_are_told_to_come_back() {
    let options = Options { requests_max: 1, ..Options::default() };
    let env = cairn_env::Env::real();
    let server = Server::on(cairn_bucket::Bucket::memory(&env), options).await;
    let token = server.user("ci", &["writer data"]).await;
    let mut slow = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/v1/projects/main/uploads HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {token}\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut ready = [0; 12];
    // The door asks for the body: from here on the request has its place.
    slow.read_exact(&mut ready).await.unwrap();
    assert_eq!(&ready, b"HTTP/1.1 100");
    // One who waits, but not for ever (HTTP-2).
    let busy = server.get("/api/v1/version", &[]).await;
    assert_eq!(busy.status(), 503);
    assert_eq!(busy.headers()["retry-after"], "1");
    let alive = server.get("/livez", &[]).await;
    assert_eq!(alive.status(), 200, "whether it lives can always be asked");
    // One who waits, and whose turn comes: the place is free before anybody gives up.
    let (waiting, ()) = tokio::join!(server.get("/api/v1/version", &[]), async { drop(slow) });
    assert_eq!(waiting.status(), 200);
    let node = server.node(&token);
    // The client tries again until the place is free.
    assert_eq!(node.tag(&target("data:v1")).await.unwrap_err().kind(), ErrorKind::NotFound);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_bounds() {
    let server = Server::start().await;
    let many: String = (0..200).map(|at| format!("x-{at}: y\r\n")).collect();
    let long = "y".repeat(500_000);
    for (request, status) in [
        (format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "HTTP/1.1 431"),
        (format!("GET /livez HTTP/1.1\r\nHost: x\r\nx: {long}\r\n\r\n"), "HTTP/1.1 431"),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nx\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("\0\0\0\0\r\n\r\n".to_owned(), "HTTP/1.1 400"),
    ] {
        let answer = exchange(&server, request.as_bytes()).await;
        // Too long a head may end the connection before the answer is read.
        assert!(answer.starts_with(status) || answer.is_empty(), "{answer}");
    }
    assert_eq!(server.get("/livez", &[]).await.status(), 200);
    server.stop().await;
}

/// What programs on the way could read in two ways is refused, and what stands behind it is never
/// answered as a request of its own.
#[tokio::test(flavor = "multi_thread")]
async fn smuggled_requests_are_not_answered() {
    let server = Server::start().await;
    let hidden = "GET /api/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let post = "POST /api/v1/access/explain HTTP/1.1\r\nHost: x\r\n";
    let get = "GET /livez HTTP/1.1\r\nHost: x\r\n";
    for request in [
        format!("{post}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()),
        format!("{post}Content-Length: 0, {}\r\n\r\n{hidden}", hidden.len()),
        format!("{post}Content-Length: +0\r\n\r\n{hidden}"),
        format!("{post}Content-Length: -1\r\n\r\n{hidden}"),
        format!("{post}Content-Length : 0\r\n\r\n{hidden}"),
        format!("{post}Content-Length:\r\n 0\r\n\r\n{hidden}"),
        format!(
            "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("{post}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n\r\n{hidden}"),
        format!("{get}X: a\rContent-Length: 5\r\n\r\n{hidden}"),
        format!("{get}X: a\r\n\tb: c\r\n\r\n{hidden}"),
        format!("{get}X: a\0b\r\n\r\n{hidden}"),
        format!("{get}Host: y\r\n\r\n{hidden}"),
        format!("{get} X: y\r\n\r\n{hidden}"),
        format!("GET /livez HTTP/1.1\r\n\r\n{hidden}"),
        format!("GET  /livez HTTP/1.1\r\nHost: x\r\n\r\n{hidden}"),
        format!("GET /livez HTTP/9.9\r\nHost: x\r\n\r\n{hidden}"),
        format!("GET /li\rvez HTTP/1.1\r\nHost: x\r\n\r\n{hidden}"),
    ] {
        let answer = exchange(&server, request.as_bytes()).await;
        let count = answer.matches("HTTP/1.1 ").count();
        let answer: String = answer.chars().take(600).collect();
        assert!(answer.starts_with("HTTP/1.1 4"), "{request:?}: {answer}");
        assert_eq!(count, 1, "{request:?}: {answer}");
    }
    // Both lengths: RFC 9112 lets a server go by the chunks, when it ends the connection after that.
    for both in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        for (first, known) in [(post, &server.root), (get, &String::new())] {
            let credential = match known.as_str() {
                "" => String::new(),
                token => format!("Authorization: Bearer {token}\r\n"),
            };
            let request = format!("{first}{credential}{both}\r\n\r\n0\r\n\r\n{hidden}");
            let answer = exchange(&server, request.as_bytes()).await;
            let count = answer.matches("HTTP/1.1 ").count();
            let answer: String = answer.chars().take(600).collect();
            assert_eq!(count, 1, "{request:?}: {answer}");
        }
    }
    server.stop().await;
}

/// Ranges that contradict each other: each answer is one that the file can give.
#[tokio::test(flavor = "multi_thread")]
async fn conflicting_ranges_get_a_whole_answer_or_none() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("f"), "0123456789").unwrap();
    server.fill(work.path(), "data:v1").await;
    for path in ["/fs/data/v1/f", "/dav/data/v1/f"] {
        let two = [("range", "bytes=0-1"), ("range", "bytes=5-6")];
        let answer = server.get(path, &two).await;
        assert_eq!(
            (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
            (200, "0123456789")
        );
        for (range, status, body) in [
            ("bytes=0-4,2-6", 206, Some("0123456")),
            ("bytes=5-2", 200, Some("0123456789")),
            ("bytes=0-0,bytes=2-3", 200, Some("0123456789")),
            ("bytes=-0", 416, None),
            ("bytes=10-", 416, None),
            ("bytes=0-18446744073709551615", 206, Some("0123456789")),
            ("bytes=0-99999999999999999999", 206, None),
            ("lines=0-1", 200, Some("0123456789")),
        ] {
            let answer = server.get(path, &[("range", range)]).await;
            let found = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            assert!(found == status || (body.is_none() && found == 200), "{range}: {found}");
            if let Some(body) = body {
                assert_eq!(text, body, "{range}");
            }
        }
    }
    server.stop().await;
}

/// No listing takes a page token that is none for more than an error or an empty page.
#[tokio::test(flavor = "multi_thread")]
async fn bad_page_tokens_are_answered() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let long = "z".repeat(10_000);
    let tokens = ["%ff%fe", "%00", "..%2f..", "", "%f0%9f%92%a9", "a%0d%0ab", long.as_str()];
    for path in [
        "/api/v1/projects/main/datasets",
        "/api/v1/projects/main/datasets/data",
        "/api/v1/projects/main/datasets/data/tags/v1/tree",
        "/api/v1/projects/main/datasets/data/tags/v1/follow",
        "/fs/",
        "/fs/data/",
        "/fs/data/v1/",
        "/dav/data/v1/",
    ] {
        for token in tokens {
            let status = server.get(&format!("{path}?after={token}"), &[]).await.status().as_u16();
            assert!(matches!(status, 200 | 400), "{path} {token}: {status}");
        }
        for limit in ["0", "-1", "x", "", "99999999999999999999", "1e3"] {
            let status = server.get(&format!("{path}?limit={limit}"), &[]).await.status().as_u16();
            assert!(status == 400 || path.ends_with("/follow"), "{path} {limit}: {status}");
        }
    }
    server.stop().await;
}

const IDLE: usize = 10_000;
/// Opens connections, begins a request on every second one, says so, and waits for the end of its
/// input.
const IDLE_CLIENTS: &str = r#"
import resource, socket, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
idle = []
for at in range(int(sys.argv[3])):
    idle.append(socket.create_connection((sys.argv[1], int(sys.argv[2])), 60))
    if at % 2:
        idle[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-")
print("ready", flush=True)
sys.stdin.read()
"#;

/// Ten thousand connections that ask for nothing, or begin to and stop: others are answered as if
/// they were not there, and when they go nothing of them stays.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_stop_nobody() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    if limit.maximum.is_some_and(|max| max < IDLE as u64 + 1000) {
        eprintln!("skipped: a process may open only {:?} files here", limit.maximum);
        return;
    }
    let long = std::time::Duration::from_secs(600);
    let waits = cairn_http::Waits { headers: long, ..cairn_http::Waits::default() };
    let options = Options { waits, ..Options::default() };
    let env = cairn_env::Env::real();
    let server = Server::on(cairn_bucket::Bucket::memory(&env), options).await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let before = resident_bytes();
    // The other ends are in a process of their own, since each end is an open file.
    let (host, port) = address.split_once(':').unwrap();
    let mut command = tokio::process::Command::new("python3");
    command.args(["-c", IDLE_CLIENTS, host, port, &IDLE.to_string()]).kill_on_drop(true);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let Ok(mut idle) = command.spawn() else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let mut ready = [0; 5];
    idle.stdout.as_mut().unwrap().read_exact(&mut ready).await.unwrap();
    while server.door.connections() < IDLE {
        tokio::task::yield_now().await;
    }
    let served = server.get("/fs/data/v1/hello.txt", &[]).await;
    assert_eq!(served.text().await.unwrap(), "hello, world\n");
    assert!(server.door.connections() >= IDLE, "{}", server.door.connections());
    eprintln!("{} bytes for a connection", resident_bytes().saturating_sub(before) / IDLE as u64);
    drop(idle.stdin.take());
    idle.wait().await.unwrap();
    while server.door.connections() > 10 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

/// What this process has in memory.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_headers_and_paths_get_an_answer_and_no_panic() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let mut runner = TestRunner::deterministic();
    let value = "[ -~\\x80-\\xff]{0,40}";
    let names = ["range", "if-range", "if-none-match", "if-modified-since", "accept", "cookie"];
    let strategy = (0..names.len(), value, "[!-~]{0,30}", any::<bool>());
    for _ in 0..150 {
        let (name, value, path, authorized) = strategy.new_tree(&mut runner).unwrap().current();
        let credential = match authorized {
            true => format!("Bearer {}", server.root),
            false => value.clone(),
        };
        let request = format!(
            "GET /fs/data/v1/{path} HTTP/1.1\r\nHost: x\r\n{}: {value}\r\n\
             Authorization: {credential}\r\nConnection: close\r\n\r\n",
            names[name]
        );
        let answer = exchange(&server, request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or("none").to_owned();
        let fine = ["200", "206", "304", "307", "400", "401", "404", "412", "416"];
        assert!(fine.contains(&status.as_str()), "{status} for {request:?}");
    }
    let store: Arc<dyn cairn_datasets::Store> = Arc::new(server.node(&server.root));
    assert!(store.tag(&target("data:v1")).await.is_ok());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_not_there_are_said_so() {
    let server = Server::start().await;
    let node = server.node(&server.root);
    let unknown = [ChunkId([1; 32])];
    let error = node.read(&target("data").dataset, &unknown).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("is not in the bucket"), "{error}");
    assert!(node.read(&target("data").dataset, &[]).await.unwrap().is_empty());
    server.stop().await;
}

/// Slow clients lose their connection, each kind of slowness by its own wait. The test waits for the
/// door to close, never for a time.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_not_waited_for_for_ever() {
    let short = std::time::Duration::from_millis(100);
    let waits = cairn_http::Waits { headers: short, body: short, write: short, shutdown: short };
    let env = cairn_env::Env::real();
    let options = Options { waits, ..Options::default() };
    let server = Server::on(cairn_bucket::Bucket::memory(&env), options).await;
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("big"), crate::support::noise(64_000_000, 5)).unwrap();
    server.fill(work.path(), "data:v1").await;

    let cut = exchange(&server, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(!cut.contains("200 OK"), "half a head is no request: {cut}");
    let idle = exchange(&server, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200"), "an idle connection ends after its answer: {idle}");
    let silent = exchange(&server, b"").await;
    assert!(silent.is_empty() || silent.starts_with("HTTP/1.1 408"), "{silent}");
    let head = format!("Host: x\r\nAuthorization: Bearer {}\r\n", server.root);
    let stalled = exchange(
        &server,
        format!("POST /api/v1/access/explain HTTP/1.1\r\n{head}Content-Length: 10\r\n\r\n{{")
            .as_bytes(),
    )
    .await;
    assert!(stalled.starts_with("HTTP/1.1 408"), "{stalled}");

    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET /fs/data/v1/big HTTP/1.1\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    // Nothing more is read until the door has given up: then its connection is gone.
    let open = |server: &Server| server.door.connections();
    while open(&server) > 0 {
        tokio::task::yield_now().await;
    }
    let mut got = Vec::new();
    let ended = stream.read_to_end(&mut got).await;
    assert!(ended.is_err() || got.len() < 64_000_000, "{} bytes came", got.len());
    server.stop().await;
}

/// Work that waits for a client or for a task holds no place that other work needs: with fewer places
/// than slow clients, everybody is served.
#[test]
fn slow_readers_of_what_is_computed_do_not_stop_the_node() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start().await;
        let work = tempfile::tempdir().unwrap();
        let (members, source) = (work.path().join("members"), work.path().join("source"));
        std::fs::create_dir_all(&members).unwrap();
        std::fs::create_dir_all(&source).unwrap();
        for at in 0..3 {
            let member = crate::support::noise(900_000, at + 1);
            let letters: Vec<u8> = member.iter().map(|byte| b'a' + byte % 16).collect();
            std::fs::write(members.join(at.to_string()), letters).unwrap();
        }
        let archive = source.join("opened.tar.gz");
        let mut tar = std::process::Command::new("tar");
        let tar = tar.arg("-czf").arg(&archive).arg(".").current_dir(&members).status().unwrap();
        assert!(tar.success());
        server.fill(&source, "data:v1").await;
        for at in 0..6_000 {
            std::fs::write(source.join(format!("{at:0200}")), "").unwrap();
        }
        server.fill(&source, "data:v2").await;
        let archive = std::fs::read(&archive).unwrap();

        let diff = "/api/v1/projects/main/datasets/data/tags/v1/diff/v2";
        let mut waiting = Vec::new();
        for _ in 0..4 {
            // The head is there, and nobody reads the rest.
            waiting.push(server.get("/fs/data/v1/opened.tar.gz", &[]).await);
            waiting.push(server.get(diff, &[]).await);
        }
        let served = server.get("/fs/data/v2/opened.tar.gz", &[]).await;
        assert!(served.bytes().await.unwrap() == archive);
        for answer in waiting {
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap();
        }
        server.stop().await;
    });
}
