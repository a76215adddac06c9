//! Reading segments, a piece at a time: memory is bounded by one payload and [`READ_BYTES`].

use std::sync::Arc;

use super::codec::{Bad, FRAME_HEAD_BYTES, FrameHead, GROUP_HEAD_BYTES, GroupHead, Place};
use super::disk::{Disk, failed};
use crate::Error;

/// What is read from the disk at once.
const READ_BYTES: usize = 256 * 1024;

/// One segment, to be read from front to back.
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    name: String,
    place: Place,
    /// Where it ends.
    end: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    at: u64,
}

/// What stopped a reader.
#[derive(Debug)]
pub(super) enum Stop {
    /// The bytes at this offset are not what was written.
    Bad(u64, Bad),
    /// The disk failed.
    Failed(Error),
}

impl Stop {
    /// The error for a reader who knows that the bytes were written whole.
    pub(super) fn corrupt(self, reader: &Reader) -> Error {
        match self {
            Self::Bad(offset, bad) => reader.corrupt(offset, bad),
            Self::Failed(error) => error,
        }
    }
}

impl Reader {
    pub(super) fn new(disk: &Arc<dyn Disk>, name: &str, place: Place, end: u64) -> Self {
        let (disk, name) = (Arc::clone(disk), name.to_owned());
        Self { disk, name, place, end, buffer: Vec::new(), at: 0 }
    }

    pub(super) fn corrupt(&self, offset: u64, bad: Bad) -> Error {
        let what = self.disk.describe(&self.name);
        Error::Corrupt { what, offset, why: bad.0.to_owned() }
    }

    /// Up to [`READ_BYTES`] from `at` on, at least one byte and at most `len`.
    fn piece(&mut self, at: u64, len: u64) -> Result<&[u8], Stop> {
        let end = at.saturating_add(len);
        if end > self.end || len == 0 {
            return Err(Stop::Bad(at, Bad("it goes on behind the end")));
        }
        let buffered = self.at..self.at + self.buffer.len() as u64;
        let want = len.min(FRAME_HEAD_BYTES as u64);
        if !buffered.contains(&at) || at + want > buffered.end {
            let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            self.buffer.resize(left.min(READ_BYTES), 0);
            self.at = at;
            if let Err(error) = self.disk.read_at(&self.name, at, &mut self.buffer) {
                self.buffer.clear();
                let error = failed(self.disk.as_ref(), "read the log", &self.name, &error);
                return Err(Stop::Failed(error));
            }
        }
        let from = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        let found = self.buffer.get(from..).unwrap_or_default();
        Ok(found.get(..usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or(found))
    }

    /// Hands all of `at..at + len` to `take`, piece by piece.
    fn pieces(&mut self, at: u64, len: u64, mut take: impl FnMut(&[u8])) -> Result<(), Stop> {
        let mut done = 0;
        while done < len {
            let piece = self.piece(at + done, len - done)?;
            take(piece);
            done += piece.len() as u64;
        }
        Ok(())
    }

    /// The group that begins at `at`. Its frames are not looked at.
    pub(super) fn group(&mut self, at: u64) -> Result<GroupHead, Stop> {
        let place = self.place;
        let head = self.piece(at, GROUP_HEAD_BYTES as u64)?;
        let head = GroupHead::decode(head, place).map_err(|bad| Stop::Bad(at, bad))?;
        if at.saturating_add(head.bytes()) > self.end {
            return Err(Stop::Bad(at, Bad("the group goes on behind the end")));
        }
        Ok(head)
    }

    /// Goes through the frames of the group at `at` and checks all of it. `want` says of which frames
    /// `take` gets the payload.
    pub(super) fn frames(
        &mut self,
        at: u64,
        group: &GroupHead,
        mut want: impl FnMut(&FrameHead) -> bool,
        mut take: impl FnMut(FrameHead, Vec<u8>),
    ) -> Result<(), Stop> {
        let place = self.place;
        let begin = at + GROUP_HEAD_BYTES as u64;
        let end = begin + u64::from(group.body);
        let mut here = begin;
        for _ in 0..group.frames {
            let bad = |why| Stop::Bad(here, Bad(why));
            let payload = here + FRAME_HEAD_BYTES as u64;
            if payload > end {
                return Err(bad("the group says more frames than it has"));
            }
            let head = self.piece(here, FRAME_HEAD_BYTES as u64)?;
            let (head, expected) = FrameHead::decode(head).map_err(|bad| Stop::Bad(here, bad))?;
            let next = payload + u64::from(head.len);
            if next > end {
                return Err(bad("the frame is longer than its group"));
            }
            let mut crc = head.crc(place, group.number);
            let mut kept = want(&head).then(|| Vec::with_capacity(head.len as usize));
            self.pieces(payload, u64::from(head.len), |piece| {
                crc.update(piece);
                if let Some(kept) = kept.as_mut() {
                    kept.extend_from_slice(piece);
                }
            })?;
            if crc.finalize() != expected {
                return Err(bad("the checksum of the frame is wrong"));
            }
            if let Some(kept) = kept {
                take(head, kept);
            }
            here = next;
        }
        let mut zeros = here == end;
        self.pieces(end, at + group.bytes() - end, |piece| {
            zeros &= piece.iter().all(|byte| *byte == 0);
        })?;
        if zeros { Ok(()) } else { Err(Stop::Bad(end, Bad("the group does not end in zeros"))) }
    }

    /// Copies the bytes of a range to where they are, so that a sync writes them again.
    pub(super) fn rewrite(&mut self, at: u64, len: u64) -> Result<(), Error> {
        let (disk, name) = (Arc::clone(&self.disk), self.name.clone());
        let (mut here, mut result) = (at, Ok(()));
        let walked = self.pieces(at, len, |piece| {
            if result.is_ok() {
                result = disk.write_at(&name, here, piece);
            }
            here += piece.len() as u64;
        });
        walked.map_err(|stop| stop.corrupt(self))?;
        result
            .and_then(|()| disk.sync(&name))
            .map_err(|error| failed(disk.as_ref(), "sync the log", &name, &error))
    }
}
