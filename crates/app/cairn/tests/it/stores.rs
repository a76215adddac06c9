//! Buckets that are no directories: real object stores, as a person uses them.

use std::collections::BTreeMap;

use cairn_testkit::store::{Kind, Server};

use crate::lab::Lab;
use crate::process::files_below;
use crate::tree::{Rng, Tree};

/// Versions that come, are compared, and go, and what is left of them.
fn lives(lab: &Lab) {
    let mut rng = Rng(71);
    let mut tree = Tree::random(&mut rng, 80);
    let mut pushed = BTreeMap::new();
    tree.write(&lab.path("src"));
    for round in 0..3 {
        lab.ok(&format!("push src d:v{round} d:latest"));
        pushed.insert(format!("d:v{round}"), tree.clone());
        let before = tree.clone();
        tree.change(&mut rng);
        tree.write_over(&before, &lab.path("src"));
    }
    assert_eq!(lab.json("push src d:last d:latest")[0]["version"]["by"], "tester");
    lab.verify();
    for (reference, tree) in &pushed {
        lab.assert_version(reference, tree);
    }
    assert!(!lab.ok("diff d:v0 d:v1").is_empty());
    assert_eq!(lab.ok("diff d:last d:latest"), "");
    let doctor = lab.ok("doctor");
    assert!(doctor.contains("conditional writes hold"), "{doctor}");

    lab.ok("rm d:v0");
    lab.ok("rm d:latest");
    let (mut condemned, mut deleted) = (0, 0);
    for _ in 0..4 {
        let collected = &lab.json("gc --grace 0s")[0];
        condemned += collected["packs_condemned"].as_u64().unwrap();
        condemned += collected["packs_rewritten"].as_u64().unwrap();
        deleted += collected["packs_deleted"].as_u64().unwrap();
    }
    assert_eq!(condemned, deleted, "what was condemned is gone");
    lab.verify();
    lab.assert_version("d:v1", &pushed["d:v1"]);
    lab.assert_version("d:last", &tree);
    assert_eq!(lab.tags("d").len(), 3);
}

#[test]
fn a_bucket_on_versitygw() {
    let server = Server::start(Kind::Versitygw).unwrap();
    lives(&Lab::on(&server, "p"));
}

#[test]
fn a_bucket_on_moto() {
    let server = Server::start(Kind::Moto).unwrap();
    lives(&Lab::on(&server, "some/where"));
}

#[test]
fn a_bucket_on_azurite() {
    let server = Server::start(Kind::Azurite).unwrap();
    lives(&Lab::on(&server, ""));
}

#[test]
fn an_encrypted_bucket_shows_nothing_to_its_store() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let open = Lab::on(&server, "sealed");
    let lab = open.with("CAIRN_PASSPHRASE", "correct horse");
    lab.ok("init --encrypt");
    lives(&lab);
    let secret = "moraine of a tree that nobody may see ".repeat(40);
    lab.write("notes/secret-name.txt", &secret);
    lab.ok("push notes notes");
    for file in files_below(lab.bucket()) {
        let bytes = std::fs::read(&file).unwrap();
        for word in [&b"nobody may see"[..], b"secret-name"] {
            let seen = bytes.windows(word.len()).any(|window| window == word);
            assert!(!seen, "{} shows it", file.display());
        }
    }
    assert_eq!(lab.ok("cat notes/secret-name.txt"), secret + "\n");
    for wrong in [&open, &open.with("CAIRN_PASSPHRASE", "wrong")] {
        for words in ["ls", "push notes notes", "pull notes to", "verify", "gc", "up"] {
            wrong.fails(words, 4);
        }
    }
    lab.fails("init --encrypt", 5);
    lab.verify();
}

#[test]
fn prefixes_are_buckets_of_their_own() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let trees: Vec<Tree> = (0..3).map(|seed| Tree::random(&mut Rng(72 + seed), 10)).collect();
    let prefixes = ["a%20b/%C3%A4+x&y=1", "a%20b/100%25'(~)*", "a%20b"];
    let labs: Vec<Lab> = prefixes.iter().map(|prefix| Lab::on(&server, prefix)).collect();
    for (lab, tree) in labs.iter().zip(&trees) {
        tree.write(&lab.path("src"));
        lab.ok("push src d");
    }
    for (lab, tree) in labs.iter().zip(&trees) {
        for _ in 0..3 {
            lab.ok("gc --grace 0s");
        }
        lab.assert_version("d", tree);
        lab.verify();
    }
    for bad in ["a//b", "../b", "a/%2e%2e/b", "per%cent", "back\\slash"] {
        let said = Lab::on(&server, bad).fails("init", 2);
        assert!(said.contains("cannot open the bucket"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_store_is_said() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let lab = Lab::on(&server, "p");
    let said = lab.fails("ls", 3);
    assert!(said.contains("cairn init"), "it says how to go on: {said}");
    lab.write("src/f", "x");
    lab.ok("push src d");
    for name in ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"] {
        let wrong = lab.with(name, "not it");
        for words in ["ls", "init", "push src d:2", "pull d to", "rm d:latest", "gc", "up"] {
            let said = wrong.fails(words, 4);
            assert!(said.contains("check credentials") && said.len() < 600, "{said}");
        }
    }
    let nowhere = lab.with("CAIRN_BUCKET", "s3://no-such-bucket/x");
    for words in ["ls", "init", "push src d:2", "up"] {
        let said = nowhere.fails(words, 2);
        assert!(said.contains("no bucket s3://no-such-bucket/x") && said.len() < 600, "{said}");
    }
    lab.with("AWS_ENDPOINT_URL", "nonsense").fails("ls", 2);
    lab.with("AWS_ALLOW_HTTP", "false").fails("ls", 2);
    assert_eq!(lab.tags("d"), ["latest"]);
    lab.verify();
}
