//! Functions in the languages that there are templates and samples for, built by the toolchains that people use.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_testkit::guests;

use crate::documented;
use crate::functions::{ask, node};
use crate::lab::Lab;
use crate::running_node::Node;

/// A function of a template, built with this environment and applied, answers.
fn built_and_asked(lab: &Lab, node: &Node, template: &str, environment: &[(&str, OsString)]) {
    let through = lab.through(node);
    let name = format!("my-{template}");
    let words = format!("fn new {name} --template {template}");
    documented::check("fn new", &through.json(&words)[0]);
    through.fails(&words, 5);
    // Toolchains are here as they are at home, with their own settings and caches.
    let mut build = Command::new(env!("CARGO_BIN_EXE_cairn"));
    build.args(["fn", "build"]).current_dir(lab.path(&name)).stdin(Stdio::null());
    // What the build of the tests was told is not for others.
    let ours = |name: &str| name.starts_with("CARGO_") || name.starts_with("RUST");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ours(&name) && !["CARGO_HOME", "RUSTUP_HOME"].contains(&&*name) {
            build.env_remove(&*name);
        }
    }
    let told = build.envs(environment.iter().cloned()).output().unwrap();
    assert!(told.status.success(), "{template}: {}", String::from_utf8_lossy(&told.stderr));
    let told = through.cairn("apply").current_dir(lab.path(&name)).output().unwrap();
    assert!(told.status.success(), "{template}: {}", String::from_utf8_lossy(&told.stderr));
    let (status, told) = ask(node, &format!("/{name}/x?y=z"), &[]);
    let hello = format!("hello from {name}");
    assert!(status == 200 && told.starts_with(&hello), "{template}: {status} {told}");
    let says_path = template == "wat" || told.contains(&format!("/{name}/x"));
    assert!(says_path && told.ends_with('\n'), "{template}: {told}");
}

fn template(name: &str) {
    let template = guests::TEMPLATES.iter().find(|template| template.name == name).unwrap();
    let environment = template.environment().unwrap();
    let (lab, node, _) = node();
    built_and_asked(&lab, &node, name, &environment);
}

#[test]
fn templates_for_wat_c_and_rust_are_built_and_answer() {
    let (lab, node, through) = node();
    let rust: Vec<_> = guests::rust_environment().unwrap();
    let rust: Vec<_> = rust.into_iter().map(|(name, value)| (name, value.into())).collect();
    for name in ["wat", "c"] {
        built_and_asked(&lab, &node, name, &[]);
    }
    built_and_asked(&lab, &node, "rust", &rust);
    through.fails("fn new ../up --template wat", 2);
    through.fails("fn new 1up --template wat", 2);
}

#[test]
fn the_template_for_zig_is_built_and_answers() {
    template("zig");
}

#[test]
fn the_template_for_js_is_built_and_answers() {
    template("js");
}

#[test]
fn the_template_for_python_is_built_and_answers() {
    template("python");
}

#[test]
fn the_template_for_go_is_built_and_answers() {
    template("go");
}

#[test]
fn the_template_for_assemblyscript_is_built_and_answers() {
    template("assemblyscript");
}

/// What the templates ask for is what `cargo xtask setup` brings, so that it is fetched once.
#[test]
fn templates_and_setup_name_the_same_versions() {
    let setup = include_str!("../../../../../dev/xtask/setup.toml");
    let js = include_str!("../../templates/js/package.json");
    let script = include_str!("../../templates/assemblyscript/package.json");
    let python = include_str!("../../templates/python/requirements.txt");
    let mut wanted = Vec::new();
    for package in [js, script] {
        let package: serde_json::Value = serde_json::from_str(package).unwrap();
        let needs = package["devDependencies"].as_object().unwrap();
        let version = |(name, version): (&String, &serde_json::Value)| {
            (name.clone(), version.as_str().unwrap().to_owned())
        };
        wanted.extend(needs.iter().map(version));
    }
    let of = |line: &str| line.split_once("==").map(|(a, b)| (a.to_owned(), b.to_owned()));
    wanted.extend(python.lines().filter_map(of));
    assert_eq!(wanted.len(), 5);
    for (package, version) in wanted {
        let entry = format!("package = \"{package}\"\nversion = \"{version}\"\n");
        assert!(setup.contains(&entry), "{package} {version}");
    }
}

/// The bytes of an answer of 200.
fn bytes(node: &Node, path: &str, more: &[&str]) -> Vec<u8> {
    let mut curl = Command::new("curl");
    let told = curl.args(["-sf"]).args(more).arg(format!("{}{path}", node.web)).output().unwrap();
    assert!(told.status.success(), "{path}: {told:?}");
    told.stdout
}

