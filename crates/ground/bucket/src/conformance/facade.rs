use bytes::Bytes;
use cairn_base::ErrorKind;
use futures::future::join_all;

use super::{clear, fresh, keys};
use crate::{Bucket, Error};

pub(super) async fn all(bucket: &Bucket) {
    write_and_read(bucket).await;
    ranges(bucket).await;
    conditions(bucket).await;
    versions_differ(bucket).await;
    missing(bucket).await;
    listing(bucket).await;
    odd_keys(bucket).await;
    refused_keys(bucket).await;
    large(bucket).await;
}

async fn write_and_read(bucket: &Bucket) {
    let key = &format!("{}/a/b", fresh("write"));
    for bytes in [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![7; 100_000])] {
        let version = bucket.put(key, bytes.clone()).await.unwrap();
        let object = bucket.get(key).await.unwrap();
        assert_eq!(object.bytes, bytes);
        assert_eq!(object.version, version);
        let head = bucket.head(key).await.unwrap();
        assert_eq!((head.key.as_str(), head.size), (key.as_str(), bytes.len() as u64));
        assert_eq!(head.version, version);
        assert!(head.modified_ns > 1_500_000_000_000_000_000, "{}", head.modified_ns);
    }
    bucket.delete(key).await.unwrap();
    bucket.delete(key).await.unwrap();
    assert!(matches!(bucket.get(key).await, Err(Error::Missing { .. })));
}

async fn ranges(bucket: &Bucket) {
    let key = &format!("{}/r", fresh("ranges"));
    let bytes: Bytes = (0..3000_u32).flat_map(u32::to_le_bytes).collect();
    let len = bytes.len() as u64;
    bucket.put(key, bytes.clone()).await.unwrap();
    for range in [0..1, 0..len, 5..6, 4096..8192, len - 1..len, 7..7, len..len] {
        let (start, end) = (range.start as usize, range.end as usize);
        let found = bucket.get_range(key, range.clone()).await.unwrap();
        assert_eq!(found, bytes.slice(start..end), "{range:?}");
    }
    let wanted = [100..200, 0..10, 11_000..12_000, 5..5, 150..160];
    let found = bucket.get_ranges(key, &wanted).await.unwrap();
    assert_eq!(found.len(), wanted.len());
    for (range, found) in wanted.iter().zip(found) {
        assert_eq!(found, bytes.slice(range.start as usize..range.end as usize), "{range:?}");
    }
    #[allow(clippy::reversed_empty_ranges, reason = "a backward range must be refused")]
    for range in [0..len + 1, len..len + 1, len + 5..len + 6, len - 1..len + 1, 5..4] {
        let error = bucket.get_range(key, range.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{range:?}: {error:?}");
        assert!(error.to_string().contains(key.as_str()), "{error}");
        let error = bucket.get_ranges(key, &[0..1, range.clone()]).await.unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{range:?}: {error:?}");
    }
    bucket.delete(key).await.unwrap();
    let error = bucket.get_range(key, 0..1).await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
    let error = bucket.get_ranges(key, &[0..1, 2..3]).await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
}

async fn conditions(bucket: &Bucket) {
    let key = &format!("{}/c", fresh("conditions"));
    let (a, b, c) = (Bytes::from_static(b"a"), Bytes::from_static(b"bb"), Bytes::from_static(b"c"));
    let first = bucket.create(key, a.clone()).await.unwrap();
    let error = bucket.create(key, a.clone()).await.unwrap_err();
    assert!(matches!(&error, Error::Exists { key: found } if found == key), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Conflict);

    let second = bucket.replace(key, b.clone(), &first).await.unwrap();
    assert_ne!(first, second);
    let error = bucket.replace(key, c.clone(), &first).await.unwrap_err();
    assert!(matches!(&error, Error::Changed { key: found } if found == key), "{error:?}");
    assert_eq!(bucket.get(key).await.unwrap().bytes, b);

    let third = bucket.put(key, c.clone()).await.unwrap();
    let error = bucket.replace(key, a.clone(), &second).await.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
    bucket.delete(key).await.unwrap();
    let error = bucket.replace(key, a.clone(), &third).await.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
    let error = bucket.get(key).await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "a replace made an object: {error:?}");
    bucket.create(key, a).await.unwrap();
    bucket.delete(key).await.unwrap();
}

async fn versions_differ(bucket: &Bucket) {
    let key = &format!("{}/v", fresh("versions"));
    let mut seen = Vec::new();
    for round in 0..20_u8 {
        // The same length each time: only the content tells.
        let version = bucket.put(key, Bytes::copy_from_slice(&[round; 64])).await.unwrap();
        assert!(!seen.contains(&version), "changed content kept its version");
        assert_eq!(bucket.head(key).await.unwrap().version, version);
        seen.push(version);
    }
    bucket.delete(key).await.unwrap();
}

async fn missing(bucket: &Bucket) {
    let key = &format!("{}/none/there", fresh("missing"));
    for error in [bucket.get(key).await.map(drop), bucket.head(key).await.map(drop)] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains(key.as_str()), "{error}");
    }
    bucket.delete(key).await.unwrap();
    assert_eq!(keys(bucket, key).await, Vec::<String>::new());
}

