//! ACCESS-1 and ACCESS-2: who may use which route.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use cairn_access::Access;
use cairn_bucket::faulty::Faults;
use cairn_bucket::{Bucket, Faulty};
use cairn_datasets::{Datasets, Store as _, Uploads};
use cairn_env::Env;
use cairn_http::route::{self, Permission, Route};
use cairn_http::{DoorBuilder, Error, ErrorBody, Options};
use cairn_testkit::Shifted;
use serde_json::Value;

use crate::support::{Server, target, tree};

/// What each route is, said a second time. A route that is not here fails the test.
const CLASSES: &[(&str, &str)] = &[
    ("GET /livez", "public"),
    ("GET /readyz", "public"),
    ("GET /", "description"),
    ("GET /fs", "look"),
    ("GET /fs/", "look"),
    ("GET /fs/{*path}", "read"),
    ("OPTIONS /dav", "look"),
    ("GET /dav", "look"),
    ("PROPFIND /dav", "look"),
    ("OPTIONS /dav/", "look"),
    ("GET /dav/", "look"),
    ("PROPFIND /dav/", "look"),
    ("OPTIONS /dav/{*path}", "read"),
    ("GET /dav/{*path}", "read"),
    ("PROPFIND /dav/{*path}", "read"),
    ("GET /metrics", "admin"),
    ("GET /api/v1/version", "look"),
    ("GET /api/openapi.json", "description"),
    ("GET /api/docs", "description"),
    ("GET /api/docs/{*path}", "description"),
    ("GET /console", "description"),
    ("GET /console/", "description"),
    ("GET /console/{*path}", "description"),
    ("GET /api/v1/projects", "look"),
    ("GET /api/v1/projects/{project}/key", "look"),
    ("GET /api/v1/login/sessions", "signed_in"),
    ("DELETE /api/v1/login/sessions", "signed_in"),
    ("DELETE /api/v1/login/sessions/{id}", "signed_in"),
    ("GET /api/v1/projects/{project}/datasets", "look"),
    ("GET /api/v1/projects/{project}/datasets/{name}", "read"),
    ("DELETE /api/v1/projects/{project}/datasets/{name}", "write"),
    ("GET /api/v1/projects/{project}/datasets/{name}/rules", "read"),
    ("PUT /api/v1/projects/{project}/datasets/{name}/rules", "write"),
    ("GET /api/v1/projects/{project}/datasets/{name}/hooks", "write"),
    ("POST /api/v1/projects/{project}/datasets/{name}/hooks", "write"),
    ("DELETE /api/v1/projects/{project}/datasets/{name}/hooks/{id}", "write"),
    ("POST /api/v1/projects/{project}/datasets/{name}/hooks/{id}/test", "write"),
    ("GET /api/v1/projects/{project}/datasets/{name}/tags/{tag}", "read"),
    ("PUT /api/v1/projects/{project}/datasets/{name}/tags/{tag}", "write"),
    ("DELETE /api/v1/projects/{project}/datasets/{name}/tags/{tag}", "write"),
    ("GET /api/v1/projects/{project}/datasets/{name}/tags/{tag}/follow", "read"),
    ("GET /api/v1/projects/{project}/datasets/{name}/tags/{tag}/tree", "read"),
    ("GET /api/v1/projects/{project}/datasets/{name}/tags/{tag}/tree/{*path}", "read"),
    ("GET /api/v1/projects/{project}/datasets/{name}/tags/{tag}/diff/{other}", "read"),
    ("GET /api/v1/projects/{project}/datasets/{name}/tags/{tag}/stat", "read"),
    ("GET /api/v1/projects/{project}/datasets/{name}/tags/{tag}/proof/{*path}", "read"),
    ("POST /api/v1/projects/{project}/datasets/{name}/chunks", "read"),
    ("POST /api/v1/projects/{project}/uploads", "write"),
    ("POST /api/v1/uploads/{upload}/claim", "upload"),
    ("POST /api/v1/uploads/{upload}/keep", "upload"),
    ("POST /api/v1/uploads/{upload}/frames", "upload"),
    ("POST /api/v1/uploads/{upload}/publish", "upload"),
    ("DELETE /api/v1/uploads/{upload}", "upload"),
    ("POST /api/v1/projects/{project}/datasets/{name}/edits", "write"),
    ("GET /api/v1/edits/{edit}", "edit"),
    ("DELETE /api/v1/edits/{edit}", "edit"),
    ("PUT /api/v1/edits/{edit}/files/{*path}", "edit"),
    ("DELETE /api/v1/edits/{edit}/files/{*path}", "edit"),
    ("POST /api/v1/edits/{edit}/publish", "edit"),
    ("GET /api/v1/kv/{project}", "look"),
    ("GET /api/v1/kv/{project}/{name}", "read"),
    ("PUT /api/v1/kv/{project}/{name}", "write"),
    ("DELETE /api/v1/kv/{project}/{name}", "write"),
    ("GET /api/v1/kv/{project}/{name}/keys/{*key}", "read"),
    ("PUT /api/v1/kv/{project}/{name}/keys/{*key}", "write"),
    ("DELETE /api/v1/kv/{project}/{name}/keys/{*key}", "write"),
    ("PUT /api/v1/kv/{project}/{name}/ttl/{*key}", "write"),
    ("DELETE /api/v1/kv/{project}/{name}/ttl/{*key}", "write"),
    ("GET /api/v1/kv/{project}/{name}/scan", "read"),
    ("POST /api/v1/kv/{project}/{name}/commit", "write"),
    ("POST /api/v1/kv/{project}/{name}/delete-range", "write"),
    ("GET /api/v1/kv/{project}/{name}/watch", "read"),
    ("GET /api/v1/kv/{project}/{name}/export", "read"),
    ("POST /api/v1/kv/{project}/{name}/import", "write"),
    ("GET /api/v1/functions/{project}", "look"),
    ("GET /api/v1/functions/{project}/{name}", "read"),
    ("DELETE /api/v1/functions/{project}/{name}", "write"),
    ("GET /api/v1/functions/{project}/{name}/releases", "read"),
    ("POST /api/v1/functions/{project}/{name}/releases", "write"),
    ("PUT /api/v1/functions/{project}/{name}/current", "write"),
    ("POST /api/v1/functions/{project}/{name}/invoke", "write"),
    ("GET /api/v1/functions/{project}/{name}/logs", "read"),
    ("GET /api/v1/routes/{project}", "look"),
    ("GET /api/v1/schedules/{project}", "look"),
    ("GET /api/v1/triggers/{project}", "look"),
    ("GET /api/v1/filters/{project}", "look"),
    ("GET /api/v1/plans/{project}", "look"),
    ("POST /api/v1/plans/{project}/{name}", "write"),
    ("GET /api/v1/plans/{project}/{name}/{id}", "read"),
    ("DELETE /api/v1/plans/{project}/{name}/{id}", "write"),
    ("GET /api/v1/plans/{project}/{name}/{id}/output", "write"),
    ("POST /api/v1/functions/{project}/{name}/filters", "write"),
    ("DELETE /api/v1/functions/{project}/{name}/filters", "write"),
    ("GET /api/v1/functions/{project}/{name}/calls", "write"),
    ("POST /api/v1/functions/{project}/{name}/calls", "write"),
    ("GET /api/v1/functions/{project}/{name}/calls/{id}", "write"),
    ("GET /api/v1/functions/{project}/{name}/calls/{id}/output", "write"),
    ("GET /api/v1/functions/{project}/{name}/runs", "read"),
    ("POST /api/v1/functions/{project}/{name}/triggers", "write"),
    ("DELETE /api/v1/functions/{project}/{name}/triggers", "write"),
    ("POST /api/v1/functions/{project}/{name}/schedules", "write"),
    ("DELETE /api/v1/functions/{project}/{name}/schedules", "write"),
    ("POST /api/v1/functions/{project}/{name}/routes", "write"),
    ("DELETE /api/v1/functions/{project}/{name}/routes", "write"),
    ("POST /api/v1/maintenance/collect", "admin"),
    ("POST /api/v1/maintenance/verify", "admin"),
    ("GET /api/v1/usage", "admin"),
    ("GET /api/v1/doctor", "admin"),
    ("GET /api/v1/access/whoami", "signed_in"),
    ("GET /api/v1/access/principals", "admin"),
    ("POST /api/v1/access/principals", "admin"),
    ("DELETE /api/v1/access/principals/{id}", "admin"),
    ("GET /api/v1/access/tokens", "part"),
    ("POST /api/v1/access/tokens", "part"),
    ("DELETE /api/v1/access/tokens/{id}", "part"),
    ("GET /api/v1/access/grants", "part"),
    ("POST /api/v1/access/grants", "part"),
    ("DELETE /api/v1/access/grants/{id}", "admin"),
    ("POST /api/v1/access/explain", "admin"),
    ("PUT /api/v1/access/principals/{id}/password", "admin"),
    ("PUT /api/v1/access/principals/{id}/groups", "admin"),
    ("PUT /api/v1/access/password", "signed_in"),
    ("GET /api/v1/access/certificates", "admin"),
    ("POST /api/v1/access/certificates", "admin"),
    ("DELETE /api/v1/access/certificates/{id}", "admin"),
    ("GET /api/v1/access/providers", "admin"),
    ("PUT /api/v1/access/providers/{id}", "admin"),
    ("DELETE /api/v1/access/providers/{id}", "admin"),
    ("GET /auth/login", "login"),
    ("POST /auth/login", "login"),
    ("GET /auth/start/{id}", "login"),
    ("GET /auth/callback", "login"),
    ("POST /auth/logout", "login"),
    ("GET /api/v1/login", "login"),
    ("POST /api/v1/login/password", "login"),
    ("POST /api/v1/login/device/{id}", "login"),
    ("POST /api/v1/login/device/{id}/poll", "login"),
    ("DELETE /api/v1/login", "signed_in"),
    ("GET /api/v1/cluster/authority", "login"),
    ("POST /api/v1/cluster/join", "login"),
    ("POST /api/v1/cluster/join-tokens", "admin"),
    ("GET /api/v1/cluster/nodes", "admin"),
    ("GET /api/v1/audit", "admin"),
    ("POST /api/v1/audit/verify", "admin"),
];

