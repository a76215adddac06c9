//! Clients of Redis at a real node.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use super::DATA;
use crate::identity::program;
use crate::lab::Lab;
use crate::running_node::Node;

fn cli(node: &Node, words: &[&str]) -> Command {
    let port = node.redis.rsplit(':').next().unwrap();
    let mut cli = Command::new(program("redis-cli"));
    cli.args(["-p", port, "--user", "main/carts", "-a", &node.token, "--no-auth-warning"]);
    cli.args(words);
    cli
}

#[track_caller]
fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn asked(node: &Node, words: &[&str]) -> String {
    said(&cli(node, words).output().unwrap())
}

/// What was acknowledged is there after `kill -9`, and what was not is there whole or not at all.
#[test]
fn what_a_client_of_redis_was_told_is_durable() {
    let lab = Lab::new();
    let with = format!("{DATA} --redis 127.0.0.1:0");
    let mut node = Node::start_with(&lab, "127.0.0.1:0", &with);
    lab.through(&node).ok("kv create carts");
    let mut before = 0;
    for round in 1..=5 {
        let mut counting =
            cli(&node, &["-r", "1000000", "INCR", "n"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(counting.stdout.take().unwrap()).lines();
        let mut told = 0;
        for _ in 0..40 * round {
            told = lines.next().unwrap().unwrap().parse().unwrap();
        }
        node = node.killed_with(&lab, &with);
        // What it was told until the end; then it cannot connect.
        for line in lines.map_while(Result::ok) {
            told = line.parse().unwrap_or(told);
        }
        drop((counting.kill(), counting.wait()));
        assert!(told > before, "{told}");
        before = asked(&node, &["GET", "n"]).trim().parse().unwrap();
        assert!((told..=told + 1).contains(&before), "{told} was told, {before} is there");
    }
    assert_eq!(lab.through(&node).ok("kv get carts n"), format!("{before}\n"));
    let metrics = lab.through(&node);
    drop(metrics);
    node.stop();
}

#[test]
fn beyond_loopback_clients_of_redis_speak_tls() {
    let lab = Lab::new();
    let node = Node::up(&lab, &format!("--listen 127.0.0.1:0 --redis 0.0.0.0:0 {DATA}"));
    assert!(node.redis.starts_with("rediss://0.0.0.0:"), "{}", node.redis);
    lab.through(&node).ok("kv create carts");
    let nobody = lab.as_nobody(&node);
    lab.write("ca.crt", nobody.ok(&format!("cluster ca --sha256 {}", node.authority)));
    let ca = lab.path("ca.crt").display().to_string();
    let tls = ["--tls", "--cacert", &ca, "-h", "localhost"];
    assert_eq!(asked(&node, &[&tls[..], &["SET", "a", "1"]].concat()), "OK\n");
    assert_eq!(asked(&node, &[&tls[..], &["-3", "GET", "a"]].concat()), "1\n");
    let plain = cli(&node, &["GET", "a"]).output().unwrap();
    let all = [plain.stdout, plain.stderr].concat();
    assert!(String::from_utf8_lossy(&all).contains("this port speaks TLS"));
    node.stop();
}

#[test]
fn a_door_to_no_keys_is_refused_before_anything_is_made() {
    let lab = Lab::new();
    let mut up = lab.cairn("--bucket fresh up --listen 127.0.0.1:0 --redis 127.0.0.1:0");
    let out = up.env_remove("HOME").output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && error.contains("--data-dir"), "{error}");
    assert!(!lab.path("fresh").exists());
}
