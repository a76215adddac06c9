//! What a node tells of its functions to who looks at them, as the web console does.

use std::process::Command;

use serde_json::{Value, json};

use crate::documented;
use crate::functions::node;
use crate::lab::Lab;
use crate::running_node::Node;

/// What the API answers.
fn get(node: &Node, path: &str, token: &str) -> Value {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-H", &format!("Authorization: Bearer {token}")]);
    let told = curl.arg(format!("{}/api/v1/{path}", node.url)).output().unwrap();
    serde_json::from_slice(&told.stdout)
        .unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&told.stdout)))
}

fn user(through: &Lab, name: &str) -> String {
    through.ok(&format!("token create {name}")).trim().to_owned()
}

#[test]
fn the_list_of_functions_tells_what_they_did_here() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    let listed = |name: &str| {
        let all = through.json("fn ls");
        all.into_iter().find(|function| function["name"] == name).unwrap()
    };
    let unused = json!({ "calls": 0, "failures": 0, "latency": null });
    assert_eq!(
        (&listed("hello")["newest_state"], &listed("hello")["here"]),
        (&"ready".into(), &unused)
    );
    for path in ["/", "/log", "/panic"] {
        through.run(&format!("fn invoke hello --path {path}"));
    }
    let hello = listed("hello");
    documented::check("fn ls", &hello);
    let here = &hello["here"];
    assert_eq!((&here["calls"], &here["failures"]), (&3.into(), &1.into()));
    let latency = |of: &str| here["latency"][of].as_u64().unwrap();
    assert!(latency("p50_us") <= latency("p95_us") && latency("p95_us") <= latency("p99_us"));
    assert!(latency("calls") == 3 && latency("p99_us") < 60_000_000, "{hello}");
    assert_eq!(get(&node, "functions/main/hello", &node.token)["here"]["calls"], 3);
    lab.write("broken.wat", "(module (func (export \"nothing\")))");
    through.ok("fn deploy broken.wat --name hello --no-wait");
    through.run("fn deploy broken.wat --name hello");
    assert_eq!(listed("hello")["newest_state"], "failed");

    let mut curl = Command::new("curl");
    curl.args(["-s", "-H", &format!("Authorization: Bearer {}", node.token)]);
    let told = curl.arg(format!("{}/metrics", node.url)).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    for line in [
        "# TYPE cairn_function_duration_seconds histogram",
        "cairn_function_duration_seconds_bucket{le=\"0.001\"} ",
        "cairn_function_duration_seconds_bucket{le=\"+Inf\"} 3\n",
        "cairn_function_duration_seconds_count 3\n",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
}

