use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of one registered buffer.
pub(super) const BUFFER_BYTES: usize = 64 << 10;
/// Registered buffers. Their bytes may stay in a cache for long; then reads take fresh memory.
pub(super) const BUFFERS: u16 = 32;

/// Buffers that the kernel knows. Their memory stays where it is and is never freed before the pool
/// and every slot that was taken from it are gone.
pub(super) struct Buffers {
    free: Mutex<Vec<(u16, Vec<u8>)>>,
}

impl Buffers {
    /// A pool, and where its memory lies, in the order of the indexes.
    pub(super) fn new() -> (Arc<Self>, Vec<(*mut u8, usize)>) {
        let mut free: Vec<_> = (0..BUFFERS).map(|index| (index, vec![0; BUFFER_BYTES])).collect();
        let places =
            free.iter_mut().map(|(_, memory)| (memory.as_mut_ptr(), memory.len())).collect();
        (Arc::new(Self { free: Mutex::new(free) }), places)
    }

    fn free(&self) -> MutexGuard<'_, Vec<(u16, Vec<u8>)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<Registered> {
        let (index, memory) = self.free().pop()?;
        Some(Registered { index, memory, len: 0, pool: Arc::clone(self) })
    }
}

/// One registered buffer, ours until it is dropped.
pub(super) struct Registered {
    pub(super) index: u16,
    memory: Vec<u8>,
    /// The bytes that hold something.
    pub(super) len: usize,
    pool: Arc<Buffers>,
}

impl Registered {
    /// Where the memory lies: the same place as at registration.
    pub(super) fn pointer(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }
}

impl AsRef<[u8]> for Registered {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.pool.free().push((self.index, memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_to_the_same_place() {
        let (pool, places) = Buffers::new();
        let mut taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken.len(), usize::from(BUFFERS));
        for slot in &mut taken {
            assert_eq!(slot.pointer(), places[usize::from(slot.index)].0);
        }
        drop(taken);
        let mut again = pool.take().unwrap();
        assert_eq!(again.pointer(), places[usize::from(again.index)].0);
    }
}
