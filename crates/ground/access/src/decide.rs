//! The decision: the one place where it is said what is allowed.

use std::fmt;

use cairn_base::{DatasetName, ProjectName};
use serde::Serialize;

use crate::caller::{Caller, TokenCaller};
use crate::error::Error;
use crate::grant::{Action, Grant, GrantId, Reach, Role, Scopes};
use crate::pattern::{Pattern, Resource};
use crate::principal::{PrincipalName, Subject};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::token::TokenInfo;

/// Whether a request goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody looks at protects nothing"]
pub enum Decision {
    /// It goes on.
    Allowed {
        /// The grant that says so.
        by: GrantId,
    },
    /// It ends here.
    Denied {
        /// Why.
        reason: Reason,
    },
}

impl Decision {
    /// Whether the request goes on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// The decision as an error to return, for `action` on `resource`.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn into_result(self, action: Action, resource: &Resource) -> Result<GrantId, Error> {
        match self {
            Self::Allowed { by } => Ok(by),
            Self::Denied { reason } => {
                Err(Error::Denied { action, resource: resource.clone(), reason })
            }
        }
    }
}

/// Why a request is denied. Says nothing about whether the resource exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The caller showed no credential, and anonymous callers may not do this.
    Anonymous,
    /// The caller's token was revoked after it was shown.
    Revoked,
    /// The caller's token expired after it was shown.
    Expired,
    /// No grant is about this caller and this resource.
    NoGrant {
        /// The role that is needed.
        needs: Role,
    },
    /// The caller's strongest role on the resource is too weak.
    Role {
        /// That role.
        has: Role,
        /// The role that is needed.
        needs: Role,
    },
    /// The principal may do this, but the token is limited to other things.
    Scope,
}

impl Reason {
    /// Whether another credential may help (HTTP 401 instead of 403).
    #[must_use]
    pub fn asks_for_credential(self) -> bool {
        matches!(self, Self::Anonymous | Self::Revoked | Self::Expired)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("it is not open to everybody; show a token"),
            Self::Revoked => {
                f.write_str("the token was revoked; ask an administrator for a new one")
            }
            Self::Expired => f.write_str("the token expired; ask an administrator for a new one"),
            Self::NoGrant { needs } => {
                write!(f, "no grant makes you {needs} there; ask an administrator for one")
            }
            Self::Role { has, needs } => {
                write!(f, "you are {has} there and it takes {needs}; ask an administrator for it")
            }
            Self::Scope => f.write_str("the token is not for this; use one with wider scopes"),
        }
    }
}

/// What one grant says about one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It allows the action.
    Allows,
    /// It is about the resource, with a role that is too weak.
    RoleTooWeak,
    /// It is about other resources.
    ElsewhereOnly,
}

/// A decision, and what every grant of the subject says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What [`Snapshot::authorize`] decides for the subject, with all its grants in scope.
    pub decision: Decision,
    /// The role that the action takes.
    pub needs: Role,
    /// The grants that were looked at, in that order.
    pub grants: Vec<(Grant, Verdict)>,
}

/// One question, ready to be asked of many grants.
#[derive(Clone, Copy)]
struct Question<'a> {
    needs: Role,
    reach: Reach,
    resource: &'a Resource,
}

impl<'a> Question<'a> {
    fn new(action: Action, resource: &'a Resource) -> Self {
        Self { needs: action.needs(), reach: action.reach(), resource }
    }

    fn about(&self, pattern: &Pattern) -> bool {
        match self.reach {
            Reach::Part => pattern.touches(self.resource),
            Reach::Whole => pattern.covers(self.resource),
            Reach::Cluster => pattern.covers(&Resource::Cluster),
        }
    }

    fn verdict(&self, grant: &Grant) -> Verdict {
        let nameless = grant.subject == Subject::Anonymous;
        if !self.about(&grant.pattern) || (nameless && self.reach == Reach::Cluster) {
            Verdict::ElsewhereOnly
        } else if grant.role.includes(self.needs) {
            Verdict::Allows
        } else {
            Verdict::RoleTooWeak
        }
    }

    fn within(&self, scopes: &Scopes) -> bool {
        match scopes {
            Scopes::All => true,
            Scopes::Only(list) => list
                .iter()
                .any(|scope| scope.role.includes(self.needs) && self.about(&scope.pattern)),
        }
    }
}

impl State {
    /// Everybody's subjects, the strongest first.
    fn subjects(principal: Option<&PrincipalName>) -> Vec<Subject> {
        let mut subjects = Vec::with_capacity(3);
        if let Some(name) = principal {
            subjects.extend([Subject::Principal(name.clone()), Subject::Authenticated]);
        }
        subjects.push(Subject::Anonymous);
        subjects
    }