/// The width and height that a PNG's first chunk says.
fn png_size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "no PNG: {:?}", &png[..8]);
    assert!(png.ends_with(b"IEND\xaeB`\x82"), "it is cut off");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// Go's heap, which grows by as much as both keep in memory, leaves alone what WASI keeps there.
#[test]
fn samples_in_go_draw_pictures_and_make_them_smaller() {
    let (lab, node, through) = node();
    for name in ["mandelbrot", "thumbnail"] {
        std::fs::rename(guests::go(name).unwrap(), lab.path(&format!("{name}.wasm"))).unwrap();
        // Without optimisation here, and with tests beside it.
        through.ok(&format!("fn deploy {name}.wasm --name {name} --cpu-ms 20000"));
        through.ok(&format!("route add /{name} {name} --public"));
    }
    assert_eq!(png_size(&bytes(&node, "/mandelbrot", &[])), (320, 240));
    let large = bytes(&node, "/mandelbrot?width=1600&height=1200", &[]);
    assert_eq!(png_size(&large), (1600, 1200));
    lab.write("large.png", &large);
    let sent = format!("@{}", lab.path("large.png").display());
    let small = bytes(&node, "/thumbnail?side=200", &["--data-binary", &sent]);
    assert_eq!(png_size(&small), (200, 150));
    assert!(small.len() < large.len());
    let (status, told) = ask(&node, "/mandelbrot?width=0", &[]);
    assert_eq!((status, told.as_str()), (400, "width is a number from 1 to 2048\n"));
    assert_eq!(ask(&node, "/thumbnail", &[]).0, 415);
}

/// A program that knows nothing of where it is run counts what the system's own counts.
#[test]
fn a_program_in_cpp_runs_as_it_is() {
    let (lab, _node, through) = node();
    std::fs::rename(guests::cpp("wc").unwrap(), lab.path("wc.wasm")).unwrap();
    through.ok("fn deploy wc.wasm --name wc");
    let text = include_str!("languages.rs").repeat(20);
    lab.write("text", &text);
    let counted = Command::new("wc").arg(lab.path("text")).output().unwrap().stdout;
    let counted = String::from_utf8(counted).unwrap();
    let counted: Vec<_> = counted.split_whitespace().take(3).collect();
    let told = through.ok("fn invoke wc --input text");
    assert_eq!(told.split_whitespace().collect::<Vec<_>>(), counted);
}

/// One in Zig tells what the system's own tools tell.
#[test]
fn a_program_in_zig_runs_as_it_is() {
    let (lab, _node, through) = node();
    std::fs::rename(guests::zig("tops").unwrap(), lab.path("tops.wasm")).unwrap();
    through.ok("fn deploy tops.wasm --name tops");
    lab.write("text", include_str!("languages.rs"));
    let sorted = "sort text | uniq -c | sort -s -k1,1nr | head -n 5";
    let mut shell = Command::new("sh");
    shell.args(["-c", sorted]).current_dir(lab.path("")).env("LC_ALL", "C");
    let counted = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert_eq!(counted.lines().count(), 5);
    assert_eq!(through.ok("fn invoke tops --input text -- 5"), counted);
}

/// A function for `wasi:http` 0.3, in both tiers: what it is sent comes back while more is sent.
#[test]
fn a_function_with_streams_answers_while_it_is_asked() {
    let (lab, node, through) = node();
    std::fs::copy(guests::rust("parrot").unwrap(), lab.path("parrot.wasm")).unwrap();
    let address = node.web.strip_prefix("http://").unwrap();
    for tier in ["in_process", "process"] {
        through.ok(&format!("fn deploy parrot.wasm --name {tier} --isolation {tier}"));
        through.ok(&format!("route add /{tier} {tier} --public"));
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let head = "Transfer-Encoding: chunked\r\nConnection: close";
        write!(socket, "POST /{tier} HTTP/1.1\r\nHost: {address}\r\n{head}\r\n\r\n").unwrap();
        let mut answer = BufReader::new(socket.try_clone().unwrap()).lines().map(Result::unwrap);
        for (said, heard) in [("one", "ONE"), ("two", "TWO"), ("three", "THREE")] {
            write!(socket, "{:x}\r\n{said}\r\n", said.len()).unwrap();
            assert!(answer.any(|line| line == heard), "{tier}: {heard}");
        }
        socket.write_all(b"0\r\n\r\n").unwrap();
        assert_eq!(answer.collect::<Vec<_>>(), ["0", ""], "{tier}");
    }
}

