//! Files below `/fs`.

use std::io::Read as _;
use std::sync::Arc;

use cairn_bucket::Bucket;
use cairn_env::Env;
use cairn_http::Options;
use proptest::test_runner::TestRunner;
use reqwest::Method;

use crate::support::{Server, noise, tree};

const NOISE: &str = "/fs/data/v1/sub/noise.bin";

async fn filled() -> Server {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    server
}

/// Defects 4 and 5 of the earlier system: reads of nothing by default, short reads at borders.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_give_what_slices_of_the_file_give() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    let server = filled().await;
    let file = noise(3_000_000, 7);
    assert_eq!(server.get(NOISE, &[]).await.bytes().await.unwrap(), file);
    let mut runner = TestRunner::deterministic();
    let point = 0..3_200_000_u64;
    let specs = prop::collection::vec((point.clone(), point, 0..4), 1..6);
    for _ in 0..40 {
        let specs = specs.new_tree(&mut runner).unwrap().current();
        let (mut texts, mut wanted) = (Vec::new(), Vec::new());
        for (a, b, form) in specs {
            let (first, mut last) = (a.min(b), a.max(b));
            if form == 3 {
                last = first + last % 5;
            }
            let (text, range) = match form {
                0 => (format!("{first}-"), first..u64::MAX),
                1 => (format!("-{first}"), 3_000_000_u64.saturating_sub(first)..u64::MAX),
                _ => (format!("{first}-{last}"), first..last + 1),
            };
            texts.push(text);
            let end = usize::try_from(range.end.min(3_000_000)).unwrap();
            wanted.push(usize::try_from(range.start).unwrap().min(end)..end);
        }
        let header = format!("bytes={}", texts.join(","));
        let answer = server.get(NOISE, &[("range", &header)]).await;
        let status = answer.status();
        let mut covered = vec![false; file.len()];
        wanted.iter().for_each(|range| covered[range.clone()].fill(true));
        if status == 416 {
            assert!(!covered.contains(&true), "{header}");
            assert_eq!(answer.headers()["content-range"], "bytes */3000000");
            continue;
        }
        assert_eq!(status, 206, "{header}");
        for (first, bytes) in parts(answer).await {
            assert_eq!(bytes, &file[first..first + bytes.len()], "{header}");
            covered[first..first + bytes.len()].fill(false);
        }
        assert!(!covered.contains(&true), "{header}: something was left out");
    }
    server.stop().await;
}

