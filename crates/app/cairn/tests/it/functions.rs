//! Functions of a node, deployed as people deploy them and asked as browsers ask them.

use std::process::Command;

use serde_json::Value;

use crate::documented;
use crate::lab::Lab;
use crate::running_node::Node;

pub(crate) const UP: &str = "--data-dir data --web 127.0.0.1:0";
/// A program that does nothing.
const COMMAND: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

pub(crate) fn node() -> (Lab, Node, Lab) {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let through = lab.through(&node);
    let hello = cairn_testkit::guests::rust("hello").unwrap();
    std::fs::copy(hello, lab.path("hello.wasm")).unwrap();
    lab.write("command.wat", COMMAND);
    (lab, node, through)
}

/// The status and the body of an answer.
pub(crate) fn ask(node: &Node, path: &str, headers: &[String]) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-w", "\n%{http_code}"]);
    for header in headers {
        curl.args(["-H", header]);
    }
    let told = curl.arg(format!("{}{path}", node.web)).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let told = String::from_utf8(told.stdout).unwrap();
    let (body, status) = told.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn shows(token: &str) -> [String; 1] {
    [format!("Authorization: Bearer {token}")]
}

#[test]
fn functions_are_deployed_called_and_rolled_back() {
    let (_lab, node, through) = node();
    let release = through.json("fn deploy hello.wasm --name hello --env WHO=one").remove(0);
    assert_eq!((&release["number"], &release["kind"]), (&1.into(), &"http".into()));
    let route = through.json("route add /{*path} hello --public").remove(0);
    documented::check("route add", &route);
    assert_eq!(ask(&node, "/a?b=c", &[]), (200, "hello /a?b=c\n".to_owned()));
    assert_eq!(ask(&node, "/environment", &[]).1, "[(\"WHO\", \"one\")]\n");
    through.json("fn deploy hello.wasm --name hello --env WHO=two --reuse 100");
    assert_eq!(ask(&node, "/environment", &[]).1, "[(\"WHO\", \"two\")]\n");
    assert_eq!(through.json("fn versions hello").len(), 2);
    through.ok("fn rollback hello");
    assert_eq!(ask(&node, "/environment", &[]).1, "[(\"WHO\", \"one\")]\n");
    documented::check("fn ls", &through.json("fn ls")[0]);
    assert_eq!(through.ok("fn invoke hello --path /log"), "written\n");
    let lines = through.json("fn logs hello");
    documented::check("fn logs", &lines[0]);
    assert!(lines.iter().any(|line| line["text"] == "to stderr"), "{lines:?}");
    documented::check("fn deploy", &through.json("fn deploy command.wat --name quiet")[0]);
    assert_eq!(through.ok("fn invoke quiet -- and more"), "");
    let done = through.json("fn invoke quiet").remove(0);
    documented::check("fn invoke", &done);
    assert_eq!((&done["exit"], &done["output"]), (&0.into(), &"".into()));
    let refused = through.fails("fn rm hello", 5);
    assert!(refused.contains("--with-routes"), "{refused}");
    through.fails("fn rm nothing", 3);
    documented::check("route rm", &through.json("route rm /{*path} hello")[0]);
    documented::check("fn rm", &through.json("fn rm hello")[0]);
    assert_eq!(ask(&node, "/a", &[]).0, 404);
}

/// WEB-1: who may not invoke a function does not reach it.
#[test]
fn web_1_callers_show_what_lets_them_invoke() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /{*path} hello");
    let user = |name: &str| through.ok(&format!("token create {name}")).trim().to_owned();
    let (caller, stranger) = (user("caller"), user("stranger"));
    through.ok("grant add caller invoker hello");
    assert_eq!(ask(&node, "/x", &[]).0, 401);
    assert_eq!(ask(&node, "/x", &shows("cairn_nonsense")).0, 401);
    assert_eq!(ask(&node, "/x", &shows(&stranger)).0, 403);
    assert_eq!(ask(&node, "/x", &shows(&caller)), (200, "hello /x\n".to_owned()));
    let by = |token: &str| lab.through(&node).with("CAIRN_TOKEN", token);
    assert_eq!(by(&caller).ok("fn invoke hello --path /y"), "hello /y\n");
    by(&stranger).fails("fn invoke hello", 4);
    by(&caller).fails("fn logs hello", 4);
    by(&caller).fails("fn deploy hello.wasm --name hello", 4);
    through.ok("fn deploy hello.wasm --name hello --env KEY=secret");
    through.ok("grant add stranger reader hello");
    let told = |by: &Lab| by.json("fn versions hello")[0]["settings"]["environment"]["KEY"].clone();
    assert_eq!((told(&by(&stranger)), told(&through)), (Value::from(""), Value::from("secret")));
}

