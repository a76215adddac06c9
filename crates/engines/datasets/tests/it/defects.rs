//! Defects that a system before this one had, each by its number, so that none comes back.

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::OpenFrame;
use cairn_bucket::faulty::Kind;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_datasets::{Datasets, Error, Publication, Store as _, Uploads};
use cairn_tree::{
    Content, DirectoryBuilder, Entry, Kind as Files, Meta, Root, Slice, Source, StreamBuilder,
    Totals,
};

use super::support::{World, noise, same, target, touch, walk, write};

/// One byte more at the front made every block after it a new one.
#[tokio::test]
async fn defect_1_shifted_data_is_stored_once() {
    let world = World::new().await;
    let source = world.dir("source");
    let bytes = noise(1, 10_000_000);
    write(source.join("f"), &bytes);
    let first = world.push(&source, "data").await;
    assert!(first.new_bytes >= 10_000_000);
    let shifted = [&[42][..], &bytes].concat();
    write(source.join("f"), shifted);
    let second = world.comes_back(&source).await;
    assert!(second.new_bytes < 300_000, "{second:?}");
}

/// A read without an end gave nothing, and one over the border of two blocks gave only the first.
#[tokio::test]
async fn defect_4_and_5_ranges_cross_the_borders_of_chunks() {
    let world = World::new().await;
    let source = world.dir("source");
    let bytes = noise(1, 2_000_000);
    write(source.join("f"), &bytes);
    world.push(&source, "data").await;
    let browser = world.browser("data");
    let (_, root) = browser.open(&target("data").tag).await.unwrap();
    let (_, content) = browser.file_at(&root, &["f".to_owned()]).await.unwrap();
    let mut slices = browser.slices(&content.stream, 0);
    let (mut borders, mut at) = (vec![], 0);
    while let Some(slice) = slices.next().await.unwrap() {
        at += slice.len;
        borders.push(at);
    }
    assert_eq!((borders.pop(), at), (Some(2_000_000), 2_000_000));
    assert!(borders.len() > 20);
    for border in borders {
        for range in [border - 1..border + 1, border..border + 1, border - 1..border, border..at] {
            let mut pieces = browser.content(&content, range.clone()).await.unwrap();
            let mut found = Vec::new();
            while let Some(piece) = pieces.next().await.unwrap() {
                found.extend_from_slice(&piece);
            }
            let wanted = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert!(found == bytes[wanted], "{range:?}");
        }
    }
}

