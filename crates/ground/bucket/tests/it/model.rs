//! Random operations against a map.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Engine, Error, Version};
use futures::TryStreamExt as _;
use proptest::prelude::*;

use crate::{ENGINES, open};

#[derive(Clone, Debug)]
enum Step {
    Put(usize, usize),
    Create(usize, usize),
    Replace(usize, usize),
    ReplaceStale(usize, usize),
    Delete(usize),
    Get(usize),
    Range(usize, u64, u64),
    List(usize),
    Reopen,
}

/// Some are parts of others: no object lies below an object in a directory.
const KEYS: [&str; 7] = ["a", "a/b", "a/b/c", "b", "c/d", "c/e", "x y/ü"];

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    let len = prop_oneof![0..40_usize, 4000..5000_usize, Just(300_000)];
    prop_oneof![
        3 => (key.clone(), len.clone()).prop_map(|(key, len)| Step::Put(key, len)),
        3 => (key.clone(), len.clone()).prop_map(|(key, len)| Step::Create(key, len)),
        3 => (key.clone(), len.clone()).prop_map(|(key, len)| Step::Replace(key, len)),
        1 => (key.clone(), len).prop_map(|(key, len)| Step::ReplaceStale(key, len)),
        3 => key.clone().prop_map(Step::Delete),
        2 => key.clone().prop_map(Step::Get),
        2 => (key.clone(), 0..6000_u64, 0..6000_u64).prop_map(|(key, a, b)| Step::Range(key, a, b)),
        1 => key.prop_map(Step::List),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    objects: BTreeMap<String, (Bytes, Version)>,
    stale: Vec<Version>,
    count: u8,
}

impl Model {
    fn bytes(&mut self, len: usize) -> Bytes {
        self.count = self.count.wrapping_add(1);
        vec![self.count; len].into()
    }

    /// Whether a directory cannot hold `key` beside the others.
    fn clashes(&self, key: &str) -> bool {
        let below = |long: &str, short: &str| {
            long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'))
        };
        self.objects.keys().any(|other| below(other, key) || below(key, other))
    }

    fn write(&mut self, key: &str, bytes: Bytes, answer: Result<Version, Error>) {
        if self.clashes(key) {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
            assert!(error.to_string().contains(key), "{error}");
            return;
        }
        let version = answer.unwrap();
        let old = self.objects.insert(key.to_owned(), (bytes, version.clone()));
        if let Some((_, old)) = old {
            assert_ne!(old, version);
            self.stale.push(old);
        }
    }

    async fn apply(&mut self, bucket: &mut Bucket, dir: &Path, engine: Engine, step: Step) {
        match step {
            Step::Put(key, len) => {
                let bytes = self.bytes(len);
                let answer = bucket.put(KEYS[key], bytes.clone()).await;
                self.write(KEYS[key], bytes, answer);
            }
            Step::Create(key, len) => {
                let bytes = self.bytes(len);
                let answer = bucket.create(KEYS[key], bytes.clone()).await;
                if self.objects.contains_key(KEYS[key]) {
                    assert!(matches!(answer, Err(Error::Exists { .. })), "{answer:?}");
                } else {
                    self.write(KEYS[key], bytes, answer);
                }
            }
            Step::Replace(key, len) => {
                let Some((_, version)) = self.objects.get(KEYS[key]).cloned() else { return };
                let bytes = self.bytes(len);
                let answer = bucket.replace(KEYS[key], bytes.clone(), &version).await;
                self.write(KEYS[key], bytes, answer);
            }
            Step::ReplaceStale(key, len) => {
                let Some(version) = self.stale.last().cloned() else { return };
                let answer = bucket.replace(KEYS[key], self.bytes(len), &version).await;
                assert!(matches!(answer, Err(Error::Changed { .. })), "{answer:?}");
            }
            Step::Delete(key) => {
                bucket.delete(KEYS[key]).await.unwrap();
                if let Some((_, version)) = self.objects.remove(KEYS[key]) {
                    self.stale.push(version);
                }
            }
            Step::Reopen => *bucket = open(dir, engine).await,
            step => self.check(bucket, step).await,
        }
    }

