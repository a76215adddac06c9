//! Principals, tokens and grants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Somebody or something that acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalBody {
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// The groups of this cluster that it is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether it can log in with a password.
    #[serde(default)]
    pub has_password: bool,
}

/// All principals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Principals {
    /// By name.
    pub principals: Vec<PrincipalBody>,
}

/// A principal to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePrincipal {
    /// Its name.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length = 1, max_length = 128)]
    pub name: String,
}

/// What of its principal's grants a token may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopesBody {
    /// All, now and later.
    All,
    /// Only what one of these covers.
    Only(Vec<ScopeBody>),
}

/// A right: a role on all that a pattern covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeBody {
    /// `reader`, `writer` or `admin`.
    #[schema(pattern = "^(invoker|reader|writer|admin)$")]
    pub role: String,
    /// `@PROJECT/NAME`, with `*` for any characters.
    #[schema(pattern = "^(@[A-Za-z0-9*][A-Za-z0-9._*-]*/)?[A-Za-z0-9*][A-Za-z0-9._*-]*$")]
    pub pattern: String,
}

/// All of a token but the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenBody {
    /// Its public id.
    pub id: String,
    /// What a person calls it.
    pub label: String,
    /// Whose it is: a principal, or `PROVIDER/NAME`.
    pub principal: String,
    /// `api`, or `session` for somebody who logged in.
    #[serde(default)]
    pub kind: String,
    /// The groups that the provider said its user is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What of the principal's grants it may use.
    pub scopes: ScopesBody,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it no longer works, in milliseconds since 1970.
    pub expires_ms: Option<i64>,
}

/// All tokens, or those of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// By id.
    pub tokens: Vec<TokenBody>,
}

/// A token to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Whose it will be: a principal, or the caller as `whoami` calls it.
    #[schema(
        pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._@+:/%-]+)?$",
        min_length = 1,
        max_length = 384
    )]
    pub principal: String,
    /// What a person calls it.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length = 1, max_length = 128)]
    pub label: String,
    /// What of the principal's grants it may use. All when not given; of the caller's own, what the
    /// credential that it came with may use.
    #[serde(default)]
    pub scopes: Option<ScopesBody>,
    /// How long it lives. Until it is revoked when not given; the caller's own not beyond the end of
    /// the credential that it came with.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3_155_760_000_u64)]
    pub expires_in_seconds: Option<u64>,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// What is kept of it.
    pub info: TokenBody,
    /// The token itself; nobody can show it again.
    pub token: String,
}

/// Someone may do something somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    /// A principal, `PROVIDER/NAME`, `group:NAME`, `group:PROVIDER/NAME`, `authenticated` or
    /// `anonymous`.
    #[schema(
        pattern = "^(group:)?[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._@+:/%-]+)?$",
        min_length = 1,
        max_length = 390
    )]
    pub subject: String,
    /// `reader`, `writer` or `admin`.
    #[schema(pattern = "^(invoker|reader|writer|admin)$")]
    pub role: String,
    /// `@PROJECT/NAME`, with `*` for any characters.
    #[schema(pattern = "^(@[A-Za-z0-9*][A-Za-z0-9._*-]*/)?[A-Za-z0-9*][A-Za-z0-9._*-]*$")]
    pub pattern: String,
}

/// A grant and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedGrant {
    /// Its name.
    pub id: String,
    /// What it says.
    pub grant: GrantBody,
}

/// The grants on what the caller is admin of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grants {
    /// By subject.
    pub grants: Vec<NamedGrant>,
}

/// What a caller may know of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmIBody {
    /// The principal, or `PROVIDER/NAME`.
    pub principal: Option<String>,
    /// What was shown: its kind and its public name.
    #[serde(default)]
    pub credential: String,
    /// The groups that the caller is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The token that was shown.
    pub token: Option<TokenBody>,
    /// The grants that bear on the caller, before the token's scopes.
    pub grants: Vec<GrantBody>,
}

/// A question about a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// A principal, `PROVIDER/NAME`, `group:NAME`, `group:PROVIDER/NAME`, `authenticated` or
    /// `anonymous`.
    #[schema(
        pattern = "^(group:)?[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._@+:/%-]+)?$",
        min_length = 1,
        max_length = 390
    )]
    pub subject: String,
    /// An action, such as `read_dataset`.
    #[schema(
        pattern = "^(list_datasets|read_dataset|write_dataset|delete_dataset|set_retention|read_keys|write_keys|set_namespace|remove_namespace|invoke_function|read_function|deploy_function|remove_function|read_metrics|maintain|manage_access|list_grants|manage_grants|manage_own_tokens|read_audit)$"
    )]
    pub action: String,
    /// `@PROJECT/NAME`, with `*` for any characters: all that the pattern covers. `@*/*` is everything.
    #[schema(pattern = "^(@[A-Za-z0-9*][A-Za-z0-9._*-]*/)?[A-Za-z0-9*][A-Za-z0-9._*-]*$")]
    pub resource: String,
}

/// A decision, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why not, when not.
    pub reason: Option<String>,
    /// The grant that allows it.
    pub by: Option<String>,
    /// The role that the action takes.
    pub needs: String,
    /// The grants that were looked at.
    pub grants: Vec<JudgedGrant>,
}

/// A grant, and what it says about the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JudgedGrant {
    /// The grant.
    pub grant: GrantBody,
    /// `allows`, `role_too_weak` or `elsewhere_only`.
    pub verdict: String,
}
