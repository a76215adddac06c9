//! Webhooks, received by a server of another make and checked by the standard's own library.

use std::process::Stdio;
use std::time::Duration;

use cairn_bucket::Bucket;
use cairn_datasets::HookRunner;
use cairn_env::Env;
use cairn_http::Options;
use cairn_http::api::CreateHook;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;

use crate::support::{Server, target};

/// Verifies each request with the secret of a file, and prints what it found as a line of JSON. The
/// first time that it sees an event it answers 503, so that every event comes twice.
const RECEIVER: &str = r#"
import http.server, json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
secrets, seen = sys.argv[1], set()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        id = self.headers["webhook-id"]
        try:
            event = Webhook(open(secrets).read()).verify(body, dict(self.headers))
            status = 204 if id in seen else 503
            seen.add(id)
        except WebhookVerificationError as error:
            event, status = str(error), 400
        print(json.dumps({"id": id, "status": status, "event": event}), flush=True)
        self.send_response(status)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Receiver {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Receiver {
    /// None where the library is not installed.
    async fn start(secret: &std::path::Path) -> Option<Self> {
        let known = Command::new("python3").args(["-c", "import standardwebhooks"]).output().await;
        if !known.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: there is no Python with standardwebhooks");
            return None;
        }
        let mut child = Command::new("python3")
            .args(["-c", RECEIVER])
            .arg(secret)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().unwrap().parse().unwrap();
        Some(Self { _child: child, lines, port })
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line());
        serde_json::from_str(&line.await.unwrap().unwrap().unwrap()).unwrap()
    }
}

async fn server(private: bool) -> (Server, watch::Sender<bool>) {
    let env = Env::real();
    let options = Options { hooks_to_private: private, ..Options::default() };
    let server = Server::on(Bucket::memory(&env), options).await;
    let (stop, stopped) = watch::channel(false);
    let runner = HookRunner::new(&server.datasets, server.door.courier());
    env.spawn.task(Box::pin(runner.run(stopped)));
    (server, stop)
}

async fn moved(server: &Server, content: &str) -> cairn_datasets::Version {
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("a"), content).unwrap();
    server.fill(work.path(), "data:v1").await.version
}

/// DATASETS-6, on the wire: signed as the standard says, again with the same id after a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn datasets_6_a_stock_receiver_verifies_what_comes() {
    let work = tempfile::tempdir().unwrap();
    let secret = work.path().join("secret");
    let Some(mut receiver) = Receiver::start(&secret).await else { return };
    let (server, stop) = server(true).await;
    moved(&server, "0").await;
    let (node, dataset) = (server.node(&server.root), target("data").dataset);
    let url = format!("http://127.0.0.1:{}/hook", receiver.port);
    let made = node.create_hook(&dataset, &CreateHook { url, tags: None }).await.unwrap();
    assert_eq!(made.hook.created_by, "root");
    std::fs::write(&secret, "whsec_c2VjcmV0IG9mIHNvbWVib2R5IGVsc2U=").unwrap();
    let refused = node.test_hook(&dataset, &made.hook.id).await.unwrap_err().to_string();
    assert!(refused.contains("400"), "{refused}");
    assert_eq!(receiver.next().await["status"], 400, "another secret is seen");
    std::fs::write(&secret, &made.secret).unwrap();
    node.test_hook(&dataset, &made.hook.id).await.unwrap_err();
    let tested = receiver.next().await;
    assert_eq!((&tested["status"], &tested["event"]["type"]), (&503.into(), &"test".into()));

    let version = moved(&server, "1").await;
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!((&first["status"], &second["status"]), (&503.into(), &204.into()));
    assert_eq!((&first["id"], &first["event"]), (&second["id"], &second["event"]));
    let data = &second["event"]["data"];
    assert_eq!(data["version"]["root"], version.root.to_string());
    assert_eq!((&data["dataset"], &data["tag"]), (&"data".into(), &"v1".into()));
    let listed = serde_json::to_string(&node.hooks(&dataset).await.unwrap()).unwrap();
    let bare = made.secret.trim_start_matches("whsec_");
    assert!(!listed.contains(bare) && !listed.contains("secret"), "{listed}");
    node.remove_hook(&dataset, &made.hook.id).await.unwrap();
    assert!(node.hooks(&dataset).await.unwrap().hooks.is_empty());
    stop.send_replace(true);
    server.stop().await;
}

/// The node does not reach for its user what the user cannot: neither by number nor by name.
#[tokio::test(flavor = "multi_thread")]
async fn receivers_inside_are_refused_unless_allowed() {
    let (server, _stop) = server(false).await;
    moved(&server, "0").await;
    let (node, dataset) = (server.node(&server.root), target("data").dataset);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "169.254.169.254"] {
        let hook = CreateHook { url: format!("http://{host}:{port}/"), tags: None };
        let made = node.create_hook(&dataset, &hook).await.unwrap();
        let refused = node.test_hook(&dataset, &made.hook.id).await.unwrap_err().to_string();
        assert!(refused.contains("--hooks-to-private"), "{host}: {refused}");
        node.remove_hook(&dataset, &made.hook.id).await.unwrap();
    }
    let connected = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(connected.is_err(), "nothing was connected to");
    server.stop().await;
}

/// A receiver that leads elsewhere, answers without end or not at all harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_receivers_are_left() {
    let (server, _stop) = server(true).await;
    moved(&server, "0").await;
    let (node, dataset) = (server.node(&server.root), target("data").dataset);
    let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = inside.local_addr().unwrap();
    for (answer, said) in [
        (format!("HTTP/1.1 307 x\r\nLocation: http://{elsewhere}/\r\n\r\n"), "redirects are not"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nendless".to_owned(), ""),
        ("HTTP/1.1 500 x\r\nContent-Length: 99999999999\r\n\r\n".to_owned(), "500"),
        ("220 mail.example ESMTP\r\n".to_owned(), "HTTP"),
        (String::new(), "timed out"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let made = node.create_hook(&dataset, &CreateHook { url, tags: None }).await.unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            assert_ne!(stream.read(&mut head).await.unwrap(), 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (tested, _stream) = futures::join!(node.test_hook(&dataset, &made.hook.id), serve);
        match tested {
            Ok(()) => assert!(said.is_empty()),
            Err(error) => {
                assert!(!said.is_empty() && error.to_string().contains(said), "{error}");
            }
        }
        node.remove_hook(&dataset, &made.hook.id).await.unwrap();
    }
    let led = tokio::time::timeout(Duration::from_millis(50), inside.accept()).await;
    assert!(led.is_err(), "no redirect was followed");
    server.stop().await;
}
