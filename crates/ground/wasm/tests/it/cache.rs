//! Compiled code is kept, and believed only with this node's seal.

use std::path::Path;

use cairn_env::Env;
use cairn_wasm::{HttpFunction, Limits, Options, Runtime};

use crate::lab::{get, hello, world};

fn options(dir: &Path, key: u8) -> Options {
    Options { cache: Some(dir.to_owned()), key: [key; 32], ..Options::default() }
}

fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
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
