//! The functions of a node.

use std::path::PathBuf;

use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_functions::Functions;
use cairn_kv::Kv;
use cairn_wasm::{Options, Runtime};

use crate::{Error, keys_in_bucket};

/// Starts the engine, and begins to serve the projects that have functions.
pub(crate) fn start(
    kv: &Kv,
    datasets: &Datasets,
    code: Option<PathBuf>,
    env: &Env,
) -> Result<Functions, Error> {
    let key = datasets.blocks().secret_for("cairn compiled code 1");
    let options = Options { cache: code, key, ..Options::default() };
    let functions = Functions::new(kv, Runtime::start(options, env)?, env);
    let (found, in_bucket) = (functions.clone(), keys_in_bucket(datasets));
    // Read beside everybody: a node without functions opens no log for them.
    env.spawn.task(Box::pin(async move {
        match found.projects(&in_bucket).await {
            Ok(projects) => projects.iter().for_each(|project| found.begin(project)),
            Err(error) => tracing::error!(%error, "functions are served once they are asked for"),
        }
    }));
    Ok(functions)
}
