//! Roles, actions and grants: the whole vocabulary of what may be done.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base32;
use crate::error::Error;
use crate::pattern::Pattern;
use crate::principal::Subject;

/// A set of actions that is granted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Call functions.
    Invoker,
    /// List and read. It does not let call functions, which may do more than read.
    Reader,
    /// What an invoker and a reader may, and publish, move and delete tags, set retention, change keys, deploy functions.
    Writer,
    /// What a writer may, and give and take back roles there, and make tokens of one's own. On
    /// everything: all there is, also principals, everybody's tokens, collection and verification.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Invoker, Self::Reader, Self::Writer, Self::Admin];

    /// Whether this role allows all that `other` does.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self == other || (self >= Self::Writer && self >= other)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoker => "invoker",
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| Error::Role { role: text.chars().take(32).collect() })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request does. Every request of every door is one of these (ACCESS-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// List datasets of a project or of all. Allowed to whom anything there may be readable; the
    /// list itself is filtered by [`crate::Snapshot::may_read`].
    ListDatasets,
    /// Read files, manifests, blocks, tags and history of a dataset, and follow it.
    ReadDataset,
    /// Upload blocks to a dataset, publish versions, move tags.
    WriteDataset,
    /// Delete tags of a dataset, or the dataset.
    DeleteDataset,
    /// Set how long versions of a dataset are kept.
    SetRetention,
    /// Read and follow the keys of a namespace.
    ReadKeys,
    /// Change keys of a namespace.
    WriteKeys,
    /// Make a namespace, or change its settings.
    SetNamespace,
    /// Remove a namespace with its keys.
    RemoveNamespace,
    /// Call a function.
    InvokeFunction,
    /// Read what there is of a function: its releases, settings, routes and logs.
    ReadFunction,
    /// Deploy a function, choose which of its releases answers, lead routes to it.
    DeployFunction,
    /// Remove a function.
    RemoveFunction,
    /// Read numbers about the whole node and bucket.
    ReadMetrics,
    /// Collect unused blocks, verify stored ones.
    Maintain,
    /// Read and change principals, groups, certificates, providers and everybody's tokens.
    ManageAccess,
    /// List grants. Allowed to whom is admin of anything; the list itself is filtered by
    /// [`crate::Visit::grants`].
    ListGrants,
    /// Give and take back roles on all that a pattern covers, up to one's own.
    ManageGrants,
    /// Make, list and revoke tokens of one's own, which are no stronger than oneself
    /// ([`crate::Visit::create_token`]).
    ManageOwnTokens,
    /// Read and verify the audit log.
    ReadAudit,
}

/// How much of the resource a grant's pattern must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Something of it: the answer is filtered afterwards.
    Part,
    /// All of it.
    Whole,
    /// Everything there is, whatever the resource, and from a caller with a name: so that no door
    /// can ask for it on too little, and opening all data to everybody opens only data.
    Cluster,
}

/// The one table: each action, its word, the least role that allows it, and where.
const ACTIONS: [(Action, &str, Role, Reach); 20] = [
    (Action::ListDatasets, "list_datasets", Role::Reader, Reach::Part),
    (Action::ReadDataset, "read_dataset", Role::Reader, Reach::Whole),
    (Action::WriteDataset, "write_dataset", Role::Writer, Reach::Whole),
    (Action::DeleteDataset, "delete_dataset", Role::Writer, Reach::Whole),
    (Action::SetRetention, "set_retention", Role::Writer, Reach::Whole),
    (Action::ReadKeys, "read_keys", Role::Reader, Reach::Whole),
    (Action::WriteKeys, "write_keys", Role::Writer, Reach::Whole),
    (Action::SetNamespace, "set_namespace", Role::Writer, Reach::Whole),
    (Action::RemoveNamespace, "remove_namespace", Role::Writer, Reach::Whole),
    (Action::InvokeFunction, "invoke_function", Role::Invoker, Reach::Whole),
    (Action::ReadFunction, "read_function", Role::Reader, Reach::Whole),
    (Action::DeployFunction, "deploy_function", Role::Writer, Reach::Whole),
    (Action::RemoveFunction, "remove_function", Role::Writer, Reach::Whole),
    (Action::ReadMetrics, "read_metrics", Role::Reader, Reach::Cluster),
    (Action::Maintain, "maintain", Role::Admin, Reach::Cluster),
    (Action::ManageAccess, "manage_access", Role::Admin, Reach::Cluster),
    (Action::ListGrants, "list_grants", Role::Admin, Reach::Part),
    (Action::ManageGrants, "manage_grants", Role::Admin, Reach::Whole),
    (Action::ManageOwnTokens, "manage_own_tokens", Role::Admin, Reach::Part),
    (Action::ReadAudit, "read_audit", Role::Admin, Reach::Cluster),
];

impl Action {
    /// Every action.
    pub fn all() -> impl Iterator<Item = Self> {
        ACTIONS.iter().map(|(action, ..)| *action)
    }

