//! Method `deflate/preflate-0.7`: a raw deflate stream as its plain bytes and corrections.
//!
//! preflate guesses which compressor made a stream, predicts each token as that compressor would
//! choose it, and codes where the stream differs. It is given the stream in chunks of whole blocks,
//! so that neither side holds more than one chunk. The corrections of a stream are, per chunk:
//!
//! | bytes | what |
//! |---|---|
//! | varint | plain bytes of the chunk |
//! | varint | `n` |
//! | `n` | preflate's corrections of the chunk; the first chunk's begin with its parameters |

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use flate2::{Decompress, FlushDecompress, Status};
use preflate_rs::{
    ExitCode, PreflateConfig, PreflateStreamProcessor, RecreateStreamProcessor,
};

use crate::varint;
use crate::window::Window;

/// Compressed bytes given to preflate at first; blocks are mostly smaller.
const INPUT_BYTES: usize = 128 << 10;
/// Compressed bytes in which a block must end.
const INPUT_BYTES_MAX: usize = 512 << 10;
/// Plain bytes of a chunk. The largest block of gzip has 32,768 matches of 258 bytes.
const PLAIN_BYTES_MAX: usize = 9 << 20;
/// preflate counts positions in 31 bits.
const STREAM_PLAIN_BYTES_MAX: u64 = (1 << 31) - (64 << 20);
/// Shorter streams are not worth their corrections.
const STREAM_BYTES_MIN: u64 = 256;

/// What proved to re-make a stream.
#[derive(Debug)]
pub(crate) struct Proof {
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

/// Corrections that are still worth it for `out` compressed bytes.
const fn worthwhile(out: u64) -> u64 {
    256 + out / 8
}

/// The two sides of preflate, kept in step.
struct Prover {
    reader: PreflateStreamProcessor,
    writer: RecreateStreamProcessor,
    inflate: Decompress,
    plain: Vec<u8>,
}

enum Step {
    /// A chunk of so many compressed bytes is proved, its plain bytes are in `plain`.
    Chunk { used: usize, corrections: Vec<u8>, done: bool },
    /// No block ends in the bytes given.
    More,
    /// It cannot be done.
    Refused,
}

/// Reads the deflate stream that `input` stands at, and proves that it can be made again; its plain
/// bytes go to `sink`, which may refuse. `None`: it cannot be done, and `input` stands anywhere.
///
/// Every chunk is made again by the code that [`rebuild`] uses and compared with the stream
/// (ARCHIVE-1), and inflated by the code that reads the inner stream later (ARCHIVE-2).
pub(crate) fn prove<R: Read>(
    input: &mut Window<R>,
    bounds: &Bounds,
    mut sink: impl FnMut(&[u8]) -> Option<()>,
) -> io::Result<Option<Proof>> {
    let start = input.consumed();
    let mut prover = Prover::new();
    let mut proof = Proof { inner_len: 0, out_len: 0, corrections: Vec::new() };
    let mut wanted = INPUT_BYTES;
    loop {
        let data = input.fill(wanted)?;
        let all_there_is = data.len() < wanted;
        let (used, corrections, done) = match prover.step(data) {
            Step::Chunk { used, corrections, done } => (used, corrections, done),
            Step::More if !all_there_is && wanted < INPUT_BYTES_MAX => {
                wanted *= 2;
                continue;
            }
            Step::More | Step::Refused => return Ok(None),
        };
        input.consume(used);
        wanted = INPUT_BYTES;
        proof.out_len = input.consumed() - start;
        proof.inner_len += prover.plain.len() as u64;
        varint::put(&mut proof.corrections, prover.plain.len() as u64);
        varint::put(&mut proof.corrections, corrections.len() as u64);
        proof.corrections.extend_from_slice(&corrections);
        if !bounds.hold(&proof) || sink(&prover.plain).is_none() {
            return Ok(None);
        }
        if done {
            return Ok((proof.out_len >= STREAM_BYTES_MIN).then_some(proof));
        }
    }
}

impl Bounds {
    fn hold(&self, proof: &Proof) -> bool {
        proof.inner_len <= self.inner_bytes_max.min(STREAM_PLAIN_BYTES_MAX)
            && self.limits.ratio_ok(proof.inner_len, proof.out_len)
            && proof.corrections.len() <= self.corrections_max
            && proof.corrections.len() as u64 <= worthwhile(proof.out_len)
    }
}

impl Prover {
    fn new() -> Self {
        let config = PreflateConfig {
            max_chain_length: 4096,
            plain_text_limit: PLAIN_BYTES_MAX,
            verify_compression: false,
        };
        Self {
            reader: PreflateStreamProcessor::new(&config),
            writer: RecreateStreamProcessor::new(),
            inflate: Decompress::new(false),
            plain: Vec::new(),
        }
    }

