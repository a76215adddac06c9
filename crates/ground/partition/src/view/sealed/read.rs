use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{Error, Result};

use super::page::Reading;

/// Pages on their way from the store to who wants a range.
struct State {
    reading: Reading,
    stored: BoxStream<'static, Result<Bytes>>,
    buffer: BytesMut,
    /// Bytes of the store before the next page.
    skip: u64,
    pages: Range<u64>,
    range: Range<u64>,
}

/// The plain bytes of `range`, from what is in the store from `from` on. Memory is bounded by a page
/// and a chunk of the store's.
pub(super) fn plain(
    reading: Reading,
    stored: BoxStream<'static, Result<Bytes>>,
    from: u64,
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let layout = reading.pages.layout;
    // Of an empty object all is read, which is one page without bytes.
    let none = range.is_empty() && !reading.is_empty();
    let first = range.start / layout.plain;
    let pages = if none { 0..0 } else { first..range.end.div_ceil(layout.plain).max(first + 1) };
    let skip = if none { Some(0) } else { (first * layout.stored).checked_sub(from) };
    let skip = skip.ok_or_else(early)?;
    let state = State { reading, stored, buffer: BytesMut::new(), skip, pages, range };
    Ok(stream::try_unfold(state, State::next).boxed())
}

impl State {
    /// The next piece of the range.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let Some(number) = self.pages.next() else { return Ok(None) };
        let len = self.reading.page_bytes(number);
        self.fill(self.skip + len).await?;
        self.buffer.advance(size(self.skip));
        self.skip = 0;
        let page = self.buffer.split_to(size(len));
        let plain = self.reading.open(number, &page)?;
        let begin = number * self.reading.pages.layout.plain;
        let from = size(self.range.start.saturating_sub(begin));
        let to = size(self.range.end - begin).min(plain.len());
        Ok(Some((plain.slice(from..to), self)))
    }

    async fn fill(&mut self, len: u64) -> Result<()> {
        while (self.buffer.len() as u64) < len {
            let chunk = self.stored.try_next().await?.ok_or_else(early)?;
            self.buffer.extend_from_slice(&chunk);
        }
        Ok(())
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("it fits in memory")
}

/// The store gave less than it said: another try may go better.
fn early() -> Error {
    let source = "the store gave fewer bytes than it announced: try again".into();
    Error::Generic { store: "sealed", source }
}
