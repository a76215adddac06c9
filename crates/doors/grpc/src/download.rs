//! BlockAPI: chunks and files on their way out.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_chunk::ChunkId;
use cairn_datasets::{self as engine, ContentStream, Datasets, Store as _};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::limits::{PART_BYTES_MAX, READ_BYTES};
use crate::names;
use crate::proto::block::v1::download_request::What;
use crate::proto::block::v1::{Chunks, DownloadRequest, DownloadResponse, File};

/// A download that is under way.
struct Download {
    call: Call,
    source: Source,
    ready: VecDeque<DownloadResponse>,
    /// Kept to the end of the stream.
    _place: OwnedSemaphorePermit,
}

enum Source {
    File { content: Box<ContentStream>, at: u64 },
    Chunks { datasets: Datasets, dataset: engine::Dataset, batches: VecDeque<Vec<Wanted>> },
}

/// A chunk and the bytes of it that are asked for.
struct Wanted {
    id: ChunkId,
    len: u64,
    range: Range<u64>,
}

impl Api {
    pub(crate) async fn download_what(
        &self,
        call: Call,
        asked: DownloadRequest,
    ) -> Result<BoxStream<'static, Result<DownloadResponse, Status>>, Error> {
        let dataset = names::dataset(asked.dataset.as_ref())?;
        let (offset, size) = (asked.offset, asked.size);
        let place = Arc::clone(&self.downloads).acquire_owned().await;
        let place = place.map_err(|_| cairn_env::Lost)?;
        let mut ready = VecDeque::new();
        let what = asked.what.ok_or_else(|| Error::invalid("download chunks, or a file"))?;
        let source = match what {
            What::Chunks(chunks) => self.chunks(dataset, &chunks, offset, size).await?,
            What::File(file) => {
                let (source, first) = self.file(dataset, &file, offset, size).await?;
                ready.push_back(first);
                source
            }
        };
        let download = Download { call, source, ready, _place: place };
        let parts = futures::stream::try_unfold(download, |mut download| async move {
            let part = download.next().await?;
            Ok::<_, Status>(part.map(|part| (part, download)))
        });
        Ok(parts.boxed())
    }

    /// A file, and the part that says how long it is.
    async fn file(
        &self,
        dataset: engine::Dataset,
        file: &File,
        offset: u64,
        size: u64,
    ) -> Result<(Source, DownloadResponse), Error> {
        let (tag, path) = (names::tag(&file.tag)?, names::path(&file.path)?);
        let browser = self.browser(dataset);
        let (_, root) = browser.open(&tag).await?;
        let (_, content) = browser.file_at(&root, &path).await?;
        let range = range(content.len, offset, size)?;
        let first =
            DownloadResponse { offset, length: Some(content.len), ..DownloadResponse::default() };
        let content = Box::new(browser.content(&content, range).await?);
        Ok((Source::File { content, at: offset }, first))
    }

    async fn chunks(
        &self,
        dataset: engine::Dataset,
        asked: &Chunks,
        offset: u64,
        size: u64,
    ) -> Result<Source, Error> {
        let ids = names::chunks(&asked.ids)?;
        if ids.is_empty() {
            return Err(Error::invalid("name at least one chunk"));
        }
        if ids.len() > 1 && (offset, size) != (0, 0) {
            return Err(Error::invalid(
                "an offset and a size are of one chunk; ask for each alone",
            ));
        }
        let places = self.datasets.blocks().locate(&ids).await;
        let places = places.map_err(engine::Error::from)?;
        let mut batches: VecDeque<Vec<Wanted>> = VecDeque::new();
        let mut bytes = u64::MAX;
        for (id, place) in ids.into_iter().zip(places) {
            let missing = || Error::not_found(format!("chunk {id} is not in the bucket"));
            let len = u64::from(place.ok_or_else(missing)?.len);
            if bytes >= READ_BYTES {
                bytes = 0;
                batches.push_back(Vec::new());
            }
            bytes += len;
            let range = range(len, offset, size)?;
            let batch = batches.back_mut().expect("one was pushed above");
            batch.push(Wanted { id, len, range });
        }
        Ok(Source::Chunks { datasets: self.datasets.clone(), dataset, batches })
    }
}

