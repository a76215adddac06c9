use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::{ErrorKind, ProjectName};
use cairn_blocks::{Frame, frame};
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_datasets::{
    Dataset, Error, Follow, Project, Rules, Store, Summary, Tag, Target, Upload, Version,
};
use cairn_env::Env;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;

use super::http::{Again, Node, strange};
use super::upload::NodeUpload;
use crate::api::{CopyTag, DatasetPage, MovedTag, TagName, TagPage};
use crate::limits::CHUNKS_PER_REQUEST_MAX;
use crate::wire::{BINARY, FrameError, FrameReader, encode_ids};

/// Requests of one read that are under way at a time.
const READS_AT_ONCE: usize = 4;
/// How often a read is begun again for what a broken connection left out.
const READ_ATTEMPTS_MAX: u32 = 4;
/// Frames of one answer that are checked at a time.
const CHECKS_AT_ONCE: usize = 2;

pub(super) fn dataset_path(dataset: &Dataset) -> [&str; 6] {
    ["api", "v1", "projects", dataset.project.as_str(), "datasets", dataset.name.as_str()]
}

pub(super) fn tag_path(target: &Target) -> [&str; 8] {
    let [a, b, c, d, e, f] = dataset_path(&target.dataset);
    [a, b, c, d, e, f, "tags", target.tag.as_str()]
}

pub(super) fn below<'a>(dataset: &'a Dataset, what: &'a str) -> [&'a str; 7] {
    let [a, b, c, d, e, f] = dataset_path(dataset);
    [a, b, c, d, e, f, what]
}

type Chunks = BTreeMap<ChunkId, Bytes>;

impl Node {
    /// Chunks by id, from as many attempts as it takes.
    async fn fetch(
        &self,
        dataset: &Dataset,
        key: &ChunkKey,
        ids: Vec<ChunkId>,
    ) -> Result<Chunks, Error> {
        let mut found = Chunks::new();
        for attempt in 1.. {
            let left: Vec<ChunkId> =
                ids.iter().filter(|id| !found.contains_key(id)).copied().collect();
            if left.is_empty() {
                break;
            }
            match self.fetch_once(dataset, key, &left, &mut found).await {
                Ok(()) => {}
                Err(Error::Remote { kind: ErrorKind::Closed, .. })
                    if attempt < READ_ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn fetch_once(
        &self,
        dataset: &Dataset,
        key: &ChunkKey,
        ids: &[ChunkId],
        found: &mut Chunks,
    ) -> Result<(), Error> {
        let path = below(dataset, "chunks");
        let body = Some((BINARY, encode_ids(ids)));
        let response = match self.send(Method::POST, &path, &[], body, Again::Yes).await {
            // A manifest refers to it, so that it is not there is damage, not an answer.
            Err(Error::Remote { kind: ErrorKind::NotFound, message }) => {
                return Err(Error::Remote { kind: ErrorKind::Corrupt, message });
            }
            other => other?,
        };
        let reader = FrameReader::new(Box::pin(self.pieces(response)));
        let frames = futures::stream::try_unfold(reader, |mut reader| async move {
            match reader.next().await {
                Ok(frame) => Ok(frame.map(|frame| (frame, reader))),
                Err(FrameError::Source(error)) => Err(error),
                Err(FrameError::Malformed(detail)) => Err(strange(&detail)),
            }
        });
        let checks = frames.map_ok(|frame| {
            let key = key.clone();
            let opened = self.env_ref().spawn.run(move || open(&key, &frame));
            async move { opened.await.map_err(Error::from)? }
        });
        let mut checked = Box::pin(checks.try_buffered(CHECKS_AT_ONCE));
        while let Some(chunks) = checked.next().await {
            found.extend(chunks?);
        }
        if let Some(id) = ids.iter().find(|id| !found.contains_key(id)) {
            return Err(strange(&format!("it left chunk {id} out")));
        }
        Ok(())
    }
}

/// The chunks of a frame, each checked against its id.
fn open(key: &ChunkKey, frame: &Frame) -> Result<Vec<(ChunkId, Bytes)>, Error> {
    let bad = |detail: String| {
        let message = format!("the node sent a damaged frame: {detail}");
        Error::Remote { kind: ErrorKind::Corrupt, message }
    };
    let content = Bytes::from(frame::decode(&frame.bytes).map_err(bad)?);
    let mut at = 0;
    let mut chunks = Vec::with_capacity(frame.chunks.len());
    for chunk in &frame.chunks {
        let end = at + chunk.len as usize;
        if end > content.len() || key.id(&content[at..end]) != chunk.id {
            return Err(bad(format!("chunk {} is not what its id says", chunk.id)));
        }
        chunks.push((chunk.id, content.slice(at..end)));
        at = end;
    }
    Ok(chunks)
}

#[async_trait]
impl Store for Node {
    fn env(&self) -> &Env {
        self.env_ref()
    }

    async fn project(&self, project: &ProjectName) -> Result<Project, Error> {
        self.project_key(project).await
    }

    async fn list(&self, project: &ProjectName) -> Result<Vec<Summary>, Error> {
        let path = ["api", "v1", "projects", project.as_str(), "datasets"];
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let query = [("limit", "10000"), ("after", after.as_str())];
            let page: DatasetPage = self.get(&path, &query).await?;
            all.extend(page.datasets);
            match page.next {
                Some(next) if next > after => after = next,
                Some(_) => return Err(strange("its pages go round in a circle")),
                None => return Ok(all),
            }
        }
    }

    async fn tags(&self, dataset: &Dataset) -> Result<Vec<Tag>, Error> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let query = [("limit", "1000"), ("history", "true"), ("after", after.as_str())];
            let page: TagPage = self.get(&dataset_path(dataset), &query).await?;
            all.extend(page.tags);
            match page.next {
                Some(next) if next > after => after = next,
                Some(_) => return Err(strange("its pages go round in a circle")),
                None => return Ok(all),
            }
        }
    }

