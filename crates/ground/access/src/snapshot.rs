//! The access state at one moment. Everything that a request needs is decided on one snapshot, so
//! that it sees one state from its first check to its last.

use std::sync::Arc;

use serde::Serialize;

use crate::caller::{Caller, Credential};
use crate::certificate::Certificate;
use crate::error::Error;
use crate::grant::{Grant, GrantId};
use crate::principal::{GroupName, Owner, Principal, ProviderName};
use crate::provider::Provider;
use crate::state::State;
use crate::token::TokenInfo;

/// The access state at one moment, cheap to clone. Take one per request from
/// [`crate::Access::snapshot`], and another one for work that lasts longer than
/// [`crate::REFRESH_MAX`].
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
    /// The moment, for what expires.
    pub(crate) now_ms: i64,
}

/// What a caller may know of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhoAmI {
    /// The principal, or the user of a provider; none for an anonymous caller.
    pub principal: Option<Owner>,
    /// What was shown: its kind and its public name.
    pub credential: String,
    /// The groups that it is in.
    pub groups: Vec<GroupName>,
    /// The token that was shown.
    pub token: Option<TokenInfo>,
    /// The grants that bear on the caller, before the token's scopes.
    pub grants: Vec<Grant>,
}

impl Snapshot {
    /// All principals, by name.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.state.principals.values().map(|account| &account.info)
    }

    /// Whether the principal has a password.
    #[must_use]
    pub fn has_password(&self, principal: &Principal) -> bool {
        let account = self.state.principals.get(&principal.name);
        account.is_some_and(|account| account.password.is_some())
    }

    /// All certificates, by fingerprint.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.state.certificates.values()
    }

    /// All identity providers, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.state.providers.values()
    }

    /// The identity provider of that name.
    ///
    /// # Errors
    /// [`Error::NoProvider`].
    pub fn provider(&self, name: &ProviderName) -> Result<&Provider, Error> {
        let provider = self.state.providers.get(name);
        provider.ok_or_else(|| Error::NoProvider { name: name.clone() })
    }

    /// All tokens, by id, without what they are (ACCESS-3).
    pub fn tokens(&self) -> impl Iterator<Item = &TokenInfo> {
        self.state.tokens.values().map(|token| &token.info)
    }

    /// The grant of that name.
    #[must_use]
    pub fn grant(&self, id: &GrantId) -> Option<&Grant> {
        self.state.grants.values().find_map(|grants| grants.get(id))
    }

    /// All grants, by subject.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.state.grants.values().flat_map(|grants| grants.values())
    }

    /// What `caller` may know of itself. Needs no grant.
    ///
    /// # Errors
    /// [`Error::Unknown`] and [`Error::Expired`], when the token no longer holds.
    pub fn whoami(&self, caller: &Caller) -> Result<WhoAmI, Error> {
        self.stands(caller)?;
        let token = match caller {
            Caller::Known(known) => match &known.credential {
                Credential::Token(id) => self.state.tokens.get(id).map(|token| token.info.clone()),
                _ => None,
            },
            Caller::Anonymous => None,
        };
        Ok(WhoAmI {
            principal: caller.owner().cloned(),
            credential: caller.credential(),
            groups: self.groups_for(caller),
            token,
            grants: self.grants_for(caller),
        })
    }
}
