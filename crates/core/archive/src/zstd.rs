//! Method `zstd/1.5.7`: a zstd frame (RFC 8878) as its plain bytes and the level it was made at.
//!
//! libzstd makes the same bytes for the same parameters within one version, and often across
//! several. The level is found on the first blocks; what that level makes of the rest is for the
//! proof of the plan to say.

use std::io::{self, Read, Write};

use zstd_safe::zstd_sys::ZSTD_EndDirective::{ZSTD_e_continue, ZSTD_e_end};
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer};

use crate::content::Content;
use crate::plan::Draft;
use crate::rebuild::RebuildError;
use crate::sniff::{ZSTD_MAGIC, is_skippable};
use crate::window::Window;
use crate::{Format, Limits, Segment, ZstdParams};

/// The highest level that is re-made, in 25 MiB. Higher ones need up to 90 MiB (level 19) or 850
/// (22), and read back at a few MB/s.
pub(crate) const LEVEL_MAX: u8 = 11;
/// Frames with larger windows are not opened.
const WINDOW_LOG_MAX: u32 = 23;
/// Plain bytes that decide the level.
const SAMPLE_BYTES: usize = 1 << 20;
/// Bytes moved at once.
const STEP_BYTES: usize = 128 << 10;
/// The levels in the order of their frequency.
const LEVELS: [u8; LEVEL_MAX as usize] = [3, 1, 9, 6, 10, 2, 4, 5, 7, 8, 11];

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    checksum: bool,
    content_size: Option<u64>,
}

/// Plans a file of zstd frames.
pub(crate) fn plan<R: Read>(reader: R, limits: &Limits) -> io::Result<Option<Draft>> {
    let mut input = Window::new(reader);
    let mut content = Content::default();
    let mut draft = Draft::default();
    let mut frames = 0u64;
    loop {
        let head = input.fill(STEP_BYTES)?;
        if is_skippable(head) {
            let Some(len) = skippable_len(head) else { break };
            input.consume(len);
            if draft.layout(len as u64).is_none() {
                return Ok(None);
            }
            continue;
        }
        if !head.starts_with(&ZSTD_MAGIC) {
            break;
        }
        let Some(header) = header(head) else { return Ok(None) };
        let framed = frame(&mut input, header, limits, &mut content, &mut draft)?;
        if framed.is_none() || content.close(&mut draft.pieces).is_none() {
            return Ok(None);
        }
        frames += 1;
    }
    if frames == 0 || draft.tail(&mut input)?.is_none() {
        return Ok(None);
    }
    draft.format = Some(if content.is_tar() { Format::TarZst } else { Format::Zstd });
    Ok(Some(draft))
}

/// The length of the skippable frame that `bytes` begin with, if it is all there.
fn skippable_len(bytes: &[u8]) -> Option<usize> {
    let size = bytes.get(4..8)?.first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*size)).ok()?.checked_add(8)?;
    (len <= bytes.len()).then_some(len)
}

/// Reads a frame's header; `None` if it is none, or needs a dictionary.
fn header(bytes: &[u8]) -> Option<Header> {
    let descriptor = *bytes.get(4)?;
    let single = descriptor & 0x20 != 0;
    if descriptor & 0x0b != 0 {
        return None;
    }
    let at = if single { 5 } else { 6 };
    let field = |len: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    };
    let content_size = match descriptor >> 6 {
        0 if !single => None,
        0 => Some(field(1)?),
        1 => Some(field(2)? + 256),
        2 => Some(field(4)?),
        _ => Some(field(8)?),
    };
    Some(Header { checksum: descriptor & 4 != 0, content_size })
}

/// Decodes a frame, finds its level, and adds it to the draft.
fn frame<R: Read>(
    input: &mut Window<R>,
    header: Header,
    limits: &Limits,
    content: &mut Content,
    draft: &mut Draft,
) -> io::Result<Option<()>> {
    let start = input.consumed();
    let inner_max = limits.inner_bytes_max.saturating_sub(draft.pieces.total_len());
    let Some(mut decoder) = Decoder::new() else { return Ok(None) };
    let mut out = vec![0; STEP_BYTES];
    let mut sample = Sample::default();
    let mut inner_len = 0;
    let mut params = None;
    loop {
        input.fill(STEP_BYTES)?;
        let Some(step) = decoder.step(input.data(), &mut out) else { return Ok(None) };
        if step.used == 0 && step.made == 0 && !step.ended {
            return Ok(None);
        }
        sample.feed(&input.data()[..step.used], &out[..step.made]);
        input.consume(step.used);
        inner_len += step.made as u64;
        let outer_len = input.consumed() - start;
        if inner_len > inner_max || !limits.ratio_ok(inner_len, outer_len) {
            return Ok(None);
        }
        if params.is_none() && (sample.is_full() || step.ended) {
            match sample.params(header, step.ended) {
                Some(found) => params = Some(found),
                None => return Ok(None),
            }
            sample = Sample { closed: true, ..Sample::default() };
        }
        if content.feed(&out[..step.made], &mut draft.pieces).is_none() {
            return Ok(None);
        }
        if step.ended {
            let segment = |params| Segment::Zstd { inner_len, out_len: outer_len, params };
            return Ok(params.and_then(|params| draft.recipe.push(segment(params))));
        }
    }
}

