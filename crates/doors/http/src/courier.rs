//! Carries the events of hooks to their receivers, signed by Standard Webhooks
//! (<https://www.standardwebhooks.com>): `webhook-id`, `webhook-timestamp`, and `webhook-signature`
//! with `v1,` and the HMAC-SHA256 of both and the body.
//!
//! Addresses come from users: what may be reached is the business of [`cairn_egress`]. An answer counts by its
//! status alone and is not read, and all of it ends within [`HOOK_WAIT_MAX`].

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use axum::http::{Request, StatusCode};
use base64ct::{Base64, Encoding as _};
use cairn_datasets::{Courier, Error, Parcel};
use cairn_egress::{Egress, Reach, Waits, reasons};
use cairn_env::{Clock, Env};
use cairn_functions::{Function, Functions, inside};

use crate::limits::{HOOK_CONNECT_MAX, HOOK_WAIT_MAX};

const NS_PER_S: i64 = 1_000_000_000;
/// What the text of a secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// A secret as receivers take it.
#[must_use]
pub fn secret_text(secret: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", Base64::encode_string(secret))
}

/// Carries events over HTTP, and to functions of this cluster.
pub struct Post {
    egress: Egress,
    functions: Option<Functions>,
    clock: Arc<dyn Clock>,
}

impl Post {
    /// A courier; `private` lets it go to addresses of this machine and its networks.
    ///
    /// # Errors
    /// [`Error::Invalid`] when this system cannot make TLS connections.
    pub fn new(env: &Env, private: bool, functions: Option<Functions>) -> Result<Self, Error> {
        let reach = Reach { private, option: "--hooks-to-private" };
        let waits = Waits { connect: HOOK_CONNECT_MAX, all: Some(HOOK_WAIT_MAX), idle: None };
        let egress = Egress::new(reach, waits, env)
            .map_err(|error| Error::Invalid { detail: format!("no client for hooks: {error}") })?;
        Ok(Self { egress, functions, clock: Arc::clone(&env.clock) })
    }

    /// Asks a function, which every node has.
    async fn ask(&self, function: &Function, parcel: &Parcel) -> Result<StatusCode, String> {
        let functions = self.functions.as_ref().ok_or("this node runs no functions")?;
        let mut request = Request::post(&parcel.url);
        for (name, value) in self.headers(parcel) {
            request = request.header(name, value);
        }
        let body = cairn_functions::whole(parcel.body.clone());
        let request = request.body(body).map_err(|error| error.to_string())?;
        tokio::select! {
            biased;
            answered = functions.request(function, request) => {
                Ok(answered.map_err(|error| error.to_string())?.status())
            }
            () = self.clock.sleep(HOOK_WAIT_MAX) => Err("no answer in time".to_owned()),
        }
    }

    async fn post(&self, parcel: &Parcel) -> Result<StatusCode, String> {
        let url = self.egress.look_at(&parcel.url).map_err(|refused| refused.to_string())?;
        let mut request = self.egress.client().post(url);
        for (name, value) in self.headers(parcel) {
            request = request.header(name, value);
        }
        let response = request.body(parcel.body.clone()).send().await;
        Ok(response.map_err(|error| reasons(&error))?.status())
    }

    fn headers(&self, parcel: &Parcel) -> [(&'static str, String); 5] {
        let timestamp = self.clock.wall_ns() / NS_PER_S;
        let signed = signature(&parcel.secret, &parcel.id, timestamp, &parcel.body);
        [
            ("user-agent", concat!("cairn/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("content-type", "application/json".to_owned()),
            ("webhook-id", parcel.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signed),
        ]
    }
}

/// The header of a signature.
fn signature(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", Base64::encode_string(context.sign().as_ref()))
}

#[async_trait]
impl Courier for Post {
    async fn carry(&self, parcel: &Parcel) -> Result<(), String> {
        let function = parcel.url.parse().ok().and_then(|uri| inside(&uri, &parcel.project));
        let status = match function {
            Some(function) => self.ask(&function?, parcel).await?,
            None => self.post(parcel).await?,
        };
        if status.is_success() {
            return Ok(());
        }
        let hint = if status.is_redirection() { "; redirects are not followed" } else { "" };
        Err(format!("it answered {status}{hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own library.
    #[test]
    fn the_signature_is_the_standards() {
        let secret = Base64::decode_vec("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
