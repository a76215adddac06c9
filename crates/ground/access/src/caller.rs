//! Who is asking: from what a request shows to a [`Caller`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use crate::certificate::Fingerprint;
use crate::error::Error;
use crate::password::{Password, PasswordHash};
use crate::principal::{GroupName, Owner};
use crate::provider::Provider;
use crate::snapshot::Snapshot;
use crate::token::{Secret, TOKEN_PREFIX, TokenHash, TokenId};

/// The longest `Authorization` header that is looked at, in bytes.
pub const AUTHORIZATION_BYTES_MAX: usize = 16 * 1024;
/// The longest user name and password in it, in bytes of base64.
const BASIC_BYTES_MAX: usize = 1024;

/// Who is asking. Only [`crate::Access::admit`] and the snapshot make one that is not
/// anonymous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who showed no credential at all.
    Anonymous,
    /// Somebody who showed a credential that held.
    Known(Arc<Known>),
}

/// Somebody who showed a credential that held when it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub(crate) owner: Owner,
    pub(crate) credential: Credential,
}

/// What was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Token(TokenId),
    Password(PasswordHash),
    Certificate(Fingerprint),
    /// A provider's word, with what was known of the provider when it was checked.
    Bearer {
        provider: Provider,
        groups: BTreeSet<GroupName>,
        expires_ms: i64,
    },
    /// The word of the node that runs it.
    Function,
}

impl Caller {
    pub(crate) fn known(owner: Owner, credential: Credential) -> Self {
        Self::Known(Arc::new(Known { owner, credential }))
    }

    /// Who it is, when that is known.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        match self {
            Self::Anonymous => None,
            Self::Known(known) => Some(&known.owner),
        }
    }

    /// What was shown, for logs: its kind and its public name, never a secret.
    #[must_use]
    pub fn credential(&self) -> String {
        match self {
            Self::Anonymous => "none".to_owned(),
            Self::Known(known) => known.credential.to_string(),
        }
    }

    /// The name to write down: the owner's, or `anonymous`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.owner().map_or(crate::principal::ANONYMOUS, Owner::as_str)
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => write!(f, "token {id}"),
            Self::Password(_) => f.write_str("password"),
            Self::Certificate(fingerprint) => write!(f, "certificate {fingerprint}"),
            Self::Bearer { provider, .. } => write!(f, "bearer token of {}", provider.name),
            Self::Function => f.write_str("function"),
        }
    }
}

/// What an `Authorization` header holds.
pub(crate) enum Header {
    /// A token of this cluster.
    Token(Secret),
    /// A principal's name and password.
    Password(String, Password),
    /// A token that a provider signed.
    Bearer(Zeroizing<String>),
}

impl Header {
    /// `Bearer <token>`, or `Basic` with a principal's name and password, or with a token as
    /// password and any user name.
    pub(crate) fn read(header: &str) -> Result<Self, Error> {
        let refuse = |detail| Err(Error::Header { detail });
        if header.len() > AUTHORIZATION_BYTES_MAX {
            return refuse("it is longer than 16 KiB");
        }
        let Some((scheme, credential)) = header.trim().split_once(' ') else {
            return refuse("it has no credential");
        };
        let credential = credential.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::bearer(credential);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Error::Scheme);
        }
        if credential.len() > BASIC_BYTES_MAX {
            return refuse("user name and password are longer than 1024 bytes");
        }
        let mut buffer = Zeroizing::new([0; BASIC_BYTES_MAX]);
        let Ok(pair) = Base64::decode(credential, buffer.as_mut()) else {
            return refuse("it is not base64");
        };
        let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
            return refuse("it has no colon between user name and password");
        };
        let (name, password) = (&pair[..colon], &pair[colon + 1..]);
        if password.starts_with(TOKEN_PREFIX.as_bytes()) {
            return Secret::parse(password).map(Self::Token);
        }
        match (std::str::from_utf8(name), std::str::from_utf8(password)) {
            (Ok(name), Ok(password)) => {
                Ok(Self::Password(name.to_owned(), Password::shown(password.to_owned())))
            }
            _ => refuse("user name and password are not UTF-8"),
        }
    }

    /// A signed token has three parts with two dots between them; ours has none.
    fn bearer(credential: &str) -> Result<Self, Error> {
        let dots = credential.bytes().filter(|byte| *byte == b'.').count();
        match dots {
            2 => Ok(Self::Bearer(Zeroizing::new(credential.to_owned()))),
            _ => Secret::parse(credential.as_bytes()).map(Self::Token),
        }
    }
}

impl Snapshot {
    /// Who shows this token of the cluster. Only a request that shows nothing is anonymous: a
    /// credential that does not hold is an error (ACCESS-2).
    pub(crate) fn check_token(&self, secret: &Secret) -> Result<Caller, Error> {
        let (id, hash) = (secret.id(), secret.hash());
        let token = self.state.tokens.get(&id);
        let same = token.map_or(&TokenHash::NONE, |token| &token.hash).is(&hash);
        match token {
            Some(token) if same && token.info.expired(self.now_ms) => Err(Error::Expired { id }),
            Some(token) if same => {
                Ok(Caller::known(token.info.principal.clone(), Credential::Token(id)))
            }
            _ => Err(Error::Unknown),
        }
    }

    /// Whom this certificate stands for.
    pub(crate) fn check_certificate(&self, fingerprint: Fingerprint) -> Result<Caller, Error> {
        match self.state.certificates.get(&fingerprint) {
            None => Err(Error::UnknownCertificate { fingerprint }),
            Some(known) if known.expires_ms <= self.now_ms => {
                Err(Error::ExpiredCertificate { fingerprint })
            }
            Some(known) => {
                let owner = known.principal.clone().into();
                Ok(Caller::known(owner, Credential::Certificate(fingerprint)))
            }
        }
    }

    /// [`crate::Access::admit`] for a header with a token of this cluster, which takes nothing but
    /// the state.
    ///
    /// # Errors
    /// [`Error::Header`], [`Error::Scheme`], [`Error::Malformed`], [`Error::Mistyped`],
    /// [`Error::Unknown`], [`Error::Expired`]; for all of them [`Error::asks_for_credential`].
    #[cfg(test)]
    pub(crate) fn authenticate(&self, header: Option<&str>) -> Result<Caller, Error> {
        match header.map(Header::read).transpose()? {
            None => Ok(Caller::Anonymous),
            Some(Header::Token(secret)) => self.check_token(&secret),
            Some(Header::Password(..) | Header::Bearer(_)) => Err(Error::Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
