use std::ops::Range;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Plain};
use cairn_env::Env;
use futures::executor::block_on;
use object_store::{GetRange, ObjectStoreExt as _, UpdateVersion};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::*;

const PAGE: usize = 64;
const TAG_BYTES: usize = 32;
const NONCE_BYTES: usize = 16;

/// A seal that encrypts and authenticates, with one key.
pub(crate) struct Keyed(pub(crate) Arc<dyn Rng>);

impl Keyed {
    fn mask(nonce: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut stream = vec![0; bytes.len()];
        blake3::Hasher::new_keyed(&[5; 32]).update(nonce).finalize_xof().fill(&mut stream);
        bytes.iter().zip(stream).map(|(a, b)| a ^ b).collect()
    }

    fn tag(name: &str, body: &[u8]) -> blake3::Hash {
        let name = blake3::hash(name.as_bytes());
        blake3::Hasher::new_keyed(&[6; 32]).update(name.as_bytes()).update(body).finalize()
    }
}

impl Seal for Keyed {
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        self.0.fill(&mut nonce);
        let mut body = nonce.to_vec();
        body.extend(Self::mask(&nonce, plain));
        let tag = Self::tag(name, &body);
        body.extend_from_slice(tag.as_bytes());
        body
    }

    fn open(&self, name: &str, sealed: &[u8]) -> std::result::Result<Vec<u8>, SealError> {
        let refused = || SealError { kind: ErrorKind::Corrupt, detail: "refused".to_owned() };
        let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(refused)?;
        let (nonce, masked) = body.split_first_chunk::<NONCE_BYTES>().ok_or_else(refused)?;
        if Self::tag(name, body) != *tag {
            return Err(refused());
        }
        Ok(Self::mask(nonce, masked))
    }
}

/// A plain store and a sealed one, both in memory, and what is below the sealed one.
struct Stores {
    plain: Arc<dyn ObjectStore>,
    sealed: Sealed,
    below: Arc<dyn ObjectStore>,
}

fn stores() -> Stores {
    let env = Env::real();
    let below = Bucket::memory(&env).store();
    let seal = Arc::new(Keyed(Arc::clone(&env.rng)));
    let rng = Arc::clone(&env.rng);
    let sealed = Sealed::new(Arc::clone(&below), seal, rng, PAGE, 4 * PAGE);
    Stores { plain: Bucket::memory(&env).store(), sealed, below }
}

fn content(len: usize, seed: u8) -> Bytes {
    (0..len).map(|at| at.to_le_bytes()[0].wrapping_mul(7) ^ seed).collect()
}

fn path(key: u8) -> Path {
    Path::from(["a/1", "a/2", "a/b/3", "c"][usize::from(key) % 4])
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, usize, u8),
    Create(u8, usize),
    Update(u8, usize, bool),
    Upload(u8, Vec<usize>),
    Get(u8, Option<GetRange>),
    Ranges(u8, Vec<Range<u64>>),
    Head(u8),
    Delete(u8),
    Copy(u8, u8, bool),
    Rename(u8, u8),
    List,
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(1), (0..6usize).prop_map(|pages| pages * PAGE), 0..6 * PAGE]
}

