//! The suite on everything that needs no server.

use cairn_bucket::{Bucket, Engine, Options, conformance};
use cairn_env::Env;

use crate::basics::url_of;

async fn open(dir: &tempfile::TempDir, engine: Engine) -> Bucket {
    let options = Options { engine, ..Options::default() };
    Bucket::open(&url_of(dir), options, &Env::real()).await.unwrap()
}

#[tokio::test]
async fn memory() {
    conformance::all(&Bucket::memory(&Env::real())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&open(&dir, Engine::Threads).await).await;
    only_own_files_are_left(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn io_uring() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&open(&dir, Engine::IoUring).await).await;
    only_own_files_are_left(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(&dir, Engine::Threads).await, open(&dir, Engine::Auto).await);
    conformance::pair(&first, &second).await;
    drop((first, second));
    only_own_files_are_left(&dir);
}

fn only_own_files_are_left(dir: &tempfile::TempDir) {
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, [".cairn-bucket"]);
}
