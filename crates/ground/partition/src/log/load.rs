//! Reading what goes into the next object of a shipped log.

use super::codec::{FrameHead, Place};
use super::core::Core;
use super::object::ObjectHead;
use super::read::Reader;
use super::replay::Span;
use crate::Error;

/// Where the next group to ship is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) group: u64,
}

/// Some groups that were read.
pub(super) struct Load {
    pub(super) head: ObjectHead,
    pub(super) frames: Vec<(FrameHead, Vec<u8>)>,
    pub(super) bytes: u64,
    pub(super) next: Cursor,
}

impl Load {
    /// Takes the groups of a span as far as they go in; whether all did.
    pub(super) fn span(&mut self, core: &Core, span: &Span, max: u64) -> Result<bool, Error> {
        let place = Place { life: core.life, segment: span.number };
        let mut reader = Reader::new(&core.disk, &span.name, place, span.to);
        (self.next.segment, self.next.offset) = (span.number, span.from);
        while self.next.offset < span.to {
            let group = reader.group(self.next.offset).map_err(|stop| stop.corrupt(&reader))?;
            if !self.frames.is_empty() && self.bytes + group.bytes() > max {
                return Ok(false);
            }
            let take = |head, payload| self.frames.push((head, payload));
            let read = reader.frames(self.next.offset, &group, |_| true, take);
            read.map_err(|stop| stop.corrupt(&reader))?;
            self.bytes += group.bytes();
            self.head.last_group = group.number;
            (self.head.wall_ns, self.head.mark) = (group.wall_ns, group.mark);
            (self.next.offset, self.next.group) =
                (self.next.offset + group.bytes(), group.number + 1);
        }
        Ok(true)
    }
}