async fn listing(bucket: &Bucket) {
    let top = &fresh("list");
    let names = ["a/1", "a/2", "a/b/3", "a-x", "ab/4", "b"];
    for name in names {
        bucket.put(&format!("{top}/{name}"), Bytes::from(name)).await.unwrap();
    }
    let all: Vec<_> = names.iter().map(|name| format!("{top}/{name}")).collect();
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(keys(bucket, top).await, sorted);
    assert_eq!(keys(bucket, &format!("{top}/")).await, sorted);
    let below_a = [&all[0], &all[1], &all[2]].map(String::from);
    assert_eq!(keys(bucket, &format!("{top}/a")).await, below_a);
    assert_eq!(keys(bucket, &format!("{top}/a/1")).await, Vec::<String>::new());
    assert_eq!(keys(bucket, &format!("{top}/nothing")).await, Vec::<String>::new());
    let head = bucket.head(&all[0]).await.unwrap();
    let mut listed = bucket.list(&format!("{top}/a"));
    while let Some(found) = futures::StreamExt::next(&mut listed).await {
        let found = found.unwrap();
        if found.key == head.key {
            assert_eq!((found.size, &found.version), (head.size, &head.version));
        }
    }
    drop(listed);

    // More than one page of S3.
    let many = &fresh("many");
    let puts = (0..1100).map(|index| async move {
        bucket.put(&format!("{many}/{}/{index}", index % 7), Bytes::new()).await.unwrap();
    });
    futures::StreamExt::for_each_concurrent(futures::stream::iter(puts), 16, |put| put).await;
    assert_eq!(keys(bucket, many).await.len(), 1100);
    clear(bucket, many).await;
    clear(bucket, top).await;
}

async fn odd_keys(bucket: &Bucket) {
    let top = &fresh("odd");
    let names = [
        "a b",
        "ä/ö",
        "日本語",
        "%2F",
        "%",
        "a%20b",
        "+",
        "a+b",
        "&=?",
        "#",
        "'\"",
        "~",
        "[x]{y}",
        "..a",
        "a..",
        "...",
        ".hidden",
        "a:b",
        "x,y;z",
        "*",
        "(1)",
        "|<>",
        "@!$",
        "`^",
    ];
    let long = "n".repeat(200);
    for name in names.into_iter().chain([long.as_str()]) {
        let key = &format!("{top}/{name}");
        bucket.create(key, Bytes::from(name.to_owned())).await.unwrap();
        assert_eq!(bucket.get(key).await.unwrap().bytes, name, "{name:?}");
        assert_eq!(keys(bucket, top).await, [key.as_str()], "{name:?}");
        bucket.delete(key).await.unwrap();
    }
    assert_eq!(keys(bucket, top).await, Vec::<String>::new());
}

async fn refused_keys(bucket: &Bucket) {
    let long = "x".repeat(300);
    for key in ["", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0", "a\n", "a\\b", &long] {
        let bytes = Bytes::from_static(b"x");
        let errors = [
            bucket.put(key, bytes.clone()).await.map(drop),
            bucket.create(key, bytes).await.map(drop),
            bucket.get(key).await.map(drop),
            bucket.get_range(key, 0..1).await.map(drop),
            bucket.head(key).await.map(drop),
            bucket.delete(key).await,
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert!(matches!(error, Error::Key { .. }), "{key:?}: {error:?}");
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}

async fn large(bucket: &Bucket) {
    let key = &format!("{}/l", fresh("large"));
    let bytes: Bytes = (0..1_300_000_u32).flat_map(u32::to_le_bytes).collect();
    bucket.put(key, bytes.clone()).await.unwrap();
    assert!(bucket.get(key).await.unwrap().bytes == bytes, "5.2 MB came back as something else");
    let range = 1_000_001..4_000_003;
    let found = bucket.get_range(key, range.clone()).await.unwrap();
    assert!(found == bytes.slice(range.start as usize..range.end as usize));
    bucket.delete(key).await.unwrap();
}

/// Many create, one succeeds, and its bytes are there.
pub(super) async fn create_once(first: &Bucket, second: &Bucket) {
    for round in 0..10 {
        let key = &format!("{}/o", fresh("once"));
        let creates = (0..8_u8).map(|index| async move {
            let bucket = if index % 2 == 0 { first } else { second };
            bucket.create(key, Bytes::copy_from_slice(&[index; 100])).await.map(|_| index)
        });
        let answers = join_all(creates).await;
        let winners: Vec<u8> = answers.iter().flatten().copied().collect();
        assert_eq!(winners.len(), 1, "round {round}: {answers:?}");
        for answer in answers {
            assert!(matches!(answer, Ok(_) | Err(Error::Exists { .. })), "{answer:?}");
        }
        assert_eq!(first.get(key).await.unwrap().bytes, [winners[0]; 100].as_slice());
        second.delete(key).await.unwrap();
    }
}

/// Counters that several increase by `replace`: none is lost.
pub(super) async fn count_by_replacing(first: &Bucket, second: &Bucket) {
    const WRITERS: u64 = 6;
    const EACH: u64 = 10;
    let key = &format!("{}/n", fresh("count"));
    first.create(key, Bytes::from("0")).await.unwrap();
    let writers = (0..WRITERS).map(|index| async move {
        let bucket = if index % 2 == 0 { first } else { second };
        let mut done = 0;
        while done < EACH {
            let object = bucket.get(key).await.unwrap();
            let count: u64 = std::str::from_utf8(&object.bytes).unwrap().parse().unwrap();
            let next = Bytes::from((count + 1).to_string());
            match bucket.replace(key, next, &object.version).await {
                Ok(_) => done += 1,
                Err(Error::Changed { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    join_all(writers).await;
    assert_eq!(first.get(key).await.unwrap().bytes, (WRITERS * EACH).to_string());
    first.delete(key).await.unwrap();
}
