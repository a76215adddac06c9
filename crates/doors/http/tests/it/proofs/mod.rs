//! Ranges that prove themselves, as a client reads them that knows only a file's hash.

mod reader;

use serde_json::Value;

use crate::support::{Server, noise, tree};

const BASE: &str = "/api/v1/projects/main/datasets/data/tags/v1";
const LEN: u64 = 3_000_000;

async fn filled() -> Server {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    server
}

#[test]
fn the_reader_has_the_hash_that_everybody_has() {
    for len in [0, 1, 64, 65, 1024, 1025, 2048, 2049, 16_384, 16_385, 100_000] {
        let content = noise(len, 3);
        assert_eq!(reader::hash(&content), *blake3::hash(&content).as_bytes(), "{len}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunk_3_a_range_is_proved_to_whoever_knows_the_hash() {
    let server = filled().await;
    let hello = b"hello, world\n".to_vec();
    for (path, file, query, start, end) in [
        ("sub/noise.bin", noise(3_000_000, 7), "", 0, LEN),
        (
            "sub/noise.bin",
            noise(3_000_000, 7),
            "?offset=1000000&length=70000",
            1_000_000,
            1_070_000,
        ),
        ("sub/noise.bin", noise(3_000_000, 7), "?offset=2999999", 2_999_999, LEN),
        ("sub/noise.bin", noise(3_000_000, 7), "?length=1", 0, 1),
        ("sub/noise.bin", noise(3_000_000, 7), "?offset=2990000&length=99999999", 2_990_000, LEN),
        ("hello.txt", hello.clone(), "?offset=3&length=2", 3, 5),
        ("sub/hard.txt", hello, "", 0, 13),
        ("empty", Vec::new(), "", 0, 0),
    ] {
        let root = reader::hash(&file);
        let url = format!("{BASE}/proof/{path}{query}");
        let answer = server.get(&url, &[]).await;
        assert_eq!(answer.status(), 200, "{url}");
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], "application/vnd.cairn.proof");
        assert_eq!(headers["x-cairn-blake3"], hex::encode(root));
        let body = answer.bytes().await.unwrap();
        assert_eq!(headers["content-length"], body.len().to_string());
        let (first, found) = reader::read(root, &body, start..end).unwrap();
        let first = if file.is_empty() { 0 } else { usize::try_from(first).unwrap() };
        assert!(first as u64 <= start && (first + found.len()) as u64 >= end, "{url}");
        assert!(found == file[first..first + found.len()], "{url}");

        assert!(reader::read([7; 32], &body, start..end).is_err(), "another file");
        for at in [8, body.len() / 2, body.len() - 1] {
            let mut bad = body.to_vec();
            // The empty file has nothing to be wrong but its length.
            if at < bad.len() && bad.len() > 8 {
                bad[at] ^= 0x10;
                assert!(reader::read(root, &bad, start..end).is_err(), "{url} at {at}");
            }
        }
        let head = format!("{}{url}", server.url);
        let head = server.http().head(head).bearer_auth(&server.root).send().await.unwrap();
        assert_eq!(head.headers()["content-length"], headers["content-length"]);
        assert!(head.bytes().await.unwrap().is_empty());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_is_told_where_files_are_shown() {
    let server = filled().await;
    let root = hex::encode(reader::hash(&noise(3_000_000, 7)));
    let ranged = [("range", "bytes=0-9")];
    let file = server.get("/fs/data/v1/sub/noise.bin", &ranged).await;
    assert_eq!(file.headers()["x-cairn-blake3"], root);
    for path in ["/fs/data/v1/sub/?format=json", &format!("{BASE}/tree/sub")] {
        let list: Value = server.get(path, &[]).await.json().await.unwrap();
        let children = list["children"].as_array().unwrap();
        let noise = children.iter().find(|child| child["path"] == "sub/noise.bin").unwrap();
        assert_eq!(noise["blake3"], root, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_proved_is_said() {
    let server = filled().await;
    for (path, status, said) in [
        ("sub", 400, "is a directory"),
        ("sub/link", 400, "is a link"),
        ("nothing", 404, "no such path"),
        ("hello.txt?offset=13", 400, "the file has 13 bytes"),
        ("hello.txt?length=0", 400, "at least 1"),
        ("hello.txt?offset=-1", 400, "takes a number of bytes"),
        ("hello.txt?offset=99999999999999999999", 400, "takes a number of bytes"),
        ("empty?offset=1", 400, "the file has 0 bytes"),
    ] {
        let answer = server.get(&format!("{BASE}/proof/{path}"), &[]).await;
        assert_eq!(answer.status(), status, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(said), "{path}: {text}");
    }
    server.stop().await;
}
