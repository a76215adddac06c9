use cairn_env::InPlace;
use proptest::prelude::*;

use super::*;

fn place(number: u32, len: usize) -> FramePlace {
    let mut pack = [7; 16];
    pack[..4].copy_from_slice(&number.to_be_bytes());
    FramePlace { pack: PackId(pack), offset: 24, len: u32::try_from(len).unwrap() }
}

fn frame(number: u32, len: usize) -> Vec<u8> {
    let seed = number.to_le_bytes();
    (0..len).map(|at| seed[at % 4] ^ at.to_le_bytes()[0]).collect()
}

fn open(dir: &Path, bytes_max: u64) -> io::Result<DiskCache> {
    let env = Env { spawn: Arc::new(InPlace), ..Env::real() };
    let options = DiskCacheOptions { dir: dir.to_owned(), bytes_max };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(DiskCache::open(&options, "bucket", &env))
}

fn fill(cache: &DiskCache, numbers: std::ops::Range<u32>, len: usize) {
    for number in numbers {
        cache.put(place(number, len), &frame(number, len));
    }
}

/// How many of the frames are there; those that are, are whole.
fn count(cache: &DiskCache, numbers: std::ops::Range<u32>, len: usize) -> usize {
    let found = numbers.filter_map(|number| {
        let found = cache.get(&place(number, len))?;
        assert_eq!(found, frame(number, len));
        Some(())
    });
    found.count()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir.join("bucket")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_restart_finds_what_was_there_and_a_smaller_cache_less() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20).unwrap();
    fill(&cache, 0..50, 5000);
    assert_eq!(count(&cache, 0..50, 5000), 50);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.frames, stats.bytes), (50, 50, 50 * 8192));
    drop(cache);
    let cache = open(dir.path(), 1 << 20).unwrap();
    assert_eq!(count(&cache, 0..50, 5000), 50);
    drop(cache);
    let cache = open(dir.path(), 20 * 8192).unwrap();
    assert_eq!(count(&cache, 0..50, 5000), 20);
    assert_eq!(files(dir.path()).len(), 20);
}

#[test]
fn it_takes_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 20 * 8192).unwrap();
    fill(&cache, 0..500, 5000);
    let stats = cache.stats();
    assert!(stats.bytes <= 20 * 8192 && stats.evictions == 480, "{stats:?}");
    assert_eq!(files(dir.path()).len(), 20);
    fill(&cache, 1000..1001, 300_000);
    assert!(cache.get(&place(1000, 300_000)).is_none());
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), 1 << 20).unwrap();
    let refused = open(dir.path(), 1 << 20).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    drop(first);
    open(dir.path(), 1 << 20).unwrap();
}

#[test]
fn what_cannot_be_written_turns_it_off() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20).unwrap();
    fill(&cache, 0..3, 5000);
    // A file stands where the directory of the next frame should be.
    let next = place(0xff00_0000, 5000);
    std::fs::write(dir.path().join("bucket/ff"), "x").unwrap();
    cache.put(next, &frame(1, 5000));
    assert!(cache.get(&next).is_none());
    assert_eq!(count(&cache, 0..3, 5000), 0, "it is off");
    assert_eq!(cache.stats().bytes_max, 0);
}

#[test]
fn files_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), 1 << 20).unwrap());
    let own = dir.path().join("bucket/07");
    std::fs::create_dir(&own).unwrap();
    let hex = "07".repeat(16);
    let names = [
        "notes.txt".to_owned(),
        format!("{hex}-00000018-+0001388"),
        format!("{hex}-00000018-00001388-"),
        format!("{hex}-18-1388"),
        format!("{hex}-00000018-ffffffff"),
        format!("08{}-00000018-00001388", "07".repeat(15)),
    ];
    for name in &names {
        std::fs::write(own.join(name), "of somebody").unwrap();
    }
    let cache = open(dir.path(), 4096).unwrap();
    assert_eq!(cache.stats().frames, 0);
    assert_eq!(files(dir.path()).len(), names.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// BLOCKS-7, BUCKET-3: whatever stands in the files, what is found is what was put there.
    #[test]
    fn blocks_7_hostile_files_are_misses(
        changes in prop::collection::vec((0..12_u32, 0..4_u8, any::<u16>(), any::<u8>()), 1..20),
        restart: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = open(dir.path(), 1 << 20).unwrap();
        fill(&cache, 0..12, 700);
        for (number, how, at, byte) in changes {
            let path = cache.path(&place(number, 700));
            let Ok(mut bytes) = std::fs::read(&path) else { continue };
            let at = usize::from(at) % bytes.len().max(1);
            match how {
                0 if !bytes.is_empty() => bytes[at] ^= byte,
                1 => bytes.truncate(at),
                2 => bytes.push(byte),
                _ => bytes = std::fs::read(cache.path(&place((number + 1) % 12, 700))).unwrap_or_default(),
            }
            std::fs::write(&path, bytes).unwrap();
        }
        if restart {
            drop(cache);
            cache = open(dir.path(), 1 << 20).unwrap();
        }
        // Whether it is whole is asserted within.
        let whole = count(&cache, 0..12, 700);
        prop_assert_eq!(count(&cache, 0..12, 700), whole, "what was damaged is gone");
        prop_assert_eq!(files(dir.path()).len(), whole);
        fill(&cache, 0..12, 700);
        prop_assert_eq!(count(&cache, 0..12, 700), 12);
    }
}
