//! Streams of real encoders, and corrections that are never to be read otherwise.
//!
//! `plain` went through each encoder once; `*.corrections` are what version 1 says about the
//! result. A new version of the splitter may say something else, the joiner may not.

use std::fs;
use std::path::PathBuf;

use cairn_deflate::Splitter;
use expect_test::expect;

use crate::{LIMITS, join, split};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden")
}

fn streams() -> Vec<(String, Vec<u8>)> {
    let mut streams = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "deflate") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            streams.push((name, fs::read(&path).unwrap()));
        }
    }
    streams.sort();
    streams
}

/// DEFLATE-3
#[test]
fn stored_corrections_make_the_same_streams() {
    let plain = fs::read(folder().join("plain")).unwrap();
    let mut count = 0;
    for (name, stream) in streams() {
        let corrections = fs::read(folder().join(format!("{name}.corrections"))).unwrap();
        let joined = join(&corrections, &plain, &[10_000]).unwrap();
        assert!(joined == stream, "{name} comes out otherwise");
        count += 1;
    }
    assert_eq!(count, 18);
}

#[test]
fn known_encoders_need_few_corrections() {
    let plain = fs::read(folder().join("plain")).unwrap();
    let mut table = String::new();
    for (name, stream) in streams() {
        let (found, corrections) = split(&stream, &[5000]).unwrap();
        assert!(found == plain, "{name}");
        let path = folder().join(format!("{name}.corrections"));
        if std::env::var_os("UPDATE_EXPECT").is_some() && !path.exists() {
            fs::write(&path, &corrections.bytes).unwrap();
        }
        let len = corrections.bytes.len();
        table += &format!("{name}: {len} of {}\n", stream.len());
    }
    expect![[r#"
        7zip-5: 1002 of 9109
        go-6: 53 of 9069
        gzip-9: 10 of 9068
        miniz-1: 3018 of 12647
        miniz-6: 56 of 9132
        node-1: 7 of 10319
        node-6: 7 of 9078
        pigz-6: 19 of 9129
        zlib-1: 7 of 10766
        zlib-3: 7 of 10329
        zlib-4: 7 of 9401
        zlib-6: 7 of 9171
        zlib-6-fixed: 8 of 10474
        zlib-6-huffman: 8 of 25010
        zlib-6-memory-1: 121 of 10209
        zlib-6-memory-9: 7 of 9171
        zlib-6-runs: 8 of 19644
        zlib-9: 7 of 9071
    "#]]
    .assert_eq(&table);
}

/// A preset that was found is taken up by the next stream where it fits, and only there.
#[test]
fn streams_like_others() {
    let read = |name: &str| fs::read(folder().join(format!("{name}.deflate"))).unwrap();
    let like = |stream: &[u8], preset| {
        let mut splitter = Splitter::new(LIMITS, preset);
        splitter.push(stream, &mut |_| Some(())).unwrap();
        splitter.finish().unwrap()
    };
    let (go, zlib) = (like(&read("go-6"), None), like(&read("zlib-9"), None));
    assert_ne!(go.preset, zlib.preset);
    for known in [&go, &zlib] {
        assert_eq!(like(&read("go-6"), known.preset), go);
        assert_eq!(like(&read("zlib-9"), known.preset), zlib);
    }
    let stored = like(&[1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c'], go.preset);
    assert_eq!(stored.preset, None);
}
