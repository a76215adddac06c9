//! Triggers as they are kept.

use cairn_base::{DatasetName, ProjectName};
use cairn_kv::{Seq, Transaction};
use futures::FutureExt as _;

use super::{Made, Registry, below, delete, entry, put, row};
use crate::agenda::Key;
use crate::error::Error;
use crate::model::Function;
use crate::rows::{self, ToldRow, TriggerRow};
use crate::triggers::{TRIGGERS_MAX, TriggerInfo, TriggerSpec};

impl Registry {
    /// Adds a trigger of a function that is there, for what changes after `from`; with `replace` one of that name is changed,
    /// which goes on where it is when it is of the same namespace.
    pub(crate) async fn add_trigger(
        &self,
        (function, name): &Key<DatasetName>,
        spec: &TriggerSpec,
        from: Seq,
        by: &str,
        replace: bool,
    ) -> Result<Made<TriggerInfo>, Error> {
        let now_ms = self.now_ms();
        let made = self.transact(function, move |mut transaction: Transaction| {
            async move {
                if entry(&mut transaction, &rows::function(&function.name)).await?.is_none() {
                    return Err(Error::NoFunction { function: function.clone() });
                }
                let key = rows::trigger(&function.name, name);
                let before = row::<TriggerRow>(&mut transaction, &key).await?;
                if before.is_some() && !replace {
                    let (function, name) = (function.clone(), name.to_string());
                    return Err(Error::TriggerExists { function, name });
                }
                let all = below(&mut transaction, rows::TRIGGERS).await?.len();
                if before.is_none() && all >= TRIGGERS_MAX {
                    let why = format!("a project has at most {TRIGGERS_MAX} triggers: remove some");
                    return Err(Error::Invalid { why });
                }
                let told_key = rows::told(&function.name, name);
                let mut told = ToldRow { seq: from.0, ..ToldRow::default() };
                let same = |before: &&TriggerRow| before.spec.namespace == spec.namespace;
                if before.as_ref().filter(same).is_some()
                    && let Some(known) = row::<ToldRow>(&mut transaction, &told_key).await?
                {
                    told.seq = known.seq;
                }
                // What is being told for the one before does not count any more.
                let made_ms = before.map_or(now_ms, |before| now_ms.max(before.made_ms + 1));
                let made = TriggerRow { spec: spec.clone(), made_ms, by: by.to_owned() };
                put(&mut transaction, key, rows::encode(&made))?;
                put(&mut transaction, told_key, rows::encode(&told))?;
                Ok((transaction, info(function, name, made, told)))
            }
            .boxed()
        });
        made.await
    }

    /// Removes a trigger with how far it is.
    pub(crate) async fn remove_trigger(
        &self,
        (function, name): &Key<DatasetName>,
    ) -> Result<Made<()>, Error> {
        let removed = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::trigger(&function.name, name);
                if entry(&mut transaction, &key).await?.is_none() {
                    let (function, name) = (function.clone(), name.to_string());
                    return Err(Error::NoTrigger { function, name });
                }
                delete(&mut transaction, key)?;
                delete(&mut transaction, rows::told(&function.name, name))?;
                Ok((transaction, ()))
            }
            .boxed()
        });
        removed.await
    }

    /// The triggers of a project, by function and name.
    pub(crate) async fn triggers(&self, of: &ProjectName) -> Result<Vec<TriggerInfo>, Error> {
        let mut all = Vec::new();
        for (key, value) in self.rows(of, rows::TRIGGERS).await? {
            let Some((function, name)) = rows::triggered(&key) else { continue };
            let made: TriggerRow = rows::decode(&key, &value)?;
            let told = self.get(of, &rows::told(&function, &name)).await?.unwrap_or_default();
            let function = Function { project: of.clone(), name: function };
            all.push(info(&function, &name, made, told));
        }
        Ok(all)
    }

    /// A trigger, and how far it is.
    pub(crate) async fn trigger(
        &self,
        (function, name): &Key<DatasetName>,
    ) -> Result<Option<(TriggerRow, ToldRow)>, Error> {
        let (project, of) = (&function.project, &function.name);
        let Some(made) = self.get(project, &rows::trigger(of, name)).await? else {
            return Ok(None);
        };
        let told = self.get(project, &rows::told(of, name)).await?.unwrap_or_default();
        Ok(Some((made, told)))
    }

    /// How far a trigger is now, unless it was removed, or made anew, meanwhile; whether it counts.
    pub(crate) async fn set_told(
        &self,
        (function, name): &Key<DatasetName>,
        made_ms: u64,
        told: &ToldRow,
    ) -> Result<bool, Error> {
        let set = self.note(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::trigger(&function.name, name);
                let made: Option<TriggerRow> = row(&mut transaction, &key).await?;
                let ours = made.is_some_and(|made| made.made_ms == made_ms);
                if ours {
                    let key = rows::told(&function.name, name);
                    put(&mut transaction, key, rows::encode(told))?;
                }
                Ok((transaction, ours))
            }
            .boxed()
        });
        Ok(set.await?.what)
    }
}

fn info(function: &Function, name: &DatasetName, made: TriggerRow, told: ToldRow) -> TriggerInfo {
    TriggerInfo {
        name: name.to_string(),
        project: function.project.to_string(),
        function: function.name.to_string(),
        spec: made.spec,
        made_ms: made.made_ms,
        by: made.by,
        told: told.seq,
        failures: told.failures,
        error: told.error,
        again_ms: (told.failures > 0).then_some(told.again_ms),
    }
}
