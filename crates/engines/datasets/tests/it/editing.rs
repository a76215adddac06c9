//! Edits: what comes of them is what a push would have made, and nobody's file is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_datasets::{
    Browser, EDIT_OPEN_FILES_MAX, EDIT_WRITE_BYTES_MAX, EditId, EditPublication, Edits, Error,
    Expect, FileWrite,
};
use cairn_tree::{Kind, Time};
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::support::{World, noise, target};

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn names(path: &str) -> Vec<Vec<u8>> {
    path.split('/').map(|name| name.as_bytes().to_vec()).collect()
}

fn write(path: &str, offset: u64, size: u64) -> FileWrite {
    let mtime = Some(Time { secs: 1_700_000_000, nanos: 5 });
    FileWrite { path: names(path), offset, size, mtime, executable: Some(false) }
}

/// An edit of a tag, by ada.
struct Open {
    edits: Edits,
    id: EditId,
}

impl Open {
    async fn begin(edits: &Edits, tag: &str) -> Self {
        Self { id: edits.begin(&target(tag), "ada").await.unwrap(), edits: edits.clone() }
    }

    async fn try_put(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let size = bytes.len() as u64;
        let mut offset = 0;
        let none: &[u8] = &[];
        let pieces: Vec<&[u8]> = bytes.chunks(300_000).collect();
        for piece in if pieces.is_empty() { vec![none] } else { pieces } {
            let piece = Bytes::copy_from_slice(piece);
            let write = write(path, offset, size);
            offset += piece.len() as u64;
            let file = self.edits.write(self.id, "ada", write, piece).await?;
            assert_eq!((file.received, file.done), (offset, offset == size));
        }
        Ok(())
    }

    async fn put(&self, path: &str, bytes: &[u8]) {
        self.try_put(path, bytes).await.unwrap();
    }

    async fn piece(&self, path: &str, offset: u64, size: u64, bytes: &[u8]) -> Result<u64, Error> {
        let piece = Bytes::copy_from_slice(bytes);
        Ok(self.edits.write(self.id, "ada", write(path, offset, size), piece).await?.received)
    }

    async fn remove(&self, path: &str) -> Result<(), Error> {
        self.edits.remove(self.id, "ada", names(path)).await
    }

    async fn publish(&self) -> Result<cairn_datasets::Published, Error> {
        self.edits.publish(self.id, "ada", &EditPublication::default()).await
    }

    async fn expect(&self, expect: Expect) -> Result<cairn_datasets::Published, Error> {
        let publication = EditPublication { expect, message: Some("why".to_owned()) };
        self.edits.publish(self.id, "ada", &publication).await
    }
}

/// The files of a tag, read back, and its directories.
async fn files(world: &World, tag: &str) -> BTreeMap<String, Vec<u8>> {
    let Ok(version) = world.store.tag(&target(tag)).await else { return BTreeMap::new() };
    let browser = Browser::new(world.store.clone(), target(tag).dataset);
    let root = browser.root(version.current.root).await.unwrap();
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), root.page)];
    while let Some((at, page)) = open.pop() {
        let mut entries = browser.entries(page);
        while let Some(entry) = entries.next().await.unwrap() {
            let path = format!("{at}{}", String::from_utf8(entry.name.clone()).unwrap());
            match &entry.kind {
                Kind::Directory { page, .. } => open.push((format!("{path}/"), *page)),
                Kind::File { .. } | Kind::Hardlink { .. } => {
                    let file = browser.lookup_file(&root, &names(&path)).await.unwrap().unwrap();
                    let Kind::File { content } = file.kind else { panic!("{path}") };
                    let mut stream = browser.content(&content, 0..content.len).await.unwrap();
                    let mut all = Vec::new();
                    while let Some(piece) = stream.next().await.unwrap() {
                        all.extend_from_slice(&piece);
                    }
                    found.insert(path, all);
                }
                Kind::Symlink { .. } => {}
            }
        }
    }
    found
}

/// DATASETS-2: every version has all its chunks.
async fn sound(world: &World) {
    let verified = world.datasets.verify(std::sync::Arc::new(|_| {})).await.unwrap();
    assert!(verified.blocks.findings.is_empty(), "{:?}", verified.blocks.findings);
}

fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Owner numbers of an edit's files are 0, so only root can push the same.
#[test]
fn an_edit_makes_the_tree_that_a_push_makes() {
    run(async {
        let world = World::new().await;
        let source = world.dir("source");
        std::fs::create_dir_all(source.join("a/b")).unwrap();
        let contents: [(&str, Vec<u8>); 6] = [
            ("empty", Vec::new()),
            ("small", noise(1, 10)),
            ("a/middle", noise(2, 1_000_000)),
            ("a/one more than a megabyte", noise(3, 1024 * 1024 + 1)),
            ("a/b/large", noise(4, 5_000_000)),
            ("zeros", vec![0; 3_000_000]),
        ];
        for (path, bytes) in &contents {
            std::fs::write(source.join(path), bytes).unwrap();
            set_mtime(&source.join(path), 1_700_000_000, 5);
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(source.join(path), mode).unwrap();
        }
        for directory in ["a/b", "a", ""] {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(source.join(directory), mode).unwrap();
            set_mtime(&source.join(directory), 1_700_000_000, 5);
        }
        if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&source).unwrap()) != 0 {
            eprintln!("skipped: only root pushes files of root");
            return;
        }
        let pushed = world.push(&source, "pushed").await;
        let edits = Edits::new(world.fresh().await);
        let edit = Open::begin(&edits, "edited").await;
        for (path, bytes) in contents.iter().rev() {
            edit.put(path, bytes).await;
        }
        let published = edit.publish().await.unwrap();
        assert_eq!(published.version.root, pushed.version.root);
        assert_eq!((published.version.files, published.version.bytes), (6, pushed.version.bytes));
        assert_eq!(published.version.by, "ada");
        // The chunks were there already; what is new is nothing but what a push of the same would add.
        assert_eq!(published.stored.chunks, 0, "an edit finds what is stored");
        assert_eq!(edits.count(), 0);
        assert!(matches!(edit.publish().await, Err(Error::NoEdit { .. })));
        sound(&world).await;
    });
}

