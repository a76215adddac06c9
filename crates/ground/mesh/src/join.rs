//! How a node joins that has no bucket of its own: with a token that an administrator made, it gets a
//! certificate for a key that it made.
//!
//! A join token is `cairn-join.AUTHORITY.SECRET`: the SHA-256 of the authority's certificate, by which
//! the node knows that it talks to the right cluster before it trusts it, and 32 random bytes, both in
//! hexadecimal. What is stored is the BLAKE3 of the secret under a context of its own.

use std::fmt;
use std::time::Duration;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, SanType,
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::authority::{Authority, NODE_LIFE};
use crate::certificate;
use crate::error::Error;
use crate::store::StoredJoin;

/// The most join tokens that are not used yet.
pub const JOINS_MAX: usize = 1000;
/// The most nodes that joined.
pub const NODES_MAX: usize = 10_000;

const PREFIX: &str = "cairn-join";
const HASH_CONTEXT: &str = "cairn 2026-11 mesh join token hash";
const REQUEST_BYTES_MAX: usize = 16 * 1024;
const NAME_CHARS_MAX: usize = 64;
const LIFE_MIN: Duration = Duration::from_secs(60);
const LIFE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// A join token as text, to be shown once.
pub struct JoinToken(Zeroizing<String>);

impl JoinToken {
    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the authority that a token is for, and whether it has the form of one.
    #[must_use]
    pub fn authority_of(token: &str) -> Option<[u8; 32]> {
        let mut parts = token.trim().split('.');
        let (prefix, authority, secret) = (parts.next()?, parts.next()?, parts.next()?);
        if prefix != PREFIX || parts.next().is_some() || secret.len() != 64 {
            return None;
        }
        let mut sha256 = [0; 32];
        hex::decode_to_slice(authority, &mut sha256).ok()?;
        Some(sha256)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken")
    }
}

/// What a node gets that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The node.
    pub node: NodeInfo,
    /// Its certificate and the authority's, PEM.
    pub chain: String,
}

/// A node that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeInfo {
    /// Its id, which its certificate names as `cairn://node/ID`.
    pub id: String,
    /// What its administrator calls it.
    pub name: String,
    /// The SHA-256 of its certificate, in hexadecimal.
    pub fingerprint: String,
    /// When it joined, in milliseconds since 1970.
    pub created_ms: i64,
    /// Until when its certificate is valid, in milliseconds since 1970.
    pub expires_ms: i64,
}

impl Authority {
    /// Makes a join token that lives for `life`. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Lifetime`], [`Error::TooMany`], and as every change: [`Error::Bucket`],
    /// [`Error::Contended`], [`Error::Corrupt`], [`Error::Seal`].
    pub async fn make_join_token(&self, life: Duration) -> Result<(JoinToken, i64), Error> {
        if !(LIFE_MIN..=LIFE_MAX).contains(&life) {
            return Err(Error::Lifetime);
        }
        let mut secret = Zeroizing::new([0; 32]);
        self.env().rng.fill(secret.as_mut());
        let now_ms = self.now_ms();
        let expires_ms = now_ms + i64::try_from(life.as_millis()).unwrap_or(0);
        let join = StoredJoin { hash: hash(&*secret), expires_ms };
        self.change(|stored| {
            stored.joins.retain(|join| join.expires_ms > now_ms);
            if stored.joins.contains(&join) {
                return Ok(());
            }
            if stored.joins.len() >= JOINS_MAX {
                return Err(Error::TooMany { what: "join tokens", max: JOINS_MAX });
            }
            stored.joins.push(join.clone());
            Ok(())
        })
        .await?;
        let (authority, secret) =
            (hex::encode(self.sha256()), Zeroizing::new(hex::encode(*secret)));
        Ok((JoinToken(Zeroizing::new(format!("{PREFIX}.{authority}.{}", *secret))), expires_ms))
    }

