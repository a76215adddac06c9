//! Backups: made beside a node that goes on, checked, drilled, and restored where nothing was.

use std::path::PathBuf;
use std::time::Duration;

use cairn_testkit::store::{Kind, Server};
use serde_json::Value;

use crate::lab::Lab;
use crate::process::{files_below, pause, until};
use crate::running_node::Node;
use crate::tree::{Rng, Tree};

const MIB: usize = 1 << 20;
const DATA: &str = "--data-dir data";
/// Whatever was acknowledged is shipped by then.
const SHIPPED: Duration = Duration::from_millis(1500);

/// What people keep in a cluster: a version, small keys and a large one.
struct Kept {
    tree: Tree,
    big: Vec<u8>,
}

impl Kept {
    fn fill(lab: &Lab, through: &Lab) -> Self {
        let tree = Tree::random(&mut Rng(11), 40);
        tree.write(&lab.path("tree"));
        through.ok("push tree d:v1");
        through.ok("kv create s");
        for number in 0..40 {
            through.ok(&format!("kv put s k{number:02} then"));
        }
        let big = Rng(12).noise(6 * MIB);
        lab.write("big", &big);
        through.ok("kv put s big --file big");
        pause(SHIPPED);
        Self { tree, big }
    }

    /// What comes after a backup, until nothing of it is left but in the backup.
    fn lose(lab: &Lab, through: &Lab) {
        through.ok("kv put s k00 later");
        through.ok("kv rm s --yes");
        through.ok("rm d:v1");
        for _ in 0..3 {
            lab.ok("gc --grace 0s");
        }
    }

    /// A node on a copy shows what was, and goes on from it.
    #[track_caller]
    fn assert_in(&self, copy: &Lab, token: &str) {
        copy.verify();
        copy.assert_version("d:v1", &self.tree);
        let node = Node::start_with(copy, "127.0.0.1:0", "--data-dir copy-data");
        assert_eq!(node.token, "", "its root is the one of before");
        let through = copy.with("CAIRN_TOKEN", token);
        let through = through.with("CAIRN_URL", &node.url).without("CAIRN_BUCKET");
        assert_eq!(through.json("kv scan s --limit 100").len(), 41);
        for number in [0, 17, 39] {
            assert_eq!(through.ok(&format!("kv get s k{number:02}")), "then\n");
        }
        through.ok("kv get s big -o out");
        assert!(std::fs::read(copy.path("out")).unwrap() == self.big, "byte for byte");
        assert_eq!(through.json("kv status s")[0]["lost"], Value::Null);
        through.ok("kv put s k00 on");
        assert_eq!(through.ok("kv get s k00"), "on\n");
        assert_eq!(node.stop().code, Some(0));
    }
}

/// What a backup of everything brings back, from this bucket to that one, when the cluster is lost.
fn everything_comes_back(lab: &Lab, to: &str, copy: &Lab) {
    let node = Node::start_with(lab, "127.0.0.1:0", DATA);
    let through = lab.through(&node);
    let kept = Kept::fill(lab, &through);
    let made = lab.json("backup create --note before").remove(0);
    crate::documented::check("backup create", &made);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!((&made["partitions"], &made["versions"]), (&1.into(), &1.into()));
    Kept::lose(lab, &through);
    assert_eq!(lab.json("backup list"), [made]);
    let checked = lab.json(&format!("backup verify {id}")).remove(0);
    crate::documented::check("backup verify", &checked);
    assert_eq!(checked["findings"], Value::Array(Vec::new()));
    let drilled = lab.json("backup drill --below .").remove(0);
    crate::documented::check("backup drill", &drilled);
    assert_eq!(drilled["findings"], Value::Array(Vec::new()));
    let found = |name: &str| drilled[name].as_u64().unwrap();
    assert!(found("entries") == 41 && found("changes") >= 41 && found("audit_segments") > 0);
    assert_eq!((found("versions"), found("partitions")), (1, 1));
    let restored = lab.json(&format!("backup restore --to {to}")).remove(0);
    crate::documented::check("backup restore", &restored);
    kept.assert_in(copy, &node.token);
    let removed = lab.json(&format!("backup rm {id}")).remove(0);
    crate::documented::check("backup rm", &removed);
    for _ in 0..3 {
        lab.ok("gc --grace 0s");
    }
    assert_eq!(lab.ok("backup list"), "");
    lab.verify();
    assert_eq!(node.stop().code, Some(0));
}

