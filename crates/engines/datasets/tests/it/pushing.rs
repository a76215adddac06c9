//! Pushes: what is read, what is written, and what happens when the world moves.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_base::ErrorKind;
use cairn_bucket::faulty::Kind;
use cairn_datasets::{Error, PushOptions, Pushed, Source, archive_feed, push};

use super::support::{World, noise, polled, raw, same, target, touch, walk, write};

#[tokio::test]
async fn an_unchanged_push_reads_and_writes_nothing() {
    let world = World::new().await;
    let source = world.dir("source");
    for number in 0..500 {
        write(source.join(format!("f{number}")), noise(number, 3000));
    }
    write(source.join("large"), noise(1000, 3_000_000));
    std::fs::create_dir(source.join("d")).unwrap();
    write(source.join("d/inside"), "x");
    world.later(10);
    let first = world.push(&source, "data").await;
    assert_eq!(first.files_read, 502);
    let before = world.writes();
    let reads = world.requests(&[Kind::Get, Kind::Head], "packs/");
    let second = world.push(&source, "data").await;
    assert_eq!((second.files_read, second.new_bytes, second.stored_bytes), (0, 0, 0));
    assert_eq!(second.version, first.version, "the same version is not published again");
    assert_eq!(world.writes(), before, "nothing is written");
    let reads = world.requests(&[Kind::Get, Kind::Head], "packs/") - reads;
    assert!(reads < 20, "{reads} reads of packs");
    // Without a stat cache it reads, and still writes nothing.
    let options = PushOptions { cache_dir: None, ..world.push_options() };
    let third = push(&world.store, &Source::Path(source), &[target("data")], &options).await;
    assert_eq!(third.unwrap().files_read, 502);
    assert_eq!(world.writes(), before);
}

#[tokio::test]
async fn one_changed_file_is_the_only_one_read() {
    let world = World::new().await;
    let source = world.dir("source");
    for number in 0..100 {
        write(source.join(format!("f{number}")), noise(number, 3000));
    }
    world.later(10);
    world.push(&source, "data").await;
    write(source.join("f50"), noise(5000, 3000));
    write(source.join("f50x"), noise(5001, 3000));
    std::fs::remove_file(source.join("f51")).unwrap();
    let pushed = world.comes_back(&source).await;
    assert_eq!(pushed.files_read, 2);
    assert!(pushed.new_bytes < 20_000, "{pushed:?}");
}

#[tokio::test]
async fn a_stamp_that_was_set_back_does_not_deceive() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("f"), noise(1, 5000));
    write(source.join("g"), noise(2, 5000));
    world.later(10);
    world.push(&source, "data").await;
    let stat = std::fs::metadata(source.join("f")).unwrap();
    write(source.join("f"), noise(3, 5000));
    touch(&source.join("f"), stat.mtime(), stat.mtime_nsec());
    let pushed = world.comes_back(&source).await;
    assert_eq!(pushed.files_read, 1);
}

#[tokio::test]
async fn what_was_just_written_is_read_again() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("f"), noise(1, 5000));
    assert_eq!(world.push(&source, "data").await.files_read, 1);
    // A later write could bear the same time, so the first push remembers nothing.
    assert_eq!(world.push(&source, "data").await.files_read, 1);
    world.later(10);
    assert_eq!(world.push(&source, "data").await.files_read, 1);
    assert_eq!(world.push(&source, "data").await.files_read, 0);
}

#[tokio::test]
async fn attributes_and_owners_that_change_are_pushed() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let source = world.dir("source");
    for name in ["mode", "time", "xattr", "same"] {
        write(source.join(name), name);
    }
    world.later(10);
    world.push(&source, "data").await;
    std::fs::set_permissions(source.join("mode"), std::fs::Permissions::from_mode(0o640)).unwrap();
    touch(&source.join("time"), 3, 4);
    xattr::set(source.join("xattr"), "user.x", b"y").unwrap();
    assert_eq!(world.comes_back(&source).await.files_read, 3);
}

