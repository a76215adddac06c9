//! Pushed, pulled, and compared with system calls only.

use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use cairn_blocks::Secret;

use super::support::{World, noise, raw, same, touch, walk, write};

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn modes_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    for mode in [0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1644, 0o6711] {
        let path = source.join(format!("{mode:o}"));
        write(&path, [1, 2, 3]);
        chmod(&path, mode);
        let path = source.join(format!("d{mode:o}"));
        std::fs::create_dir(&path).unwrap();
        write(path.join("inside"), "x");
        chmod(&path, mode | 0o700);
    }
    let bare = source.join("none");
    write(&bare, "nobody reads this");
    chmod(&bare, if is_root() { 0 } else { 0o600 });
    chmod(&source, 0o1750);
    world.comes_back(&source).await;
}

#[tokio::test]
async fn owners_come_back_for_root() {
    if !is_root() {
        return;
    }
    let world = World::new().await;
    let source = world.dir("source");
    for (number, (uid, gid)) in
        [(0, 0), (1, 2), (65_534, 65_534), (4_000_000, 5)].into_iter().enumerate()
    {
        let path = source.join(format!("f{number}"));
        write(&path, "x");
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        let path = source.join(format!("d{number}"));
        std::fs::create_dir(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        let path = source.join(format!("l{number}"));
        symlink("nowhere", &path).unwrap();
        std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
        // The owner changes before the mode, or setuid would be lost.
        let path = source.join(format!("s{number}"));
        write(&path, "x");
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        chmod(&path, 0o6755);
    }
    world.comes_back(&source).await;
}

#[tokio::test]
async fn times_come_back_to_the_nanosecond() {
    let world = World::new().await;
    let source = world.dir("source");
    let times = [
        (0, 0),
        (1, 1),
        (-1, 999_999_999),
        (-1_000_000_000, 5),
        (1_700_000_000, 123_456_789),
        (4_102_444_800, 1),
    ];
    for (number, (seconds, nanoseconds)) in times.into_iter().enumerate() {
        write(source.join(format!("f{number}")), "x");
        touch(&source.join(format!("f{number}")), seconds, nanoseconds);
        symlink("f0", source.join(format!("l{number}"))).unwrap();
        touch(&source.join(format!("l{number}")), seconds, nanoseconds);
        let inner = source.join(format!("d{number}"));
        std::fs::create_dir_all(inner.join("deeper")).unwrap();
        write(inner.join("deeper/file"), "y");
        touch(&inner.join("deeper"), seconds, nanoseconds);
        touch(&inner, seconds, nanoseconds);
    }
    touch(&source, -77, 77);
    world.comes_back(&source).await;
}

#[tokio::test]
async fn symlinks_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("file"), "x");
    std::fs::create_dir(source.join("directory")).unwrap();
    for (name, to) in [
        ("to-file", "file"),
        ("to-directory", "directory"),
        ("dangling", "nowhere/at/all"),
        ("absolute", "/etc/hostname"),
        ("up", "../../.."),
        ("itself", "itself"),
        ("new\nline", "with\nnew line"),
    ] {
        symlink(to, source.join(name)).unwrap();
    }
    symlink(raw(&[b'x', 0xff, 0xfe]), source.join("bytes")).unwrap();
    symlink("y".repeat(4000), source.join("long")).unwrap();
    world.comes_back(&source).await;
}

#[tokio::test]
async fn hard_links_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    std::fs::create_dir_all(source.join("a/b")).unwrap();
    std::fs::create_dir_all(source.join("z")).unwrap();
    write(source.join("m"), noise(1, 100_000));
    std::fs::hard_link(source.join("m"), source.join("a/b/first")).unwrap();
    std::fs::hard_link(source.join("m"), source.join("z/last")).unwrap();
    write(source.join("z/empty"), "");
    std::fs::hard_link(source.join("z/empty"), source.join("empty")).unwrap();
    write(source.join("large"), noise(2, 3_000_000));
    std::fs::hard_link(source.join("large"), source.join("z/large")).unwrap();
    world.comes_back(&source).await;

    // The first name goes: the next one takes over.
    std::fs::remove_file(source.join("a/b/first")).unwrap();
    world.later(10);
    world.comes_back(&source).await;
    // A pull over what is there.
    let to = world.path("again");
    world.pull("data", &to).await;
    std::fs::remove_file(source.join("m")).unwrap();
    write(source.join("m"), "its own now");
    world.push(&source, "data").await;
    let mut options = world.pull_options();
    options.delete = true;
    world.try_pull("data", &to, &options).await.unwrap();
    same(&walk(&source), &walk(&to));
}

#[tokio::test]
async fn extended_attributes_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("file"), "x");
    write(source.join("large"), noise(9, 2_000_000));
    std::fs::create_dir(source.join("directory")).unwrap();
    for name in ["", "file", "large", "directory"] {
        let path = source.join(name);
        xattr::set(&path, "user.empty", b"").unwrap();
        xattr::set(&path, "user.text", b"value").unwrap();
        xattr::set(&path, "user.bytes", &noise(3, 1000)).unwrap();
    }
    chmod(&source.join("file"), 0o444);
    world.comes_back(&source).await;
}

/// A file with data at some ranges and holes elsewhere.
fn sparse(path: &Path, len: u64, data: &[(u64, usize)]) {
    let file = File::create(path).unwrap();
    file.set_len(len).unwrap();
    for (number, (at, bytes)) in data.iter().enumerate() {
        file.write_all_at(&noise(number as u64, *bytes), *at).unwrap();
    }
    file.sync_all().unwrap();
}

