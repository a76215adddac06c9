//! Chunks in and out, and files.

use bytes::Bytes;
use cairn_blocks::frame::OpenFrame;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_grpc::proto::block::v1::{
    AbandonRequest, BeginRequest, Chunk, Chunks, DownloadRequest, DownloadResponse, File, Frame,
    FrameChunk, KeepRequest, MissingRequest, UploadRequest, download_request::What,
    upload_request::Part,
};
use cairn_grpc::proto::dataset::v1::{self as api, PublishRequest, PublishUpload};
use cairn_tree::{Content, DirectoryBuilder, Entry, Kind, Meta, Root, Stream};
use tonic::{Code, Status};

use crate::support::{Server, dataset, noise, target};

fn add(upload: &str, id: &[u8], data: &[u8]) -> UploadRequest {
    let (id, data) = (Bytes::copy_from_slice(id), Bytes::copy_from_slice(data));
    UploadRequest { upload: upload.to_owned(), part: Some(Part::Chunk(Chunk { id, data })) }
}

async fn download(
    server: &Server,
    what: What,
    offset: u64,
    size: u64,
) -> Result<Vec<DownloadResponse>, Status> {
    let mut client = server.blocks_as(Some(&server.root)).await;
    let dataset = Some(dataset("data"));
    let asked = DownloadRequest { dataset, what: Some(what), offset, size };
    let mut stream = client.download(asked).await?.into_inner();
    let mut parts = Vec::new();
    while let Some(part) = stream.message().await? {
        assert!(part.data.len() <= 64 * 1024);
        parts.push(part);
    }
    Ok(parts)
}

fn bytes(parts: &[DownloadResponse]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.data.to_vec()).collect()
}

fn file(path: &str) -> What {
    What::File(File { tag: "v1".to_owned(), path: path.as_bytes().to_vec().into() })
}

fn chunks(ids: &[ChunkId]) -> What {
    What::Chunks(Chunks { ids: ids.iter().map(|id| id.0.to_vec().into()).collect() })
}

/// Defects 4 and 5 of the earlier system: no size gave nothing, and a range over a border less than it
/// asked for.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_downloaded_whole_and_in_ranges() {
    let server = Server::start().await;
    let big = noise(5_000_000, 3);
    server.fill("data:v1", &[("big", &big), ("empty", b""), ("d/small", b"small")]).await;
    let len = big.len() as u64;
    for (offset, size) in [(0, 0), (1, 0), (len - 1, 0), (0, 1), (65_535, 2), (262_000, 3_000_000)]
    {
        let parts = download(&server, file("big"), offset, size).await.unwrap();
        assert_eq!((parts[0].length, parts[0].offset), (Some(len), offset));
        let end = if size == 0 { len } else { (offset + size).min(len) };
        let range = usize::try_from(offset).unwrap()..usize::try_from(end).unwrap();
        assert!(bytes(&parts) == big[range], "{offset} {size}");
        let mut at = offset;
        for part in &parts {
            assert_eq!(part.offset, at);
            at += part.data.len() as u64;
        }
    }
    let past = download(&server, file("big"), len - 2, u64::MAX).await.unwrap();
    assert_eq!(bytes(&past), big[big.len() - 2..]);
    let empty = download(&server, file("empty"), 0, 0).await.unwrap();
    assert_eq!((empty.len(), empty[0].length, bytes(&empty).len()), (1, Some(0), 0));
    assert_eq!(bytes(&download(&server, file("d//small"), 0, 0).await.unwrap()), b"small");
    for (path, offset, code) in [
        ("big", len + 1, Code::OutOfRange),
        ("nothing", 0, Code::NotFound),
        ("d", 0, Code::InvalidArgument),
        ("d/../big", 0, Code::InvalidArgument),
    ] {
        let refused = download(&server, file(path), offset, 0).await.unwrap_err();
        assert_eq!(refused.code(), code, "{path}: {refused}");
    }
}

/// What a client makes of one file by itself: its chunk and its pages, the root last.
fn tree(key: &ChunkKey, content: &[u8]) -> Vec<(ChunkId, Vec<u8>)> {
    let (file, len) = (key.id(content), content.len() as u64);
    let mut all = vec![(file, content.to_vec())];
    let mut emit = |page: Vec<u8>| {
        let id = key.id(&page);
        all.push((id, page));
        Ok::<ChunkId, cairn_tree::Error>(id)
    };
    let content = Content { len, stream: Stream::Chunk { id: file, len }, ..Content::default() };
    let meta = Meta { mode: 0o644, ..Meta::default() };
    let entry = Entry { name: b"file".to_vec(), meta, kind: Kind::File { content } };
    let mut builder = DirectoryBuilder::new();
    builder.push(&entry, &mut emit).unwrap();
    let (page, totals) = builder.finish(&mut emit).unwrap();
    let meta = Meta { mode: 0o755, ..Meta::default() };
    emit(Root { meta, page, totals }.encode().unwrap()).unwrap();
    all
}

fn key(bytes: &[u8]) -> ChunkKey {
    ChunkKey::new(bytes.try_into().unwrap())
}

