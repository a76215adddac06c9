//! gRPC on the real program, called by the stock Python clients.

use std::path::Path;
use std::process::Command;

use cairn_testkit::guests;

use crate::lab::Lab;
use crate::running_node::Node;

/// Stock grpcio makes its clients from the published files, and everything goes over the port that
/// REST is on.
#[test]
fn stock_python_clients_work() {
    let lab = Lab::new();
    let node = Node::start(&lab);
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proto");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/grpc_client.py");
    let through = lab.through(&node);
    for (name, module) in [("hello", guests::rust("hello")), ("upper", guests::c("uppercase"))] {
        std::fs::copy(module.unwrap(), lab.path("function.wasm")).unwrap();
        through.ok(&format!("fn deploy function.wasm --name {name}"));
    }
    let work = lab.path("clients");
    std::fs::create_dir_all(&work).unwrap();
    let python = cairn_testkit::tool::find("python").unwrap();
    let mut client = Command::new(python);
    client.arg(script).arg(proto).arg(work).arg(node.url.trim_start_matches("http://"));
    let ran = client.arg(&node.token).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stdout));
    // What was pushed is there for the other doors.
    assert_eq!(lab.ok("cat tree:v1/small.txt"), "hello\n");
    lab.verify();
    node.stop();
}
