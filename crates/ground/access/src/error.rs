use cairn_base::{ErrorKind, name};
use cairn_bucket::SealError;

use crate::certificate::Fingerprint;
use crate::decide::Reason;
use crate::grant::{Action, GrantId, Role};
use crate::password::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use crate::pattern::{PATTERN_BYTES_MAX, Resource};
use crate::principal::{Owner, PrincipalName, ProviderName, UserName};
use crate::token::TokenId;

/// What went wrong with access. No variant ever holds a credential, or a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket refused or failed.
    #[error(transparent)]
    Bucket(#[from] cairn_bucket::Error),

    /// The `Authorization` header cannot be read.
    #[error(
        "the Authorization header cannot be read: {detail}; \
         send `Bearer <token>`, or Basic with a user name and a password or token"
    )]
    Header {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The `Authorization` header has a scheme other than `Bearer` and `Basic`.
    #[error(
        "the Authorization header has an unknown scheme; \
         send `Bearer <token>`, or Basic with the token as password"
    )]
    Scheme,
    /// The credential does not even look like a token.
    #[error("the credential is not a Cairn token; one begins with cairn_")]
    Malformed,
    /// It looks like a token, but its checksum does not hold.
    #[error("the token is mistyped or cut off; copy all of it")]
    Mistyped,
    /// The token is whole, but nobody has it (any more).
    #[error("the token is unknown or was revoked; ask an administrator for a new one")]
    Unknown,
    /// The token's time is over.
    #[error("the token {id} has expired; ask an administrator for a new one")]
    Expired {
        /// Its public id.
        id: TokenId,
    },
    /// Name and password are not those of a principal.
    #[error("the user name or the password is wrong")]
    WrongPassword,
    /// Too many wrong passwords were shown.
    #[error("too many wrong passwords; try again in {seconds} s")]
    Throttled {
        /// How long to wait.
        seconds: u64,
    },
    /// A certificate that nobody registered.
    #[error(
        "the certificate {fingerprint} is not registered; an administrator adds it with \
         `cairn cert add`"
    )]
    UnknownCertificate {
        /// Its SHA-256.
        fingerprint: Fingerprint,
    },
    /// A certificate's time is over.
    #[error("the certificate {fingerprint} has expired; register a new one with `cairn cert add`")]
    ExpiredCertificate {
        /// Its SHA-256.
        fingerprint: Fingerprint,
    },
    /// A signed token does not hold.
    #[error("the signed bearer token is refused: {reason}")]
    Bearer {
        /// Why, without a part of it.
        reason: String,
    },
    /// A login by an identity provider was not ended well.
    #[error("the login is refused: {reason}")]
    LoginRefused {
        /// Why.
        reason: String,
    },
    /// An identity provider does not answer.
    #[error("the identity provider {name} does not answer as it should: {detail}; try again")]
    ProviderDown {
        /// Its name.
        name: ProviderName,
        /// What was seen.
        detail: String,
    },
    /// The caller is known, or knowingly anonymous, and may not do this.
    #[error("{action} on {resource} is denied: {reason}")]
    Denied {
        /// What was asked for.
        action: Action,
        /// On what.
        resource: Resource,
        /// Why not.
        reason: Reason,
    },

    /// A name breaks the rules of names.
    #[error(transparent)]
    Name(#[from] name::Error),
    /// A principal or a provider cannot have this name.
    #[error("{name} is no name to be given: it has a meaning of its own here; choose another one")]
    Reserved {
        /// The name.
        name: String,
    },
    /// A name that a provider's user or group cannot have here.
    #[error("{name:?} is no name of a user or group; write NAME, or PROVIDER/NAME without spaces")]
    Foreign {
        /// The name.
        name: String,
    },
    /// A name that begins as those of functions do, and that no function has.
    #[error("{name} is no function: write function/@PROJECT/NAME, as function/@main/hello")]
    Function {
        /// The name.
        name: UserName,
    },
    /// A password that is not taken.
    #[error(
        "a password has {PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes, and not one \
         character only"
    )]
    WeakPassword,
    /// A stored password hash is none.
    #[error("this is no argon2id hash")]
    PasswordHash,
    /// A fingerprint cannot be read.
    #[error("a fingerprint has 64 hexadecimal digits, the SHA-256 of the certificate")]
    Fingerprint,
    /// A provider's settings are refused.
    #[error("the identity provider is refused: {reason}")]
    Provider {
        /// Why.
        reason: &'static str,
    },
    /// A pattern is longer than [`PATTERN_BYTES_MAX`].
    #[error("the pattern has {len} bytes, more than {PATTERN_BYTES_MAX}")]
    LongPattern {
        /// Its length in bytes.
        len: usize,
    },
    /// A pattern cannot be read.
    #[error(
        "the pattern {pattern:?} is refused: {reason}; \
         write @PROJECT/NAME, with * for any characters"
    )]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// Why.
        reason: &'static str,
    },
    /// There is no such role.
    #[error("{role:?} is no role; there are {}", listed(Role::ALL.map(Role::as_str)))]
    Role {
        /// The word as given, cut to 32 characters.
        role: String,
    },
    /// There is no such action.
    #[error("{action:?} is no action; there are {}", listed(Action::all().map(Action::as_str)))]
    Action {
        /// The word as given, cut to 32 characters.
        action: String,
    },
    /// An id is not 16 characters of base32.
    #[error("this is no {what} id; ids have 16 characters, as listed")]
    Id {
        /// Of what: token, grant.
        what: &'static str,
    },
    /// A token of one's own asks for more than what one showed has.
    #[error(
        "a token of your own cannot be stronger than the credential that you show, and its {what} \
         that; ask for less, or an administrator for the token"
    )]
    Stronger {
        /// What of it.
        what: &'static str,
    },
    /// A token is to be somebody else's who is a user of a provider.
    #[error("{name} is a user of an identity provider, who alone makes tokens of its own")]
    ForeignToken {
        /// Whose it was to be.
        name: Owner,
    },
    /// A token may not be limited to nothing.
    #[error("a token needs at least one scope, or all of its principal's grants")]
    NoScope,
    /// A token's life is nothing, or too long to be counted.
    #[error("a token lives between a millisecond and a hundred years, or until it is revoked")]
    Lifetime,
    /// More than reading cannot be granted to everybody.
    #[error("anonymous callers can only read; grant it to `authenticated` instead")]
    AnonymousRole,

    /// There is no such principal.
    #[error("there is no principal {name}; create it first")]
    NoPrincipal {
        /// Its name.
        name: PrincipalName,
    },
    /// The caller came by something else than a session.
    #[error("this is no session; revoke a token with `cairn token rm`")]
    NoSession,
    /// There is no such identity provider.
    #[error("there is no identity provider {name}; add it with `cairn idp add`")]
    NoProvider {
        /// Its name.
        name: ProviderName,
    },
    /// There is such a principal already.
    #[error("there is a principal {name} already")]
    PrincipalExists {
        /// Its name.
        name: PrincipalName,
    },
    /// There is no such token.
    #[error("there is no token with the id {id}; it may have been revoked already")]
    NoToken {
        /// The id.
        id: TokenId,
    },
    /// There is no such grant.
    #[error("there is no grant with the id {id}; it may have been removed already")]
    NoGrant {
        /// The id.
        id: GrantId,
    },
    /// Afterwards nobody could manage access any more.
    #[error(
        "this would leave no token or password that can manage access; make another admin first"
    )]
    LastAdmin,
    /// A named bound was reached.
    #[error("{what}: there can be at most {max}; remove some first")]
    TooMany {
        /// Of what there is too much.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// Others changed the state again and again at the same time.
    #[error("the access state was changed by others {attempts} times in a row; try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },

    /// The bucket holds no access state.
    #[error("the bucket has no access state; start a node on it once")]
    NotInitialised,
    /// The stored state does not match its checksum or its format.
    #[error(
        "access/state is damaged at byte {offset}: {detail}; \
         restore it from an earlier version of the object"
    )]
    Corrupt {
        /// Where in the object.
        offset: usize,
        /// What was found.
        detail: String,
    },
    /// The state was written by a later version.
    #[error(
        "access/state has format version {found}, this program reads up to {known}; update cairn"
    )]
    LaterVersion {
        /// The version it has.
        found: u32,
        /// The newest one that this program knows.
        known: u32,
    },
    /// A worker died.
    #[error("reading access/state failed: {0}")]
    Worker(#[from] cairn_env::Lost),
    /// It cannot be recorded, so it is not done.
    #[error(transparent)]
    Audit(#[from] cairn_audit::Error),
    /// A change was made, and its record did not come into the audit log.
    #[error(
        "it was done, but could not be recorded: {0}; \
         the audit log says only that it was allowed; look before you try again"
    )]
    Unrecorded(cairn_audit::Error),
    /// The state could not be unsealed.
    #[error("access/state cannot be opened: {0}")]
    Seal(#[from] SealError),
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bucket(error) => error.kind(),
            Self::Seal(error) => error.kind,
            Self::Header { .. }
            | Self::Scheme
            | Self::Malformed
            | Self::Mistyped
            | Self::Unknown
            | Self::Expired { .. }
            | Self::WrongPassword
            | Self::UnknownCertificate { .. }
            | Self::ExpiredCertificate { .. }
            | Self::Bearer { .. }
            | Self::LoginRefused { .. }
            | Self::Stronger { .. }
            | Self::Denied { .. } => ErrorKind::Denied,
            Self::Name(_)
            | Self::Reserved { .. }
            | Self::LongPattern { .. }
            | Self::Pattern { .. }
            | Self::Role { .. }
            | Self::Action { .. }
            | Self::Id { .. }
            | Self::NoScope
            | Self::ForeignToken { .. }
            | Self::Lifetime
            | Self::AnonymousRole
            | Self::Foreign { .. }
            | Self::Function { .. }
            | Self::WeakPassword
            | Self::PasswordHash
            | Self::NoSession
            | Self::Fingerprint
            | Self::Provider { .. }
            | Self::LaterVersion { .. } => ErrorKind::Invalid,
            Self::NoPrincipal { .. }
            | Self::NoToken { .. }
            | Self::NoProvider { .. }
            | Self::NoGrant { .. }
            | Self::NotInitialised => ErrorKind::NotFound,
            Self::PrincipalExists { .. } | Self::LastAdmin => ErrorKind::Conflict,
            Self::TooMany { .. } => ErrorKind::Exhausted,
            Self::Contended { .. } | Self::Throttled { .. } | Self::ProviderDown { .. } => {
                ErrorKind::Retry
            }
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Audit(error) => error.kind(),
            // Not to be tried again without looking.
            Self::Worker(_) | Self::Unrecorded(_) => ErrorKind::Internal,
        }
    }

    /// Whether the answer is to show another credential (HTTP 401), rather than that this caller
    /// may not do this (HTTP 403).
    #[must_use]
    pub fn asks_for_credential(&self) -> bool {
        match self {
            Self::Header { .. }
            | Self::Scheme
            | Self::Malformed
            | Self::Mistyped
            | Self::Unknown
            | Self::WrongPassword
            | Self::UnknownCertificate { .. }
            | Self::ExpiredCertificate { .. }
            | Self::Bearer { .. }
            | Self::LoginRefused { .. }
            | Self::Expired { .. } => true,
            Self::Denied { reason, .. } => reason.asks_for_credential(),
            _ => false,
        }
    }

    pub(crate) fn corrupt(offset: usize, detail: impl Into<String>) -> Self {
        Self::Corrupt { offset, detail: detail.into() }
    }
}

/// Words as they are listed in a sentence.
fn listed(words: impl IntoIterator<Item = &'static str>) -> String {
    let words: Vec<_> = words.into_iter().collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_there_is_is_listed() {
        let told = "owner".parse::<Role>().unwrap_err().to_string();
        expect![[r#""owner" is no role; there are invoker, reader, writer and admin"#]]
            .assert_eq(&told);
        let told = "fly".parse::<Action>().unwrap_err().to_string();
        assert!(Action::all().all(|action| told.contains(action.as_str())), "{told}");
    }
}