/// BACKUP-1, SNAPSHOT-2, DATASETS-8: what a backup has outlives everything that was done after, in a
/// directory.
#[test]
fn backup_1_everything_comes_back_from_a_directory() {
    let lab = Lab::new();
    let copy = Lab::with_bucket(lab.path("restored"));
    everything_comes_back(&lab, "restored", &copy);
    let left = ["backups", "holds", "packs", "partitions/views", "values"];
    let left: Vec<_> = left.iter().flat_map(|dir| files_below(&lab.bucket().join(dir))).collect();
    assert!(left.is_empty(), "nothing is left of what was removed: {left:?}");
}

/// The same, from one S3 bucket into another place on the server.
#[test]
fn backup_1_everything_comes_back_from_versitygw() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let lab = Lab::on(&server, "living");
    let copy = Lab::on(&server, "copy");
    everything_comes_back(&lab, &server.url("copy"), &copy);
}

/// The same where everything is encrypted, and nothing of it can be read in the copy.
#[test]
fn backup_1_an_encrypted_cluster_stays_encrypted() {
    let lab = Lab::new();
    let secret = |lab: &Lab| lab.with("CAIRN_PASSPHRASE", "a passphrase of several words");
    let copy = secret(&Lab::with_bucket(lab.path("restored")));
    let lab = secret(&lab);
    lab.ok("init --encrypt");
    everything_comes_back(&lab, "restored", &copy);
    for file in files_below(copy.bucket()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(4).any(|four| four == b"then"), "{}", file.display());
    }
}

/// BACKUP-2: a restoration that is killed again and again is no cluster until it is whole, and goes on.
#[test]
fn backup_2_a_killed_restoration_goes_on() {
    let lab = Lab::new();
    let noise = Tree::noise(&mut Rng(21), &[40 * MIB, 20 * MIB, 3]);
    noise.write(&lab.path("noise"));
    lab.ok("push noise d:v1");
    lab.ok("backup create");
    let copy = Lab::with_bucket(lab.path("restored"));
    copy.write("file", b"x");
    let mut cut = 0;
    for packs in 1..4 {
        let restoring = lab.start("backup restore --to restored");
        until("packs", || {
            let found = files_below(&copy.bucket().join("packs")).len() >= packs;
            (found || copy.bucket().join("cairn.json").exists()).then_some(())
        });
        restoring.kill();
        if copy.bucket().join("cairn.json").exists() {
            break;
        }
        cut += 1;
        copy.fails("ls", 3);
        let said = copy.fails("push file d:v2", 5);
        assert!(said.contains("backup restore"), "{said}");
    }
    assert!(cut > 0, "it was never cut off");
    lab.ok("backup restore --to restored");
    copy.verify();
    copy.assert_version("d:v1", &noise);
    let said = lab.fails("backup restore --to restored", 5);
    assert!(said.contains("not empty"), "{said}");
    // Killed before its very last step: the cluster may be in use since, and stays as it is.
    copy.ok("push file d:v3");
    let id = lab.json("backup list").remove(0)["id"].as_str().unwrap().to_owned();
    let mark = copy.bucket().join("restoring");
    std::fs::write(&mark, format!("{id} 0123456789abcdef")).unwrap();
    lab.fails("backup restore --to restored", 5);
    assert!(!mark.exists());
    assert_eq!(copy.tags("d").len(), 2);
}

/// BACKUP-1: a backup that is removed while it is made is whole or is none, and leaves nothing.
#[test]
fn backup_1_a_backup_that_is_removed_while_it_is_made() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", DATA);
    let through = lab.through(&node);
    for number in 0..12 {
        through.ok(&format!("kv create n{number}"));
        through.ok(&format!("kv put n{number} key value"));
    }
    let mut removed = 0;
    for _ in 0..8 {
        let making = lab.start("backup create");
        let holds = lab.bucket().join("holds");
        let id = until("a hold", || {
            let file = files_below(&holds).into_iter().next()?;
            Some(file.file_name().unwrap().to_str().unwrap().to_owned())
        });
        lab.run(&format!("backup rm {id}"));
        let made = making.end();
        if made.code == Some(0) {
            // It was whole before, and was removed then; or somebody removed what was not there yet.
            assert!(lab.ok("backup list").is_empty() || lab.run("backup verify").code == Some(0));
            lab.run(&format!("backup rm {id}"));
        } else {
            assert_eq!(made.code, Some(5), "{}", made.stderr);
            removed += 1;
        }
        assert_eq!(lab.ok("backup list"), "");
        let left = ["backups", "holds"].iter().flat_map(|dir| files_below(&lab.bucket().join(dir)));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    }
    println!("removed {removed} of 8 while they were made");
    lab.ok("backup create");
    lab.ok("backup drill --below .");
    assert_eq!(node.stop().code, Some(0));
}