/// The routes that change something, said a second time: they are in the audit log before they are
/// acknowledged (ACCESS-6).
const CHANGES: &[&str] = &[
    "DELETE /api/v1/projects/{project}/datasets/{name}",
    "PUT /api/v1/projects/{project}/datasets/{name}/rules",
    "POST /api/v1/projects/{project}/datasets/{name}/hooks",
    "DELETE /api/v1/projects/{project}/datasets/{name}/hooks/{id}",
    "PUT /api/v1/projects/{project}/datasets/{name}/tags/{tag}",
    "DELETE /api/v1/projects/{project}/datasets/{name}/tags/{tag}",
    "POST /api/v1/uploads/{upload}/publish",
    "POST /api/v1/edits/{edit}/publish",
    "PUT /api/v1/kv/{project}/{name}",
    "DELETE /api/v1/kv/{project}/{name}",
    "POST /api/v1/kv/{project}/{name}/import",
    "DELETE /api/v1/functions/{project}/{name}",
    "POST /api/v1/functions/{project}/{name}/releases",
    "PUT /api/v1/functions/{project}/{name}/current",
    "POST /api/v1/functions/{project}/{name}/filters",
    "DELETE /api/v1/functions/{project}/{name}/filters",
    "POST /api/v1/plans/{project}/{name}",
    "DELETE /api/v1/plans/{project}/{name}/{id}",
    "POST /api/v1/functions/{project}/{name}/triggers",
    "DELETE /api/v1/functions/{project}/{name}/triggers",
    "POST /api/v1/functions/{project}/{name}/schedules",
    "DELETE /api/v1/functions/{project}/{name}/schedules",
    "POST /api/v1/functions/{project}/{name}/routes",
    "DELETE /api/v1/functions/{project}/{name}/routes",
    "POST /api/v1/maintenance/collect",
    "POST /api/v1/access/principals",
    "DELETE /api/v1/access/principals/{id}",
    "POST /api/v1/access/tokens",
    "DELETE /api/v1/access/tokens/{id}",
    "POST /api/v1/access/grants",
    "DELETE /api/v1/access/grants/{id}",
    "PUT /api/v1/access/principals/{id}/password",
    "PUT /api/v1/access/principals/{id}/groups",
    "PUT /api/v1/access/password",
    "POST /api/v1/access/certificates",
    "DELETE /api/v1/access/certificates/{id}",
    "PUT /api/v1/access/providers/{id}",
    "DELETE /api/v1/access/providers/{id}",
    "POST /api/v1/cluster/join-tokens",
    "DELETE /api/v1/login",
    "DELETE /api/v1/login/sessions",
    "DELETE /api/v1/login/sessions/{id}",
];

