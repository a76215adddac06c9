//! The bytes of `access/state`, before they are sealed (all numbers little endian):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `CRNA` |
//! | 4 | 1 | version: 1, or 2 when the text holds what version 1 does not know |
//! | 5 | 3 | 0 |
//! | 8 | 4 | n, the length of the JSON text |
//! | 12 | n | JSON text, UTF-8 |
//! | 12 + n | 32 | BLAKE3 of all before |
//!
//! The JSON text is an object of `version`, `principals`, `tokens` and `grants`, and in version 2 also
//! passwords, groups, sessions, `certificates` and `providers`, see [`Stored`]; other fields are
//! refused. What is left out is empty. The checksum is looked at before anything else, so a
//! flipped bit is an error and never another permission. It is no signature: who can write to the
//! bucket can write this.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Account, GRANTS_MAX, State, Token};
use crate::certificate::Certificate;
use crate::error::Error;
use crate::grant::{Grant, Scopes};
use crate::password::PasswordHash;
use crate::principal::{GroupName, Label, Owner, Principal, PrincipalName, Subject};
use crate::provider::Provider;
use crate::token::{TokenHash, TokenId, TokenInfo, TokenKind};

const MAGIC: &[u8; 4] = b"CRNA";
const VERSION: u8 = 2;
/// What a state is written as that holds nothing newer, so that older programs go on reading it.
const VERSION_FIRST: u8 = 1;
const HEADER_BYTES: usize = 12;
const HASH_BYTES: usize = 32;

/// The largest state that is written or read, in bytes.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    principals: Vec<StoredPrincipal>,
    tokens: Vec<StoredToken>,
    grants: Vec<Grant>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<Certificate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    providers: Vec<Provider>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPrincipal {
    name: PrincipalName,
    created_ms: i64,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    groups: BTreeSet<GroupName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<PasswordHash>,
}

impl From<&Account> for StoredPrincipal {
    fn from(Account { info, password }: &Account) -> Self {
        let Principal { name, created_ms, groups } = info.clone();
        Self { name, created_ms, groups, password: password.clone() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredToken {
    id: TokenId,
    label: Label,
    principal: Owner,
    #[serde(default, skip_serializing_if = "is_api")]
    kind: TokenKind,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    groups: BTreeSet<GroupName>,
    scopes: Scopes,
    created_ms: i64,
    expires_ms: Option<i64>,
    hash: TokenHash,
}

fn is_api(kind: &TokenKind) -> bool {
    *kind == TokenKind::Api
}

impl From<&Token> for StoredToken {
    fn from(Token { info, hash }: &Token) -> Self {
        let info = info.clone();
        Self {
            id: info.id,
            label: info.label,
            principal: info.principal,
            kind: info.kind,
            groups: info.groups,
            scopes: info.scopes,
            created_ms: info.created_ms,
            expires_ms: info.expires_ms,
            hash: hash.clone(),
        }
    }
}

impl From<StoredToken> for Token {
    fn from(stored: StoredToken) -> Self {
        Self {
            info: TokenInfo {
                id: stored.id,
                label: stored.label,
                principal: stored.principal,
                kind: stored.kind,
                groups: stored.groups,
                scopes: stored.scopes,
                created_ms: stored.created_ms,
                expires_ms: stored.expires_ms,
            },
            hash: stored.hash,
        }
    }
}

/// What of every version can be read, to tell a later version from damage.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl State {
    /// The bytes to seal and store.
    ///
    /// # Errors
    /// [`Error::TooMany`] over [`STATE_BYTES_MAX`].
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let version = self.version();
        let stored = Stored {
            version: u32::from(version),
            principals: self.principals.values().map(StoredPrincipal::from).collect(),
            tokens: self.tokens.values().map(StoredToken::from).collect(),
            grants: self.grants.values().flat_map(|grants| grants.values().cloned()).collect(),
            certificates: self.certificates.values().cloned().collect(),
            providers: self.providers.values().cloned().collect(),
        };
        let json = serde_json::to_vec(&stored).expect("names and numbers are always JSON");
        envelope(version, &json)
    }

    /// The first version that knows all that this state holds.
    fn version(&self) -> u8 {
        let newer_account =
            |account: &Account| account.password.is_some() || !account.info.groups.is_empty();
        let newer_token = |token: &Token| {
            token.info.kind != TokenKind::Api || token.info.principal.principal().is_none()
        };
        let newer_subject =
            |subject: &Subject| matches!(subject, Subject::User(_) | Subject::Group(_));
        let newer = !self.certificates.is_empty()
            || !self.providers.is_empty()
            || self.principals.values().any(newer_account)
            || self.tokens.values().any(newer_token)
            || self.grants.keys().any(newer_subject);
        if newer { VERSION } else { VERSION_FIRST }
    }

    /// Reads what [`State::encode`] made.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::LaterVersion`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let json = open(bytes)?;
        let refuse = |error: serde_json::Error| {
            // The message of serde_json can repeat text of the document; its place is enough.
            let place = format!("line {} column {}", error.line(), error.column());
            Error::corrupt(HEADER_BYTES, format!("not the JSON that belongs here, at {place}"))
        };
        let Versioned { version } = serde_json::from_slice(json).map_err(refuse)?;
        check_version(version)?;
        let stored: Stored = serde_json::from_slice(json).map_err(refuse)?;
        Self::build(stored).map_err(|error| Error::corrupt(HEADER_BYTES, error.to_string()))
    }

