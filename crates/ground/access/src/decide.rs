//! The decision: the one place where it is said what is allowed.

use std::collections::BTreeSet;
use std::fmt;

use cairn_base::{DatasetName, ProjectName};
use serde::Serialize;

use crate::caller::Caller;
use crate::error::Error;
use crate::grant::{Action, Grant, GrantId, Reach, Role, Scopes};
use crate::pattern::{Pattern, Resource};
use crate::principal::{GroupName, Owner, Subject};
use crate::snapshot::Snapshot;
use crate::standing::Standing;
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
    /// The caller's credential was revoked after it was shown.
    Revoked,
    /// The caller's credential expired after it was shown.
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
                f.write_str("the credential was revoked; ask an administrator for a new one")
            }
            Self::Expired => f.write_str("the credential expired; show a new one"),
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

/// A decision, and what every grant of the subject says. For a user of a provider, without the groups
/// that only the provider knows.
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
pub(crate) struct Question<'a> {
    needs: Role,
    reach: Reach,
    resource: &'a Resource,
}

impl<'a> Question<'a> {
    pub(crate) fn new(action: Action, resource: &'a Resource) -> Self {
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
    /// Everybody's subjects, the strongest first: the owner, the groups of a principal that this
    /// bucket keeps and those that a provider says, everybody who signed in, and everybody.
    pub(crate) fn subjects(
        &self,
        owner: Option<&Owner>,
        said: &BTreeSet<GroupName>,
    ) -> Vec<Subject> {
        let mut subjects = Vec::with_capacity(4);
        if let Some(owner) = owner {
            subjects.push(owner.into());
            let account = owner.principal().and_then(|name| self.principals.get(name));
            let kept = account.into_iter().flat_map(|account| &account.info.groups);
            subjects.extend(kept.chain(said).cloned().map(Subject::Group));
            subjects.push(Subject::Authenticated);
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
    pub(crate) fn decide(
        &self,
        subjects: &[Subject],
        scopes: &Scopes,
        question: Question<'_>,
    ) -> Decision {
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
        let subjects = self.subjects(Some(&token.principal), &token.groups);
        self.decide(&subjects, &token.scopes, Question::new(action, resource))
    }

    /// Decides for subjects without a token's limits.
    pub(crate) fn decide_for(
        &self,
        subjects: &[Subject],
        action: Action,
        resource: &Resource,
    ) -> Decision {
        self.decide(subjects, &Scopes::All, Question::new(action, resource))
    }
}

impl Snapshot {
    /// Decides whether `caller` may do `action` on `resource`. Every request of every door comes
    /// through here (ACCESS-1), and without a grant that allows it the answer is no (ACCESS-4).
    ///
    /// The caller's token is looked up again: one that was revoked or expired since it was shown is
    /// denied, also on a connection that lives on.
    pub fn authorize(&self, caller: &Caller, action: Action, resource: &Resource) -> Decision {
        match self.standing(caller) {
            Ok(Standing { owner, groups, scopes, .. }) => {
                let subjects = self.state.subjects(owner, groups);
                self.state.decide(&subjects, scopes, Question::new(action, resource))
            }
            Err(reason) => Decision::Denied { reason },
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
        let none = BTreeSet::new();
        let subjects = match subject {
            Subject::Anonymous => self.state.subjects(None, &none),
            Subject::Authenticated => vec![Subject::Authenticated, Subject::Anonymous],
            Subject::Principal(name) if self.state.principals.contains_key(name) => {
                self.state.subjects(Some(&name.clone().into()), &none)
            }
            Subject::Principal(name) => return Err(Error::NoPrincipal { name: name.clone() }),
            Subject::User(user) => self.state.subjects(Some(&Owner::User(user.clone())), &none),
            Subject::Group(_) => {
                vec![subject.clone(), Subject::Authenticated, Subject::Anonymous]
            }
        };
        let question = Question::new(action, resource);
        let grants = self.state.grants_of(&subjects);
        Ok(Explanation {
            decision: self.state.decide(&subjects, &Scopes::All, question),
            needs: question.needs,
            grants: grants.map(|(_, grant)| (grant.clone(), question.verdict(grant))).collect(),
        })
    }

    /// The grants that bear on `caller`: its own, those of its groups, of everybody who signed in,
    /// and of everybody.
    pub(crate) fn grants_for(&self, caller: &Caller) -> Vec<Grant> {
        let subjects = self.subjects_of(caller);
        self.state.grants_of(&subjects).map(|(_, grant)| grant.clone()).collect()
    }

    /// The groups that bear on `caller`.
    pub(crate) fn groups_for(&self, caller: &Caller) -> Vec<GroupName> {
        let group = |subject| match subject {
            Subject::Group(group) => Some(group),
            _ => None,
        };
        self.subjects_of(caller).into_iter().filter_map(group).collect()
    }

    /// The subjects that `caller` is; none when its credential no longer stands.
    fn subjects_of(&self, caller: &Caller) -> Vec<Subject> {
        let standing = self.standing(caller);
        standing.map_or_else(|_| Vec::new(), |s| self.state.subjects(s.owner, s.groups))
    }
}

#[cfg(test)]
mod tests;
