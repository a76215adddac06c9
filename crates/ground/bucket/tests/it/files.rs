//! What only a directory can do: survive, fill up, be damaged, be shared with people.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Engine, Error, Options};
use cairn_env::Env;
use futures::TryStreamExt as _;
use object_store::path::Path as Key;
use object_store::{Attribute, Attributes, ObjectStoreExt as _, PutOptions};

use crate::{ENGINES, open, try_open, url_of, whole};

async fn keys(bucket: &Bucket) -> Vec<String> {
    let mut keys: Vec<String> =
        bucket.list("").map_ok(|head| head.key).try_collect().await.unwrap();
    keys.sort();
    keys
}

#[tokio::test]
async fn attributes_and_versions_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let name = Attribute::Metadata("who".into());
    let bucket = open(dir.path(), Engine::Auto).await;
    let attributes = Attributes::from_iter([(name.clone(), "me")]);
    let options = PutOptions { attributes, ..PutOptions::default() };
    bucket.store().put_opts(&Key::from("k"), "v".into(), options).await.unwrap();
    let version = bucket.head("k").await.unwrap().version;
    drop(bucket);
    for engine in ENGINES {
        let bucket = open(dir.path(), engine).await;
        assert_eq!(bucket.get("k").await.unwrap().version, version);
        let found = bucket.store().get(&Key::from("k")).await.unwrap();
        assert_eq!(found.attributes.get(&name).map(AsRef::as_ref), Some("me"));
    }
    let bucket = open(dir.path(), Engine::Auto).await;
    bucket.replace("k", Bytes::from_static(b"w"), &version).await.unwrap();
}

#[tokio::test]
async fn who_only_looks_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let look = |name: &str| {
        let options = Options { make: false, ..Options::default() };
        let url = format!("{}{name}", url_of(dir.path()));
        async move { Bucket::open(&url, options, &Env::real()).await }
    };
    let error = look("none/deep").await.unwrap_err();
    assert!(matches!(error, Error::NoDirectory { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    std::fs::create_dir(dir.path().join("plain")).unwrap();
    let bucket = look("plain").await.unwrap();
    assert_eq!(keys(&bucket).await, Vec::<String>::new());
    assert!(matches!(bucket.get("k").await.unwrap_err(), Error::Missing { .. }));
    let names = |name: &str| std::fs::read_dir(dir.path().join(name)).unwrap().count();
    assert_eq!((names(""), names("plain")), (1, 0));
    bucket.create("k", Bytes::from_static(b"v")).await.unwrap();
    assert_eq!(look("plain").await.unwrap().get("k").await.unwrap().bytes, "v");
    let root = Bucket::open("file:///", Options::default(), &Env::real()).await.unwrap_err();
    assert!(matches!(root, Error::Url { .. }), "{root:?}");
}

#[tokio::test]
async fn too_many_attributes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = open(dir.path(), Engine::Auto).await;
    let attributes = Attributes::from_iter([(Attribute::ContentType, "x".repeat(3000))]);
    let options = PutOptions { attributes, ..PutOptions::default() };
    let error = bucket.store().put_opts(&Key::from("k"), "v".into(), options).await.unwrap_err();
    assert!(whole(&error).contains("attributes take"), "{error:?}");
    assert_eq!(keys(&bucket).await, Vec::<String>::new());
}

#[tokio::test]
async fn files_that_people_put_there_are_objects() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = open(dir.path(), Engine::Auto).await;
    std::fs::create_dir(dir.path().join("by")).unwrap();
    std::fs::write(dir.path().join("by/hand"), "one").unwrap();
    symlink("/etc/passwd", dir.path().join("by/link")).unwrap();
    symlink("/etc", dir.path().join("by/dir")).unwrap();
    std::fs::create_dir_all(dir.path().join("empty/directories")).unwrap();

    assert_eq!(keys(&bucket).await, ["by/hand"]);
    let level = bucket.store().list_with_delimiter(None).await.unwrap();
    assert_eq!(level.common_prefixes, [Key::from("by")], "an empty directory is no prefix");
    for key in ["by/link", "by/dir/passwd", "by", "by/hand/below"] {
        let error = bucket.get(key).await.unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{key}: {error:?}");
    }
    let first = bucket.get("by/hand").await.unwrap();
    assert_eq!(first.bytes, "one");
    assert_eq!(bucket.head("by/hand").await.unwrap().version, first.version);
    std::fs::write(dir.path().join("by/hand"), "two").unwrap();
    let error = bucket.replace("by/hand", Bytes::new(), &first.version).await.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
    let second = bucket.get("by/hand").await.unwrap();
    bucket.replace("by/hand", Bytes::from_static(b"three"), &second.version).await.unwrap();

    bucket.put("empty/directories", Bytes::from_static(b"an object now")).await.unwrap();
}

#[tokio::test]
async fn objects_and_directories_do_not_share_a_name() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let bucket = open(dir.path(), engine).await;
        bucket.put("a/b", Bytes::from_static(b"x")).await.unwrap();
        for (key, text) in [("a", "there are objects below it"), ("a/b/c", "\"a/b\" is an object")]
        {
            let bytes = Bytes::from_static(b"y");
            for error in [bucket.put(key, bytes.clone()).await, bucket.create(key, bytes).await] {
                let error = error.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
                assert!(whole(&error).contains(text), "{}", whole(&error));
                assert!(error.to_string().contains(key), "{error}");
            }
        }
        bucket.delete("a").await.unwrap();
        bucket.delete("a/b/c").await.unwrap();
        assert_eq!(bucket.get("a/b").await.unwrap().bytes, "x");
    }
}

