//! A node's cache of frames on disk (BLOCKS-7): it is filled, survives a kill, and stands in nobody's
//! way when it is damaged, full or in use.

use std::path::Path;

use cairn_testkit::store::{Kind, Server};

use crate::lab::Lab;
use crate::mount::Mount;
use crate::process::{files_below, until};
use crate::running_node::Node;
use crate::tree::{Rng, Tree};

const MIB: usize = 1 << 20;

fn frames(dir: &Path) -> Vec<std::path::PathBuf> {
    files_below(dir).into_iter().filter(|path| !path.ends_with("lock")).collect()
}

#[test]
fn a_cache_outlives_its_node_and_its_damage_harms_nothing() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let direct = Lab::on(&server, "p");
    let cache = direct.path("cache");
    let node = Node::start_with(&direct, "127.0.0.1:0", "--cache-dir cache --cache-size 64M");
    let lab = direct.through(&node);
    let tree = Tree::noise(&mut Rng(71), &[MIB; 12]);
    tree.write(&lab.path("src"));
    lab.ok("push src d:v1");
    lab.assert_version("d:v1", &tree);
    let full = until("the cache to be filled", || {
        let bytes: u64 = frames(&cache).iter().map(|path| path.metadata().unwrap().len()).sum();
        (bytes > 12 * MIB as u64).then(|| frames(&cache))
    });
    // Settings say the same as what was typed.
    let set = direct.with("CAIRN__CACHE__DIR", "cache").with("CAIRN__CACHE__SIZE", "64M");
    let node = node.killed_with(&set, "");
    // With its packs gone from the bucket, all must come from the cache.
    let packs = direct.bucket().join("packs");
    std::fs::rename(&packs, direct.bucket().join("gone")).unwrap();
    until("the cache to be found again", || {
        let ended = lab.run("pull d:v1 cached --delete");
        (ended.code == Some(0)).then_some(())
    });
    Tree::read(&lab.path("cached")).assert_same(&tree, "from the cache alone");
    std::fs::rename(direct.bucket().join("gone"), &packs).unwrap();
    for (index, path) in full.iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        let at = index * 977 % bytes.len();
        bytes[at] ^= 0x10;
        std::fs::write(path, bytes).unwrap();
    }
    let node = node.killed_with(&direct, "--cache-dir cache --cache-size 64M");
    lab.assert_version("d:v1", &tree);
    let ended = node.stop();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    direct.verify();
}

#[test]
fn a_full_disk_turns_the_cache_off_and_harms_nothing() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let direct = Lab::on(&server, "p");
    let at = direct.path("cache");
    let Some(_mount) = Mount::new(&at, &["-t", "tmpfs", "-o", "size=3M", "tmpfs"]) else { return };
    let node = Node::start_with(&direct, "127.0.0.1:0", "--cache-dir cache --cache-size 64M");
    let lab = direct.through(&node);
    let tree = Tree::noise(&mut Rng(72), &[MIB; 12]);
    tree.write(&lab.path("src"));
    lab.ok("push src d:v1");
    for _ in 0..3 {
        lab.assert_version("d:v1", &tree);
    }
    let ended = node.stop();
    assert_eq!(ended.code, Some(0));
    let told = ended.stderr.matches("the cache on disk is off").count();
    assert_eq!(told, 1, "{}", ended.stderr);
}

#[test]
fn one_cache_serves_one_node() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let direct = Lab::on(&server, "p");
    let first = Node::start(&direct);
    let second = first.beside(&direct);
    let tree = Tree::noise(&mut Rng(73), &[MIB; 4]);
    tree.write(&direct.path("src"));
    direct.through(&first).ok("push src d:v1");
    for node in [&first, &second, &first] {
        direct.through(node).assert_version("d:v1", &tree);
    }
    let (first, second) = (first.stop(), second.stop());
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    assert!(second.stderr.contains("another process uses this cache"), "{}", second.stderr);
}
