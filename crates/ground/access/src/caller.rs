//! Who is asking: from an `Authorization` header to a [`Caller`].

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::principal::PrincipalName;
use crate::snapshot::Snapshot;
use crate::token::{Secret, TokenHash, TokenId};

/// The longest `Authorization` header that is looked at, in bytes.
pub const AUTHORIZATION_BYTES_MAX: usize = 1024;

/// Who is asking. Only [`Snapshot::authenticate`] makes one that is not anonymous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who showed no credential at all.
    Anonymous,
    /// Somebody who showed a token that held.
    Token(TokenCaller),
}

impl Caller {
    /// The principal, when there is one.
    #[must_use]
    pub fn principal(&self) -> Option<&PrincipalName> {
        match self {
            Self::Anonymous => None,
            Self::Token(token) => Some(&token.principal),
        }
    }
}

/// Somebody who showed a token that held when it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCaller {
    id: TokenId,
    principal: PrincipalName,
}

impl TokenCaller {
    /// The public id of the token.
    #[must_use]
    pub fn token_id(&self) -> &TokenId {
        &self.id
    }

    /// Whose token it is.
    #[must_use]
    pub fn principal(&self) -> &PrincipalName {
        &self.principal
    }
}

impl Snapshot {
    /// Who sends this `Authorization` header: `Bearer <token>`, or `Basic` with the token as
    /// password and any user name. Only a request without the header is anonymous: a credential
    /// that does not hold is an error (ACCESS-2).
    ///
    /// # Errors
    /// [`Error::Header`], [`Error::Scheme`], [`Error::Malformed`], [`Error::Mistyped`],
    /// [`Error::Unknown`], [`Error::Expired`]; for all of them [`Error::asks_for_credential`].
    pub fn authenticate(&self, header: Option<&str>) -> Result<Caller, Error> {
        match header {
            None => Ok(Caller::Anonymous),
            Some(header) => self.check(&read_header(header)?).map(Caller::Token),
        }
    }

    fn check(&self, secret: &Secret) -> Result<TokenCaller, Error> {
        let (id, hash) = (secret.id(), secret.hash());
        let token = self.state.tokens.get(&id);
        let same = token.map_or(&TokenHash::NONE, |token| &token.hash).is(&hash);
        match token {
            Some(token) if same && token.info.expired(self.now_ms) => Err(Error::Expired { id }),
            Some(token) if same => Ok(TokenCaller { id, principal: token.info.principal.clone() }),
            _ => Err(Error::Unknown),
        }
    }
}

fn read_header(header: &str) -> Result<Secret, Error> {
    let refuse = |detail| Err(Error::Header { detail });
    if header.len() > AUTHORIZATION_BYTES_MAX {
        return refuse("it is longer than 1024 bytes");
    }
    let Some((scheme, credential)) = header.trim().split_once(' ') else {
        return refuse("it has no credential");
    };
    let credential = credential.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Secret::parse(credential.as_bytes());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Error::Scheme);
    }
    let mut buffer = Zeroizing::new([0; AUTHORIZATION_BYTES_MAX]);
    let Ok(pair) = Base64::decode(credential, buffer.as_mut()) else {
        return refuse("it is not base64");
    };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
        return refuse("it has no colon between user name and password");
    };
    Secret::parse(&pair[colon + 1..])
}

#[cfg(test)]
mod tests;