/// The routes whose uses are counted, said a second time (ACCESS-9).
const COUNTED: &[&str] = &[
    "GET /api/v1/kv/{project}/{name}/keys/{*key}",
    "PUT /api/v1/kv/{project}/{name}/keys/{*key}",
    "DELETE /api/v1/kv/{project}/{name}/keys/{*key}",
    "PUT /api/v1/kv/{project}/{name}/ttl/{*key}",
    "DELETE /api/v1/kv/{project}/{name}/ttl/{*key}",
    "GET /api/v1/kv/{project}/{name}/scan",
    "POST /api/v1/kv/{project}/{name}/commit",
    "POST /api/v1/kv/{project}/{name}/delete-range",
    "POST /api/v1/functions/{project}/{name}/calls",
    "POST /api/v1/functions/{project}/{name}/invoke",
];

/// The callers, in the order of the columns below.
const CALLERS: [&str; 8] =
    ["anonymous", "bad", "expired", "stranger", "reader", "writer", "keeper", "root"];

/// What each caller gets; 0 is being let through to the handler.
fn expected(class: &str) -> [u16; 8] {
    match class {
        "public" => [0, 0, 0, 0, 0, 0, 0, 0],
        // Nobody has to say who asks; who does, must be right (ACCESS-2).
        "description" => [0, 401, 401, 0, 0, 0, 0, 0],
        // What logs in looks at no credential: whoever shows an old one may log in again.
        "login" => [0, 0, 0, 0, 0, 0, 0, 0],
        "signed_in" => [401, 401, 401, 0, 0, 0, 0, 0],
        "look" | "read" => [401, 401, 401, 403, 0, 0, 0, 0],
        "write" => [401, 401, 401, 403, 403, 0, 0, 0],
        // Somebody else's upload is none, whoever asks.
        "upload" | "edit" => [401, 401, 401, 404, 404, 0, 404, 404],
        // Who is admin of something: of this dataset, of its project, of everything.
        "part" => [401, 401, 401, 403, 403, 403, 0, 0],
        "admin" => [401, 401, 401, 403, 403, 403, 403, 0],
        other => panic!("no class {other}"),
    }
}