/// The beginning of a frame, plain and compressed.
#[derive(Debug, Default)]
struct Sample {
    plain: Vec<u8>,
    compressed: Vec<u8>,
    closed: bool,
}

impl Sample {
    fn feed(&mut self, compressed: &[u8], plain: &[u8]) {
        if !self.closed {
            self.compressed.extend_from_slice(compressed);
            self.plain.extend_from_slice(plain);
        }
    }

    const fn is_full(&self) -> bool {
        self.plain.len() >= SAMPLE_BYTES
    }

    /// The parameters that make these bytes.
    fn params(&self, header: Header, whole: bool) -> Option<ZstdParams> {
        let params = |level| ZstdParams {
            level,
            checksum: header.checksum,
            content_size: header.content_size.is_some(),
        };
        let len = header.content_size.unwrap_or(self.plain.len() as u64);
        LEVELS.map(params).into_iter().find(|&params| self.fits(params, len, whole))
    }

    fn fits(&self, params: ZstdParams, len: u64, whole: bool) -> bool {
        let Some(mut encoder) = Encoder::new(params, len) else { return false };
        let mut there = self.compressed.as_slice();
        let mut sink = |made: &[u8]| match there.split_at_checked(made.len()) {
            Some((front, rest)) if front == made => {
                there = rest;
                Some(())
            }
            _ => None,
        };
        let compressed = encoder.feed(&self.plain, false, &mut sink);
        if !whole {
            return compressed.is_some();
        }
        compressed.and_then(|()| encoder.feed(&[], true, &mut sink)).is_some() && there.is_empty()
    }
}

/// Decodes one frame.
pub(crate) struct Decoder(DCtx<'static>);

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

/// What a step of decoding did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) used: usize,
    pub(crate) made: usize,
    pub(crate) ended: bool,
}

impl Decoder {
    pub(crate) fn new() -> Option<Self> {
        let mut context = DCtx::try_create()?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).ok()?;
        Some(Self(context))
    }

    /// Decodes from `data` to `out`. `None` if the frame is damaged.
    pub(crate) fn step(&mut self, data: &[u8], out: &mut [u8]) -> Option<Step> {
        let mut input = InBuffer::around(data);
        let mut output = OutBuffer::around(out);
        let hint = self.0.decompress_stream(&mut output, &mut input).ok()?;
        Some(Step { used: input.pos(), made: output.pos(), ended: hint == 0 })
    }
}

struct Encoder {
    context: CCtx<'static>,
    out: Vec<u8>,
}

impl Encoder {
    fn new(params: ZstdParams, len: u64) -> Option<Self> {
        let mut context = CCtx::try_create()?;
        context.set_parameter(CParameter::CompressionLevel(params.level.into())).ok()?;
        context.set_parameter(CParameter::ChecksumFlag(params.checksum)).ok()?;
        context.set_parameter(CParameter::ContentSizeFlag(params.content_size)).ok()?;
        if params.content_size {
            context.set_pledged_src_size(Some(len)).ok()?;
        }
        Some(Self { context, out: vec![0; STEP_BYTES] })
    }

    /// Compresses `data`, and ends the frame if `end`; what is made goes to `sink`.
    fn feed(
        &mut self,
        data: &[u8],
        end: bool,
        sink: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Option<()> {
        let directive = || if end { ZSTD_e_end } else { ZSTD_e_continue };
        let mut input = InBuffer::around(data);
        loop {
            let mut output = OutBuffer::around(self.out.as_mut_slice());
            let left = self.context.compress_stream2(&mut output, &mut input, directive()).ok()?;
            let full = output.pos() == output.capacity();
            sink(output.as_slice())?;
            let done = if end { left == 0 } else { input.pos() == data.len() && !full };
            if done {
                return Some(());
            }
        }
    }
}

/// Makes the frame of `out_len` bytes from the `inner_len` bytes of `inner`.
pub(crate) fn rebuild<R: Read, W: Write>(
    inner: &mut R,
    params: ZstdParams,
    (inner_len, out_len): (u64, u64),
    out: &mut W,
) -> Result<(), RebuildError> {
    let refused = || RebuildError::Misfit("libzstd refuses the parameters");
    let mut encoder = Encoder::new(params, inner_len).ok_or_else(refused)?;
    let mut buf = vec![0; STEP_BYTES];
    let mut left = inner_len;
    let mut room = out_len;
    let mut failed = None;
    let mut sink = |made: &[u8]| {
        let Some(rest) = room.checked_sub(made.len() as u64) else {
            failed = Some(RebuildError::LONG);
            return None;
        };
        room = rest;
        out.write_all(made).map_err(|error| failed = Some(RebuildError::Write(error))).ok()
    };
    let mut fed = Some(());
    while left > 0 && fed.is_some() {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        inner.read_exact(&mut buf[..len]).map_err(RebuildError::Read)?;
        left -= len as u64;
        fed = encoder.feed(&buf[..len], false, &mut sink);
    }
    let ended = fed.and_then(|()| encoder.feed(&[], true, &mut sink));
    match (ended, failed) {
        (_, Some(error)) => Err(error),
        (None, None) => Err(RebuildError::Misfit("libzstd fails")),
        (Some(()), None) if room > 0 => Err(RebuildError::SHORT),
        (Some(()), None) => Ok(()),
    }
}
