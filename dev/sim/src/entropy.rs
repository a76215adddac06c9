//! What the system gives as random, from a seed.
//!
//! Maps of the standard library, and with them the order in which tokio looks at the branches of a `select!`,
//! begin with what `getrandom` gives. This program's takes the place of libc's, as in the simulator `madsim`:
//! without it, no run of code that others wrote is the same twice. tokio also counts the runtimes of a
//! process, so only the first run of a process can be had again: each has a process of its own.
#![expect(unsafe_code, reason = "libc's function is replaced by one of the same shape")]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Builder;

/// As much as the thread has that a program begins with.
const STACK_BYTES: usize = 8 << 20;
/// What separates the values of `SplitMix64`, the generator of Steele, Lea and Flood (2014).
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

static SEEDED: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);

/// Runs something in which all that is random follows from the seed.
///
/// # Panics
/// When it does, and when there can be no thread.
pub fn seeded<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> T {
    STATE.store(seed, Ordering::Relaxed);
    SEEDED.store(true, Ordering::Relaxed);
    // A thread's maps begin with what it was given first.
    let ended = std::thread::scope(|scope| {
        let thread = Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run);
        thread.expect("a thread can be had").join()
    });
    SEEDED.store(false, Ordering::Relaxed);
    ended.unwrap_or_else(|panic| resume_unwind(panic))
}

fn next() -> u64 {
    let mut mixed = STATE.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Fills a buffer, as getrandom(2) does.
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    // SAFETY: as of libc's function, callers give a buffer of this length that is theirs to be written.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if SEEDED.load(Ordering::Relaxed) {
        buffer
            .chunks_mut(8)
            .for_each(|part| part.copy_from_slice(&next().to_le_bytes()[..part.len()]));
        return length.cast_signed();
    }
    let flags = rustix::rand::GetRandomFlags::from_bits_retain(flags);
    match rustix::rand::getrandom(buffer, flags) {
        Ok(given) => given.cast_signed(),
        Err(_) => -1,
    }
}
