//! What others need from the store itself: attributes, parts, levels, conditions on reads.

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, MultipartUpload as _, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, UpdateVersion,
};

use super::fresh;
use crate::Bucket;

pub(super) async fn all(bucket: &Bucket) {
    let store = bucket.store();
    attributes(store.as_ref()).await;
    read_conditions(store.as_ref()).await;
    read_ranges(store.as_ref()).await;
    put_modes(store.as_ref()).await;
    levels(store.as_ref()).await;
    copies(store.as_ref()).await;
    parts(store.as_ref()).await;
    deletes(store.as_ref()).await;
}

fn path(name: &str) -> Path {
    Path::parse(format!("{}/x", fresh(name))).unwrap()
}

async fn attributes(store: &dyn ObjectStore) {
    let location = path("attributes");
    let wanted = Attributes::from_iter([
        (Attribute::ContentType, "text/x-cairn"),
        (Attribute::CacheControl, "no-store"),
        (Attribute::Metadata("one".into()), "1"),
        (Attribute::Metadata("slatedbputid".into()), "8f14e45f-ceea-467f-a0e6-1f0b7c4d8e9a"),
    ]);
    let check = async |location: &Path| {
        for head in [false, true] {
            let options = GetOptions::new().with_head(head);
            let found = store.get_opts(location, options).await.unwrap().attributes;
            for (name, value) in &wanted {
                assert_eq!(found.get(name), Some(value), "{name:?}");
            }
        }
    };
    let options = PutOptions { attributes: wanted.clone(), ..PutOptions::default() };
    let put = store.put_opts(&location, "1".into(), options).await.unwrap();
    check(&location).await;
    let mode = PutMode::Update(UpdateVersion::from(put));
    let options = PutOptions { mode, attributes: wanted.clone(), ..PutOptions::default() };
    store.put_opts(&location, "2".into(), options).await.unwrap();
    check(&location).await;
    store.put(&location, "3".into()).await.unwrap();
    let found = store.get(&location).await.unwrap().attributes;
    assert_eq!(found.get(&Attribute::Metadata("one".into())), None, "old attributes stayed");

    let options = PutMultipartOptions { attributes: wanted.clone(), ..Default::default() };
    let mut upload = store.put_multipart_opts(&location, options).await.unwrap();
    upload.put_part("4".into()).await.unwrap();
    upload.complete().await.unwrap();
    check(&location).await;
    store.delete(&location).await.unwrap();
}

async fn read_conditions(store: &dyn ObjectStore) {
    let location = path("read-conditions");
    let tag = store.put(&location, "a".into()).await.unwrap().e_tag.unwrap();
    let get = async |options: GetOptions| store.get_opts(&location, options).await.map(drop);
    get(GetOptions::new().with_if_match(Some(&tag))).await.unwrap();
    let error = get(GetOptions::new().with_if_none_match(Some(&tag))).await.unwrap_err();
    assert!(matches!(error, Error::NotModified { .. }), "{error:?}");
    store.put(&location, "b".into()).await.unwrap();
    get(GetOptions::new().with_if_none_match(Some(&tag))).await.unwrap();
    let error = get(GetOptions::new().with_if_match(Some(&tag))).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error:?}");
    store.delete(&location).await.unwrap();
}

async fn read_ranges(store: &dyn ObjectStore) {
    let location = path("read-ranges");
    store.put(&location, "0123456789".into()).await.unwrap();
    let cases = [
        (GetRange::Bounded(2..5), "234", 2..5),
        (GetRange::Bounded(8..50), "89", 8..10),
        (GetRange::Offset(7), "789", 7..10),
        (GetRange::Suffix(3), "789", 7..10),
    ];
    for (range, expected, place) in cases {
        let suffix = matches!(range, GetRange::Suffix(_));
        let options = GetOptions::new().with_range(Some(range));
        let found = match store.get_opts(&location, options).await {
            // Azure has none, and says so.
            Err(Error::NotSupported { .. }) if suffix => continue,
            found => found.unwrap(),
        };
        assert_eq!(found.range, place);
        assert_eq!(found.meta.size, 10);
        assert_eq!(found.bytes().await.unwrap(), expected);
    }
    store.delete(&location).await.unwrap();
}

