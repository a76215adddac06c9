//! The suite on everything that needs no server.

use std::path::Path;
use std::sync::Arc;

use cairn_bucket::faulty::Faults;
use cairn_bucket::{Bucket, Engine, Faulty, Memory, conformance};
use cairn_env::Env;

use crate::open;

#[tokio::test]
async fn memory() {
    conformance::all(&Bucket::memory(&Env::real())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&open(dir.path(), Engine::Threads).await).await;
    only_own_files_are_left(dir.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn io_uring() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&open(dir.path(), Engine::IoUring).await).await;
    only_own_files_are_left(dir.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), Engine::Threads).await;
    let second = open(dir.path(), Engine::IoUring).await;
    conformance::pair(&first, &second).await;
    drop((first, second));
    only_own_files_are_left(dir.path());
}

#[tokio::test]
async fn faulty_without_faults() {
    let env = Env::real();
    let store = Faulty::new(Arc::new(Memory::new(&env)), Faults::default(), &env);
    let bucket = Bucket::from_store(Arc::new(store.clone()), "memory://", &env);
    conformance::all(&bucket).await;
    assert!(store.count() > 1000);
}

fn only_own_files_are_left(dir: &Path) {
    let names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, [".cairn-bucket"]);
}