/// Defects 6 and 9 of the earlier system: any bytes were taken under any name, and a manifest was
/// published without its blocks.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_3_a_client_uploads_chunks_and_publishes_a_tree() {
    let server = Server::start().await;
    let (_, writer) = server.user("writer", &["writer data"]).await;
    let mut client = server.blocks_as(Some(&writer)).await;
    let begun = client.begin(BeginRequest { targets: vec![target("data:v1")] }).await;
    let begun = begun.unwrap().into_inner();
    let upload = begun.upload.clone();
    let content = noise(200_000, 9);
    let all = tree(&key(&begun.key), &content);
    let ids: Vec<Bytes> = all.iter().map(|(id, _)| id.0.to_vec().into()).collect();
    let root = ids.last().unwrap().clone();

    // Not told to be missing, not taken.
    let early = futures::stream::iter([add(&upload, &ids[0], &all[0].1)]);
    let early = client.upload(early).await.unwrap_err();
    assert_eq!(early.code(), Code::InvalidArgument, "{early}");
    let asked = MissingRequest { upload: upload.clone(), ids: ids.clone() };
    assert_eq!(client.missing(asked.clone()).await.unwrap().into_inner().ids, ids);
    assert!(client.missing(asked).await.unwrap().into_inner().ids.is_empty());
    client.keep(KeepRequest { upload: upload.clone() }).await.unwrap();

    // A chunk that is not what its id says is refused, and is not there.
    let poison = futures::stream::iter([add(&upload, &ids[0], b"poison")]);
    let poison = client.upload(poison).await.unwrap_err();
    assert_eq!(poison.code(), Code::InvalidArgument, "{poison}");
    let frame = Frame {
        chunks: vec![FrameChunk { id: ids[0].clone(), length: 6 }],
        data: [&[0, 6, 0, 0][..], b"poison"].concat().into(),
    };
    let poison = UploadRequest { upload: upload.clone(), part: Some(Part::Frame(frame)) };
    let poison = client.upload(futures::stream::iter([poison])).await.unwrap_err();
    assert_eq!(poison.code(), Code::InvalidArgument, "{poison}");

    // Half of it is not a version.
    let half = all[1..].iter().map(|(id, bytes)| add(&upload, &id.0, bytes));
    let half: Vec<UploadRequest> = half.collect();
    let added = client.upload(futures::stream::iter(half)).await.unwrap().into_inner();
    assert_eq!(added.chunks, all.len() as u64 - 1);
    let publish = |upload: &str| {
        let root = root.clone();
        let what =
            PublishUpload { upload: upload.to_owned(), root, message: None, expires_at: None };
        PublishRequest { what: Some(api::publish_request::What::Upload(what)) }
    };
    let mut datasets = server.datasets_as(Some(&writer)).await;
    let refused = datasets.publish(publish(&upload)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let over = client.keep(KeepRequest { upload }).await.unwrap_err();
    assert_eq!(over.code(), Code::NotFound, "{over}");

    // Another upload goes on where that one was.
    let begun = client.begin(BeginRequest { targets: vec![target("data:v1")] }).await;
    let upload = begun.unwrap().into_inner().upload;
    let asked = MissingRequest { upload: upload.clone(), ids: ids.clone() };
    let missing = client.missing(asked).await.unwrap().into_inner().ids;
    assert!(missing.contains(&ids[0]), "the poisoned chunk was never stored");
    let mut open = OpenFrame::default();
    let wanted: Vec<_> =
        all.iter().filter(|(id, _)| missing.iter().any(|m| m == &id.0[..])).collect();
    wanted.iter().for_each(|(id, bytes)| open.push(*id, bytes));
    let made = open.encode(3);
    let chunk = |chunk: &cairn_blocks::ChunkLen| FrameChunk {
        id: chunk.id.0.to_vec().into(),
        length: chunk.len,
    };
    let frame = Frame { chunks: made.chunks.iter().map(chunk).collect(), data: made.bytes };
    let frame = UploadRequest { upload: upload.clone(), part: Some(Part::Frame(frame)) };
    client.upload(futures::stream::iter([frame])).await.unwrap();
    let version = datasets.publish(publish(&upload)).await.unwrap().into_inner().version.unwrap();
    assert_eq!((version.files, version.bytes, version.by.as_str()), (1, 200_000, "writer"));
    assert_eq!(bytes(&download(&server, file("file"), 0, 0).await.unwrap()), content);

    // And by the ids of chunks.
    let found = download(&server, chunks(&[all[0].0]), 100, 70_000).await.unwrap();
    assert_eq!(bytes(&found), content[100..70_100]);
    assert_eq!((found[0].length, found[0].offset), (Some(200_000), 100));
    let ids: Vec<ChunkId> = all.iter().map(|(id, _)| *id).collect();
    let found = download(&server, chunks(&ids), 0, 0).await.unwrap();
    assert_eq!(found.iter().filter(|part| !part.id.is_empty()).count(), all.len());
    let whole: Vec<u8> = all.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(bytes(&found) == whole);
    for (what, offset, code) in [
        (chunks(&[ChunkId([1; 32])]), 0, Code::NotFound),
        (chunks(&[all[0].0]), 200_001, Code::OutOfRange),
        (chunks(&ids), 1, Code::InvalidArgument),
        (chunks(&[]), 0, Code::InvalidArgument),
    ] {
        let refused = download(&server, what, offset, 0).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
}

/// An upload that was abandoned is none, and one is its owner's alone.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_their_owners() {
    let server = Server::start().await;
    let (_, writer) = server.user("writer", &["writer data"]).await;
    let mut client = server.blocks_as(Some(&writer)).await;
    let begun = client.begin(BeginRequest { targets: vec![target("data:v1")] }).await;
    let upload = begun.unwrap().into_inner().upload;
    let mut root = server.blocks_as(Some(&server.root)).await;
    let foreign = root.abandon(AbandonRequest { upload: upload.clone() }).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
    client.abandon(AbandonRequest { upload: upload.clone() }).await.unwrap();
    let over = client.keep(KeepRequest { upload }).await.unwrap_err();
    assert_eq!(over.code(), Code::NotFound);
    for targets in [vec![], vec![target("data:v1"), target("@other/data:v1")]] {
        let refused = root.begin(BeginRequest { targets }).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
}
