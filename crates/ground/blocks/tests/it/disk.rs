//! A store with a cache of frames on this machine's disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_blocks::{Blocks, DiskCacheOptions, Options, Secret};
use cairn_bucket::Bucket;
use cairn_bucket::faulty::{Faults, Faulty, PPM};
use cairn_env::Env;

use crate::support::*;

fn options(dir: &Path) -> Options {
    let disk = DiskCacheOptions { dir: dir.to_owned(), bytes_max: 1 << 30 };
    Options { frame_cache_bytes: 0, disk_cache: Some(disk), ..Options::default() }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.filter(|path| !path.ends_with("lock")).collect()
}

/// A store on a bucket that can be cut off, with its chunks 0..400 in the cache.
async fn cached(env: &Env, dir: &Path, secret: Option<&Secret>) -> (Blocks, Faulty) {
    let faulty = Faulty::new(Bucket::memory(env).store(), Faults::default(), env);
    let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", env);
    let blocks = Blocks::init(bucket, secret, options(dir), env).await.unwrap();
    store(&blocks, 0..400).await;
    read_all(&blocks, 0..400).await.unwrap();
    (blocks, faulty)
}

#[test]
fn cached_frames_are_read_without_the_bucket() {
    let dir = tempfile::tempdir().unwrap();
    run(|env| async move {
        let (blocks, faulty) = cached(&env, dir.path(), None).await;
        let before = blocks.disk_cache().unwrap();
        assert!(before.frames > 0 && before.hits == 0, "{before:?}");
        let sent = faulty.count();
        read_all(&blocks, 0..400).await.unwrap();
        blocks.read_frames(&key(&blocks), &ids(&blocks, 0..400), 3).await.unwrap();
        assert_eq!(faulty.count(), sent, "nothing was asked of the bucket");
        let after = blocks.disk_cache().unwrap();
        assert_eq!((after.misses, after.damaged), (before.misses, 0));
        assert!(after.hits >= 2 * before.frames);
    });
}

/// BLOCKS-7: damaged files of the cache cost a read of the bucket, and nothing else.
#[test]
fn blocks_7_a_damaged_cache_gives_true_bytes() {
    for sealed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        run(|env| async move {
            let secret = sealed.then(|| Secret::KeyFile(vec![5; 64].into()));
            let (blocks, _) = cached(&env, dir.path(), secret.as_ref()).await;
            for at in [0, 9, 25, 40, 70, 300] {
                for file in files(dir.path()) {
                    let mut bytes = std::fs::read(&file).unwrap();
                    let at = at.min(bytes.len() - 1);
                    bytes[at] ^= 1;
                    std::fs::write(&file, bytes).unwrap();
                }
                read_all(&blocks, 0..400).await.unwrap();
            }
            let stats = blocks.disk_cache().unwrap();
            assert!(stats.damaged >= 6, "{stats:?}");
        });
    }
}

/// BUCKET-3, BLOCKS-7: frames that came damaged from the bucket are not kept, and a cache that has such
/// a one all the same, with a checksum that fits, stands in nobody's way.
#[test]
fn blocks_7_what_came_damaged_does_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    run(|env| async move {
        let (blocks, faulty) = cached(&env, dir.path(), None).await;
        for file in files(dir.path()) {
            let mut bytes = std::fs::read(&file).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            let mut hasher = blake3::Hasher::new();
            hasher.update(&bytes[..32]).update(&bytes[64..]);
            bytes[32..64].copy_from_slice(hasher.finalize().as_bytes());
            std::fs::write(&file, bytes).unwrap();
        }
        read_all(&blocks, 0..400).await.unwrap();
        for file in files(dir.path()) {
            std::fs::remove_file(file).unwrap();
        }
        faulty.set(Faults { corrupt_ppm: PPM, ..Faults::default() });
        assert!(read_all(&blocks, 0..400).await.is_err());
        faulty.set(Faults::default());
        read_all(&blocks, 0..400).await.unwrap();
    });
}