    /// Rebuilds the state through the functions that add to one, so that it keeps all their rules, in
    /// time in proportion to its size.
    fn build(stored: Stored) -> Result<Self, Error> {
        let mut state = Self::default();
        for StoredPrincipal { name, created_ms, groups, password } in stored.principals {
            state.add_principal(Principal { name: name.clone(), created_ms, groups })?;
            state.account(&name)?.password = password;
        }
        for provider in stored.providers {
            state.set_provider(provider)?;
        }
        for certificate in stored.certificates {
            state.add_certificate(certificate)?;
        }
        for token in stored.tokens {
            let token = Token::from(token);
            if state.tokens.contains_key(&token.info.id) {
                return Err(Error::corrupt(HEADER_BYTES, "a token is there twice"));
            }
            state.insert_token(token)?;
        }
        if stored.grants.len() > GRANTS_MAX {
            return Err(Error::TooMany { what: "grants", max: GRANTS_MAX });
        }
        for grant in stored.grants {
            state.insert_grant(grant.id(), grant)?;
        }
        Ok(state)
    }
}

fn envelope(version: u8, json: &[u8]) -> Result<Vec<u8>, Error> {
    let total = HEADER_BYTES + json.len() + HASH_BYTES;
    if total > STATE_BYTES_MAX {
        return Err(Error::TooMany { what: "bytes of access state", max: STATE_BYTES_MAX });
    }
    let len = u32::try_from(json.len()).expect("bounded above");
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[version, 0, 0, 0]);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(json);
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    Ok(bytes)
}

fn open(bytes: &[u8]) -> Result<&[u8], Error> {
    if bytes.len() < HEADER_BYTES + HASH_BYTES {
        return Err(Error::corrupt(bytes.len(), "shorter than any state"));
    }
    if bytes.len() > STATE_BYTES_MAX {
        return Err(Error::corrupt(STATE_BYTES_MAX, "longer than any state"));
    }
    if &bytes[..MAGIC.len()] != MAGIC {
        return Err(Error::corrupt(0, "not an access state"));
    }
    let (body, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
    if blake3::hash(body).as_bytes() != hash {
        return Err(Error::corrupt(body.len(), "checksum mismatch"));
    }
    check_version(u32::from(body[4]))?;
    let len = u32::from_le_bytes([body[8], body[9], body[10], body[11]]);
    let json = &body[HEADER_BYTES..];
    if body[5..8] != [0; 3] || usize::try_from(len) != Ok(json.len()) {
        return Err(Error::corrupt(5, "the header does not fit the length"));
    }
    Ok(json)
}

fn check_version(found: u32) -> Result<(), Error> {
    let known = u32::from(VERSION);
    match found {
        0 => Err(Error::corrupt(4, "version 0")),
        found if found > known => Err(Error::LaterVersion { found, known }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
