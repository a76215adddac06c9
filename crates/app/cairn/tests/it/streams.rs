//! Standard input, standard output and signals.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::lab::Lab;
use crate::process::{Running, files_below, until};
use crate::tree::{Rng, Tree};

#[test]
fn standard_input_becomes_a_file() {
    let lab = Lab::new();
    let start = |words: &str, input: &[u8]| Running::start_with(lab.cairn(words), input).end();
    assert_eq!(start("push - dump --stdin-name db.sql", b"create table x;\n").code, Some(0));
    assert_eq!(lab.ok("cat dump/db.sql"), "create table x;\n");
    assert_eq!(start("push - empty", b"").code, Some(0));
    assert_eq!(lab.ok("ls empty:latest -R"), "stdin\n");
    let ended = start("push - dump --stdin-name ../up", b"x");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);

    lab.write("x/member", "one of many\n");
    let tar = Command::new("tar").args(["-c", "x"]).current_dir(lab.path("")).output().unwrap();
    assert_eq!(start("push - files --unpack", &tar.stdout).code, Some(0));
    assert_eq!(lab.ok("cat files/x/member"), "one of many\n");
}

#[test]
fn cat_reads_any_range() {
    let lab = Lab::new();
    let bytes = Rng(71).noise(3_000_000);
    lab.write("src/big", &bytes);
    lab.ok("push src d:v1");
    for (offset, length) in [
        (0, 3_000_000),
        (1, 70_000),
        (1_999_990, 20),
        (2_999_999, 5),
        (3_000_000, 1),
        (9_000_000, 9),
    ] {
        let words = format!("cat d:v1/big --offset {offset} --length {length}");
        let output = lab.cairn(&words).output().unwrap();
        assert!(output.status.success());
        let start = offset.min(bytes.len());
        assert!(output.stdout == bytes[start..(start + length).min(bytes.len())], "{words}");
    }
}

/// With a terminal on standard error progress is shown there, and standard output has only data.
#[test]
fn progress_keeps_out_of_the_data() {
    let lab = Lab::new();
    Tree::noise(&mut Rng(81), &[8 << 20]).write(&lab.path("src"));
    let cairn = env!("CARGO_BIN_EXE_cairn");
    for (words, quiet) in
        [("push src d:v1", false), ("pull d:v1 out", false), ("pull d:v1 o", true)]
    {
        let quiet_flag = if quiet { "--quiet" } else { "" };
        let line = format!("{cairn} --json {quiet_flag} {words} >data");
        let mut script = lab.cairn("");
        let env: Vec<_> = script
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        script = Command::new("script");
        script.args(["-qec", &line, "typescript"]).current_dir(lab.path(""));
        let ended = Running::start({
            script.env_clear().envs(env);
            script
        })
        .end();
        assert_eq!(ended.code, Some(0), "{words}: {}", ended.stdout());
        let data = std::fs::read_to_string(lab.path("data")).unwrap();
        assert_eq!(data.lines().count(), 1, "{words}: {data}");
        serde_json::from_str::<serde_json::Value>(&data).unwrap();
        let shown = std::fs::read_to_string(lab.path("typescript")).unwrap();
        assert_eq!(shown.contains(" files, "), !quiet, "{words}: {shown}");
    }
}

/// A reader that has seen enough, as `head` has, is no error.
#[test]
fn a_closed_pipe_is_no_error() {
    let lab = Lab::new();
    let mut rng = Rng(91);
    lab.write("src/big", rng.noise(2_000_000));
    for index in 0..3000 {
        lab.write(&format!("src/many/a-rather-long-name-of-a-file-{index:06}"), "");
    }
    lab.ok("push src d:v1");
    for words in ["cat d:v1/big", "ls d:v1 -R", "--json ls d:v1 -R", "completions bash"] {
        let mut command = lab.cairn(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 10]).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""), "{words}");
    }
}

#[test]
fn an_interrupted_push_leaves_a_sound_bucket() {
    let lab = Lab::new();
    let small = Tree::random(&mut Rng(101), 30);
    small.write(&lab.path("small"));
    lab.ok("push small d:v1");
    let packs = files_below(&lab.bucket().join("packs")).len();
    let large = Tree::noise(&mut Rng(102), &[48 << 20]);
    large.write(&lab.path("large"));
    let noise = Rng(103).noise(48 << 20);
    for signal in ["INT", "TERM"] {
        // Its input does not end before it does, so it cannot be done before the signal.
        let (push, mut input) = Running::held(lab.cairn("push - d:v2"));
        input.write_all(&noise).unwrap();
        until("a pack", || (files_below(&lab.bucket().join("packs")).len() > packs).then_some(()));
        push.signal(signal);
        let ended = push.end();
        assert_ne!(ended.code, Some(0), "{signal}: it was done before");
        assert!(!ended.is_acknowledged());
        lab.verify();
        assert_eq!(lab.tags("d"), ["v1"]);
    }
    lab.ok("push large d:v2");
    lab.assert_version("d:v2", &large);
    lab.assert_version("d:v1", &small);
}
