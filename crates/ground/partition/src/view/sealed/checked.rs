use cairn_base::ErrorKind;
use cairn_bucket::{Seal, SealError};

/// Characters of the checksum.
const SUM_CHARS: usize = 32;

/// No encryption, and a checksum: what is stored is followed by a line feed and the first 16 bytes of the
/// BLAKE3 hash of the name, a zero byte and what is stored, in hexadecimal. For small objects of a plain
/// bucket that have no checksum of their own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked;

fn sum(name: &str, plain: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes()).update(&[0]).update(plain);
    let mut sum = hasher.finalize().to_hex().to_string();
    sum.truncate(SUM_CHARS);
    sum
}

impl Seal for Checked {
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        [plain, b"\n", sum(name, plain).as_bytes()].concat()
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let refused =
            |detail: &str| SealError { kind: ErrorKind::Corrupt, detail: detail.to_owned() };
        let plain = sealed.len().checked_sub(SUM_CHARS + 1).and_then(|at| sealed.get(..at));
        let plain = plain.ok_or_else(|| refused("it is too short for its checksum"))?;
        if self.seal(name, plain) != sealed {
            return Err(refused("its checksum does not match"));
        }
        Ok(plain.to_vec())
    }
}
