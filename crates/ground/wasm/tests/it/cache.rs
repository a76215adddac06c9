//! Compiled code is kept, and believed only with this node's seal.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{HttpFunction, Limits, Options, Runtime};

use crate::lab::{get, hello, world};

fn options(dir: &Path, key: u8) -> Options {
    Options { cache: Some(dir.to_owned()), key: [key; 32], ..Options::default() }
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

async fn answers(dir: &Path, key: u8) {
    let runtime = Runtime::start(options(dir, key), &Env::real()).unwrap();
    let code = crate::lab::compiled(&runtime, hello()).await.unwrap();
    let function = HttpFunction::new(&code, Limits::default(), world().0).unwrap();
    assert_eq!(get(&function, "/x").await.unwrap().0, 200);
}

/// WASM-1: forged, cut and foreign files are compiled again.
#[tokio::test]
async fn wasm_1_only_what_this_node_compiled_is_run() {
    let dir = tempfile::tempdir().unwrap();
    answers(dir.path(), 1).await;
    let [(code, first), (seal, _)] = <[_; 2]>::try_from(files(dir.path())).unwrap();
    assert!(code.to_string_lossy().ends_with(".cwasm"));
    let inode =
        |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&code);
    answers(dir.path(), 1).await;
    assert_eq!(inode(&code), before, "it is compiled once");

    let mut forged = first.clone();
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    for (name, bytes) in
        [("changed", &forged[..]), ("cut", &first[..first.len() / 2]), ("empty", b"")]
    {
        std::fs::write(&code, bytes).unwrap();
        answers(dir.path(), 1).await;
        assert_eq!(std::fs::read(&code).unwrap(), first, "{name}: it is compiled again");
    }
    std::fs::remove_file(&seal).unwrap();
    answers(dir.path(), 1).await;
    assert!(seal.exists());
    let before = inode(&code);
    answers(dir.path(), 2).await;
    assert_eq!(inode(&code), before, "nodes with other keys leave it alone");
    let others = files(dir.path()).into_iter().filter(|(path, _)| *path != code && *path != seal);
    let [(_, other_code), (_, other_seal)] = others.collect::<Vec<_>>().try_into().unwrap();
    std::fs::write(&code, other_code).unwrap();
    std::fs::write(&seal, other_seal).unwrap();
    answers(dir.path(), 1).await;
    assert_ne!(inode(&code), before, "what another key sealed is not believed");
}

/// A program that does nothing, unlike those with another number.
fn program(number: u32) -> Bytes {
    let text = format!(
        "(module (memory (export \"memory\") 1) (data (i32.const 0) \"{number}\") (func (export \"_start\")))"
    );
    cairn_wasm::prepare(text.as_bytes()).unwrap().component
}

#[tokio::test]
async fn what_was_not_used_for_the_longest_time_goes_when_there_is_no_room() {
    let dir = &tempfile::tempdir().unwrap();
    let compiled = |numbers: std::ops::Range<u32>, cache_bytes_max| async move {
        let options = Options { cache_bytes_max, ..options(dir.path(), 1) };
        let runtime = Runtime::start(options, &Env::real()).unwrap();
        let mut codes = Vec::new();
        for number in numbers {
            codes.push(crate::lab::compiled(&runtime, program(number)).await.unwrap());
        }
        (files(dir.path()), codes)
    };
    let code = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        let paths = files.iter().map(|(path, _)| path.clone());
        paths.filter(|path| path.extension().unwrap() == "cwasm").collect()
    };
    let (first, _) = compiled(0..1, u64::MAX).await;
    let [one] = code(&first).try_into().unwrap();
    let size = std::fs::metadata(&one).unwrap().len();
    // One that a process left that was ended while it wrote.
    let left = dir.path().join("left.1.new");
    std::fs::write(&left, b"half").unwrap();

    let (four, _) = compiled(1..4, u64::MAX).await;
    assert_eq!(code(&four).len(), 4);
    compiled(0..1, u64::MAX).await;
    let (after, codes) = compiled(4..5, size * 9 / 2).await;
    let after = code(&after);
    assert_eq!(after.len(), 3, "five have no room, and there is room for more again");
    assert!(after.contains(&one), "it was used since");
    assert!(!left.exists());

    let (gone, more) = compiled(5..6, size / 2).await;
    assert_eq!(gone.len(), 2, "what was compiled last stays, with its seal");
    assert_eq!(codes[0].kind(), cairn_wasm::Kind::Command);
    drop(more);
    let (again, _) = compiled(0..1, u64::MAX).await;
    assert!(code(&again).contains(&one), "it is compiled again when it is called");
}
