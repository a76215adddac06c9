//! Routes to files of datasets, as a manifest declares them.

use std::collections::{BTreeMap, BTreeSet};

use cairn_base::TagName;
use cairn_functions::{Auth, Function, Pattern, RouteFiles};
use serde::Deserialize;
use toml::Spanned;

use super::Source;
use crate::command::functions::named;

/// Which files of a dataset are to be served.
pub(crate) struct WantedFiles {
    /// The dataset's names.
    pub(crate) dataset: Function,
    /// By pattern.
    pub(crate) routes: BTreeMap<String, (RouteFiles, Auth)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Served {
    routes: Vec<FilesRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesRoute {
    pattern: Spanned<String>,
    tag: Option<Spanned<String>>,
    #[serde(default)]
    path: String,
    fallback: Option<String>,
    #[serde(default)]
    public: bool,
}

impl Source<'_> {
    pub(super) fn files(
        &self,
        name: &Spanned<String>,
        served: &Served,
    ) -> anyhow::Result<WantedFiles> {
        let dataset = named(name.get_ref()).map_err(|why| self.wrong(name.span(), why))?;
        let (mut routes, mut shapes) = (BTreeMap::new(), BTreeSet::new());
        for FilesRoute { pattern, tag, path, fallback, public } in &served.routes {
            let at = pattern.span();
            let parsed: Pattern =
                pattern.get_ref().parse().map_err(|why| self.wrong(at.clone(), why))?;
            let tag = match tag {
                Some(tag) => tag.get_ref().parse().map_err(|why| self.wrong(tag.span(), why))?,
                None => TagName::default(),
            };
            let files = RouteFiles { tag, path: path.clone(), fallback: fallback.clone() };
            files.check(&parsed).map_err(|why| self.wrong(at.clone(), why))?;
            if !shapes.insert(parsed.shape()) {
                return Err(self.wrong(at, "a route for the same requests is there"));
            }
            let auth = if *public { Auth::None } else { Auth::Cairn };
            routes.insert(parsed.to_string(), (files, auth));
        }
        Ok(WantedFiles { dataset, routes })
    }
}
