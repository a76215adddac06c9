//! The device flow (RFC 8628): a program shows a code, and its user logs in with a browser elsewhere.

use cairn_access::{Error, Provider, Vouched};
use serde::Deserialize;

use crate::flow::{TokenAnswer, refusal};
use crate::provider::{Oidc, down};

/// The least and the most seconds between two questions whether somebody has logged in.
const INTERVAL_S: std::ops::RangeInclusive<u64> = 1..=60;

/// A device login that was begun.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceLogin {
    /// What the program asks with: a secret.
    pub device_code: String,
    /// What the user types.
    pub user_code: String,
    /// Where the user goes.
    pub verification_uri: String,
    /// Where the user goes and need not type anything.
    pub verification_uri_complete: Option<String>,
    /// After how many seconds it is over.
    pub expires_in_s: u64,
    /// How many seconds to wait between two questions.
    pub interval_s: u64,
}

/// What came of a device login so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing yet; ask again after the interval.
    Pending,
    /// Nothing yet; ask less often.
    SlowDown,
    /// Somebody logged in.
    Done(Vouched),
}

#[derive(Deserialize)]
struct Answer {
    device_code: Option<String>,
    user_code: Option<String>,
    #[serde(alias = "verification_url")]
    verification_uri: Option<String>,
    verification_uri_complete: Option<String>,
    expires_in: Option<u64>,
    interval: Option<u64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Oidc {
    /// Begins a device login.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] when the provider refuses; [`Error::ProviderDown`], also when it has no
    /// device flow.
    pub async fn begin_device(&self, provider: &Provider) -> Result<DeviceLogin, Error> {
        let metadata = self.metadata(provider).await?;
        let endpoint = metadata.device_authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| {
            down(provider, "it has no device flow; log in with a browser and make a token there")
        })?;
        let scope = provider.scopes.join(" ");
        let answer: Answer = self.token(provider, endpoint, &[("scope", &scope)]).await?;
        let Answer { error, error_description, .. } = &answer;
        let said = TokenAnswer {
            id_token: None,
            access_token: None,
            error: error.clone(),
            error_description: error_description.clone(),
        };
        let (Some(device_code), Some(user_code), Some(verification_uri)) =
            (answer.device_code, answer.user_code, answer.verification_uri)
        else {
            return Err(refusal(&said));
        };
        let interval = answer.interval.unwrap_or(5);
        Ok(DeviceLogin {
            device_code,
            user_code,
            verification_uri,
            verification_uri_complete: answer.verification_uri_complete,
            expires_in_s: answer.expires_in.unwrap_or(600),
            interval_s: interval.clamp(*INTERVAL_S.start(), *INTERVAL_S.end()),
        })
    }

    /// Asks whether somebody has logged in.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] when it was refused or is over, [`Error::Bearer`] when its token does not
    /// hold; [`Error::ProviderDown`].
    pub async fn poll_device(
        &self,
        provider: &Provider,
        device_code: &str,
    ) -> Result<Polled, Error> {
        let metadata = self.metadata(provider).await?;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device_code),
        ];
        let answer: TokenAnswer = self.token(provider, &metadata.token_endpoint, &form).await?;
        match answer.error.as_deref() {
            None => self.logged_in(provider, &answer, None).await.map(Polled::Done),
            Some("authorization_pending") => Ok(Polled::Pending),
            Some("slow_down") => Ok(Polled::SlowDown),
            Some(_) => Err(refusal(&answer)),
        }
    }
}
