//! Method `deflate/cairn-1`: a raw deflate stream as its plain bytes and the corrections of
//! `cairn-deflate`.

use std::io::{self, Read, Write};

use cairn_deflate::{Joiner, Preset, Progress, Splitter};

use crate::limits::COPY_BYTES;
use crate::rebuild::RebuildError;
use crate::window::Window;

/// Shorter streams are not worth their corrections.
const STREAM_BYTES_MIN: u64 = 256;

/// What makes a stream again.
#[derive(Debug)]
pub(crate) struct Recoded {
    pub(crate) inner_len: u64,
    pub(crate) out_len: u64,
    pub(crate) corrections: Vec<u8>,
}

/// Bounds for one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) limits: crate::Limits,
    pub(crate) inner_bytes_max: u64,
    pub(crate) corrections_max: usize,
}

/// Corrections that are still worth it for `outer` compressed bytes.
const fn worthwhile(outer: u64) -> u64 {
    256 + outer / 8
}

/// Streams of one archive that are not worth it, one after the other, before it is believed of the
/// rest too: to find that out costs as much as many rebuilds of a small member.
const MISFITS_MAX: u32 = 8;

/// What the streams before in one archive were like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint {
    /// The preset of the last that was worth it.
    preset: Option<Preset>,
    misfits: u32,
}

impl Hint {
    /// Whether it is worth trying the next stream.
    pub(crate) const fn is_promising(&self) -> bool {
        self.misfits < MISFITS_MAX
    }
}

/// Reads the deflate stream that `input` stands at, and says how to make it again; its plain bytes
/// go to `sink`, which may refuse. `None`: it cannot be done, and `input` stands anywhere.
pub(crate) fn recode<R: Read>(
    input: &mut Window<R>,
    bounds: &Bounds,
    hint: &mut Hint,
    mut sink: impl FnMut(&[u8]) -> Option<()>,
) -> io::Result<Option<Recoded>> {
    let limits = cairn_deflate::Limits {
        plain_bytes_max: bounds.inner_bytes_max,
        corrections_bytes_max: bounds.corrections_max,
    };
    let mut splitter = Splitter::new(limits, hint.preset);
    let (mut inner, mut outer) = (0, 0);
    loop {
        let compressed = input.fill(COPY_BYTES)?;
        let read = compressed.len();
        let mut checked = |plain: &[u8]| {
            inner += plain.len() as u64;
            sink(plain).filter(|()| bounds.limits.ratio_ok(inner, outer + read as u64))
        };
        let done = match splitter.push(compressed, &mut checked) {
            Ok(Progress::Done { consumed }) => Some(consumed),
            Ok(Progress::NeedMore) if read > 0 => None,
            Ok(Progress::NeedMore) | Err(_) => return Ok(None),
        };
        let used = done.unwrap_or(read);
        input.consume(used);
        outer += used as u64;
        if splitter.corrections_len_bytes() > worthwhile(outer) {
            hint.misfits += 1;
            return Ok(None);
        }
        if done.is_some() {
            return Ok(finish(splitter, hint));
        }
    }
}

fn finish(splitter: Splitter, hint: &mut Hint) -> Option<Recoded> {
    let corrections = splitter.finish().ok()?;
    let (inner_len, out_len) = (corrections.plain_len_bytes, corrections.compressed_len_bytes);
    if out_len < STREAM_BYTES_MIN {
        return None;
    }
    if corrections.bytes.len() as u64 > worthwhile(out_len) {
        hint.misfits += 1;
        return None;
    }
    *hint = Hint { preset: corrections.preset.or(hint.preset), misfits: 0 };
    Some(Recoded { inner_len, out_len, corrections: corrections.bytes })
}

/// Makes the stream of `out_len` bytes from the `inner_len` bytes of `inner` and its corrections.
pub(crate) fn rebuild<R: Read, W: Write>(
    inner: &mut R,
    corrections: &[u8],
    (inner_len, out_len): (u64, u64),
    out: &mut W,
) -> Result<(), RebuildError> {
    let mut joiner = Joiner::new(corrections).map_err(RebuildError::Deflate)?;
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
    let mut buf = vec![0; COPY_BYTES];
    let mut left = inner_len;
    let mut joined = Ok(());
    while left > 0 && joined.is_ok() {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        inner.read_exact(&mut buf[..len]).map_err(RebuildError::Read)?;
        left -= len as u64;
        joined = joiner.push(&buf[..len], &mut sink);
    }
    let joined = joined.and_then(|()| joiner.finish(&mut sink));
    match (joined, failed) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(RebuildError::Deflate(error)),
        (Ok(()), None) if room > 0 => Err(RebuildError::SHORT),
        (Ok(()), None) => Ok(()),
    }
}
