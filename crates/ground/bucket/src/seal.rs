use cairn_base::ErrorKind;

/// Encryption at rest of small objects, given by whoever holds the bucket's key.
///
/// `open(name, seal(name, plain))` is `plain`. A `name` is the object's key in the bucket: what was
/// sealed under one name does not open under another. `seal` must give fresh bytes at every call, and
/// adds the same number of bytes whatever it is given.
pub trait Seal: Send + Sync + 'static {
    /// The bytes to store for `plain` in the object `name`.
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8>;

    /// What [`Seal::seal`] was given.
    ///
    /// # Errors
    /// [`SealError`] when the bytes were changed or belong to another name or another key.
    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Whether it changes anything. Large objects that verify themselves need no seal that does not.
    fn seals(&self) -> bool {
        true
    }
}

/// Why sealed bytes did not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SealError {
    /// What a caller can do about it: `Corrupt` when the bytes were changed, `Denied` when the key
    /// is another one, `Invalid` when a later version sealed them.
    pub kind: ErrorKind,
    /// What was found, without a secret.
    pub detail: String,
}

/// No encryption: for buckets that are not encrypted. What is stored has checksums of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Seal for Plain {
    fn seal(&self, _name: &str, plain: &[u8]) -> Vec<u8> {
        plain.to_vec()
    }

    fn open(&self, _name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(sealed.to_vec())
    }

    fn seals(&self) -> bool {
        false
    }
}