/// The parts of a 206, each with its first byte, after checking its length.
async fn parts(answer: reqwest::Response) -> Vec<(usize, Vec<u8>)> {
    let headers = answer.headers().clone();
    let body = answer.bytes().await.unwrap();
    assert_eq!(headers["content-length"], body.len().to_string());
    let first_of = |text: &str| {
        let range = text.trim().strip_prefix("bytes ").unwrap();
        let (range, len) = range.split_once('/').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        assert_eq!(len, "3000000");
        let first: usize = first.parse().unwrap();
        (first, last.parse::<usize>().unwrap() + 1 - first)
    };
    let media_type = headers["content-type"].to_str().unwrap();
    let Some(boundary) = media_type.strip_prefix("multipart/byteranges; boundary=") else {
        let (first, len) = first_of(headers["content-range"].to_str().unwrap());
        assert_eq!(len, body.len());
        return vec![(first, body.to_vec())];
    };
    let mut parts = Vec::new();
    let mut rest = body.as_ref();
    loop {
        rest = rest.strip_prefix(format!("\r\n--{boundary}").as_bytes()).unwrap();
        if rest == b"--\r\n" {
            return parts;
        }
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        assert!(head.contains("Content-Type: application/octet-stream"));
        let range = head.split("Content-Range: ").nth(1).unwrap();
        let (first, len) = first_of(range);
        parts.push((first, rest[end + 4..end + 4 + len].to_vec()));
        rest = &rest[end + 4 + len..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_kept_and_head_is_get_without_a_body() {
    let server = filled().await;
    let path = "/fs/data/v1/hello.txt";
    let whole = server.get(path, &[]).await;
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
    let date = whole.headers()["last-modified"].to_str().unwrap().to_owned();
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (headers, status) in [
        (vec![("if-none-match", tag.as_str())], 304),
        (vec![("if-none-match", "\"x\"")], 200),
        (vec![("if-match", tag.as_str())], 200),
        (vec![("if-match", "\"x\"")], 412),
        (vec![("if-modified-since", date.as_str())], 304),
        (vec![("if-modified-since", old)], 200),
        (vec![("if-unmodified-since", date.as_str())], 200),
        (vec![("if-unmodified-since", old)], 412),
        (vec![("range", "bytes=0-3"), ("if-range", tag.as_str())], 206),
        (vec![("range", "bytes=0-3"), ("if-range", date.as_str())], 206),
        (vec![("range", "bytes=0-3"), ("if-range", "\"x\"")], 200),
        (vec![("range", "bytes=0-3"), ("if-none-match", tag.as_str())], 304),
        (vec![("range", "bytes=9-3")], 200),
        (vec![("range", "bytes=99-")], 416),
    ] {
        let answer = server.get(path, &headers).await;
        assert_eq!(answer.status(), status, "{headers:?}");
        if matches!(status, 200 | 206 | 304) {
            assert_eq!(answer.headers()["etag"], tag);
        }
        let body = answer.bytes().await.unwrap();
        match status {
            200 => assert_eq!(body, "hello, world\n"),
            206 => assert_eq!(body, "hell"),
            304 | 412 => assert!(body.is_empty()),
            _ => {}
        }
    }
    for path in [path, NOISE, "/fs/data/v1/empty", "/fs/data/v1/sub/", "/fs/", "/fs/data/v1/no"] {
        let get = server.get(path, &[]).await;
        let url = format!("{}{path}", server.url);
        let head = server.http().head(url).bearer_auth(&server.root).send().await.unwrap();
        assert_eq!(head.status(), get.status());
        for name in ["content-type", "content-length", "etag", "last-modified", "accept-ranges"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{path}: {name}");
        }
        assert!(head.bytes().await.unwrap().is_empty());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_page_gets_no_script_and_no_guess() {
    let server = filled().await;
    let path = "/fs/data/v1/sub/deep/evil%20%3Cscript%3Ealert%28%271%27%29%26.html";
    let answer = server.get(path, &[]).await;
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("sandbox") && !policy.contains("allow-scripts"), "{policy}");
    assert!(!policy.contains("allow-same-origin") && policy.contains("default-src 'none'"));
    assert_eq!(answer.text().await.unwrap(), "<b>bold</b>");
    let list = server.get("/fs/data/v1/sub/deep/", &[("accept", "text/html")]).await;
    let html = list.text().await.unwrap();
    assert!(html.contains(&path["/fs/data/v1/sub/deep/".len()..]), "{html}");
    assert!(!html.contains("<script"), "{html}");
    let error = server.get("/fs/data/v1/%3Cscript%3E", &[("accept", "text/html")]).await;
    assert_eq!(error.status(), 404);
    let html = error.text().await.unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_odd_names_lead_where_they_should() {
    let server = filled().await;
    for (path, status, body) in [
        ("sub/link", 200, "hello, world\n"),
        ("dirlink/link", 200, "hello, world\n"),
        ("sub/hard.txt", 200, "hello, world\n"),
        ("dirlink/caf%E9%252f", 200, "latin"),
        ("sub/out", 404, "leads out of the version"),
        ("abs", 404, "absolute path"),
        ("loop", 404, "too many symbolic links"),
        ("hello.txt/x", 404, "a file stands where"),
        ("hello.txt/", 404, "it is a file"),
        ("nothing", 404, "no such path"),
        ("sub/%2e%2e/hello.txt", 400, "does not climb"),
        ("sub%2fhard.txt", 400, "%2F"),
        ("%00", 400, "no name"),
    ] {
        let answer = raw(&server, &format!("/fs/data/v1/{path}")).await;
        assert_eq!(answer.0, status, "{path}: {}", answer.1);
        assert!(answer.1.contains(body), "{path}: {}", answer.1);
    }
    let moved = server.get("/fs/data/v1/sub?format=json", &[]).await;
    assert_eq!(moved.status(), 307);
    assert_eq!(moved.headers()["location"], "/fs/data/v1/sub/?format=json");
    let html = server.get("/fs/data/v1/sub/", &[]).await.text().await.unwrap();
    assert!(html.contains("./caf%E9%252f\""), "every byte of a name comes back: {html}");
    let lines = server.get("/api/v1/projects/main/datasets/data/tags/v1/tree?recursive=true", &[]);
    let lines = lines.await.text().await.unwrap();
    assert_eq!(lines.lines().count(), 14, "{lines}");
    assert!(lines.contains("\"path_hex\":\"7375622f636166e925326"), "{lines}");
    server.stop().await;
}

/// A request whose path goes out as it is.
async fn raw(server: &Server, path: &str) -> (u16, String) {
    let headers = format!("Authorization: Bearer {}\r\nConnection: close\r\n", server.root);
    let text = crate::hostile::exchange(
        server,
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes(),
    )
    .await;
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_downloaded_as_tar_and_zip() {
    let server = filled().await;
    let tar = server.get("/fs/data/v1/sub?download=tar.zst", &[]).await;
    assert!(tar.headers()["content-disposition"].to_str().unwrap().ends_with("sub.tar.zst"));
    let tar = tar.bytes().await.unwrap();
    let mut tar = tar::Archive::new(zstd::stream::read::Decoder::new(tar.as_ref()).unwrap());
    let mut seen = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path_bytes().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        match path.as_slice() {
            b"noise.bin" => assert_eq!(content, noise(3_000_000, 7)),
            b"hard.txt" => assert_eq!(content, b"hello, world\n"),
            b"run.sh" => assert_eq!(entry.header().mode().unwrap(), 0o755),
            b"link" => {
                assert_eq!(entry.link_name_bytes().unwrap().as_ref(), b"../hello.txt");
            }
            _ => {}
        }
        seen.push(String::from_utf8_lossy(&path).into_owned());
    }
    assert_eq!(seen.len(), 8, "{seen:?}");

    let zipped = server.get("/fs/data/v1/?download=zip", &[]).await.bytes().await.unwrap();
    let mut zipped = zip::ZipArchive::new(std::io::Cursor::new(zipped)).unwrap();
    assert_eq!(zipped.len(), 14);
    let mut noise_file = zipped.by_name("sub/noise.bin").unwrap();
    let mut content = Vec::new();
    noise_file.read_to_end(&mut content).unwrap();
    assert_eq!(content, noise(3_000_000, 7));
    drop(noise_file);
    assert_eq!(zipped.by_name("sub/run.sh").unwrap().unix_mode().unwrap() & 0o777, 0o755);
    assert!(zipped.by_name("sub/link").unwrap().is_symlink());
    assert_eq!(server.get("/fs/data/v1/?download=rar", &[]).await.status(), 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_survive_a_tar() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    let long = "n".repeat(120);
    let deep = work.path().join(&long).join(&long);
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("x"), "deep").unwrap();
    std::os::unix::fs::symlink(format!("{long}/{long}/x"), work.path().join("link")).unwrap();
    server.fill(work.path(), "data:v1").await;
    let tar = server.get("/fs/data/v1/?download=tar.zst", &[]).await.bytes().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut tar = tar::Archive::new(zstd::stream::read::Decoder::new(tar.as_ref()).unwrap());
    tar.unpack(out.path()).unwrap();
    assert_eq!(std::fs::read(out.path().join("link")).unwrap(), b"deep");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_come_as_lines() {
    let server = filled().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    std::fs::write(work.path().join("hello.txt"), "changed").unwrap();
    std::fs::remove_file(work.path().join("empty")).unwrap();
    std::fs::write(work.path().join("sub/new"), "new").unwrap();
    server.fill(work.path(), "data:v2").await;
    let path = "/api/v1/projects/main/datasets/data/tags/v1/diff/v2";
    let lines = server.get(path, &[]).await.text().await.unwrap();
    let mut changes: Vec<(String, String)> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|change| change["change"] != "attributes")
        .map(|c| (c["path"].as_str().unwrap().to_owned(), c["change"].as_str().unwrap().to_owned()))
        .collect();
    changes.sort();
    let changes: Vec<_> = changes.iter().map(|(p, k)| format!("{p} {k}")).collect();
    assert!(changes.contains(&"empty removed".to_owned()), "{changes:?}");
    assert!(changes.contains(&"hello.txt modified".to_owned()), "{changes:?}");
    assert!(changes.contains(&"sub/new added".to_owned()), "{changes:?}");
    assert!(!changes.iter().any(|change| change.contains("noise")), "{changes:?}");
    server.stop().await;
}

/// HTTP-1 and BUCKET-3: damage in the bucket never becomes data, and never looks like a whole file.
#[tokio::test(flavor = "multi_thread")]
async fn http_1_a_damaged_bucket_fails_the_download() {
    use futures::TryStreamExt as _;
    use object_store::{ObjectStore as _, ObjectStoreExt as _};
    let env = Env::real();
    let bucket = Bucket::memory(&env);
    let server = Server::on(bucket.clone(), Options::default()).await;
    let work = tempfile::tempdir().unwrap();
    let file = noise(20_000_000, 3);
    std::fs::write(work.path().join("file"), &file).unwrap();
    server.fill(work.path(), "data:v1").await;
    let store = bucket.store();
    let prefix = object_store::path::Path::from("");
    let objects: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
    let mut damaged = 0;
    for object in objects.iter().filter(|object| object.size > 1_000_000) {
        let mut bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap().to_vec();
        let at = bytes.len() - bytes.len() / 8;
        bytes[at] ^= 1;
        store.put(&object.location, bytes.into()).await.unwrap();
        damaged += 1;
    }
    assert!(damaged > 0);
    // A new process, without what this one has cached.
    server.stop().await;
    let server = Server::again(bucket).await;
    let url = format!("{}/fs/data/v1/file", server.0.url);
    let request = server.0.http().request(Method::GET, url).bearer_auth(&server.1);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    match answer.bytes().await {
        Ok(_) => assert_eq!(status, 500),
        Err(error) => assert!(error.is_body() || error.is_decode() || error.is_request()),
    }
    let store: Arc<dyn cairn_datasets::Store> = Arc::new(server.0.node(&server.1));
    let copy = work.path().join("copy");
    assert!(crate::support::pull(&store, "data:v1", &copy).await.is_err());
    assert!(!copy.join("file").exists(), "a damaged file is not there at all");
    server.0.stop().await;
}
