use std::collections::BTreeSet;
use std::time::Duration;

use cairn_audit::Outcome;

use super::Access;
use crate::certificate::{Certificate, Fingerprint};
use crate::error::Error;
use crate::grant::{Action, Grant, GrantId};
use crate::password::{Password, PasswordHash};
use crate::pattern::Pattern;
use crate::principal::{GroupName, Principal, PrincipalName, ProviderName};
use crate::provider::Provider;
use crate::state::Token;
use crate::token::{NewToken, Secret, TokenId, TokenInfo, TokenSpec};

/// The longest life of a token that expires: a hundred years.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(36_525 * 86_400);

/// Changes. They ask nobody: the door has authorized [`crate::Action::ManageAccess`] before. Those of
/// [`crate::Visit`] ask themselves.
impl Access {
    /// Makes a principal, without a token or a grant. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::PrincipalExists`], [`Error::TooMany`], and as every change: [`Error::Contended`],
    /// [`Error::Bucket`] (after which the change may have been made), and as [`Access::refresh`].
    pub async fn create_principal(&self, name: &PrincipalName) -> Result<Principal, Error> {
        let principal = Principal::new(name.clone(), self.now_ms());
        self.change(|state| state.add_principal(principal.clone())).await?;
        Ok(principal)
    }

    /// Sets a principal's password, or takes it away, and ends its sessions. Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`Error::NoPrincipal`], [`Error::LastAdmin`], and as every change.
    pub async fn set_password(
        &self,
        name: &PrincipalName,
        password: Option<Password>,
    ) -> Result<(), Error> {
        let now_ms = self.now_ms();
        let hash = match password {
            None => None,
            Some(password) => {
                let rng = std::sync::Arc::clone(&self.shared.env.rng);
                let hash = move || PasswordHash::new(&password, &*rng);
                Some(self.shared.env.spawn.run(hash).await??)
            }
        };
        self.change(|state| state.set_password(now_ms, name, hash.as_ref())).await
    }

    /// Sets the groups of this bucket that a principal is in. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoPrincipal`], [`Error::Foreign`] for a group of a provider, [`Error::LastAdmin`],
    /// [`Error::TooMany`], and as every change.
    pub async fn set_groups(
        &self,
        name: &PrincipalName,
        groups: &BTreeSet<GroupName>,
    ) -> Result<(), Error> {
        let now_ms = self.now_ms();
        self.change(|state| state.set_groups(now_ms, name, groups)).await
    }

    /// Registers a client certificate; one that is there already gets the new owner. Durable when
    /// it returns.
    ///
    /// # Errors
    /// [`Error::NoPrincipal`], [`Error::ExpiredCertificate`], [`Error::TooMany`], and as every
    /// change.
    pub async fn add_certificate(&self, certificate: Certificate) -> Result<Certificate, Error> {
        let now_ms = self.now_ms();
        if certificate.expires_ms <= now_ms {
            return Err(Error::ExpiredCertificate { fingerprint: certificate.fingerprint });
        }
        let certificate = Certificate { created_ms: now_ms, ..certificate };
        self.change(|state| state.add_certificate(certificate.clone())).await?;
        Ok(certificate)
    }