#[test]
fn doctor_says_which_toolchains_are_here() {
    let lab = Lab::new();
    let node = Node::start(&lab);
    let through = lab.through(&node);
    let found = through.json("doctor");
    found.iter().for_each(|finding| documented::check("doctor", finding));
    let of = |findings: &[serde_json::Value], what: &str| {
        findings.iter().find(|finding| finding["what"] == what).unwrap().clone()
    };
    assert_eq!(of(&found, "c functions")["verdict"], "good", "{found:?}");
    // Without them all else is as good as before.
    let none = through.with("PATH", lab.path("").to_str().unwrap()).json("doctor");
    for language in ["rust", "c", "zig", "js", "python", "go"] {
        let finding = of(&none, &format!("{language} functions"));
        assert_eq!(finding["verdict"], "note", "{finding}");
        assert!(finding["detail"].as_str().unwrap().starts_with("there is no "), "{finding}");
        assert!(finding["advice"].is_string(), "{finding}");
    }
}

/// Modules that know no WASI, and what My Own Cluster gave to functions.
#[test]
fn modules_for_my_own_cluster_answer_requests_and_keep_what_they_know() {
    let (lab, node, through) = node();
    lab.write("tally.wat", include_str!("../../../../../guests/wat/tally.wat"));
    let greeter = guests::assemblyscript("greeter").unwrap();
    std::fs::rename(greeter, lab.path("greeter.wasm")).unwrap();
    for (file, name, path) in
        [("tally.wat", "tally", "/t"), ("greeter.wasm", "greeter", "/g/{who}")]
    {
        through.ok(&format!("fn deploy {file} --name {name}"));
        through.ok(&format!("route add {path} {name} --public"));
    }
    through.ok("route add /g greeter --public");
    // Without a grant nothing is kept, and it is said why.
    assert_eq!(ask(&node, "/g/ada", &[]).0, 503);
    let log = through.ok("fn logs greeter");
    assert!(log.contains("persistence_get was not done: the function may not"), "{log}");
    for name in ["tally", "greeter"] {
        through.ok(&format!("grant add function/@main/{name} writer {name}"));
    }
    for marks in ["|", "||", "|||"] {
        assert_eq!(ask(&node, "/t", &[]), (200, format!("{marks}\n")));
    }
    for (who, expected) in
        [("ada", "hello ada, 1\n"), ("eve", "hello eve, 1\n"), ("ada", "hello ada, 2\n")]
    {
        let forged = ["x-moc-path-param-who: eve".to_owned()];
        assert_eq!(ask(&node, &format!("/g/{who}"), &forged), (200, expected.to_owned()));
    }
    assert_eq!(ask(&node, "/g", &[]), (404, "nobody is named\n".to_owned()));
    assert_eq!(through.ok("kv get greeter greeted/ada"), "2\n");
    assert!(through.ok("fn logs greeter").contains("ada for the 2. time"));
    let (status, told) = ask(&node, "/g/nobody", &[]);
    assert!(status == 500 && told.contains("nobody is greeted"), "{status} {told}");
    assert!(through.ok("fn invoke tally").ends_with("||||\n"));
}

/// The worlds of `cairn:compute`: steps of plans, schedules and filters with types.
#[test]
fn typed_worlds_are_steps_of_plans_schedules_and_filters() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    for name in ["capitals", "merge", "diary", "doorkeeper"] {
        std::fs::copy(guests::rust(name).unwrap(), lab.path(&format!("{name}.wasm"))).unwrap();
        through.ok(&format!("fn deploy {name}.wasm --name {name}"));
    }
    std::fs::create_dir_all(lab.path("texts/all")).unwrap();
    lab.write("texts/all/one", "b\nd\n");
    lab.write("texts/all/two", "a\nb\nc\n");
    through.ok("push texts lines");
    lab.write(
        "lines.toml",
        "[steps.up]\nfunction = \"capitals\"\nfiles = \"lines:latest/all\"\n\
         [steps.all]\nfunction = \"merge\"\ninputs = [\"up\"]\n",
    );
    assert_eq!(through.ok("plan run lines.toml --output"), "A\nB\nC\nD\n");
    let told = through.cairn("cron add").args(["* * * * * *", "diary"]).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let noted = |log: &str| log.contains("default at 1") && log.contains(", attempt 1");
    assert!((0..2000).any(|_| noted(&through.ok("fn logs diary"))));
    assert_eq!(through.ok("fn invoke diary"), "by hand\n");
    through.ok("route add /{*path} hello --public");
    through.ok("filter add doorkeeper hello");
    assert_eq!(ask(&node, "/a", &[]), (200, "hello /a\n".to_owned()));
    let (status, told) = ask(&node, "/private?b=c", &[]);
    assert_eq!((status, told.as_str()), (403, "GET /private?b=c is not for you\n"));
    let named = ["x-name: me".to_owned()];
    assert_eq!(ask(&node, "/a", &named), (200, "hello /a?from=me\n".to_owned()));
    assert_eq!(ask(&node, "/broken", &[]).0, 500);
}
