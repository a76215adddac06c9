//! Power cuts: a filesystem on a loop device that stops at once, without writing anything back.

use std::path::Path;
use std::process::Command;

use crate::files::Mount;
use crate::processes::{Said, write_until};
use crate::{ENGINES, open};

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}); run `cargo xtask setup --group test`")
    });
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

fn image(dir: &Path, name: &str, make: &[&str]) -> String {
    let image = dir.join(name);
    std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
    let image = image.to_str().unwrap().to_owned();
    let (program, args) = make.split_first().unwrap();
    run(program, &[args, &[image.as_str()]].concat());
    image
}

fn cut_and_check(make: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), "image", make);
    let at = dir.path().join("mount");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut said = Said::default();
    for round in 0..4_usize {
        let engine = ENGINES[round % 2];
        let Some(mount) = Mount::new(&at, &["-o", "loop", &image]) else { return };
        let bucket = mount.0.join("bucket");
        std::fs::create_dir_all(&bucket).unwrap();
        write_until(&bucket, engine, &round.to_string(), 60 + 50 * round, &mut said, |child| {
            // All writes stop here, in memory and on their way, and what was said before counts.
            run("xfs_io", &["-x", "-c", "shutdown", at.to_str().unwrap()]);
            child.kill().unwrap();
        });
        drop(mount);
        let Some(mount) = Mount::new(&at, &["-o", "loop", &image]) else { return };
        runtime.block_on(async {
            said.check(&open(&bucket, engine).await).await;
        });
        drop(mount);
    }
    assert!(!said.is_empty());
}

#[test]
fn ext4_keeps_what_was_acknowledged() {
    cut_and_check(&["mkfs.ext4", "-q", "-F"]);
}

#[test]
fn xfs_keeps_what_was_acknowledged() {
    cut_and_check(&["mkfs.xfs", "-q", "-f"]);
}
