//! Looking one path up among many: what a browser, a mount or a partial read waits for.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use cairn_base::{DatasetName, ProjectName, TagName};
use cairn_blocks::{Blocks, Options};
use cairn_bucket::Bucket;
use cairn_datasets::{Browser, Dataset, Datasets, Store};
use cairn_env::Env;

use crate::corpus::{self, Rng};
use crate::sample::Samples;

/// How many paths are looked up in one run.
const LOOKUPS: u64 = 1000;

/// Opens the bucket once, and looks paths of the tree up in it. Adds `open` and, in milliseconds, the
/// median and the 99th percentile of a look-up.
pub(crate) fn measure(bucket: &Path, files: u64, run: u32, samples: &mut Samples) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = Instant::now();
        let env = Env::real();
        let url = format!("file://{}", bucket.display());
        let bucket = Bucket::open(&url, cairn_bucket::Options::default(), &env).await?;
        let blocks = Blocks::open(bucket, None, Options::default(), &env).await?;
        let store: Arc<dyn Store> = Arc::new(Datasets::new(blocks));
        let name: DatasetName = "data".parse()?;
        let browser = Browser::new(store, Dataset { project: ProjectName::default(), name });
        let tag: TagName = "first".parse()?;
        let (_, root) = browser.open(&tag).await?;
        samples.add("open_ms", start.elapsed().as_secs_f64() * 1000.0);

        let mut rng = Rng::new(u64::from(run));
        let mut times = Vec::new();
        for _ in 0..LOOKUPS {
            let path = corpus::path(rng.next() % files);
            let path: Vec<String> =
                path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let start = Instant::now();
            let entry = browser.at(&root, &path).await.context("a path is not found")?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            drop(entry);
        }
        samples.add("lookup_first_ms", times[0]);
        times.sort_by(f64::total_cmp);
        samples.add("lookup_p50_ms", times[times.len() / 2]);
        samples.add("lookup_p99_ms", times[times.len() * 99 / 100]);
        Ok(())
    })
}