async fn put_modes(store: &dyn ObjectStore) {
    let location = path("modes");
    let put = async |mode: PutMode, text: &'static str| {
        store.put_opts(&location, text.into(), PutOptions::from(mode)).await
    };
    let stale = UpdateVersion { e_tag: Some(String::from("\"none\"")), version: None };
    let error = put(PutMode::Update(stale), "x").await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error:?}");
    let first = put(PutMode::Create, "1").await.unwrap();
    let error = put(PutMode::Create, "2").await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    let second = put(PutMode::Update(first.clone().into()), "3").await.unwrap();
    let error = put(PutMode::Update(first.into()), "4").await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error:?}");
    put(PutMode::Overwrite, "5").await.unwrap();
    let error = put(PutMode::Update(second.into()), "6").await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error:?}");
    let found = store.get(&location).await.unwrap().bytes().await.unwrap();
    assert_eq!(found, "5");
    store.delete(&location).await.unwrap();
}

async fn levels(store: &dyn ObjectStore) {
    let top = Path::parse(fresh("levels")).unwrap();
    for name in ["a", "b/1", "b/2", "c/d/3", "ab"] {
        let location = Path::parse(format!("{top}/{name}")).unwrap();
        store.put(&location, name.into()).await.unwrap();
    }
    let found = store.list_with_delimiter(Some(&top)).await.unwrap();
    let mut below: Vec<_> = found.common_prefixes.iter().map(Path::to_string).collect();
    let mut here: Vec<_> = found.objects.iter().map(|meta| meta.location.to_string()).collect();
    below.sort();
    here.sort();
    assert_eq!(below, [format!("{top}/b"), format!("{top}/c")]);
    assert_eq!(here, [format!("{top}/a"), format!("{top}/ab")]);

    let offset = Path::parse(format!("{top}/b/1")).unwrap();
    let after: Vec<_> = store.list_with_offset(Some(&top), &offset).try_collect().await.unwrap();
    let mut after: Vec<_> = after.into_iter().map(|meta| meta.location.to_string()).collect();
    after.sort();
    assert_eq!(after, [format!("{top}/b/2"), format!("{top}/c/d/3")]);

    let all: Vec<_> =
        store.list(Some(&top)).map_ok(|meta| meta.location).try_collect().await.unwrap();
    for location in all {
        store.delete(&location).await.unwrap();
    }
    let found = store.list_with_delimiter(Some(&top)).await.unwrap();
    assert!(found.common_prefixes.is_empty() && found.objects.is_empty(), "{found:?}");
}

async fn copies(store: &dyn ObjectStore) {
    let (from, to) = (path("from"), path("to"));
    let error = store.copy(&from, &to).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    store.put(&from, "first".into()).await.unwrap();
    store.copy(&from, &to).await.unwrap();
    store.put(&from, "second".into()).await.unwrap();
    let found = store.get(&to).await.unwrap().bytes().await.unwrap();
    assert_eq!(found, "first", "a copy must not follow its source");
    store.rename(&from, &to).await.unwrap();
    let found = store.get(&to).await.unwrap().bytes().await.unwrap();
    assert_eq!(found, "second");
    let error = store.get(&from).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    store.delete(&to).await.unwrap();
}

async fn parts(store: &dyn ObjectStore) {
    let location = path("parts");
    // The least that S3 takes for a part that is not the last.
    let first = Bytes::from(vec![1; 5 << 20]);
    let last = Bytes::from_static(b"the end");
    let mut upload = store.put_multipart(&location).await.unwrap();
    let parts = [upload.put_part(first.clone().into()), upload.put_part(last.clone().into())];
    futures::future::try_join_all(parts).await.unwrap();
    let error = store.get(&location).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "seen before it was complete: {error:?}");
    upload.complete().await.unwrap();
    let found = store.get(&location).await.unwrap().bytes().await.unwrap();
    assert!(found == [first, last].concat(), "the parts are not the whole");

    let mut upload = store.put_multipart(&location).await.unwrap();
    upload.put_part("other".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(store.head(&location).await.unwrap().size, found.len() as u64);
    store.delete(&location).await.unwrap();
}

async fn deletes(store: &dyn ObjectStore) {
    let top = fresh("deletes");
    let mut locations = Vec::new();
    for index in 0..50 {
        let location = Path::parse(format!("{top}/{index}")).unwrap();
        store.put(&location, "x".into()).await.unwrap();
        locations.push(location);
    }
    let asked = futures::stream::iter(locations.clone().into_iter().map(Ok));
    let mut deleted: Vec<_> = store.delete_stream(Box::pin(asked)).try_collect().await.unwrap();
    deleted.sort();
    locations.sort();
    assert_eq!(deleted, locations);
    let top = Path::parse(top).unwrap();
    let left: Vec<_> = store.list(Some(&top)).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
