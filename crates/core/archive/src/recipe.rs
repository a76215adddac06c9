use std::fmt;

use cairn_base::varint;

use crate::limits::LEN_MAX;
use crate::{CORRECTIONS_BYTES_MAX, Error, SEGMENTS_MAX, zstd};

const MAGIC: [u8; 4] = *b"CArc";
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;

const METHOD_COPY: u8 = 0x00;
const METHOD_DEFLATE_CAIRN_1: u8 = 0x10;
const METHOD_ZSTD_1_5_7: u8 = 0x20;

/// One step of a rebuild: inner bytes are taken, archive bytes are made.
#[derive(Clone, PartialEq, Eq)]
pub enum Segment {
    /// The inner bytes stand in the archive as they are.
    Copy {
        /// Bytes taken and made.
        len: u64,
    },
    /// A raw deflate stream, re-made by method `deflate/cairn-1`.
    Deflate {
        /// Bytes taken.
        inner_len: u64,
        /// Bytes made.
        out_len: u64,
        /// Where the stream differs from what the predictor says.
        corrections: Vec<u8>,
    },
    /// A zstd frame, re-made by method `zstd/1.5.7`.
    Zstd {
        /// Bytes taken.
        inner_len: u64,
        /// Bytes made.
        out_len: u64,
        /// How the frame was compressed.
        params: ZstdParams,
    },
}

/// How a zstd frame was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZstdParams {
    /// Compression level, from 1.
    pub level: u8,
    /// Whether the frame ends with a checksum of its content.
    pub checksum: bool,
    /// Whether the frame begins with the length of its content, which the encoder knew then.
    pub content_size: bool,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { len } => write!(f, "Copy {{ {len} }}"),
            Self::Deflate { inner_len, out_len, corrections } => {
                write!(f, "Deflate {{ {inner_len} -> {out_len}, {} B }}", corrections.len())
            }
            Self::Zstd { inner_len, out_len, params } => {
                write!(f, "Zstd {{ {inner_len} -> {out_len}, {params:?} }}")
            }
        }
    }
}

impl Segment {
    const fn lens(&self) -> (u64, u64) {
        match self {
            Self::Copy { len } => (*len, *len),
            Self::Deflate { inner_len, out_len, .. } | Self::Zstd { inner_len, out_len, .. } => {
                (*inner_len, *out_len)
            }
        }
    }
}

/// How to make an archive's bytes from its inner stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    segments: Vec<Segment>,
    inner_len: u64,
    outer_len: u64,
    corrections_bytes: usize,
}

impl Recipe {
    /// Adds a step; copies that follow one another become one. `None` if a limit is reached, and
    /// the recipe is then as it was.
    pub(crate) fn push(&mut self, segment: Segment) -> Option<()> {
        let (inner, outer) = segment.lens();
        if inner == 0 && outer == 0 {
            return Some(());
        }
        let inner_len = self.inner_len.checked_add(inner).filter(|&len| len < LEN_MAX)?;
        let outer_len = self.outer_len.checked_add(outer).filter(|&len| len < LEN_MAX)?;
        if let Segment::Deflate { corrections, .. } = &segment {
            let bytes = self.corrections_bytes + corrections.len();
            if bytes > CORRECTIONS_BYTES_MAX {
                return None;
            }
            self.corrections_bytes = bytes;
        }
        let full = self.segments.len() == SEGMENTS_MAX;
        match (self.segments.last_mut(), &segment) {
            (Some(Segment::Copy { len: before }), Segment::Copy { len }) => *before += len,
            _ if full => return None,
            _ => self.segments.push(segment),
        }
        self.inner_len = inner_len;
        self.outer_len = outer_len;
        Some(())
    }

    /// Whether another recoded member, and the copy after it, still fit.
    pub(crate) const fn has_room(&self) -> bool {
        self.segments.len() + 2 < SEGMENTS_MAX && self.corrections_bytes < CORRECTIONS_BYTES_MAX
    }

    /// The bytes of corrections that may still be added.
    pub(crate) const fn corrections_left(&self) -> usize {
        CORRECTIONS_BYTES_MAX - self.corrections_bytes
    }