fn address(server: &Server, pattern: &str, upload: &str) -> String {
    let tail = match pattern {
        "/fs/{*path}" | "/dav/{*path}" => "data/v1/hello.txt",
        "/api/docs/{*path}" => "index.html",
        proof if proof.ends_with("/proof/{*path}") => "hello.txt",
        _ => "sub",
    };
    let path = pattern
        .replace("{project}", "main")
        .replace("{name}", "data")
        .replace("{tag}", "v1")
        .replace("{other}", "v1")
        .replace("{upload}", upload)
        .replace("{edit}", upload)
        .replace("{id}", "nobody")
        .replace("{*key}", "k")
        .replace("{*path}", tail);
    format!("{}{path}", server.url)
}

fn body(pattern: &str) -> &'static str {
    match pattern {
        "/api/v1/projects/{project}/uploads" => r#"{"targets":[{"name":"data","tag":"v1"}]}"#,
        "/api/v1/projects/{project}/datasets/{name}/edits" => r#"{"tag":"v1"}"#,
        "/api/v1/projects/{project}/datasets/{name}/tags/{tag}" => {
            r#"{"from":{"name":"data","tag":"v1"}}"#
        }
        "/api/v1/access/grants" => r#"{"subject":"reader","role":"reader","pattern":"@main/data"}"#,
        "/api/v1/access/tokens" => r#"{"principal":"keeper","label":"own"}"#,
        _ => "",
    }
}

