/// Most pieces of one archive; one with more is not opened.
pub const PIECES_MAX: usize = 4 << 20;
/// Most segments of one recipe; the members of a zip beyond it stay compressed as they are.
pub const SEGMENTS_MAX: usize = 128 << 10;
/// Most bytes of corrections in one recipe. They are kept in memory while planning and rebuilding.
pub const CORRECTIONS_BYTES_MAX: usize = 8 << 20;
/// Most members of a zip; one with more is not opened.
pub const ZIP_ENTRIES_MAX: u64 = 256 << 10;
/// Largest extended header (pax) of a tar that is read for the size of its member.
pub const PAX_BYTES_MAX: usize = 256 << 10;

/// Bytes moved at once between a reader and a writer.
pub(crate) const COPY_BYTES: usize = 64 << 10;
/// Bytes of bytes that are no member, up to which they are Layout; a longer run (junk before a zip,
/// something appended to a tar) is worth chunking by itself.
pub(crate) const LAYOUT_RUN_BYTES_MAX: u64 = 64 << 10;
/// Lengths in a recipe stay below this, so that their sums cannot overflow.
pub(crate) const LEN_MAX: u64 = 1 << 60;

/// What [`plan`](crate::plan()) is willing to do for one archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest archive with compressed parts that is opened. A plain tar has no such limit.
    pub outer_bytes_max: u64,
    /// Largest inner stream of an archive with compressed parts.
    pub inner_bytes_max: u64,
    /// Most inner bytes per compressed byte, once a stream has made [`Limits::RATIO_FREE_BYTES`].
    pub ratio_max: u64,
}

impl Limits {
    /// Up to here any ratio is fine: small files of zeros are common, and no bomb.
    pub const RATIO_FREE_BYTES: u64 = 64 << 20;

    /// Whether a stream that made `inner` bytes of `outer` may go on.
    pub(crate) const fn ratio_ok(&self, inner: u64, outer: u64) -> bool {
        inner <= Self::RATIO_FREE_BYTES || inner / self.ratio_max <= outer
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { outer_bytes_max: 4 << 30, inner_bytes_max: 64 << 30, ratio_max: 200 }
    }
}
