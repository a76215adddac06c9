//! The bytes of objects on their way: out of a container as they are read, into it once they are whole.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::Container;
use crate::files::File;
use crate::sink::Take;

/// What an instance may hold of objects that it has not finished.
#[derive(Clone)]
pub(crate) struct Staged(Arc<Mutex<Room>>);

struct Room {
    max: u64,
    left: u64,
}

impl Staged {
    pub(crate) fn new(max: u64) -> Self {
        Self(Arc::new(Mutex::new(Room { max, left: max })))
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, bytes: u64) -> std::io::Result<()> {
        let mut room = self.room();
        let more = || {
            let max = room.max;
            std::io::Error::other(format!(
                "the call holds more than {max} bytes of objects that are not finished: raise limits.output_bytes"
            ))
        };
        room.left = room.left.checked_sub(bytes).ok_or_else(more)?;
        Ok(())
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.room().left += bytes;
    }
}

/// Bytes of an object that a guest writes.
#[derive(Clone)]
pub(super) struct Writing(Arc<Written>);

struct Written {
    staged: Staged,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: BytesMut,
    /// How many there are, which take room until nobody has them any more.
    staged: u64,
    /// Why it is not whole.
    broken: Option<String>,
    /// Whether it was asked for where its bytes go.
    opened: bool,
    to: Option<(Arc<dyn Container>, String)>,
}

/// An object that is to be put.
pub(super) struct Whole {
    pub(super) container: Arc<dyn Container>,
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

impl Writing {
    pub(super) fn new(staged: &Staged) -> Self {
        Self(Arc::new(Written { staged: staged.clone(), state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody asked before.
    pub(super) fn open(&self) -> bool {
        !mem::replace(&mut self.state().opened, true)
    }

    /// Where it goes once it is whole; whether it had no place before.
    pub(super) fn send_to(&self, container: &Arc<dyn Container>, name: String) -> bool {
        let mut state = self.state();
        let free = state.to.is_none();
        if free {
            state.to = Some((Arc::clone(container), name));
        }
        free
    }

    /// All of it with where it goes; none when that was not said.
    pub(super) fn whole(&self) -> Result<Option<Whole>, String> {
        let mut state = self.state();
        if let Some(why) = state.broken.take() {
            return Err(why);
        }
        let Some((container, name)) = state.to.take() else { return Ok(None) };
        let bytes = mem::take(&mut state.bytes).freeze();
        Ok(Some(Whole { container, name, bytes }))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.staged.give_back(state.staged);
    }
}

impl Take for Writing {
    fn take(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut state = self.state();
        if let Err(error) = self.0.staged.take(bytes.len() as u64) {
            state.broken = Some(error.to_string());
            return Err(error);
        }
        state.staged += bytes.len() as u64;
        state.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// A part of an object that a guest reads.
pub(super) struct Reading {
    pub(super) object: Arc<dyn File>,
    pub(super) from: u64,
    /// Where it ends, the byte after its last.
    pub(super) to: u64,
}

impl Reading {
    pub(super) fn size(&self) -> u64 {
        self.to - self.from
    }
}
