//! The audit log of real nodes (AUDIT-1, AUDIT-3).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::documented;
use crate::lab::Lab;
use crate::process::until;
use crate::running_node::Node;
use crate::tree::Rng;

/// The ids of tokens that the log says were made.
fn made(lab: &Lab) -> BTreeSet<String> {
    let lines = lab.json("audit --outcome changed --action manage_access");
    let id = |line: &Value| {
        let detail = line["detail"].as_str().unwrap();
        Some(detail.strip_prefix("made token ")?.split(' ').next()?.to_owned())
    };
    lines.iter().filter_map(id).collect()
}

/// AUDIT-1: whatever was acknowledged is in the log, though the node dies at that very moment.
#[test]
fn audit_1_a_killed_node_loses_no_acknowledged_change() {
    let lab = Lab::new();
    let mut node = Node::start(&lab);
    let mut acknowledged = BTreeSet::new();
    let mut rng = Rng(7);
    for round in 0..12 {
        let through = lab.through(&node);
        let words = "--json token create ci --label test";
        let mut running: Vec<_> = (0..3).map(|_| through.start(words)).collect();
        // The first rounds end at random moments, the others when a change was acknowledged.
        let moment = if round < 6 { rng.below(150) } else { 20_000 };
        let (first, token) = (running.remove(0), node.token.clone());
        let first = first.meanwhile(Duration::from_millis(moment as u64), || node.kill());
        let mut ended = vec![first.end()];
        ended.extend(running.into_iter().map(|each| each.kill_after(Duration::from_secs(20))));
        for each in ended.iter().filter(|each| each.code == Some(0)) {
            let made: Value = serde_json::from_str(&each.lines[0]).unwrap();
            acknowledged.insert(made["info"]["id"].as_str().unwrap().to_owned());
        }
        node = Node::start(&lab);
        node.token = token;
    }
    assert!(acknowledged.len() >= 6, "{} changes were acknowledged", acknowledged.len());
    let logged = made(&lab);
    let lost: Vec<_> = acknowledged.difference(&logged).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged and are not in the log");
    let tokens = lab.through(&node).json("token ls");
    let there: BTreeSet<String> =
        tokens.iter().map(|token| token["id"].as_str().unwrap().to_owned()).collect();
    assert!(logged.is_subset(&there), "the log says nothing that did not happen");
    assert!(lab.ok("audit verify").contains("the log is as it was written"));
    node.kill();
}

/// A read is in the log a second after it, also of a node that is killed then; and at once when the
/// node is stopped.
#[test]
fn reads_come_into_the_log_within_a_second() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    lab.ok("push src d:v1");
    let node = Node::start(&lab);
    let through = lab.through(&node);
    let reads = || lab.json("audit --action read_dataset --resource @main/d").len();
    through.ok("cat d:v1/a");
    until("the read in the log", || (reads() > 0).then_some(()));
    let before = reads();
    through.ok("cat d:v1/a");
    assert_eq!(node.stop().code, Some(0));
    assert!(reads() > before, "a node that is stopped leaves nothing unwritten");
}

#[test]
fn one_log_over_two_nodes_as_people_and_programs_see_it() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    let first = Node::start(&lab);
    let second = first.beside(&lab);
    let (one, two) = (lab.through(&first), lab.through(&second));
    one.ok("push src d:v1");
    two.ok("push src d:v2");
    two.ok("grant add alice reader d");
    let token = two.ok("token create alice").trim().to_owned();
    let alice = one.with("CAIRN_TOKEN", &token);
    until("the token on both nodes", || (alice.run("whoami").code == Some(0)).then_some(()));
    alice.fails("rm d:v1", 4);
    one.with("CAIRN_TOKEN", "nonsense").fails("whoami", 4);
    until("the denial and the refusal in the log", || {
        let log = lab.ok("audit");
        (log.contains("denied") && log.contains("refused")).then_some(())
    });
    let all = lab.json("audit");
    let hubs: BTreeSet<&str> = all.iter().map(|line| line["hub"].as_str().unwrap()).collect();
    assert_eq!(hubs.len(), 2, "one log of both nodes");
    for line in &all {
        documented::check("audit", line);
    }
    let people = lab.ok("audit --caller alice --outcome denied");
    assert!(
        people.contains("denied   alice         delete_dataset @main/d  rest 127.0.0.1 token ")
    );
    assert!(lab.ok("audit --outcome refused").contains("authenticate  rest 127.0.0.1  the"));
    assert!(lab.ok("audit --action write_dataset --outcome changed").contains("as d:v2"));
    assert_eq!(lab.ok("audit --until 1h"), "");
    assert_eq!(lab.ok("audit --since 1h").lines().count(), all.len());
    let log = lab.ok("--json audit");
    assert!(!log.contains(&token[20..]) && !log.contains(&first.token[20..]), "no token");
    // Through a node it is the same log, and takes a role.
    let seen = one.json("audit --until 0s");
    assert_eq!(seen[..all.len()], all[..]);
    alice.fails("audit", 4);
    let verified = one.json("audit verify");
    documented::check("audit verify", &verified[0]);
    let head = verified[0]["head"].as_str().unwrap().to_owned();
    second.kill();
    first.stop();
    assert_eq!(lab.run(&format!("audit verify --head {head}")).code, Some(0));
    lab.fails("audit verify --head 1:x", 2);
    lab.fails("audit --since yesterday", 2);
    lab.fails("audit --follow verify", 2);
    assert_eq!(lab.run("audit --json verify").code, Some(0));
    lab.cairn_refuses("audit --outcome maybe");
}

