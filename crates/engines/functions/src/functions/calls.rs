//! Calls of functions that are done later, and what does them.

use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_wasm::{Call, Kind, held};

use super::posts::{Post, too_long};
use super::schedules::{RETRY_MS, variables};
use super::{Functions, Shared};
use crate::agenda::Key;
use crate::calls::{Asked, CALLS_LISTED_MAX, CALLS_MAX, CALLS_SEEN_MAX, CallInfo, CallState};
use crate::error::Error;
use crate::model::Function;
use crate::registry::Taken;
use crate::schedules::Outcome;

/// How often a call is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What a function that answers requests is told of the call.
const HEADERS: [&str; 2] = ["cairn-call", "cairn-attempt"];

/// The longest output that is kept.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;

/// What came of an attempt.
struct Came {
    outcome: Outcome,
    what: String,
    status: Option<u16>,
    exit: Option<i32>,
    media_type: Option<String>,
    output: Bytes,
}

impl Came {
    fn failed(what: String) -> Self {
        let (status, exit, media_type, output) = (None, None, None, Bytes::new());
        Self { outcome: Outcome::Failed, what, status, exit, media_type, output }
    }
}

impl Functions {
    /// Keeps a call, to be done later. Durable when this returns; one that is there with this id
    /// ([`crate::call_id`]) stays as it is.
    ///
    /// # Errors
    /// [`Error::NoFunction`], [`Error::OtherCall`], [`Error::TooManyCalls`]; [`Error::Kept`].
    pub async fn call_later(
        &self,
        key: &Key<String>,
        asked: &Asked,
        input: Bytes,
        by: &str,
    ) -> Result<CallInfo, Error> {
        let Shared { live, registry, .. } = &*self.shared;
        // It is there, and known to be.
        live.slot(&key.0).await?;
        if live.calls().count(&key.0.project) >= CALLS_MAX {
            return Err(Error::TooManyCalls { max: CALLS_MAX });
        }
        Ok(registry.add_call(key, asked, input, by).await?.what)
    }

    /// How far a call is, once it is done or `wait` is over.
    ///
    /// # Errors
    /// [`Error::NoCall`]; [`Error::Kept`].
    pub async fn called(&self, key: &Key<String>, wait: Duration) -> Result<CallInfo, Error> {
        let Shared { registry, env, .. } = &*self.shared;
        let until = env.clock.monotonic() + wait;
        loop {
            let (function, id) = key.clone();
            let found = registry.call(key).await?.ok_or(Error::NoCall { function, id })?;
            if !found.state.is_open() || env.clock.monotonic() >= until {
                return Ok(found);
            }
            env.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// The calls of a function that `by` asked for and that wait, run or ended in the last day, the newest first, at most
    /// [`crate::CALLS_LISTED_MAX`]; and whether those are all.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn calls_by(
        &self,
        function: &Function,
        by: &str,
    ) -> Result<(Vec<CallInfo>, bool), Error> {
        self.shared.live.slot(function).await?;
        let found = self.shared.registry.calls_by(function, by, CALLS_SEEN_MAX).await?;
        let (mut calls, complete) = found;
        let complete = complete && calls.len() <= CALLS_LISTED_MAX;
        calls.truncate(CALLS_LISTED_MAX);
        Ok((calls, complete))
    }

    /// What a call has answered that is done.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn output(&self, key: &Key<String>) -> Result<Bytes, Error> {
        self.shared.registry.output(key).await
    }

    /// Does a call; when it is to be looked at again.
    pub(super) async fn call_turn(&self, key: &Key<String>) -> Option<u64> {
        match self.try_call(key).await {
            Ok(true) => None,
            Ok(false) => Some(self.shared.registry.now_ms() + RETRY_MS),
            Err(error) => {
                let (function, id) = key;
                tracing::warn!(%function, call = %id, %error, "a call is tried again");
                Some(self.shared.registry.now_ms() + RETRY_MS)
            }
        }
    }

    /// Whether it is done.
    async fn try_call(&self, key: &Key<String>) -> Result<bool, Error> {
        let registry = &self.shared.registry;
        let Some(taken) = registry.begin_call(key).await? else { return Ok(true) };
        let (attempt, began_ms) = (taken.attempt, taken.began_ms);
        let came = match self.do_call(key, taken).await {
            Ok(came) => came,
            // There was no room for it: it was not begun.
            Err(error) if error.kind() == ErrorKind::Retry => {
                let waits = CallState::Waiting { attempt: attempt - 1 };
                let write = || registry.end_call(key, attempt, &waits, Bytes::new());
                self.written_down(&key.0, write).await?;
                return Ok(false);
            }
            Err(error) => Came::failed(error.to_string()),
        };
        let Came { outcome, what, status, exit, media_type, output } = came;
        let ended_ms = registry.now_ms();
        let state = CallState::Done {
            attempt,
            began_ms,
            ended_ms,
            outcome,
            what,
            status,
            exit,
            media_type,
        };
        let write = || registry.end_call(key, attempt, &state, output.clone());
        self.written_down(&key.0, write).await?;
        Ok(true)
    }

    async fn do_call(&self, key: &Key<String>, taken: Taken) -> Result<Came, Error> {
        match self.kind(&key.0).await? {
            Kind::Http => self.request_of(key, taken).await,
            Kind::Command => self.run_of(key, taken).await,
        }
    }

    async fn request_of(&self, (function, id): &Key<String>, taken: Taken) -> Result<Came, Error> {
        let Taken { asked, input, attempt, .. } = taken;
        let slot = self.shared.live.slot(function).await?;
        let limit = self.ready(&slot).await?.release.settings.limits.output_bytes;
        let told = HEADERS.into_iter().zip([id.clone(), attempt.to_string()]).collect();
        let media_type = asked.media_type.as_deref();
        let post = Post { path: &asked.path, told, media_type, input };
        let (parts, output) =
            match self.post(function, post, Some(limit.min(OUTPUT_BYTES_MAX))).await? {
                Ok(answered) => answered,
                Err(why) => return Ok(Came::failed(why)),
            };
        let bad = parts.status.is_client_error() || parts.status.is_server_error();
        let media_type = parts.headers.get(http::header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = parts.status.as_u16();
        Ok(Came {
            outcome: if bad { Outcome::Failed } else { Outcome::Ok },
            what: format!("status {status}"),
            status: Some(status),
            exit: None,
            media_type,
            output,
        })
    }

    async fn run_of(&self, (function, id): &Key<String>, taken: Taken) -> Result<Came, Error> {
        let Taken { asked, input, attempt, .. } = taken;
        let arguments = [function.name.to_string()].into_iter().chain(asked.arguments).collect();
        let environment = variables(HEADERS.into_iter().zip([id.clone(), attempt.to_string()]));
        let call = Call { arguments, environment, inputs: vec![held(input)], ..Call::default() };
        let done = self.run(function, call).await?;
        if done.output.len() as u64 > OUTPUT_BYTES_MAX {
            return Ok(Came::failed(too_long(OUTPUT_BYTES_MAX)));
        }
        Ok(Came {
            outcome: if done.exit == 0 { Outcome::Ok } else { Outcome::Failed },
            what: format!("exit code {}", done.exit),
            status: None,
            exit: Some(done.exit),
            media_type: None,
            output: done.output,
        })
    }
}