/// WEB-2: the guest sees who called, and nothing that would let it call as them.
#[test]
fn web_2_functions_see_no_credential_and_no_forged_header() {
    let (_lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /headers hello");
    through.ok("route add /{who}/headers hello");
    let mut headers = shows(&node.token).to_vec();
    let forged = ["Cairn-Caller: somebody else", "Cairn_Caller: somebody", "Cairn-Made-Up: x"];
    headers.extend(forged.map(str::to_owned));
    let (status, seen) = ask(&node, "/headers", &headers);
    assert_eq!(status, 200, "{seen}");
    assert!(seen.contains("(\"cairn-caller\", \"root\")"), "{seen}");
    assert!(!seen.contains(&node.token) && !seen.contains("authorization"), "{seen}");
    assert!(!seen.contains("made-up") && !seen.contains("somebody"), "{seen}");
    assert!(seen.contains("(\"cairn-route\", \"* /headers\")"), "{seen}");
}

/// WEB-2: browsers send cookies to all ports of a host, and keep them for all.
#[test]
fn web_2_functions_and_sessions_of_the_console_stay_apart() {
    let (_lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /{*path} hello --public");
    let cookies = "Cookie: cairn_session=secret; theme=dark; cairn_login=secret".to_owned();
    let (_, seen) = ask(&node, "/headers", &[cookies]);
    assert!(seen.contains("(\"cookie\", \"theme=dark\")") && !seen.contains("secret"), "{seen}");
    for own in ["Basic dTpw", "Bearer theirs"] {
        let (_, seen) = ask(&node, "/headers", &[format!("Authorization: {own}")]);
        assert!(seen.contains(own), "{seen}");
    }
    // The second is base64 of `u:cairn_x`.
    for ours in ["Bearer cairn_x", "Basic dTpjYWlybl94"] {
        let (_, seen) = ask(&node, "/headers", &[format!("Authorization: {ours}")]);
        assert!(!seen.contains("authorization"), "{seen}");
    }
    let mut curl = Command::new("curl");
    let told = curl.args(["-si", &format!("{}/cookies", node.web)]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("theme=dark") && !told.contains("cairn_session"), "{told}");
    through.fails("fn invoke hello --path .example.org/x", 2);
    let mut curl = Command::new("curl");
    curl.args(["-si", "-X", "POST", "-H", &shows(&node.token)[0]]);
    let invoke = format!("{}/api/v1/functions/main/hello/invoke?path=/cookies", node.url);
    let told = String::from_utf8(curl.arg(invoke).output().unwrap().stdout).unwrap();
    assert!(told.contains("sandbox") && !told.contains("\nset-cookie"), "{told}");
}

/// FUNCTIONS-4: a function is a principal of its own, and has no more than it was given.
#[test]
fn functions_4_a_function_opens_what_it_was_granted() {
    let (lab, node, through) = node();
    let shortener = cairn_testkit::guests::rust("shortener").unwrap();
    std::fs::copy(shortener, lab.path("shortener.wasm")).unwrap();
    through.ok("fn deploy shortener.wasm --name s");
    through.ok("fn deploy shortener.wasm --name stranger");
    through.ok("route add /s/{*path} s --public");
    through.ok("route add /t/{*path} stranger --public");
    let asked = |method: &str, path: &str, body: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-X", method, "-d", body, "-w", " %{http_code} %{redirect_url}"]);
        let told = curl.arg(format!("{}{path}", node.web)).output().unwrap();
        String::from_utf8(told.stdout).unwrap()
    };
    assert_eq!(asked("POST", "/s/", "http://example.org/a"), "Error::AccessDenied\n 403 ");
    through.ok("grant add function/@main/s writer s");
    assert_eq!(asked("POST", "/s/", "http://example.org/a"), "1\n 201 ");
    assert_eq!(asked("POST", "/s/", "http://example.org/b"), "2\n 201 ");
    assert_eq!(asked("GET", "/s/1", ""), " 302 http://example.org/a");
    assert_eq!(asked("GET", "/s/3", ""), "there is no such address\n 404 ");
    assert_eq!(asked("PUT", "/s/1", "http://example.org/c"), "http://example.org/a\n 200 ");
    assert_eq!(asked("PUT", "/s/3", "http://example.org/c"), "there is no such address\n 404 ");
    let all = "address/1 http://example.org/c\naddress/2 http://example.org/b\ncount 2\n 200 ";
    assert_eq!(asked("GET", "/s/", ""), all);
    assert_eq!(through.ok("kv get s count"), "2\n");
    assert_eq!(asked("GET", "/t/1", ""), "Error::AccessDenied\n 403 ");
    assert_eq!(asked("DELETE", "/s/", ""), "3 keys\n 200 ");
    assert_eq!(asked("GET", "/s/", ""), " 200 ");
    for action in ["read_keys", "set_namespace", "write_keys"] {
        let line = format!("audit --caller function/@main/s --action {action}");
        // It is written beside the work.
        assert!((0..1000).any(|_| !through.json(&line).is_empty()), "{action}");
    }
    let refused = through.fails("idp add function --issuer https://example.org --client-id c", 2);
    assert!(refused.contains("has a meaning of its own"), "{refused}");
}

/// FUNCTIONS-4: a dataset is a container of objects to a function that was granted it, and each change a version.
#[test]
fn functions_4_a_function_keeps_objects_in_datasets() {
    let (lab, node, through) = node();
    let shelf = cairn_testkit::guests::rust("shelf").unwrap();
    std::fs::copy(shelf, lab.path("shelf.wasm")).unwrap();
    for (name, container) in [("s", "books"), ("t", "books:old")] {
        let environment = format!("--env CONTAINER={container} --env BELOW=/{name}");
        through.ok(&format!("fn deploy shelf.wasm --name {name} {environment}"));
        through.ok(&format!("route add /{name}/{{*path}} {name} --public"));
    }
    let long = "0123456789".repeat(1_000_000);
    lab.write("long", &long);
    let sent = format!("@{}", lab.path("long").display());
    let asked = |method: &str, path: &str, more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-X", method, "-w", " %{http_code}"]).args(more);
        let told = curl.arg(format!("{}{path}", node.web)).output().unwrap();
        String::from_utf8(told.stdout).unwrap()
    };
    let refused = |told: &str, role: &str, name: &str| {
        let grant = format!("cairn grant add function/@main/{name} {role} books\n 403");
        assert!(told.ends_with(&grant), "{told}");
    };
    refused(&asked("GET", "/s/", &[]), "reader", "s");
    refused(&asked("PUT", "/s/", &[]), "writer", "s");
    through.ok("grant add function/@main/s writer books");
    through.ok("grant add function/@main/t reader books");
    let missing = "there is no such container\n 404";
    assert_eq!(asked("GET", "/s/", &[]), missing);
    assert_eq!(asked("PUT", "/s/a", &["-d", "x"]), missing);
    assert_eq!(asked("PUT", "/s/", &[]), "books\n 201");
    let there = "there is a container of that name already\n 409";
    assert_eq!(asked("PUT", "/s/", &[]), there);
    assert_eq!(asked("GET", "/s/", &[]), " 200");
    assert_eq!(asked("GET", "/s/?info", &[]), "books true\n 200");
    for (path, bytes) in [("a", "alpha"), ("b/c", sent.as_str()), ("b/d?after", "delta"), ("e", "")]
    {
        assert_eq!(
            asked("PUT", &format!("/s/{path}"), &["--data-binary", bytes]),
            " 201",
            "{path}"
        );
    }
    assert_eq!(asked("PUT", "/s/f?unfinished", &["-d", "half"]), " 201");
    assert_eq!(asked("GET", "/s/", &[]), "a\nb/c\nb/d\ne\n 200");
    assert_eq!(asked("GET", "/s/b/c?info", &[]), "books/b/c 10000000 true\n 200");
    assert_eq!(asked("GET", "/s/b/c", &[]), format!("{long} 200"));
    assert_eq!(asked("GET", "/s/b/c", &["-H", "Range: bytes=9999998-"]), "89 206");
    assert_eq!(asked("GET", "/s/b/c", &["-H", "Range: bytes=5000005-5000007"]), "567 206");
    assert_eq!(asked("GET", "/s/b", &[]), "there is no such object\n 404");
    // It is what everybody else sees of the dataset.
    assert_eq!(through.ok("cat books/b/d").trim_end(), "delta");
    through.ok("tag books:latest books:old");
    assert_eq!(asked("POST", "/s/g?move=b/c", &[]), " 201");
    assert_eq!(asked("POST", "/s/h?copy=books:old=a", &[]), " 201");
    assert_eq!(asked("POST", "/s/a?move=a", &[]), " 201");
    assert_eq!(asked("DELETE", "/s/e,b,missing", &[]), " 200");
    assert_eq!(asked("GET", "/s/", &[]), "a\nb/d\ng\nh\n 200");
    assert_eq!(asked("GET", "/s/g?whole", &[]), "10000000 bytes\n 200");
    assert_eq!(asked("GET", "/s/h", &[]), "alpha 200");
    assert_eq!(asked("GET", "/t/", &[]), "a\nb/c\nb/d\ne\n 200");
    refused(&asked("PUT", "/t/x", &["-d", "x"]), "writer", "t");
    let name = asked("PUT", "/s/b", &["-d", "x"]);
    assert!(name.contains("is a directory, not a file") && name.ends_with(" 409"), "{name}");
    assert_eq!(asked("DELETE", "/s/", &[]), " 200");
    assert_eq!(asked("GET", "/s/", &[]), " 200");
    assert_eq!(asked("DELETE", "/s/?container", &[]), " 200");
    assert_eq!(asked("GET", "/s/", &[]), missing);
    assert_eq!(asked("GET", "/t/a", &[]), "alpha 200");
    for action in ["read_dataset", "write_dataset", "delete_dataset"] {
        let line = format!("audit --caller function/@main/s --action {action}");
        // It is written beside the work.
        assert!((0..1000).any(|_| !through.json(&line).is_empty()), "{action}");
    }
}

