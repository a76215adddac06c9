//! DatasetAPI: what makes versions.

use std::sync::Arc;

use cairn_chunk::ChunkId;
use cairn_datasets::{
    self as engine, ArchiveFeed, Publication, PushOptions, Pushed, Source, Store, archive_feed,
};
use tonic::Streaming;

use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::limits::{MESSAGE_BYTES_MAX, PUSHES_MAX, SKIPPED_MAX};
use crate::names;
use crate::proto::dataset::v1::publish_request::What;
use crate::proto::dataset::v1::push_request::Part;
use crate::proto::dataset::v1::{
    CopyTag, PublishRequest, PublishUpload, PushHeader, PushRequest, PushResponse, Skipped,
};
use crate::stream::next_message;

impl Api {
    pub(crate) async fn publish_what(
        &self,
        call: &Call,
        asked: PublishRequest,
    ) -> Result<engine::Version, Error> {
        match asked.what.ok_or_else(|| Error::invalid("publish an upload, or copy a tag"))? {
            What::Upload(upload) => self.publish_upload(call, upload).await,
            What::Copy(copy) => self.copy(call, &copy).await,
        }
    }

    async fn publish_upload(
        &self,
        call: &Call,
        asked: PublishUpload,
    ) -> Result<engine::Version, Error> {
        let (id, owner) = (names::upload(&asked.upload)?, call.by()?);
        // The author is who was authenticated, and the totals are read from the manifest.
        let publication = Publication {
            root: names::chunk(&asked.root)?,
            totals: cairn_tree::Totals::default(),
            by: owner.clone(),
            message: names::message(asked.message)?,
            expires_ns: names::nanoseconds(asked.expires_at)?,
        };
        let what = published(publication.root, &self.uploads.targets(id, &owner)?);
        let uploads = self.uploads.clone();
        let work = async move { uploads.publish(id, &owner, &publication).await };
        Ok(call.change(work, |_| what).await?.version)
    }

    async fn copy(&self, call: &Call, asked: &CopyTag) -> Result<engine::Version, Error> {
        let from = names::target(asked.from.as_ref())?;
        let to = names::target(asked.to.as_ref())?;
        let (datasets, by) = (self.datasets.clone(), call.by()?);
        let moved = format!("{} is {from}", to.tag);
        let what = move |version: &engine::Version| format!("{moved}, {}", version.root);
        call.change(async move { datasets.copy_tag(&from, &to, &by).await }, what).await
    }

    /// Pushes the archive that comes in. The push goes on to its end once the stream has ended, and
    /// fails when that breaks off before.
    pub(crate) async fn push_stream(
        &self,
        mut call: Call,
        mut stream: Streaming<PushRequest>,
    ) -> Result<PushResponse, Error> {
        let first = next_message(&mut stream, MESSAGE_BYTES_MAX).await?;
        let Some(Part::Header(header)) = first.and_then(|first| first.part) else {
            return Err(Error::invalid("a push begins with a header; then comes the data"));
        };
        call.decide(&header)?;
        let place = Arc::clone(&self.pushes).try_acquire_owned();
        let place = place.map_err(|_| Error::Busy { what: "pushes", max: PUSHES_MAX })?;
        let (feed, archive) = archive_feed();
        let (targets, options) = push_options(header, call.by()?)?;
        let store: Arc<dyn Store> = Arc::new(self.datasets.clone());
        let to = targets.clone();
        let push = async move {
            let _kept = place;
            engine::push(&store, &Source::Stream(archive), &targets, &options).await
        };
        let pushed = call.change(push, move |pushed| published(pushed.version.root, &to));
        // Dropped without an end, the feed makes the push fail.
        receive(&mut call, &mut stream, feed).await?;
        Ok(answer(pushed.await?))
    }
}

/// What the audit log says of a publication.
fn published(root: ChunkId, targets: &[engine::Target]) -> String {
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    format!("published {root} as {}", targets.join(" "))
}

fn push_options(
    header: PushHeader,
    by: String,
) -> Result<(Vec<engine::Target>, PushOptions), Error> {
    let options = PushOptions {
        by,
        message: names::message(header.message)?,
        expires_ns: names::nanoseconds(header.expires_at)?,
        ..PushOptions::default()
    };
    Ok((names::targets(&header.targets)?, options))
}

/// Gives on what comes, as long as the caller may write.
async fn receive(
    call: &mut Call,
    stream: &mut Streaming<PushRequest>,
    feed: ArchiveFeed,
) -> Result<(), Error> {
    while let Some(message) = next_message(stream, MESSAGE_BYTES_MAX).await? {
        call.again().await?;
        let Some(Part::Data(data)) = message.part else {
            return Err(Error::invalid("after its header a push has data alone"));
        };
        if feed.send(data).await.is_err() {
            // The push failed, and says why.
            return Ok(());
        }
    }
    call.again().await?;
    // As above, when nobody reads any more.
    feed.end().await.unwrap_or_default();
    Ok(())
}

fn answer(pushed: Pushed) -> PushResponse {
    let skipped = pushed.skipped.len() as u64;
    let first = pushed.skipped.into_iter().take(SKIPPED_MAX);
    PushResponse {
        version: Some(names::version(pushed.version)),
        files_read: pushed.files_read,
        skipped,
        skipped_first: first.map(|one| Skipped { path: one.path, why: one.why }).collect(),
    }
}