/// BACKUP-3: nothing of the cluster is changed, and when the backup is removed all is as it was but for
/// the numbers of manifests.
#[test]
fn backup_3_a_backup_changes_nothing_else() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", DATA);
    Kept::fill(&lab, &lab.through(&node));
    node.kill();
    let all = || {
        let files = files_below(lab.bucket()).into_iter().filter(|file| file.is_file());
        let named = files.map(|file| (file.strip_prefix(lab.bucket()).unwrap().to_owned(), file));
        let own = |name: &std::path::Path| {
            let manifest = name.starts_with("partitions/views") && name.ends_with("manifest");
            let catalog = name == std::path::Path::new("catalog");
            name.starts_with(".cairn-bucket") || manifest || catalog
        };
        let kept =
            named.filter(|(name, _)| !own(name) && name.extension() != Some("manifest".as_ref()));
        kept.map(|(name, file)| (name, std::fs::read(file).unwrap())).collect()
    };
    let before: std::collections::BTreeMap<_, _> = all();
    let id = lab.ok("backup create");
    let beside = all();
    let mine = |name: &std::path::Path| {
        ["backups", "holds", "log"].iter().any(|own| name.starts_with(own))
    };
    for (name, bytes) in &before {
        assert_eq!(beside.get(name), Some(bytes), "{}", name.display());
    }
    assert!(beside.keys().all(|name| before.contains_key(name) || mine(name)));
    lab.ok(&format!("backup rm {}", id.trim()));
    assert!(all() == before, "something was left");
}

/// What is missing or damaged is found by name, by the check or by the drill.
#[test]
fn damage_is_found() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", DATA);
    let through = lab.through(&node);
    Kept::fill(&lab, &through);
    assert_eq!(node.stop().code, Some(0));
    lab.ok("backup create");
    let objects = |dir: &str| files_below(&lab.bucket().join(dir));
    let is_table = |file: &PathBuf| file.extension() == Some("sst".as_ref());
    let tables: Vec<_> = objects("partitions/views").into_iter().filter(is_table).collect();
    assert!(!tables.is_empty(), "the node has closed its view");
    for file in objects("backups").iter().chain(&objects("holds")).chain(&tables) {
        let bytes = std::fs::read(file).unwrap();
        std::fs::remove_file(file).unwrap();
        let ended = lab.run("backup verify");
        std::fs::write(file, &bytes).unwrap();
        assert!(matches!(ended.code, Some(3 | 7)), "{}: {}", file.display(), ended.stdout());
    }
    for file in tables.into_iter().chain([objects("packs").remove(0)]) {
        let whole = std::fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let ended = lab.run("backup drill --below .");
        assert_eq!(ended.code, Some(7), "{}: {}", file.display(), ended.stdout());
        assert!(ended.stdout().contains("damaged: "), "{}", ended.stdout());
        std::fs::write(&file, &whole).unwrap();
    }
    assert_eq!(lab.run("backup drill --below .").code, Some(0));
    assert!(
        lab.path(".")
            .read_dir()
            .unwrap()
            .flatten()
            .all(|entry| { !entry.file_name().to_string_lossy().starts_with("cairn-drill") })
    );
}

/// Wrong words change nothing and say what to do.
#[test]
fn what_is_refused() {
    let lab = Lab::new();
    lab.ok("init");
    assert!(lab.fails("backup verify", 3).contains("there is no backup yet"));
    assert!(lab.fails("backup rm 20261122t093015z-4f1c", 3).contains("`cairn backup list`"));
    assert!(lab.fails("backup rm ../x", 2).contains("no id of a backup"));
    assert!(lab.fails("backup verify --at yesterday", 2).contains("how long ago"));
    let made = lab.ok("backup create");
    let id = made.trim();
    assert!(lab.fails("backup verify --at 1h", 3).contains("whole by then"));
    assert!(lab.fails("backup restore --to bucket", 2).contains("--to"));
    lab.write("full/file", b"x");
    assert!(lab.fails("backup restore --to full", 5).contains("not empty"));
    assert_eq!(std::fs::read(lab.path("full/file")).unwrap(), b"x");
    lab.ok(&format!("backup verify {id}"));
    lab.ok("backup restore --at 2999-01-01T00:00:00Z --to elsewhere");
    lab.cairn_refuses(&format!("backup verify {id} --at 1h"));
    assert_eq!(lab.ok(&format!("backup rm {id}")), format!("removed {id}\n"));
}
