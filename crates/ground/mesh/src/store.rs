//! The object that holds the authority, and its bytes.
//!
//! Before it is sealed (all numbers little endian):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `CRNM` |
//! | 4 | 1 | version of this layout, 1 |
//! | 5 | 3 | 0 |
//! | 8 | n | JSON text, UTF-8, see [`Stored`] |
//! | 8 + n | 32 | BLAKE3 of all before |

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::join::NodeInfo;

/// The object that holds the cluster's certificate authority.
pub const AUTHORITY_KEY: &str = "mesh/authority";

const MAGIC: &[u8; 4] = b"CRNM";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;
const HASH_BYTES: usize = 32;
/// The largest object that is read, in bytes.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// All of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// The authority's certificate, PEM.
    pub(crate) certificate: String,
    /// Its private key, PKCS #8 PEM.
    pub(crate) key: String,
    /// Tokens that were not used yet.
    pub(crate) joins: Vec<StoredJoin>,
    /// Nodes that joined.
    pub(crate) nodes: Vec<NodeInfo>,
}

/// A join token: its hash, and until when it holds, in milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredJoin {
    pub(crate) hash: String,
    pub(crate) expires_ms: i64,
}

impl Stored {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(self).expect("texts and numbers are always JSON");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + json.len() + HASH_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, 0, 0, 0]);
        bytes.extend_from_slice(&json);
        if bytes.len() + HASH_BYTES > BYTES_MAX {
            return Err(Error::TooMany { what: "bytes of the authority's object", max: BYTES_MAX });
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let corrupt = |detail: &str| Error::Corrupt { detail: detail.to_owned() };
        if !(HEADER_BYTES + HASH_BYTES..=BYTES_MAX).contains(&bytes.len()) {
            return Err(corrupt("it is too short or too long"));
        }
        if &bytes[..MAGIC.len()] != MAGIC {
            return Err(corrupt("it begins with something else"));
        }
        let (body, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
        if blake3::hash(body).as_bytes() != hash {
            return Err(corrupt("checksum mismatch"));
        }
        match body[4] {
            0 => return Err(corrupt("version 0")),
            VERSION if body[5..HEADER_BYTES] == [0; 3] => {}
            VERSION => return Err(corrupt("its header is not zero")),
            found => {
                let (found, known) = (u32::from(found), u32::from(VERSION));
                return Err(Error::LaterVersion { found, known });
            }
        }
        // What serde_json says can repeat text of the document: a key.
        serde_json::from_slice(&body[HEADER_BYTES..]).map_err(|error| Error::Corrupt {
            detail: format!("not its JSON, at line {} column {}", error.line(), error.column()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Stored {
        Stored {
            certificate: "CERTIFICATE".to_owned(),
            key: "KEY".to_owned(),
            joins: vec![StoredJoin { hash: "00".repeat(32), expires_ms: 1 }],
            nodes: vec![NodeInfo {
                id: "n1".to_owned(),
                name: "edge".to_owned(),
                fingerprint: "11".repeat(32),
                created_ms: 2,
                expires_ms: 3,
            }],
        }
    }

    /// Version 1, for ever.
    #[test]
    fn golden_authority_of_version_1() {
        let bytes = sample().encode().unwrap();
        let hash = "9b16ae2def9337db788aab371bbdc418198dfde54764565f37d3d000988f15a9";
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), hash, "the bytes have changed");
        assert!(Stored::decode(&bytes).unwrap() == sample());
    }

    #[test]
    fn damage_and_later_versions_are_told() {
        let good = sample().encode().unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(matches!(Stored::decode(&bad), Err(Error::Corrupt { .. })), "{at}");
        }
        let mut later = good[..good.len() - HASH_BYTES].to_vec();
        later[4] = 2;
        let hash = blake3::hash(&later);
        later.extend_from_slice(hash.as_bytes());
        assert!(matches!(Stored::decode(&later), Err(Error::LaterVersion { found: 2, known: 1 })));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Stored::decode(&bytes).is_err());
        }
    }
}
