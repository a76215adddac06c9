//! What the bucket keeps of access, and every change to it as a pure function.
//!
//! A change either does all it says or returns an error and leaves the state as it was. Changes are
//! written to be repeated: the compare-and-swap loop applies them again to a newer state.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::grant::{Grant, GrantId, Role, SCOPES_MAX, Scopes};
use crate::pattern::{Pattern, Resource};
use crate::principal::{Label, Principal, PrincipalName, Subject};
use crate::token::{Secret, TokenHash, TokenId, TokenInfo};

mod format;

/// The most principals.
pub const PRINCIPALS_MAX: usize = 10_000;
/// The most tokens, expired ones included.
pub const TOKENS_MAX: usize = 10_000;
/// The most grants.
pub const GRANTS_MAX: usize = 10_000;
/// The most grants of one subject, because every decision looks at all grants of three subjects.
pub const GRANTS_PER_SUBJECT_MAX: usize = 1_000;

/// A token's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) info: TokenInfo,
    pub(crate) hash: TokenHash,
}

/// Principals, tokens and grants. Within its bounds and closed: a token's principal and a grant's
/// principal exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) principals: BTreeMap<PrincipalName, Principal>,
    pub(crate) tokens: BTreeMap<TokenId, Token>,
    pub(crate) grants: BTreeMap<Subject, BTreeMap<GrantId, Grant>>,
}

impl State {
    /// The state of a bucket that was never used, with its only token.
    pub(crate) fn first(now_ms: i64, secret: &Secret) -> Self {
        let mut state = Self::default();
        state
            .recover(now_ms, secret)
            .expect("a first principal, grant and token are within bounds");
        state
    }

    /// Makes `root` an admin of everything, if it is not, and gives it the token `secret`.
    pub(crate) fn recover(&mut self, now_ms: i64, secret: &Secret) -> Result<TokenInfo, Error> {
        let name = PrincipalName::root();
        if !self.principals.contains_key(&name) {
            self.add_principal(Principal { name: name.clone(), created_ms: now_ms })?;
        }
        self.add_grant(Grant {
            subject: Subject::Principal(name.clone()),
            role: Role::Admin,
            pattern: Pattern::everything(),
        })?;
        let info = TokenInfo {
            id: secret.id(),
            label: Label::root(),
            principal: name,
            scopes: Scopes::All,
            created_ms: now_ms,
            expires_ms: None,
        };
        self.add_token(now_ms, Token { info: info.clone(), hash: secret.hash() })?;
        Ok(info)
    }

    pub(crate) fn add_principal(&mut self, principal: Principal) -> Result<(), Error> {
        if self.principals.contains_key(&principal.name) {
            return Err(Error::PrincipalExists { name: principal.name });
        }
        bound("principals", self.principals.len(), PRINCIPALS_MAX)?;
        self.principals.insert(principal.name.clone(), principal);
        Ok(())
    }

    /// Removes a principal with its tokens and grants.
    pub(crate) fn remove_principal(
        &mut self,
        now_ms: i64,
        name: &PrincipalName,
    ) -> Result<(), Error> {
        self.keep_an_admin(now_ms, |state| {
            if state.principals.remove(name).is_none() {
                return Err(Error::NoPrincipal { name: name.clone() });
            }
            state.tokens.retain(|_, token| token.info.principal != *name);
            state.grants.remove(&Subject::Principal(name.clone()));
            Ok(())
        })
    }

    /// Adds a token. Where there is no more room, those that expired first make some.
    pub(crate) fn add_token(&mut self, now_ms: i64, token: Token) -> Result<(), Error> {
        let info = &token.info;
        if self.tokens.get(&info.id) == Some(&token) {
            return Ok(());
        }
        assert!(!self.tokens.contains_key(&info.id), "80 random bits came twice");
        if !self.principals.contains_key(&info.principal) {
            return Err(Error::NoPrincipal { name: info.principal.clone() });
        }
        check_scopes(&info.scopes)?;
        if self.tokens.len() >= TOKENS_MAX {
            self.tokens.retain(|_, token| !token.info.expired(now_ms));
        }
        bound("tokens", self.tokens.len(), TOKENS_MAX)?;
        self.tokens.insert(info.id.clone(), token);
        Ok(())
    }

