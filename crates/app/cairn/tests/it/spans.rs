//! Spans of the real program, taken by the service that OpenTelemetry publishes for Python.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::identity::program;
use crate::lab::Lab;
use crate::process::Running;
use crate::running_node::Node;
use crate::walker::Walker;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A request's span is sent before the node has ended, and is a part of the trace that the request named.
#[test]
fn a_stock_receiver_gets_the_span_of_a_request() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/otlp_receiver.py");
    let mut python = Command::new(program("python"));
    python.arg(script);
    let mut receiver = Running::start(python);
    let port = receiver.line();
    let lab = Lab::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"));
    let node = Node::start(&lab);
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    let page = Walker::new(&lab, "none").go(&format!("{}/livez", node.url), &["-H", &parent]);
    assert_eq!(page.status, 200);
    let ended = node.stop();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let span = std::iter::repeat_with(|| serde_json::from_str::<Value>(&receiver.line()).unwrap())
        .find(|span| span["name"] == "GET /livez")
        .unwrap();
    assert_eq!(span["service"], serde_json::json!(["cairn"]));
    assert_eq!((&span["trace"], &span["parent"]), (&TRACE.into(), &PARENT.into()));
    // SPAN_KIND_SERVER
    assert_eq!(span["kind"], 2);
    assert!(span["nanoseconds"].as_u64().unwrap() > 0, "{span}");
    receiver.kill();
}
