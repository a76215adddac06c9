use std::io::Write as _;

use super::*;

fn ring() -> Uring {
    Uring::start().expect("this test needs a kernel that gives rings")
}

fn file(bytes: &[u8]) -> Arc<OwnedFd> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file.into())
}

#[tokio::test]
async fn reads_of_every_kind() {
    let ring = ring();
    let bytes: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    let file = file(&bytes);
    for (at, len) in [(0, 1), (5, 65_536), (0, 65_537), (299_999, 1), (1, 299_999)] {
        let found = ring.read(Arc::clone(&file), at as u64, len).await.unwrap();
        assert_eq!(found, bytes[at..at + len], "{at} {len}");
    }
    let error = ring.read(Arc::clone(&file), 299_999, 2).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    let error = ring.read(file, 1 << 40, 100_000).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn more_reads_than_registered_buffers_keep_their_bytes() {
    let ring = ring();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 249) as u8).collect();
    let file = file(&bytes);
    let reads = (0..200).map(|index| ring.read(Arc::clone(&file), index * 4096, 4096));
    let found = futures::future::try_join_all(reads).await.unwrap();
    for (index, found) in found.iter().enumerate() {
        assert_eq!(*found, bytes[index * 4096..(index + 1) * 4096], "{index}");
    }
    drop(ring);
    assert_eq!(found[0], bytes[..4096], "bytes outlive the ring");
}

#[tokio::test]
async fn writes_of_many_parts_and_errors() {
    let ring = ring();
    let parts: Vec<Bytes> = (0..1500_u32).map(|part| Bytes::from(part.to_string())).collect();
    let whole = parts.concat();
    let target = file(b"");
    ring.write(Arc::clone(&target), 0, parts.clone(), true).await.unwrap();
    assert_eq!(ring.read(Arc::clone(&target), 0, whole.len()).await.unwrap(), whole);
    ring.write(Arc::clone(&target), 0, Vec::new(), true).await.unwrap();
    ring.write(Arc::clone(&target), 0, Vec::new(), false).await.unwrap();
    ring.sync(target).await.unwrap();

    let readonly = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    let error = ring.write(readonly, 0, parts, true).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(9), "{error}");
}

#[tokio::test]
async fn dropped_futures_do_not_disturb_the_others() {
    let ring = ring();
    let bytes = vec![7; 500_000];
    let source = file(&bytes);
    let target = file(b"");
    for round in 0..50_u64 {
        drop(ring.read(Arc::clone(&source), round, 100_000));
        let parts = vec![Bytes::from(vec![1; 10_000])];
        drop(ring.write(Arc::clone(&target), round * 10_000, parts, true));
    }
    assert_eq!(ring.read(source, 0, bytes.len()).await.unwrap(), bytes);
    // The ring has one queue: when this sync is done, the writes before it were begun; wait for all.
    let last = ring.write(Arc::clone(&target), 500_000, vec![Bytes::from_static(b"x")], true);
    last.await.unwrap();
}

#[tokio::test]
async fn what_was_asked_for_is_done_when_the_engine_goes_away() {
    let ring = ring();
    let target = file(b"");
    let parts = vec![Bytes::from(vec![3; 100_000])];
    let write = ring.write(Arc::clone(&target), 0, parts, true);
    drop(ring);
    write.await.unwrap();
    assert_eq!(rustix::fs::fstat(&target).unwrap().st_size, 100_000);
}