    pub(crate) fn revoke_token(&mut self, now_ms: i64, id: &TokenId) -> Result<(), Error> {
        self.keep_an_admin(now_ms, |state| match state.tokens.remove(id) {
            Some(_) => Ok(()),
            None => Err(Error::NoToken { id: id.clone() }),
        })
    }

    /// Adds a grant; one that is there already stays as it is.
    pub(crate) fn add_grant(&mut self, grant: Grant) -> Result<GrantId, Error> {
        let id = grant.id();
        if self.grants.get(&grant.subject).is_some_and(|grants| grants.contains_key(&id)) {
            return Ok(id);
        }
        bound("grants", self.grants.values().map(BTreeMap::len).sum(), GRANTS_MAX)?;
        self.insert_grant(id.clone(), grant)?;
        Ok(id)
    }

    /// Adds a grant where [`GRANTS_MAX`] was checked.
    fn insert_grant(&mut self, id: GrantId, grant: Grant) -> Result<(), Error> {
        self.check_grant(&grant)?;
        let grants = self.grants.entry(grant.subject.clone()).or_default();
        bound("grants of one subject", grants.len(), GRANTS_PER_SUBJECT_MAX)?;
        grants.insert(id, grant);
        Ok(())
    }

    pub(crate) fn remove_grant(&mut self, now_ms: i64, id: &GrantId) -> Result<(), Error> {
        self.keep_an_admin(now_ms, |state| {
            let mut removed = false;
            for grants in state.grants.values_mut() {
                removed |= grants.remove(id).is_some();
            }
            state.grants.retain(|_, grants| !grants.is_empty());
            if removed { Ok(()) } else { Err(Error::NoGrant { id: id.clone() }) }
        })
    }

    fn check_grant(&self, grant: &Grant) -> Result<(), Error> {
        match &grant.subject {
            Subject::Anonymous if grant.role != Role::Reader => Err(Error::AnonymousRole),
            Subject::Principal(name) if !self.principals.contains_key(name) => {
                Err(Error::NoPrincipal { name: name.clone() })
            }
            Subject::Anonymous | Subject::Authenticated | Subject::Principal(_) => Ok(()),
        }
    }

    /// Makes `change`, unless it would take away the last token that can manage access.
    fn keep_an_admin(
        &mut self,
        now_ms: i64,
        change: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut changed = self.clone();
        change(&mut changed)?;
        if self.administered(now_ms) && !changed.administered(now_ms) {
            return Err(Error::LastAdmin);
        }
        *self = changed;
        Ok(())
    }

    /// Whether some token that holds at `now_ms` can manage access.
    fn administered(&self, now_ms: i64) -> bool {
        self.tokens.values().any(|token| {
            !token.info.expired(now_ms)
                && self
                    .decide_token(&token.info, crate::Action::ManageAccess, &Resource::Cluster)
                    .is_allowed()
        })
    }
}

fn check_scopes(scopes: &Scopes) -> Result<(), Error> {
    match scopes {
        Scopes::All => Ok(()),
        Scopes::Only(list) if list.is_empty() => Err(Error::NoScope),
        Scopes::Only(list) if list.len() > SCOPES_MAX => {
            Err(Error::TooMany { what: "scopes of one token", max: SCOPES_MAX })
        }
        Scopes::Only(_) => Ok(()),
    }
}

/// Whether one more is within `max`.
fn bound(what: &'static str, count: usize, max: usize) -> Result<(), Error> {
    if count < max { Ok(()) } else { Err(Error::TooMany { what, max }) }
}

#[cfg(test)]
mod tests;