async fn begin(server: &Server, token: &str) -> String {
    let url = format!("{}/api/v1/projects/main/uploads", server.url);
    let body = body("/api/v1/projects/{project}/uploads");
    let answer = server.http().post(url).bearer_auth(token).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn begin_edit(server: &Server, token: &str) -> String {
    let url = format!("{}/api/v1/projects/main/datasets/data/edits", server.url);
    let body = r#"{"tag":"v1"}"#;
    let answer = server.http().post(url).bearer_auth(token).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn access_1_every_route_for_every_caller() {
    let (clock, env) = Shifted::env();
    let server = Server::in_env(env.clone(), Bucket::memory(&env), Options::default()).await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    let reader = server.user("reader", &["reader data"]).await;
    let writer = server.user("writer", &["writer data"]).await;
    let keeper = server.user("keeper", &["admin data"]).await;
    let stranger = server.user("stranger", &["writer other"]).await;
    server.access.remove_grant(&grant("stranger", "writer", "other").id()).await.unwrap();
    let expired = server.token("writer", Some(Duration::from_secs(60))).await;
    clock.forward(Duration::from_secs(61));
    let other = Server::start().await;

    let classes: BTreeMap<&str, &str> = CLASSES.iter().copied().collect();
    let mut known = classes.clone();
    for route in server.door.routes() {
        let name = format!("{} {}", route.method, route.pattern);
        let class = known.remove(name.as_str());
        let class = class.unwrap_or_else(|| panic!("{name} has no expectation"));
        assert_eq!(route.changes, CHANGES.contains(&name.as_str()), "{name}");
        assert_eq!(route.counted, COUNTED.contains(&name.as_str()), "{name}");
        for (caller, expected) in CALLERS.iter().zip(expected(class)) {
            server.fill(work.path(), "data:v1").await;
            let upload = match class {
                "upload" => begin(&server, &writer).await,
                "edit" => begin_edit(&server, &writer).await,
                _ => String::new(),
            };
            let token = match *caller {
                "anonymous" => None,
                "bad" => Some(&other.root),
                "expired" => Some(&expired),
                "stranger" => Some(&stranger),
                "reader" => Some(&reader),
                "writer" => Some(&writer),
                "keeper" => Some(&keeper),
                _ => Some(&server.root),
            };
            let method = route.method.parse::<Method>().unwrap();
            let url = address(&server, route.pattern, &upload);
            let mut request = server.http().request(method, url).body(body(route.pattern));
            request = request.header("depth", "1");
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            // What logs in is answered by its handler, which may find that nobody is to be let in.
            let through = match class {
                "login" => status < 500,
                _ => !matches!(status, 401 | 403 | 500..),
            };
            let ok = if expected == 0 { through } else { status == expected };
            assert!(ok, "{name} for {caller}: {status}, expected {expected}");
            assert!(answer.headers().contains_key("x-request-id"));
            if status == 401 && class != "login" {
                let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
                assert!(challenge.starts_with("Basic realm=\"cairn\""), "{challenge}");
                assert!(challenge.ends_with("Bearer"), "{challenge}");
            }
            if expected != 0 {
                let body: ErrorBody = answer.json().await.unwrap();
                assert!(!body.error.message.is_empty() && !body.error.request_id.is_empty());
            }
        }
    }
    assert!(known.is_empty(), "expectations without a route: {known:?}");
    server.stop().await;
    other.stop().await;
}

fn grant(subject: &str, role: &str, pattern: &str) -> cairn_access::Grant {
    cairn_access::Grant {
        subject: subject.parse().unwrap(),
        role: role.parse().unwrap(),
        pattern: pattern.parse().unwrap(),
    }
}

/// ACCESS-8: what a body asks for is looked at only for those who are admin of something, and what a grant
/// is about decides, also of one that is to be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn access_8_a_grant_is_about_its_pattern() {
    let server = Server::start().await;
    let keeper = server.user("keeper", &["admin @lab/*"]).await;
    let reader = server.user("reader", &["reader @lab/*"]).await;
    let grants = format!("{}/api/v1/access/grants", server.url);
    let add = async |token: &str, body: &str| {
        let request = server.http().post(&grants).bearer_auth(token).body(body.to_owned());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap_or_default())
    };
    let body = |pattern| format!(r#"{{"subject":"reader","role":"writer","pattern":"{pattern}"}}"#);
    for (token, body, expected) in [
        (&keeper, body("@lab/a*"), 201),
        (&keeper, body("@*/a"), 403),
        (&keeper, body("@other/a"), 403),
        (&keeper, body("a b"), 400),
        (&keeper, "{".to_owned(), 400),
        (&reader, body("@lab/a"), 403),
        (&reader, "{".to_owned(), 403),
    ] {
        let (status, said) = add(token, &body).await;
        assert_eq!(status, expected, "{body}: {said}");
    }
    let (_, made) = add(&server.root, &body("@lab/b")).await;
    let (_, wide) = add(&server.root, &body("@*/b")).await;
    let nowhere = grant("reader", "writer", "@nowhere/a").id();
    for (id, token, expected) in [
        (made["id"].as_str().unwrap(), &reader, 403),
        (made["id"].as_str().unwrap(), &keeper, 204),
        (made["id"].as_str().unwrap(), &keeper, 403),
        (wide["id"].as_str().unwrap(), &keeper, 403),
        (nowhere.as_str(), &keeper, 403),
        (nowhere.as_str(), &server.root, 404),
    ] {
        let request = server.http().delete(format!("{grants}/{id}")).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), expected, "{id}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_1_a_route_without_a_permission_does_not_start() {
    let env = Env::real();
    let bucket = Bucket::memory(&env);
    let blocks = cairn_blocks::Options::default();
    let datasets = Datasets::open_or_init(bucket.clone(), None, blocks, &env).await.unwrap();
    let (access, _) =
        Access::bootstrap(bucket, env.clone(), Arc::new(cairn_access::Plain)).await.unwrap();
    let build = |route: Route| {
        let uploads = Uploads::new(datasets.clone());
        DoorBuilder::new(datasets.clone(), uploads, access.clone()).route(route).build()
    };
    let route = |pattern| {
        Route::new(Method::GET, pattern, |call| {
            Box::pin(async move { Err(Error::Invalid { detail: format!("{:?}", call.caller()) }) })
        })
    };
    let refused = build(route("/api/v1/forgotten")).err().unwrap();
    assert!(matches!(refused, Error::NoPermission { pattern: "/api/v1/forgotten", .. }));
    for permission in [Permission::Public, Permission::Description, Permission::Needs(&[])] {
        let refused = build(route("/api/v1/open").permission(permission)).err().unwrap();
        assert!(matches!(refused, Error::Route { .. }), "{refused}");
    }
    let change = Route::new(Method::PUT, "/api/v1/change", |_| {
        Box::pin(async { Err(Error::Invalid { detail: String::new() }) })
    });
    assert!(build(change.clone().permission(route::ACCESS)).is_ok());
    assert!(build(change.changes_nothing().permission(Permission::SignedIn)).is_ok());
    let twice = build(route("/livez").permission(Permission::Public)).err().unwrap();
    assert!(matches!(twice, Error::Route { reason: "there is one already", .. }), "{twice}");
    assert!(build(route("/api/v1/fine").permission(route::LOOK)).is_ok());
}

/// Defect 2 of the earlier system: a wrong password went on as nobody in particular.
#[tokio::test(flavor = "multi_thread")]
async fn access_2_a_bad_credential_is_never_anonymous() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("a"), "open to all").unwrap();
    server.fill(work.path(), "data:v1").await;
    server.access.add_grant(&grant("anonymous", "reader", "data")).await.unwrap();
    let url = format!("{}/fs/data/v1/a", server.url);
    let anonymous = server.http().get(&url).send().await.unwrap();
    assert_eq!(anonymous.text().await.unwrap(), "open to all");
    for header in ["Bearer x", "Basic eDp5", "Basic !", "Digest x", "Bearer", "", "Bearer \u{e9}"] {
        let bytes = reqwest::header::HeaderValue::from_bytes(header.as_bytes()).unwrap();
        let request = server.http().get(&url).header("authorization", bytes);
        assert_eq!(request.send().await.unwrap().status(), 401, "{header:?}");
    }
    let two = server.http().get(&url).bearer_auth(&server.root).bearer_auth(&server.root);
    let two = two.send().await.unwrap().status();
    assert!(two == 401 || two == 200, "a client may make one header of two: {two}");
    for unknown in ["/nothing", "/api/v1/nothing", "/fs/data/v1/nothing"] {
        let request = server.http().get(format!("{}{unknown}", server.url)).bearer_auth("x");
        assert_eq!(request.send().await.unwrap().status(), 401);
        let request = server.http().get(format!("{}{unknown}", server.url));
        assert_eq!(request.send().await.unwrap().status(), 404, "defect 10: a 404 is a 404");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_body_names_is_authorized_too() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("a"), "a").unwrap();
    server.fill(work.path(), "secret:v1").await;
    let token = server.user("ci", &["writer data"]).await;
    let call = |method: Method, path: &str, body: &'static str| {
        let url = format!("{}/api/v1/projects/main/{path}", server.url);
        server.http().request(method, url).bearer_auth(&token).body(body).send()
    };
    let copy = r#"{"from":{"name":"secret","tag":"v1"}}"#;
    let copied = call(Method::PUT, "datasets/data/tags/v1", copy).await.unwrap();
    assert_eq!(copied.status(), 403);
    let targets = r#"{"targets":[{"name":"data","tag":"v1"},{"name":"secret","tag":"v1"}]}"#;
    assert_eq!(call(Method::POST, "uploads", targets).await.unwrap().status(), 403);
    let list = call(Method::GET, "datasets", "").await.unwrap().text().await.unwrap();
    assert!(!list.contains("secret"), "a list holds what the caller may read: {list}");
    server.stop().await;
}

