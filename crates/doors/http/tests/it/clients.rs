//! Programs of others that copy whole trees.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::process::Command;

use crate::support::{Server, noise, picture, program};

/// A tree without links: more files in a directory than one page of a listing has, and odd names.
fn plain_tree(at: &Path, many: usize) {
    std::fs::create_dir_all(at.join("a b/deep/er")).unwrap();
    std::fs::create_dir_all(at.join("many")).unwrap();
    std::fs::write(at.join("a b/deep/er/noise.bin"), noise(2_500_000, 3)).unwrap();
    std::fs::write(at.join("a b/100% <&> 'q' é.txt"), "odd").unwrap();
    std::fs::write(at.join("a b/q?x=1#y"), "marks").unwrap();
    std::fs::write(at.join("page.html"), "<a href=\"/elsewhere\">x</a>").unwrap();
    std::fs::write(at.join("empty"), "").unwrap();
    for file in 0..many {
        std::fs::write(at.join(format!("many/{file:04}")), file.to_string()).unwrap();
    }
}

/// Files and what is in them.
fn files(at: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = picture(at).into_iter();
    let files = all.filter(|(name, _)| !at.join(std::str::from_utf8(name).unwrap()).is_dir());
    files.map(|(name, (_, content))| (String::from_utf8(name).unwrap(), content)).collect()
}

#[track_caller]
fn same(source: &Path, copy: &Path) {
    let (expected, found) = (files(source), files(copy));
    let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&expected), names(&found));
    assert!(expected == found, "contents differ");
}

fn served(output: &std::process::Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// `wget -r` goes from page to page, and has the whole tree in the end.
#[tokio::test(flavor = "multi_thread")]
async fn wget_mirrors_a_dataset() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    let (source, copy) = (work.path().join("source"), work.path().join("copy"));
    plain_tree(&source, 1100);
    std::fs::create_dir(&copy).unwrap();
    server.fill(&source, "data:v1").await;
    let mut wget = Command::new("wget");
    wget.current_dir(&copy)
        .args(["-q", "-r", "-l", "inf", "-np", "-nH", "--cut-dirs=3", "-e", "robots=off"])
        .args(["--restrict-file-names=nocontrol", "--no-config", "--tries=1", "--timeout=30"])
        .args(["-R", "index.html*", "--reject-regex", "[?&]download="])
        .args(["--user=any", &format!("--password={}", server.root)])
        .arg(format!("{}/fs/data/v1/", server.url));
    let Some(ran) = program(&mut wget).await else { return };
    served(&ran);
    same(&source, &copy);
    server.stop().await;
}

fn rclone(home: &Path, args: &[&str]) -> Command {
    let mut rclone = Command::new("rclone");
    rclone.env("RCLONE_CONFIG", home.join("rclone.conf")).env("HOME", home);
    rclone.args(["--retries=1", "--low-level-retries=1", "--timeout=30s"]).args(args);
    rclone
}

/// rclone copies over HTTP by the listings, and over WebDAV, and finds both the same as the source.
#[tokio::test(flavor = "multi_thread")]
async fn rclone_copies_and_checks_over_http_and_webdav() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    // Its HTTP backend reads one page of a listing.
    plain_tree(&source, 300);
    server.fill(&source, "data:v1").await;
    let home = work.path();
    let Some(obscured) = program(&mut rclone(home, &["obscure", &server.root])).await else {
        return;
    };
    let obscured = String::from_utf8(obscured.stdout).unwrap();
    let authorization = format!("Authorization,Bearer {}", server.root);
    let (fs, dav) = (format!("{}/fs/data/v1/", server.url), format!("{}/dav/data/v1/", server.url));
    let http = [":http:", "--http-url", &fs, "--http-headers", &authorization];
    let pass = obscured.trim();
    let webdav = [":webdav:", "--webdav-url", &dav, "--webdav-user", "any", "--webdav-pass", pass];
    for (name, remote) in [("http", &http[..]), ("webdav", &webdav[..])] {
        let copy = work.path().join(name);
        let (to, from) = (copy.to_str().unwrap(), source.to_str().unwrap());
        let copied = [&["copy", remote[0], to][..], &remote[1..]].concat();
        served(&program(&mut rclone(home, &copied)).await.unwrap());
        same(&source, &copy);
        let checked = [&["check", "--download", remote[0], from][..], &remote[1..]].concat();
        served(&program(&mut rclone(home, &checked)).await.unwrap());
    }
    let put = [&["copy", source.to_str().unwrap(), webdav[0]][..], &webdav[1..]].concat();
    std::fs::write(source.join("new"), "new").unwrap();
    assert!(!program(&mut rclone(home, &put)).await.unwrap().status.success(), "it is read only");
    server.stop().await;
}

/// cadaver signs in, lists and fetches.
#[tokio::test(flavor = "multi_thread")]
async fn cadaver_looks_and_fetches() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    plain_tree(&source, 10);
    server.fill(&source, "data:v1").await;
    let netrc = format!("machine 127.0.0.1 login any password {}\n", server.root);
    std::fs::write(work.path().join(".netrc"), netrc).unwrap();
    let got = work.path().join("got");
    let script = format!(
        "ls many\ncd \"a b/deep/er\"\nget noise.bin {}\nput /etc/hostname x\nquit\n",
        got.display()
    );
    std::fs::write(work.path().join(".cadaverrc"), script).unwrap();
    let mut cadaver = Command::new("cadaver");
    cadaver.env("HOME", work.path()).arg(format!("{}/dav/data/v1/", server.url));
    let Some(ran) = program(&mut cadaver).await else { return };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("0009"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("405 Method Not Allowed"), "{said}");
    assert!(std::fs::read(&got).unwrap() == noise(2_500_000, 3));
    server.stop().await;
}