#[test]
fn an_edit_changes_what_it_names_alone() {
    run(async {
        let world = World::new().await;
        let source = world.dir("source");
        for path in ["keep/a", "keep/b", "d/old", "d/gone", "top"] {
            std::fs::create_dir_all(source.join(path).parent().unwrap()).unwrap();
            std::fs::write(source.join(path), path).unwrap();
        }
        let mode = std::fs::Permissions::from_mode(0o750);
        std::fs::set_permissions(source.join("d/old"), mode).unwrap();
        std::os::unix::fs::symlink("top", source.join("link")).unwrap();
        let before = world.push(&source, "data").await.version;
        let edits = Edits::new(world.datasets.clone());
        let edit = Open::begin(&edits, "data").await;
        edit.put("d/new/deep", b"deep").await;
        edit.put("top", b"changed").await;
        let kept = FileWrite { executable: None, ..write("d/old", 0, 3) };
        edits.write(edit.id, "ada", kept, Bytes::from_static(b"new")).await.unwrap();
        edit.remove("d/gone").await.unwrap();
        let status = edits.status(edit.id, "ada", 10, None).await.unwrap();
        let paths: Vec<&str> = status.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!((paths, status.next), (vec!["d/new/deep", "d/old", "top"], None));
        assert_eq!(status.removed, ["d/gone"]);
        // Nobody sees it before.
        assert_eq!(files(&world, "data").await["top"], b"top");
        let published = edit.expect(Expect::Version(before.id())).await.unwrap();
        assert_eq!(published.version.message.as_deref(), Some("why"));
        let after = files(&world, "data").await;
        let expected: BTreeMap<String, Vec<u8>> = [
            ("keep/a", "keep/a"),
            ("keep/b", "keep/b"),
            ("d/old", "new"),
            ("d/new/deep", "deep"),
            ("top", "changed"),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into();
        assert_eq!(after, expected);
        let browser = world.browser("data");
        let old = browser.root(before.root).await.unwrap();
        let new = browser.root(published.version.root).await.unwrap();
        let look = async |root, path| browser.lookup(root, &names(path)).await.unwrap().unwrap();
        assert_eq!(look(&old, "keep").await, look(&new, "keep").await, "its page is reused");
        assert_eq!(look(&old, "link").await, look(&new, "link").await);
        assert_eq!(look(&new, "d/old").await.meta.mode, 0o750, "a file keeps its mode");
        assert_eq!(look(&new, "top").await.meta.mode, 0o644, "it was said");
        // An edit that changes nothing makes no version.
        let nothing = Open::begin(&edits, "data").await;
        assert_eq!(nothing.publish().await.unwrap().version, published.version);
    });
}

#[test]
fn further_names_of_a_file_stay_what_they_are() {
    run(async {
        let world = World::new().await;
        let source = world.dir("source");
        std::fs::create_dir_all(source.join("d")).unwrap();
        std::fs::write(source.join("a"), "of a").unwrap();
        for link in ["b", "d/c", "e"] {
            std::fs::hard_link(source.join("a"), source.join(link)).unwrap();
        }
        world.push(&source, "data").await;
        let edits = Edits::new(world.datasets.clone());
        let edit = Open::begin(&edits, "data").await;
        edit.put("a", b"another").await;
        edit.remove("b").await.unwrap();
        edit.publish().await.unwrap();
        let after = files(&world, "data").await;
        assert_eq!(after["a"], b"another");
        assert_eq!((after["d/c"].as_slice(), after["e"].as_slice()), (&b"of a"[..], &b"of a"[..]));
        assert_eq!(after.len(), 3);
        let gone = Open::begin(&edits, "data").await;
        gone.remove("d").await.unwrap();
        gone.publish().await.unwrap();
        assert_eq!(files(&world, "data").await["e"], b"of a");
        sound(&world).await;
        let to = world.path("pulled");
        world.pull("data", &to).await;
        assert_eq!(std::fs::read(to.join("e")).unwrap(), b"of a");
    });
}

/// DATASETS-7: of two edits at once of one tag no file is lost.
#[test]
fn edits_at_once_of_one_tag_all_count() {
    run(async {
        let world = World::new().await;
        let edits = [Edits::new(world.datasets.clone()), Edits::new(world.fresh().await)];
        let mut open = Vec::new();
        for number in 0..12_usize {
            let edit = Open::begin(&edits[number % 2], "data").await;
            edit.put(&format!("d/{number}"), &noise(number as u64, 100_000)).await;
            open.push(edit);
        }
        let published = futures::future::join_all(open.iter().map(Open::publish)).await;
        for published in published {
            published.unwrap();
        }
        let all = files(&world, "data").await;
        for number in 0..12_usize {
            assert_eq!(all[&format!("d/{number}")], noise(number as u64, 100_000));
        }
        let tag = world.store.tag(&target("data")).await.unwrap();
        assert_eq!(tag.history.len(), 11);
        sound(&world).await;
    });
}

#[test]
fn what_is_expected_of_a_tag_holds_or_nothing_is_published() {
    run(async {
        let world = World::new().await;
        let edits = Edits::new(world.datasets.clone());
        let edit = Open::begin(&edits, "data").await;
        edit.put("a", b"1").await;
        let wrong = edit.expect(Expect::Version("1-abc".to_owned())).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Conflict, "{wrong}");
        let first = edit.expect(Expect::Nothing).await.unwrap().version;
        let edit = Open::begin(&edits, "data").await;
        edit.put("a", b"2").await;
        let wrong = edit.expect(Expect::Nothing).await.unwrap_err();
        assert!(matches!(wrong, Error::Moved { .. }), "{wrong}");
        // It stays, and what it holds is published when it fits.
        edit.expect(Expect::Version(first.root.to_string())).await.unwrap();
        assert_eq!(files(&world, "data").await["a"], b"2");
        let empty = Open::begin(&edits, "nothing").await;
        assert!(matches!(empty.publish().await, Err(Error::Invalid { .. })));
    });
}