/// A function where the keys are not is told which node has them.
#[test]
fn keys_of_another_node_are_told_to_be_there() {
    let (lab, node, through) = node();
    let shortener = cairn_testkit::guests::rust("shortener").unwrap();
    std::fs::copy(shortener, lab.path("shortener.wasm")).unwrap();
    through.ok("fn deploy shortener.wasm --name s");
    through.ok("route add /{*path} s --public");
    through.ok("grant add function/@main/s writer s");
    assert_eq!(ask(&node, "/1", &[]).0, 404);
    let second = node.beside_with(&lab, "--data-dir other --web 127.0.0.1:0");
    // It sees the route once that is in the bucket.
    let told = (0..2000).map(|_| ask(&second, "/1", &[])).find(|(status, _)| *status != 404);
    assert!(
        told.as_ref().is_some_and(|told| told.0 == 503 && told.1.contains(&node.url)),
        "{told:?}"
    );
}

/// A node that does not have a project's partition serves its functions as they are in the bucket.
#[test]
fn a_node_beside_serves_the_functions_of_the_first() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /{*path} hello --public");
    let second = node.beside_with(&lab, "--data-dir other --web 127.0.0.1:0");
    let same = |path: &str| {
        let wanted = (200, format!("hello {path}\n"));
        assert!((0..1000).any(|_| ask(&second, path, &[]) == wanted), "{path}");
    };
    same("/x");
    assert_eq!(lab.through(&second).ok("fn invoke hello --path /y"), "hello /y\n");
    assert_eq!(through.ok("fn ls"), lab.through(&second).ok("fn ls"));
    drop(node);
    same("/z");
}

