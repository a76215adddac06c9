//! A reader of proofs that shares no code with what makes them: BLAKE3 after its specification
//! (J. O'Connor et al., 2020, section 2), and the format after the documentation of `rest/proofs.rs`.

use std::ops::Range;

const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const ORDER: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;

type Value = [u8; 32];

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, four) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes(four.try_into().unwrap());
    }
    words
}

fn mix(state: &mut [u32; 16], [a, b, c, d]: [usize; 4], x: u32, y: u32) {
    for (word, turns) in [(x, (16, 12)), (y, (8, 7))] {
        state[a] = state[a].wrapping_add(state[b]).wrapping_add(word);
        state[d] = (state[d] ^ state[a]).rotate_right(turns.0);
        state[c] = state[c].wrapping_add(state[d]);
        state[b] = (state[b] ^ state[c]).rotate_right(turns.1);
    }
}

fn compress(value: &[u32; 8], block: &[u8], counter: u64, flags: u32) -> [u32; 8] {
    let mut padded = [0; 64];
    padded[..block.len()].copy_from_slice(block);
    let mut message: [u32; 16] = words(&padded);
    let mut state = [0; 16];
    state[..8].copy_from_slice(value);
    state[8..12].copy_from_slice(&IV[..4]);
    state[12] = u32::try_from(counter & 0xffff_ffff).unwrap();
    state[13] = u32::try_from(counter >> 32).unwrap();
    state[14] = u32::try_from(block.len()).unwrap();
    state[15] = flags;
    for _ in 0..7 {
        for at in 0..4 {
            let column = [at, at + 4, at + 8, at + 12];
            mix(&mut state, column, message[2 * at], message[2 * at + 1]);
        }
        for at in 0..4 {
            let diagonal = [at, (at + 1) % 4 + 4, (at + 2) % 4 + 8, (at + 3) % 4 + 12];
            mix(&mut state, diagonal, message[8 + 2 * at], message[9 + 2 * at]);
        }
        message = std::array::from_fn(|at| message[ORDER[at]]);
    }
    std::array::from_fn(|at| state[at] ^ state[at + 8])
}

fn bytes(words: [u32; 8]) -> Value {
    let mut value = [0; 32];
    for (four, word) in value.chunks_exact_mut(4).zip(words) {
        four.copy_from_slice(&word.to_le_bytes());
    }
    value
}

fn parent(children: &[u8], root: u32) -> Value {
    bytes(compress(&IV, children, 0, PARENT | root))
}

/// The value of the subtree of these bytes, the first of which has the chunk counter `counter`.
pub(crate) fn value(content: &[u8], counter: u64, root: u32) -> Value {
    if content.len() > 1024 {
        let left = left_len(content.len() as u64, 1024);
        let (a, b) = content.split_at(usize::try_from(left).unwrap());
        let children = [value(a, counter, 0), value(b, counter + left / 1024, 0)];
        return parent(children.as_flattened(), root);
    }
    let blocks: Vec<&[u8]> =
        if content.is_empty() { vec![&[]] } else { content.chunks(64).collect() };
    let last = blocks.len() - 1;
    let mut chained = IV;
    for (at, block) in blocks.into_iter().enumerate() {
        let mut flags = if at == 0 { CHUNK_START } else { 0 };
        flags |= if at == last { CHUNK_END | root } else { 0 };
        chained = compress(&chained, block, counter, flags);
    }
    bytes(chained)
}

/// The largest `unit` times a power of two that is less than `len`.
fn left_len(len: u64, unit: u64) -> u64 {
    let mut left = unit;
    while left * 2 < len {
        left *= 2;
    }
    left
}

pub(crate) fn hash(content: &[u8]) -> Value {
    value(content, 0, ROOT)
}

struct Reader<'a> {
    rest: &'a [u8],
    range: Range<u64>,
    found: Vec<u8>,
    first: u64,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8], String> {
        let len = usize::try_from(len).unwrap();
        let (taken, rest) = self.rest.split_at_checked(len).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn subtree(&mut self, start: u64, len: u64, expected: Value, root: u32) -> Result<(), String> {
        if len > 0 && (start >= self.range.end || start + len <= self.range.start) {
            return Ok(());
        }
        let wrong = format!("what begins at {start} is wrong");
        if len <= 16_384 {
            let group = self.take(len)?;
            if value(group, start / 1024, root) != expected {
                return Err(wrong);
            }
            self.first = self.first.min(start);
            self.found.extend_from_slice(group);
            return Ok(());
        }
        let node = self.take(64)?;
        if parent(node, root) != expected {
            return Err(wrong);
        }
        let left = left_len(len, 16_384);
        self.subtree(start, left, node[..32].try_into().unwrap(), 0)?;
        self.subtree(start + left, len - left, node[32..].try_into().unwrap(), 0)
    }
}

/// The bytes that a proof proves to whoever knows `root`, and where they stand.
pub(crate) fn read(root: Value, proof: &[u8], range: Range<u64>) -> Result<(u64, Vec<u8>), String> {
    let mut reader = Reader { rest: proof, range, found: Vec::new(), first: u64::MAX };
    let len = u64::from_le_bytes(reader.take(8)?.try_into().unwrap());
    if len > 1 << 40 {
        return Err("no file here is so long".to_owned());
    }
    reader.subtree(0, len, root, ROOT)?;
    if reader.rest.is_empty() { Ok((reader.first, reader.found)) } else { Err("more".to_owned()) }
}
