//! The web console: its page and its parts, whether this build has one or not.

use reqwest::StatusCode;

use crate::support::Server;

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_there_for_anybody_and_lets_nothing_in() {
    let server = Server::start().await;
    let get = |path: &str| server.http().get(format!("{}{path}", server.url));
    let built = cairn_console::index().is_some();
    // Deep links are the page, also those that end like a file.
    for path in ["/console/", "/console/data/v1/sub", "/console/data/v1/readme.md"] {
        let page = get(path).header(HTML.0, HTML.1).send().await.unwrap();
        assert_eq!(page.status(), 200, "{path}");
        let header = |name: &str| page.headers().get(name).map_or("", |it| it.to_str().unwrap());
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), if built { "no-cache" } else { "no-store" });
        assert_eq!(header("x-cairn-console"), if built { "" } else { "absent" });
        let text = page.text().await.unwrap();
        assert_eq!(text.contains("cargo xtask console"), !built, "{text}");
        // What stands in a page itself would not run.
        assert!(
            !text.contains("<script>") && !text.contains("<style") && !text.contains(" style=")
        );
        assert!(!text.contains("=\"http") && !text.contains("=\"//"), "{text}");
    }
    for missing in ["/console/assets/none-00000000.js", "/console/favicon.none"] {
        let none = get(missing).header("accept", "*/*").send().await.unwrap();
        assert_eq!(none.status(), 404, "{missing}");
    }
    let none = get("/console/assets/none.js").header(HTML.0, HTML.1).send().await.unwrap();
    assert_eq!(none.status(), 404);
    for bad in ["/console/a%2fb", "/console/%00"] {
        assert_eq!(get(bad).send().await.unwrap().status(), 400, "{bad}");
    }
    let entrance = get("/console").send().await.unwrap();
    assert_eq!(
        (entrance.status().as_u16(), &entrance.headers()["location"]),
        (307, &"/console/".parse().unwrap())
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_the_console_is_kept_and_told_apart() {
    let server = Server::start().await;
    for path in cairn_console::paths() {
        let url = format!("{}/console/{path}", server.url);
        let plain = server.http().get(&url).send().await.unwrap();
        assert_eq!(plain.status(), 200, "{path}");
        let kept = plain.headers()["cache-control"].to_str().unwrap().to_owned();
        let forever = path.starts_with("assets/");
        assert_eq!(kept.contains("immutable"), forever, "{path}: {kept}");
        assert!(!plain.headers().contains_key("content-encoding"), "{path}");
        let etag = plain.headers()["etag"].clone();
        let plain = plain.bytes().await.unwrap();
        let gzip = server.http().get(&url).header("accept-encoding", "gzip").send().await.unwrap();
        if gzip.headers().get("content-encoding").is_some_and(|it| it == "gzip") {
            let packed = gzip.bytes().await.unwrap();
            let mut all = Vec::new();
            let mut unpacked = flate2::read::GzDecoder::new(&packed[..]);
            std::io::Read::read_to_end(&mut unpacked, &mut all).unwrap();
            assert_eq!(all, plain, "{path}");
        }
        let again = server.http().get(&url).header("if-none-match", etag).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert!(again.bytes().await.unwrap().is_empty());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_top_leads_people_to_the_console_and_programs_to_files() {
    let server = Server::start().await;
    let get = |accept| server.http().get(&server.url).header("accept", accept).send();
    for (accept, to) in [(HTML.1, "/console/"), ("*/*", "/fs/"), ("application/json", "/fs/")] {
        let answer = get(accept).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["location"]),
            (307, &to.parse().unwrap())
        );
        assert_eq!(answer.headers()["vary"], "Accept");
    }
    server.stop().await;
}

/// A file of a stranger may be shown in a frame of the console, and in nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_framed_by_this_node_alone() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("a.html"), "<script>alert(1)</script>").unwrap();
    server.fill(work.path(), "data:v1").await;
    let file = server.get("/fs/data/v1/a.html", &[]).await;
    let policy = file.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("frame-ancestors 'self'") && policy.starts_with("sandbox "),
        "{policy}"
    );
    assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"), "{policy}");
    assert!(!file.headers().contains_key("x-frame-options"));
    server.stop().await;
}

/// A browser that is told of `Basic` asks the person who looks at a page for a password, in a window of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_not_signed_in_is_not_told_of_basic() {
    let server = Server::start().await;
    for (dest, offered) in [("empty", "Bearer"), ("document", "Basic")] {
        let headers = [("sec-fetch-dest", dest), ("sec-fetch-site", "same-origin")];
        let asked = server.http().get(format!("{}/api/v1/access/whoami", server.url));
        let asked = headers.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with(offered));
    }
}
