//! Where a command works: a bucket of its own, or a node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use cairn_base::{Reference, TagName};
use cairn_blocks::{Blocks, Options, Secret};
use cairn_bucket::Bucket;
use cairn_datasets::{Browser, Dataset, Datasets, Store, Target};
use cairn_env::Env;

use crate::cli::Global;
use crate::exit::Usage;

pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) env: Env,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { global, env: Env::real() }
    }

    /// What opens an encrypted bucket, when anything was given.
    pub(crate) fn secret(&self) -> anyhow::Result<Option<Secret>> {
        if let Some(file) = &self.global.key_file {
            let bytes =
                std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            return Ok(Some(Secret::KeyFile(bytes.into())));
        }
        let passphrase = match &self.global.passphrase_file {
            Some(file) => Some(read_line(file)?),
            None => std::env::var("CAIRN_PASSPHRASE").ok().filter(|text| !text.is_empty()),
        };
        Ok(passphrase.map(|text| Secret::Passphrase(text.into())))
    }

    /// The bucket of `--bucket`.
    pub(crate) async fn bucket(&self) -> anyhow::Result<Bucket> {
        let url = self.global.bucket.as_deref().ok_or_else(|| {
            Usage("this command works on a bucket: give --bucket URL or CAIRN_BUCKET".to_owned())
        })?;
        Ok(Bucket::open(&bucket_url(url)?, cairn_bucket::Options::default(), &self.env).await?)
    }

    /// The datasets of `--bucket`. Writers prepare an empty bucket; readers do not.
    pub(crate) async fn datasets(&self, prepare: bool) -> anyhow::Result<Datasets> {
        let (bucket, secret) = (self.bucket().await?, self.secret()?);
        let options = Options::default();
        if prepare {
            return Ok(Datasets::open_or_init(bucket, secret.as_ref(), options, &self.env).await?);
        }
        Ok(Datasets::new(Blocks::open(bucket, secret.as_ref(), options, &self.env).await?))
    }

    /// The store that a reference is in.
    pub(crate) async fn store(
        &self,
        reference: Option<&Reference>,
        prepare: bool,
    ) -> anyhow::Result<Arc<dyn Store>> {
        if let Some(host) = reference.and_then(|reference| reference.host.as_ref()) {
            return Err(Usage(format!("cannot reach {host}: give --bucket")).into());
        }
        Ok(Arc::new(self.datasets(prepare).await?))
    }

    /// A browser of the dataset that a reference names.
    pub(crate) async fn browser(&self, reference: &Reference) -> anyhow::Result<Browser> {
        let store = self.store(Some(reference), false).await?;
        Ok(Browser::new(store, dataset(reference)))
    }
}

/// A plain path is a directory of this machine.
fn bucket_url(text: &str) -> anyhow::Result<String> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(text)?;
    Ok(format!("file://{}", path.display()))
}

fn read_line(file: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

pub(crate) fn dataset(reference: &Reference) -> Dataset {
    Dataset { project: reference.project.clone(), name: reference.name.clone() }
}

pub(crate) fn target(reference: &Reference) -> Target {
    Target { dataset: dataset(reference), tag: reference.tag_or_latest() }
}

/// A reference without a path.
pub(crate) fn version_reference(text: &str) -> anyhow::Result<Reference> {
    let reference: Reference = text.parse()?;
    if !reference.path.is_empty() {
        let path = reference.path.join("/");
        return Err(
            Usage(format!("{text:?} has the path {path:?}; only NAME[:TAG] fits here")).into()
        );
    }
    Ok(reference)
}

/// A reference with a tag that was written out.
pub(crate) fn tagged(text: &str) -> anyhow::Result<(Reference, TagName)> {
    let reference = version_reference(text)?;
    let tag = reference
        .tag
        .clone()
        .ok_or_else(|| Usage(format!("{text:?} has no tag; write {text}:TAG")))?;
    Ok((reference, tag))
}

fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below_home)))
        .map(|path| path.join("cairn"))
}

/// Where caches go that may be deleted at any time.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    xdg("XDG_CACHE_HOME", ".cache")
}

/// Where the memory of pulls goes.
pub(crate) fn state_dir() -> Option<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state")
}
