//! Functions in processes of their own, at a node.

#![cfg(target_os = "linux")]

use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::functions::{ask, node};
use crate::lab::Lab;
use crate::process::until;
use crate::running_node::Node;

/// A program that says that it begins, and goes on for ever.
const ENDLESS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "begun\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop $again (br $again))))"#;

/// The processes of a node's workers, in the order in which they were started.
fn workers(node: &Node) -> Vec<u32> {
    let told = Command::new("pgrep").args(["-P", &node.pid().to_string()]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    told.lines().map(|line| line.parse().unwrap()).collect()
}

fn metric(node: &Node, name: &str) -> u64 {
    let header = format!("Authorization: Bearer {}", node.token);
    let url = format!("{}/metrics", node.url);
    let told = Command::new("curl").args(["-s", "-H", &header, &url]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {told}")).parse().unwrap()
}

#[test]
fn functions_have_the_process_of_their_project() {
    let (lab, node, through) = node();
    let made = through.json("fn deploy hello.wasm --name hello --isolation process").remove(0);
    assert_eq!(made["settings"]["isolation"], "process");
    assert_eq!(made["state"], "ready", "{made}");
    through.ok("route add /{*path} hello --public");
    assert_eq!(workers(&node), [] as [u32; 0], "none before there is a call");
    assert_eq!(ask(&node, "/x", &[]), (200, "hello /x\n".to_owned()));
    let [first] = workers(&node)[..] else { panic!("{:?}", workers(&node)) };
    through.ok("fn deploy hello.wasm --name @other/hello --isolation process");
    assert_eq!(through.ok("fn invoke @other/hello --path /y"), "hello /y\n");
    let both = workers(&node);
    assert_eq!((both.len(), both[0]), (2, first), "a project, a process");
    through.ok("fn deploy command.wat --name quiet --isolation process");
    assert_eq!(through.ok("fn invoke quiet -- and more"), "");
    through.ok("fn deploy hello.wasm --name inside");
    assert_eq!(through.ok("fn invoke inside --path /z"), "hello /z\n");
    assert_eq!(workers(&node), both);
    assert_eq!(through.json("fn versions inside")[0]["settings"]["isolation"], "in_process");

    lab.write("endless.wat", ENDLESS);
    through.ok("fn deploy endless.wat --name endless --isolation process --cpu-ms 60000");
    let computing = through.start("fn invoke endless");
    let has_begun = || through.ok("fn logs endless").contains("begun").then_some(());
    until("it has begun", has_begun);
    // Handlers of faults let the first one pass: a fault would come again.
    let kill = || Command::new("kill").args(["-SEGV", &first.to_string()]).output().unwrap();
    until("the worker has ended", || (!kill().status.success()).then_some(()));
    let ended = computing.end();
    assert!(ended.stderr.contains("signal 11 (SIGSEGV)"), "{}", ended.stderr);
    assert_eq!(ask(&node, "/x", &[]), (200, "hello /x\n".to_owned()));
    assert_eq!(through.ok("fn invoke @other/hello --path /y"), "hello /y\n");
    let after = workers(&node);
    assert!(after.len() == 2 && !after.contains(&first) && after.contains(&both[1]), "{after:?}");
    assert_eq!(metric(&node, "cairn_worker_lost_calls_total"), 1);
    assert_eq!(metric(&node, "cairn_worker_crashes_total"), 1);
    assert!(through.ok("fn logs endless").contains("signal 11"));
    through.cairn_refuses("fn deploy hello.wasm --name hello --isolation vm");
}

/// WORKER-3: a node on a machine without what the tier takes runs no release that asks for it, and says why; others run.
#[test]
fn worker_3_a_node_that_cannot_isolate_makes_no_such_release_ready() {
    // What this thread starts has a kernel without Landlock.
    let tested = std::thread::spawn(|| {
        without_landlock();
        let (_lab, node, through) = node();
        let why = through.run("--json fn deploy hello.wasm --name hello --isolation process");
        assert!(why.stdout().contains("no Landlock"), "{}", why.stdout());
        assert_eq!(why.code, Some(2), "{}", why.stderr);
        let told = through.fails("fn invoke hello", 6);
        assert!(told.contains("no release that is ready"), "{told}");
        through.ok("fn deploy hello.wasm --name hello");
        assert_eq!(through.ok("fn invoke hello --path /x"), "hello /x\n");
        let doctor = through.run("--json doctor").stdout();
        let line = doctor.lines().find(|line| line.contains("\"isolation\"")).unwrap();
        assert!(line.contains("note") && line.contains("no Landlock"), "{line}");
        assert_eq!(metric(&node, "cairn_workers"), 0);
    });
    tested.join().unwrap();
}

fn without_landlock() {
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// What starts functions is no command for people.
#[test]
fn a_worker_by_itself_says_what_it_is_for() {
    let ended = Lab::new().run("worker");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("started by a node"), "{}", ended.stderr);
}