    async fn check(&self, bucket: &Bucket, step: Step) {
        match step {
            Step::Get(key) => match (bucket.get(KEYS[key]).await, self.objects.get(KEYS[key])) {
                (Ok(found), Some((bytes, version))) => {
                    assert_eq!((&found.bytes, &found.version), (bytes, version));
                }
                (Err(Error::Missing { .. }), None) => {}
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            },
            Step::Range(key, start, end) => {
                let found = bucket.get_range(KEYS[key], start..end).await;
                match self.objects.get(KEYS[key]) {
                    _ if start > end => assert!(matches!(found, Err(Error::Range { .. }))),
                    _ if start == end => assert_eq!(found.unwrap(), ""),
                    None => assert!(matches!(found, Err(Error::Missing { .. }))),
                    Some((bytes, _)) if end > bytes.len() as u64 => {
                        assert!(matches!(found, Err(Error::Range { .. })), "{found:?}");
                    }
                    Some((bytes, _)) => {
                        assert_eq!(found.unwrap(), bytes.slice(start as usize..end as usize));
                    }
                }
            }
            Step::List(key) => self.check_list(bucket, KEYS[key]).await,
            _ => {}
        }
    }

    async fn check_list(&self, bucket: &Bucket, prefix: &str) {
        let found: Vec<_> = bucket.list(prefix).try_collect().await.unwrap();
        let mut found: Vec<_> =
            found.into_iter().map(|head| (head.key, head.size, head.version)).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let below = |key: &str| {
            prefix.is_empty() || key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        };
        let expected: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, _)| below(key))
            .map(|(key, (bytes, version))| (key.clone(), bytes.len() as u64, version.clone()))
            .collect();
        assert_eq!(found, expected);
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_directory_is_a_map(steps in prop::collection::vec(step(), 1..60), ring in any::<bool>()) {
        let engine = ENGINES[usize::from(ring)];
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let mut bucket = open(dir.path(), engine).await;
            let mut model = Model::default();
            for step in steps {
                model.apply(&mut bucket, dir.path(), engine, step).await;
            }
            model.check_list(&bucket, "").await;
        });
    }

    #[test]
    fn hostile_keys_stay_inside(key in hostile_key()) {
        run(async {
            let outer = tempfile::tempdir().unwrap();
            let dir = outer.path().join("bucket");
            let bucket = {
                std::fs::create_dir(&dir).unwrap();
                open(&dir, Engine::Threads).await
            };
            match bucket.put(&key, Bytes::from_static(b"x")).await {
                Ok(_) => {
                    assert_eq!(bucket.get(&key).await.unwrap().bytes, "x");
                    let all: Vec<_> = bucket.list("").try_collect().await.unwrap();
                    assert_eq!(all.len(), 1);
                    assert_eq!(all[0].key, key);
                    bucket.delete(&key).await.unwrap();
                }
                Err(error) => {
                    assert!(matches!(error, Error::Key { .. }), "{error:?}");
                    assert!(error.to_string().len() < 800);
                }
            }
            drop(bucket);
            let names = |dir: &Path| {
                let entries = std::fs::read_dir(dir).unwrap();
                entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
            };
            assert_eq!(names(outer.path()), ["bucket"]);
            assert_eq!(names(&dir), [".cairn-bucket"]);
        });
    }
}

fn hostile_key() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(String::from("..")),
        Just(String::from(".")),
        Just(String::new()),
        Just(String::from(".cairn-bucket")),
        Just(String::from("staged")),
        "[a-z]{1,3}",
        "\\PC{0,4}",
        any::<String>(),
        (200..300_usize).prop_map(|len| "n".repeat(len)),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.join("/"))
}