impl Download {
    async fn next(&mut self) -> Result<Option<DownloadResponse>, Error> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some(part));
            }
            self.call.again().await?;
            match self.source.more().await? {
                Some(parts) => self.ready = parts,
                None => return Ok(None),
            }
        }
    }
}

impl Source {
    /// The next few megabytes.
    async fn more(&mut self) -> Result<Option<VecDeque<DownloadResponse>>, Error> {
        match self {
            Self::File { content, at } => {
                let Some(piece) = content.next().await? else { return Ok(None) };
                let mut parts = VecDeque::new();
                let begin = *at;
                *at += piece.len() as u64;
                cut(piece, begin, &mut parts);
                Ok(Some(parts))
            }
            Self::Chunks { datasets, dataset, batches } => {
                let Some(batch) = batches.pop_front() else { return Ok(None) };
                let ids: Vec<ChunkId> = batch.iter().map(|wanted| wanted.id).collect();
                let chunks = datasets.read(dataset, &ids).await?;
                let mut parts = VecDeque::new();
                for (wanted, chunk) in batch.iter().zip(chunks) {
                    let first = parts.len();
                    cut(chunk.slice(within(&wanted.range)), wanted.range.start, &mut parts);
                    if parts.len() == first {
                        let offset = wanted.range.start;
                        parts.push_back(DownloadResponse { offset, ..Default::default() });
                    }
                    parts[first].length = Some(wanted.len);
                    parts[first].id = Bytes::copy_from_slice(&wanted.id.0);
                }
                Ok(Some(parts))
            }
        }
    }
}

fn within(range: &Range<u64>) -> Range<usize> {
    let at = |place| usize::try_from(place).expect("it lies within a chunk");
    at(range.start)..at(range.end)
}

/// Cuts bytes that begin at `offset` into parts.
fn cut(mut bytes: Bytes, mut offset: u64, parts: &mut VecDeque<DownloadResponse>) {
    while !bytes.is_empty() {
        let data = bytes.split_to(bytes.len().min(PART_BYTES_MAX));
        let len = data.len() as u64;
        parts.push_back(DownloadResponse { data, offset, ..DownloadResponse::default() });
        offset += len;
    }
}

/// What is asked for, cut to what is there; no size is all to the end.
fn range(len: u64, offset: u64, size: u64) -> Result<Range<u64>, Error> {
    if offset > len {
        return Err(Error::Range { offset, len });
    }
    let end = if size == 0 { len } else { offset.saturating_add(size).min(len) };
    Ok(offset..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defect 4 of the earlier system: no size gave no bytes.
    #[test]
    fn no_size_is_all_to_the_end() {
        for (len, offset, size, found) in [
            (10, 0, 0, Some(0..10)),
            (10, 4, 0, Some(4..10)),
            (10, 4, 3, Some(4..7)),
            (10, 4, u64::MAX, Some(4..10)),
            (10, 10, 0, Some(10..10)),
            (10, 11, 0, None),
            (0, 0, 5, Some(0..0)),
            (0, u64::MAX, u64::MAX, None),
        ] {
            assert_eq!(range(len, offset, size).ok(), found, "{len} {offset} {size}");
        }
    }

    #[test]
    fn parts_are_bounded_and_whole() {
        let bytes = Bytes::from(vec![7; 2 * PART_BYTES_MAX + 1]);
        let mut parts = VecDeque::new();
        cut(bytes, 5, &mut parts);
        let found: Vec<(u64, usize)> = parts.iter().map(|p| (p.offset, p.data.len())).collect();
        let part = PART_BYTES_MAX as u64;
        assert_eq!(found, [(5, PART_BYTES_MAX), (5 + part, PART_BYTES_MAX), (5 + 2 * part, 1)]);
    }
}
