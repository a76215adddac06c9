//! The bucket from outside.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "these are tests")]

mod basics;
mod conform;
mod faults;
mod files;
mod model;
mod power;
mod processes;
#[cfg(all(feature = "s3", feature = "az"))]
mod remote;
mod unconditional;

use cairn_bucket::{Bucket, Engine, Options};
use cairn_env::Env;

const ENGINES: [Engine; 2] = [Engine::Threads, Engine::IoUring];

fn url_of(dir: &std::path::Path) -> String {
    url::Url::from_directory_path(dir.canonicalize().unwrap()).unwrap().to_string()
}

async fn try_open(dir: &std::path::Path, engine: Engine) -> Result<Bucket, cairn_bucket::Error> {
    let options = Options { engine, ..Options::default() };
    Bucket::open(&url_of(dir), options, &Env::real()).await
}

async fn open(dir: &std::path::Path, engine: Engine) -> Bucket {
    try_open(dir, engine).await.unwrap()
}

/// The error and all its causes as one text.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
