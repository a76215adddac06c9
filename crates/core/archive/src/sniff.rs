use crate::{gzip, tar};

/// What the first bytes of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// A tar header.
    Tar,
    /// A gzip header.
    Gzip,
    /// A zstd frame.
    Zstd,
    /// A zip, or what a zip may follow: a program (self-extracting archives), a script (zipapps).
    Zip,
}

pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Guesses from the first 512 bytes of a file, or all if it has fewer, whether it is worth a
/// [`plan`](crate::plan()). Cheap: no more than a sum over them.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<Guess> {
    const ZIP_HEADS: [&[u8]; 4] = [b"PK\x03\x04", b"PK\x05\x06", b"MZ", b"#!"];
    if head.starts_with(&gzip::MAGIC) {
        Some(Guess::Gzip)
    } else if head.starts_with(&ZSTD_MAGIC) || is_skippable(head) {
        Some(Guess::Zstd)
    } else if ZIP_HEADS.iter().any(|magic| head.starts_with(magic)) {
        Some(Guess::Zip)
    } else if tar::is_header(head) {
        Some(Guess::Tar)
    } else {
        None
    }
}

/// Whether `head` begins with a frame that zstd decoders skip.
pub(crate) fn is_skippable(head: &[u8]) -> bool {
    let magic = head.first_chunk::<4>();
    magic.is_some_and(|magic| u32::from_le_bytes(*magic) & !0xf == 0x184d_2a50)
}