    /// Lets a node in and signs a certificate for the key of its request (PKCS #10, PEM). The token is
    /// used up first, durably (MESH-1); of the request only the key is taken (MESH-2).
    ///
    /// # Errors
    /// [`Error::JoinToken`], [`Error::Request`], [`Error::TooMany`], and as every change.
    pub async fn join(&self, token: &str, name: &str, request: &str) -> Result<Joined, Error> {
        let request = read_request(request)?;
        let name = checked_name(name)?;
        let mine = JoinToken::authority_of(token) == Some(self.sha256());
        let secret = token.trim().rsplit('.').next().and_then(|text| hex::decode(text).ok());
        let secret = Zeroizing::new(secret.filter(|_| mine).ok_or(Error::JoinToken)?);
        let shown = hash(&secret);
        let now_ms = self.now_ms();
        let mut random = [0; 10];
        self.env().rng.fill(&mut random);
        let id = hex::encode(random);
        let params = node_params(&id)?;
        let (certificate, expires_ms) = self.sign(params, &request.public_key, NODE_LIFE)?;
        let read = certificate::read_pem(certificate.as_bytes())?;
        let fingerprint = hex::encode(read.sha256);
        let node = NodeInfo { id, name, fingerprint, created_ms: now_ms, expires_ms };
        self.change(|stored| {
            if stored.nodes.iter().any(|known| known.id == node.id) {
                return Ok(());
            }
            let holds = |join: &StoredJoin| {
                let same = bool::from(join.hash.as_bytes().ct_eq(shown.as_bytes()));
                same && join.expires_ms > now_ms
            };
            let before = stored.joins.len();
            stored.joins.retain(|join| !holds(join));
            if stored.joins.len() == before {
                return Err(Error::JoinToken);
            }
            stored.nodes.retain(|node| node.expires_ms > now_ms);
            if stored.nodes.len() >= NODES_MAX {
                return Err(Error::TooMany { what: "nodes", max: NODES_MAX });
            }
            stored.nodes.push(node.clone());
            Ok(())
        })
        .await?;
        Ok(Joined { node, chain: format!("{certificate}{}", self.certificate_pem()) })
    }

    /// The nodes that joined and whose certificates are valid.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`], [`Error::Seal`].
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, Error> {
        let now_ms = self.now_ms();
        let nodes = self.stored().await?.nodes.into_iter();
        Ok(nodes.filter(|node| node.expires_ms > now_ms).collect())
    }
}

fn hash(secret: &[u8]) -> String {
    hex::encode(blake3::derive_key(HASH_CONTEXT, secret))
}

/// Reads a request; that its own key signed it is checked on the way.
fn read_request(pem: &str) -> Result<CertificateSigningRequestParams, Error> {
    if pem.len() > REQUEST_BYTES_MAX {
        return Err(Error::Request {
            detail: format!("it is longer than {REQUEST_BYTES_MAX} bytes"),
        });
    }
    CertificateSigningRequestParams::from_pem(pem)
        .map_err(|error| Error::Request { detail: error.to_string() })
}

fn checked_name(name: &str) -> Result<String, Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(fits) {
        let detail = "a node's name has 1 to 64 letters, digits and . _ -".to_owned();
        return Err(Error::Request { detail });
    }
    Ok(name.to_owned())
}

fn node_params(id: &str) -> Result<CertificateParams, Error> {
    let uri = format!("cairn://node/{id}").try_into();
    let uri = uri.map_err(|error: rcgen::Error| Error::Make { detail: error.to_string() })?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, id);
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// A fresh key and a request for a certificate of it, both PEM: what a node sends that joins.
///
/// # Errors
/// [`Error::Make`].
pub fn request() -> Result<(Zeroizing<String>, String), Error> {
    let failed = |error: rcgen::Error| Error::Make { detail: error.to_string() };
    let key = rcgen::KeyPair::generate().map_err(failed)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(failed)?;
    let request = request.pem().map_err(failed)?;
    Ok((Zeroizing::new(key.serialize_pem()), request))
}
