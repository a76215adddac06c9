//! A node as its clients see it, without the network between: uploads are kept by id, and what clients
//! send is checked (DATASETS-2).

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_blocks::Frame;
use cairn_chunk::ChunkId;
use cairn_datasets::{
    Dataset, Datasets, Error, Follow, Project, Publication, Published, Rules, Store, Summary, Tag,
    Target, Upload, UploadId, Uploads, Version,
};
use cairn_env::Env;

const OWNER: &str = "ada";

/// Everything goes to the engine, but uploads go through [`Uploads`].
pub(crate) struct Node {
    datasets: Datasets,
    uploads: Uploads,
}

impl Node {
    pub(crate) fn new(datasets: Datasets) -> Self {
        Self { uploads: Uploads::new(datasets.clone()), datasets }
    }
}

struct NodeUpload {
    uploads: Uploads,
    id: UploadId,
}

#[async_trait]
impl Upload for NodeUpload {
    async fn claim(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        self.uploads.claim(self.id, OWNER, ids).await
    }

    async fn keep(&self) -> Result<(), Error> {
        self.uploads.keep(self.id, OWNER).await
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
impl Store for Node {
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
        let id = self.uploads.begin(targets, OWNER).await?;
        Ok(Box::new(NodeUpload { uploads: self.uploads.clone(), id }))
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