#[test]
fn a_file_goes_on_where_it_ends() {
    run(async {
        let world = World::new().await;
        let edits = Edits::new(world.datasets.clone());
        let edit = Open::begin(&edits, "data").await;
        let bytes = noise(9, 2_500_000);
        assert_eq!(edit.piece("f", 0, 2_500_000, &bytes[..1_000_000]).await.unwrap(), 1_000_000);
        for wrong in [0, 999_999, 1_000_001] {
            let error = edit.piece("f", wrong, 2_500_000, &bytes[..1]).await.unwrap_err();
            assert!(matches!(error, Error::Offset { received: 1_000_000, .. }), "{wrong}: {error}");
        }
        let early = edit.publish().await.unwrap_err();
        assert!(
            matches!(early, Error::Edit { .. }),
            "a file that is not done is not published: {early}"
        );
        let other = edits.write(edit.id, "bob", write("f", 0, 1), Bytes::from_static(b"x")).await;
        assert!(matches!(other, Err(Error::NoEdit { .. })), "an edit is its owner's");
        assert_eq!(
            edit.piece("f", 1_000_000, 2_500_000, &bytes[1_000_000..]).await.unwrap(),
            2_500_000
        );
        edit.publish().await.unwrap();
        assert_eq!(files(&world, "data").await["f"], bytes);
        // A done file is replaced from its beginning, one that has begun by another of its name too.
        let edit = Open::begin(&edits, "data").await;
        edit.put("f", b"first").await;
        edit.put("f", b"second").await;
        assert_eq!(edit.piece("g", 0, 100, b"abc").await.unwrap(), 3);
        edit.put("g", b"whole").await;
        edit.publish().await.unwrap();
        let after = files(&world, "data").await;
        assert_eq!((after["f"].as_slice(), after["g"].as_slice()), (&b"second"[..], &b"whole"[..]));
    });
}

#[test]
fn lies_and_hostile_paths_are_refused() {
    run(async {
        let world = World::new().await;
        let edits = Edits::new(world.datasets.clone());
        let edit = Open::begin(&edits, "data").await;
        let refused = async |write: FileWrite, bytes: &'static [u8]| {
            let error = edits.write(edit.id, "ada", write, Bytes::from_static(bytes)).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        };
        let long = "x".repeat(1025);
        let deep = ["d"; 257].join("/");
        let wide = [&long[..1000]; 5].join("/");
        for path in ["", ".", "..", "a/../b", "a//b", "/a", "a/", "nul\0", &long, &deep, &wide] {
            refused(write(path, 0, 1), b"x").await;
        }
        let raw = FileWrite { path: vec![b"\xff".to_vec()], ..write("a", 0, 1) };
        refused(raw, b"x").await;
        let slash = FileWrite { path: vec![b"a/b".to_vec()], ..write("a", 0, 1) };
        refused(slash, b"x").await;
        refused(FileWrite { path: Vec::new(), ..write("a", 0, 1) }, b"x").await;
        refused(write("a", 0, 3), b"more than it says").await;
        refused(write("a", u64::MAX, u64::MAX), b"x").await;
        refused(write("a", 0, u64::MAX), b"x").await;
        edit.put("file", b"x").await;
        edit.put("dir/file", b"x").await;
        for (path, _why) in
            [("file/below", "a file"), ("dir", "a directory"), ("dir/file/x/y", "a file")]
        {
            let error = edit.try_put(path, b"x").await.unwrap_err();
            assert!(matches!(error, Error::WrongKind { .. }), "{path}: {error}");
        }
        let none = edit.remove("nothing").await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound, "{none}");
        for number in 0..EDIT_OPEN_FILES_MAX {
            edit.piece(&format!("open{number}"), 0, 10, b"x").await.unwrap();
        }
        let many = edit.piece("one more", 0, 10, b"x").await.unwrap_err();
        assert_eq!(many.kind(), ErrorKind::Conflict, "{many}");
        edit.remove("open0").await.unwrap();
        edit.piece("one more", 0, 10, b"x").await.unwrap();
        edits.abandon(edit.id, "ada").await.unwrap();
        assert!(world.store.tag(&target("data")).await.is_err(), "nothing was published");
    });
}

/// A file may take a directory's place and the other way round only when what is there goes first; the
/// version says what is there when the edit is published.
#[test]
fn a_file_is_not_put_where_a_directory_is() {
    run(async {
        let world = World::new().await;
        let edits = Edits::new(world.datasets.clone());
        let first = Open::begin(&edits, "data").await;
        first.put("d/x", b"x").await;
        first.put("f", b"f").await;
        first.publish().await.unwrap();
        for (path, expected) in [("d", "a directory"), ("f/below", "a file")] {
            let edit = Open::begin(&edits, "data").await;
            edit.put(path, b"new").await;
            let error = edit.publish().await.unwrap_err();
            assert!(
                matches!(&error, Error::WrongKind { found, .. } if *found == expected),
                "{error}"
            );
            let gone = path.split('/').next().unwrap();
            // What is in the way is taken out, after which the file is put again.
            edit.remove(path).await.unwrap();
            edit.remove(gone).await.unwrap_or_default();
            edit.put(path, b"new").await;
            edit.publish().await.unwrap();
            assert_eq!(files(&world, "data").await[path], b"new");
        }
    });
}

