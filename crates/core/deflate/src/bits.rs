//! Bits in deflate's order: the first bit of a byte is its lowest (RFC 1951, 3.1.1).

use alloc::vec::Vec;

/// Bits of the bytes that were pushed so far.
#[derive(Debug, Default)]
pub(crate) struct BitReader {
    acc: u64,
    count: u32,
    /// Bytes that went into `acc`.
    bytes: u64,
}

impl BitReader {
    /// Takes bytes from the front of `input` until 56 bits are there or `input` is empty.
    pub(crate) fn refill(&mut self, input: &mut &[u8]) {
        if let Some(word) = input.first_chunk::<8>() {
            let more = (63 - self.count) / 8;
            self.acc |= u64::from_le_bytes(*word) << self.count;
            self.count += more * 8;
            self.bytes += u64::from(more);
            *input = &input[more as usize..];
            // Bits above `count` belong to the next byte: they come again, the same, with it.
            return;
        }
        while self.count < 56 {
            let Some((&byte, rest)) = input.split_first() else { break };
            // Bits above `count` may be there already, see above.
            self.acc |= u64::from(byte) << self.count;
            self.count += 8;
            self.bytes += 1;
            *input = rest;
        }
    }

    /// The bits that are there; those above [`BitReader::count`] mean nothing.
    pub(crate) const fn peek(&self) -> u64 {
        self.acc
    }

    /// Bits that are there.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Drops bits that are there.
    pub(crate) fn drop(&mut self, count: u32) {
        self.count -= count;
        self.acc >>= count;
    }

    /// Takes up to 32 bits, or nothing if there are not so many.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        if count > self.count {
            return None;
        }
        let value = self.acc & ((1 << count) - 1);
        self.drop(count);
        u32::try_from(value).ok()
    }

    /// Takes the bits up to the next byte's border. Those are always there.
    pub(crate) fn align(&mut self) -> u8 {
        let count = self.count % 8;
        let value = (self.acc & 0x7f & ((1 << count) - 1)) as u8;
        self.drop(count);
        value
    }

    /// Takes a byte at a byte's border.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(8).map(|byte| (byte & 0xff) as u8)
    }

    /// Bytes of which at least a bit was taken.
    pub(crate) fn used(&self) -> u64 {
        self.bytes - u64::from(self.count / 8)
    }

    /// Accounts for bytes that were read past this, when it holds no bit.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.acc = 0;
        self.bytes += bytes as u64;
    }
}

/// Collects bits.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    acc: u64,
    count: u32,
}

impl BitWriter {
    /// Appends up to 32 bits; `value` has none above them.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, value: u32, count: u32) {
        self.acc |= u64::from(value) << self.count;
        self.count += count;
        if self.count >= 32 {
            let word = (self.acc & 0xffff_ffff) as u32;
            out.extend_from_slice(&word.to_le_bytes());
            self.acc >>= 32;
            self.count -= 32;
        }
    }

    /// Bits that are missing to a byte's border.
    pub(crate) const fn missing(&self) -> u32 {
        self.count.wrapping_neg() % 8
    }

    /// Goes on to the next byte's border with the bits of `padding`.
    pub(crate) fn align(&mut self, out: &mut Vec<u8>, padding: u8) {
        let missing = self.missing();
        self.put(out, u32::from(padding) & ((1 << missing) - 1), missing);
        while self.count >= 8 {
            out.push((self.acc & 0xff) as u8);
            self.acc >>= 8;
            self.count -= 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_across_pushes() {
        let parts = [(5u32, 3u32), (0, 1), (0x1_ffff, 17), (0, 0), (0xdead_beef, 32), (1, 2)];
        let (mut out, mut writer) = (Vec::new(), BitWriter::default());
        for _ in 0..5 {
            for (value, count) in parts {
                writer.put(&mut out, value, count);
            }
        }
        assert_eq!(writer.missing(), 5);
        writer.align(&mut out, 0xff);
        for step in 1..out.len() {
            let mut reader = BitReader::default();
            let mut pushes = out.chunks(step);
            let mut input: &[u8] = &[];
            for _ in 0..5 {
                for (value, count) in parts {
                    let got = loop {
                        reader.refill(&mut input);
                        match reader.take(count) {
                            Some(got) => break got,
                            None => input = pushes.next().unwrap(),
                        }
                    };
                    assert_eq!(got, value);
                }
            }
            assert_eq!(reader.align(), 0x1f);
            assert_eq!(reader.used(), out.len() as u64);
        }
    }
}
