//! Plans, as people run them; and files that programs read.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::documented;
use crate::lab::Lab;
use crate::running_node::Node;

const UP: &str = "--data-dir data";

/// Works for a while, and copies its first bytes.
const SLOW: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $left i32)
    (local.set $left (i32.const 100000000))
    (loop $again
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1000))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;

const WORDS: &str = r#"
[steps.count]
function = "wordcount"
arguments = ["count"]
files = "books:latest/texts"
split_bytes = 65536

[steps.total]
function = "wordcount"
arguments = ["total"]
inputs = ["count"]
together = 3
"#;

fn node() -> (Lab, Node, Lab) {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let through = lab.through(&node);
    (lab, node, through)
}

fn wordcount(lab: &Lab, through: &Lab) {
    let module = cairn_testkit::guests::rust("wordcount").unwrap();
    std::fs::copy(module, lab.path("wordcount.wasm")).unwrap();
    through.ok("fn deploy wordcount.wasm --name wordcount");
}

/// Lines of words, and how often each of them is there.
fn texts(lab: &Lab, seed: u64) -> String {
    let mut counts = BTreeMap::<String, u64>::new();
    let mut state = seed;
    for file in 0..4 {
        let mut text = String::new();
        // The last one has no line end, and one of them has one line.
        for line in 0..file * 4000 {
            for _ in 0..7 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let word = format!("w{}", (state >> 33) % 500);
                text.push_str(&word);
                text.push(if line % 9 == 0 { '\t' } else { ' ' });
                *counts.entry(word).or_default() += 1;
            }
            if file != 2 && line + 1 < file * 4000 {
                text.push('\n');
            }
        }
        lab.write(&format!("books/texts/{file}.txt"), text);
    }
    lab.write("books/else.txt", "not counted");
    counts.iter().map(|(word, count)| format!("{word}\t{count}\n")).collect()
}

fn runs(plan: &Value) -> Vec<(u64, u64)> {
    let steps = plan["steps"].as_array().unwrap();
    let numbers = |step: &Value| {
        assert_eq!(step["runs"], step["done"], "{step}");
        (step["done"].as_u64().unwrap(), step["reused"].as_u64().unwrap())
    };
    steps.iter().map(numbers).collect()
}

#[test]
fn a_plan_counts_the_words_of_a_dataset() {
    let (lab, _node, through) = node();
    wordcount(&lab, &through);
    let expected = texts(&lab, 1);
    through.ok("push books books");
    lab.write("words.toml", WORDS);
    let plan = through.json("plan run words.toml").remove(0);
    documented::check("plan run", &plan);
    assert_eq!((&plan["name"], &plan["state"]), (&"words".into(), &"done".into()), "{plan}");
    for step in plan["steps"].as_array().unwrap() {
        let ms = |of: &str| step[of].as_u64().unwrap();
        assert!(step["state"] == "done" && ms("began_ms") <= ms("ended_ms"), "{step}");
    }
    let first = runs(&plan);
    assert!(first[0].0 > 10 && first[1].0 > 4, "{first:?}");
    // Parts with the same bytes are done once or as often as they are there: the empty file is one.
    assert_eq!(first[1].1, 0, "{first:?}");
    let id = plan["id"].as_str().unwrap();
    assert_eq!(through.ok(&format!("plan output words {id}")), expected);
    let part = through.ok(&format!("plan output words {id} --step count --run 1"));
    assert!(part.lines().count() == 500, "{part}");
    for wrong in ["--step count", "--step count --run 1000", "--step nothing"] {
        through.fails(&format!("plan output words {id} {wrong}"), 3);
    }

    // What was done is not done again; of what has changed what depends on it is.
    let again = through.json("plan run words.toml --name again").remove(0);
    assert!(runs(&again).iter().all(|(done, reused)| done == reused), "{again}");
    lab.write("books/texts/0.txt", "w1");
    std::fs::hard_link(lab.path("books/texts/1.txt"), lab.path("books/texts/9.txt")).unwrap();
    through.ok("push books books");
    let changed = through.json("plan run words.toml").remove(0);
    let (done, reused) = runs(&changed)[0];
    assert_eq!((done - reused, done > first[0].0), (1, true), "{changed}");
    let fresh = through.json("plan run words.toml --fresh").remove(0);
    // Only the parts of the file that is there twice may be done once.
    assert!(runs(&fresh)[0].1 <= 3 && runs(&fresh)[1].1 == 0, "{fresh}");
    let output = through.ok("plan run words.toml --output");
    assert_eq!(output.lines().count(), 500);

    let all = through.json("plan ls");
    documented::check("plan run", &all[0]);
    assert_eq!(all.len(), 5);
    documented::check("plan run", &through.json(&format!("plan show words {id}"))[0]);
    let shown = through.ok(&format!("plan show words {id}"));
    assert!(shown.contains("count ") && shown.contains("by wordcount"), "{shown}");
    through.fails("plan show words nothing", 3);
}

