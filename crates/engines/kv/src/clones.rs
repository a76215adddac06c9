//! Namespaces that begin as others are.

use cairn_datasets::{Dataset, PinId, PinnedToo};
use cairn_partition::Error as Refused;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::kv::named;
use crate::large::dataset;
use crate::{Error, Info, Kv, Namespace};

const PINS_AT_ONCE: usize = 16;

impl Kv {
    /// Makes a namespace `to` that begins as `of` is, with its history and settings; from then on each goes
    /// its own way. They share what is stored until one of them changes it, so it takes as long for much as
    /// for little, but for large values, which are counted one by one. To be carried to its end.
    ///
    /// # Errors
    /// [`Error::NoNamespace`] for `of`; [`Error::Exists`], [`Error::Name`] for `to`; [`Error::Invalid`] when it
    /// is of another project; [`Error::Partition`], [`Error::Values`].
    pub async fn clone_to(&self, of: &Namespace, to: &Namespace) -> Result<Info, Error> {
        of.check_clone(to)?;
        let (source, target) = (of.partition()?, to.partition()?);
        self.open(of).await?;
        // KV-5: what the clone refers to is kept for it before it can be read, and also what came until it
        // was made. No pin that is so young goes meanwhile.
        let made = self.pin_too(of, to).await?;
        let cloned = match self.partitions.clone_to(&source, &target).await {
            Ok(cloned) => cloned,
            Err(error) => {
                if matches!(error, Refused::Exists { .. } | Refused::Missing { .. }) {
                    self.forget(&made).await;
                }
                return Err(match error {
                    Refused::Exists { .. } => Error::Exists { namespace: to.clone() },
                    error => named(of, error),
                });
            }
        };
        if let Err(error) = self.pin_too(of, to).await {
            self.remove(to).await?;
            return Err(error);
        }
        Ok(Info::new(to, &cloned))
    }

    /// Keeps the large values of a namespace for another one too. Returns the new pins.
    async fn pin_too(
        &self,
        of: &Namespace,
        to: &Namespace,
    ) -> Result<Vec<(Dataset, PinId)>, Error> {
        let (from, into) = (dataset(of), dataset(to));
        let there = self.datasets.pins_of(&into).await?;
        let pins = self.datasets.pins_of(&from).await?.into_iter().map(|(_, id)| id);
        let missing = pins.filter(|id| !there.iter().any(|(_, there)| there == id));
        let (from, into) = (&from, &into);
        let made = missing.map(|id| async move {
            let shared = self.datasets.pin_too(from, id, into).await?;
            Ok::<_, Error>((shared == PinnedToo::Made).then(|| (into.clone(), id)))
        });
        let made = made.collect::<Vec<_>>();
        let made = futures::stream::iter(made).buffer_unordered(PINS_AT_ONCE);
        made.try_filter_map(async |made| Ok(made)).try_collect().await
    }
}
