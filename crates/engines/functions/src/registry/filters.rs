//! Filters as they are kept.

use cairn_base::{DatasetName, ProjectName};
use cairn_kv::Transaction;
use futures::FutureExt as _;

use super::{Made, Registry, below, delete, entry, put};
use crate::error::Error;
use crate::model::{FilterInfo, Function};
use crate::rows::{self, FilterRow};

/// Filters of one function.
pub const FILTERS_MAX: usize = 16;

impl Registry {
    /// Lets the requests of a function pass another one of its project first, or with another priority than before.
    pub(crate) async fn add_filter(
        &self,
        function: &Function,
        filter: &DatasetName,
        priority: u16,
        by: &str,
    ) -> Result<Made<FilterInfo>, Error> {
        let made = self.transact(function, move |mut transaction: Transaction| {
            async move {
                for name in [&function.name, filter] {
                    if entry(&mut transaction, &rows::function(name)).await?.is_none() {
                        let function = Function { name: name.clone(), ..function.clone() };
                        return Err(Error::NoFunction { function });
                    }
                }
                if function.name == *filter {
                    let why = "a function is no filter of itself".to_owned();
                    return Err(Error::Invalid { why });
                }
                let (same, others) = known(&mut transaction, &function.name, filter).await?;
                if others >= FILTERS_MAX {
                    let why = format!("a function has at most {FILTERS_MAX} filters: remove some");
                    return Err(Error::Invalid { why });
                }
                for key in same {
                    delete(&mut transaction, key)?;
                }
                let row = FilterRow { made_ms: self.now_ms(), by: by.to_owned() };
                let key = rows::filter(&function.name, priority, filter);
                put(&mut transaction, key, rows::encode(&row))?;
                Ok((transaction, info(&function.project, &function.name, priority, filter, row)))
            }
            .boxed()
        });
        made.await
    }

    /// Removes a filter of a function.
    pub(crate) async fn remove_filter(
        &self,
        function: &Function,
        filter: &DatasetName,
    ) -> Result<Made<()>, Error> {
        let removed = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let (same, _) = known(&mut transaction, &function.name, filter).await?;
                if same.is_empty() {
                    let (function, filter) = (function.clone(), filter.to_string());
                    return Err(Error::NoFilter { function, filter });
                }
                for key in same {
                    delete(&mut transaction, key)?;
                }
                Ok((transaction, ()))
            }
            .boxed()
        });
        removed.await
    }

    /// The filters of a project's functions, those of each in their order.
    pub(crate) async fn filters(&self, of: &ProjectName) -> Result<Vec<FilterInfo>, Error> {
        let mut all = Vec::new();
        for (key, value) in self.rows(of, rows::FILTERS).await? {
            let Some((function, priority, filter)) = rows::filtered(&key) else { continue };
            all.push(info(of, &function, priority, &filter, rows::decode(&key, &value)?));
        }
        Ok(all)
    }
}

/// The rows of a filter of a function, and how many others it has.
async fn known(
    transaction: &mut Transaction,
    of: &DatasetName,
    filter: &DatasetName,
) -> Result<(Vec<String>, usize), Error> {
    let all = below(transaction, &rows::filter_prefix(of)).await?;
    let is_same = |key: &String| rows::filtered(key).is_some_and(|known| known.2 == *filter);
    let (same, others): (Vec<_>, Vec<_>) = all.into_iter().map(|(key, _)| key).partition(is_same);
    Ok((same, others.len()))
}

/// The functions whose requests pass this one.
pub(super) async fn filtered_by(
    transaction: &mut Transaction,
    filter: &DatasetName,
) -> Result<Vec<String>, Error> {
    let all = below(transaction, rows::FILTERS).await?;
    let known = all.iter().filter_map(|(key, _)| rows::filtered(key));
    Ok(known.filter(|known| known.2 == *filter).map(|known| known.0.to_string()).collect())
}

fn info(
    project: &ProjectName,
    function: &DatasetName,
    priority: u16,
    filter: &DatasetName,
    row: FilterRow,
) -> FilterInfo {
    FilterInfo {
        project: project.to_string(),
        function: function.to_string(),
        filter: filter.to_string(),
        priority,
        made_ms: row.made_ms,
        by: row.by,
    }
}
