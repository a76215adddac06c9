//! Tokens: what a program shows to be let in.
//!
//! A token is `cairn_` and 56 characters of Crockford base32 (see `base32`): 32 random bytes, then
//! the first 3 bytes of their BLAKE3 under a context of its own. The checksum tells a typo or a
//! cut-off paste from a wrong token before anything is looked up, and lets secret scanners match
//! `\bcairn_[0-9a-hjkmnp-tv-z]{56}\b` and verify what they found.
//!
//! What is stored is the BLAKE3 of the 32 bytes under a second context. No slow password hash:
//! there are 256 random bits to guess. The public id is the BLAKE3 under a third context, so that a
//! token finds its record by a value that anybody may see, and the comparison that decides is the
//! one of the whole hash, in constant time.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use cairn_env::Rng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::base32;
use crate::error::Error;
use crate::grant::Scopes;
use crate::principal::{GroupName, Label, Owner};

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "cairn_";
/// The length of every token, in characters.
pub const TOKEN_CHARS: usize = TOKEN_PREFIX.len() + (SECRET_BYTES + CHECKSUM_BYTES) / 5 * 8;

const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 3;
const ID_BYTES: usize = 10;
const ID_CHARS: usize = 16;

const CHECKSUM_CONTEXT: &str = "cairn 2026-11 access token checksum";
const HASH_CONTEXT: &str = "cairn 2026-11 access token hash";
const ID_CONTEXT: &str = "cairn 2026-11 access token id";

/// The 32 random bytes of a token. Wiped when dropped; `Debug` shows nothing of them.
pub(crate) struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    pub(crate) fn random(rng: &dyn Rng) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill(bytes.as_mut());
        Self(bytes)
    }

    #[cfg(test)]
    pub(crate) fn fixed(byte: u8) -> Self {
        Self(Zeroizing::new([byte; SECRET_BYTES]))
    }

    /// Reads a token. Takes the same steps for every text of the right length.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        let body = text.strip_prefix(TOKEN_PREFIX.as_bytes()).ok_or(Error::Malformed)?;
        if text.len() != TOKEN_CHARS {
            return Err(Error::Mistyped);
        }
        let bytes = base32::decode(body).ok_or(Error::Mistyped)?;
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(&bytes[..SECRET_BYTES]);
        let secret = Self(secret);
        let same = secret.checksum().ct_eq(&bytes[SECRET_BYTES..]);
        if bool::from(same) { Ok(secret) } else { Err(Error::Mistyped) }
    }

    fn checksum(&self) -> [u8; CHECKSUM_BYTES] {
        let hash = blake3::derive_key(CHECKSUM_CONTEXT, self.0.as_ref());
        [hash[0], hash[1], hash[2]]
    }

    pub(crate) fn plain(&self) -> PlainToken {
        let mut bytes = Zeroizing::new(self.0.to_vec());
        bytes.extend_from_slice(&self.checksum());
        let body = Zeroizing::new(base32::encode(&bytes));
        PlainToken(Zeroizing::new([TOKEN_PREFIX, body.as_str()].concat()))
    }

    pub(crate) fn id(&self) -> TokenId {
        let hash = blake3::derive_key(ID_CONTEXT, self.0.as_ref());
        TokenId(base32::encode(&hash[..ID_BYTES]))
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(blake3::derive_key(HASH_CONTEXT, self.0.as_ref()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A whole token as text, to be shown once and forgotten. Wiped when dropped. It has no `Display`,
/// and `Debug` shows nothing of it: only [`PlainToken::expose`] does.
pub struct PlainToken(Zeroizing<String>);

impl PlainToken {
    /// The token itself: `cairn_` and 56 characters. Print it once, to whom it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken")
    }
}

/// The only form in which a token is stored (ACCESS-3).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    /// What no token has, to compare with when the id is unknown, so that both answers take as
    /// long.
    pub(crate) const NONE: Self = Self([0; 32]);

    /// Compares in constant time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl Serialize for TokenHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(text).map_err(serde::de::Error::custom)?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// The public name of a token: 16 characters that say nothing of the token. Listed, logged, and
/// given to revoke it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

impl TokenId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for TokenId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() != ID_CHARS || base32::decode(text.as_bytes()).is_none() {
            return Err(Error::Id { what: "token" });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TokenId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// For a program: made by an administrator.
    #[default]
    Api,
    /// For somebody who logged in.
    Session,
}

/// What a new token shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// Whose token it is.
    pub principal: Owner,
    /// What it is for.
    pub kind: TokenKind,
    /// The groups that the provider says its user is in; none for a principal, whose groups are
    /// looked up.
    pub groups: BTreeSet<GroupName>,
    /// What a person calls it, for example the machine it is for. Need not be unique.
    pub label: Label,
    /// What of the principal's grants it may use.
    pub scopes: Scopes,
    /// How long it lives, rounded up to milliseconds; `None` until it is revoked.
    pub expires_in: Option<Duration>,
}

impl TokenSpec {
    /// A token for a program, with all that its owner has, until it is revoked.
    #[must_use]
    pub fn api(principal: impl Into<Owner>, label: Label) -> Self {
        Self {
            principal: principal.into(),
            kind: TokenKind::Api,
            groups: BTreeSet::new(),
            label,
            scopes: Scopes::All,
            expires_in: None,
        }
    }
}

/// What anybody who manages access may know of a token: all but the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Its public id.
    pub id: TokenId,
    /// What a person calls it.
    pub label: Label,
    /// Whose it is.
    pub principal: Owner,
    /// What it is for.
    #[serde(default)]
    pub kind: TokenKind,
    /// The groups that the provider said its user is in when it was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
    /// What of the principal's grants it may use.
    pub scopes: Scopes,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it no longer works, in milliseconds since 1970.
    pub expires_ms: Option<i64>,
}

impl TokenInfo {
    /// Whether it no longer works at `now_ms`.
    #[must_use]
    pub fn expired(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|end| end <= now_ms)
    }
}

/// A token that was just made.
#[derive(Debug)]
pub struct NewToken {
    /// What is kept of it.
    pub info: TokenInfo,
    /// The token itself. Nobody can show it again.
    pub token: PlainToken,
}

#[cfg(test)]
mod tests;