const LINES: &str = r#"
[steps.count]
function = "wordcount"
arguments = ["count"]
keys = "carts/user/"
split_keys = 50

[steps.total]
function = "wordcount"
arguments = ["total"]
inputs = ["count"]
"#;

#[test]
fn a_plan_counts_the_keys_of_a_namespace() {
    let (lab, _node, through) = node();
    wordcount(&lab, &through);
    lab.write("lines.toml", LINES);
    assert!(through.fails("plan run lines.toml", 3).contains("carts"));
    through.ok("kv create carts");
    assert!(through.fails("plan run lines.toml", 1).contains("no such keys"));
    let line =
        |at: u32, value: u32| format!("{{\"key\":\"user/{at:04}\",\"value\":\"v{value}\"}}\n");
    let mut text: String = (0..2000).map(|at| line(at, at)).collect();
    text.push_str("{\"key\":\"visitor/1\",\"value\":\"other\"}\n");
    lab.write("carts.ndjson", text);
    through.ok("kv import carts carts.ndjson");
    let expected = || {
        let lines = through.ok("kv export carts --prefix user/");
        lines.lines().map(|line| format!("{line}\t1\n")).collect::<String>()
    };
    let plan = through.json("plan run lines.toml").remove(0);
    let first = runs(&plan);
    assert!((20..80).contains(&first[0].0) && first[0].1 == 0, "{first:?}");
    let id = plan["id"].as_str().unwrap();
    assert_eq!(through.ok(&format!("plan output lines {id}")), expected());
    // Of what changes in between only the runs are done that are concerned.
    lab.write("more.ndjson", line(1000, 7));
    through.ok("kv import carts more.ndjson");
    let plan = through.json("plan run lines.toml").remove(0);
    let again = runs(&plan);
    assert!(again[0].0 - again[0].1 <= 4, "{first:?} {again:?}");
    let id = plan["id"].as_str().unwrap();
    assert_eq!(through.ok(&format!("plan output lines {id}")), expected());
    // Nobody reads by a plan what they may not read.
    let token = through.ok("token create anna").trim().to_owned();
    let anna = through.with("CAIRN_TOKEN", &token);
    through.ok("grant add anna invoker lines");
    through.ok("grant add anna reader lines");
    through.ok("grant add anna invoker wordcount");
    anna.fails("plan run lines.toml", 4);
    through.ok("grant add anna reader carts");
    anna.ok("plan run lines.toml");
}

