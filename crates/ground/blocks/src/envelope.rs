//! The wrapping of every small object (catalog, refs, access state, audit log, shipped logs of
//! partitions) and of the pages of partitions' views: a kind, a version, a checksum, and encryption
//! when the bucket has it.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `CRNE` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | kind: 1 catalog, 2 ref, 3 access, 4 dataset settings, 5 segment of the audit log, 6 object of a shipped log, 7 record of a partition or page of its view, 8 pin of a content, 9 backup |
//! | 6 | 1 | 0 plain, 1 sealed |
//! | 7 | 1 | 0 |
//! | 8 | 4 | payload length, little endian |
//! | 12 | 32 | salt (zeros when plain) |
//! | 44 | n | payload (sealed: ciphertext and 16 bytes of tag; position 0, associated data = key in the bucket) |
//! | 44 + n | 32 | BLAKE3 of all before |

use cairn_env::Rng;

use crate::error::Error;
use crate::seal::Master;

const MAGIC: &[u8; 4] = b"CRNE";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 44;
const HASH_BYTES: usize = 32;
/// The largest envelope that is read.
pub const ENVELOPE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EnvelopeKind {
    /// The catalog of index runs, sessions and condemned packs.
    Catalog = 1,
    /// A ref.
    Ref = 2,
    /// The access state.
    Access = 3,
    /// Settings of a dataset.
    Settings = 4,
    /// A segment of the audit log.
    Audit = 5,
    /// An object of the log that nodes ship.
    Log = 6,
    /// A record of a partition, or a page of its view.
    Partition = 7,
    /// A pin of a content that belongs to no version.
    Pin = 8,
    /// A backup, or what it holds.
    Backup = 9,
}

/// Wraps and unwraps small objects under a bucket's master secret.
#[derive(Clone)]
pub struct Sealer {
    master: Option<Master>,
}

impl Sealer {
    pub(crate) fn new(master: Option<Master>) -> Self {
        Self { master }
    }

    /// Wraps `payload` for the object `key`.
    pub fn wrap(&self, kind: EnvelopeKind, key: &str, payload: &[u8], rng: &dyn Rng) -> Vec<u8> {
        let mut salt = [0; 32];
        let mut body = payload.to_vec();
        if let Some(master) = &self.master {
            rng.fill(&mut salt);
            master.cipher("cairn envelope 1", &salt).seal(0, key.as_bytes(), &mut body);
        }
        let len = u32::try_from(body.len()).expect("small objects are bounded far below 4 GiB");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + HASH_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, kind as u8, u8::from(self.master.is_some()), 0]);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&body);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// The payload of an envelope of this kind that was read from `key`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when anything of it was changed, [`Error::LaterVersion`].
    pub fn unwrap(&self, kind: EnvelopeKind, key: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let corrupt = |offset: usize, detail: &str| Error::corrupt(key, offset as u64, detail);
        if bytes.len() < HEADER_BYTES + HASH_BYTES {
            return Err(corrupt(bytes.len(), "shorter than an envelope"));
        }
        if &bytes[..4] != MAGIC {
            return Err(corrupt(0, "not a Cairn object"));
        }
        let (body, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
        if blake3::hash(body).as_bytes() != hash {
            return Err(corrupt(0, "checksum mismatch"));
        }
        if body[4] != VERSION {
            return Err(Error::LaterVersion {
                object: key.to_owned(),
                found: u32::from(body[4]),
                known: u32::from(VERSION),
            });
        }
        if body[5] != kind as u8 {
            return Err(corrupt(5, "an object of another kind"));
        }
        let mut len = [0; 4];
        len.copy_from_slice(&body[8..12]);
        if u32::from_le_bytes(len) as usize != body.len() - HEADER_BYTES || body[7] != 0 {
            return Err(corrupt(8, "length mismatch"));
        }
        let payload = &body[HEADER_BYTES..];
        match (&self.master, body[6]) {
            (None, 0) => Ok(payload.to_vec()),
            (Some(master), 1) => master
                .cipher("cairn envelope 1", &body[12..HEADER_BYTES])
                .open(0, key.as_bytes(), payload)
                .map_err(|_| corrupt(HEADER_BYTES, "authentication failed")),
            _ => Err(corrupt(6, "sealed where the bucket is plain, or plain where it is sealed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_env::SeededRng;
    use expect_test::expect;

    use super::*;

    fn sealers() -> [Sealer; 2] {
        [Sealer::new(None), Sealer::new(Some(Master::new([9; 32])))]
    }

    /// BUCKET-3: no flipped bit of an envelope gets through.
    #[test]
    fn bucket_3_every_flipped_bit_is_refused() {
        for sealer in sealers() {
            let rng = SeededRng::new(1);
            let bytes = sealer.wrap(EnvelopeKind::Ref, "refs/a", b"payload", &rng);
            assert_eq!(sealer.unwrap(EnvelopeKind::Ref, "refs/a", &bytes).unwrap(), b"payload");
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(sealer.unwrap(EnvelopeKind::Ref, "refs/a", &bad).is_err(), "bit {bit}");
            }
            for len in 0..bytes.len() {
                assert!(sealer.unwrap(EnvelopeKind::Ref, "refs/a", &bytes[..len]).is_err());
            }
            assert!(sealer.unwrap(EnvelopeKind::Catalog, "refs/a", &bytes).is_err());
        }
    }

    #[test]
    fn a_sealed_envelope_belongs_to_its_key_and_its_bucket() {
        let [plain, sealed] = sealers();
        let bytes = sealed.wrap(EnvelopeKind::Ref, "refs/a", b"payload", &SeededRng::new(1));
        assert!(sealed.unwrap(EnvelopeKind::Ref, "refs/b", &bytes).is_err());
        assert!(plain.unwrap(EnvelopeKind::Ref, "refs/a", &bytes).is_err());
        assert!(!bytes.windows(7).any(|window| window == b"payload"));
    }

    #[test]
    fn kinds_keep_their_numbers() {
        let kinds = [
            (EnvelopeKind::Catalog, 1),
            (EnvelopeKind::Ref, 2),
            (EnvelopeKind::Access, 3),
            (EnvelopeKind::Settings, 4),
            (EnvelopeKind::Audit, 5),
            (EnvelopeKind::Log, 6),
            (EnvelopeKind::Partition, 7),
            (EnvelopeKind::Pin, 8),
        ];
        for (kind, number) in kinds {
            let bytes = Sealer::new(None).wrap(kind, "k", b"abc", &SeededRng::new(1));
            assert_eq!(bytes[5], number, "{kind:?}");
        }
    }

    /// A view's pages rely on it: their place follows from it.
    #[test]
    fn an_envelope_adds_the_same_number_of_bytes_to_all() {
        for (sealer, added) in sealers().into_iter().zip([76, 92]) {
            for len in [0, 1, 100, 16 << 10] {
                let payload = vec![1; len];
                let rng = SeededRng::new(1);
                for key in ["k", "a/longer/key"] {
                    let bytes = sealer.wrap(EnvelopeKind::Partition, key, &payload, &rng);
                    assert_eq!(bytes.len(), len + added);
                }
            }
        }
    }

    #[test]
    fn golden_plain_envelope_of_version_1() {
        let bytes = Sealer::new(None).wrap(EnvelopeKind::Ref, "k", b"abc", &SeededRng::new(1));
        expect!["43524e4501020000030000000000000000000000000000000000000000000000000000000000000000000000616263d200b66d5bd443e1962968d0ef2023d405acef6b998d0cd64e1cf9a1bc1074d0"].assert_eq(&hex::encode(bytes));
    }
}