    async fn tag(&self, target: &Target) -> Result<Tag, Error> {
        self.get(&tag_path(target), &[]).await
    }

    fn follow_from(&self, target: &Target, last: Option<String>) -> Follow {
        self.follow(target, last)
    }

    async fn read(&self, dataset: &Dataset, ids: &[ChunkId]) -> Result<Vec<Bytes>, Error> {
        let key = self.project_key(&dataset.project).await?.key;
        // In the order asked for: neighbours are stored together.
        let mut seen = std::collections::BTreeSet::new();
        let order: Vec<ChunkId> = ids.iter().filter(|id| seen.insert(**id)).copied().collect();
        let groups: Vec<Vec<ChunkId>> =
            order.chunks(CHUNKS_PER_REQUEST_MAX).map(<[ChunkId]>::to_vec).collect();
        let mut fetched = futures::stream::iter(groups)
            .map(|group| self.fetch(dataset, &key, group))
            .buffered(READS_AT_ONCE);
        let mut found = Chunks::new();
        while let Some(chunks) = fetched.next().await {
            found.extend(chunks?);
        }
        let chunk = |id: &ChunkId| found.get(id).cloned();
        ids.iter()
            .map(|id| chunk(id).ok_or_else(|| strange(&format!("it left chunk {id} out"))))
            .collect()
    }

    async fn upload(&self, targets: &[Target]) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(NodeUpload::begin(self, targets).await?))
    }

    /// The node writes whom it authenticated, not `by`.
    async fn copy_tag(&self, from: &Target, to: &Target, _by: &str) -> Result<Version, Error> {
        if from.dataset.project != to.dataset.project {
            let detail = "a tag is copied within a project; pull and push instead".to_owned();
            return Err(Error::Invalid { detail });
        }
        let from = TagName { name: from.dataset.name.to_string(), tag: from.tag.to_string() };
        let moved: MovedTag =
            self.call(Method::PUT, &tag_path(to), &CopyTag { from }, Again::Unsent).await?;
        Ok(moved.version)
    }

    async fn remove(&self, target: &Target) -> Result<(), Error> {
        self.send(Method::DELETE, &tag_path(target), &[], None, Again::Unsent).await?;
        Ok(())
    }

    async fn rules(&self, dataset: &Dataset) -> Result<Rules, Error> {
        self.get(&below(dataset, "rules"), &[]).await
    }

    async fn set_rules(&self, dataset: &Dataset, rules: &Rules) -> Result<(), Error> {
        let path = below(dataset, "rules");
        let _kept: Rules = self.call(Method::PUT, &path, rules, Again::Yes).await?;
        Ok(())
    }
}