    /// The steps in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the inner stream is the archive, so that nothing has to be re-made.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Copy { .. }))
    }

    /// The length of the inner stream.
    #[must_use]
    pub const fn inner_len(&self) -> u64 {
        self.inner_len
    }

    /// The length of the archive.
    #[must_use]
    pub const fn outer_len(&self) -> u64 {
        self.outer_len
    }

    /// The bytes of corrections in all, for statistics.
    #[must_use]
    pub const fn corrections_bytes(&self) -> usize {
        self.corrections_bytes
    }

    /// The recipe as bytes; the format is in the documentation of the crate.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let room = 16 + self.segments.len() * 8 + self.corrections_bytes;
        let mut out = Vec::with_capacity(room);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        varint::put(&mut out, self.segments.len() as u64);
        for segment in &self.segments {
            encode_segment(segment, &mut out);
        }
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// Reads what [`Recipe::encode`] wrote. Memory: no more than a small multiple of `bytes`.
    ///
    /// # Errors
    /// [`Error::RecipeDamaged`] if it is not a recipe, [`Error::RecipeMethod`] if it needs a newer
    /// version of this crate.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |reason| Error::RecipeDamaged { reason };
        let (body, sum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or_else(|| damaged("it is shorter than its checksum"))?;
        let mut rest = body
            .strip_prefix(MAGIC.as_slice())
            .ok_or_else(|| damaged("it does not begin as a recipe does"))?;
        match rest.split_first() {
            Some((&VERSION, after)) => rest = after,
            Some((&method, _)) => return Err(Error::RecipeMethod { method }),
            None => return Err(damaged("it ends in its header")),
        }
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return Err(damaged("its checksum does not match"));
        }
        let count = varint::take(&mut rest).ok_or_else(|| damaged("it ends in its header"))?;
        let mut recipe = Self::default();
        for _ in 0..count {
            let segment = decode_segment(&mut rest)?;
            recipe.push(segment).ok_or_else(|| damaged("it is larger than a recipe may be"))?;
        }
        // What encodes has no segment without bytes, and no copy behind a copy.
        if recipe.segments.len() as u64 != count {
            return Err(damaged("it has a segment that it does not need"));
        }
        if rest.is_empty() { Ok(recipe) } else { Err(damaged("it has bytes after its end")) }
    }
}

fn encode_segment(segment: &Segment, out: &mut Vec<u8>) {
    match segment {
        Segment::Copy { len } => {
            out.push(METHOD_COPY);
            varint::put(out, *len);
        }
        Segment::Deflate { inner_len, out_len, corrections } => {
            out.push(METHOD_DEFLATE_CAIRN_1);
            varint::put(out, *inner_len);
            varint::put(out, *out_len);
            varint::put(out, corrections.len() as u64);
            out.extend_from_slice(corrections);
        }
        Segment::Zstd { inner_len, out_len, params } => {
            out.push(METHOD_ZSTD_1_5_7);
            varint::put(out, *inner_len);
            varint::put(out, *out_len);
            out.push(params.level);
            out.push(u8::from(params.checksum) | u8::from(params.content_size) << 1);
        }
    }
}

fn decode_segment(rest: &mut &[u8]) -> Result<Segment, Error> {
    let ends = || Error::RecipeDamaged { reason: "it ends in a segment" };
    let byte = |rest: &mut &[u8]| {
        let (&byte, after) = rest.split_first().ok_or_else(ends)?;
        *rest = after;
        Ok(byte)
    };
    match byte(rest)? {
        METHOD_COPY => Ok(Segment::Copy { len: varint::take(rest).ok_or_else(ends)? }),
        METHOD_DEFLATE_CAIRN_1 => {
            let inner_len = varint::take(rest).ok_or_else(ends)?;
            let out_len = varint::take(rest).ok_or_else(ends)?;
            let len = varint::take(rest).ok_or_else(ends)?;
            let len = usize::try_from(len).map_err(|_| ends())?;
            let (corrections, after) = rest.split_at_checked(len).ok_or_else(ends)?;
            *rest = after;
            Ok(Segment::Deflate { inner_len, out_len, corrections: corrections.to_vec() })
        }
        METHOD_ZSTD_1_5_7 => {
            let inner_len = varint::take(rest).ok_or_else(ends)?;
            let out_len = varint::take(rest).ok_or_else(ends)?;
            let level = byte(rest)?;
            let flags = byte(rest)?;
            if !(1..=zstd::LEVEL_MAX).contains(&level) || flags > 3 {
                return Err(Error::RecipeDamaged { reason: "its zstd parameters are none" });
            }
            let params =
                ZstdParams { level, checksum: flags & 1 != 0, content_size: flags & 2 != 0 };
            Ok(Segment::Zstd { inner_len, out_len, params })
        }
        method => Err(Error::RecipeMethod { method }),
    }
}
