use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::codec::Place;
use super::core::{Handle, Pin};
use super::read::Reader;
use crate::{Epoch, Error, PartitionId, Seq};

/// Payload that is read ahead.
const AHEAD_BYTES: usize = 1 << 20;

/// A frame that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The ownership under which it was written.
    pub epoch: Epoch,
    /// Its number in its partition.
    pub id: u64,
    /// The first commit in it.
    pub first_seq: Seq,
    /// The last commit in it.
    pub last_seq: Seq,
    /// What was appended, one after the other.
    pub payload: Bytes,
}

/// Which epochs count.
pub(super) type Epochs = Arc<dyn Fn(Epoch) -> bool + Send + Sync>;

/// The frames of one partition, in the order of their ids. Memory is bounded by about one MiB and one
/// frame.
pub struct Replay {
    handle: Arc<Handle>,
    pin: Pin,
    partition: PartitionId,
    epochs: Epochs,
    /// The first id of each of them.
    begins: Arc<[(Epoch, u64)]>,
    spans: VecDeque<Span>,
    ready: VecDeque<Frame>,
    /// The id of the last frame that was handed out.
    last: u64,
}

/// Groups of one segment.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Replay {
    pub(super) fn new(
        handle: Arc<Handle>,
        partition: PartitionId,
        after_id: u64,
        epochs: Epochs,
    ) -> Self {
        let core = Arc::clone(&handle.core);
        let mut state = core.state();
        let span = |segment: &super::core::Segment| {
            let held = segment.held.get(&partition).filter(|held| held.last_id > after_id)?;
            let (number, name) = (segment.number, segment.name.clone());
            Some(Span { number, name, from: held.from, to: held.to })
        };
        let spans: VecDeque<Span> = state.segments.iter().filter_map(span).collect();
        let begins: Vec<(Epoch, u64)> = state.parts.get(&partition).map_or_else(Vec::new, |part| {
            let part = part.state();
            let begins = part.epochs.iter().filter(|(epoch, _)| epochs(**epoch));
            begins.map(|(epoch, (first, _))| (*epoch, *first)).collect()
        });
        let first = spans.front().map_or(u64::MAX, |span| span.number);
        let pin = core.pin(&mut state, first);
        drop(state);
        Self {
            handle,
            pin,
            partition,
            epochs,
            begins: begins.into(),
            spans,
            ready: VecDeque::new(),
            last: after_id,
        }
    }

    /// The next frame; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with file and offset; [`Error::Storage`].
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                if frame.id <= self.last {
                    let why = format!("frame {} follows frame {}", frame.id, self.last);
                    let what = format!("the log of partition {:?}", self.partition);
                    return Err(Error::Corrupt { what, offset: 0, why });
                }
                self.last = frame.id;
                return Ok(Some(frame));
            }
            let Some(span) = self.spans.front().cloned() else { return Ok(None) };
            self.pin.advance(span.number);
            let (frames, at) = self.read(span).await?;
            self.ready.extend(frames);
            if let Some(front) = self.spans.front_mut() {
                front.from = at;
                if front.from >= front.to {
                    self.spans.pop_front();
                }
            }
        }
    }

    /// Some groups of a span, and where the next one begins.
    async fn read(&self, span: Span) -> Result<(Vec<Frame>, u64), Error> {
        let core = Arc::clone(&self.handle.core);
        let (partition, after, epochs) = (self.partition, self.last, Arc::clone(&self.epochs));
        let begins = Arc::clone(&self.begins);
        let counts = move |epoch: Epoch, id: u64| {
            let later = |(begun, first): &(Epoch, u64)| *begun > epoch && *first <= id;
            id > after && epochs(epoch) && !begins.iter().any(later)
        };
        let read = move || {
            let place = Place { life: core.life, segment: span.number };
            let mut reader = Reader::new(&core.disk, &span.name, place, span.to);
            let (mut frames, mut at, mut bytes) = (Vec::new(), span.from, 0);
            while at < span.to && bytes < AHEAD_BYTES {
                let group = reader.group(at).map_err(|stop| stop.corrupt(&reader))?;
                let read = reader.frames(
                    at,
                    &group,
                    |head| head.partition == partition && counts(head.epoch, head.id),
                    |head, payload| {
                        bytes += payload.len();
                        let (epoch, id) = (head.epoch, head.id);
                        let (first_seq, last_seq) = (head.first_seq, head.last_seq);
                        let payload = payload.into();
                        frames.push(Frame { epoch, id, first_seq, last_seq, payload });
                    },
                );
                read.map_err(|stop| stop.corrupt(&reader))?;
                at += group.bytes();
            }
            Ok((frames, at))
        };
        let run = self.handle.core.env.spawn.run(read).await;
        run.unwrap_or_else(|lost| {
            let (what, kind) = ("read the log", cairn_base::ErrorKind::Retry);
            Err(Error::Storage { what, why: lost.to_string(), kind })
        })
    }
}
