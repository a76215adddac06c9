//! Ways to a node that are longer than one socket: projects in every address, and a proxy between.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use cairn_base::ErrorKind;
use cairn_datasets::Store;
use cairn_env::Env;
use cairn_http::client::Node;
use serde_json::Value;

use crate::support::{Server, picture, pull, push, tree};

/// Defect 11 of the earlier system: datasets of a scope could not be reached over REST.
#[tokio::test(flavor = "multi_thread")]
async fn datasets_of_a_project_are_reached_by_every_way() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer @team/data"]).await;
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    tree(&source);
    std::fs::write(source.join("name"), "of the team").unwrap();
    let store: Arc<dyn Store> = Arc::new(server.node(&token));
    push(&store, &source, &["@team/data:v1"]).await.unwrap();
    let copy = work.path().join("copy");
    pull(&store, "@team/data:v1", &copy).await.unwrap();
    assert_eq!(picture(&copy), picture(&source));
    assert_eq!(store.list(&"team".parse().unwrap()).await.unwrap().len(), 1);
    // The name is of this project alone.
    let elsewhere = pull(&store, "data:v1", &copy).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::Denied, "{elsewhere}");

    for path in ["/fs/@team/data/v1/name", "/fs/%40team/data/v1/name"] {
        let found = server.get(path, &[]).await;
        assert_eq!((found.status().as_u16(), path), (200, path));
        assert_eq!(found.text().await.unwrap(), "of the team");
    }
    let rest = "/api/v1/projects/team/datasets";
    for (path, field) in [
        (format!("{rest}?limit=5"), "datasets"),
        (format!("{rest}/data"), "tags"),
        (format!("{rest}/data/tags/v1/tree"), "children"),
        ("/fs/@team/?format=json".to_owned(), "datasets"),
        ("/fs/@team/data/?format=json".to_owned(), "tags"),
    ] {
        let found: Value = server.get(&path, &[]).await.json().await.unwrap();
        assert!(!found[field].as_array().unwrap().is_empty(), "{path}: {found}");
    }
    assert_eq!(server.get("/fs/data/v1/name", &[]).await.status(), 404);
    server.stop().await;
}

/// Below which path the proxy has the node.
const MOUNTED: &str = "/somewhere/cairn";

/// Passes a request on as a proxy for the web does: line by line anew, its body as it comes.
async fn forward(
    State((client, node)): State<(reqwest::Client, String)>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let asked = parts.uri.path_and_query().unwrap().as_str();
    let Some(path) = asked.strip_prefix(MOUNTED) else {
        return Response::builder().status(502).body("not mine".into()).unwrap();
    };
    for hop in ["host", "connection", "transfer-encoding", "content-length"] {
        parts.headers.remove(hop);
    }
    let passed = client.request(parts.method, format!("{node}{path}")).headers(parts.headers);
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let answer = passed.body(body).send().await.unwrap();
    let response = Response::builder().status(answer.status());
    response.body(axum::body::Body::from_stream(answer.bytes_stream())).unwrap()
}

/// Defect 7 of the earlier system: its proxy lost names, sizes and credentials on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_between_loses_nothing() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{MOUNTED}/", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(forward).with_state((server.http(), server.url.clone()));
    server.env.spawn.task(Box::pin(async move {
        axum::serve(listener, app).await.unwrap();
    }));
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    tree(&source);
    let node = Node::new(&url, Some(&token), &Env::real()).unwrap();
    assert_eq!(node.whoami().await.unwrap().principal.as_deref(), Some("ci"));
    let store: Arc<dyn Store> = Arc::new(node);
    let pushed = push(&store, &source, &["data:v1"]).await.unwrap();
    assert_eq!(pushed.version.by, "ci");
    let copy = work.path().join("copy");
    pull(&store, "data:v1", &copy).await.unwrap();
    assert_eq!(picture(&copy), picture(&source));
    let nobody: Arc<dyn Store> = Arc::new(Node::new(&url, None, &Env::real()).unwrap());
    let refused = push(&nobody, &source, &["data:v2"]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    let astray = Node::new(&url.replace("cairn", "other"), Some(&token), &Env::real()).unwrap();
    let told = astray.whoami().await.unwrap_err();
    assert!(told.to_string().contains("502"), "{told}");
    server.stop().await;
}