#[tokio::test]
async fn what_cannot_be_stored_is_reported() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("file"), "x");
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, source.join("pipe"), FileType::Fifo, mode, 0).unwrap();
    std::fs::create_dir(source.join("d")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("d/socket")).unwrap();
    let mut wanted = vec![("d/socket", "a socket"), ("pipe", "a named pipe")];
    if rustix::process::geteuid().is_root() {
        let device = makedev(1, 3);
        mknodat(CWD, source.join("null"), FileType::CharacterDevice, mode, device).unwrap();
        wanted.insert(1, ("null", "a device"));
    }
    let pushed = world.push(&source, "data").await;
    let found: Vec<(&str, bool)> = pushed
        .skipped
        .iter()
        .zip(&wanted)
        .map(|(skipped, (_, why))| (skipped.path.as_str(), skipped.why.contains(why)))
        .collect();
    let wanted: Vec<(&str, bool)> = wanted.into_iter().map(|(path, _)| (path, true)).collect();
    assert_eq!(found, wanted);
    let to = world.path("to");
    world.pull("data", &to).await;
    assert_eq!(walk(&to).keys().collect::<Vec<_>>(), ["", "/d", "/file"]);
}

/// DATASETS-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_read_is_noticed() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("still"), noise(1, 2_000_000));
    write(source.join("moving"), noise(2, 24_000_000));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, path) = (Arc::clone(&stop), source.join("moving"));
        std::thread::spawn(move || {
            use std::os::unix::fs::FileExt as _;
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let mut at: u64 = 0;
            while !stop.load(Ordering::Relaxed) {
                file.write_all_at(b"another byte", at * 997 % 20_000_000).unwrap();
                at += 1;
            }
        })
    };
    let pushed = world.try_push(&source, "data").await;
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(pushed.unwrap().unstable, ["moving"]);
    world.later(10);
    let pushed = world.comes_back(&source).await;
    assert!(pushed.unstable.is_empty());
}

#[tokio::test]
async fn a_push_that_was_cut_off_goes_on_and_stores_nothing_twice() {
    let source_of = |world: &World| {
        let source = world.dir("source");
        for number in 0..200 {
            write(source.join(format!("f{number}")), noise(number, 40_000));
        }
        source
    };
    let reference = World::new().await;
    let source = source_of(&reference);
    reference.push(&source, "data").await;
    reference.datasets.blocks().refresh().await.unwrap();
    let wanted = reference.datasets.blocks().usage().chunks;

    let world = World::new().await;
    let source = source_of(&world);
    let mut cut = 0;
    for polls in [1, 2, 4, 6, 9, 13, 20, 30, 45, 60, 80, 100] {
        if polled(world.try_push(&source, "data"), polls).await.is_none() {
            cut += 1;
        }
    }
    assert!(cut > 5, "only {cut} pushes were cut off");
    let error = cairn_datasets::Store::tag(&world.datasets, &target("data")).await;
    assert!(cut < 12 || error.is_err(), "nobody sees a push that did not end");
    world.comes_back(&source).await;
    world.datasets.blocks().refresh().await.unwrap();
    assert_eq!(world.datasets.blocks().usage().chunks, wanted);
}

#[tokio::test]
async fn a_push_goes_to_several_targets() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("f"), noise(1, 5000));
    let targets = [target("data:1.0"), target("data"), target("other:x")];
    let from = Source::Path(source.clone());
    let pushed = push(&world.store, &from, &targets, &world.push_options()).await.unwrap();
    for target in &targets {
        assert_eq!(world.store.tag(target).await.unwrap().current, pushed.version);
    }
    for wrong in [vec![], vec![target("data"), target("@elsewhere/data")]] {
        let error = push(&world.store, &from, &wrong, &world.push_options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_at_the_same_time_do_not_disturb_each_other() {
    let world = Arc::new(World::new().await);
    let pushes = (0..6).map(|number| {
        let world = Arc::clone(&world);
        let source = world.dir(&format!("source{number}"));
        for file in 0..20 {
            write(source.join(format!("f{file}")), noise(file * (1 + number % 2), 30_000));
        }
        async move {
            world.push(&source, &format!("data:t{number}")).await;
            world.push(&source, "data:shared").await;
        }
    });
    futures::future::join_all(pushes).await;
    for number in 0..6 {
        let to = world.path(&format!("to{number}"));
        world.pull(&format!("data:t{number}"), &to).await;
        same(&walk(&world.path(&format!("source{number}"))), &walk(&to));
    }
    let shared = world.store.tag(&target("data:shared")).await.unwrap();
    assert_eq!(1 + shared.history.len(), 6);
}

#[tokio::test]
async fn sources_that_are_not_there_are_refused() {
    let world = World::new().await;
    let error = world.try_push(&world.path("nothing"), "data").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("nothing"), "{error}");
    assert!(world.store.tag(&target("data")).await.is_err());
}

/// A version without the only thing that was named would be an empty one.
#[tokio::test]
async fn only_a_directory_or_a_file_can_be_named() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let world = World::new().await;
    let source = world.dir("source");
    let pipe = source.join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for path in [&pipe, std::path::Path::new("/dev/null")] {
        let error = world.try_push(path, "data").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("push `-`"), "{error}");
    }
    assert!(world.store.tag(&target("data")).await.is_err());

    write(source.join("file"), "content");
    std::os::unix::fs::symlink("file", source.join("link")).unwrap();
    world.push(&source.join("link"), "data").await;
    let to = world.path("to");
    world.pull("data", &to).await;
    let pulled = walk(&to);
    assert_eq!(pulled.keys().collect::<Vec<_>>(), ["", "/link"]);
    assert_eq!(pulled["/link"].what, walk(&source)["/file"].what);
}

