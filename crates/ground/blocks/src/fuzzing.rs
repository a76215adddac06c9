//! The decoders of stored bytes, for fuzz targets. Nothing else may use them.

use std::sync::OnceLock;

use cairn_chunk::{CHUNK_BYTES_MAX, ChunkKey};

use crate::envelope::{EnvelopeKind, Sealer};
use crate::frame::{self, FRAME_BYTES_MAX};
use crate::pack::{Footer, PackId};
use crate::run::{RunHead, head_range};
use crate::seal::Master;

fn master() -> &'static Master {
    static MASTER: OnceLock<Master> = OnceLock::new();
    MASTER.get_or_init(|| Master::new([7; 32]))
}

/// A frame from the bucket, and one from a client.
pub fn frame(bytes: &[u8]) {
    if let Ok(content) = frame::decode(bytes) {
        assert!(content.len() <= FRAME_BYTES_MAX);
    }
    let key = ChunkKey::new([1; 32]);
    let (count, rest) = bytes.split_first().map_or((0, bytes), |(count, rest)| (*count, rest));
    let chunks = (0..count)
        .map(|number| frame::ChunkLen {
            id: key.id(&[number]),
            len: u32::from(number) * 1000 % u32::try_from(CHUNK_BYTES_MAX).expect("small"),
        })
        .collect();
    let frame = frame::Frame { chunks, bytes: bytes::Bytes::copy_from_slice(rest) };
    assert!(frame.verify(&key).is_err() || count > 0);
}

/// The footer of a pack, behind its checksum.
pub fn pack_footer(bytes: &[u8]) {
    Footer::fuzz(PackId([3; 16]), bytes);
}

/// The head and pages of an index run, behind their checksums.
pub fn run_head(bytes: &[u8]) {
    if bytes.len() < 72 {
        return;
    }
    let (trailer, head) = bytes.split_at(72);
    drop(head_range("name", trailer, bytes.len() as u64));
    RunHead::fuzz(&trailer[..32], head);
    drop(RunHead::decode("name", trailer, head, Some(master())));
}

/// An envelope, with and without encryption.
pub fn envelope(bytes: &[u8]) {
    for sealer in [Sealer::new(None), Sealer::new(Some(master().clone()))] {
        drop(sealer.unwrap(EnvelopeKind::Ref, "refs/a", bytes));
    }
}

/// The payload of a catalog and the bucket's configuration.
pub fn documents(bytes: &[u8]) {
    drop(serde_json::from_slice::<crate::catalog::Catalog>(bytes));
    if let Ok(config) = crate::config::decode(bytes) {
        drop(config.unlock(None, "url"));
    }
}
