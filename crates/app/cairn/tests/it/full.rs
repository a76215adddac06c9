//! A disk that is full.

use crate::lab::Lab;
use crate::mount::Mount;
use crate::tree::{Rng, Tree};

const MIB: usize = 1 << 20;

#[test]
fn a_full_disk_stops_a_push_and_harms_nothing() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path().join("small");
    let Some(mount) = Mount::new(&at, &["-t", "tmpfs", "-o", "size=48M", "tmpfs"]) else { return };
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![7; 24 * MIB]).unwrap();
    let lab = Lab::with_bucket(at.join("bucket"));
    let mut rng = Rng(61);
    let small = Tree::random(&mut rng, 40);
    small.write(&lab.path("small"));
    let large = Tree::noise(&mut rng, &[30 * MIB]);
    large.write(&lab.path("large"));

    lab.ok("push small d:v1");
    for _ in 0..2 {
        let said = lab.fails("push large d:v2", 8);
        assert!(said.contains(lab.bucket().to_str().unwrap()), "it names the place: {said}");
        lab.verify();
        lab.assert_version("d:v1", &small);
        assert_eq!(lab.tags("d"), ["v1"]);
    }
    std::fs::remove_file(ballast).unwrap();
    lab.ok("push large d:v2");
    lab.assert_version("d:v2", &large);
    lab.verify();
}
