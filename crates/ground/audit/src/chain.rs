//! Appending to the log: put-if-absent of the next number (AUDIT-2).

use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::log::{Found, Log, key};
use crate::record::Record;
use crate::segment::{Hash, Hub, Link, SEQ_MAX, Segment};

/// How often one append is tried when other hubs append at the same time.
const ATTEMPTS_MAX: u32 = 1000;
/// The longest wait after an append that lost, so that hubs fall out of step.
const STEP: Duration = Duration::from_millis(8);

/// The end of the log, as one hub knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    seq: u64,
    link: Link,
}

/// A segment whose writing began. It is written at its number as it is, again and again, until it or
/// another one stands there: so it cannot come a second time by a write that took effect late.
struct Attempt {
    seq: u64,
    hash: Hash,
    sealed: Bytes,
}

/// Appends segments of one hub.
pub(crate) struct Chain {
    log: Log,
    hub: Hub,
    end: Option<End>,
    attempt: Option<Attempt>,
}

impl Chain {
    pub(crate) fn new(log: Log, hub: Hub) -> Self {
        Self { log, hub, end: None, attempt: None }
    }

    /// Appends a segment with these records. Durable when it returns. After an error it must be
    /// called with the same records again: they may be in the log.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Contended`], [`Error::Seal`], [`Error::LaterVersion`],
    /// [`Error::NoNumber`].
    pub(crate) async fn append(&mut self, records: &[Record]) -> Result<(), Error> {
        for tried in 0..ATTEMPTS_MAX {
            if tried > 0 {
                self.step().await;
            }
            let end = self.end().await?;
            let attempt = match self.attempt.take() {
                Some(attempt) if attempt.seq == end.seq + 1 => attempt,
                _ => self.prepare(end, records).await?,
            };
            let attempt = self.attempt.insert(attempt);
            let (key, bytes) = (key(attempt.seq), attempt.sealed.clone());
            match self.log.bucket.create(&key, bytes).await {
                Ok(_) => {
                    self.landed();
                    return Ok(());
                }
                Err(cairn_bucket::Error::Exists { .. } | cairn_bucket::Error::InDoubt { .. }) => {
                    if self.look().await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended { attempts: ATTEMPTS_MAX })
    }

    async fn prepare(&self, end: End, records: &[Record]) -> Result<Attempt, Error> {
        if end.seq >= SEQ_MAX {
            return Err(Error::NoNumber { seq: SEQ_MAX });
        }
        let segment = Segment {
            seq: end.seq + 1,
            before: end.link,
            hub: self.hub,
            records: records.to_vec(),
        };
        let seal = std::sync::Arc::clone(&self.log.seal);
        let seal = move || {
            let (bytes, hash) = segment.encode();
            let sealed = seal.seal(&key(segment.seq), &bytes).into();
            Attempt { seq: segment.seq, hash, sealed }
        };
        Ok(self.log.env.spawn.run(seal).await?)
    }

    /// The attempt is what stands at its number.
    fn landed(&mut self) {
        if let Some(Attempt { seq, hash, .. }) = self.attempt.take() {
            self.end = Some(End { seq, link: Link { hash, unreadable: false } });
        }
    }

    /// What stands where the attempt wants to be. True: the attempt does. False: something else does,
    /// so the attempt never will, and the end is further on; or nothing does, and the same attempt is
    /// to be written again.
    async fn look(&mut self) -> Result<bool, Error> {
        let Some(Attempt { seq, hash: ours, .. }) = self.attempt else { return Ok(false) };
        match self.log.find(seq).await? {
            Found::Missing => {}
            Found::Segment(_, hash) if hash == ours => {
                self.landed();
                return Ok(true);
            }
            found => {
                self.attempt = None;
                self.end = link(&found).map(|link| End { seq, link });
                self.follow().await?;
            }
        }
        Ok(false)
    }

    /// The end, which is looked for where nobody knows it.
    async fn end(&mut self) -> Result<End, Error> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let last = self.log.last().await?;
        let mut end = End { seq: 0, link: Link::default() };
        if last > 0 {
            // It cannot go away by itself: then the log is as it was without it.
            let found = self.log.find(last).await?;
            if let Some(link) = link(&found) {
                end = End { seq: last, link };
            }
        }
        self.end = Some(end);
        self.follow().await
    }

    /// Goes on to the end from where the end was.
    async fn follow(&mut self) -> Result<End, Error> {
        let mut end = match self.end {
            Some(end) => end,
            None => End { seq: 0, link: Link::default() },
        };
        while end.seq < SEQ_MAX {
            let found = self.log.find(end.seq + 1).await?;
            let Some(link) = link(&found) else { break };
            end = End { seq: end.seq + 1, link };
            self.end = Some(end);
        }
        Ok(end)
    }

    /// Waits a random while.
    async fn step(&self) {
        let mut random = [0; 2];
        self.log.env.rng.fill(&mut random);
        let part = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX);
        self.log.env.clock.sleep(STEP.mul_f64(part)).await;
    }
}

/// How the next segment names what stands there.
fn link(found: &Found) -> Option<Link> {
    match found {
        Found::Missing => None,
        Found::Segment(_, hash) => Some(Link { hash: *hash, unreadable: false }),
        Found::Damaged { stored, .. } => Some(Link { hash: *stored, unreadable: true }),
    }
}
