//! Webhooks on a node.

use cairn_datasets::{Dataset, Error};
use reqwest::Method;

use super::http::{Again, Node};
use super::store::{below, dataset_path};
use crate::api::{CreateHook, CreatedHook, Hooks};

impl Node {
    /// The webhooks of a dataset.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn hooks(&self, dataset: &Dataset) -> Result<Hooks, Error> {
        self.get(&below(dataset, "hooks"), &[]).await
    }

    /// Makes a webhook.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn create_hook(
        &self,
        dataset: &Dataset,
        hook: &CreateHook,
    ) -> Result<CreatedHook, Error> {
        self.call(Method::POST, &below(dataset, "hooks"), hook, Again::Unsent).await
    }

    /// Removes a webhook.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_hook(&self, dataset: &Dataset, id: &str) -> Result<(), Error> {
        let [a, b, c, d, e, f] = dataset_path(dataset);
        let path = [a, b, c, d, e, f, "hooks", id];
        self.send(Method::DELETE, &path, &[], None, Again::Unsent).await?;
        Ok(())
    }

    /// Sends a webhook an event of the type `test`.
    ///
    /// # Errors
    /// [`Error::Remote`] with what the receiver did.
    pub async fn test_hook(&self, dataset: &Dataset, id: &str) -> Result<(), Error> {
        let [a, b, c, d, e, f] = dataset_path(dataset);
        let path = [a, b, c, d, e, f, "hooks", id, "test"];
        self.send(Method::POST, &path, &[], None, Again::Unsent).await?;
        Ok(())
    }
}
