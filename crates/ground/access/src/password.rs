//! Passwords of principals, for people who have no identity provider.
//!
//! A password is kept as its argon2id hash (RFC 9106) in PHC string format, with 19 MiB, two passes
//! and one lane: the least that OWASP's password storage cheat sheet asks for, about 25 ms of one
//! core. What was verified once is remembered by this process for a while under a random key, so
//! that HTTP Basic does not cost that much for each request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use cairn_env::Rng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::principal::PrincipalName;

/// The shortest password, in characters (NIST SP 800-63B asks for 8 at least).
pub const PASSWORD_CHARS_MIN: usize = 10;
/// The longest password, in bytes: hashing a longer one is work for whoever sends it.
pub const PASSWORD_BYTES_MAX: usize = 512;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_CHARS_MAX: usize = 256;

/// A password as text. Wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password to check. Nothing is known of it yet.
    #[must_use]
    pub fn shown(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A password to set.
    ///
    /// # Errors
    /// [`Error::WeakPassword`] when it is shorter than [`PASSWORD_CHARS_MIN`], longer than
    /// [`PASSWORD_BYTES_MAX`], or one character again and again.
    pub fn chosen(text: String) -> Result<Self, Error> {
        let password = Self::shown(text);
        let mut characters = password.0.chars();
        let first = characters.next();
        let one = characters.all(|character| Some(character) == first);
        let long_enough = password.0.chars().count() >= PASSWORD_CHARS_MIN;
        if one || !long_enough || password.0.len() > PASSWORD_BYTES_MAX {
            return Err(Error::WeakPassword);
        }
        Ok(password)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The only form in which a password is stored (ACCESS-3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a password: tens of milliseconds.
    pub(crate) fn new(password: &Password, rng: &dyn Rng) -> Result<Self, Error> {
        let mut salt = [0; SALT_BYTES];
        rng.fill(&mut salt);
        let hash = hasher().hash_password_with_salt(password.bytes(), &salt);
        hash.map(|hash| Self(hash.to_string())).map_err(|_| Error::WeakPassword)
    }

    /// Whether it is the hash of this password: tens of milliseconds.
    pub(crate) fn is_of(&self, password: &Password) -> bool {
        let Ok(hash) = Phc::new(&self.0) else { return false };
        hasher().verify_password(password.bytes(), &hash).is_ok()
    }
}

/// Takes as long as a wrong password, for a principal that has none.
pub(crate) fn waste(password: &Password) {
    let mut out = [0; 32];
    if hasher().hash_password_into(password.bytes(), &[0; SALT_BYTES], &mut out).is_err() {
        tracing::debug!("a password cannot be hashed");
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

impl TryFrom<String> for PasswordHash {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let known = text.len() <= HASH_CHARS_MAX && text.starts_with("$argon2id$");
        if known && Phc::new(&text).is_ok() { Ok(Self(text)) } else { Err(Error::PasswordHash) }
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// The most passwords that a process remembers to be right.
const REMEMBERED_MAX: usize = 1000;

/// Which passwords were right, under a key that no other process has.
pub(crate) struct Remembered {
    key: Zeroizing<[u8; 32]>,
    right: Mutex<BTreeMap<PrincipalName, [u8; 32]>>,
}

impl Remembered {
    pub(crate) fn new(rng: &dyn Rng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill(key.as_mut());
        Self { key, right: Mutex::default() }
    }

    fn right(&self) -> MutexGuard<'_, BTreeMap<PrincipalName, [u8; 32]>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Depends on the stored hash, so that a changed password is forgotten.
    fn mark(&self, hash: &PasswordHash, password: &Password) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(hash.0.len() as u64).to_le_bytes());
        hasher.update(hash.0.as_bytes()).update(password.bytes());
        *hasher.finalize().as_bytes()
    }

    pub(crate) fn knows(&self, name: &PrincipalName, hash: &PasswordHash, p: &Password) -> bool {
        let mark = self.mark(hash, p);
        self.right().get(name).is_some_and(|known| bool::from(known.ct_eq(&mark)))
    }

    pub(crate) fn keep(&self, name: &PrincipalName, hash: &PasswordHash, password: &Password) {
        let mark = self.mark(hash, password);
        let mut right = self.right();
        if right.len() >= REMEMBERED_MAX {
            right.clear();
        }
        right.insert(name.clone(), mark);
    }
}

#[cfg(test)]
mod tests {
    use cairn_env::SeededRng;

    use super::*;

    /// ACCESS-3: what is kept of a password is a slow hash with a salt of its own.
    #[test]
    fn access_3_a_password_is_kept_as_its_hash() {
        let rng = SeededRng::new(1);
        let password = Password::chosen("correct horse".to_owned()).unwrap();
        let (one, two) = (PasswordHash::new(&password, &rng), PasswordHash::new(&password, &rng));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(one != two, "two salts");
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.0);
        assert!(one.is_of(&password) && two.is_of(&password));
        assert!(!one.is_of(&Password::shown("correct horsf".to_owned())));
        assert!(!one.is_of(&Password::shown(String::new())));
        assert_eq!(format!("{password:?} {one:?}"), "Password PasswordHash");
        let kept = String::from(one.clone());
        assert!(PasswordHash::try_from(kept).unwrap() == one);
        for bad in ["", "plain", "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA", "$argon2id$"] {
            assert!(PasswordHash::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn weak_passwords_are_not_taken() {
        for weak in ["", "short", "123456789", "aaaaaaaaaaaaaaaa", &"ab".repeat(300)] {
            assert!(Password::chosen(weak.to_owned()).is_err(), "{weak}");
        }
        assert!(Password::chosen("zehn Zeiçn".to_owned()).is_ok());
    }

    #[test]
    fn what_was_right_is_remembered_until_the_password_changes() {
        let rng = SeededRng::new(2);
        let name: PrincipalName = "alice".parse().unwrap();
        let password = Password::shown("correct horse".to_owned());
        let (old, new) = (PasswordHash::new(&password, &rng), PasswordHash::new(&password, &rng));
        let (old, new) = (old.unwrap(), new.unwrap());
        let remembered = Remembered::new(&rng);
        assert!(!remembered.knows(&name, &old, &password));
        remembered.keep(&name, &old, &password);
        assert!(remembered.knows(&name, &old, &password));
        assert!(!remembered.knows(&name, &old, &Password::shown("wrong".to_owned())));
        assert!(!remembered.knows(&name, &new, &password), "the hash was made anew");
        assert!(!remembered.knows(&"bob".parse().unwrap(), &old, &password));
    }
}
