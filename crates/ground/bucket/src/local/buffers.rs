//! Memory for large reads, which is cleared once and used again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers that wait to be used again.
const FREE_MAX: usize = 4;
/// Lengths are multiples of this, so that a buffer fits the next read too.
const STEP_BYTES: usize = 1 << 20;

/// Buffers that come back when the bytes in them are dropped.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer of `len` bytes; what it holds is of no use.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let mut memory = self.free().pop().unwrap_or_default();
        if memory.len() < len {
            memory.clear();
            memory.resize(len.next_multiple_of(STEP_BYTES), 0);
        }
        Buffer { memory, len, home: Arc::clone(self) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer, ours until it is dropped.
pub(super) struct Buffer {
    memory: Vec<u8>,
    len: usize,
    home: Arc<Buffers>,
}

impl Buffer {
    /// All of it, to be filled.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(..self.len).unwrap_or_default()
    }

    /// What it was filled with.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut free = self.home.free();
        if free.len() < FREE_MAX {
            free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_has_the_length_asked_for() {
        let buffers = Arc::<Buffers>::default();
        let mut first = buffers.take(8);
        first.bytes_mut().copy_from_slice(b"abcdefgh");
        let place = first.as_ref().as_ptr();
        let bytes = first.freeze();
        assert_eq!(bytes, "abcdefgh");
        let other = buffers.take(8);
        assert_ne!(other.as_ref().as_ptr(), place, "it is held");
        drop(bytes);
        let second = buffers.take(3);
        assert_eq!((second.as_ref().len(), second.as_ref().as_ptr()), (3, place));
        let held: Vec<_> = (0..2 * FREE_MAX).map(|_| buffers.take(9)).collect();
        assert!(held.iter().all(|buffer| buffer.as_ref().len() == 9));
        drop(held);
        assert_eq!(buffers.free().len(), FREE_MAX);
    }
}
