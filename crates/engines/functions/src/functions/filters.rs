//! Filters: functions that the requests of others pass first.

use cairn_base::{DatasetName, ProjectName};

use super::Functions;
use crate::error::Error;
use crate::model::{FilterInfo, Function};

impl Functions {
    /// Lets the requests of a function pass another one of its project first, or with another priority than before;
    /// lower ones are passed before higher ones.
    ///
    /// # Errors
    /// [`Error::NoFunction`], [`Error::Invalid`]; [`Error::Kept`].
    pub async fn add_filter(
        &self,
        function: &Function,
        filter: &DatasetName,
        priority: u16,
        by: &str,
    ) -> Result<FilterInfo, Error> {
        let made = self.shared.registry.add_filter(function, filter, priority, by).await?;
        self.shared.live.seen(&function.project, made.seq).await?;
        Ok(made.what)
    }

    /// Removes a filter of a function.
    ///
    /// # Errors
    /// [`Error::NoFilter`]; [`Error::Kept`].
    pub async fn remove_filter(
        &self,
        function: &Function,
        filter: &DatasetName,
    ) -> Result<(), Error> {
        let made = self.shared.registry.remove_filter(function, filter).await?;
        self.shared.live.seen(&function.project, made.seq).await
    }

    /// The filters of a project's functions, those of each in their order.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn filters(&self, project: &ProjectName) -> Result<Vec<FilterInfo>, Error> {
        self.shared.registry.filters(project).await
    }
}