#[derive(Clone, Debug)]
enum Act {
    Put(String, u64),
    Remove(String),
    Publish,
}

fn act() -> impl Strategy<Value = Act> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    prop_oneof![
        4 => (path.clone(), 0_u64..4).prop_map(|(path, seed)| Act::Put(path, seed)),
        2 => path.prop_map(Act::Remove),
        1 => Just(Act::Publish),
    ]
}

fn below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Random edits against a map of paths, on a tree with pages of its own.
    #[test]
    fn edits_do_what_they_do_to_a_map(acts in prop::collection::vec(act(), 1..40)) {
        run(async {
            let world = World::new().await;
            let edits = Edits::new(world.datasets.clone());
            let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
            let mut edit = Open::begin(&edits, "data").await;
            edit.put("root", b"there").await;
            model.insert("root".to_owned(), b"there".to_vec());
            edit.publish().await.unwrap();
            let mut next = model.clone();
            edit = Open::begin(&edits, "data").await;
            // Directories that the version has stay when their last file goes.
            let mut directories: BTreeSet<String> = BTreeSet::new();
            for act in acts {
                match act {
                    Act::Put(path, seed) => {
                        let blocked = next.keys().any(|at| below(&path, at) || below(at, &path))
                            || directories.contains(&path);
                        if blocked {
                            continue;
                        }
                        let bytes = noise(seed, usize::try_from(seed).unwrap() * 30_000);
                        edit.put(&path, &bytes).await;
                        next.insert(path, bytes);
                    }
                    Act::Remove(path) => {
                        let had = next.keys().any(|at| *at == path || below(at, &path));
                        let removed = edit.remove(&path).await;
                        if had {
                            removed.unwrap();
                        }
                        next.retain(|at, _| *at != path && !below(at, &path));
                        directories.retain(|at| *at != path && !below(at, &path));
                    }
                    Act::Publish => {
                        edit.publish().await.unwrap();
                        model = next.clone();
                        assert_eq!(files(&world, "data").await, model);
                        for path in model.keys() {
                            let ends = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
                            directories.extend(ends);
                        }
                        edit = Open::begin(&edits, "data").await;
                    }
                }
            }
            edit.publish().await.unwrap();
            assert_eq!(files(&world, "data").await, next);
            sound(&world).await;
        });
    }
}

const _: () = assert!(EDIT_WRITE_BYTES_MAX >= 300_000);

#[test]
fn what_is_cleared_is_gone_and_a_tag_is_made_without_files() {
    run(async {
        let world = World::new().await;
        let edits = Edits::new(world.datasets.clone());
        let open = Open::begin(&edits, "v").await;
        open.put("given up", b"x").await;
        edits.clear(open.id, "ada").unwrap();
        let made = open.expect(Expect::Nothing).await.unwrap();
        assert_eq!((made.version.files, files(&world, "v").await.len()), (0, 0));
        let open = Open::begin(&edits, "v").await;
        edits.clear(open.id, "ada").unwrap();
        assert!(matches!(open.expect(Expect::Nothing).await, Err(Error::Moved { .. })));
        open.put("a", b"x").await;
        open.put("b/c", b"y").await;
        open.publish().await.unwrap();
        assert_eq!(files(&world, "v").await.len(), 2);
        let open = Open::begin(&edits, "v").await;
        open.put("d", b"given up").await;
        edits.clear(open.id, "ada").unwrap();
        open.put("b", b"now a file").await;
        open.publish().await.unwrap();
        let left = BTreeMap::from([("b".to_owned(), b"now a file".to_vec())]);
        assert_eq!(files(&world, "v").await, left);
        assert!(matches!(edits.clear(open.id, "eve"), Err(Error::NoEdit { .. })));
        sound(&world).await;
    });
}
