//! The access state at one moment. Everything that a request needs is decided on one snapshot, so
//! that it sees one state from its first check to its last.

use std::sync::Arc;

use serde::Serialize;

use crate::caller::Caller;
use crate::error::Error;
use crate::grant::Grant;
use crate::principal::{Principal, PrincipalName};
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
    /// The principal; none for an anonymous caller.
    pub principal: Option<PrincipalName>,
    /// The token that was shown.
    pub token: Option<TokenInfo>,
    /// The grants that bear on the caller, before the token's scopes.
    pub grants: Vec<Grant>,
}

impl Snapshot {
    /// All principals, by name.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.state.principals.values()
    }

    /// All tokens, by id, without what they are (ACCESS-3).
    pub fn tokens(&self) -> impl Iterator<Item = &TokenInfo> {
        self.state.tokens.values().map(|token| &token.info)
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
        let token = match caller {
            Caller::Anonymous => None,
            Caller::Token(caller) => match self.token_of(caller) {
                Some(token) if token.expired(self.now_ms) => {
                    return Err(Error::Expired { id: token.id.clone() });
                }
                Some(token) => Some(token.clone()),
                None => return Err(Error::Unknown),
            },
        };
        let principal = caller.principal().cloned();
        Ok(WhoAmI { grants: self.grants_for(principal.as_ref()), principal, token })
    }
}
