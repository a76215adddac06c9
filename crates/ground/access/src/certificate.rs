//! Client certificates: a program proves in the TLS handshake that it holds a key, and the
//! certificate's fingerprint says whose key that is. Nobody has to sign it: it is registered, and
//! taken back, like a token.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::principal::{Label, PrincipalName};

/// The most certificates that are registered.
pub const CERTIFICATES_MAX: usize = 10_000;

/// The SHA-256 of a certificate in DER, as `openssl x509 -fingerprint -sha256` prints it without the
/// colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text: String = text.chars().filter(|character| *character != ':').take(65).collect();
        let hash = blake3::Hash::from_hex(text.to_ascii_lowercase());
        hash.map(|hash| Self(*hash.as_bytes())).map_err(|_| Error::Fingerprint)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate that stands for a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Which one.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub principal: PrincipalName,
    /// What a person calls it.
    pub label: Label,
    /// When it was registered, in milliseconds since 1970.
    pub created_ms: i64,
    /// Until when it is valid by its own word, in milliseconds since 1970.
    pub expires_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_prints_them() {
        let plain = "0f".repeat(32);
        let colons = vec!["0F"; 32].join(":");
        assert_eq!(colons.parse::<Fingerprint>().unwrap(), Fingerprint([15; 32]));
        assert_eq!(plain.parse::<Fingerprint>().unwrap().to_string(), plain);
        for bad in ["", "0f", &"0g".repeat(32), &"0f".repeat(33)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
