use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cairn_blocks::{Frame, SessionStats};
use cairn_chunk::ChunkId;
use cairn_datasets::{Error, Publication, Published, Target, Upload};
use futures::stream::{FuturesUnordered, StreamExt as _};
use reqwest::Method;
use tokio::sync::Mutex;

use super::http::{Again, Node, strange};
use crate::api::{BeginUpload, Publish, PublishedVersion, TagName, UploadOpened};
use crate::limits::CHUNKS_PER_REQUEST_MAX;
use crate::wire::{BINARY, decode_bitmap, encode_frame, encode_ids};

/// Frames are put together to this many bytes, so that the way to the node and back does not set
/// the pace.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Batches that are on their way at a time.
const BATCHES_MAX: usize = 4;

/// An upload into a node. Frames go out in the background: a failure shows at a later call, at the
/// latest at the publication.
pub(super) struct NodeUpload {
    node: Node,
    id: String,
    sending: Mutex<Sending>,
}

#[derive(Default)]
struct Sending {
    batch: BytesMut,
    under_way: FuturesUnordered<futures::channel::oneshot::Receiver<Result<(), Error>>>,
}

impl NodeUpload {
    pub(super) async fn begin(node: &Node, targets: &[Target]) -> Result<Self, Error> {
        let Some(first) = targets.first() else {
            return Err(Error::Invalid { detail: "a push needs at least one NAME:TAG".to_owned() });
        };
        let project = &first.dataset.project;
        if targets.iter().any(|target| target.dataset.project != *project) {
            let detail = "one push goes to one project; push once for each".to_owned();
            return Err(Error::Invalid { detail });
        }
        let name = |target: &Target| TagName {
            name: target.dataset.name.to_string(),
            tag: target.tag.to_string(),
        };
        let body = BeginUpload { targets: targets.iter().map(name).collect() };
        let path = ["api", "v1", "projects", project.as_str(), "uploads"];
        let opened: UploadOpened = node.call(Method::POST, &path, &body, Again::Unsent).await?;
        Ok(Self { node: node.clone(), id: opened.id, sending: Mutex::default() })
    }

    fn path<'a>(&'a self, what: &'a str) -> [&'a str; 5] {
        ["api", "v1", "uploads", &self.id, what]
    }

    /// Sends what was put together, once there is room for it.
    async fn flush(&self, sending: &mut Sending) -> Result<(), Error> {
        if sending.batch.is_empty() {
            return Ok(());
        }
        while sending.under_way.len() >= BATCHES_MAX {
            arrived(sending).await?;
        }
        let body = sending.batch.split().freeze();
        let (node, id) = (self.node.clone(), self.id.clone());
        let (sender, receiver) = futures::channel::oneshot::channel();
        self.node.env_ref().spawn.task(Box::pin(async move {
            // Nobody waits for it when the upload was given up.
            drop(sender.send(send_frames(&node, &id, body).await));
        }));
        sending.under_way.push(receiver);
        Ok(())
    }
}

async fn send_frames(node: &Node, id: &str, body: Bytes) -> Result<(), Error> {
    let path = ["api", "v1", "uploads", id, "frames"];
    node.send(Method::POST, &path, &[], Some((BINARY, body)), Again::Unsent).await?;
    Ok(())
}

/// Waits for one batch.
async fn arrived(sending: &mut Sending) -> Result<(), Error> {
    match sending.under_way.next().await {
        None => Ok(()),
        Some(answer) => answer.map_err(|_| cairn_env::Lost)?,
    }
}

#[async_trait]
impl Upload for NodeUpload {
    async fn claim(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        let mut wanted = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CHUNKS_PER_REQUEST_MAX) {
            let body = Some((BINARY, encode_ids(ids)));
            let path = self.path("claim");
            let response = self.node.send(Method::POST, &path, &[], body, Again::Unsent).await?;
            let bitmap = self.node.whole(response, CHUNKS_PER_REQUEST_MAX).await?;
            wanted.extend(decode_bitmap(&bitmap, ids.len()).map_err(|what| strange(&what))?);
        }
        Ok(wanted)
    }

    async fn keep(&self) -> Result<(), Error> {
        let path = self.path("keep");
        self.node.send(Method::POST, &path, &[], None, Again::Yes).await?;
        Ok(())
    }

    async fn add(&self, frame: Frame) -> Result<(), Error> {
        let mut sending = self.sending.lock().await;
        sending.batch.extend_from_slice(&encode_frame(&frame));
        if sending.batch.len() >= BATCH_BYTES {
            self.flush(&mut sending).await?;
        }
        Ok(())
    }

    async fn publish(&self, publication: &Publication) -> Result<Published, Error> {
        let mut sending = self.sending.lock().await;
        self.flush(&mut sending).await?;
        while !sending.under_way.is_empty() {
            arrived(&mut sending).await?;
        }
        let body = Publish {
            root: publication.root.to_string(),
            message: publication.message.clone(),
            expires_ns: publication.expires_ns,
        };
        let path = self.path("publish");
        let published: PublishedVersion =
            self.node.call(Method::POST, &path, &body, Again::Unsent).await?;
        let stored = SessionStats {
            chunks: published.stored.chunks,
            content_bytes: published.stored.content_bytes,
            stored_bytes: published.stored.stored_bytes,
            packs: published.stored.packs,
        };
        Ok(Published { version: published.version, stored })
    }

    async fn abandon(&self) -> Result<(), Error> {
        let path = ["api", "v1", "uploads", &self.id];
        self.node.send(Method::DELETE, &path, &[], None, Again::Unsent).await?;
        Ok(())
    }
}