fn range() -> impl Strategy<Value = GetRange> {
    let at = || prop_oneof![0..8 * PAGE as u64, (0..8u64).prop_map(|page| page * PAGE as u64)];
    prop_oneof![
        (at(), at()).prop_map(|(a, b)| GetRange::Bounded(a..b)),
        at().prop_map(GetRange::Offset),
        at().prop_map(GetRange::Suffix),
        Just(GetRange::Suffix(u64::MAX)),
        at().prop_map(|from| GetRange::Bounded(from..u64::MAX)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..4u8;
    let inside = (0..PAGE as u64, 1..2 * PAGE as u64).prop_map(|(from, len)| from..from + len);
    prop_oneof![
        3 => (key(), len(), any::<u8>()).prop_map(|(key, len, seed)| Op::Put(key, len, seed)),
        1 => (key(), len()).prop_map(|(key, len)| Op::Create(key, len)),
        1 => (key(), len(), any::<bool>()).prop_map(|(key, len, right)| Op::Update(key, len, right)),
        2 => (key(), proptest::collection::vec(len(), 0..5))
            .prop_map(|(key, parts)| Op::Upload(key, parts)),
        6 => (key(), proptest::option::of(range())).prop_map(|(key, range)| Op::Get(key, range)),
        2 => (key(), proptest::collection::vec(inside, 0..5))
            .prop_map(|(key, ranges)| Op::Ranges(key, ranges)),
        1 => key().prop_map(Op::Head),
        1 => key().prop_map(Op::Delete),
        1 => (key(), key(), any::<bool>()).prop_map(|(from, to, create)| Op::Copy(from, to, create)),
        1 => (key(), key()).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => Just(Op::List),
    ]
}

/// What is seen of an operation.
#[derive(Debug, PartialEq)]
enum Seen {
    Done,
    Failed(&'static str),
    Bytes(Bytes, Range<u64>, u64, String),
    Ranges(Vec<Bytes>),
    Objects(Vec<(String, u64)>),
}

fn failed(error: &Error) -> Seen {
    Seen::Failed(match error {
        Error::NotFound { .. } => "missing",
        Error::AlreadyExists { .. } => "exists",
        Error::Precondition { .. } => "changed",
        _ => "other",
    })
}

fn objects(metas: Vec<ObjectMeta>) -> Vec<(String, u64)> {
    metas.into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect()
}

async fn apply(store: &dyn ObjectStore, op: &Op) -> Result<Seen> {
    match op {
        Op::Put(key, len, seed) => {
            let mut opts = PutOptions::default();
            opts.attributes.insert(object_store::Attribute::ContentType, seed.to_string().into());
            store.put_opts(&path(*key), content(*len, *seed).into(), opts).await?;
        }
        Op::Create(key, len) => {
            store.put_opts(&path(*key), content(*len, 1).into(), PutMode::Create.into()).await?;
        }
        Op::Update(key, len, right) => {
            let mut version = UpdateVersion::from(PutResult {
                e_tag: store.head(&path(*key)).await?.e_tag,
                version: None,
                extensions: object_store::Extensions::default(),
            });
            if !right {
                version.e_tag = Some("\"none\"".to_owned());
            }
            let mode = PutMode::Update(version);
            store.put_opts(&path(*key), content(*len, 2).into(), mode.into()).await?;
        }
        Op::Upload(key, parts) => {
            let mut upload = store.put_multipart(&path(*key)).await?;
            let mut waiting = Vec::new();
            for (seed, len) in (0..).zip(parts) {
                waiting.push(upload.put_part(content(*len, seed).into()));
            }
            for part in waiting {
                part.await?;
            }
            upload.complete().await?;
        }
        Op::Get(key, range) => {
            let options = GetOptions { range: range.clone(), ..GetOptions::default() };
            let found = store.get_opts(&path(*key), options).await?;
            let (range, size) = (found.range.clone(), found.meta.size);
            let attributes = format!("{:?}", found.attributes);
            return Ok(Seen::Bytes(found.bytes().await?, range, size, attributes));
        }
        Op::Ranges(key, ranges) => {
            let size = store.head(&path(*key)).await?.size;
            let inside: Vec<_> = ranges.iter().filter(|range| range.end <= size).cloned().collect();
            return Ok(Seen::Ranges(store.get_ranges(&path(*key), &inside).await?));
        }
        Op::Head(key) => {
            return Ok(Seen::Objects(objects(vec![store.head(&path(*key)).await?])));
        }
        Op::Delete(key) => store.delete(&path(*key)).await?,
        Op::Copy(from, to, true) => store.copy_if_not_exists(&path(*from), &path(*to)).await?,
        Op::Copy(from, to, false) => store.copy(&path(*from), &path(*to)).await?,
        Op::Rename(from, to) if from != to => store.rename(&path(*from), &path(*to)).await?,
        Op::Rename(..) => {}
        Op::List => {
            let mut seen = objects(store.list(None).try_collect().await?);
            let (below, offset) = (Path::from("a"), Path::from("a/1"));
            let after = store.list_with_offset(Some(&below), &offset);
            seen.extend(objects(after.try_collect().await?));
            let level = store.list_with_delimiter(Some(&below)).await?;
            seen.extend(objects(level.objects));
            seen.extend(level.common_prefixes.iter().map(|prefix| (prefix.to_string(), 0)));
            return Ok(Seen::Objects(seen));
        }
    }
    Ok(Seen::Done)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_sealed_store_is_a_store(ops in proptest::collection::vec(op(), 1..30)) {
        let stores = stores();
        for op in &ops {
            let plain = block_on(apply(stores.plain.as_ref(), op));
            let sealed = block_on(apply(&stores.sealed, op));
            if matches!(op, Op::Get(_, Some(range)) if range.is_valid().is_err()) {
                // Which of several errors it is may differ.
                prop_assert!(plain.is_err() && sealed.is_err(), "{:?}", op);
                continue;
            }
            let seen = [plain, sealed].map(|seen| seen.unwrap_or_else(|error| failed(&error)));
            prop_assert_eq!(&seen[0], &seen[1], "{:?}", op);
        }
    }
}

async fn raw(store: &dyn ObjectStore, key: &Path) -> Bytes {
    store.get(key).await.unwrap().bytes().await.unwrap()
}

/// What `range` of the sealed object gives.
async fn read(stores: &Stores, key: &Path, range: Option<GetRange>) -> Result<Bytes> {
    let options = GetOptions { range, ..GetOptions::default() };
    stores.sealed.get_opts(key, options).await?.bytes().await
}

fn is_damage(error: &Error) -> bool {
    refusal(error).is_some_and(|refusal| refusal.kind == ErrorKind::Corrupt)
}

/// BUCKET-3: every byte of a sealed object counts, whole and for every page alone.
#[test]
fn bucket_3_every_flipped_byte_is_an_error() {
    block_on(async {
        for len in [0, 1, PAGE, 2 * PAGE + 5] {
            let (stores, key) = (stores(), Path::from("t/1"));
            stores.sealed.put(&key, content(len, 1).into()).await.unwrap();
            let whole = raw(stores.below.as_ref(), &key).await;
            let stored = usize::try_from(stores.sealed.pages.layout.stored).unwrap();
            for at in 0..whole.len() {
                let mut bad = whole.to_vec();
                bad[at] ^= 1 << (at % 8);
                stores.below.put(&key, bad.into()).await.unwrap();
                let error = read(&stores, &key, None).await.unwrap_err();
                assert!(is_damage(&error), "{len} {at}: {error}");
                assert!(!slatedb_common::retry::should_retry(&error), "it would be tried for ever");
                for page in 0..len.div_ceil(PAGE) {
                    let from = (page * PAGE) as u64;
                    let found = read(&stores, &key, Some((from..from + 1).into())).await;
                    assert_eq!(found.is_err(), page == at / stored, "{len} {at} {page}");
                }
            }
            for cut in 0..whole.len() {
                stores.below.put(&key, whole.slice(..cut).into()).await.unwrap();
                assert!(is_damage(&read(&stores, &key, None).await.unwrap_err()), "{len} {cut}");
            }
            let longer = [&whole[..], &whole[..]].concat();
            stores.below.put(&key, longer.into()).await.unwrap();
            assert!(is_damage(&read(&stores, &key, None).await.unwrap_err()), "{len}");
        }
    });
}

/// BUCKET-3: a page opens in its object, in its place and beside pages of the same writing alone.
#[test]
fn bucket_3_pages_cannot_be_moved() {
    block_on(async {
        let (stores, key, other) = (stores(), Path::from("t/1"), Path::from("t/2"));
        let stored = usize::try_from(stores.sealed.pages.layout.stored).unwrap();
        stores.sealed.put(&other, content(3 * PAGE, 1).into()).await.unwrap();
        stores.sealed.put(&key, content(3 * PAGE, 1).into()).await.unwrap();
        let before = raw(stores.below.as_ref(), &key).await;
        stores.sealed.put(&key, content(3 * PAGE, 1).into()).await.unwrap();
        let now = raw(stores.below.as_ref(), &key).await;
        let elsewhere = raw(stores.below.as_ref(), &other).await;
        let page = |from: &Bytes, number: usize| from.slice(number * stored..(number + 1) * stored);
        let mixes: [(&str, Vec<Bytes>); 8] = [
            ("of another object", vec![page(&now, 0), page(&elsewhere, 1), page(&now, 2)]),
            ("of another object, all", vec![elsewhere.clone()]),
            ("of another writing", vec![page(&now, 0), page(&before, 1), page(&now, 2)]),
            ("the last of another writing", vec![page(&now, 0), page(&now, 1), page(&before, 2)]),
            ("swapped", vec![page(&now, 1), page(&now, 0), page(&now, 2)]),
            ("dropped from the middle", vec![page(&now, 0), page(&now, 2)]),
            ("dropped from the end", vec![page(&now, 0), page(&now, 1)]),
            ("doubled", vec![page(&now, 0), page(&now, 1), page(&now, 2), page(&now, 2)]),
        ];
        for (what, pages) in mixes {
            stores.below.put(&key, PutPayload::from_iter(pages)).await.unwrap();
            let error = read(&stores, &key, None).await.unwrap_err();
            assert!(is_damage(&error), "{what}: {error}");
            let suffix = Some(GetRange::Suffix(2 * PAGE as u64 + 1));
            assert!(read(&stores, &key, suffix).await.is_err(), "{what}");
        }
        stores.below.put(&key, now.into()).await.unwrap();
        assert_eq!(read(&stores, &key, None).await.unwrap(), content(3 * PAGE, 1));
    });
}

#[test]
fn an_object_of_no_size_that_objects_have_is_not_listed() {
    block_on(async {
        let stores = stores();
        stores.below.put(&Path::from("t/1"), content(3, 1).into()).await.unwrap();
        let listed: Result<Vec<_>> = stores.sealed.list(None).try_collect().await;
        assert!(is_damage(&listed.unwrap_err()));
        assert!(is_damage(&stores.sealed.head(&Path::from("t/1")).await.unwrap_err()));
    });
}

/// Parts but the last are of one size, as some stores ask.
#[test]
fn parts_of_an_upload_are_of_one_size() {
    block_on(async {
        let (stores, key) = (stores(), Path::from("t/1"));
        let mut upload = stores.sealed.put_multipart(&key).await.unwrap();
        for len in [3, 9 * PAGE, 4 * PAGE - 3, 0, 1] {
            upload.put_part(content(len, 1).into()).await.unwrap();
        }
        upload.complete().await.unwrap();
        assert_eq!(stores.sealed.head(&key).await.unwrap().size, 13 * PAGE as u64 + 1);
        let mut aborted = stores.sealed.put_multipart(&Path::from("t/2")).await.unwrap();
        aborted.put_part(content(9 * PAGE, 1).into()).await.unwrap();
        aborted.abort().await.unwrap();
        assert!(stores.sealed.head(&Path::from("t/2")).await.is_err());
    });
}

#[test]
fn nothing_of_the_plain_bytes_is_stored() {
    block_on(async {
        let (stores, key) = (stores(), Path::from("t/1"));
        stores.sealed.put(&key, "secret".repeat(100).into()).await.unwrap();
        let stored = raw(stores.below.as_ref(), &key).await;
        assert!(!stored.windows(6).any(|window| window == b"secret"));
    });
}

/// BUCKET-3: where nothing is encrypted a manifest that changed is an error, and tables, which find out
/// by themselves, are stored as they are.
#[test]
fn bucket_3_what_is_not_encrypted_has_a_checksum() {
    block_on(async {
        let env = Env::real();
        let store = Bucket::memory(&env).store();
        let through = sealed(Arc::clone(&store), Arc::new(Plain), Arc::clone(&env.rng));
        let table = Path::from("v/compacted/1.sst");
        through.put(&table, "rows".into()).await.unwrap();
        assert_eq!(raw(store.as_ref(), &table).await, "rows");
        assert_eq!(through.head(&table).await.unwrap().size, 4);
        let manifest = Path::from("v/manifest/1.manifest");
        through.put(&manifest, "what there is".into()).await.unwrap();
        assert_eq!(raw(through.as_ref(), &manifest).await, "what there is");
        let stored = raw(store.as_ref(), &manifest).await;
        for at in 0..stored.len() {
            let mut changed = bytes::BytesMut::from(&stored[..]);
            changed[at] ^= 4;
            store.put(&manifest, changed.freeze().into()).await.unwrap();
            let read = through.get(&manifest).await;
            let read = match read {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            assert!(refusal(&read.unwrap_err()).is_some(), "byte {at}");
        }
        let sizes: Vec<_> =
            through.list(None).map_ok(|meta| meta.size).try_collect().await.unwrap();
        assert_eq!(sizes, [4, 13]);
    });
}