#[test]
fn what_is_no_plan_is_told_so() {
    let (lab, node, through) = node();
    wordcount(&lab, &through);
    lab.write("quiet.wat", r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
    through.ok("fn deploy quiet.wat --name quiet");
    lab.write("few/f", "words");
    through.ok("push few data");
    let sent = |text: &str, media_type: &str| {
        let header = format!("Authorization: Bearer {}", node.token);
        let media_type = format!("Content-Type: {media_type}");
        let url = format!("{}/api/v1/plans/main/sent", node.url);
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "-H", &header, "-H", &media_type, "--data-binary", text, &url]);
        serde_json::from_slice::<Value>(&curl.output().unwrap().stdout).unwrap()
    };
    let spec = "[steps.a]\nfunction = \"quiet\"";
    assert_eq!(sent(spec, "application/toml; charset=utf-8")["steps"][0]["name"], "a");
    assert_eq!(sent(&format!("{spec}\nno"), "application/toml")["error"]["kind"], "invalid");
    assert_eq!(sent(spec, "application/json")["error"]["kind"], "invalid");
    for (text, why) in [
        ("[steps.a]\nfunction = \"quiet\"\nfiels = \"data\"", "unknown field `fiels`"),
        ("[steps.a]\nfunction = 7", "line 2"),
        ("steps = {}", "1 to 100 steps"),
        ("[steps.a]\nfunction = \"quiet\"\ninputs = [\"a\"]", "a → a"),
        ("[steps.a]\nfunction = \"nothing\"", "no function"),
        ("[steps.a]\nfunction = \"quiet\"\nfiles = \"nowhere\"", "nowhere"),
        ("[steps.a]\nfunction = \"quiet\"\nkeys = \"cairn.functions/code\"", "is no [@PROJECT/]"),
        ("[steps.a]\nfunction = \"quiet\"\nfiles = \"data:v9\"", "no tag v9"),
        ("[steps.a]\nfunction = \"quiet\"\nfiles = \"data/missing\"", "missing"),
        ("[steps.a]\nfunction = \"wordcount\"\nfiles = \"data\"", "exit code 1"),
    ] {
        lab.write("wrong.toml", text);
        let told = through.run("plan run wrong.toml");
        assert_ne!(told.code, Some(0), "{text}");
        assert!(told.stderr.contains(why), "{text}: {}", told.stderr);
    }
    // Nobody does by a plan what they may not do.
    lab.write("fine.toml", "[steps.a]\nfunction = \"quiet\"\nfiles = \"data\"");
    let token = through.ok("token create anna").trim().to_owned();
    let anna = through.with("CAIRN_TOKEN", &token);
    through.ok("grant add anna writer fine");
    anna.fails("plan run fine.toml", 4);
    through.ok("grant add anna writer quiet");
    anna.fails("plan run fine.toml", 4);
    through.ok("grant add anna reader data");
    let plan = anna.json("plan run fine.toml").remove(0);
    let id = plan["id"].as_str().unwrap();
    assert_eq!(anna.ok(&format!("plan output fine {id}")), "");
    // What came of it is hers.
    through.fails(&format!("plan output fine {id}"), 3);
}

/// Who goes away while a plan runs knows where to find it.
#[test]
fn a_plan_that_runs_says_how_to_end_it() {
    let (lab, _node, through) = node();
    lab.write("slow.wat", SLOW);
    through.ok("fn deploy slow.wat --name slow --cpu-ms 60000 --wall-ms 60000");
    (0..30).for_each(|file| lab.write(&format!("numbers/{file}"), format!("{file}\n")));
    through.ok("push numbers numbers");
    lab.write("slow.toml", "[steps.copy]\nfunction = \"slow\"\nfiles = \"numbers\"\n");
    let mut run = through.cairn("plan run slow.toml");
    let run = run.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    for command in ["show", "cancel"] {
        let begin = first.find(&format!("plan {command}")).unwrap();
        let words = first[begin..].split_once('`').unwrap().0;
        let plan = through.json(words).remove(0);
        assert_eq!(plan["name"], "slow", "{first}: {plan}");
    }
    assert_eq!(run.wait().unwrap().code(), Some(1));
    for words in ["plan run slow.toml -q --fresh --detach", "plan run slow.toml --json --detach"] {
        let ended = through.run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{words}");
    }
}