    fn step(&mut self, data: &[u8]) -> Step {
        let result = guarded(|| {
            self.reader.shrink_to_dictionary();
            self.reader.decompress(data)
        });
        let chunk = match result {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) if error.exit_code() == ExitCode::ShortRead => return Step::More,
            Some(Err(_)) | None => return Step::Refused,
        };
        let done = self.reader.is_done();
        if chunk.blocks.is_empty() || chunk.compressed_size > data.len() {
            return if done { Step::Refused } else { Step::More };
        }
        self.plain.clear();
        self.plain.extend_from_slice(self.reader.plain_text().text());
        let original = &data[..chunk.compressed_size];
        let corrections = chunk.corrections;
        drop(chunk.blocks);
        let again = recreate(&mut self.writer, &self.plain, &corrections);
        if again.as_deref() != Some(original) || !self.inflates_to_plain(original, done) {
            return Step::Refused;
        }
        Step::Chunk { used: original.len(), corrections, done }
    }

    /// Whether flate2 makes of the same bytes what preflate made of them.
    fn inflates_to_plain(&mut self, mut compressed: &[u8], done: bool) -> bool {
        let mut out = [0; 16 << 10];
        let mut plain = self.plain.as_slice();
        loop {
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(compressed, &mut out, FlushDecompress::None);
            let Ok(status) = status else { return false };
            let used = moved(before.0, self.inflate.total_in());
            let made = moved(before.1, self.inflate.total_out());
            compressed = &compressed[used..];
            match plain.split_at_checked(made) {
                Some((front, rest)) if front == &out[..made] => plain = rest,
                _ => return false,
            }
            match status {
                Status::StreamEnd => return done && plain.is_empty() && compressed.is_empty(),
                // A block that ends inside a byte comes out with the next chunk's bytes at the
                // latest, so the plain bytes of a chunk that is not the last are compared late.
                _ if used == 0 && made == 0 => {
                    return !done && compressed.is_empty() && plain.is_empty();
                }
                _ => {}
            }
        }
    }
}

fn moved(before: u64, after: u64) -> usize {
    usize::try_from(after - before).expect("no more than the length of a slice moves in one call")
}

/// Runs preflate, which asserts what it believes of its input: a panic of it is an answer for us.
fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn recreate(
    writer: &mut RecreateStreamProcessor,
    plain: &[u8],
    corrections: &[u8],
) -> Option<Vec<u8>> {
    let result = guarded(|| writer.recompress(&mut { plain }, corrections));
    result?.ok().map(|(bytes, _blocks)| bytes)
}

/// The chunks of a stream's corrections: plain length and corrections of each.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = Option<(usize, &[u8])>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let chunk = take_chunk(&mut bytes);
        if chunk.is_none() {
            bytes = &[];
        }
        Some(chunk)
    })
}

fn take_chunk<'a>(bytes: &mut &'a [u8]) -> Option<(usize, &'a [u8])> {
    let plain = usize::try_from(varint::take(bytes)?).ok()?;
    let len = usize::try_from(varint::take(bytes)?).ok()?;
    let (corrections, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some((plain, corrections))
}

/// Whether `corrections` have their form and cover `inner_len` bytes in chunks that fit in memory.
pub(crate) fn corrections_are_sound(corrections: &[u8], inner_len: u64) -> bool {
    let sum = chunks(corrections).try_fold(0u64, |sum, chunk| {
        let (plain, _) = chunk.filter(|&(plain, _)| plain <= 2 * PLAIN_BYTES_MAX)?;
        sum.checked_add(plain as u64)
    });
    sum == Some(inner_len)
}

/// Why a stream was not made again.
#[derive(Debug)]
pub(crate) enum RebuildError {
    Read(io::Error),
    Write(io::Error),
    Misfit(&'static str),
}

/// Makes a stream of `out_len` bytes from `inner` and its corrections.
pub(crate) fn rebuild<R: Read, W: Write>(
    inner: &mut R,
    corrections: &[u8],
    out_len: u64,
    out: &mut W,
) -> Result<(), RebuildError> {
    let mut writer = RecreateStreamProcessor::new();
    let mut plain = Vec::new();
    let mut left = out_len;
    for chunk in chunks(corrections) {
        let misfit = RebuildError::Misfit("the corrections are damaged");
        let (len, corrections) = chunk.ok_or(misfit)?;
        plain.clear();
        plain.resize(len, 0);
        inner.read_exact(&mut plain).map_err(RebuildError::Read)?;
        let bytes = recreate(&mut writer, &plain, corrections)
            .ok_or(RebuildError::Misfit("the corrections do not fit the plain bytes"))?;
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or(RebuildError::Misfit("more bytes come out than the recipe says"))?;
        out.write_all(&bytes).map_err(RebuildError::Write)?;
    }
    if left == 0 { Ok(()) } else { Err(RebuildError::Misfit("too few bytes come out")) }
}
