//! The handle on a bucket: one state for all nodes, whatever the bucket does.

#![allow(clippy::unwrap_used, reason = "this whole crate is tests")]

mod agree;
mod bootstrap;
mod counted;
mod delegated;
mod pass;
mod people;
mod recorded;
mod refresh;
mod rough;
mod sealed;

use std::sync::Arc;

use cairn_access::{
    Access, Action, Caller, Error, Grant, NewToken, Origin, Plain, PrincipalName, Resource, Role,
    Shown, TokenSpec, Visit,
};
use cairn_bucket::Bucket;
use cairn_env::Env;

/// Runs on one thread whose time moves only when every task waits.
pub(crate) fn simulate<T>(seed: u64, test: impl AsyncFnOnce(Env) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { test(Env::simulated(seed)).await })
}

/// The first node on a bucket, and root's token.
pub(crate) async fn first(bucket: &Bucket, env: &Env) -> (Access, NewToken) {
    let (access, token) = start(bucket, env).await.unwrap();
    (access, token.unwrap())
}

pub(crate) async fn start(bucket: &Bucket, env: &Env) -> Result<(Access, Option<NewToken>), Error> {
    Access::bootstrap(bucket.clone(), env.clone(), Arc::new(Plain)).await
}

pub(crate) async fn open(bucket: &Bucket, env: &Env) -> Result<Access, Error> {
    Access::open(bucket.clone(), env.clone(), Arc::new(Plain)).await
}

pub(crate) async fn show(access: &Access, token: &NewToken) -> Result<Caller, Error> {
    Ok(visit(access, token).await?.caller().clone())
}

/// A request that shows the token.
pub(crate) async fn visit(access: &Access, token: &NewToken) -> Result<Visit, Error> {
    let header = format!("Bearer {}", token.token.expose());
    let shown = Shown { authorization: Some(&header), ..Shown::default() };
    access.admit(shown, Origin::default()).await
}

pub(crate) fn spec(principal: &str) -> TokenSpec {
    let principal: PrincipalName = principal.parse().unwrap();
    TokenSpec::api(principal, "test".parse().unwrap())
}

pub(crate) fn grant(subject: &str, role: Role, pattern: &str) -> Grant {
    Grant { subject: subject.parse().unwrap(), role, pattern: pattern.parse().unwrap() }
}

pub(crate) fn dataset(name: &str) -> Resource {
    Resource::Dataset("main".parse().unwrap(), name.parse().unwrap())
}

pub(crate) async fn may_read(access: &Access, caller: &Caller, name: &str) -> bool {
    let snapshot = access.snapshot().await.unwrap();
    snapshot.authorize(caller, Action::ReadDataset, &dataset(name)).is_allowed()
}
