//! A client that is not ours. Where there is no curl there is nothing to test with, and it says so.

use tokio::process::Command;

use crate::support::{Server, noise, tree};

async fn curl(args: &[&str]) -> Option<(Vec<u8>, String)> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--path-as-is"]).args(args);
    match command.output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        output => {
            let output = output.unwrap();
            Some((output.stdout, String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_reads_ranges_conditions_and_signs_in() {
    if curl(&["--version"]).await.is_none() {
        eprintln!("skipped: there is no curl");
        return;
    }
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let file = noise(3_000_000, 7);
    let user = format!(":{}", server.root);
    let url = format!("{}/fs/data/v1/sub/noise.bin", server.url);
    let get = |args: &[&str]| {
        let mut all = vec!["-u".to_owned(), user.clone()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        async move {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            curl(&all).await.unwrap().0
        }
    };
    assert_eq!(get(&[&url]).await, file);
    assert_eq!(get(&["-r", "1000000-1000999", &url]).await, &file[1_000_000..1_001_000]);
    assert_eq!(get(&["-r", "-10", &url]).await, &file[2_999_990..]);
    let two = get(&["-r", "0-9,20-29", &url]).await;
    assert!(two.windows(10).any(|ten| ten == &file[20..30]));
    let etags = work.path().join("etag");
    let etags = etags.to_str().unwrap();
    let code = ["-w", "%{http_code}", "-o", "/dev/null"];
    let first = get(&[&code[..], &["--etag-save", etags, &url]].concat()).await;
    assert_eq!(first, b"200");
    let again = get(&[&code[..], &["--etag-compare", etags, &url]].concat()).await;
    assert_eq!(again, b"304");
    assert_eq!(curl(&[&code[..], &[&url]].concat()).await.unwrap().0, b"401");
    let out = work.path().join("resumed");
    std::fs::write(&out, &file[..123_456]).unwrap();
    get(&["-C", "-", "-o", out.to_str().unwrap(), &url]).await;
    assert_eq!(std::fs::read(&out).unwrap(), file);
    let climb = format!("{}/fs/data/v1/../../../etc/passwd", server.url);
    assert_eq!(get(&[&code[..], &[&climb]].concat()).await, b"400");
    let head = String::from_utf8(get(&["-I", &url]).await).unwrap();
    assert!(head.contains("accept-ranges: bytes") && head.contains("content-length: 3000000"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_reads_follows_and_verifies_the_audit_log() {
    if curl(&["--version"]).await.is_none() {
        eprintln!("skipped: there is no curl");
        return;
    }
    let server = Server::start().await;
    let user = format!(":{}", server.root);
    let log = format!("{}/api/v1/audit", server.url);
    let nobody = format!("{}/fs/data/v1/a", server.url);
    assert!(curl(&[&nobody]).await.is_some());
    server.access.audit().commit().await.unwrap();
    let denied = format!("{log}?outcome=denied&resource=@main/d*");
    let (read, _) = curl(&["-f", "-u", &user, &denied]).await.unwrap();
    let line: serde_json::Value = serde_json::from_slice(&read).unwrap();
    assert_eq!((&line["caller"], &line["door"]), (&"anonymous".into(), &"fs".into()));
    // It is told as it happens: curl gives up after two seconds and has the line by then.
    let followed = format!("{denied}&follow=true");
    let (followed, why) = curl(&["-N", "-m", "2", "-u", &user, &followed]).await.unwrap();
    assert!(why.contains("timed out"), "{why}");
    assert!(followed.ends_with(&read), "what was read is followed too");
    let verify = format!("{log}/verify");
    let (verified, _) = curl(&["-f", "-X", "POST", "-u", &user, &verify]).await.unwrap();
    let last = verified.split(|byte| *byte == b'\n').rev().nth(1).unwrap();
    let last: serde_json::Value = serde_json::from_slice(last).unwrap();
    assert_eq!(last["result"]["findings"], serde_json::json!([]));
    for bad in ["?outcome=maybe", "?since=yesterday", "?after=-1", "?follow=perhaps"] {
        let code = ["-g", "-w", "%{http_code}", "-o", "/dev/null", "-u", &user];
        let url = format!("{log}{bad}");
        assert_eq!(curl(&[&code[..], &[&url]].concat()).await.unwrap().0, b"400", "{bad}");
    }
    server.stop().await;
}
