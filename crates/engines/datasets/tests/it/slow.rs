//! Pushes from sources that are slower than an upload is patient, on simulated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_blocks::{Frame, Options};
use cairn_bucket::Bucket;
use cairn_chunk::ChunkId;
use cairn_datasets::{
    Dataset, Datasets, Error, Follow, Project, Publication, Published, PushOptions, Rules, Source,
    Store, Summary, Tag, Target, UPLOAD_IDLE_MAX, Upload, UploadId, Uploads, Version, push,
};
use cairn_env::Env;

use crate::support::{noise, target};

const OWNER: &str = "ada";

/// A node as its client sees it, without the wire: uploads are kept by id and forgotten when idle.
struct SlowClient {
    datasets: Datasets,
    uploads: Uploads,
    /// How long the source takes to come up with the next batch of chunks.
    pause: Duration,
    /// Whether the client says that its upload goes on.
    keeps: bool,
    begun: Arc<AtomicU64>,
}

struct SlowUpload {
    uploads: Uploads,
    id: UploadId,
    env: Env,
    pause: Duration,
    keeps: bool,
}

#[async_trait]
impl Upload for SlowUpload {
    async fn claim(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        self.env.clock.sleep(self.pause).await;
        self.uploads.claim(self.id, OWNER, ids).await
    }

    async fn keep(&self) -> Result<(), Error> {
        if self.keeps { self.uploads.keep(self.id, OWNER).await } else { Ok(()) }
    }

    async fn add(&self, frame: Frame) -> Result<(), Error> {
        self.uploads.add(self.id, OWNER, frame).await
    }

    async fn publish(&self, publication: &Publication) -> Result<Published, Error> {
        self.uploads.publish(self.id, OWNER, publication).await
    }

    async fn abandon(&self) -> Result<(), Error> {
        self.uploads.abandon(self.id, OWNER).await
    }
}

#[async_trait]
impl Store for SlowClient {
    fn env(&self) -> &Env {
        self.datasets.env()
    }

    async fn project(&self, project: &ProjectName) -> Result<Project, Error> {
        self.datasets.project(project).await
    }

    async fn list(&self, project: &ProjectName) -> Result<Vec<Summary>, Error> {
        self.datasets.list(project).await
    }

    async fn tags(&self, dataset: &Dataset) -> Result<Vec<Tag>, Error> {
        self.datasets.tags(dataset).await
    }

    async fn tag(&self, target: &Target) -> Result<Tag, Error> {
        self.datasets.tag(target).await
    }

    fn follow_from(&self, target: &Target, last: Option<String>) -> Follow {
        self.datasets.follow_from(target, last)
    }

    async fn read(&self, dataset: &Dataset, ids: &[ChunkId]) -> Result<Vec<Bytes>, Error> {
        self.datasets.read(dataset, ids).await
    }

    async fn upload(&self, targets: &[Target]) -> Result<Box<dyn Upload>, Error> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let id = self.uploads.begin(targets, OWNER).await?;
        let (uploads, env) = (self.uploads.clone(), self.env().clone());
        Ok(Box::new(SlowUpload { uploads, id, env, pause: self.pause, keeps: self.keeps }))
    }

    async fn copy_tag(&self, from: &Target, to: &Target, by: &str) -> Result<Version, Error> {
        self.datasets.copy_tag(from, to, by).await
    }

    async fn remove(&self, target: &Target) -> Result<(), Error> {
        self.datasets.remove(target).await
    }

    async fn rules(&self, dataset: &Dataset) -> Result<Rules, Error> {
        self.datasets.rules(dataset).await
    }

    async fn set_rules(&self, dataset: &Dataset, rules: &Rules) -> Result<(), Error> {
        self.datasets.set_rules(dataset, rules).await
    }
}

/// Pushes a few megabytes, which takes hours, while others open uploads. Returns how many uploads
/// that took, or why it failed.
async fn push_slowly(keeps: bool) -> Result<u64, Error> {
    let env = Env::simulated(11);
    let bucket = Bucket::memory(&env);
    let datasets = Datasets::open_or_init(bucket, None, Options::default(), &env).await.unwrap();
    let uploads = Uploads::new(datasets.clone());
    let source = tempfile::TempDir::new().unwrap();
    for file in 0..5 {
        std::fs::write(source.path().join(file.to_string()), noise(file, 900_000)).unwrap();
    }
    let (begun, pause) = (Arc::<AtomicU64>::default(), 3 * UPLOAD_IDLE_MAX);
    let client =
        SlowClient { datasets, uploads: uploads.clone(), pause, keeps, begun: Arc::clone(&begun) };
    let store: Arc<dyn Store> = Arc::new(client);
    let others = async {
        loop {
            env.clock.sleep(Duration::from_secs(60)).await;
            let id = uploads.begin(&[target("other")], "bob").await.unwrap();
            uploads.abandon(id, "bob").await.unwrap();
        }
    };
    let source = Source::Path(source.path().to_owned());
    let (targets, options) = ([target("data")], PushOptions::default());
    let pushed = tokio::select! {
        pushed = push(&store, &source, &targets, &options) => pushed,
        () = others => unreachable!("the loop has no end"),
    };
    assert_eq!(pushed?.version.bytes, 4_500_000);
    Ok(begun.load(Ordering::Relaxed))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(work)
}

#[test]
fn a_slow_source_does_not_lose_its_upload() {
    assert_eq!(run(push_slowly(true)).unwrap(), 1);
}

/// What the test above would see if nothing were said: the silent upload is lost each time.
#[test]
fn a_silent_upload_is_lost() {
    let lost = run(push_slowly(false)).unwrap_err();
    assert!(matches!(lost, Error::NoUpload { .. }), "{lost}");
}