#[tokio::test]
async fn damaged_attributes_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = open(dir.path(), Engine::Auto).await;
    bucket.put("k", Bytes::from_static(b"x")).await.unwrap();
    let file = dir.path().join("k");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&file, "user.cairn", b"\x01short", flags).unwrap();
    let error = bucket.get("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("\"k\""), "{error}");
    bucket.put("k", Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(bucket.get("k").await.unwrap().bytes, "y");
}

#[tokio::test]
async fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), Engine::Auto).await);
    std::fs::write(dir.path().join(".cairn-bucket/format"), "cairn bucket 2\n").unwrap();
    let error = try_open(dir.path(), Engine::Auto).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("cairn bucket 2"), "{error}");
}

#[tokio::test]
async fn a_directory_that_is_gone_is_not_an_empty_bucket() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let bucket = open(dir.path(), engine).await;
        bucket.put("a/k", Bytes::from_static(b"x")).await.unwrap();
        std::fs::remove_dir_all(dir.path()).unwrap();
        let errors = [
            bucket.get("a/k").await.map(drop),
            bucket.put("a/k", Bytes::new()).await.map(drop),
            bucket.create("b/c", Bytes::new()).await.map(drop),
            bucket.delete("a/k").await,
            bucket.list("").try_collect::<Vec<_>>().await.map(drop),
        ];
        for (index, error) in errors.into_iter().enumerate() {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{index}: {error:?}");
            assert!(whole(&error).contains("no longer there"), "{}", whole(&error));
        }
    }
}

#[tokio::test]
async fn staged_files_of_the_dead_are_swept_and_of_the_living_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let alive = open(dir.path(), Engine::Auto).await;
    let mut upload = alive.store().put_multipart(&Key::from("big")).await.unwrap();
    upload.put_part("half ".into()).await.unwrap();
    let staged = dir.path().join(".cairn-bucket/staged");
    let dead = staged.join("dead");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::fs::write(dead.join("7"), "half an object").unwrap();
    drop(open(dir.path(), Engine::Auto).await);
    assert!(!dead.exists());
    assert_eq!(std::fs::read_dir(&staged).unwrap().count(), 1);
    upload.put_part("done".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(alive.get("big").await.unwrap().bytes, "half done");
    drop((alive, upload));
    assert_eq!(std::fs::read_dir(&staged).unwrap().count(), 0, "a session outlives its handle");
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = open(dir.path(), Engine::Auto).await;
    let mut upload = bucket.store().put_multipart(&Key::from("big")).await.unwrap();
    drop(upload.put_part("never awaited".into()));
    let error = upload.complete().await.unwrap_err();
    assert!(whole(&error).contains("part"), "{error:?}");
    drop(upload);
    let sessions = std::fs::read_dir(dir.path().join(".cairn-bucket/staged")).unwrap();
    for session in sessions {
        let files = std::fs::read_dir(session.unwrap().path()).unwrap();
        assert_eq!(files.count(), 1, "only the lock");
    }
    assert_eq!(keys(&bucket).await, Vec::<String>::new());
}

/// A filesystem of its own, unmounted when dropped.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    /// `None`, with a loud note, where mounting is refused.
    pub(crate) fn new(at: &Path, args: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let output = Command::new("mount").args(args).arg(at).output().unwrap();
        if output.status.success() {
            return Some(Self(at.to_owned()));
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        eprintln!("SKIPPED: mount {args:?} is refused here, nothing was tested: {reason}");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The kernel takes a ring of a killed process down in its own time, and its files with it.
        for _ in 0..1000 {
            let done = Command::new("umount").arg(&self.0).stderr(Stdio::null()).status();
            if done.is_ok_and(|status| status.success()) {
                return;
            }
            // tidy: foreign process
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("{} stays mounted: something holds a file in it", self.0.display());
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_names_the_directory() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("small");
        let Some(_mount) = Mount::new(&at, &["-t", "tmpfs", "-o", "size=1M", "tmpfs"]) else {
            return;
        };
        let bucket = open(&at, engine).await;
        let kept = bucket.put("kept", Bytes::from(vec![1; 300_000])).await.unwrap();
        let error = bucket.put("k/too-large", Bytes::from(vec![2; 2_000_000])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
        assert!(error.to_string().contains("k/too-large"), "{error}");
        assert!(whole(&error).contains(at.to_str().unwrap()), "{}", whole(&error));
        let error = bucket.replace("kept", Bytes::from(vec![2; 2_000_000]), &kept).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Exhausted);
        // Nothing was lost, nothing half done, and there is room again.
        assert_eq!(keys(&bucket).await, ["kept"]);
        assert_eq!(bucket.get("kept").await.unwrap().version, kept);
        bucket.put("k/fits", Bytes::from(vec![2; 300_000])).await.unwrap();
        drop(bucket);
    }
}

#[tokio::test]
async fn a_filesystem_without_attributes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("ramfs");
    let Some(_mount) = Mount::new(&at, &["-t", "ramfs", "ramfs"]) else { return };
    let error = try_open(&at, Engine::Auto).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("extended attributes"), "{error}");
}

#[tokio::test]
async fn a_read_only_directory_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("readonly");
    let Some(_mount) = Mount::new(&at, &["-t", "tmpfs", "tmpfs"]) else { return };
    let bucket = open(&at, Engine::Auto).await;
    bucket.put("a/k", Bytes::from_static(b"x")).await.unwrap();
    drop(bucket);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&at).status().unwrap();
    assert!(remounted.success());
    for engine in ENGINES {
        let bucket = open(&at, engine).await;
        assert_eq!(bucket.get("a/k").await.unwrap().bytes, "x");
        assert_eq!(keys(&bucket).await, ["a/k"]);
        for error in [bucket.put("b", Bytes::new()).await.map(drop), bucket.delete("a/k").await] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Denied);
        }
    }
}
