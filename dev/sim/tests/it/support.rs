//! What scenarios are made of.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use cairn_blocks::{CollectOptions, OpenFrame};
use cairn_chunk::ChunkId;
use cairn_datasets::{Error, Publication, Target, Upload};
use cairn_sim::check::read_whole;
use cairn_sim::{Built, Handle, Numbers, World, build, target};

/// Deletes as soon as it may; a silent session keeps its lease for a minute.
pub(crate) fn greedy() -> CollectOptions {
    CollectOptions {
        grace: Duration::ZERO,
        lease: Duration::from_secs(60),
        rewrite_below_percent: 0,
        dry_run: false,
    }
}

pub(crate) fn tree(files: &[(&str, &[usize])]) -> Numbers {
    files.iter().map(|(path, chunks)| ((*path).to_owned(), chunks.to_vec())).collect()
}

pub(crate) fn made(world: &World, handle: &Handle, tree: &Numbers) -> Built {
    let project = target("x:y").dataset.project;
    let key = handle.datasets.blocks().chunk_key(&project);
    build(&world.pool, &key, tree)
}

/// Claims everything that a manifest reaches: what the upload wants of it.
pub(crate) async fn claim(
    upload: &dyn Upload,
    built: &Built,
) -> Result<Vec<(ChunkId, Bytes)>, Error> {
    let ids: Vec<_> = built.chunks.iter().map(|(id, _)| *id).collect();
    let wanted = upload.claim(&ids).await?;
    let chunks = built.chunks.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    Ok(chunks.map(|(chunk, _)| chunk.clone()).collect())
}

/// Adds claimed chunks as one frame.
pub(crate) async fn send(upload: &dyn Upload, chunks: &[(ChunkId, Bytes)]) -> Result<(), Error> {
    let mut open = OpenFrame::default();
    for (id, bytes) in chunks {
        open.push(*id, bytes);
    }
    if open.is_empty() { Ok(()) } else { upload.add(open.encode(1)).await }
}

/// Claims and adds everything that the upload wants. How much that was.
pub(crate) async fn add(upload: &dyn Upload, built: &Built) -> Result<usize, Error> {
    let wanted = claim(upload, built).await?;
    send(upload, &wanted).await?;
    Ok(wanted.len())
}

pub(crate) async fn publish(upload: &dyn Upload, built: &Built) -> Result<(), Error> {
    let publication = Publication {
        root: built.root,
        totals: built.totals,
        by: "ada".to_owned(),
        message: None,
        expires_ns: None,
    };
    upload.publish(&publication).await.map(drop)
}

pub(crate) async fn push(handle: &Handle, to: &Target, built: &Built) -> Result<usize, Error> {
    let upload = handle.store.upload(std::slice::from_ref(to)).await?;
    let count = add(upload.as_ref(), built).await?;
    publish(upload.as_ref(), built).await?;
    Ok(count)
}

/// BLOCKS-1: the tag reads as what was built, from a process that has just started.
pub(crate) async fn reads_as(world: &World, to: &Target, built: &Built) {
    let fresh = world.open().await.unwrap();
    let tag = fresh.store.tag(to).await.unwrap();
    assert_eq!(tag.current.root, built.root);
    assert_eq!(read_whole(&fresh, to, &tag.current).await.unwrap(), built.files);
}

pub(crate) async fn collect(world: &World, handle: &Handle) -> cairn_blocks::CollectReport {
    world.env.clock.sleep(Duration::from_secs(1)).await;
    handle.datasets.collect(greedy()).await.unwrap().blocks
}

/// Polls a future until something has happened, and stops in the middle of it.
pub(crate) async fn until<F: Future + Unpin>(future: &mut F, happened: impl Fn() -> bool) {
    std::future::poll_fn(|context| {
        if happened() {
            return Poll::Ready(());
        }
        assert!(Pin::new(&mut *future).poll(context).is_pending(), "it ended before that");
        if happened() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
