//! `put`, and `rm` of a path: single files of a version, on a bucket and through a node.

use crate::documented;
use crate::lab::Lab;
use crate::running_node::Node;

/// A file of a version; its output is read by lines.
fn cat(lab: &Lab, path: &str) -> String {
    lab.ok(&format!("cat {path}")).trim_end().to_owned()
}

/// What is typed does the same on both.
fn edits(lab: &Lab) {
    lab.write("src/keep", "kept");
    lab.write("src/dir/old", "old");
    lab.ok("push src data:main");
    lab.write("large.bin", vec![7_u8; 20_000_000]);
    lab.ok("put large.bin data:main/dir");
    assert_eq!(cat(lab, "data:main/dir/large.bin").len(), 20_000_000);
    lab.write("old", "changed");
    let version = lab.json("put old data:main/dir -m why").remove(0);
    documented::check("put", &version);
    assert_eq!((&version["message"], &version["files"]), (&"why".into(), &3.into()));
    assert_eq!(cat(lab, "data:main/dir/old"), "changed");
    assert_eq!(cat(lab, "data:main/keep"), "kept");
    let removed = lab.json("rm data:main/dir").remove(0);
    documented::check("rm", &removed);
    assert_eq!(removed["removed"], "data:main/dir");
    assert_eq!(lab.json("ls data:main").len(), 1);
    assert_eq!(lab.run("rm data:main/dir").code, Some(3), "there is none any more");
    // A tag that is not there is made.
    lab.ok("put old fresh:v1");
    assert_eq!(cat(lab, "fresh:v1/old"), "changed");
    assert_eq!(lab.run("put src data:main").code, Some(2), "a directory is pushed");
    assert_eq!(lab.run("put none data:main").code, Some(3));
    assert_eq!(lab.run("put old data:main/keep").code, Some(2), "a file is in the way");
    assert_eq!(cat(lab, "data:main/keep"), "kept");
    lab.ok("verify");
}

#[test]
fn files_of_a_bucket_are_put_and_removed() {
    edits(&Lab::new());
}

#[test]
fn files_are_put_and_removed_through_a_node() {
    let lab = Lab::new();
    let node = Node::start(&lab);
    edits(&lab.through(&node));
    node.stop();
}
