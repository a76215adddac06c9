//! `grpc.health.v1.Health`: whether the node lives and its bucket answers. It is asked without a
//! credential and says nothing else.

use std::sync::Arc;

use cairn_access::Access;
use cairn_env::{Clock, Env};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use crate::error::Error;
use crate::follow::stop;
use crate::limits::HEALTH_EVERY;

/// The services that have a health. The empty name stands for the node.
const SERVICES: [&str; 4] =
    ["", "cairn.dataset.v1.DatasetAPI", "cairn.block.v1.BlockAPI", "cairn.kv.v1.KvAPI"];

/// The health of a node.
#[derive(Clone)]
pub(crate) struct Health {
    access: Access,
    clock: Arc<dyn Clock>,
    stopped: Option<watch::Receiver<bool>>,
}

/// Somebody who watches it.
struct Watching {
    health: Health,
    known: bool,
    told: Option<ServingStatus>,
}

impl Health {
    pub(crate) fn new(access: Access, env: Env, stopped: Option<watch::Receiver<bool>>) -> Self {
        Self { access, clock: env.clock, stopped }
    }

    /// A node serves when the bucket answers, which the access state stands for: no call is decided
    /// without it.
    async fn status(&self) -> ServingStatus {
        if self.stopped.as_ref().is_some_and(|stopped| *stopped.borrow()) {
            return ServingStatus::NotServing;
        }
        match self.access.refresh().await {
            Ok(()) => ServingStatus::Serving,
            Err(error) => {
                // What is wrong in detail is for the log, not for everybody.
                tracing::warn!(%error, "not serving");
                ServingStatus::NotServing
            }
        }
    }
}

impl Watching {
    /// The next status that differs from the one told before.
    async fn next(&mut self) -> Result<ServingStatus, Error> {
        loop {
            let status = match self.known {
                true => self.health.status().await,
                false => ServingStatus::ServiceUnknown,
            };
            if self.told.replace(status) != Some(status) {
                return Ok(status);
            }
            tokio::select! {
                biased;
                () = stop(self.health.stopped.as_mut()) => return Err(Error::Stopping),
                () = self.health.clock.sleep(HEALTH_EVERY) => {}
            }
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Error::not_found("there is no such service; reflection lists them").into());
        }
        Ok(Response::new(answer(self.status().await)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&request.get_ref().service.as_str());
        let watching = Watching { health: self.clone(), known, told: None };
        let told = futures::stream::try_unfold(watching, |mut watching| async move {
            let status = watching.next().await?;
            Ok::<_, Status>(Some((answer(status), watching)))
        });
        Ok(Response::new(told.boxed()))
    }
}
