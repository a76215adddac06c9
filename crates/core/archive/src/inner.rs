use std::io::{self, Read, Seek};

use flate2::{Decompress, FlushDecompress, Status};

use crate::window::Window;
use crate::{Error, Recipe, Segment, zstd};

const INPUT_BYTES: usize = 64 << 10;

/// The inner stream of an archive that was planned.
///
/// An archive that is not the planned one gives an error of kind `InvalidData` or
/// `UnexpectedEof`, or other bytes: whoever keeps the stream compares the archive's hash.
#[derive(Debug)]
pub struct Inner<'a, R> {
    input: Window<&'a mut R>,
    segments: std::slice::Iter<'a, Segment>,
    state: State,
}

#[derive(Debug)]
enum State {
    Between,
    Copy { left: u64 },
    Deflate { inflate: Box<Decompress>, inner_left: u64, outer_left: u64 },
    Zstd { decoder: Option<Box<zstd::Decoder>>, inner_left: u64, outer_left: u64 },
}

impl<'a, R: Read + Seek> Inner<'a, R> {
    /// The inner stream of `archive`, which is rewound, as `recipe` says.
    ///
    /// # Errors
    /// [`Error::Read`]: the archive cannot be rewound.
    pub fn new(archive: &'a mut R, recipe: &'a Recipe) -> Result<Self, Error> {
        archive.rewind().map_err(Error::Read)?;
        Ok(Self {
            input: Window::new(archive),
            segments: recipe.segments().iter(),
            state: State::Between,
        })
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the archive is not the one that was planned")
}

impl<R: Read> Read for Inner<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let made = match &mut self.state {
                State::Between => match self.segments.next() {
                    None => return Ok(0),
                    Some(segment) => {
                        self.state = State::open(segment);
                        continue;
                    }
                },
                State::Copy { left: 0 } => {
                    self.state = State::Between;
                    continue;
                }
                State::Copy { left } => read_copy(&mut self.input, left, buf)?,
                State::Deflate { inflate, inner_left, outer_left } => {
                    let made = read_deflate(&mut self.input, inflate, inner_left, outer_left, buf)?;
                    if *inner_left == 0 && *outer_left == 0 {
                        self.state = State::Between;
                    }
                    made
                }
                State::Zstd { decoder, inner_left, outer_left } => {
                    let decoder = decoder.as_mut().ok_or(io::ErrorKind::OutOfMemory)?;
                    let made = read_zstd(&mut self.input, decoder, inner_left, outer_left, buf)?;
                    if *inner_left == 0 && *outer_left == 0 {
                        self.state = State::Between;
                    }
                    made
                }
            };
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

impl State {
    fn open(segment: &Segment) -> Self {
        match segment {
            Segment::Copy { len } => Self::Copy { left: *len },
            Segment::Deflate { inner_len, out_len, .. } => Self::Deflate {
                inflate: Box::new(Decompress::new(false)),
                inner_left: *inner_len,
                outer_left: *out_len,
            },
            Segment::Zstd { inner_len, out_len, .. } => Self::Zstd {
                decoder: zstd::Decoder::new().map(Box::new),
                inner_left: *inner_len,
                outer_left: *out_len,
            },
        }
    }
}

fn read_copy<R: Read>(input: &mut Window<R>, left: &mut u64, buf: &mut [u8]) -> io::Result<usize> {
    let data = input.fill(INPUT_BYTES)?;
    let len = buf.len().min(data.len()).min(usize::try_from(*left).unwrap_or(usize::MAX));
    if len == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buf[..len].copy_from_slice(&data[..len]);
    input.consume(len);
    *left -= len as u64;
    Ok(len)
}

fn read_deflate<R: Read>(
    input: &mut Window<R>,
    inflate: &mut Decompress,
    inner_left: &mut u64,
    outer_left: &mut u64,
    buf: &mut [u8],
) -> io::Result<usize> {
    let data = at_most(input, *outer_left)?;
    let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(data, buf, FlushDecompress::None);
    let status = status.map_err(|_| changed())?;
    let used = inflate.total_in() - before_in;
    let made = inflate.total_out() - before_out;
    input.consume(usize::try_from(used).map_err(|_| changed())?);
    *outer_left = outer_left.checked_sub(used).ok_or_else(changed)?;
    *inner_left = inner_left.checked_sub(made).ok_or_else(changed)?;
    let ended = matches!(status, Status::StreamEnd);
    let stuck = used == 0 && made == 0;
    if ended && (*inner_left, *outer_left) != (0, 0) || !ended && stuck {
        return Err(changed());
    }
    usize::try_from(made).map_err(|_| changed())
}

/// The bytes at hand, at most `left`.
fn at_most<R: Read>(input: &mut Window<R>, left: u64) -> io::Result<&[u8]> {
    if input.data().is_empty() {
        input.fill(INPUT_BYTES)?;
    }
    let data = input.data();
    Ok(&data[..data.len().min(usize::try_from(left).unwrap_or(usize::MAX))])
}

fn read_zstd<R: Read>(
    input: &mut Window<R>,
    decoder: &mut zstd::Decoder,
    inner_left: &mut u64,
    outer_left: &mut u64,
    buf: &mut [u8],
) -> io::Result<usize> {
    let data = at_most(input, *outer_left)?;
    let step = decoder.step(data, buf).ok_or_else(changed)?;
    input.consume(step.used);
    *outer_left = outer_left.checked_sub(step.used as u64).ok_or_else(changed)?;
    *inner_left = inner_left.checked_sub(step.made as u64).ok_or_else(changed)?;
    let all = (*inner_left, *outer_left) == (0, 0);
    if step.ended && !all || !step.ended && step.used == 0 && step.made == 0 {
        return Err(changed());
    }
    Ok(step.made)
}