#[test]
fn what_is_wrong_in_a_plans_file_is_wrong_input() {
    let (lab, _node, through) = node();
    for (text, why) in [
        ("[steps.a]\nfunction = \"quiet\"\nfiels = \"data\"", "unknown field `fiels`"),
        ("[steps.a\nfunction = \"quiet\"", "line 1"),
        ("steps = {}", "1 to 100 steps"),
        ("[steps.a]\nfunction = \"quiet\"\ninputs = [\"a\"]", "a → a"),
        ("[steps.a]\nfunction = \"quiet\"\ninputs = [\"b\"]", "there is no step"),
        ("[steps.a]\nfunction = \"quiet\"\nfiles = \"data\"\nsplit_bytes = 1", "split_bytes"),
        ("[steps.\"a b\"]\nfunction = \"quiet\"", "the name \"a b\" has"),
    ] {
        lab.write("wrong.toml", text);
        let told = through.fails("plan run wrong.toml", 2);
        assert!(told.contains("wrong.toml") && told.contains(why), "{text}: {told}");
        let told = through.run("plan run wrong.toml --json");
        let told: Value = serde_json::from_str(&told.stderr).unwrap();
        assert_eq!(told["error"]["kind"], "invalid", "{text}: {told}");
    }
    lab.write("wrong.toml", "#".repeat(1 << 21));
    through.fails("plan run wrong.toml", 2);
    lab.write("wrong.toml", b"\xff");
    through.fails("plan run wrong.toml", 2);
    through.fails("plan run nothing.toml", 3);
}

