//! The functions of a node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_access::Access;
use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_functions::{Functions, Tiers};
use cairn_kv::Kv;
use cairn_wasm::{Compiler, Options, Runtime};
use cairn_worker::{Program, Workers};
use tokio::sync::watch;

use crate::{Error, NodeOptions, keys_in_bucket, until};

/// How soon functions are looked for again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often it is looked for projects that have functions since.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What this node has of its own for functions.
#[derive(Clone)]
pub(crate) struct Own {
    /// Where compiled code is kept.
    pub(crate) code: Option<PathBuf>,
    /// They may send requests to addresses of this machine and its networks.
    pub(crate) to_private: bool,
}

impl Own {
    pub(crate) fn of(options: &NodeOptions) -> Self {
        Self { code: options.code.clone(), to_private: options.functions_to_private }
    }
}

/// Starts the engine, and begins to serve the projects that have functions, until the node stops.
pub(crate) fn start(
    kv: &Kv,
    datasets: &Datasets,
    access: &Access,
    own: Own,
    stopped: &watch::Receiver<bool>,
    env: &Env,
) -> Result<Functions, Error> {
    let key = datasets.blocks().secret_for("cairn compiled code 1");
    // Elsewhere there is no name for this very program.
    let linux = cfg!(target_os = "linux");
    let compiler = linux.then(|| Arc::new(cairn_worker::Compiler::this()) as Arc<dyn Compiler>);
    let options = Options { cache: own.code, key, compiler, ..Options::default() };
    let in_bucket = keys_in_bucket(datasets);
    let runtime = Runtime::start(options, env)?;
    let egress = cairn_functions::egress(own.to_private, env)?;
    let workers = Workers::new(Program::this(), env);
    let tiers = Tiers { runtime, workers };
    let functions = Functions::new((kv, &in_bucket, datasets), access, tiers, egress, env);
    let kept = functions.clone();
    let (found, stopped) = (follow(functions.clone(), env), until(stopped.clone()));
    // Read beside everybody: a node without functions opens no log for them.
    env.spawn.task(Box::pin(async move {
        tokio::select! {
            biased;
            () = stopped => {}
            ((), ()) = async { tokio::join!(found, kept.keep_running()) } => {}
        }
    }));
    Ok(functions)
}

/// Reads what there is, makes it ready, and looks for what other nodes have deployed first in a project since: it
/// may be asked for here, and its schedules are kept here when those nodes are gone.
fn follow(functions: Functions, env: &Env) -> impl Future<Output = ()> + use<> {
    let clock = Arc::clone(&env.clock);
    async move {
        while let Err(error) = functions.read().await {
            tracing::warn!(%error, "functions are not served yet");
            clock.sleep(RETRY_AFTER).await;
        }
        functions.warm().await;
        loop {
            clock.sleep(LOOK_EVERY).await;
            if let Err(error) = functions.read().await {
                tracing::warn!(%error, "functions of other projects are not looked for");
            }
        }
    }
}
