//! Pulls over what is there already.

use std::os::unix::fs::symlink;
use std::path::Path;

use cairn_base::ErrorKind;
use cairn_datasets::{Error, PullOptions, pull_switch};

use super::support::{
    Tree, World, identity, noise, polled, same, target, touch, walk, walk_some, write,
};

/// What is changed, and how.
type Change<'a> = (&'a str, &'a dyn Fn(&Path));

fn sample(source: &Path) {
    std::fs::create_dir_all(source.join("d/e")).unwrap();
    write(source.join("a"), "a");
    write(source.join("d/b"), noise(1, 300_000));
    write(source.join("d/e/c"), noise(2, 3_000_000));
    symlink("a", source.join("l")).unwrap();
}

#[tokio::test]
async fn an_incremental_pull_writes_only_what_changed() {
    let world = World::new().await;
    let source = world.dir("source");
    sample(&source);
    world.push(&source, "data").await;
    let to = world.path("to");
    let first = world.pull("data", &to).await;
    assert_eq!((first.files_written, first.files_kept), (3, 0));
    let kept: Vec<_> = ["d/b", "d/e/c"].map(|name| identity(&to.join(name))).into();

    write(source.join("a"), "another a");
    write(source.join("d/new"), "new");
    world.push(&source, "data").await;
    let second = world.pull("data", &to).await;
    assert_eq!((second.files_written, second.files_kept, second.deleted), (2, 2, 0));
    let still: Vec<_> = ["d/b", "d/e/c"].map(|name| identity(&to.join(name))).into();
    assert_eq!(
        kept.iter().map(|i| i.0).collect::<Vec<_>>(),
        still.iter().map(|i| i.0).collect::<Vec<_>>()
    );
    assert_eq!(kept, still, "a kept file is not touched at all");
    same(&walk(&source), &walk(&to));
}

#[tokio::test]
async fn a_small_change_of_a_large_file_fetches_little() {
    let world = World::new().await;
    let source = world.dir("source");
    let mut bytes = noise(1, 20_000_000);
    write(source.join("f"), &bytes);
    world.push(&source, "data").await;
    let to = world.path("to");
    world.pull("data", &to).await;
    bytes.insert(10_000_000, 7);
    write(source.join("f"), &bytes);
    world.push(&source, "data").await;
    let pulled = world.pull("data", &to).await;
    assert!(pulled.fetched_bytes < 1_000_000, "{pulled:?}");
    assert!(pulled.reused_bytes > 18_000_000, "{pulled:?}");
    same(&walk(&source), &walk(&to));
}

#[tokio::test]
async fn what_the_version_has_not_stays_unless_told() {
    let world = World::new().await;
    let source = world.dir("source");
    sample(&source);
    world.push(&source, "data").await;
    let to = world.path("to");
    world.pull("data", &to).await;
    std::fs::create_dir_all(to.join("mine/deeper")).unwrap();
    write(to.join("mine/deeper/file"), "x");
    write(to.join("d/mine"), "y");
    std::fs::remove_file(source.join("d/b")).unwrap();
    world.push(&source, "data").await;
    let pulled = world.pull("data", &to).await;
    assert_eq!(pulled.deleted, 0);
    assert!(to.join("mine/deeper/file").exists() && to.join("d/mine").exists());
    assert!(to.join("d/b").exists());
    let options = PullOptions { delete: true, ..world.pull_options() };
    let pulled = world.try_pull("data", &to, &options).await.unwrap();
    assert_eq!(pulled.deleted, 3);
    same(&walk(&source), &walk(&to));
}

#[tokio::test]
async fn local_changes_are_refused_before_anything_is_changed() {
    let world = World::new().await;
    let source = world.dir("source");
    sample(&source);
    std::fs::hard_link(source.join("a"), source.join("z")).unwrap();
    world.push(&source, "data").await;
    let to = world.path("to");
    world.pull("data", &to).await;
    write(source.join("a"), "another a");
    write(source.join("d/b"), "another b");
    std::fs::remove_file(source.join("l")).unwrap();
    symlink("d", source.join("l")).unwrap();
    world.push(&source, "data").await;

    let changes: [Change<'_>; 6] = [
        ("d/b", &|path| write(path, noise(3, 300_000))),
        ("d/b", &|path| {
            let stat = std::fs::metadata(path).unwrap();
            use std::os::unix::fs::MetadataExt as _;
            write(path, noise(4, 300_000));
            touch(path, stat.mtime(), stat.mtime_nsec());
        }),
        ("l", &|path| {
            std::fs::remove_file(path).unwrap();
            symlink("mine", path).unwrap();
        }),
        ("d/b", &|path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
            write(path.join("mine"), "x");
        }),
        ("z", &|path| {
            std::fs::remove_file(path).unwrap();
            write(path, "mine");
        }),
        ("d/b", &|path| {
            std::fs::remove_file(path).unwrap();
            symlink("/etc/hostname", path).unwrap();
        }),
    ];
    for (number, (name, change)) in changes.into_iter().enumerate() {
        let copy = world.path(&format!("to-{number}"));
        world.try_pull("data", &copy, &world.pull_options()).await.unwrap();
        // Back to the first version, as if it had been pulled there.
        std::fs::remove_dir_all(&copy).unwrap();
        let old = world.datasets_at(&copy, &source).await;
        change(&copy.join(name));
        let before = walk(&copy);
        let error = world.try_pull("data", &copy, &world.pull_options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        let Error::InTheWay { path, .. } = &error else { panic!("{error}") };
        // The other names of a file show a change of one of them.
        let other = name == "z" && *path == copy.join("a");
        assert!(*path == copy.join(name) || other, "change {number}: {}", path.display());
        same(&before, &walk(&copy));
        let options = PullOptions { force: true, ..world.pull_options() };
        world.try_pull("data", &copy, &options).await.unwrap();
        same(&old, &walk(&copy));
    }
}

