//! What the bucket keeps of access, and every change to it as a pure function.
//!
//! A change either does all it says or returns an error and leaves the state as it was. Changes are
//! written to be repeated: the compare-and-swap loop applies them again to a newer state.

use std::collections::{BTreeMap, BTreeSet};

use crate::certificate::{CERTIFICATES_MAX, Certificate, Fingerprint};
use crate::error::Error;
use crate::grant::{Grant, GrantId, Role, SCOPES_MAX, Scopes};
use crate::password::PasswordHash;
use crate::pattern::{Pattern, Resource};
use crate::principal::{
    FUNCTIONS, GroupName, Label, Owner, Principal, PrincipalName, ProviderName, Subject,
};
use crate::provider::Provider;
use crate::token::{Secret, TokenHash, TokenId, TokenInfo, TokenKind};

mod format;

/// The most principals.
pub const PRINCIPALS_MAX: usize = 10_000;
/// The most tokens, expired ones included.
pub const TOKENS_MAX: usize = 10_000;
/// The most grants.
pub const GRANTS_MAX: usize = 10_000;
/// The most grants of one subject, because every decision looks at all grants of a few subjects.
pub const GRANTS_PER_SUBJECT_MAX: usize = 1_000;
/// The most grants within a part, for who is admin of that part alone to add one.
pub const GRANTS_PER_PART_MAX: usize = 500;
/// The most tokens of one owner, sessions aside, for who may make only its own to make one.
pub const OWN_TOKENS_MAX: usize = 64;
/// The most identity providers.
pub const PROVIDERS_MAX: usize = 32;
/// The most groups of this bucket that one principal is in.
pub const GROUPS_PER_PRINCIPAL_MAX: usize = 64;
/// The most sessions of one person; one more ends the oldest.
pub const SESSIONS_PER_OWNER_MAX: usize = 32;

/// A token's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) info: TokenInfo,
    pub(crate) hash: TokenHash,
}

/// A principal's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) info: Principal,
    pub(crate) password: Option<PasswordHash>,
}