#[tokio::test]
async fn holes_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    const MIB: u64 = 1 << 20;
    sparse(&source.join("start"), 2 * MIB, &[(MIB, 1 << 20)]);
    sparse(&source.join("middle"), 3 * MIB, &[(0, 1 << 20), (2 * MIB, 1 << 20)]);
    sparse(&source.join("end"), 5 * MIB, &[(0, 1 << 20)]);
    sparse(&source.join("all"), 100 * MIB, &[]);
    sparse(&source.join("small"), 40_000, &[]);
    sparse(&source.join("odd"), 3 * MIB + 17, &[(8192, 4096), (MIB, 4096)]);
    sparse(
        &source.join("many"),
        8 * MIB,
        &(0..64).map(|n| (n * 128 * 1024, 4096)).collect::<Vec<_>>(),
    );
    sparse(&source.join("wide"), 300 * MIB, &[(250 * MIB, 4096)]);
    world.comes_back(&source).await;
}

#[tokio::test]
async fn names_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    let names: [&[u8]; 12] = [
        b"plain",
        b" ",
        b"new\nline",
        b"tab\tand\x01control",
        b"\xff\xfe\xfd",
        b"-rf",
        b"*",
        b"\\",
        "ü€😀".as_bytes(),
        b"..x",
        b".hidden",
        b"~",
    ];
    for name in names {
        write(source.join(raw(name)), name);
        let mut directory = name.to_vec();
        directory.extend_from_slice(b".d");
        std::fs::create_dir(source.join(raw(&directory))).unwrap();
        write(source.join(raw(&directory)).join(raw(name)), "x");
    }
    write(source.join("n".repeat(255)), "long");
    std::fs::create_dir(source.join("d".repeat(255))).unwrap();
    // These sort differently as paths and as names.
    std::fs::create_dir(source.join("a")).unwrap();
    write(source.join("a/x"), "1");
    write(source.join("a!"), "2");
    write(source.join("a-"), "3");
    world.comes_back(&source).await;
}

#[tokio::test]
async fn deep_trees_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    let mut path = source.clone();
    for level in 0..200 {
        path.push(format!("level-{level}"));
    }
    std::fs::create_dir_all(&path).unwrap();
    write(path.join("bottom"), "x");
    world.comes_back(&source).await;
}

#[tokio::test]
async fn empty_things_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    world.comes_back(&source).await;
    write(source.join("empty"), "");
    std::fs::create_dir_all(source.join("a/b/c")).unwrap();
    std::fs::create_dir_all(source.join("z")).unwrap();
    world.comes_back(&source).await;
}

#[tokio::test]
async fn every_size_around_a_boundary_comes_back() {
    let world = World::new().await;
    let source = world.dir("source");
    let (kib, mib) = (1usize << 10, 1usize << 20);
    let mut sizes = vec![0, 1, 2];
    for edge in [4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 2 * mib, 4 * mib, 5 * mib] {
        sizes.extend([edge - 1, edge, edge + 1]);
    }
    for size in sizes {
        write(source.join(format!("noise-{size}")), noise(size as u64, size));
        write(source.join(format!("zeros-{size}")), vec![0; size]);
    }
    world.comes_back(&source).await;
}

#[tokio::test]
async fn a_large_file_comes_back() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("large"), noise(7, (64 << 20) + 4097));
    world.comes_back(&source).await;
}

#[tokio::test]
async fn many_files_in_one_directory_come_back() {
    let world = World::new().await;
    let source = world.dir("source");
    for number in 0..20_000 {
        write(source.join(format!("{number}")), format!("content {}", number % 5000));
    }
    let pushed = world.comes_back(&source).await;
    assert_eq!(pushed.version.files, 20_000);
}

#[tokio::test]
async fn a_bucket_on_disk_gives_everything_back() {
    let world = World::on_disk().await;
    let source = world.dir("source");
    std::fs::create_dir(source.join("d")).unwrap();
    write(source.join("d/small"), "x");
    write(source.join("large"), noise(5, 6_000_000));
    symlink("large", source.join("link")).unwrap();
    world.comes_back(&source).await;
    // A fresh process pulls the same.
    let fresh: std::sync::Arc<dyn cairn_datasets::Store> = std::sync::Arc::new(world.fresh().await);
    let to = world.path("fresh");
    let target = super::support::target("data");
    cairn_datasets::pull(&fresh, &target, &to, &world.pull_options()).await.unwrap();
    same(&walk(&source), &walk(&to));
}

#[tokio::test]
async fn an_encrypted_bucket_gives_everything_back_and_shows_nothing() {
    let secret = Secret::Passphrase("correct horse battery staple".to_owned().into());
    let world = World::with_secret(Some(&secret)).await;
    let source = world.dir("source");
    let marker = "a sentence that must not be readable in the bucket ".repeat(100);
    write(source.join("very-telling-name"), &marker);
    write(source.join("large"), noise(5, 3_000_000));
    world.comes_back(&source).await;
    let keys = super::verifying::keys(&world).await;
    assert!(keys.len() > 3);
    for key in keys {
        let object = world.bucket.get(&key).await.unwrap();
        for word in [b"must not be readable".as_slice(), b"very-telling-name"] {
            assert!(!object.bytes.windows(word.len()).any(|part| part == word), "{key}");
        }
    }
}

#[tokio::test]
async fn one_file_is_a_tree() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("only"), "content");
    touch(&source.join("only"), 12345, 6789);
    world.push(&source.join("only"), "data").await;
    let to = world.path("to");
    world.pull("data", &to).await;
    let (before, after) = (walk(&source), walk(&to));
    assert_eq!(before["/only"], after["/only"]);
    assert_eq!(after.len(), 2);
}
