//! The doors beside http, each on a port of its own: for clients of Redis, and of functions.

use std::net::SocketAddr;
use std::sync::Arc;

use cairn_access::Access;
use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_functions::{Counted, Functions};
use cairn_http::{Door, Metric, MoreMetrics, Transport};
use cairn_kv::Kv;
use cairn_mesh::tls::ServerTls;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::listeners::Listeners;
use crate::{Error, NodeOptions, Tls, until};

/// Where they listen, and the doors themselves where anybody listens.
pub(crate) struct Beside {
    pub(crate) redis: Listeners,
    pub(crate) web: Listeners,
    redis_door: Option<cairn_redis::Door>,
    web_door: Option<cairn_web::Door>,
}

impl Beside {
    pub(crate) async fn bind(options: &NodeOptions) -> Result<Self, Error> {
        let redis = Listeners::bind("redis", &options.redis, &options.tls).await?;
        let web = Listeners::bind("http", &options.web, &options.tls).await?;
        Ok(Self { redis, web, redis_door: None, web_door: None })
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        [&self.redis.addresses[..], &self.web.addresses].concat()
    }

    /// Opens the doors to what the node has.
    pub(crate) fn open(
        &mut self,
        kv: Option<&Kv>,
        (functions, datasets): (Option<&Functions>, &Datasets),
        access: &Access,
        env: &Env,
    ) {
        let kv = kv.filter(|_| !self.redis.addresses.is_empty());
        self.redis_door = kv.map(|kv| cairn_redis::Door::new(kv.clone(), access.clone(), env));
        let functions = functions.filter(|_| !self.web.addresses.is_empty());
        self.web_door = functions.map(|functions| {
            cairn_web::Door::new(functions.clone(), datasets.clone(), access.clone(), env)
        });
    }

    pub(crate) fn serve(
        &mut self,
        tls: &Tls,
        server: Option<&ServerTls>,
        http: &Door,
        stopped: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let mut served = Vec::new();
        if let Some(door) = &self.redis_door {
            served.extend(self.redis.serve(tls, server, |listener, transport| {
                serve_redis(door.clone(), listener, transport, stopped.clone())
            }));
        }
        if let Some(door) = &self.web_door {
            served.extend(self.web.serve(tls, server, |listener, transport| {
                serve_web(http.clone(), door.clone(), listener, transport, stopped.clone())
            }));
        }
        served
    }

    /// What they count, and functions with them.
    pub(crate) fn more_metrics(&self, functions: Option<&Functions>) -> MoreMetrics {
        let (redis, web) = (self.redis_door.clone(), self.web_door.clone());
        let functions = functions.cloned();
        Arc::new(move || {
            let redis = redis.as_ref().map(redis_metrics).unwrap_or_default();
            let web = web.as_ref().map(web_metrics).unwrap_or_default();
            let functions = functions.as_ref().map(function_metrics).unwrap_or_default();
            redis.into_iter().chain(web).chain(functions).collect()
        })
    }
}

async fn serve_redis(
    door: cairn_redis::Door,
    listener: TcpListener,
    transport: Transport,
    stopped: watch::Receiver<bool>,
) {
    door.serve(listener, transport, until(stopped)).await;
}

/// With the bounds of http.
async fn serve_web(
    http: Door,
    door: cairn_web::Door,
    listener: TcpListener,
    transport: Transport,
    stopped: watch::Receiver<bool>,
) {
    let answers = door.clone();
    let answer = move |request| {
        let door = answers.clone();
        async move { door.answer(request).await }
    };
    let served = http.serve_with(answer, listener, transport, until(stopped)).await;
    door.close().await;
    if let Err(error) = served {
        tracing::error!(%error, "the door of functions stopped");
    }
}

fn metric(name: &'static str, kind: &'static str, help: &'static str, value: u64) -> Metric {
    Metric { name, kind, help, value }
}

fn redis_metrics(door: &cairn_redis::Door) -> Vec<Metric> {
    let numbers = door.numbers();
    vec![
        metric("cairn_redis_connections", "gauge", "Connections open.", numbers.connections),
        metric("cairn_redis_commands_total", "counter", "Commands answered.", numbers.commands),
        metric("cairn_redis_errors_total", "counter", "Errors among them.", numbers.errors),
    ]
}

fn web_metrics(door: &cairn_web::Door) -> Vec<Metric> {
    let (numbers, help) = (door.numbers(), "Requests that no function answered.");
    vec![
        metric("cairn_web_requests_total", "counter", "Requests.", numbers.requests),
        metric("cairn_web_errors_total", "counter", help, numbers.errors),
        metric("cairn_web_sockets", "gauge", "WebSockets open.", numbers.sockets),
    ]
}

fn function_metrics(functions: &Functions) -> Vec<Metric> {
    let counted = functions.counted();
    let sum = |of: fn(&Counted) -> u64| counted.iter().map(of).sum();
    let (calls, failures) = (sum(|one| one.calls), sum(|one| one.failures));
    let (runs, failed_runs) = functions.scheduled_runs();
    let help = "Calls of functions that did not end well.";
    let workers = functions.workers().numbers();
    let lost = "Calls that ended with their worker.";
    vec![
        metric("cairn_functions", "gauge", "Functions known here.", counted.len() as u64),
        metric("cairn_function_calls_total", "counter", "Calls of functions.", calls),
        metric("cairn_function_failures_total", "counter", help, failures),
        metric("cairn_schedule_runs_total", "counter", "Runs of schedules.", runs),
        metric("cairn_schedule_failures_total", "counter", "Those that failed.", failed_runs),
        metric("cairn_workers", "gauge", "Workers that live.", workers.workers),
        metric("cairn_worker_starts_total", "counter", "Workers started.", workers.starts),
        metric("cairn_worker_crashes_total", "counter", "Those that crashed.", workers.crashes),
        metric("cairn_worker_lost_calls_total", "counter", lost, workers.lost_calls),
    ]
}
