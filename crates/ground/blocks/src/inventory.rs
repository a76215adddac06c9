//! What a copy of the block store needs.

use bytes::Bytes;

use crate::catalog::{CATALOG_KEY, Catalog};
use crate::envelope::EnvelopeKind;
use crate::error::Error;
use crate::run::run_key;
use crate::store::Blocks;

/// The objects of a block store at one time, and the catalog that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Keys of index runs and packs, sorted; none of them ever changes. A collection may delete some.
    pub objects: Vec<String>,
    /// Key and bytes of a catalog that names them all, and no session.
    pub catalog: (String, Bytes),
}

impl Blocks {
    /// What there is now. Where the objects are copied under the same keys, and then the catalog, is the
    /// same store.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`].
    pub async fn inventory(&self) -> Result<Inventory, Error> {
        let view = self.refreshed().await?;
        let mut objects: Vec<String> = view.runs.iter().map(|run| run_key(&run.name)).collect();
        objects.extend(view.runs.iter().flat_map(|run| &run.packs).map(|pack| pack.key()));
        objects.sort();
        objects.dedup();
        let catalog = Catalog { sessions: Vec::new(), ..view.catalog.clone() };
        let plain = serde_json::to_vec(&catalog).expect("a catalog is plain data");
        let rng = self.inner.env.rng.as_ref();
        let bytes = self.sealer().wrap(EnvelopeKind::Catalog, CATALOG_KEY, &plain, rng);
        Ok(Inventory { objects, catalog: (CATALOG_KEY.to_owned(), Bytes::from(bytes)) })
    }
}