    fn grants_of<'a>(
        &'a self,
        subjects: &'a [Subject],
    ) -> impl Iterator<Item = (&'a GrantId, &'a Grant)> {
        subjects.iter().filter_map(|subject| self.grants.get(subject)).flatten()
    }

    /// Decides for `subjects`. A scope limits what a token brings; what is open to everybody stays
    /// so.
    fn decide(&self, subjects: &[Subject], scopes: &Scopes, question: Question<'_>) -> Decision {
        let needs = question.needs;
        let in_scope = question.within(scopes);
        let mut weaker = None;
        let mut out_of_scope = false;
        for (id, grant) in self.grants_of(subjects) {
            match question.verdict(grant) {
                Verdict::Allows if in_scope || grant.subject == Subject::Anonymous => {
                    return Decision::Allowed { by: id.clone() };
                }
                Verdict::Allows => out_of_scope = true,
                Verdict::RoleTooWeak => weaker = weaker.max(Some(grant.role)),
                Verdict::ElsewhereOnly => {}
            }
        }
        let reason = match (out_of_scope, weaker) {
            _ if subjects == [Subject::Anonymous] => Reason::Anonymous,
            (true, _) => Reason::Scope,
            (false, Some(has)) => Reason::Role { has, needs },
            (false, None) => Reason::NoGrant { needs },
        };
        Decision::Denied { reason }
    }

    /// Decides for a token that holds.
    pub(crate) fn decide_token(
        &self,
        token: &TokenInfo,
        action: Action,
        resource: &Resource,
    ) -> Decision {
        let subjects = Self::subjects(Some(&token.principal));
        self.decide(&subjects, &token.scopes, Question::new(action, resource))
    }
}

impl Snapshot {
    /// Decides whether `caller` may do `action` on `resource`. Every request of every door comes
    /// through here (ACCESS-1), and without a grant that allows it the answer is no (ACCESS-4).
    ///
    /// The caller's token is looked up again: one that was revoked or expired since it was shown is
    /// denied, also on a connection that lives on.
    pub fn authorize(&self, caller: &Caller, action: Action, resource: &Resource) -> Decision {
        let denied = |reason| Decision::Denied { reason };
        match caller {
            Caller::Anonymous => {
                let subjects = State::subjects(None);
                self.state.decide(&subjects, &Scopes::All, Question::new(action, resource))
            }
            Caller::Token(caller) => match self.token_of(caller) {
                Some(token) if token.expired(self.now_ms) => denied(Reason::Expired),
                Some(token) => self.state.decide_token(token, action, resource),
                None => denied(Reason::Revoked),
            },
        }
    }

    /// Whether `caller` may read the dataset: what lists of datasets are filtered by.
    #[must_use]
    pub fn may_read(&self, caller: &Caller, project: &ProjectName, name: &DatasetName) -> bool {
        let resource = Resource::Dataset(project.clone(), name.clone());
        self.authorize(caller, Action::ReadDataset, &resource).is_allowed()
    }

    /// What would be decided for `subject`, and why. For a principal: with a token without limits.
    ///
    /// # Errors
    /// [`Error::NoPrincipal`].
    pub fn explain(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
    ) -> Result<Explanation, Error> {
        let subjects = match subject {
            Subject::Anonymous => State::subjects(None),
            Subject::Authenticated => vec![Subject::Authenticated, Subject::Anonymous],
            Subject::Principal(name) if self.state.principals.contains_key(name) => {
                State::subjects(Some(name))
            }
            Subject::Principal(name) => return Err(Error::NoPrincipal { name: name.clone() }),
        };
        let question = Question::new(action, resource);
        let grants = self.state.grants_of(&subjects);
        Ok(Explanation {
            decision: self.state.decide(&subjects, &Scopes::All, question),
            needs: question.needs,
            grants: grants.map(|(_, grant)| (grant.clone(), question.verdict(grant))).collect(),
        })
    }

    /// The grants that bear on `caller`: its own, those of everybody who signed in, and those of
    /// everybody.
    pub(crate) fn grants_for(&self, principal: Option<&PrincipalName>) -> Vec<Grant> {
        let subjects = State::subjects(principal);
        self.state.grants_of(&subjects).map(|(_, grant)| grant.clone()).collect()
    }

    pub(crate) fn token_of(&self, caller: &TokenCaller) -> Option<&TokenInfo> {
        self.state.tokens.get(caller.token_id()).map(|token| &token.info)
    }
}

#[cfg(test)]
mod tests;
