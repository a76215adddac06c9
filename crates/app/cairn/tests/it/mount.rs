//! Filesystems of their own, for disks that fill up and for power that fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::until;

/// Set to 1 where mounting is not permitted: the tests that need it then say so and test nothing.
const ALLOW_NO_MOUNT: &str = "CAIRN_ALLOW_NO_MOUNT";

/// A filesystem, unmounted when dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `None` where mounting is refused and that was allowed.
    #[track_caller]
    pub(crate) fn new(at: &Path, args: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let output = Command::new("mount").args(args).arg(at).output().unwrap();
        if output.status.success() {
            return Some(Self(at.to_owned()));
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        let reason = reason.trim();
        let allowed = std::env::var(ALLOW_NO_MOUNT).is_ok_and(|value| value == "1");
        assert!(
            allowed,
            "this test needs root and loop devices, and mount {args:?} was refused: {reason}; \
             set {ALLOW_NO_MOUNT}=1 to go without it"
        );
        eprintln!("NOT TESTED: mount {args:?} was refused: {reason}");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Stops the filesystem as a power cut does: nothing more is written, in memory or on its way.
    pub(crate) fn cut(&self) {
        run("xfs_io", &["-x", "-c", "shutdown", self.0.to_str().unwrap()]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(Command::new("umount").arg("-l").arg(&self.0).status());
            return;
        }
        // The kernel takes the ring of a killed process down in its own time, and its files with it.
        until("the unmount", || {
            let done = Command::new("umount").arg(&self.0).stderr(Stdio::null()).status().unwrap();
            done.success().then_some(())
        });
    }
}

/// Runs a program of the system and insists on success.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}); run `cargo xtask setup --group test`")
    });
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}
