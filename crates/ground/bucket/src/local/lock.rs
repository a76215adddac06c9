//! The locks that order what changes the meaning of a key, between tasks and processes.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::session::Session;
use super::{Failure, Shared};

/// How long to wait for a holder. It renames one file; only a stopped process takes longer.
const WAIT_MAX: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// A held lock; dropped, it is free. Every holder has its own open file, so that two tasks of one
/// process exclude each other as two processes do.
pub(super) struct Lock {
    _held: OwnedFd,
}

impl Shared {
    /// Waits for the lock of `key`. Blocks.
    pub(super) fn lock(&self, session: &Session, key: &str) -> Result<Lock, Failure> {
        let failed = |error: Errno| Failure::io("lock a key in", &self.root, error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file =
            rustix::fs::openat(session.locks(), slot_name(key), flags, mode).map_err(failed)?;
        let begin = self.env.clock.monotonic();
        let mut pause = PAUSE_FIRST;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _held: file }),
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(error)),
            }
            if self.env.clock.monotonic().saturating_sub(begin) > WAIT_MAX {
                return Err(Failure::Busy { path: key.to_owned() });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// FNV-1a, because the slot must be the same in every process of every version.
fn slot_name(key: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{:02x}", hash & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_for_ever() {
        // The published test vectors of FNV-1a, 64 bits: ...2325, ...ec8c and ...67e8.
        assert_eq!(slot_name(""), "25");
        assert_eq!(slot_name("a"), "8c");
        assert_eq!(slot_name("foobar"), "e8");
    }
}