/// Defect 10 of the earlier system: pages were promised and everything came at once.
#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        std::fs::write(work.path().join(name), name).unwrap();
    }
    for tag in ["d1:t1", "d2:t1", "d3:t1", "d3:t2", "d3:t3"] {
        server.fill(work.path(), tag).await;
    }
    for (path, list, field, all) in [
        ("/api/v1/projects/main/datasets", "datasets", "name", "d1 d2 d3"),
        ("/api/v1/projects/main/datasets/d3", "tags", "tag", "t1 t2 t3"),
        ("/api/v1/projects/main/datasets/d3/tags/t1/tree", "children", "path", "a b c d e"),
        ("/fs/d3/t1/", "children", "path", "a b c d e"),
        ("/fs/d3/", "tags", "tag", "t1 t2 t3"),
        ("/fs/", "datasets", "name", "d1 d2 d3"),
    ] {
        let (mut after, mut found, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let after_query = if pages == 0 { String::new() } else { format!("&after={after}") };
            let url = format!("{path}?format=json&limit=2{after_query}");
            let page: Value = server.get(&url, &[]).await.json().await.unwrap();
            pages += 1;
            let items = page[list].as_array().unwrap();
            assert!(items.len() <= 2);
            found.extend(items.iter().map(|item| item[field].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => break,
            }
        }
        assert_eq!(found.join(" "), all, "{path}");
        assert_eq!(pages, found.len().div_ceil(2), "{path}");
        let bad = server.get(&format!("{path}?limit=0"), &[]).await;
        assert_eq!(bad.status(), 400);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_calls_work_through_the_client() {
    use cairn_http::api::{Collect, CreateToken, Explain, GrantBody};
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let node = server.node(&server.root);
    assert_eq!(node.version().await.unwrap().name, "cairn");
    assert_eq!(node.create_principal("bob").await.unwrap().name, "bob");
    let grant = GrantBody {
        subject: "bob".to_owned(),
        role: "reader".to_owned(),
        pattern: "@main/da*".to_owned(),
    };
    let named = node.add_grant(&grant).await.unwrap();
    assert_eq!(node.add_grant(&grant).await.unwrap(), named);
    let token = CreateToken {
        principal: "bob".to_owned(),
        label: "laptop".to_owned(),
        scopes: None,
        expires_in_seconds: Some(3600),
    };
    let made = node.create_token(&token).await.unwrap();
    let bob = server.node(&made.token);
    let who = bob.whoami().await.unwrap();
    assert_eq!(who.principal.as_deref(), Some("bob"));
    assert_eq!((who.token.unwrap(), who.grants), (made.info.clone(), vec![grant]));
    assert!(bob.tag(&target("data:v1")).await.is_ok());
    let denied = bob.usage().await.unwrap_err();
    assert_eq!(denied.kind(), cairn_base::ErrorKind::Denied);
    let question = Explain {
        subject: "bob".to_owned(),
        action: "write_dataset".to_owned(),
        resource: "data".to_owned(),
    };
    let explained = node.explain(&question).await.unwrap();
    assert!(!explained.allowed && explained.needs == "writer");
    assert_eq!(explained.grants[0].verdict, "role_too_weak");
    assert_eq!(node.tokens().await.unwrap().tokens.len(), 2);
    node.revoke_token(&made.info.id).await.unwrap();
    assert!(bob.whoami().await.is_err());
    node.remove_grant(&named.id).await.unwrap();
    assert_eq!(node.grants().await.unwrap().grants.len(), 1);
    node.remove_principal("bob").await.unwrap();
    assert_eq!(node.principals().await.unwrap().principals.len(), 1);
    let usage = node.usage().await.unwrap();
    assert!(usage.chunks > 0 && usage.packs > 0);
    let how = Collect { grace_seconds: Some(0), dry_run: true };
    let collected = node.collect(&how).await.unwrap();
    assert_eq!((collected.versions, collected.chunks), (1, usage.chunks));
    let verified = node.verify(|_| {}).await.unwrap();
    assert_eq!(verified.versions, 1);
    assert!(verified.findings.is_empty(), "{verified:?}");
    assert_eq!(verified.chunks, usage.chunks);
    assert_eq!(node.remove_dataset(&target("data").dataset).await.unwrap().tags, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_is_served() {
    let server = Server::start().await;
    let document: Value = server.get("/api/openapi.json", &[]).await.json().await.unwrap();
    let (mut said, mut ids) = (Vec::new(), std::collections::BTreeSet::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            said.push(format!(
                "{} {path} {}",
                method.to_uppercase(),
                operation["x-cairn-permission"]
            ));
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
        }
    }
    let mut served: Vec<String> = server
        .door
        .routes()
        .iter()
        // OpenAPI has no place for it.
        .filter(|r| r.method != "PROPFIND")
        .map(|r| format!("{} {} \"{}\"", r.method, r.pattern.replace("{*", "{"), r.permission))
        .collect();
    said.sort();
    served.sort();
    assert_eq!(said, served);
    let mut wanted = Vec::new();
    references(&document, &mut wanted);
    for reference in wanted {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    shapes_are_true(&server, &document).await;
    bounds_are_true(&document);
    let docs = server.get("/api/docs/index.html", &[]).await.text().await.unwrap();
    assert!(docs.contains("swagger-ui") && !docs.contains("https://"), "{docs}");
    server.stop().await;
}

/// What everybody may read says nothing of the bucket: a node with data and users of its own gives
/// the very bytes that an empty one gives.
#[tokio::test(flavor = "multi_thread")]
async fn access_4_the_description_is_the_same_on_every_node() {
    let empty = Server::start().await;
    let options = Options { version: "9.9.9-secret".to_owned(), ..Options::default() };
    let env = Env::real();
    let full = Server::on(Bucket::memory(&env), options).await;
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    full.fill(work.path(), "classified:v1").await;
    full.user("agent", &["reader classified"]).await;
    for (path, expected) in [
        ("/api/openapi.json", 200),
        ("/api/docs", 307),
        ("/api/docs/index.html", 200),
        ("/api/docs/swagger-initializer.js", 200),
        ("/api/docs/swagger-ui-bundle.js", 200),
        ("/api/docs/classified", 404),
    ] {
        let mut answers = Vec::new();
        for server in [&empty, &full] {
            let url = format!("{}{path}", server.url);
            let answer = server.http().get(url).send().await.unwrap();
            assert_eq!(answer.status(), expected, "{path}");
            let mut body = answer.bytes().await.unwrap().to_vec();
            if expected == 404 {
                let mut error: ErrorBody = serde_json::from_slice(&body).unwrap();
                error.error.request_id.clear();
                body = serde_json::to_vec(&error).unwrap();
            }
            answers.push(body);
        }
        assert!(answers[0] == answers[1], "{path} differs from node to node");
    }
    let script = "/api/docs/swagger-initializer.js";
    let script = empty.get(script, &[]).await.text().await.unwrap();
    assert!(script.contains("\"validatorUrl\": \"none\""), "{script}");
    empty.stop().await;
    full.stop().await;
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "$ref" => found.push(text.clone()),
            other => references(other, found),
        }),
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// What the document says of bounds and words is what is checked.
fn bounds_are_true(document: &Value) {
    let shape = |shape: &str, field: &str| {
        let pointer = format!("/components/schemas/{shape}/properties/{field}");
        document.pointer(&pointer).unwrap_or_else(|| panic!("no {pointer}")).clone()
    };
    let targets = shape("BeginUpload", "targets");
    assert_eq!(targets["maxItems"], cairn_http::limits::TARGETS_MAX);
    let life = shape("CreateToken", "expires_in_seconds");
    assert_eq!(life["maximum"], cairn_access::TOKEN_LIFE_MAX.as_secs());
    let parameters = "/paths/~1api~1v1~1projects~1{project}~1datasets/get/parameters";
    let parameters = document.pointer(parameters).unwrap().as_array().unwrap();
    let project = &parameters.iter().find(|p| p["name"] == "project").unwrap()["schema"];
    for (shape_name, field) in [
        ("TagName", "name"),
        ("TagName", "tag"),
        ("CreatePrincipal", "name"),
        ("CreateToken", "label"),
    ] {
        let field = shape(shape_name, field);
        for rule in ["pattern", "minLength", "maxLength"] {
            assert_eq!(field[rule], project[rule], "{shape_name}");
        }
    }
    assert_eq!(project["maxLength"], cairn_base::name::NAME_BYTES_MAX);
    let of_grant = shape("GrantBody", "subject");
    assert_eq!(of_grant, shape("Explain", "subject"));
    // `group:`, the longest name of a provider, a slash, and the longest name that one gives.
    assert_eq!(of_grant["maxLength"], 6 + cairn_base::name::NAME_BYTES_MAX + 1 + 255);
    let words = |all: Vec<String>| format!("^({})$", all.join("|"));
    let actions = cairn_access::Action::all().map(|action| action.to_string()).collect();
    assert_eq!(shape("Explain", "action")["pattern"], words(actions));
    let roles = ["invoker", "reader", "writer", "admin"].map(str::to_owned).to_vec();
    assert!(roles.iter().all(|role| role.parse::<cairn_access::Role>().is_ok()));
    assert_eq!(shape("GrantBody", "role")["pattern"], words(roles));
}

/// The shapes that stand for the engine's types have the fields that these really have.
async fn shapes_are_true(server: &Server, document: &Value) {
    let work = tempfile::tempdir().unwrap();
    tree(work.path());
    server.fill(work.path(), "data:v1").await;
    let base = "/api/v1/projects/main/datasets/data";
    let get = |path: String| async move { server.get(&path, &[]).await.text().await.unwrap() };
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let tag = parse(&get(format!("{base}/tags/v1")).await);
    let list = parse(&get("/api/v1/projects/main/datasets".to_owned()).await);
    let tree = parse(&get(format!("{base}/tags/v1/tree")).await);
    let said = "/paths/~1api~1v1~1projects~1{project}~1datasets~1{name}~1tags~1{tag}~1tree/get";
    let said = document.pointer(said).unwrap()["responses"]["200"]["content"].as_object().unwrap();
    for recursive in ["false", "true"] {
        let answer = server.get(&format!("{base}/tags/v1/tree?recursive={recursive}"), &[]).await;
        let media_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(said.contains_key(&media_type), "{media_type}");
    }
    let stat = parse(&get(format!("{base}/tags/v1/stat")).await);
    for (name, value) in [
        ("Tag", &tag),
        ("Version", &tag["current"]),
        ("Summary", &list["datasets"][0]),
        ("Rules", &parse(&get(format!("{base}/rules")).await)),
        ("Listing", &tree),
        ("Node", &tree["entry"]),
        ("Performance", &stat),
        ("Share", &stat["files"][0]),
    ] {
        let properties = document["components"]["schemas"][name]["properties"].as_object();
        let properties = properties.unwrap_or_else(|| panic!("{name} has no properties"));
        for field in value.as_object().unwrap().keys() {
            assert!(properties.contains_key(field), "{name} has {field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_kept_and_the_node_says_how_it_is() {
    let server = Server::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = server.http().get(format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok\n");
    }
    server.get("/nothing", &[]).await;
    let text = server.get("/metrics", &[]).await.text().await.unwrap();
    for line in [
        "cairn_http_requests_total{route=\"/livez\",method=\"GET\",status=\"200\"} 1",
        "cairn_http_requests_total{route=\"(none)\",method=\"GET\",status=\"404\"} 1",
        "cairn_uploads_open 0",
        "cairn_audit_failures_total 0",
        "# TYPE cairn_audit_waiting_bytes gauge",
        "# TYPE cairn_http_request_duration_seconds histogram",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let brew =
        server.http().request(Method::POST, format!("{}/livez", server.url)).send().await.unwrap();
    assert_eq!(brew.status(), 405);
    assert_eq!(brew.headers()["allow"], "GET, HEAD");
    server.stop().await;
}

/// ACCESS-4: a bucket that does not answer opens nothing, and the node says that it is not ready.
#[tokio::test(flavor = "multi_thread")]
async fn access_4_without_its_bucket_a_node_refuses_and_says_so() {
    let env = Env::real();
    let memory = Arc::new(cairn_bucket::Memory::new(&env));
    let faulty = Faulty::new(memory, Faults::default(), &env);
    // The bucket tries again for a while, which has a clock of its own.
    let patience = Arc::new(Shifted::default());
    let patient = Env { clock: patience.clone(), ..env.clone() };
    let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &patient);
    let clock = Arc::new(Shifted::default());
    let env = Env { clock: clock.clone(), ..env };
    let server = Server::in_env(env, bucket, Options::default()).await;
    faulty.set(Faults { before_ppm: 1_000_000, ..Faults::default() });
    patience.hurry();
    clock.forward(Duration::from_secs(60));
    let ready = server.http().get(format!("{}/readyz", server.url)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.headers()["retry-after"], "1");
    let said: ErrorBody = ready.json().await.unwrap();
    assert_eq!(said.error.kind, "retry");
    assert!(said.error.message.starts_with("the bucket does not answer"), "{said:?}");
    assert!(server.get("/fs/", &[]).await.status().is_server_error());
    // What needs no bucket still answers.
    for path in ["/livez", "/api/openapi.json"] {
        let answer = server.http().get(format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    server.stop().await;
}

/// A browser that knows a token must not be led by another site's page.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_change_nothing() {
    let server = Server::start().await;
    let own = server.url.clone();
    for (name, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 201),
        ("origin", own.as_str(), 409),
    ] {
        let url = format!("{}/api/v1/access/principals", server.url);
        let request = server.http().post(url).basic_auth("me", Some(&server.root));
        let request = request.header(name, value).body(r#"{"name":"eve"}"#);
        assert_eq!(request.send().await.unwrap().status(), status, "{name}: {value}");
    }
    server.stop().await;
}