#[test]
fn a_function_is_asked_with_any_method_and_headers() {
    let (_lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    assert_eq!(through.ok("fn invoke hello --path /method"), "Method::Post\n");
    assert_eq!(through.ok("fn invoke hello --path /method --method PUT"), "Method::Put\n");
    let asked = |words: &[&str]| {
        let told = through.cairn("fn invoke hello --json --path").args(words).output().unwrap();
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        (serde_json::from_slice::<Value>(&told.stdout).unwrap_or_default(), said)
    };
    let headers =
        ["--header", "X-One: a b", "--header", "x-two:2", "--header", "Accept: text/html"];
    let (told, _) = asked(&[&["/headers", "--method", "GET"][..], &headers].concat());
    documented::check("fn invoke", &told);
    let seen = told["output"].as_str().unwrap();
    for header in ["(\"x-one\", \"a b\")", "(\"x-two\", \"2\")", "(\"accept\", \"text/html\")"] {
        assert!(seen.contains(header), "{seen}");
    }
    assert!(!seen.contains("cairn-set-") && !seen.contains("authorization"), "{seen}");
    let (told, _) = asked(&["/cookies"]);
    let answered = told["headers"].as_array().unwrap();
    assert!(answered.contains(&json!(["set-cookie", "theme=dark"])), "{told}");
    assert!(answered.contains(&json!(["content-type", "text/plain"])), "{told}");
    for (words, why) in [
        (["/", "--method", "put"], "method in capitals"),
        (["/", "--method", "CONNECT"], "method in capitals"),
        (["/", "--header", "Host: example.org"], "cairn-set-host"),
        (["/", "--header", "cairn-caller: root"], "cairn-set-cairn-caller"),
        (["/", "--header", "nothing"], "NAME: VALUE"),
    ] {
        let (_, said) = asked(&words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    // What is told of an answer is a part of it that fits into a header.
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%header{cairn-answer}", "-X", "POST", "-H"]);
    curl.arg(format!("Authorization: Bearer {}", node.token));
    let invoke = format!("{}/api/v1/functions/main/hello/invoke?path=/x", node.url);
    let told = curl.arg(invoke).output().unwrap().stdout;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((&told["status"], &told["left_out"]), (&200.into(), &0.into()));
}

#[test]
fn callers_list_their_own_later_calls() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    let anna = user(&through, "anna");
    through.ok("grant add anna invoker hello");
    let as_anna = lab.through(&node).with("CAIRN_TOKEN", &anna);
    let ids: Vec<String> = (0..3)
        .map(|_| as_anna.ok("fn invoke hello --path /log --later").trim().to_owned())
        .collect();
    for id in &ids {
        as_anna.ok(&format!("fn result hello {id}"));
    }
    let failed = as_anna.ok("fn invoke hello --path /panic --later").trim().to_owned();
    as_anna.run(&format!("fn result hello {failed}"));
    let told = get(&node, "functions/main/hello/calls", &anna);
    assert_eq!(told["complete"], true);
    let calls = told["calls"].as_array().unwrap();
    assert!(calls.windows(2).all(|two| two[0]["made_ms"].as_u64() >= two[1]["made_ms"].as_u64()));
    let state = |id: &str| {
        let call = calls.iter().find(|call| call["id"] == id).unwrap();
        (call["state"].as_str().unwrap(), call["outcome"].as_str().unwrap())
    };
    assert!(ids.iter().all(|id| state(id) == ("done", "ok")), "{told}");
    assert_eq!((state(&failed), calls.len()), (("done", "failed"), 4));
    // Those of others are not told, and nothing is told to who may not call it.
    assert_eq!(get(&node, "functions/main/hello/calls", &node.token)["calls"], json!([]));
    let ben = user(&through, "ben");
    assert_eq!(get(&node, "functions/main/hello/calls", &ben)["error"]["kind"], "denied");
    assert_eq!(get(&node, "functions/main/no/calls", &node.token)["error"]["kind"], "not_found");
}

#[test]
fn a_reader_of_a_log_sees_that_the_node_was_started_again() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("fn invoke hello --path /log");
    let logs = |node: &Node, query: &str| {
        get(node, &format!("functions/main/hello/logs?{query}"), &node.token)
    };
    let first = logs(&node, "");
    let start = first["start"].as_str().unwrap().to_owned();
    assert_eq!(first["lines"].as_array().unwrap().len(), 2);
    assert_eq!(logs(&node, &format!("after=2&start={start}"))["lines"], json!([]));
    let node = node.killed_with(&lab, "--data-dir data --web 127.0.0.1:0");
    lab.through(&node).ok("fn invoke hello --path /log");
    let again = logs(&node, &format!("after=2&start={start}"));
    assert_ne!(again["start"], start.as_str());
    assert_eq!(again["lines"].as_array().unwrap().len(), 2, "{again}");
    assert_eq!(logs(&node, "after=2")["lines"], json!([]));
}

#[test]
fn projects_with_functions_alone_are_listed_and_the_web_door_is_told() {
    let (lab, node, through) = node();
    lab.write("few/f", "words");
    through.ok("push few data");
    for project in ["alone", "zoo"] {
        through.ok(&format!("fn deploy command.wat --name @{project}/quiet"));
    }
    through.ok("fn deploy command.wat --name quiet");
    let listed = |query: &str, token: &str| {
        let told = get(&node, &format!("projects?{query}"), token);
        let names: Vec<String> = told["projects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|project| project["name"].as_str().unwrap().to_owned())
            .collect();
        (names.join(" "), told["next"].as_str().map(str::to_owned))
    };
    assert_eq!(listed("", &node.token), ("alone main zoo".to_owned(), None));
    assert_eq!(listed("limit=1", &node.token), ("alone".to_owned(), Some("alone".to_owned())));
    assert_eq!(
        listed("limit=1&after=alone", &node.token),
        ("main".to_owned(), Some("main".to_owned()))
    );
    assert_eq!(listed("limit=1&after=main", &node.token), ("zoo".to_owned(), None));
    let anna = user(&through, "anna");
    through.ok("grant add anna reader @zoo/quiet");
    assert_eq!(listed("", &anna).0, "zoo");
    assert_eq!(get(&node, "version", &node.token)["web"], json!([node.web]));
}