    fn row(self) -> &'static (Self, &'static str, Role, Reach) {
        let row = ACTIONS.iter().find(|(action, ..)| *action == self);
        row.expect("a test holds the table complete")
    }

    /// The least role that allows it.
    #[must_use]
    pub fn needs(self) -> Role {
        self.row().2
    }

    /// Whether it changes nothing by itself; what a called function does is its own doing.
    #[must_use]
    pub fn only_reads(self) -> bool {
        matches!(
            self,
            Self::ListDatasets
                | Self::ReadDataset
                | Self::ReadKeys
                | Self::InvokeFunction
                | Self::ReadFunction
                | Self::ReadMetrics
                | Self::ListGrants
                | Self::ReadAudit
        )
    }

    pub(crate) fn reach(self) -> Reach {
        self.row().3
    }

    /// The stable word for it, in logs, explanations and REST bodies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::all()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| Error::Action { action: text.chars().take(32).collect() })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A right: `role` on all that `pattern` covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What may be done.
    pub role: Role,
    /// Where.
    pub pattern: Pattern,
}

/// What of its principal's grants a token may use. A scope never gives a right: it only leaves one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scopes {
    /// All that the principal has, now and later.
    All,
    /// Only what at least one of these covers: 1 to [`SCOPES_MAX`].
    Only(Vec<Scope>),
}

/// The most scopes of one token.
pub const SCOPES_MAX: usize = 64;

impl Scope {
    /// Whether it leaves all that `other` does.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.role.includes(other.role) && self.pattern.includes(&other.pattern)
    }
}

impl Scopes {
    /// Whether these leave all that `other` does. Each of `other` must be within one of these.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(own), Self::Only(others)) => {
                others.iter().all(|other| own.iter().any(|scope| scope.includes(other)))
            }
        }
    }
}

/// The name of a grant: a hash of what it says, so that the same grant has the same name on every
/// node and adding it twice is adding it once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct GrantId(String);

const GRANT_ID_BYTES: usize = 10;
const GRANT_ID_CHARS: usize = 16;
const GRANT_ID_CONTEXT: &str = "cairn 2026-11 access grant id";

impl GrantId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GrantId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() != GRANT_ID_CHARS || base32::decode(text.as_bytes()).is_none() {
            return Err(Error::Id { what: "grant" });
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<GrantId> for String {
    fn from(id: GrantId) -> Self {
        id.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Someone may do something somewhere. Without one, nothing is allowed (ACCESS-4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Who.
    pub subject: Subject,
    /// May do what.
    pub role: Role,
    /// Where.
    pub pattern: Pattern,
}

impl Grant {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> GrantId {
        // No part can hold a space, so no two grants have one text.
        let text = format!("{} {} {}", self.subject, self.role, self.pattern);
        let hash = blake3::derive_key(GRANT_ID_CONTEXT, text.as_bytes());
        GrantId(base32::encode(&hash[..GRANT_ID_BYTES]))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} on {}", self.subject, self.role, self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_table_holds_every_action_once() {
        let every = |action: Action| match action {
            // A new action fails to compile here, and then belongs into the table.
            Action::ListDatasets
            | Action::ReadDataset
            | Action::WriteDataset
            | Action::DeleteDataset
            | Action::SetRetention
            | Action::ReadKeys
            | Action::WriteKeys
            | Action::SetNamespace
            | Action::RemoveNamespace
            | Action::InvokeFunction
            | Action::ReadFunction
            | Action::DeployFunction
            | Action::RemoveFunction
            | Action::ReadMetrics
            | Action::Maintain
            | Action::ManageAccess
            | Action::ListGrants
            | Action::ManageGrants
            | Action::ManageOwnTokens
            | Action::ReadAudit => 20,
        };
        let mut all: Vec<_> = Action::all().collect();
        assert!(all.iter().all(|action| every(*action) == ACTIONS.len()));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), ACTIONS.len());
        for action in all {
            assert_eq!(action.as_str().parse::<Action>().unwrap(), action);
        }
    }

    #[test]
    fn roles_include_the_weaker_ones() {
        for (high, a) in Role::ALL.into_iter().enumerate() {
            for (low, b) in Role::ALL.into_iter().enumerate() {
                // Who reads does not call.
                let apart = (a, b) == (Role::Reader, Role::Invoker);
                assert_eq!(a.includes(b), high >= low && !apart);
            }
            assert_eq!(a.as_str().parse::<Role>().unwrap(), a);
        }
        assert!("owner".parse::<Role>().is_err());
    }

    /// Grant ids are in people's scripts and in logs.
    #[test]
    fn golden_grant_id() {
        let grant = Grant {
            subject: Subject::Anonymous,
            role: Role::Reader,
            pattern: "@main/public-*".parse().unwrap(),
        };
        expect!["8839xxvdmpktx0xd"].assert_eq(grant.id().as_str());
        expect!["anonymous is reader on @main/public-*"].assert_eq(&grant.to_string());
        assert_eq!(grant.id().as_str().parse::<GrantId>().unwrap(), grant.id());
    }

    #[test]
    fn another_grant_has_another_id() {
        let grant = |subject: &str, role, pattern: &str| {
            let (subject, pattern) = (subject.parse().unwrap(), pattern.parse().unwrap());
            Grant { subject, role, pattern }.id()
        };
        let ids = [
            grant("a", Role::Reader, "@a/b"),
            grant("b", Role::Reader, "@a/b"),
            grant("a", Role::Writer, "@a/b"),
            grant("a", Role::Reader, "@a/bb"),
            grant("a", Role::Reader, "@ab/b"),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id));
        }
        assert_eq!(grant("a", Role::Reader, "@a/b*"), grant("a", Role::Reader, "@a/b**"));
    }
}