impl World {
    /// Makes `copy` what the previous version of `data` is; returns what the current one looks like.
    async fn datasets_at(&self, copy: &Path, source: &Path) -> super::support::Tree {
        let tag = cairn_datasets::Store::tag(&self.datasets, &target("data")).await.unwrap();
        let old = &tag.history[0];
        let upload = self.store.upload(&[target("old")]).await.unwrap();
        let publication = cairn_datasets::Publication {
            root: old.root,
            totals: cairn_tree::Totals { files: old.files, bytes: old.bytes, ..Default::default() },
            by: "ada".to_owned(),
            message: None,
            expires_ns: None,
        };
        upload.publish(&publication).await.unwrap();
        self.pull("old", copy).await;
        walk(source)
    }
}

#[tokio::test]
async fn things_become_other_things_by_version() {
    let world = World::new().await;
    let source = world.dir("source");
    let to = world.path("to");
    let make: [fn(&Path); 4] = [
        |path| write(path, "file"),
        |path| symlink("somewhere", path).unwrap(),
        |path| {
            std::fs::create_dir(path).unwrap();
            write(path.join("inside"), "x");
            symlink("y", path.join("link")).unwrap();
            std::fs::create_dir(path.join("deeper")).unwrap();
            write(path.join("deeper/inside"), "x");
        },
        |path| std::fs::hard_link(path.with_file_name("first"), path).unwrap(),
    ];
    write(source.join("first"), "first");
    write(source.join("x!"), "sorts beside what is below x");
    for (from, before) in make.iter().enumerate() {
        for (now, after) in make.iter().enumerate() {
            let path = source.join("x");
            for step in [before, after] {
                if path.is_dir() && !path.is_symlink() {
                    std::fs::remove_dir_all(&path).unwrap();
                } else if path.is_symlink() || path.exists() {
                    std::fs::remove_file(&path).unwrap();
                }
                step(&path);
                world.push(&source, "data").await;
                let pulled = world.try_pull("data", &to, &world.pull_options()).await;
                pulled.unwrap_or_else(|error| panic!("from {from} to {now}: {error}"));
                same(&walk(&source), &walk(&to));
            }
        }
    }
}

