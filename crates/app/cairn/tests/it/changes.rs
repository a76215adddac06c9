//! What is changed of functions while they answer, and what changes with it.

use serde_json::Value;

use crate::functions::{ask, node, steps};
use crate::lab::Lab;
use crate::process::until;

/// Answers with this status.
fn status(of: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "Status: {of}\n\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 13))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
}

fn first(through: &Lab, words: &str) -> Value {
    through.json(words).remove(0)
}

#[test]
fn what_a_manifest_changes_goes_on() {
    let (lab, node, through) = node();
    lab.write("site/index.html", "the site");
    through.ok("push site pages");
    through.ok("kv create carts");
    lab.write(
        "fails.wat",
        "(module (memory (export \"memory\") 1) (func (export \"_start\") unreachable))",
    );
    let manifest = |schedule: &str, trigger: &str, route: &str, files: &str| {
        let text = format!(
            "[functions.f]\nfile = \"fails.wat\"\nschedules = [{{ schedule = \"* * * * * *\", {schedule} }}]\n\
             triggers = [{{ namespace = \"carts\", {trigger} }}]\nroutes = [{{ pattern = \"/f/{{{route}}}\" }}]\n\
             grants = [{{ role = \"reader\", on = \"carts\" }}]\n\
             [files.pages]\nroutes = [{{ pattern = \"/{{*path}}\", public = true, {files} }}]"
        );
        lab.write("cairn.toml", text);
    };
    manifest("missed = \"skip\"", "prefix = \"user/\"", "a", "tag = \"latest\"");
    through.ok("apply");
    through.ok("kv put carts user/1 poison");
    until("it was told", || {
        (first(&through, "trigger ls")["failures"].as_u64() > Some(0)).then_some(())
    });
    until("it ran", || (!through.json("cron history f").is_empty()).then_some(()));
    let (told, runs) = (first(&through, "trigger ls"), through.json("cron history f").len());

    manifest(
        "missed = \"once\"",
        "prefix = \"user/\", path = \"/x\"",
        "b",
        "fallback = \"index.html\"",
    );
    let changes = [
        "change schedule default, * * * * * *",
        "change trigger default, carts",
        "change route /f/{b}",
        "change route * /{*path}, files of latest, public",
    ];
    assert_eq!(steps(&through, "diff").len(), changes.len());
    let applied = std::thread::scope(|scope| {
        let applying = scope.spawn(|| steps(&through, "apply"));
        while !applying.is_finished() {
            assert_eq!(ask(&node, "/", &[]), (200, "the site".to_owned()));
        }
        applying.join().unwrap()
    });
    assert!(applied.iter().all(|step| step.starts_with("change ")), "{applied:?}");
    assert_eq!(ask(&node, "/any/view", &[]), (200, "the site".to_owned()));
    assert_eq!(steps(&through, "diff"), [""; 0]);
    let after = first(&through, "trigger ls");
    assert_eq!((&after["told"], &after["path"]), (&told["told"], &Value::from("/x")));
    until("it is told again", || {
        (first(&through, "trigger ls")["failures"].as_u64() > Some(0)).then_some(())
    });
    assert!(through.json("cron history f").len() >= runs);

    // What cannot be added takes nothing away.
    through.ok("fn deploy fails.wat --name other");
    through.ok("route add /taken other");
    lab.write(
        "cairn.toml",
        "[functions.f]\nfile = \"fails.wat\"\nroutes = [{ pattern = \"/taken\" }]",
    );
    through.fails("apply", 5);
    assert!(through.ok("route ls").contains("/f/{b}"));
    assert_eq!(through.json("cron ls").len(), 1);
}

#[test]
fn what_no_public_route_leads_to_is_not_open() {
    let (lab, node, through) = node();
    let nobody = lab.as_nobody(&node);
    let open = |of: &str| {
        through.json("grant ls").iter().any(|grant| grant["pattern"] == *format!("@main/{of}"))
    };
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /a/{*path} hello --public");
    through.ok("route add /b/{*path} hello --public");
    through.ok("route rm /a/{*path} hello");
    assert_eq!(ask(&node, "/b/x", &[]).0, 200);
    through.ok("route rm /b/{*path} hello");
    assert!(!open("hello"));
    nobody.fails("fn invoke hello", 4);

    through.ok("route add /c/{*path} hello --public");
    through.ok("fn rm hello --with-routes");
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /c/{*path} hello");
    assert_eq!(ask(&node, "/c/x", &[]).0, 401);

    lab.write("site/index.html", "the site");
    through.ok("push site pages");
    through.ok("route files /site/{*path} pages --public");
    assert_eq!(ask(&node, "/site/", &[]).0, 200);
    through.ok("route rm /site/{*path} pages");
    assert!(!open("pages"));
}

#[test]
fn paths_and_statuses_that_are_odd() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /x/{*path} hello --public");
    let (moved, _) = ask(&node, "/x?a=b", &[]);
    assert_eq!(moved, 308);
    assert_eq!(ask(&node, "/x/%ff", &[]).0, 400);
    assert_eq!(ask(&node, "/y", &[]).0, 404);
    assert_eq!(ask(&node, "//example.org", &[]).0, 404);
    for wrong in ["/x%41y", "/%C3%A4"] {
        let told = through.fails(&format!("route add {wrong} hello"), 2);
        assert!(told.contains("without %-escapes"), "{told}");
    }
    through.ok("route add /100% hello --public");
    assert_eq!(ask(&node, "/100%25", &[]).0, 200);
    let told = through.fails("route files /s/{x} pages", 2);
    assert!(told.contains("{*path}"), "{told}");
    for of in ["101", "103"] {
        lab.write("odd.wat", status(of));
        through.ok("fn deploy odd.wat --name odd");
        if of == "101" {
            through.ok("route add /odd odd --public");
        }
        let (status, told) = ask(&node, "/odd", &[]);
        assert!(status == 500 && told.contains("request_id"), "{status} {told}");
        assert!(through.ok("fn logs odd").contains(&format!("it answered {of}")));
    }
}

/// Lines of a function that was made anew are counted anew.
#[test]
fn a_function_that_is_made_anew_has_a_log_of_its_own() {
    let (lab, node, through) = node();
    lab.write(
        "fails.wat",
        "(module (memory (export \"memory\") 1) (func (export \"_start\") unreachable))",
    );
    through.ok("fn deploy fails.wat --name f");
    through.run("fn invoke f");
    through.run("fn invoke f");
    let (url, token) = (node.url.clone(), format!("Authorization: Bearer {}", node.token));
    let page = |query: &str| -> Value {
        let url = format!("{url}/api/v1/functions/main/f/logs?wait=60&{query}");
        let told =
            std::process::Command::new("curl").args(["-s", "-H", &token, &url]).output().unwrap();
        serde_json::from_slice(&told.stdout).unwrap()
    };
    let before = page("after=0");
    let (start, last) =
        (before["start"].as_str().unwrap(), before["lines"].as_array().unwrap().len());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| page(&format!("start={start}&after={last}")));
        through.ok("fn rm f");
        through.ok("fn deploy fails.wat --name f");
        through.run("fn invoke f");
        // It ends at once, whether it saw the end or came after it.
        drop(waits.join().unwrap());
    });
    let after = page(&format!("start={start}&after={last}"));
    assert_ne!(after["start"], start);
    assert_eq!(after["lines"][0]["number"], 1);
}
