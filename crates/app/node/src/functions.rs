//! The functions of a node, and what it counts of doors that http does not know.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_functions::Functions;
use cairn_http::{Metric, MoreMetrics};
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

/// What the door for clients of Redis, the door of functions and functions themselves count.
pub(crate) fn more_metrics(
    redis: Option<cairn_redis::Door>,
    web: Option<cairn_web::Door>,
    functions: Option<Functions>,
) -> MoreMetrics {
    let metric = |name, kind, help, value| Metric { name, kind, help, value };
    Arc::new(move || {
        let mut all = Vec::new();
        if let Some(numbers) = redis.as_ref().map(cairn_redis::Door::numbers) {
            let (commands, errors) = (numbers.commands, numbers.errors);
            all.extend([
                metric(
                    "cairn_redis_connections",
                    "gauge",
                    "Connections open.",
                    numbers.connections,
                ),
                metric("cairn_redis_commands_total", "counter", "Commands answered.", commands),
                metric("cairn_redis_errors_total", "counter", "Errors among them.", errors),
            ]);
        }
        if let Some(numbers) = web.as_ref().map(cairn_web::Door::numbers) {
            let help = "Requests that no function answered.";
            all.extend([
                metric("cairn_web_requests_total", "counter", "Requests.", numbers.requests),
                metric("cairn_web_errors_total", "counter", help, numbers.errors),
            ]);
        }
        if let Some(functions) = &functions {
            let counted = functions.counted();
            let sum = |of: fn(&cairn_functions::Counted) -> u64| counted.iter().map(of).sum();
            let failures = "Calls of functions that did not end well.";
            all.extend([
                metric("cairn_functions", "gauge", "Functions known here.", counted.len() as u64),
                metric(
                    "cairn_function_calls_total",
                    "counter",
                    "Calls of functions.",
                    sum(|one| one.calls),
                ),
                metric(
                    "cairn_function_failures_total",
                    "counter",
                    failures,
                    sum(|one| one.failures),
                ),
            ]);
        }
        all
    })
}
