//! Where the partitions of a simulated node are: what functions write down while they run is in memory, where no
//! node loses it and its order is that of all nodes; all else is the node's.

use std::sync::Arc;

use async_trait::async_trait;
use cairn_partition::{
    AnyPartition, AnyPartitions, Error, Here, Name, Partitions, Settings, Step, Usage,
};

/// The partitions of a node, beside some that are everybody's.
pub(super) struct Beside {
    pub(super) node: AnyPartitions,
    pub(super) shared: AnyPartitions,
    /// The names of those.
    pub(super) names: Arc<[Name]>,
}

impl Beside {
    fn of(&self, name: &Name) -> &AnyPartitions {
        if self.names.contains(name) { &self.shared } else { &self.node }
    }
}

#[async_trait]
impl Partitions for Beside {
    async fn create(&self, name: &Name, settings: Settings) -> Result<AnyPartition, Error> {
        self.of(name).create(name, settings).await
    }

    async fn clone_to(
        &self,
        name: &Name,
        to: &Name,
        before: Step<'_>,
    ) -> Result<AnyPartition, Error> {
        self.of(name).clone_to(name, to, before).await
    }

    async fn open(&self, name: &Name) -> Result<AnyPartition, Error> {
        self.of(name).open(name).await
    }

    async fn here(&self, name: &Name) -> Result<Here, Error> {
        self.of(name).here(name).await
    }

    async fn change(&self, name: &Name, settings: Settings) -> Result<(), Error> {
        self.of(name).change(name, settings).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        let mut all = self.node.list(prefix).await?;
        all.extend(self.shared.list(prefix).await?);
        all.sort();
        Ok(all)
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        self.of(name).remove(name).await
    }

    fn usage(&self) -> Option<Usage> {
        self.node.usage()
    }
}
