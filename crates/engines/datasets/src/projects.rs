//! The projects of a bucket: those that have a dataset with a tag.

use std::collections::BTreeMap;

use cairn_base::{DatasetName, ProjectName};
use futures::TryStreamExt as _;

use crate::error::Error;
use crate::local::Datasets;
use crate::model::Target;

impl Datasets {
    /// At most `limit` projects after `after` with a dataset that `readable` lets be seen, by name, and
    /// whether there are more. Reads the names of all refs, and of each project refs up to one that has
    /// a version.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Blocks`].
    pub async fn projects(
        &self,
        after: &str,
        limit: usize,
        readable: impl Fn(&ProjectName, &DatasetName) -> bool,
    ) -> Result<(Vec<ProjectName>, bool), Error> {
        let mut all: BTreeMap<ProjectName, Vec<Target>> = BTreeMap::new();
        let mut targets = std::pin::pin!(self.refs.targets(None, None));
        while let Some(target) = targets.try_next().await? {
            let dataset = &target.dataset;
            if dataset.project.as_str() > after && readable(&dataset.project, &dataset.name) {
                all.entry(dataset.project.clone()).or_default().push(target);
            }
        }
        let mut found = Vec::new();
        for (project, targets) in all {
            if !self.has_version(&targets).await? {
                continue;
            }
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(project);
        }
        Ok((found, false))
    }

    /// Whether one of the refs was not removed.
    async fn has_version(&self, targets: &[Target]) -> Result<bool, Error> {
        for target in targets {
            if self.refs.load(target).await?.is_some_and(|(state, _)| state.current.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
