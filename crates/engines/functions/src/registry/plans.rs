//! Plans and what their runs made, as they are kept.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_kv::{At, Error as KvError, Op, Pieces, Put, Transaction};
use futures::FutureExt as _;

use super::{Made, Registry, below, delete, put, row};
use crate::agenda::Key;
use crate::error::Error;
use crate::model::Function;
use crate::plans::{ENDED_MAX, MADE_KEPT, PLANS_MAX, PlanInfo};
use crate::rows::{self, MadeRow, PlanRow};

impl Registry {
    /// Keeps a plan that is to be done.
    pub(crate) async fn add_plan(
        &self,
        (of, id): &Key<String>,
        plan: &PlanRow,
    ) -> Result<Made<PlanInfo>, Error> {
        let made = self.transact(of, move |mut transaction: Transaction| {
            async move {
                if below(&mut transaction, rows::PLANS).await?.len() >= PLANS_MAX {
                    return Err(Error::TooManyPlans { max: PLANS_MAX });
                }
                put(&mut transaction, rows::plan(&of.name, id), rows::encode(plan))?;
                Ok((transaction, plan.info.clone()))
            }
            .boxed()
        });
        made.await
    }

    /// A plan.
    pub(crate) async fn plan(&self, (of, id): &Key<String>) -> Result<Option<PlanRow>, Error> {
        match self.get(&of.project, &rows::plan(&of.name, id)).await? {
            None => self.get(&of.project, &rows::planned(&of.name, id)).await,
            open => Ok(open),
        }
    }

    /// A plan that is to be done.
    pub(crate) async fn open_plan(&self, (of, id): &Key<String>) -> Result<Option<PlanRow>, Error> {
        self.get(&of.project, &rows::plan(&of.name, id)).await
    }

    /// The plans of a project, the newest first.
    pub(crate) async fn plans(&self, project: &ProjectName) -> Result<Vec<PlanInfo>, Error> {
        let mut all = Vec::new();
        for prefix in [rows::PLANS, rows::PLANNED] {
            for (key, value) in self.rows(project, prefix).await? {
                all.push(rows::decode::<PlanRow>(&key, &value)?.info);
            }
        }
        all.sort_by(|a, b| b.made_ms.cmp(&a.made_ms).then_with(|| a.id.cmp(&b.id)));
        Ok(all)
    }

    /// Says how far a plan is, when it is still to be done; whether it is.
    pub(crate) async fn save_plan(
        &self,
        (of, id): &Key<String>,
        info: &PlanInfo,
    ) -> Result<bool, Error> {
        let kept_ms = u64::try_from(MADE_KEPT.as_millis()).unwrap_or(u64::MAX);
        let expires_ms = self.now_ms() + kept_ms;
        let saved = self.note(of, move |mut transaction: Transaction| {
            async move {
                let key = rows::plan(&of.name, id);
                let Some(plan) = row::<PlanRow>(&mut transaction, &key).await? else {
                    return Ok((transaction, false));
                };
                let plan = PlanRow { info: info.clone(), ..plan };
                if info.state.is_open() {
                    put(&mut transaction, key, rows::encode(&plan))?;
                } else {
                    forget_oldest(&mut transaction).await?;
                    delete(&mut transaction, key)?;
                    let (key, expires_ms) = (rows::planned(&of.name, id).into(), Some(expires_ms));
                    let (spec, versions) = (plan.spec.outline(), BTreeMap::new());
                    let value = rows::encode(&PlanRow { spec, versions, ..plan });
                    let put = Op::Put { key, value, expires_ms };
                    transaction.change(put).map_err(KvError::from)?;
                }
                Ok((transaction, true))
            }
            .boxed()
        });
        Ok(saved.await?.what)
    }

    /// What a run made, when it is kept.
    pub(crate) async fn made(&self, of: &Function, run: &str) -> Result<Option<MadeRow>, Error> {
        self.get(&of.project, &rows::made(run)).await
    }

    /// Keeps what a run made: first that, then that it is there.
    pub(crate) async fn keep_made(
        &self,
        of: &Function,
        run: &str,
        output: Bytes,
    ) -> Result<(), Error> {
        let row = MadeRow { bytes: output.len() as u64 };
        self.keep(of, rows::made_output(run), output, MADE_KEPT * 2).await?;
        self.expiring(of, rows::made(run), rows::encode(&row)).await
    }

    pub(crate) async fn made_pieces(&self, of: &Function, run: &str) -> Result<Pieces, Error> {
        let (of, key) = (rows::namespace(&of.project), rows::made_output(run));
        let read = self.ask(|kv| kv.read(&of, key.as_bytes(), At::Durable).boxed());
        Ok(read.await?.pieces)
    }

    pub(crate) async fn made_output(&self, of: &Function, run: &str) -> Result<Bytes, Error> {
        self.kept(of, &rows::made_output(run)).await
    }

    /// Keeps the runs of a step that is done, in their order.
    pub(crate) async fn keep_step(
        &self,
        (of, id): &Key<String>,
        step: &str,
        runs: &[String],
    ) -> Result<(), Error> {
        self.expiring(of, rows::step(&of.name, id, step), rows::encode(&runs)).await
    }

    /// The runs of a step that is done.
    pub(crate) async fn step(
        &self,
        (of, id): &Key<String>,
        step: &str,
    ) -> Result<Option<Vec<String>>, Error> {
        self.get(&of.project, &rows::step(&of.name, id, step)).await
    }

    async fn expiring(&self, of: &Function, key: String, value: Bytes) -> Result<(), Error> {
        let put = Put { key: key.into(), value, ttl: Some(MADE_KEPT), ..Put::default() };
        self.kv.put(&rows::namespace(&of.project), put).await?;
        Ok(())
    }
}

/// Makes room for one plan more that has ended.
async fn forget_oldest(transaction: &mut Transaction) -> Result<(), Error> {
    let ended = below(transaction, rows::PLANNED).await?;
    if ended.len() < ENDED_MAX {
        return Ok(());
    }
    let made = |(key, value): (String, Bytes)| {
        Some((rows::decode::<PlanRow>(&key, &value).ok()?.info.made_ms, key))
    };
    let oldest = ended.into_iter().filter_map(made).min();
    oldest.map_or(Ok(()), |(_, key)| delete(transaction, key))
}
