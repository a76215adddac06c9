//! Namespaces that begin as others are.

use std::sync::{Mutex, PoisonError};

use cairn_datasets::{Dataset, PinId};
use cairn_partition::{Error as Refused, Here};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use crate::kv::named;
use crate::large::dataset;
use crate::{Error, Info, Kv, Namespace};

const PINS_AT_ONCE: usize = 16;

impl Kv {
    /// Makes a namespace `to` that begins as `of` is, with its history and settings; from then on each goes
    /// its own way. They share what is stored until one of them changes it; of each large value there is a new
    /// pin. To be carried to its end.
    ///
    /// # Errors
    /// [`Error::NoNamespace`] for `of`; [`Error::Exists`], [`Error::Name`] for `to`; [`Error::Invalid`] when it
    /// is of another project; [`Error::Partition`], [`Error::Values`].
    pub async fn clone_to(&self, of: &Namespace, to: &Namespace) -> Result<Info, Error> {
        of.check_clone(to)?;
        let (source, target) = (self.partition(of)?, self.partition(to)?);
        let (pins, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
        // KV-5: the name is taken and nobody sees the clone yet; its pins are its own from the beginning. Those
        // of its source are all there, for the source is there after that.
        let step = async {
            let pinned = self.pin_too(of, to, &pins).await;
            pinned.map_err(|error| {
                let why = error.to_string();
                let (what, kind) = ("keep large values", error.kind());
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Refused::Storage { what, why, kind }
            })
        };
        let error = match self.partitions.clone_to(&source, &target, step.boxed()).await {
            Ok(cloned) => return Ok(Info::new(to, &cloned)),
            Err(error) => error,
        };
        // Unless it is there for all that.
        if matches!(self.partitions.here(&target).await, Ok(Here::Removed | Here::Unknown)) {
            self.forget(&pins.into_inner().unwrap_or_else(PoisonError::into_inner)).await;
        }
        if let Some(failed) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(failed);
        }
        Err(match error {
            Refused::Exists { .. } => Error::Exists { namespace: to.clone() },
            error => named(of, error),
        })
    }

    /// Keeps the large values of a namespace for another one too, by new pins.
    async fn pin_too(
        &self,
        of: &Namespace,
        to: &Namespace,
        made: &Mutex<Vec<(Dataset, PinId)>>,
    ) -> Result<(), Error> {
        let (from, into) = (&dataset(of), &dataset(to));
        let pins = self.datasets.pins_of(from).await?.into_iter();
        let pinned = pins.map(|(_, id)| async move {
            if let Some(id) = self.datasets.pin_too(from, id, into).await? {
                made.lock().unwrap_or_else(PoisonError::into_inner).push((into.clone(), id));
            }
            Ok::<_, Error>(())
        });
        let pinned: Vec<_> = pinned.collect();
        futures::stream::iter(pinned).buffer_unordered(PINS_AT_ONCE).try_collect().await
    }
}
