//! Power cuts (BUCKET-1): a filesystem on a loop device that stops at once, with nothing written back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lab::Lab;
use crate::mount::{Mount, run};
use crate::tree::{Rng, Tree};

/// Cuts the power right after an acknowledgement, and in the middle of a push; then everything that
/// was acknowledged is there.
fn cut_and_check(make: &[&str], rounds: u32, seed: u64) {
    let place = tempfile::tempdir().unwrap();
    let (image, at) = (place.path().join("image"), place.path().join("mount"));
    std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
    let image = image.to_str().unwrap();
    let (program, args) = make.split_first().unwrap();
    run(program, &[args, &[image]].concat());
    let lab = Lab::with_bucket(at.join("bucket"));
    let mut rng = Rng(seed);
    let mut tree = Tree::random(&mut rng, 60);
    tree.write(&lab.path("src"));
    let mut pushed = BTreeMap::new();
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let Some(mount) = Mount::new(&at, &["-o", "loop", image]) else { return };
        let tag = format!("v{round}");
        let push = lab.start(&format!("push src d:{tag} d:latest"));
        pushed.insert(tag.clone(), tree.clone());
        let ended = if round % 2 == 0 {
            let ended = push.end();
            mount.cut();
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            ended
        } else {
            // The push meets the dead disk, or was done before.
            let cut = || mount.cut();
            push.meanwhile(Duration::from_millis(rng.next() % 150), cut).end()
        };
        if ended.is_acknowledged() {
            acknowledged.push(tag);
        }
        drop(mount);
        let Some(_mount) = Mount::new(&at, &["-o", "loop", image]) else { return };
        lab.verify();
        let tags = lab.tags("d");
        let lost = acknowledged.iter().find(|tag| !tags.contains(tag));
        assert_eq!(lost, None, "it was acknowledged");
        // The newest is in danger; of the older ones any will do.
        let some = acknowledged[rng.below(acknowledged.len())].clone();
        for tag in [acknowledged.last().unwrap(), &some] {
            lab.assert_version(&format!("d:{tag}"), &pushed[tag]);
        }
        let before = tree.clone();
        tree.change(&mut rng);
        tree.write_over(&before, &lab.path("src"));
    }
    let Some(_mount) = Mount::new(&at, &["-o", "loop", image]) else { return };
    lab.ok("push src d:latest");
    lab.assert_version("d:latest", &tree);
    println!("{} of {rounds} pushes were acknowledged", acknowledged.len());
}

#[test]
fn xfs_keeps_what_was_acknowledged() {
    cut_and_check(&["mkfs.xfs", "-q", "-f"], 8, 51);
}

#[test]
fn ext4_keeps_what_was_acknowledged() {
    cut_and_check(&["mkfs.ext4", "-q", "-F"], 8, 52);
}