#[tokio::test]
async fn members_of_an_archive_become_files() {
    let world = World::new().await;
    let path = world.path("members.tar");
    let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut append = |name: &str, bytes: &[u8], mode: u32, mtime: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    append("d/a", b"first", 0o640, 1000);
    append("d/e/b", &noise(1, 100_000), 0o755, 2000);
    append("top", b"", 0o600, 3000);
    archive.into_inner().unwrap().flush().unwrap();
    let from = Source::Unpack(path);
    push(&world.store, &from, &[target("data")], &world.push_options()).await.unwrap();
    let to = world.path("to");
    world.pull("data", &to).await;
    let found = walk(&to);
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, ["", "/d", "/d/a", "/d/e", "/d/e/b", "/top"]);
    assert_eq!((found["/d/a"].mode, found["/d/a"].mtime), (0o640, (1000, 0)));
    assert_eq!(std::fs::read(to.join("d/e/b")).unwrap(), noise(1, 100_000));
    assert_eq!(std::fs::read(to.join(raw(b"d/a"))).unwrap(), b"first");
}

/// Feeds an archive in pieces, and ends it or not.
async fn fed(world: &World, archive: Vec<u8>, end: bool) -> Result<Pushed, Error> {
    let (feed, stream) = archive_feed();
    let feeding = async move {
        for piece in archive.chunks(7000) {
            if feed.send(piece.to_vec().into()).await.is_err() {
                return;
            }
        }
        if end {
            feed.end().await.unwrap_or_default();
        }
    };
    let (from, options) = (Source::Stream(stream), world.push_options());
    let targets = [target("data")];
    let pushing = push(&world.store, &from, &targets, &options);
    futures::future::join(Box::pin(pushing), feeding).await.0
}

fn member(name: &str, bytes: &[u8], kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(1000);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(kind);
    header.set_path(name).unwrap();
    header.set_cksum();
    let mut whole = header.as_bytes().to_vec();
    whole.extend_from_slice(bytes);
    whole.resize(whole.len().next_multiple_of(512), 0);
    whole
}

/// BAD-1: an archive that comes in is a version when all of it came and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_comes_in_is_whole_or_nothing() {
    use tar::EntryType;
    let world = World::new().await;
    let file = member("d/a", &noise(1, 100_000), EntryType::Regular);
    let whole = [file.clone(), member("b", b"b", EntryType::Regular), vec![0; 1024]].concat();
    let long = |kind| [member("long", &vec![b'x'; 5 << 20], kind), whole.clone()].concat();
    let gzip = |plain: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(plain).unwrap();
        packed.finish().unwrap()
    };
    for (what, archive, end, says) in [
        ("it did not end", whole.clone(), false, "broke off"),
        ("cut in a file", whole[..50_000].to_vec(), true, "refused"),
        ("cut in a header", whole[..100].to_vec(), true, "refused"),
        ("packed and cut", gzip(&whole)[..60_000].to_vec(), true, "refused"),
        ("a long name", long(EntryType::GNULongName), true, "too long"),
        ("a long target", long(EntryType::GNULongLink), true, "too long"),
        ("long attributes", long(EntryType::XHeader), true, "too long"),
        ("a zip", b"PK\x03\x04".to_vec(), true, "send a tar"),
    ] {
        let refused = fed(&world, archive, end).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{what}: {refused}");
        assert!(refused.to_string().contains(says), "{what}: {refused}");
    }
    let missing = world.store.tags(&target("data").dataset).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    let pushed = fed(&world, whole.clone(), true).await.unwrap();
    assert_eq!((pushed.version.files, pushed.version.bytes), (2, 100_001));
    let again = fed(&world, gzip(&whole), true).await.unwrap();
    assert_eq!(again.version.root, pushed.version.root);
}
