//! What who is admin of a part may do of access: give and take back roles within it, and make tokens
//! of its own (ACCESS-8).
//!
//! Who may [`Action::ManageAccess`] may all of it. A grant that is given by somebody else lies wholly
//! within one grant that makes the giver admin, and within one scope of its token. A token that somebody
//! else makes is its own: it leaves no more of the owner's rights than the credential that was shown,
//! and ends no later.

use crate::decide::Question;
use crate::error::Error;
use crate::gate::Visit;
use crate::grant::{Action, Grant, GrantId, Scopes};
use crate::pattern::{Pattern, Resource};
use crate::principal::Owner;
use crate::snapshot::Snapshot;
use crate::token::{NewToken, TokenId, TokenInfo, TokenSpec};

impl Snapshot {
    /// What taking back this grant is about: what its pattern covers. Of one that is not there only who
    /// is admin of everything learns that.
    #[must_use]
    pub fn about_grant(&self, id: &GrantId) -> Resource {
        self.grant(id).map_or(Resource::Cluster, |grant| grant.pattern.clone().into())
    }
}

impl Visit {
    /// The grants that the caller may give and take back, by subject.
    #[must_use]
    pub fn grants(&self) -> Vec<&Grant> {
        let snapshot = self.snapshot();
        if self.manages_access() {
            return snapshot.grants().collect();
        }
        let Ok(standing) = snapshot.standing(self.caller()) else { return Vec::new() };
        let state = &snapshot.state;
        let subjects = state.subjects(standing.owner, standing.groups);
        let within = |pattern: &Pattern| {
            let resource = pattern.clone().into();
            let question = Question::new(Action::ManageGrants, &resource);
            state.decide(&subjects, standing.scopes, question).is_allowed()
        };
        snapshot.grants().filter(|grant| within(&grant.pattern)).collect()
    }

    /// Gives a role, where the caller may. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::TooMany`] also when the part that the caller administers holds
    /// [`crate::GRANTS_PER_PART_MAX`] grants, and as [`crate::Access::add_grant`].
    pub async fn add_grant(&self, grant: &Grant) -> Result<GrantId, Error> {
        let by = self.authorize(Action::ManageGrants, &grant.pattern.clone().into())?;
        let part = self.snapshot().grant(&by).map_or(&grant.pattern, |by| &by.pattern);
        self.access().add_grant_within(grant, part).await
    }

    /// Takes a role back, where the caller may. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Denied`], and as [`crate::Access::remove_grant`].
    pub async fn remove_grant(&self, id: &GrantId) -> Result<(), Error> {
        self.authorize(Action::ManageGrants, &self.snapshot().about_grant(id))?;
        self.access().remove_grant(id).await
    }

    /// What it takes of this caller to deal with tokens: everybody's if it can have that, else its own.
    #[must_use]
    pub fn tokens_action(&self) -> Action {
        if self.manages_access() { Action::ManageAccess } else { Action::ManageOwnTokens }
    }

    /// The tokens that the caller may revoke, by id.
    #[must_use]
    pub fn tokens(&self) -> Vec<&TokenInfo> {
        let all = self.manages_access();
        self.snapshot().tokens().filter(|token| all || self.is_own(token)).collect()
    }

    /// Makes a token, where the caller may. One of the caller's own has what the credential that it
    /// came with leaves, where nothing less is asked for, and ends with it. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Stronger`] when more is asked for; [`Error::ForeignToken`];
    /// [`Error::TooMany`] also of more than [`crate::OWN_TOKENS_MAX`]; and as
    /// [`crate::Access::create_token`].
    pub async fn create_token(&self, spec: TokenSpec) -> Result<NewToken, Error> {
        let own = self.caller().owner() == Some(&spec.principal);
        let foreign = matches!(spec.principal, Owner::User(_));
        if !own || (self.manages_access() && !foreign) {
            self.authorize(Action::ManageAccess, &Resource::Cluster)?;
            if foreign {
                return Err(Error::ForeignToken { name: spec.principal });
            }
            return self.access().create_token(spec).await;
        }
        let (action, resource) = (Action::ManageOwnTokens, Resource::Cluster);
        self.authorize(action, &resource)?;
        let standing = self.snapshot().standing(self.caller());
        let standing = standing.map_err(|reason| Error::Denied { action, resource, reason })?;
        let scopes = match spec.scopes {
            Scopes::All => standing.scopes.clone(),
            asked if standing.scopes.includes(&asked) => asked,
            Scopes::Only(_) => return Err(Error::Stronger { what: "scopes go beyond" }),
        };
        let spec = TokenSpec { scopes, groups: standing.groups.clone(), ..spec };
        self.access().create_own_token(spec, standing.lends_until_ms).await
    }

    /// Revokes a token, where the caller may: its own, or as admin of everything any.
    ///
    /// # Errors
    /// [`Error::Denied`], and as [`crate::Access::revoke_token`].
    pub async fn revoke_token(&self, id: &TokenId) -> Result<(), Error> {
        let token = self.snapshot().state.tokens.get(id);
        let own = token.is_some_and(|token| self.is_own(&token.info));
        let action = if own { self.tokens_action() } else { Action::ManageAccess };
        self.authorize(action, &Resource::Cluster)?;
        self.access().revoke_token(id).await
    }

    fn is_own(&self, token: &TokenInfo) -> bool {
        self.caller().owner() == Some(&token.principal)
    }

    fn manages_access(&self) -> bool {
        let everything = &Resource::Cluster;
        let decision = self.snapshot().authorize(self.caller(), Action::ManageAccess, everything);
        decision.is_allowed()
    }
}
