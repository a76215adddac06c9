//! Bits in deflate's order: the first bit of a byte is its lowest.

use std::io::Read;

use super::Stop;
use crate::window::Window;

const READ_BYTES: usize = 64 << 10;

/// Reads bits from a window, and uses no byte of it beyond the last bit.
#[derive(Debug)]
pub(crate) struct BitReader<'w, R> {
    input: &'w mut Window<R>,
    /// Bytes of the window that are in `acc` or behind it.
    taken: usize,
    acc: u64,
    count: u32,
}

impl<'w, R: Read> BitReader<'w, R> {
    pub(crate) fn new(input: &'w mut Window<R>) -> Self {
        Self { input, taken: 0, acc: 0, count: 0 }
    }

    /// Makes at least 48 bits available, or all that are left.
    pub(crate) fn refill(&mut self) -> Result<(), Stop> {
        if self.count >= 48 {
            return Ok(());
        }
        if self.input.data().len() - self.taken < 8 {
            self.settle();
            self.input.fill(READ_BYTES)?;
        }
        let rest = &self.input.data()[self.taken..];
        if let Some(bytes) = rest.first_chunk::<8>() {
            let more = (63 - self.count) / 8;
            self.acc |= u64::from_le_bytes(*bytes) << self.count;
            self.taken += more as usize;
            self.count += more * 8;
            // Bits above `count` are those of the next byte, and come again with it.
        } else {
            for &byte in rest {
                if self.count > 56 {
                    break;
                }
                self.acc |= u64::from(byte) << self.count;
                self.taken += 1;
                self.count += 8;
            }
        }
        Ok(())
    }

    /// Uses up the bytes whose bits are gone.
    fn settle(&mut self) {
        let held = (self.count / 8) as usize;
        self.input.consume(self.taken - held);
        self.taken = held;
    }

    /// Ends reading at a byte's border: gives the bytes that were read ahead back to the window.
    pub(crate) fn finish(mut self) {
        self.settle();
    }

    /// The bytes of the window that are used so far.
    pub(crate) fn used(&self) -> u64 {
        self.input.consumed() + self.taken as u64 - u64::from(self.count / 8)
    }

    pub(crate) const fn peek(&self) -> u64 {
        self.acc
    }

    pub(crate) fn drop_bits(&mut self, count: u32) -> Result<(), Stop> {
        self.count = self.count.checked_sub(count).ok_or(Stop::Refused)?;
        self.acc >>= count;
        Ok(())
    }

    /// Takes up to 32 bits.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, Stop> {
        self.refill()?;
        let value = self.acc & ((1 << count) - 1);
        self.drop_bits(count)?;
        Ok(u32::try_from(value).expect("at most 32 bits were asked for"))
    }

    /// Goes on to the next byte; the bits between must be 0, for that is what is written again.
    pub(crate) fn align(&mut self) -> Result<(), Stop> {
        let padding = self.count % 8;
        if self.bits(padding)? == 0 { Ok(()) } else { Err(Stop::Refused) }
    }
}

/// Collects bits.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    out: Vec<u8>,
    acc: u64,
    count: u32,
}

impl BitWriter {
    /// Appends up to 32 bits.
    pub(crate) fn put(&mut self, value: u32, count: u32) {
        self.acc |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push((self.acc & 0xff) as u8);
            self.acc >>= 8;
            self.count -= 8;
        }
    }

    /// Fills the last byte with 0.
    pub(crate) fn align(&mut self) {
        if self.count > 0 {
            self.out.push((self.acc & 0xff) as u8);
            self.acc = 0;
            self.count = 0;
        }
    }

    /// Appends whole bytes, at a byte's border.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        assert_eq!(self.count, 0, "bytes are written at a byte's border");
        self.out.extend_from_slice(bytes);
    }

    /// The whole bytes so far; the bits of an unfinished one stay.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The bits so far, the last byte filled with 0, and their number.
    pub(crate) fn into_bits(mut self) -> (Vec<u8>, u32) {
        let whole = u32::try_from(self.out.len()).expect("only headers are taken as bits") * 8;
        let count = whole + self.count;
        self.align();
        (self.out, count)
    }
}