#[test]
fn what_breaks_a_limit_is_told_and_harms_nobody() {
    let (_lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello --cpu-ms 200 --memory 16M --wall-ms 1000");
    through.ok("route add /{*path} hello --public");
    for (path, status, word) in [
        ("/loop", 500, "cpu_ms"),
        ("/memory", 500, "memory_bytes"),
        ("/sleep", 504, "wall_ms"),
        ("/panic", 500, "trapped"),
        ("/silent", 500, "no answer"),
    ] {
        let (found, body) = ask(&node, path, &[]);
        assert_eq!(found, status, "{path}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(error["error"]["message"].as_str().unwrap().contains(word), "{path}: {body}");
        assert_eq!(ask(&node, "/x", &[]).0, 200, "after {path}");
    }
    let failed = through.fails("fn deploy hello.wasm --name hello --cpu-ms 0", 2);
    assert!(failed.contains("limits.cpu_ms"), "{failed}");
}

/// FUNCTIONS-3: what was acknowledged is there after `kill -9`, and what was not compiled yet is compiled.
#[test]
fn functions_outlive_kill_9() {
    let (lab, mut node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /{*path} hello --public");
    for round in 2..5 {
        let made = lab.through(&node).json("fn deploy hello.wasm --name hello --no-wait").remove(0);
        assert_eq!(made["number"], round);
        node = node.killed_with(&lab, UP);
        let through = lab.through(&node);
        assert_eq!(through.ok("fn invoke hello --path /x"), "hello /x\n");
        let states = through.json("fn versions hello");
        assert_eq!(states.len(), round);
        assert_eq!(ask(&node, "/y", &[]), (200, "hello /y\n".to_owned()));
    }
    let through = lab.through(&node);
    let all_ready = || {
        let all = through.json("fn versions hello");
        all.iter().all(|release| release["state"] == "ready")
    };
    assert!((0..1000).any(|_| all_ready()), "a release is not compiled");
    assert_eq!(through.json("fn ls")[0]["current"], 4);
}

/// `cron add` with a schedule, which has spaces.
fn schedule(through: &Lab, times: &str, rest: &str) -> Value {
    let mut add = through.cairn("--json cron add");
    let told = add.arg(times).args(rest.split_whitespace()).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    serde_json::from_slice(&told.stdout).unwrap()
}

/// The first run of a schedule of the function that fits.
fn run(through: &Lab, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let words = format!("cron history hello --name {name}");
    let mut last = Vec::new();
    for _ in 0..2000 {
        last = through.json(&words);
        if let Some(run) = last.iter().find(|run| fits(run)) {
            return run.clone();
        }
    }
    panic!("{last:?}");
}

#[test]
fn schedules_call_functions_and_remember_how_it_went() {
    let (_lab, _node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("fn deploy command.wat --name quiet");
    let every_second = "* * * * * *";
    let made = schedule(&through, every_second, "hello --path /log");
    documented::check("cron add", &made);
    schedule(&through, every_second, "hello --name bad --path /panic");
    let once = schedule(&through, "0 4 * * MON", "quiet --zone Europe/Berlin -- a b");
    assert_eq!((&once["running"], &once["arguments"][1]), (&false.into(), &"b".into()));
    let ran = run(&through, "default", |run| run["outcome"] == "ok");
    documented::check("cron history", &ran);
    assert_eq!((&ran["what"], &ran["attempt"]), (&"status 200".into(), &1.into()));
    let listed = through.json("cron ls");
    let listed = listed.iter().find(|schedule| schedule["name"] == "default").unwrap();
    documented::check("cron add", listed);
    assert_eq!(listed["last"]["what"], "status 200");
    let failed = run(&through, "bad", |run| run["outcome"] == "failed");
    assert!(failed["what"].as_str().unwrap().contains("trapped"), "{failed}");
    assert!(through.ok("fn logs hello").contains("to stdout"));
    assert_eq!(through.json("cron ls").len(), 3);
    documented::check("cron rm", &through.json("cron rm hello --name bad")[0]);
    through.fails("cron rm hello --name bad", 3);
    through.fails("cron history hello --name bad", 3);
    let refused = |words: &[&str], why: &str| {
        let told = through.cairn("cron add").args(words).output().unwrap();
        let said = String::from_utf8(told.stderr).unwrap();
        assert!(!told.status.success() && said.contains(why), "{words:?}: {said}");
    };
    refused(&["0 0 30 2 *", "hello", "--name", "never"], "never comes");
    refused(&["* * * *", "hello", "--name", "short"], "no schedule");
    refused(&["* * * * *", "hello", "--name", "x", "--zone", "Mars/Base"], "no time zone");
    refused(&["* * * * *", "hello"], "already");
    refused(&["* * * * *", "nothing"], "no function");
    through.ok("fn rm hello");
    assert_eq!(through.json("cron ls").len(), 1);
}

/// FUNCTIONS-6: what was begun is run again when its node died, and told which attempt it is.
#[test]
fn functions_6_a_run_that_was_cut_off_is_run_again() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello --wall-ms 2000");
    schedule(&through, "* * * * * *", "hello --path /sleep");
    let runs = || through.json("cron ls")[0]["running"] == true;
    assert!((0..1000).any(|_| runs()), "it does not run");
    let node = node.killed_with(&lab, UP);
    let through = lab.through(&node);
    let again = run(&through, "default", |run| run["attempt"] == 2);
    assert!(again["what"].as_str().unwrap().contains("wall_ms"), "{again}");
    // One at a time: no tick is begun before the one before it has ended.
    let next = |run: &Value| run["tick_ms"].as_u64() > again["tick_ms"].as_u64();
    let next = run(&through, "default", next);
    assert!(next["began_ms"].as_u64() >= again["ended_ms"].as_u64(), "{again} {next}");
}

/// A script in C that knows nothing but the Common Gateway Interface.
#[test]
fn programs_answer_requests_as_cgi_scripts_do() {
    let (lab, node, through) = node();
    let script = cairn_testkit::guests::c("script").unwrap();
    std::fs::rename(script, lab.path("script.wasm")).unwrap();
    through.ok("fn deploy script.wasm --name script");
    through.ok("fn deploy command.wat --name quiet");
    through.ok("route add /quiet quiet --public");
    through.ok("route add /{*path} script --public");
    let curl = |words: &[&str]| {
        let told = Command::new("curl").args(["-si"]).args(words).output().unwrap();
        String::from_utf8(told.stdout).unwrap()
    };
    let told = curl(&["-A", "test", "-d", "12345", &format!("{}/a%20b?c=d", node.web)]);
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    assert!(told.contains("x-method: POST") && told.contains("content-type: text/html"), "{told}");
    assert!(told.ends_with("/a b?c=d 5 bytes, agent test\n"), "{told}");
    let told = curl(&[&format!("{}/elsewhere", node.web)]);
    assert!(told.starts_with("HTTP/1.1 302") && told.contains("https://example.org/"), "{told}");
    assert_eq!(ask(&node, "/quiet", &[]), (200, String::new()));
    lab.write("long", vec![b'x'; (1 << 20) + 1]);
    let long = format!("@{}", lab.path("long").display());
    let told = curl(&["--data-binary", &long, &format!("{}/a", node.web)]);
    assert!(told.contains("HTTP/1.1 413"), "{told}");
}

/// What `apply` and `diff` print, without the releases' reasons.
pub(crate) fn steps(through: &Lab, words: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |step: &Value| {
        let (change, what) = (text(&step["change"]), text(&step["what"]));
        format!("{change} {what} {}", text(&step["name"]))
    };
    through.json(words).iter().map(line).collect()
}

#[test]
fn a_manifest_is_made_so_and_what_it_says_no_more_is_removed() {
    let (lab, node, through) = node();
    let shortener = cairn_testkit::guests::rust("shortener").unwrap();
    std::fs::copy(shortener, lab.path("shortener.wasm")).unwrap();
    through.ok("fn deploy hello.wasm --name other");
    through.ok("route add /other other");
    let manifest = |text: &str| lab.write("cairn.toml", text);
    manifest(
        r#"
        [node]
        collect = false
        [functions.s]
        file = "shortener.wasm"
        limits = { cpu_ms = 500 }
        filters = { other = 10 }
        routes = [{ pattern = "/s/{*path}", public = true }, { pattern = "GET /private" }]
        schedules = [{ schedule = "0 4 * * *", zone = "Europe/Berlin" }]
        grants = [{ role = "writer", on = "s" }]
        "#,
    );
    let all = [
        "add release its first",
        "add filter other, 10",
        "add grant anonymous is invoker of @main/s",
        "add grant function/@main/s is writer of @main/s",
        "add route * /s/{*path}, public",
        "add route GET /private",
        "add schedule default, 0 4 * * *",
    ];
    assert_eq!(steps(&through, "diff"), all);
    assert_eq!(through.json("fn ls").len(), 1, "diff changes nothing");
    assert_eq!(steps(&through, "apply"), all);
    assert_eq!(steps(&through, "apply"), [""; 0]);
    assert_eq!(ask(&node, "/s/1", &[]).0, 404);
    manifest(
        r#"
        [functions.s]
        file = "shortener.wasm"
        limits = { cpu_ms = 600 }
        routes = [{ pattern = "GET /private" }]
        schedules = [{ schedule = "0 5 * * *" }]
        grants = []
        "#,
    );
    let changes = [
        "add release its settings are others",
        "change schedule default, 0 5 * * *",
        "remove route * /s/{*path}",
        "remove grant anonymous is invoker of @main/s",
        "remove grant function/@main/s is writer of @main/s",
        "remove filter other",
    ];
    documented::check("apply", &through.json("diff")[0]);
    assert_eq!(steps(&through, "apply"), changes);
    assert_eq!(steps(&through, "diff"), [""; 0]);
    assert_eq!((ask(&node, "/s/1", &[]).0, ask(&node, "/private", &[]).0), (404, 401));
    assert_eq!(through.json("route ls").len(), 2, "what it does not name stays");
    // A route moves from one to another.
    manifest(
        "[functions.other]\nfile = \"hello.wasm\"\nroutes = [{ pattern = \"GET /private\" }]\n[functions.s]\nfile = \"shortener.wasm\"\nlimits = { cpu_ms = 600 }",
    );
    let moved = [
        "remove route GET /private",
        "add route GET /private",
        "remove route * /other",
        "remove schedule default",
    ];
    assert_eq!(steps(&through, "apply"), moved);
    // Nothing is changed by what is wrong.
    manifest("[functions.s]\nfile = \"shortener.wasm\"\nroutes = [{ pattern = \"no path\" }]");
    let refused = through.fails("apply", 2);
    assert!(refused.contains("cairn.toml, line 3, column 23"), "{refused}");
    through.fails("apply --file nothing.toml", 3);
}

#[test]
fn a_manifest_declares_triggers_and_files_that_are_served() {
    let (lab, node, through) = node();
    lab.write("site/dist/index.html", "the site");
    through.ok("push site pages");
    through.ok("kv create carts");
    through.ok("route files /old/{*path} pages");
    let manifest = |text: &str| lab.write("cairn.toml", text);
    manifest(
        r#"
        [functions.indexer]
        file = "hello.wasm"
        triggers = [{ namespace = "carts", prefix = "user/", path = "/changed" }]
        grants = [{ role = "reader", on = "carts" }]
        [files.pages]
        routes = [{ pattern = "/site/{*path}", path = "dist", fallback = "index.html", public = true }]
        "#,
    );
    let all = [
        "add release its first",
        "add grant function/@main/indexer is reader of @main/carts",
        "add grant anonymous is reader of @main/pages",
        "add trigger default, carts",
        "add route * /site/{*path}, files of latest, public",
        "remove route * /old/{*path}",
    ];
    assert_eq!(steps(&through, "diff"), all);
    assert_eq!(steps(&through, "apply"), all);
    assert_eq!(steps(&through, "apply"), [""; 0]);
    assert_eq!(ask(&node, "/site/any/view", &[]), (200, "the site".to_owned()));
    manifest(
        r#"
        [functions.indexer]
        file = "hello.wasm"
        triggers = [{ name = "all", namespace = "carts" }]
        [files.pages]
        routes = [{ pattern = "/site/{*path}", path = "dist", tag = "latest" }]
        "#,
    );
    let changes = [
        "add trigger all, carts",
        "change route * /site/{*path}, files of latest",
        "remove trigger default",
        "remove grant anonymous is reader of @main/pages",
    ];
    assert_eq!(steps(&through, "apply"), changes);
    assert_eq!(steps(&through, "diff"), [""; 0]);
    assert_eq!(ask(&node, "/site/", &[]).0, 401);
    manifest("[files.pages]\nroutes = []");
    assert_eq!(steps(&through, "apply"), ["remove route * /site/{*path}"]);
    assert_eq!(through.json("trigger ls").len(), 1, "what it does not name stays");
}

#[test]
fn calls_are_done_later_and_what_came_of_them_is_kept() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("fn deploy command.wat --name quiet");
    lab.write("input", "some input");
    let later = "fn invoke hello --path /echo --input input --later";
    let made = through.json(later).remove(0);
    documented::check("fn invoke --later", &made);
    let id = made["id"].as_str().unwrap();
    assert_eq!(through.ok(&format!("fn result hello {id}")).trim_end(), "some input");
    let done = through.json(&format!("fn result hello {id}")).remove(0);
    documented::check("fn invoke", &done);
    assert_eq!((&done["status"], &done["output"]), (&200.into(), &"some input".into()));
    // With a key there is one, for the same caller, and for the same request.
    let keyed = format!("{later} --key once");
    let first = through.ok(&keyed);
    assert_eq!(through.ok(&keyed), first);
    assert_ne!(first.trim(), id);
    lab.write("input", "other input");
    assert!(through.fails(&keyed, 5).contains("another call"));
    through.ok("grant add caller invoker hello");
    let token = through.ok("token create caller").trim().to_owned();
    let other = through.with("CAIRN_TOKEN", &token);
    let theirs = other.ok(&keyed);
    assert_ne!(theirs, first);
    assert_eq!(other.ok(&format!("fn result hello {theirs}")).trim_end(), "other input");
    other.fails(&format!("fn result hello {id}"), 3);
    through.fails("fn result hello 0123", 3);
    let id = through.ok("fn invoke hello --path /panic --later");
    let ended = through.run(&format!("fn result hello {id}"));
    assert!(ended.code == Some(1) && ended.stderr.contains("trapped"), "{}", ended.stderr);
    let id = through.ok("fn invoke quiet --later -- a b");
    assert_eq!(through.json(&format!("fn result quiet {id}"))[0]["exit"], 0);
    assert_eq!(ask(&node, "/x", &[]).0, 404);
    through.ok("fn rm hello");
    through.fails(&format!("fn result hello {}", first.trim()), 3);
    // One that nothing can run yet waits, and is no attempt.
    lab.write("useless.wat", "(component)");
    through.run("fn deploy useless.wat --name late");
    let id = through.ok("fn invoke late --later");
    let state = || through.run(&format!("fn result late {id} --no-wait")).stderr;
    assert!((0..50).all(|_| state().contains("it is")), "{}", state());
    through.ok("fn deploy command.wat --name late");
    assert_eq!(through.json(&format!("fn result late {id}"))[0]["exit"], 0);
}

/// FUNCTIONS-7: a call that was acknowledged is done, whatever becomes of its node, and told which attempt it is.
#[test]
fn functions_7_calls_that_were_acknowledged_are_done_after_kill_9() {
    let (lab, mut node, through) = node();
    through.ok("fn deploy hello.wasm --name hello --wall-ms 2000");
    let slow = through.ok("fn invoke hello --path /sleep --later");
    let state = |words: &str| through.run(words).stderr;
    let running = format!("fn result hello {slow} --no-wait");
    assert!((0..1000).any(|_| state(&running).contains("is running")), "it does not run");
    let mut calls = Vec::new();
    for round in 0..5 {
        let through = lab.through(&node);
        lab.write("input", format!("input {round}"));
        calls.push(through.ok("fn invoke hello --path /echo --input input --later"));
        if round % 2 == 0 {
            node = node.killed_with(&lab, UP);
        }
    }
    let through = lab.through(&node);
    for (round, id) in calls.iter().enumerate() {
        let told = through.ok(&format!("fn result hello {id}"));
        assert_eq!(told.trim_end(), format!("input {round}"));
    }
    let ended = through.run(&format!("fn result hello {slow}"));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
}

#[test]
fn requests_that_cannot_be_are_wrong_input() {
    let (_lab, _node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    let told = |more: &[&str]| {
        let mut invoke = through.cairn("fn invoke hello --path /echo");
        let told = invoke.args(more).output().unwrap();
        let said = String::from_utf8(told.stderr).unwrap();
        assert_eq!(told.status.code(), Some(2), "{more:?}: {said}");
        said
    };
    let said = told(&["--header", "X A: b"]);
    assert!(said.contains("\"X A\" is no name of a header"), "{said}");
    let said = told(&["--header", "X-A: one\ntwo"]);
    assert!(said.contains("the value of the header X-A") && !said.contains("two"), "{said}");
    let said = told(&["--later", "--key", "one\ntwo"]);
    assert!(said.contains("the value of the header idempotency-key"), "{said}");
    for method in ["GE T", "get", "", "GET\n"] {
        let said = told(&["--method", method]);
        assert!(said.contains("a method in capitals"), "{said}");
    }
    let broken = through.with("CAIRN_TOKEN", "cairn_\u{1}x").fails("fn ls", 2);
    assert!(broken.contains("header"), "{broken}");
}

#[test]
fn what_is_changed_is_applied_while_it_is_developed() {
    let (lab, node, through) = node();
    through.ok("fn new live --template wat");
    let mut dev = through.cairn("fn dev");
    let quiet = std::process::Stdio::null;
    let dev = dev.current_dir(lab.path("live")).stdout(quiet()).stderr(quiet());
    let mut dev = dev.spawn().unwrap();
    let answers = |wanted: &str| (0..5000).any(|_| ask(&node, "/live/", &[]).1 == wanted);
    assert!(answers("hello from live\n"));
    let text = std::fs::read_to_string(lab.path("live/main.wat")).unwrap();
    // What is wrong is said, and ends nothing.
    lab.write("live/main.wat", text.replace("(module", "(modul"));
    lab.write("live/main.wat", text.replace("hello", "HELLO"));
    assert!(answers("HELLO from live\n"));
    dev.kill().unwrap();
    dev.wait().unwrap();
}

/// A JWT as Python's library makes it.
fn jwt(secret: &str, claims: &str) -> String {
    let make = "import sys,hmac,hashlib,base64\n\
        part=lambda b: base64.urlsafe_b64encode(b).rstrip(b'=')\n\
        signed=part(b'{\"alg\":\"HS256\",\"typ\":\"JWT\"}')+b'.'+part(sys.argv[2].encode())\n\
        mac=hmac.new(sys.argv[1].encode(),signed,hashlib.sha256).digest()\n\
        print((signed+b'.'+part(mac)).decode())";
    let told = Command::new("python3").args(["-c", make, secret, claims]).output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

/// WEB-3: nothing comes by a filter that did not let it.
#[test]
fn web_3_requests_pass_filters_or_do_not_arrive() {
    let (lab, node, through) = node();
    let guard = cairn_testkit::guests::rust("guard").unwrap();
    std::fs::copy(guard, lab.path("guard.wasm")).unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    through.ok("fn deploy hello.wasm --name api");
    through.ok(&format!("fn deploy guard.wasm --name guard --env SECRET={secret}"));
    through.ok("route add /{*path} api --public");
    assert_eq!(ask(&node, "/headers", &[]).0, 200);
    let made = through.json("filter add guard api --priority 10").remove(0);
    documented::check("filter add", &made);
    assert_eq!(ask(&node, "/headers", &[]).0, 401);
    let late = r#"{"sub":"ann","exp":1000}"#;
    let good = jwt(secret, r#"{"sub":"ann","exp":4000000000}"#);
    for bad in [jwt("another secret of enough length..", late), jwt(secret, late), "x.y.z".into()] {
        assert_eq!(ask(&node, "/headers", &shows(&bad)).0, 401, "{bad}");
    }
    let forged = ["X-User: root".to_owned(), format!("Authorization: Bearer {good}")];
    let (status, told) = ask(&node, "/headers", &forged);
    assert!(status == 200 && told.contains("(\"x-user\", \"ann\")"), "{status} {told}");
    assert!(!told.contains("root"), "{told}");
    // What rewrites, written as a script; it is passed after the guard.
    let script = "Status: 204\\0acairn-path: /echo?new\\0a\\0a";
    let rewrite = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "{script}")
          (func (export "_start")
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const {}))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        script.replace("\\0a", "\n").len()
    );
    lab.write("rewrite.wat", rewrite);
    through.ok("fn deploy rewrite.wat --name rewrite");
    through.ok("filter add rewrite api --priority 20");
    let bearer = shows(&good);
    assert_eq!(ask(&node, "/anything", &bearer), (200, "hello /echo?new\n".to_owned()));
    assert_eq!(ask(&node, "/anything", &[]).0, 401);
    // Nobody calls it past them who may not remove them.
    lab.through(&node).without("CAIRN_TOKEN").fails("fn invoke api --path /headers", 4);
    through.ok("fn invoke api --path /headers");
    let names: Vec<_> = through.json("filter ls").iter().map(|one| one["filter"].clone()).collect();
    assert_eq!(names, ["guard", "rewrite"]);
    // A filter that fails stops all; one that is in use stays.
    through.ok("fn deploy hello.wasm --name broken");
    through.ok("filter add broken api");
    assert_eq!(ask(&node, "/loop", &bearer), (200, "hello /echo?new\n".to_owned()));
    through.ok("filter rm rewrite api");
    assert_eq!(ask(&node, "/panic", &bearer).0, 500);
    assert!(through.fails("fn rm guard", 5).contains("is a filter of api"));
    documented::check("filter rm", &through.json("filter rm broken api")[0]);
    through.fails("filter rm broken api", 3);
    through.fails("filter add api api", 2);
    through.fails("filter add nothing api", 3);
    let node = node.killed_with(&lab, UP);
    assert_eq!(ask(&node, "/headers", &[]).0, 401);
    lab.through(&node).ok("filter rm guard api");
    assert_eq!(ask(&node, "/headers", &[]).0, 200);
}
