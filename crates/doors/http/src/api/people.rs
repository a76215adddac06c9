//! Passwords, groups, certificates, identity providers, logins.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A password to set.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// The new password, 10 characters at least; none takes it away.
    #[schema(min_length = 10, max_length = 512)]
    pub password: Option<String>,
}

/// The caller's own password.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password as it is.
    #[schema(max_length = 512)]
    pub current: String,
    /// The new one, 10 characters at least.
    #[schema(min_length = 10, max_length = 512)]
    pub new: String,
}

/// Groups of a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetGroups {
    /// All groups that it is in from now on, 64 at most.
    #[schema(max_items = 64)]
    pub groups: Vec<String>,
}

/// A client certificate that stands for a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateBody {
    /// Its SHA-256, 64 hexadecimal digits.
    pub fingerprint: String,
    /// Whose it is.
    pub principal: String,
    /// What a person calls it.
    pub label: String,
    /// When it was registered, in milliseconds since 1970.
    pub created_ms: i64,
    /// Until when it is valid, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// All certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificates {
    /// By fingerprint.
    pub certificates: Vec<CertificateBody>,
}

/// A client certificate to register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCertificate {
    /// Whose it will be.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length = 1, max_length = 128)]
    pub principal: String,
    /// What a person calls it.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length = 1, max_length = 128)]
    pub label: String,
    /// The certificate, PEM.
    #[schema(max_length = 65536)]
    pub certificate: String,
}

/// An OpenID Connect provider, without the client's secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderBody {
    /// Its name here; its users are called `NAME/…`.
    pub name: String,
    /// The issuer.
    pub issuer: String,
    /// What this cluster is called there.
    pub client_id: String,
    /// Whether the client has a secret.
    pub has_secret: bool,
    /// The scopes that a login asks for.
    pub scopes: Vec<String>,
    /// The claim that names a user.
    pub user_claim: String,
    /// The claim that lists a user's groups.
    pub groups_claim: String,
    /// Audiences of bearer tokens that are taken beside the client's own id.
    pub audiences: Vec<String>,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: i64,
}

/// All identity providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Providers {
    /// By name.
    pub providers: Vec<ProviderBody>,
}

/// An OpenID Connect provider to add, or to put in the place of the one of that name.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProvider {
    /// The issuer, an https:// address (http:// only on this machine).
    #[schema(max_length = 2048)]
    pub issuer: String,
    /// What this cluster is called there.
    #[schema(min_length = 1, max_length = 2048)]
    pub client_id: String,
    /// The client's secret; none for a public client.
    #[serde(default)]
    #[schema(max_length = 2048)]
    pub client_secret: Option<String>,
    /// The scopes that a login asks for; `openid profile email` when not given.
    #[serde(default)]
    #[schema(max_items = 16)]
    pub scopes: Option<Vec<String>>,
    /// The claim that names a user: `email` when not given, which the provider must have verified.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2048)]
    pub user_claim: Option<String>,
    /// The claim that lists a user's groups: `groups` when not given.
    #[serde(default)]
    #[schema(max_length = 2048)]
    pub groups_claim: Option<String>,
    /// Audiences of bearer tokens that are taken beside the client's own id.
    #[serde(default)]
    #[schema(max_items = 16)]
    pub audiences: Vec<String>,
}

/// An identity provider to log in by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginProvider {
    /// Its name here.
    pub name: String,
}

/// How one can log in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginWays {
    /// The identity providers.
    pub providers: Vec<LoginProvider>,
}

/// A user name and its password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordLogin {
    /// The user.
    #[schema(max_length = 128)]
    pub user: String,
    /// The password.
    #[schema(max_length = 512)]
    pub password: String,
}

/// A session that was opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Opened {
    /// The session's token: shown as any other.
    pub token: String,
    /// Who logged in: a principal, or `PROVIDER/NAME`.
    pub principal: String,
    /// Until when it holds, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// A login that was begun for a program without a browser.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceBegun {
    /// What the program asks with: a secret.
    pub device_code: String,
    /// What the user types.
    pub user_code: String,
    /// Where the user goes.
    pub verification_uri: String,
    /// Where the user goes and need not type anything.
    pub verification_uri_complete: Option<String>,
    /// After how many seconds it is over.
    pub expires_in_seconds: u64,
    /// How many seconds to wait between two questions.
    pub interval_seconds: u64,
}

/// Whether somebody has logged in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceAsked {
    /// What the login was begun with.
    #[schema(max_length = 4096)]
    pub device_code: String,
}

/// Nobody has logged in yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceWaits {
    /// Whether to ask less often from now on.
    pub slow_down: bool,
}

/// A session of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnSession {
    /// Its public id.
    pub id: String,
    /// When it was opened, in milliseconds since 1970.
    pub created_ms: i64,
    /// Until when it holds, in milliseconds since 1970.
    pub expires_ms: Option<i64>,
    /// Whether it is the one by which this was asked.
    pub current: bool,
}

/// The sessions of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnSessions {
    /// Those that hold, the newest first.
    pub sessions: Vec<OwnSession>,
}

/// What a sign-out everywhere did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionsEnded {
    /// How many sessions ended.
    pub ended: u64,
}