/// AUDIT-3, with the files of a local bucket.
#[test]
fn audit_3_a_log_that_was_changed_is_told_and_where() {
    let lab = Lab::new();
    let node = Node::start(&lab);
    let through = lab.through(&node);
    for name in ["a", "b", "c"] {
        through.ok(&format!("grant add {name} reader data"));
    }
    node.stop();
    let verified = lab.json("audit verify");
    let (segments, head) = (verified[0]["segments"].as_u64().unwrap(), verified[0]["head"].clone());
    let head = head.as_str().unwrap();
    let file = |seq: u64| lab.bucket().join(format!("audit/0000000000000/{seq:03x}"));
    let whole = std::fs::read(file(3)).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    std::fs::write(file(3), flipped).unwrap();
    let ended = lab.run("audit verify");
    assert_eq!(ended.code, Some(7), "{}", ended.stdout());
    assert!(ended.stdout().contains("damaged: segment 3: "), "{}", ended.stdout());
    assert!(lab.ok("audit").contains("segment 3 cannot be read"));
    documented::check(
        "audit verify",
        &serde_json::from_str(&lab.run("--json audit verify").lines[0]).unwrap(),
    );
    let gap = lab.json("audit").into_iter().find(|line| line.get("gap").is_some()).unwrap();
    documented::check("audit", &gap);
    std::fs::write(file(3), whole).unwrap();
    std::fs::remove_file(file(segments)).unwrap();
    assert_eq!(lab.run("audit verify").code, Some(0), "a cut is not seen without a head");
    let ended = lab.run(&format!("audit verify --head {head}"));
    assert_eq!(ended.code, Some(7));
    assert!(ended.stdout().contains("its end was cut off"), "{}", ended.stdout());
}

#[test]
fn what_is_done_at_the_bucket_for_access_is_recorded() {
    let lab = Lab::new();
    Node::start(&lab).stop();
    let made = lab.json("token recover");
    let id = made[0]["info"]["id"].as_str().unwrap();
    let told = lab.ok("audit --door bucket --outcome changed");
    assert!(told.contains("made the first token of root"), "{told}");
    assert!(told.contains(&format!("made its token {id}")), "{told}");
}

#[test]
fn a_log_is_followed_over_a_node_and_on_a_bucket() {
    let lab = Lab::new();
    let node = Node::start(&lab);
    let through = lab.through(&node);
    let words = "--json audit --follow --action manage_* --outcome changed --since 1h";
    let mut followers = [through.start(words), lab.start(words)];
    for follower in &mut followers {
        assert!(follower.line().contains("first token of root"));
    }
    through.ok("grant add anonymous reader open");
    for follower in &mut followers {
        assert!(follower.line().contains("anonymous is reader on @main/open"));
    }
    let [first, second] = followers;
    first.kill();
    second.kill();
    node.kill();
}

/// What a stock program prints about these bytes; none where it is not installed.
fn stock(program: &str, args: &[&str], bytes: &[u8]) -> Option<String> {
    let found = std::process::Command::new(program).arg("--version").output();
    if found.is_err() {
        eprintln!("skipped: there is no {program}");
        return None;
    }
    let mut command = std::process::Command::new(program);
    command.args(args);
    let ended = crate::process::Running::start_with(command, bytes).end();
    assert_eq!(ended.code, Some(0), "{program}: {}", ended.stderr);
    Some(ended.stdout())
}

/// AUDIT-3: the chain is what its documentation says, so that anybody can check it: with b3sum, zstd and
/// jq, on the files of a bucket that is not encrypted.
#[test]
fn audit_3_stock_programs_follow_the_chain() {
    let lab = Lab::new();
    let node = Node::start(&lab);
    let through = lab.through(&node);
    for name in ["a", "b", "c"] {
        through.ok(&format!("grant add {name} reader data"));
    }
    node.stop();
    let verified = lab.json("audit verify").remove(0);
    let (mut before, mut records) = ("0".repeat(64), 0);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let segments = verified["segments"].as_u64().unwrap();
    for seq in 1..=segments {
        let file = lab.bucket().join(format!("audit/0000000000000/{seq:03x}"));
        let object = std::fs::read(file).unwrap();
        // The envelope of small objects, then the segment, as their byte tables say.
        let segment = &object[44..object.len() - 32];
        let (body, hash) = segment.split_at(segment.len() - 32);
        assert_eq!((&segment[..4], &segment[8..16]), (&b"CRNL"[..], &seq.to_le_bytes()[..]));
        assert_eq!(hex(&segment[16..48]), before, "segment {seq} follows the one before");
        let Some(told) = stock("b3sum", &["--no-names"], body) else { return };
        before = hex(hash);
        assert_eq!(told.trim(), before);
        let Some(lines) = stock("zstd", &["-d", "-c"], &body[68..]) else { return };
        let Some(told) = stock("jq", &["-r", ".outcome"], lines.as_bytes()) else { return };
        assert_eq!(told.lines().count(), lines.lines().count());
        records += told.lines().count() as u64;
    }
    assert_eq!(verified["head"], format!("{segments}:{before}"));
    assert_eq!(verified["records"], records);
}
