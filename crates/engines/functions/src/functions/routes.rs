//! Routes to functions and to files.

use std::sync::Arc;

use cairn_base::ProjectName;

use super::{Functions, Match, NoMatch};
use crate::error::Error;
use crate::model::{Auth, Function, RouteFiles, RouteInfo, Target};
use crate::routes::Pattern;

impl Functions {
    /// Adds a route to a function, or to `files` of the dataset that has these names.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Invalid`] for paths of files; [`Error::RouteExists`]; [`Error::Kept`].
    pub async fn add_route(
        &self,
        function: &Function,
        (pattern, files): (&Pattern, Option<&RouteFiles>),
        auth: Auth,
        by: &str,
    ) -> Result<RouteInfo, Error> {
        self.put_route(function, (pattern, files), auth, by, false).await
    }

    /// Adds a route, or changes the one for the same requests to the same function or dataset, in one step.
    ///
    /// # Errors
    /// As [`Functions::add_route`].
    pub async fn set_route(
        &self,
        function: &Function,
        route: (&Pattern, Option<&RouteFiles>),
        auth: Auth,
        by: &str,
    ) -> Result<RouteInfo, Error> {
        self.put_route(function, route, auth, by, true).await
    }

    async fn put_route(
        &self,
        function: &Function,
        (pattern, files): (&Pattern, Option<&RouteFiles>),
        auth: Auth,
        by: &str,
        replace: bool,
    ) -> Result<RouteInfo, Error> {
        match files {
            Some(files) => {
                files.check(pattern)?;
                self.shared.registry.ensure(&function.project).await?;
                self.shared.live.want(&function.project);
            }
            // Also one of another project, as far as it is known here.
            None => drop(self.shared.live.slot(function).await?),
        }
        // Of those to the same it is seen in the transaction whether they may be changed.
        let other = |target: &Arc<Target>| target.function != *function || !replace;
        if let Some(target) = self.shared.live.same(pattern).filter(other) {
            let Target { function, pattern, .. } = Target::clone(&target);
            return Err(Error::RouteExists { pattern, function });
        }
        let registry = &self.shared.registry;
        let made = registry.add_route(function, (pattern, files), auth, by, replace).await?;
        self.shared.live.seen(&function.project, made.seq).await?;
        Ok(made.what)
    }

    /// The routes of a project, in the order of their patterns.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn routes(&self, project: &ProjectName) -> Result<Vec<RouteInfo>, Error> {
        self.shared.registry.routes(project).await
    }

    /// Removes a route to a function.
    ///
    /// # Errors
    /// [`Error::NoRoute`]; [`Error::Kept`].
    pub async fn remove_route(
        &self,
        function: &Function,
        pattern: &Pattern,
    ) -> Result<RouteInfo, Error> {
        let made = self.shared.registry.remove_route(function, pattern).await?;
        self.shared.live.seen(&function.project, made.seq).await?;
        Ok(made.what)
    }

    /// The function that answers a request: `host` without a port, `path` as it was sent. Before this node has read
    /// what there is, that is waited for.
    ///
    /// # Errors
    /// [`NoMatch`].
    pub async fn find(&self, method: &str, host: &str, path: &str) -> Result<Match, NoMatch> {
        match self.shared.live.find(method, host, path) {
            Err(_) if !self.shared.live.has_looked() => {}
            found => return found,
        }
        self.shared.live.until_looked().await;
        self.shared.live.find(method, host, path)
    }

    /// Whether there may be routes that this node has not read yet.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.shared.live.has_looked() || self.shared.live.is_reading()
    }
}
