//! Reading records in their order.

use std::ops::Range;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::filter::Filter;
use crate::log::{Found, Log};
use crate::record::Record;
use crate::segment::SEQ_MAX;

/// How often [`Log::follow`] looks for more.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Segments that are fetched at a time.
pub(crate) const AHEAD: usize = 16;
/// How far the clocks of hubs and of the store may be apart: segments that were written longer before
/// [`Filter::since_ms`] are not looked at.
const CLOCKS_APART_MS: i64 = 3_600_000;

/// A record and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The segment that it is in.
    pub seq: u64,
    /// Its place there, from 0.
    pub index: u32,
    /// The hub that recorded it: 16 hexadecimal digits, others after every start.
    pub hub: String,
    /// The record.
    #[serde(flatten)]
    pub record: Record,
}

/// A segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its number.
    pub seq: u64,
    /// What is wrong with it.
    pub gap: String,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// A record.
    Entry(Box<Entry>),
    /// What should have been there. It fits every filter.
    Gap(Gap),
}

/// What a segment gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number: reading goes on after it.
    pub seq: u64,
    /// What of it fits the filter.
    pub lines: Vec<Line>,
}

impl Log {
    /// Reads the segments after number `after` up to the end of this moment, in order. One that is
    /// damaged or missing is a [`Gap`].
    ///
    /// # Errors
    /// [`Error::LongPattern`]; items: [`Error::Bucket`], [`Error::Seal`], [`Error::LaterVersion`].
    pub async fn read(
        &self,
        after: u64,
        filter: Filter,
    ) -> Result<impl Stream<Item = Result<Batch, Error>> + Send + use<>, Error> {
        let numbers = self.numbers(after, &filter).await?;
        Ok(self.clone().batches(numbers, filter))
    }

    /// As [`Log::read`], but the newest first: the segments before number `before`, or all, from the last
    /// on, and the records of each likewise.
    ///
    /// # Errors
    /// As there.
    pub async fn read_back(
        &self,
        before: Option<u64>,
        filter: Filter,
    ) -> Result<impl Stream<Item = Result<Batch, Error>> + Send + use<>, Error> {
        let numbers = self.numbers(0, &filter).await?;
        let end = before.map_or(numbers.end, |before| before.min(numbers.end));
        let backwards = (numbers.start..end.max(numbers.start)).rev();
        let batches = self.clone().batches(backwards, filter);
        Ok(batches
            .map_ok(|batch| Batch { lines: batch.lines.into_iter().rev().collect(), ..batch }))
    }

    /// As [`Log::read`], and then what is written from then on, for ever. Looks every
    /// [`FOLLOW_EVERY`]; where there is nothing, the batch is empty and has the number before.
    ///
    /// # Errors
    /// As there.
    pub async fn follow(
        &self,
        after: u64,
        filter: Filter,
    ) -> Result<impl Stream<Item = Result<Batch, Error>> + Send + use<>, Error> {
        let numbers = self.numbers(after, &filter).await?;
        let state = (self.clone(), filter.clone(), numbers.end);
        let later = stream::try_unfold(state, |(log, filter, seq)| async move {
            let item = match log.find(seq).await? {
                Found::Missing => {
                    log.env.clock.sleep(FOLLOW_EVERY).await;
                    (Batch { seq: seq - 1, lines: Vec::new() }, (log, filter, seq))
                }
                found => (batch(found, seq, &filter), (log, filter, seq + 1)),
            };
            Ok(Some(item))
        });
        Ok(self.clone().batches(numbers, filter).chain(later))
    }

    /// The segments after number `after` that may fit the filter.
    async fn numbers(&self, after: u64, filter: &Filter) -> Result<Range<u64>, Error> {
        filter.check()?;
        let last = self.last().await?;
        let first = match filter.since_ms {
            Some(since_ms) => self.first_since(since_ms, last).await?,
            None => 1,
        };
        let after = after.min(SEQ_MAX);
        Ok(first.max(after + 1)..(last + 1).max(after + 1))
    }

    fn batches(
        self,
        numbers: impl Iterator<Item = u64> + Send + 'static,
        filter: Filter,
    ) -> impl Stream<Item = Result<Batch, Error>> + Send + 'static {
        let find = move |seq| {
            let (log, filter) = (self.clone(), filter.clone());
            async move { Ok(batch(log.find(seq).await?, seq, &filter)) }
        };
        stream::iter(numbers).map(find).buffered(AHEAD)
    }

    /// The first segment that may hold what was recorded since a moment.
    async fn first_since(&self, since_ms: i64, last: u64) -> Result<u64, Error> {
        let wanted = since_ms.saturating_sub(CLOCKS_APART_MS);
        let (mut below, mut above) = (0, last + 1);
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            match self.written_ms(middle).await? {
                Some(written) if written < wanted => below = middle,
                _ => above = middle,
            }
        }
        Ok(above)
    }
}

fn batch(found: Found, seq: u64, filter: &Filter) -> Batch {
    let gap = |gap: String| Batch { seq, lines: vec![Line::Gap(Gap { seq, gap })] };
    let segment = match found {
        Found::Segment(segment, _) => segment,
        Found::Missing => return gap("it is missing".to_owned()),
        Found::Damaged { detail, .. } => return gap(format!("it is damaged: {detail}")),
    };
    let hub = segment.hub.to_string();
    let entry = |(index, record): (usize, Record)| {
        let index = u32::try_from(index).expect("a segment's records are counted in 32 bits");
        Line::Entry(Box::new(Entry { seq, index, hub: hub.clone(), record }))
    };
    let all = segment.records.into_iter().enumerate();
    Batch { seq, lines: all.filter(|(_, record)| filter.fits(record)).map(entry).collect() }
}
