//! Encryption at rest: AES-256-GCM through aws-lc-rs, with a key of its own for every object.
//!
//! The bucket has one master secret of 32 random bytes. Every key is BLAKE3 keyed with it over a
//! context string and, for objects, a salt of 256 random bits (of 128 for a pack: its name). So a
//! key is used for one object in one state only, and nonces can be positions: no nonce repeats under
//! a key, without a counter that must survive a crash.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// The secret that all keys of a bucket come from.
#[derive(Clone)]
pub(crate) struct Master(Zeroizing<[u8; 32]>);

impl Master {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key for `context` and `salt`.
    pub(crate) fn derive(&self, context: &str, salt: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(context.len() as u64).to_le_bytes());
        hasher.update(context.as_bytes());
        hasher.update(salt);
        Zeroizing::new(*hasher.finalize().as_bytes())
    }

    pub(crate) fn cipher(&self, context: &str, salt: &[u8]) -> Cipher {
        Cipher::new(&self.derive(context, salt))
    }
}

/// One object's key.
pub(crate) struct Cipher(LessSafeKey);

/// The ciphertext or its place was changed, or the key is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key");
        Self(LessSafeKey::new(key))
    }

    fn nonce(position: u64) -> Nonce {
        let mut bytes = [0; NONCE_LEN];
        bytes[..8].copy_from_slice(&position.to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    }

    /// Encrypts in place and appends the tag. A `position` must be used once under this key.
    pub(crate) fn seal(&self, position: u64, aad: &[u8], bytes: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(Self::nonce(position), Aad::from(aad), bytes)
            .expect("objects are far below the 64 GiB that one AES-GCM message may have");
    }

    /// Decrypts what [`Cipher::seal`] made.
    pub(crate) fn open(
        &self,
        position: u64,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        let mut bytes = sealed.to_vec();
        let plain = self
            .0
            .open_in_place(Self::nonce(position), Aad::from(aad), &mut bytes)
            .map_err(|_| Refused)?
            .len();
        bytes.truncate(plain);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_only_where_and_as_they_were() {
        let master = Master::new([7; 32]);
        let cipher = master.cipher("test", b"salt");
        let mut sealed = b"plain".to_vec();
        cipher.seal(3, b"name", &mut sealed);
        assert_eq!(sealed.len(), 5 + TAG_BYTES);
        assert_eq!(cipher.open(3, b"name", &sealed), Ok(b"plain".to_vec()));
        assert_eq!(cipher.open(4, b"name", &sealed), Err(Refused));
        assert_eq!(cipher.open(3, b"eman", &sealed), Err(Refused));
        assert_eq!(master.cipher("test", b"other").open(3, b"name", &sealed), Err(Refused));
        assert_eq!(cipher.open(3, b"name", &sealed[1..]), Err(Refused));
        assert_eq!(cipher.open(3, b"name", &[]), Err(Refused));
    }
}