/// Any client could store bytes under a name that was not theirs.
#[tokio::test]
async fn defect_6_what_is_uploaded_is_checked_against_its_name() {
    let world = World::new().await;
    let blocks = world.datasets.blocks();
    let key = blocks.chunk_key(&target("data").dataset.project);
    let (right, wrong) = (Bytes::from_static(b"right"), Bytes::from_static(b"wrong"));
    let id = key.id(&right);
    let session = blocks.session().await.unwrap();
    let frame = |bytes: &[u8]| {
        let mut open = OpenFrame::default();
        open.push(id, bytes);
        open.encode(3)
    };
    assert_eq!(session.claim(&[id]).await.unwrap(), [true]);
    let error = session.add_checked(&key, frame(&wrong)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    // Nor what nobody claimed.
    let mut open = OpenFrame::default();
    open.push(key.id(&wrong), &wrong);
    let error = session.add_checked(&key, open.encode(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    session.add_checked(&key, frame(&right)).await.unwrap();
    session.flush().await.unwrap();
    assert_eq!(blocks.read(&key, &[id]).await.unwrap(), [right]);
    assert!(blocks.read(&key, &[key.id(&wrong)]).await.is_err());
}

/// A tag that was pulled once was never looked at again.
#[tokio::test]
async fn defect_8_a_tag_that_moved_is_pulled_again() {
    let world = World::new().await;
    let source = world.dir("source");
    let to = world.path("to");
    for round in 0..4 {
        write(source.join("f"), format!("round {round}"));
        touch(&source.join("f"), 1000, 0);
        world.push(&source, "@team/data:latest").await;
        world.pull("@team/data:latest", &to).await;
        same(&walk(&source), &walk(&to));
    }
}

/// Every file came back as 0644 and with the time of the pull.
#[tokio::test]
async fn defect_8_modes_and_times_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("run"), "#!/bin/sh\n");
    std::fs::set_permissions(source.join("run"), std::fs::Permissions::from_mode(0o751)).unwrap();
    touch(&source.join("run"), 1_234_567_890, 987_654_321);
    world.push(&source, "data").await;
    let to = world.path("to");
    world.pull("data", &to).await;
    let run = &walk(&to)["/run"];
    assert_eq!((run.mode, run.mtime), (0o751, (1_234_567_890, 987_654_321)));
}

/// Symbolic links were left out without a word.
#[tokio::test]
async fn defect_9_symlinks_are_kept() {
    let world = World::new().await;
    let source = world.dir("source");
    std::os::unix::fs::symlink("elsewhere", source.join("link")).unwrap();
    let pushed = world.comes_back(&source).await;
    assert!(pushed.skipped.is_empty());
    let to = world.path("to");
    world.pull("data", &to).await;
    assert_eq!(std::fs::read_link(to.join("link")).unwrap().to_str(), Some("elsewhere"));
}

/// A manifest of one file, as chunks: the data, the page, the root.
fn manifest(key: &ChunkKey, data: &[u8]) -> (Vec<(ChunkId, Vec<u8>)>, Totals) {
    let id = key.id(data);
    let len = data.len() as u64;
    let mut chunks = vec![(id, data.to_vec())];
    let mut emit = |page: Vec<u8>| {
        let id = key.id(&page);
        chunks.push((id, page));
        Ok::<_, cairn_tree::Error>(id)
    };
    let mut stream = StreamBuilder::new();
    stream.push(Slice { source: Source::Chunk { id, skip: 0 }, len }, &mut emit).unwrap();
    let stream = stream.finish(&mut emit).unwrap();
    let content = Content { len, stream, ..Content::default() };
    let meta = Meta { mode: 0o644, ..Meta::default() };
    let entry = Entry { name: b"f".to_vec(), meta: meta.clone(), kind: Files::File { content } };
    let mut directory = DirectoryBuilder::new();
    directory.push(&entry, &mut emit).unwrap();
    let (page, totals) = directory.finish(&mut emit).unwrap();
    let root = Root { meta, page, totals }.encode().unwrap();
    chunks.push((key.id(&root), root));
    (chunks, totals)
}

/// DATASETS-2: a manifest with blocks that nobody had uploaded was accepted.
#[tokio::test]
async fn defect_9_a_manifest_with_missing_chunks_is_refused() {
    let world = World::new().await;
    let key = world.datasets.blocks().chunk_key(&target("data").dataset.project);
    let (chunks, totals) = manifest(&key, b"the content of a file");
    assert_eq!(chunks.len(), 3);
    let uploads = Uploads::new(world.datasets.clone());
    let root = chunks[2].0;
    let by = "eve".to_owned();
    let publication = Publication { root, totals, by, message: None, expires_ns: None };
    // Without the data, without the page, without the root; what is there already stays stored.
    for missing in [vec![0, 1, 2], vec![0, 1], vec![0], vec![]] {
        let id = uploads.begin(&[target("data")], "eve").await.unwrap();
        let there: Vec<_> =
            (0..3).filter(|at| !missing.contains(at)).map(|at| chunks[at].clone()).collect();
        let ids: Vec<ChunkId> = there.iter().map(|(id, _)| *id).collect();
        let wanted = uploads.claim(id, "eve", &ids).await.unwrap();
        let mut open = OpenFrame::default();
        for ((id, bytes), _) in there.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            open.push(*id, bytes);
        }
        if !open.is_empty() {
            uploads.add(id, "eve", open.encode(3)).await.unwrap();
        }
        let published = uploads.publish(id, "eve", &publication).await;
        if missing.is_empty() {
            published.unwrap();
        } else {
            let error = published.map(drop).unwrap_err();
            assert!(matches!(error, Error::Incomplete { .. }), "without {missing:?}: {error}");
            assert!(world.store.tag(&target("data")).await.is_err());
        }
    }
    let to = world.path("to");
    world.pull("data", &to).await;
    assert_eq!(std::fs::read(to.join("f")).unwrap(), b"the content of a file");
}

/// Each look at one file read and parsed the manifest of all of them.
#[tokio::test]
async fn defect_10_one_look_does_not_read_the_whole_manifest() {
    let world = World::new().await;
    let source = world.dir("source");
    for directory in 0..20 {
        std::fs::create_dir(source.join(format!("d{directory}"))).unwrap();
        for file in 0..400 {
            write(source.join(format!("d{directory}/file-with-a-name-{file}")), [directory, 1]);
        }
    }
    world.push(&source, "data").await;
    let fresh = world.fresh().await;
    let reads = |world: &World| world.requests(&[Kind::Get, Kind::Head], "");
    let before = reads(&world);
    let store = std::sync::Arc::new(fresh.clone());
    let browser = cairn_datasets::Browser::new(store, target("data").dataset);
    let (_, root) = browser.open(&target("data").tag).await.unwrap();
    let path = ["d7".to_owned(), "file-with-a-name-123".to_owned()];
    browser.at(&root, &path).await.unwrap();
    let cold = reads(&world) - before;
    assert!(cold <= 8, "{cold} requests for a cold look");
    browser.at(&root, &path).await.unwrap();
    let warm = reads(&world) - before - cold;
    assert!(warm == 0, "{warm} requests for a warm look");
}

/// A tag that is not there was an internal error.
#[tokio::test]
async fn defect_10_a_missing_tag_is_not_found() {
    let world = World::new().await;
    let datasets: &Datasets = &world.datasets;
    let error = datasets.tag(&target("data:x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