#[tokio::test]
async fn a_directory_with_local_files_in_it_stays_a_directory() {
    let world = World::new().await;
    let source = world.dir("source");
    std::fs::create_dir_all(source.join("x/deeper")).unwrap();
    write(source.join("x/deeper/file"), "x");
    world.push(&source, "data").await;
    std::fs::remove_dir_all(source.join("x")).unwrap();
    write(source.join("x"), "a file now");
    world.push(&source, "next").await;
    let changes: [fn(&Path); 3] = [
        |x| write(x.join("mine"), "mine"),
        |x| write(x.join("deeper/file"), "mine"),
        |x| std::fs::create_dir(x.join("deeper/mine")).unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let to = world.path(&format!("to{number}"));
        world.pull("data", &to).await;
        change(&to.join("x"));
        let before = walk(&to);
        let error = world.try_pull("next", &to, &world.pull_options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        same(&before, &walk(&to));
        let options = PullOptions { force: true, ..world.pull_options() };
        world.try_pull("next", &to, &options).await.unwrap();
        same(&walk(&source), &walk(&to));
    }
}

/// DATASETS-3
#[tokio::test]
async fn nothing_outside_the_destination_is_touched() {
    let world = World::new().await;
    let source = world.dir("source");
    sample(&source);
    world.push(&source, "data").await;
    let outside = world.dir("outside");
    std::fs::create_dir(outside.join("e")).unwrap();
    write(outside.join("b"), "precious");
    write(outside.join("e/c"), "precious");
    let before = walk(&outside);
    for force in [false, true] {
        let to = world.dir(&format!("to-{force}"));
        symlink(&outside, to.join("d")).unwrap();
        symlink(outside.join("b"), to.join("a")).unwrap();
        let options = PullOptions { force, delete: force, ..world.pull_options() };
        let pulled = world.try_pull("data", &to, &options).await;
        assert_eq!(pulled.is_ok(), force);
        same(&before, &walk(&outside));
        if force {
            same(&walk(&source), &walk(&to));
        }
    }
}

/// What is in a tree that a pull writes, without its staged files, and whether there are such.
fn finished(top: &Path) -> (Tree, bool) {
    let mut staged = false;
    let tree = walk_some(top, |path| {
        let one = path.contains("/.cairn~");
        staged |= one;
        !one
    });
    (tree, staged)
}

#[tokio::test]
async fn a_pull_that_was_cut_off_goes_on() {
    let world = World::new().await;
    let source = world.dir("source");
    sample(&source);
    for number in 0..300 {
        write(source.join(format!("d/n{number}")), noise(number, 20_000));
    }
    world.push(&source, "data").await;
    let to = world.path("to");
    let wanted = walk(&source);
    for polls in [1, 2, 3, 5, 8, 13, 21, 34, 55] {
        if polled(world.try_pull("data", &to, &world.pull_options()), polls).await.is_some() {
            break;
        }
        for (path, seen) in if to.exists() { finished(&to).0 } else { Default::default() } {
            // Whole or not there.
            assert!(wanted.get(&path).is_some_and(|w| w.what == seen.what), "{path}");
        }
    }
    // Workers of a pull that was given up finish the file they are at; a killed process has none.
    while to.exists() && finished(&to).1 {
        tokio::task::yield_now().await;
    }
    let pulled = world.pull("data", &to).await;
    assert_eq!(pulled.files_written + pulled.files_kept, 303);
    same(&wanted, &walk(&to));
}

#[tokio::test]
async fn a_link_is_switched_to_the_new_version() {
    let world = World::new().await;
    let source = world.dir("source");
    let link = world.path("current");
    let options = world.pull_options();
    for round in 0..4 {
        write(source.join("a"), format!("round {round}"));
        world.push(&source, "data").await;
        let before = std::fs::read_link(&link).ok();
        pull_switch(&world.store, &target("data"), &link, &options).await.unwrap();
        assert_ne!(before, std::fs::read_link(&link).ok());
        assert_eq!(std::fs::read_to_string(link.join("a")).unwrap(), format!("round {round}"));
        same(&walk(&source), &walk(&std::fs::canonicalize(&link).unwrap()));
        let versions = std::fs::read_dir(world.path("current.versions")).unwrap().count();
        assert!(versions <= 2);
        // The one before is still there for those who read it.
        assert!(before.is_none_or(|before| world.path("").join(before).exists()));
    }
    std::fs::remove_file(&link).unwrap();
    std::fs::create_dir(&link).unwrap();
    let error = pull_switch(&world.store, &target("data"), &link, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn without_memory_a_pull_reads_what_is_there() {
    let world = World::new().await;
    let source = world.dir("source");
    sample(&source);
    world.push(&source, "data").await;
    let to = world.path("to");
    let options = PullOptions::default();
    world.try_pull("data", &to, &options).await.unwrap();
    let again = world.try_pull("data", &to, &PullOptions::default()).await.unwrap();
    assert_eq!((again.files_written, again.files_kept, again.fetched_bytes), (0, 3, 0));
    same(&walk(&source), &walk(&to));
}

#[tokio::test]
async fn attributes_alone_rewrite_no_file() {
    let world = World::new().await;
    let source = world.dir("source");
    sample(&source);
    xattr::set(source.join("d/b"), "user.old", b"1").unwrap();
    xattr::set(source.join("d"), "user.old", b"1").unwrap();
    world.push(&source, "data").await;
    let to = world.path("to");
    world.pull("data", &to).await;
    xattr::remove(source.join("d/b"), "user.old").unwrap();
    xattr::remove(source.join("d"), "user.old").unwrap();
    xattr::set(source.join("a"), "user.new", b"2").unwrap();
    touch(&source.join("d/e/c"), 5, 5);
    touch(&source.join("l"), 6, 6);
    world.push(&source, "data").await;
    let inode = identity(&to.join("d/e/c")).0;
    let pulled = world.pull("data", &to).await;
    assert_eq!((pulled.files_written, pulled.files_kept), (0, 3));
    assert_eq!(identity(&to.join("d/e/c")).0, inode);
    same(&walk(&source), &walk(&to));
}
