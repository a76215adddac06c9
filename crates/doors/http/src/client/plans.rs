//! Plans on a node.

use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_datasets::Error;
use cairn_functions::{Function, PlanInfo, PlanSpec};
use reqwest::Method;

use super::functions::{asked, encoded};
use super::http::{Asked, Node, strange};
use super::kv::add;
use crate::api::PlanPage;
use crate::limits::FUNCTION_INPUT_BYTES_MAX;

fn path(of: &Function, below: &str) -> String {
    let slash = if below.is_empty() { "" } else { "/" };
    format!("api/v1/plans/{}/{}{slash}{below}", of.project, of.name)
}

impl Node {
    /// The plans of a project, the newest first.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn plans(&self, project: &ProjectName) -> Result<Vec<PlanInfo>, Error> {
        let page: PlanPage = self.get(&["api", "v1", "plans", project.as_str()], &[]).await?;
        Ok(page.plans)
    }

    /// Has a plan done, all of it when `fresh`.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn add_plan(
        &self,
        of: &Function,
        spec: &PlanSpec,
        fresh: bool,
    ) -> Result<PlanInfo, Error> {
        let (path, query) = (path(of, ""), if fresh { "fresh=true" } else { "" });
        let body = serde_json::to_vec(spec).map_err(|error| strange(&error.to_string()))?;
        let body = Some(("application/json", Bytes::from(body)));
        let asked = Asked { path: &path, query, body, ..asked(Method::POST) };
        self.json(self.ask(&asked).await?).await
    }

    /// How far a plan is, waited for so many seconds.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn plan(&self, of: &Function, id: &str, wait: u64) -> Result<PlanInfo, Error> {
        let (path, query) = (path(of, &encoded(id)), format!("wait={wait}"));
        let asked = Asked { path: &path, query: &query, ..asked(Method::GET) };
        self.json(self.ask(&asked).await?).await
    }

    /// Ends a plan where it is.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn cancel_plan(&self, of: &Function, id: &str) -> Result<PlanInfo, Error> {
        let path = path(of, &encoded(id));
        let asked = Asked { path: &path, ..asked(Method::DELETE) };
        self.json(self.ask(&asked).await?).await
    }

    /// What a run of a step has made.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn plan_output(
        &self,
        of: &Function,
        id: &str,
        (step, run): (Option<&str>, Option<u64>),
    ) -> Result<Bytes, Error> {
        let mut query = String::new();
        if let Some(step) = step {
            add(&mut query, "step", &encoded(step));
        }
        if let Some(run) = run {
            add(&mut query, "run", &run.to_string());
        }
        let path = path(of, &format!("{}/output", encoded(id)));
        let asked = Asked { path: &path, query: &query, ..asked(Method::GET) };
        self.whole(self.ask(&asked).await?, FUNCTION_INPUT_BYTES_MAX).await
    }
}
