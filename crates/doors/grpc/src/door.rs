//! The door: its services, put together and held against the table of RPCs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use cairn_access::Access;
use cairn_datasets::{Datasets, Uploads};
use cairn_env::Env;
use cairn_functions::Functions;
use cairn_kv::Kv;
use tokio::sync::{Semaphore, watch};
use tonic_health::pb::health_server::HealthServer;

use crate::error::Error;
use crate::gate::{Gate, pass};
use crate::health::Health;
use crate::limits::{
    BODY_WAIT_MAX, DOWNLOADS_MAX, FOLLOWS_MAX, KV_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, PUSHES_MAX,
    SCANS_MAX, WRITES_MAX,
};
use crate::proto::DESCRIPTORS;
use crate::proto::block::v1::block_api_server::BlockApiServer;
use crate::proto::dataset::v1::dataset_api_server::DatasetApiServer;
use crate::proto::function::v1::function_api_server::FunctionApiServer;
use crate::proto::kv::v1::kv_api_server::KvApiServer;
use crate::rpc::{RPCS, check, described_paths};

/// The paths that belong to this door, as patterns of a router.
pub const PATTERNS: [&str; 7] = [
    "/cairn.dataset.v1.DatasetAPI/{*rpc}",
    "/cairn.block.v1.BlockAPI/{*rpc}",
    "/cairn.kv.v1.KvAPI/{*rpc}",
    "/cairn.function.v1.FunctionAPI/{*rpc}",
    "/grpc.health.v1.Health/{*rpc}",
    "/grpc.reflection.v1.ServerReflection/{*rpc}",
    "/grpc.reflection.v1alpha.ServerReflection/{*rpc}",
];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a client may stand still while it sends.
    pub body_wait: Duration,
    /// Becomes true when the node stops: streams that would last end then.
    pub stopped: Option<watch::Receiver<bool>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_wait: BODY_WAIT_MAX, stopped: None }
    }
}

/// What all calls share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) datasets: Datasets,
    pub(crate) uploads: Uploads,
    pub(crate) kv: Option<Kv>,
    pub(crate) functions: Option<Functions>,
    pub(crate) stopped: Option<watch::Receiver<bool>>,
    pub(crate) downloads: Arc<Semaphore>,
    pub(crate) pushes: Arc<Semaphore>,
    pub(crate) follows: Arc<Semaphore>,
    pub(crate) scans: Arc<Semaphore>,
    pub(crate) writes: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn env(&self) -> &Env {
        self.datasets.blocks().env()
    }
}

/// The gRPC door of a node.
#[derive(Clone)]
pub struct Door {
    router: Router,
}

impl Door {
    /// A door with all services of this crate. Without `kv` it has no keys, and without `functions` no functions, and says so to
    /// who asks.
    ///
    /// # Errors
    /// [`Error::NoPermission`] when an RPC does not say what it takes to call it (ACCESS-1).
    pub fn new(
        datasets: Datasets,
        uploads: Uploads,
        (kv, functions): (Option<Kv>, Option<Functions>),
        access: Access,
        options: Options,
    ) -> Result<Self, Error> {
        let health = tonic_health::pb::FILE_DESCRIPTOR_SET;
        let reflected = |error: tonic_reflection::server::Error| Error::Internal {
            detail: format!("reflection: {error}"),
        };
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(health)
        };
        let (v1, v1alpha) = (describe().build_v1(), describe().build_v1alpha());
        let (v1, v1alpha) = (v1.map_err(reflected)?, v1alpha.map_err(reflected)?);
        let mut served = described_paths(DESCRIPTORS)?;
        for descriptors in [
            health,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            served.extend(described_paths(descriptors)?);
        }
        check(&served, RPCS)?;
        let env = datasets.blocks().env().clone();
        let gate = Gate::new(access.clone(), uploads.clone(), env.clone(), options.body_wait);
        let health = Health::new(access, env, options.stopped.clone());
        let api = Api {
            datasets,
            uploads,
            kv,
            functions,
            stopped: options.stopped,
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            pushes: Arc::new(Semaphore::new(PUSHES_MAX)),
            follows: Arc::new(Semaphore::new(FOLLOWS_MAX)),
            scans: Arc::new(Semaphore::new(SCANS_MAX)),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
        };
        let max = MESSAGE_BYTES_MAX;
        let [dataset, block, keys, functions, lives, reflection, old_reflection] = PATTERNS;
        let router = Router::new()
            .route_service(
                dataset,
                DatasetApiServer::new(api.clone()).max_decoding_message_size(max),
            )
            .route_service(block, BlockApiServer::new(api.clone()).max_decoding_message_size(max))
            .route_service(
                keys,
                KvApiServer::new(api.clone()).max_decoding_message_size(KV_MESSAGE_BYTES_MAX),
            )
            .route_service(
                functions,
                FunctionApiServer::new(api).max_decoding_message_size(KV_MESSAGE_BYTES_MAX),
            )
            .route_service(lives, HealthServer::new(health).max_decoding_message_size(max))
            .route_service(reflection, v1.max_decoding_message_size(max))
            .route_service(old_reflection, v1alpha.max_decoding_message_size(max))
            .layer(from_fn_with_state(gate, pass));
        Ok(Self { router })
    }

    /// Everything as one router, guarded, which answers what fits [`PATTERNS`]. It is served over
    /// HTTP/2, and finds a [`cairn_access::Origin`] in the extensions of each request.
    pub fn router(&self) -> Router {
        self.router.clone()
    }
}