/// FUNCTIONS-8: a plan that was acknowledged is done, and what its runs made is not made again.
#[test]
fn functions_8_plans_go_on_after_kill_9() {
    let (lab, mut node, through) = node();
    lab.write("slow.wat", SLOW);
    through.ok("fn deploy slow.wat --name slow --cpu-ms 60000 --wall-ms 60000");
    for file in 0..30 {
        lab.write(&format!("numbers/{file:02}"), format!("{file}\n"));
    }
    through.ok("push numbers numbers");
    let plan = "[steps.copy]\nfunction = \"slow\"\nfiles = \"numbers\"\n\n\
                [steps.all]\nfunction = \"slow\"\ninputs = [\"copy\"]\neach = true\n";
    lab.write("numbers.toml", plan);
    let asked = through.json("plan run numbers.toml --detach").remove(0);
    documented::check("plan run", &asked);
    let id = asked["id"].as_str().unwrap().to_owned();
    let show = format!("plan show numbers {id}");
    let done = |through: &Lab| {
        let steps = through.json(&show)[0]["steps"].clone();
        steps[0]["done"].as_u64().unwrap() + steps[1]["done"].as_u64().unwrap()
    };
    for least in [2, 20] {
        let through = lab.through(&node);
        assert!((0..10_000).any(|_| done(&through) >= least), "it does not run");
        node = node.killed_with(&lab, UP);
    }
    let through = lab.through(&node);
    let ended = (0..10_000).map(|_| through.json(&show).remove(0));
    let ended =
        ended.into_iter().find(|plan| plan["state"] != "running" && plan["state"] != "waiting");
    let ended = ended.expect("it ends");
    assert_eq!(ended["state"], "done", "{ended}");
    let reused: u64 = runs(&ended).iter().map(|(_, reused)| reused).sum();
    assert!(reused >= 20, "{ended}");
    let output = through.ok(&format!("plan output numbers {id} --step all --run 7"));
    assert_eq!(output, "7\n");

    let asked = through.json("plan run numbers.toml --detach --fresh").remove(0);
    let id = asked["id"].as_str().unwrap();
    let cancelled = through.json(&format!("plan cancel numbers {id}")).remove(0);
    documented::check("plan run", &cancelled);
    assert_eq!(cancelled["state"], "cancelled");
    let steps = cancelled["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["state"] != "running" && step["state"] != "done"));
    through.fails(&format!("plan output numbers {id} --step all --run 7"), 3);
    drop(node);
}

/// FUNCTIONS-4: what a program reads of datasets is what it was granted.
#[test]
fn functions_4_a_program_reads_datasets_that_it_was_granted() {
    let (lab, _node, through) = node();
    let module = cairn_testkit::guests::c("uppercase").unwrap();
    std::fs::copy(module, lab.path("uppercase.wasm")).unwrap();
    through.ok("fn deploy uppercase.wasm --name upper");
    lab.write("notes/a/b.txt", "some text\n".repeat(100_000));
    lab.write("notes/c.txt", "more");
    through.ok("push notes notes:v1");
    let refused = through.run("fn invoke upper -- api://output data://notes:v1/c.txt");
    assert_ne!(refused.code, Some(0));
    through.ok("grant add function/@main/upper reader notes");
    let ran = |from: &str| {
        let told = through.json(&format!("fn invoke upper -- api://output {from}")).remove(0);
        told["output"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(ran("data://notes:v1/c.txt"), "MORE");
    assert_eq!(ran("/data/@main/notes:v1/c.txt"), "MORE");
    assert_eq!(ran("data://notes:v1/a/b.txt"), "SOME TEXT\n".repeat(100_000));
    assert_eq!(ran("/data/notes:v1"), "./\n../\na/\nc.txt\n");
    for wrong in
        ["data://notes/c.txt", "data://notes:v1/d.txt", "data://notes:v1/../x", "data://x/y"]
    {
        let told = through.run(&format!("fn invoke upper -- api://output {wrong}"));
        assert_ne!(told.code, Some(0), "{wrong}");
    }
}

/// FUNCTIONS-9: functions call functions that they may call, eight deep.
#[test]
fn functions_9_functions_call_each_other() {
    let (lab, _node, through) = node();
    for sample in ["hello", "proxy"] {
        let built = cairn_testkit::guests::rust(sample).unwrap();
        std::fs::copy(built, lab.path(&format!("{sample}.wasm"))).unwrap();
    }
    let module = cairn_testkit::guests::c("uppercase").unwrap();
    std::fs::copy(module, lab.path("uppercase.wasm")).unwrap();
    let front = |name: &str, of: &str| {
        through.ok(&format!(
            "fn deploy proxy.wasm --name {name} --env UPSTREAM=http://{of}.cairn.internal"
        ));
    };
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("fn deploy uppercase.wasm --name upper");
    front("front", "hello");
    let asked = |name: &str| {
        let told = through.run(&format!("fn invoke {name} --path /echo --input input"));
        if told.stderr.contains("502") { "502".to_owned() } else { told.stdout().to_owned() }
    };
    lab.write("input", "a body");
    assert_eq!(asked("front"), "502");
    let said = through.ok("fn logs front");
    assert!(said.contains("cairn grant add function/@main/front invoker hello"), "{said}");
    through.ok("grant add function/@main/front invoker hello");
    assert_eq!(asked("front").trim_end(), "a body");
    let file = "fn invoke upper -- api://output http://hello.cairn.internal/x";
    assert_ne!(through.run(file).code, Some(0));
    through.ok("grant add function/@main/upper invoker hello");
    assert_eq!(through.json(file)[0]["output"], "HELLO /X\n");

    // Circles have an end, and so have addresses of nobody.
    front("one", "two");
    front("two", "one.main");
    through.ok("grant add function/@main/one invoker two");
    through.ok("grant add function/@main/two invoker one");
    assert_eq!(asked("one"), "502");
    let said = through.ok("fn logs one") + &through.ok("fn logs two");
    assert!(said.contains("8 deep at most"), "{said}");
    for nobody in ["nothing", "a.b.c", "hello.nowhere"] {
        front("lost", nobody);
        assert_eq!(asked("lost"), "502", "{nobody}");
    }
}

/// What happens to a dataset is told to functions by webhooks.
#[test]
fn functions_are_told_of_what_is_published() {
    let (lab, _node, through) = node();
    let hello = cairn_testkit::guests::rust("hello").unwrap();
    std::fs::copy(hello, lab.path("hello.wasm")).unwrap();
    through.ok("fn deploy hello.wasm --name hello");
    lab.write("d/f", "one");
    through.ok("push d d");
    let token = through.ok("token create anna").trim().to_owned();
    let anna = through.with("CAIRN_TOKEN", &token);
    through.ok("grant add anna admin d");
    anna.fails("hook add d http://hello.cairn.internal/log", 4);
    through.fails("hook add d http://nothing.cairn.internal/log", 3);
    through.fails("hook add d https://hello.cairn.internal/log", 2);
    through.ok("grant add anna invoker hello");
    let made = anna.json("hook add d http://hello.cairn.internal/log").remove(0);
    let id = made["hook"]["id"].as_str().unwrap();
    let told = || through.ok("fn logs hello").matches("to stderr").count();
    through.ok(&format!("hook test d {id}"));
    assert_eq!(told(), 1);
    lab.write("d/f", "two");
    through.ok("push d d");
    assert!((0..1000).any(|_| told() == 2), "it is not told");
}
