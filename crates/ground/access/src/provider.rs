//! Identity providers: who else is believed when it says who somebody is.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::principal::{GroupName, ProviderName, UserName};

/// The longest text of a provider's settings, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// The most audiences, and the most scopes.
const LIST_MAX: usize = 16;
/// The most groups of one user that are looked at.
pub const GROUPS_MAX: usize = 500;

/// An OpenID Connect provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name here; its users are called `NAME/…`.
    pub name: ProviderName,
    /// The issuer, an URL: `/.well-known/openid-configuration` is below it.
    pub issuer: String,
    /// What this cluster is called there.
    pub client_id: String,
    /// What it proves that with; none for a public client, which PKCE protects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientSecret>,
    /// The scopes that a login asks for.
    pub scopes: Vec<String>,
    /// The claim that names a user. `email` must be verified by the provider.
    pub user_claim: String,
    /// The claim that lists a user's groups.
    pub groups_claim: String,
    /// Audiences of bearer tokens that are taken beside the client's own id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: i64,
}

impl Provider {
    /// Checks the bounds of the settings.
    ///
    /// # Errors
    /// [`Error::Provider`].
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |reason| Err(Error::Provider { reason });
        let secret = self.client_secret.as_ref().map_or("", |secret| secret.expose());
        let texts = [&self.issuer, &self.client_id, &self.user_claim, &self.groups_claim];
        let mut all = texts.into_iter().chain(&self.scopes).chain(&self.audiences);
        if !all.all(|text| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control))
            || secret.len() > TEXT_BYTES_MAX
        {
            return refuse("one of its settings is too long or holds control characters");
        }
        if self.client_id.is_empty() || self.user_claim.is_empty() {
            return refuse("the client id and the user's claim cannot be empty");
        }
        if self.scopes.len() > LIST_MAX || self.audiences.len() > LIST_MAX {
            return refuse("it has too many scopes or audiences");
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return refuse("the scopes must hold `openid`");
        }
        let rest = self.issuer.strip_prefix("https://");
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        let local = local.into_iter().any(|prefix| {
            let rest = self.issuer.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        });
        if !local && rest.is_none_or(str::is_empty) {
            return refuse("the issuer is an https:// address (http:// only on this machine)");
        }
        Ok(())
    }
}

/// The secret that a client shares with its provider. Wiped when dropped; `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// A secret as the provider gave it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for a request to the provider.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for ClientSecret {
    fn drop(&mut self) {
        drop(Zeroizing::new(std::mem::take(&mut self.0)));
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

/// Who a provider says somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// Whose word it is.
    pub provider: ProviderName,
    /// The user.
    pub user: UserName,
    /// The groups that the user is in there, at most [`GROUPS_MAX`].
    pub groups: BTreeSet<GroupName>,
    /// Until when it holds, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// Checks bearer tokens that providers signed. `crates/ground/oidc` does it over the network.
#[async_trait]
pub trait Bearers: Send + Sync {
    /// Who this token says its bearer is, when one of `providers` signed it for this cluster.
    ///
    /// # Errors
    /// [`Error::Bearer`] when it does not hold; [`Error::ProviderDown`] when a provider that is
    /// needed does not answer.
    async fn verify(&self, providers: &[Provider], token: &str) -> Result<Vouched, Error>;
}