/// Who there is and what they may. Within its bounds and closed: the principals that tokens, grants
/// and certificates name exist, and so do the providers of the users that tokens name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) principals: BTreeMap<PrincipalName, Account>,
    pub(crate) tokens: BTreeMap<TokenId, Token>,
    pub(crate) grants: BTreeMap<Subject, BTreeMap<GrantId, Grant>>,
    pub(crate) certificates: BTreeMap<Fingerprint, Certificate>,
    pub(crate) providers: BTreeMap<ProviderName, Provider>,
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
            self.add_principal(Principal::new(name.clone(), now_ms))?;
        }
        self.add_grant(Grant {
            subject: Subject::Principal(name.clone()),
            role: Role::Admin,
            pattern: Pattern::everything(),
        })?;
        let info = TokenInfo {
            id: secret.id(),
            label: Label::root(),
            principal: name.into(),
            kind: TokenKind::Api,
            groups: BTreeSet::new(),
            scopes: Scopes::All,
            created_ms: now_ms,
            expires_ms: None,
        };
        self.add_token(now_ms, Token { info: info.clone(), hash: secret.hash() })?;
        Ok(info)
    }

    pub(crate) fn add_principal(&mut self, principal: Principal) -> Result<(), Error> {
        check_groups(&principal.groups)?;
        if self.principals.contains_key(&principal.name) {
            return Err(Error::PrincipalExists { name: principal.name });
        }
        bound("principals", self.principals.len(), PRINCIPALS_MAX)?;
        let name = principal.name.clone();
        self.principals.insert(name, Account { info: principal, password: None });
        Ok(())
    }

    pub(crate) fn account(&mut self, name: &PrincipalName) -> Result<&mut Account, Error> {
        self.principals.get_mut(name).ok_or_else(|| Error::NoPrincipal { name: name.clone() })
    }

    /// Sets a principal's password, or takes it away.
    pub(crate) fn set_password(
        &mut self,
        now_ms: i64,
        name: &PrincipalName,
        password: Option<&PasswordHash>,
    ) -> Result<(), Error> {
        self.keep_an_admin(now_ms, |state| {
            state.account(name)?.password = password.cloned();
            // Whoever knew the old one is out.
            let owner = Owner::Principal(name.clone());
            state.tokens.retain(|_, token| {
                token.info.kind != TokenKind::Session || token.info.principal != owner
            });
            Ok(())
        })
    }

    /// Sets the groups of this bucket that a principal is in.
    pub(crate) fn set_groups(
        &mut self,
        now_ms: i64,
        name: &PrincipalName,
        groups: &BTreeSet<GroupName>,
    ) -> Result<(), Error> {
        check_groups(groups)?;
        self.keep_an_admin(now_ms, |state| {
            state.account(name)?.info.groups = groups.clone();
            Ok(())
        })
    }

    /// Registers a certificate; registering it again changes whose it is.
    pub(crate) fn add_certificate(&mut self, certificate: Certificate) -> Result<(), Error> {
        self.account(&certificate.principal)?;
        if !self.certificates.contains_key(&certificate.fingerprint) {
            bound("certificates", self.certificates.len(), CERTIFICATES_MAX)?;
        }
        self.certificates.insert(certificate.fingerprint, certificate);
        Ok(())
    }

    pub(crate) fn remove_certificate(
        &mut self,
        now_ms: i64,
        fingerprint: &Fingerprint,
    ) -> Result<(), Error> {
        self.keep_an_admin(now_ms, |state| match state.certificates.remove(fingerprint) {
            Some(_) => Ok(()),
            None => Err(Error::UnknownCertificate { fingerprint: *fingerprint }),
        })
    }

    /// Adds a provider, or replaces the one of that name.
    pub(crate) fn set_provider(&mut self, provider: Provider) -> Result<(), Error> {
        provider.check()?;
        if provider.name.as_str() == FUNCTIONS {
            return Err(Error::Reserved { name: FUNCTIONS.to_owned() });
        }
        if !self.providers.contains_key(&provider.name) {
            bound("providers", self.providers.len(), PROVIDERS_MAX)?;
        }
        self.providers.insert(provider.name.clone(), provider);
        Ok(())
    }

    /// Removes a provider and ends the sessions of its users. Their grants stay, for it may come
    /// back.
    pub(crate) fn remove_provider(
        &mut self,
        now_ms: i64,
        name: &ProviderName,
    ) -> Result<(), Error> {
        self.keep_an_admin(now_ms, |state| {
            if state.providers.remove(name).is_none() {
                return Err(Error::NoProvider { name: name.clone() });
            }
            state.tokens.retain(|_, token| match &token.info.principal {
                Owner::User(user) => user.provider() != name.as_str(),
                Owner::Principal(_) => true,
            });
            Ok(())
        })
    }

    /// Removes a principal with its tokens, certificates and grants.
    pub(crate) fn remove_principal(
        &mut self,
        now_ms: i64,
        name: &PrincipalName,
    ) -> Result<(), Error> {
        self.keep_an_admin(now_ms, |state| {
            if state.principals.remove(name).is_none() {
                return Err(Error::NoPrincipal { name: name.clone() });
            }
            state.tokens.retain(|_, token| token.info.principal.principal() != Some(name));
            state.certificates.retain(|_, certificate| certificate.principal != *name);
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
        self.check_token(info)?;
        if self.tokens.len() >= TOKENS_MAX {
            self.tokens.retain(|_, token| !token.info.expired(now_ms));
        }
        if info.kind == TokenKind::Session {
            self.make_room_for_session(&info.principal);
        }
        self.insert_token(token)
    }

    /// Adds a token where there is room for it.
    fn insert_token(&mut self, token: Token) -> Result<(), Error> {
        self.check_token(&token.info)?;
        bound("tokens", self.tokens.len(), TOKENS_MAX)?;
        self.tokens.insert(token.info.id.clone(), token);
        Ok(())
    }

    fn check_token(&self, info: &TokenInfo) -> Result<(), Error> {
        check_scopes(&info.scopes)?;
        match &info.principal {
            Owner::Principal(name) if !self.principals.contains_key(name) => {
                Err(Error::NoPrincipal { name: name.clone() })
            }
            Owner::User(user) if !self.providers.keys().any(|p| p.as_str() == user.provider()) => {
                Err(Error::NoProvider { name: user.provider().parse()? })
            }
            Owner::Principal(_) | Owner::User(_) => Ok(()),
        }
    }

    fn make_room_for_session(&mut self, owner: &Owner) {
        let sessions = self.tokens.values().map(|token| &token.info);
        let mut sessions: Vec<_> = sessions
            .filter(|info| info.kind == TokenKind::Session && info.principal == *owner)
            .map(|info| (info.created_ms, info.id.clone()))
            .collect();
        sessions.sort_unstable();
        let over = (sessions.len() + 1).saturating_sub(SESSIONS_PER_OWNER_MAX);
        for (_, id) in &sessions[..over.min(sessions.len())] {
            self.tokens.remove(id);
        }
    }

    /// Adds a token that its owner makes.
    pub(crate) fn add_own_token(&mut self, now_ms: i64, token: Token) -> Result<(), Error> {
        let owner = &token.info.principal;
        let own = self.tokens.values().map(|token| &token.info);
        let own = own.filter(|info| info.principal == *owner && info.kind == TokenKind::Api);
        let own = own.filter(|info| !info.expired(now_ms) && info.id != token.info.id);
        bound("tokens of your own", own.count(), OWN_TOKENS_MAX)?;
        self.add_token(now_ms, token)
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
        if let Subject::User(name) = &grant.subject {
            name.check_function()?;
        }
        bound("grants", self.grants.values().map(BTreeMap::len).sum(), GRANTS_MAX)?;
        self.insert_grant(id.clone(), grant)?;
        Ok(id)
    }

    /// Adds a grant in the name of who is admin of `part`.
    pub(crate) fn add_grant_within(
        &mut self,
        grant: Grant,
        part: &Pattern,
    ) -> Result<GrantId, Error> {
        if *part != Pattern::everything() {
            let others = self.grants.values().flat_map(BTreeMap::values);
            let others = others.filter(|other| **other != grant && part.includes(&other.pattern));
            bound("grants within what you administer", others.count(), GRANTS_PER_PART_MAX)?;
        }
        self.add_grant(grant)
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
            Subject::Anonymous if grant.role > Role::Reader => Err(Error::AnonymousRole),
            Subject::Principal(name) if !self.principals.contains_key(name) => {
                Err(Error::NoPrincipal { name: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Makes `change`, unless it would take away the last credential that can manage access.
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

    /// Whether some credential that holds at `now_ms` and that this bucket itself knows can manage
    /// access: a token or a password. What a provider says tomorrow is not counted on.
    fn administered(&self, now_ms: i64) -> bool {
        let (action, everything) = (crate::Action::ManageAccess, &Resource::Cluster);
        let tokens = self
            .tokens
            .values()
            .map(|token| &token.info)
            .filter(|info| info.kind == TokenKind::Api && !info.expired(now_ms));
        let mut passwords = self.principals.values().filter(|account| account.password.is_some());
        tokens.into_iter().any(|info| self.decide_token(info, action, everything).is_allowed())
            || passwords.any(|account| {
                let owner = Owner::Principal(account.info.name.clone());
                let subjects = self.subjects(Some(&owner), &BTreeSet::new());
                self.decide_for(&subjects, action, everything).is_allowed()
            })
    }
}

fn check_groups(groups: &BTreeSet<GroupName>) -> Result<(), Error> {
    if let Some(group) = groups.iter().find(|group| !group.is_local()) {
        return Err(Error::Foreign { name: group.to_string() });
    }
    let max = GROUPS_PER_PRINCIPAL_MAX;
    if groups.len() > max {
        return Err(Error::TooMany { what: "groups of one principal", max });
    }
    Ok(())
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
