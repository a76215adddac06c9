//! Releases are compiled, and made ready to be called.

use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_wasm::{Code, Failure, World};

use super::{Functions, Shared};
use crate::blobs::FunctionBlobs;
use crate::error::Error;
use crate::files::FunctionFiles;
use crate::inside::Inside;
use crate::model::{Function, Release, State};
use crate::slot::{Ready, Slot};
use crate::stores::FunctionStores;

/// Functions that are made ready before anybody calls them.
const WARM_MAX: usize = 1000;
/// How soon a compilation is tried again that failed for no fault of its release.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Functions {
    /// The release that answers, made ready when it is not.
    pub(super) async fn ready(&self, slot: &Arc<Slot>) -> Result<Arc<Ready>, Error> {
        if let Some(ready) = slot.ready() {
            return Ok(ready);
        }
        let _turn = slot.loading.lock().await;
        if let Some(ready) = slot.ready() {
            return Ok(ready);
        }
        let none = || Error::NoneReady { function: slot.of.clone() };
        let number = slot.number().ok_or_else(none)?;
        let release = self.release(&slot.of, number).await?;
        let code = self.shared.code(&slot.of, &release).await?;
        self.put_ready(slot, release, &code).await
    }

    /// Makes functions ready that this node has compiled before, so that nobody waits for their code to be
    /// mapped; some of them where there are many.
    pub async fn warm(&self) {
        for slot in self.shared.live.all().into_iter().take(WARM_MAX) {
            if let Err(error) = self.warm_one(&slot).await {
                tracing::debug!(function = %slot.of, %error, "it is made ready when it is called");
            }
        }
    }

    async fn warm_one(&self, slot: &Arc<Slot>) -> Result<(), Error> {
        let _turn = slot.loading.lock().await;
        let (None, Some(number)) = (slot.ready(), slot.number()) else { return Ok(()) };
        let release = self.release(&slot.of, number).await?;
        if let Some(code) = self.shared.tiers.runtime.known(digest(&slot.of, &release)?).await? {
            self.put_ready(slot, release, &code).await?;
        }
        Ok(())
    }

    async fn put_ready(
        &self,
        slot: &Arc<Slot>,
        release: Release,
        code: &Code,
    ) -> Result<Arc<Ready>, Error> {
        let Shared { kv, datasets, access, env, .. } = &*self.shared;
        let stores = FunctionStores::new(kv, access, env, &slot.of);
        let files = FunctionFiles::new(datasets, access, env, &slot.of);
        let blobs = FunctionBlobs::new(&files, datasets, access, env, &slot.of);
        let inside = Inside::new(Arc::downgrade(&self.shared), &slot.of);
        let outside = self.shared.sender.to(&slot.of.project, &release.settings.outbound, inside);
        let world = World {
            outside: Arc::new(outside.map_err(|why| Error::Invalid { why })?),
            environment: release.settings.environment.clone().into_iter().collect(),
            logs: Arc::clone(&slot.journal) as _,
            stores: Arc::new(stores),
            files: Arc::new(files),
            blobs: Arc::new(blobs),
        };
        let failed = |failure| Error::Failed { function: slot.of.clone(), failure };
        let settings = &release.settings;
        let call = self.shared.tiers.callable(&slot.of, code, settings, world).await;
        let ready = Arc::new(Ready { call: call.map_err(failed)?, release });
        slot.put(&ready);
        Ok(ready)
    }
}

impl Shared {
    /// The code of a release: as this node compiled it before, or compiled now.
    async fn code(&self, function: &Function, release: &Release) -> Result<Code, Error> {
        let digest = digest(function, release)?;
        if let Some(code) = self.tiers.runtime.known(digest).await? {
            return Ok(code);
        }
        let component = self.registry.code(&function.project, &release.digest).await?;
        Ok(self.tiers.runtime.code(digest, component).await?)
    }
}

fn digest(function: &Function, release: &Release) -> Result<[u8; 32], Error> {
    let key = || crate::rows::release(&function.name, release.number);
    let digest = blake3::Hash::from_hex(&release.digest);
    let digest = digest.map_err(|error| Error::Row { key: key(), why: error.to_string() })?;
    Ok(*digest.as_bytes())
}

/// Compiles a release until it is known whether it can be run (FUNCTIONS-3).
pub(super) async fn decide(shared: Weak<Shared>, function: Function, number: u32) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let tried = try_decide(&strong, &function, number).await;
        let clock = Arc::clone(&strong.env.clock);
        drop(strong);
        match tried {
            Ok(()) => {
                if let Some(strong) = shared.upgrade() {
                    strong.undecided().remove(&(function, number));
                }
                return;
            }
            Err(error) => {
                tracing::warn!(%function, number, %error, "a release is not compiled yet")
            }
        }
        clock.sleep(RETRY_AFTER).await;
    }
}

async fn try_decide(shared: &Shared, function: &Function, number: u32) -> Result<(), Error> {
    let _place = shared.deciding.acquire().await;
    let registry = &shared.registry;
    let release = match registry.release(function, number).await {
        Err(Error::NoRelease { .. }) => return Ok(()),
        release => release?,
    };
    if release.state != State::Compiling {
        return Ok(());
    }
    let state = match shared.code(function, &release).await {
        Ok(code) => match shared.tiers.check(release.settings.isolation).await {
            Ok(()) => State::Ready { kind: code.kind().as_str().to_owned() },
            Err(failure @ Failure::Isolation { .. }) => State::Failed { why: failure.to_string() },
            Err(failure) => return Err(Error::Failed { function: function.clone(), failure }),
        },
        Err(Error::Code { kind: ErrorKind::Invalid, message }) => State::Failed { why: message },
        Err(error) => return Err(error),
    };
    registry.decide(function, number, &state).await.map(drop)
}