    /// Takes a client certificate back (ACCESS-5).
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`], [`Error::LastAdmin`], and as every change.
    pub async fn remove_certificate(&self, fingerprint: &Fingerprint) -> Result<(), Error> {
        let now_ms = self.now_ms();
        self.change(|state| state.remove_certificate(now_ms, fingerprint)).await
    }

    /// Adds an identity provider, or replaces the one of that name. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Provider`], [`Error::TooMany`], and as every change.
    pub async fn set_provider(&self, provider: Provider) -> Result<Provider, Error> {
        let provider = Provider { created_ms: self.now_ms(), ..provider };
        self.change(|state| state.set_provider(provider.clone())).await?;
        Ok(provider)
    }

    /// Removes an identity provider and ends the sessions of its users (ACCESS-5).
    ///
    /// # Errors
    /// [`Error::NoProvider`], and as every change.
    pub async fn remove_provider(&self, name: &ProviderName) -> Result<(), Error> {
        let now_ms = self.now_ms();
        self.change(|state| state.remove_provider(now_ms, name)).await
    }

    /// Removes a principal with its tokens and grants. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoPrincipal`], [`Error::LastAdmin`], and as every change.
    pub async fn remove_principal(&self, name: &PrincipalName) -> Result<(), Error> {
        let now_ms = self.now_ms();
        self.change(|state| state.remove_principal(now_ms, name)).await
    }

    /// Makes a token. Its hash is durable when this returns; the token itself is nowhere else than
    /// in what is returned (ACCESS-3).
    ///
    /// # Errors
    /// [`Error::NoPrincipal`], [`Error::NoScope`], [`Error::Lifetime`], [`Error::TooMany`], and as
    /// every change.
    pub async fn create_token(&self, spec: TokenSpec) -> Result<NewToken, Error> {
        let now_ms = self.now_ms();
        let (token, secret) = self.token(now_ms, spec)?;
        self.change(|state| state.add_token(now_ms, token.clone())).await?;
        Ok(NewToken { info: token.info, token: secret.plain() })
    }

    /// Makes a token for its owner, who lends until `lends_until_ms`.
    pub(crate) async fn create_own_token(
        &self,
        spec: TokenSpec,
        lends_until_ms: Option<i64>,
    ) -> Result<NewToken, Error> {
        let now_ms = self.now_ms();
        let (mut token, secret) = self.token(now_ms, spec)?;
        let asked = token.info.expires_ms;
        if asked.zip(lends_until_ms).is_some_and(|(asked, most)| asked > most) {
            return Err(Error::Stronger { what: "end is after" });
        }
        token.info.expires_ms = asked.or(lends_until_ms);
        self.change(|state| state.add_own_token(now_ms, token.clone())).await?;
        Ok(NewToken { info: token.info, token: secret.plain() })
    }

    /// A new token's record, and the token.
    fn token(&self, now_ms: i64, spec: TokenSpec) -> Result<(Token, Secret), Error> {
        let expires_ms = spec.expires_in.map(|life| end_of(now_ms, life)).transpose()?;
        let secret = Secret::random(&*self.shared.env.rng);
        let info = TokenInfo {
            id: secret.id(),
            label: spec.label,
            principal: spec.principal,
            kind: spec.kind,
            groups: spec.groups,
            scopes: spec.scopes,
            created_ms: now_ms,
            expires_ms,
        };
        Ok((Token { info, hash: secret.hash() }, secret))
    }

    /// Revokes a token. When this returns it no longer works on this node, and within
    /// [`crate::REFRESH_MAX`] on no other (ACCESS-5).
    ///
    /// # Errors
    /// [`Error::NoToken`], [`Error::LastAdmin`], and as every change.
    pub async fn revoke_token(&self, id: &TokenId) -> Result<(), Error> {
        let now_ms = self.now_ms();
        self.change(|state| state.revoke_token(now_ms, id)).await
    }

    /// Adds a grant, and says its id. One that is there already stays. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoPrincipal`], [`Error::AnonymousRole`], [`Error::TooMany`], and as every change.
    pub async fn add_grant(&self, grant: &Grant) -> Result<GrantId, Error> {
        self.change(|state| state.add_grant(grant.clone())).await
    }

    /// Adds a grant in the name of who is admin of `part`.
    pub(crate) async fn add_grant_within(
        &self,
        grant: &Grant,
        part: &Pattern,
    ) -> Result<GrantId, Error> {
        self.change(|state| state.add_grant_within(grant.clone(), part)).await
    }

    /// Removes a grant. Holds on this node when it returns, on others within
    /// [`crate::REFRESH_MAX`].
    ///
    /// # Errors
    /// [`Error::NoGrant`], [`Error::LastAdmin`], and as every change.
    pub async fn remove_grant(&self, id: &GrantId) -> Result<(), Error> {
        let now_ms = self.now_ms();
        self.change(|state| state.remove_grant(now_ms, id)).await
    }

    /// Makes `root` an admin of everything again and gives it one more token, for an owner who lost
    /// all of them. Asks for no credential: who can write to the bucket owns it. No door offers
    /// this. It is recorded as done at the bucket.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Audit`], [`Error::Unrecorded`], and as every change.
    pub async fn recover(&self) -> Result<NewToken, Error> {
        let now_ms = self.now_ms();
        let secret = Secret::random(&*self.shared.env.rng);
        let (action, what) = (Action::ManageAccess, "to make one more token of root");
        self.record("bucket", action, Outcome::Allowed, what)?;
        self.audit().commit().await?;
        let info = self.change(|state| state.recover(now_ms, &secret)).await?;
        let what = format!("root is admin; made its token {}", info.id);
        self.record("bucket", action, Outcome::Changed, &what)?;
        self.audit().commit().await.map_err(Error::Unrecorded)?;
        Ok(NewToken { info, token: secret.plain() })
    }
}

fn end_of(now_ms: i64, life: Duration) -> Result<i64, Error> {
    if life.is_zero() || life > TOKEN_LIFE_MAX {
        return Err(Error::Lifetime);
    }
    let life_ms =
        i64::try_from(life.as_nanos().div_ceil(1_000_000)).map_err(|_| Error::Lifetime)?;
    now_ms.checked_add(life_ms).ok_or(Error::Lifetime)
}
