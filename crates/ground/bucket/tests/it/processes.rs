//! Several processes, and processes that are killed. A child is this program again, running the
//! test that started it, which then plays the child's part.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use cairn_bucket::{Bucket, Engine, Error};
use futures::TryStreamExt as _;

use crate::{ENGINES, open};

const DIR: &str = "TEST_CHILD_DIR";
const ENGINE: &str = "TEST_CHILD_ENGINE";
const NAME: &str = "TEST_CHILD_NAME";

/// Whether this process was started by [`child`]: a test that sees it plays the child's part.
fn is_child() -> bool {
    std::env::var_os(DIR).is_some()
}

/// Starts the test `role` as a process of its own.
fn child(role: &str, dir: &Path, engine: Engine, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([role, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(ENGINE, format!("{engine:?}"))
        .env(NAME, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

struct Role {
    bucket: Bucket,
    name: String,
}

/// What a child was started with. Waits for the word to begin.
async fn role() -> Role {
    let var = |name| std::env::var(name).unwrap();
    let engine = if var(ENGINE) == "Threads" { Engine::Threads } else { Engine::IoUring };
    let bucket = open(Path::new(&var(DIR)), engine).await;
    say("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    Role { bucket, name: var(NAME) }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // One write for one line: the parent never sees a part of an acknowledgement as a whole one.
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

pub(crate) fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    // The test harness prints lines of its own.
    out.lines().map_while(Result::ok)
}

fn begin(child: &mut Child, lines: &mut impl Iterator<Item = String>) {
    // The harness's own "test NAME ... " has no line end before it.
    assert!(lines.any(|line| line.ends_with("ready")), "the child did not start");
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
}

/// Runs children of one role at once and returns what they said after the begin.
fn run(role: &str, dir: &Path, count: usize) -> Vec<Vec<String>> {
    let mut children: Vec<_> =
        (0..count).map(|index| child(role, dir, ENGINES[index % 2], &index.to_string())).collect();
    let mut outputs: Vec<_> = children.iter_mut().map(lines).collect();
    for (child, lines) in children.iter_mut().zip(&mut outputs) {
        begin(child, lines);
    }
    let said = outputs.into_iter().map(Iterator::collect).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    said
}

async fn child_creates() {
    let Role { bucket, name } = role().await;
    for index in 0..100 {
        match bucket.create(&format!("once/{index}"), Bytes::from(name.clone())).await {
            Ok(_) => say(&format!("won {index}")),
            Err(Error::Exists { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn child_counts() {
    let Role { bucket, .. } = role().await;
    let mut done = 0;
    while done < 40 {
        let object = bucket.get("count").await.unwrap();
        let count: u64 = std::str::from_utf8(&object.bytes).unwrap().parse().unwrap();
        let next = Bytes::from((count + 1).to_string());
        match bucket.replace("count", next, &object.version).await {
            Ok(_) => done += 1,
            Err(Error::Changed { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Creates and deletes in one directory, so that the others' directory goes away under their hands.
async fn child_churns() {
    let Role { bucket, name } = role().await;
    for round in 0..60 {
        let key = format!("deep/er/{name}-{round}");
        bucket.create(&key, Bytes::from(key.clone())).await.unwrap();
        assert_eq!(bucket.get(&key).await.unwrap().bytes, key);
        bucket.delete(&key).await.unwrap();
    }
}

/// Writes for ever and says what was acknowledged.
async fn child_writes() {
    let Role { bucket, name } = role().await;
    let writers = (0..8).map(|writer| {
        let (bucket, name) = (bucket.clone(), name.clone());
        async move {
            for round in 0_u64.. {
                let key = format!("{name}/{writer}/{}/{round}", round % 3);
                bucket.create(&key, body(&key)).await.unwrap();
                say(&format!("wrote {key}"));
                let shared = format!("{name}/shared");
                bucket.put(&shared, body(&shared)).await.unwrap();
                if round % 5 == 4 {
                    let old = format!("{name}/{writer}/{}/{}", (round - 2) % 3, round - 2);
                    say(&format!("deleting {old}"));
                    bucket.delete(&old).await.unwrap();
                    say(&format!("deleted {old}"));
                }
            }
        }
    });
    futures::future::join_all(writers).await;
}

/// Some KiB that follow from the key.
fn body(key: &str) -> Bytes {
    key.bytes().cycle().take(100 + key.len() * 777).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// BUCKET-5
#[test]
fn bucket_5_creates_of_four_processes_have_one_winner_each() {
    if is_child() {
        return block_on(child_creates());
    }
    let dir = tempfile::tempdir().unwrap();
    let said =
        run("processes::bucket_5_creates_of_four_processes_have_one_winner_each", dir.path(), 4);
    let mut winners = BTreeMap::new();
    for (name, lines) in said.iter().enumerate() {
        for index in lines.iter().filter_map(|line| line.strip_prefix("won ")) {
            assert_eq!(winners.insert(index.to_owned(), name), None, "{index} was won twice");
        }
    }
    assert_eq!(winners.len(), 100);
    for (index, name) in winners {
        let bytes = std::fs::read(dir.path().join("once").join(index)).unwrap();
        assert_eq!(bytes, name.to_string().into_bytes());
    }
}

#[test]
fn counters_of_three_processes_lose_nothing() {
    if is_child() {
        return block_on(child_counts());
    }
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        open(dir.path(), Engine::Auto).await.create("count", Bytes::from("0")).await.unwrap();
    });
    run("processes::counters_of_three_processes_lose_nothing", dir.path(), 3);
    assert_eq!(std::fs::read(dir.path().join("count")).unwrap(), b"120");
}

#[test]
fn directories_that_come_and_go_lose_nothing() {
    if is_child() {
        return block_on(child_churns());
    }
    let dir = tempfile::tempdir().unwrap();
    run("processes::directories_that_come_and_go_lose_nothing", dir.path(), 3);
    assert!(!dir.path().join("deep").exists());
}

/// What a child has said about its keys.
#[derive(Default)]
pub(crate) struct Said {
    written: BTreeMap<String, bool>,
}

impl Said {
    /// Follows a line. Returns whether it was about a key.
    pub(crate) fn hear(&mut self, line: &str) -> bool {
        if let Some(key) = line.strip_prefix("wrote ") {
            self.written.insert(key.to_owned(), true);
        } else if let Some(key) = line.strip_prefix("deleting ") {
            // Until it is acknowledged it may be there or not.
            self.written.remove(key);
        } else if let Some(key) = line.strip_prefix("deleted ") {
            self.written.insert(key.to_owned(), false);
        } else {
            return false;
        }
        true
    }

    /// BUCKET-1 and BUCKET-4: what was acknowledged is there and whole; what was deleted is gone;
    /// nothing else is there in part.
    pub(crate) async fn check(&self, bucket: &Bucket) {
        for (key, there) in &self.written {
            match bucket.get(key).await {
                Ok(object) => {
                    assert!(there, "{key} is back");
                    assert!(object.bytes == body(key), "{key} is not whole");
                }
                Err(Error::Missing { .. }) => assert!(!there, "{key} is lost"),
                Err(error) => panic!("{key}: {error:?}"),
            }
        }
        let all: Vec<_> = bucket.list("").try_collect().await.unwrap();
        for head in all {
            assert!(bucket.get(&head.key).await.unwrap().bytes == body(&head.key), "{}", head.key);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }
}

/// Lets a child write until it has said `count` lines, then calls `stop`.
pub(crate) fn write_until(
    dir: &Path,
    engine: Engine,
    name: &str,
    count: usize,
    said: &mut Said,
    stop: impl FnOnce(&mut Child),
) {
    let mut child =
        child("processes::killed_writers_keep_what_was_acknowledged", dir, engine, name);
    let mut lines = lines(&mut child);
    begin(&mut child, &mut lines);
    let mut heard = 0;
    while heard < count {
        let line = lines.next().expect("the child stopped by itself");
        heard += usize::from(said.hear(&line));
    }
    stop(&mut child);
    // What it said before it stopped counts, too.
    for line in lines {
        said.hear(&line);
    }
    child.wait().unwrap();
}

#[test]
fn killed_writers_keep_what_was_acknowledged() {
    if is_child() {
        return block_on(child_writes());
    }
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let mut said = Said::default();
        for round in 0..6 {
            let count = 20 + 37 * round;
            write_until(dir.path(), engine, &round.to_string(), count, &mut said, |child| {
                child.kill().unwrap();
            });
            block_on(async {
                let bucket = open(dir.path(), engine).await;
                said.check(&bucket).await;
                // Its locks are free and its staged files are gone.
                let shared = format!("{round}/shared");
                bucket.put(&shared, body(&shared)).await.unwrap();
            });
            let staged = std::fs::read_dir(dir.path().join(".cairn-bucket/staged")).unwrap();
            assert_eq!(staged.count(), 0);
        }
        assert!(!said.is_empty());
    }
}
