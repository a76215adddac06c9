//! Huffman codes of deflate (RFC 1951, 3.2): decoding tables, codes to write, and the header of a
//! dynamic block as zlib writes it.

use std::io::Read;

use super::Stop;
use super::bits::{BitReader, BitWriter};

pub(crate) const LITERALS: usize = 286;
pub(crate) const DISTANCES: usize = 30;
const LENGTH_CODES: usize = 19;
pub(crate) const END_OF_BLOCK: usize = 256;
const CODE_BITS_MAX: usize = 15;
const LENGTH_CODE_BITS_MAX: usize = 7;

pub(crate) const LENGTH_BASE: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
pub(crate) const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
pub(crate) const DISTANCE_BASE: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
pub(crate) const DISTANCE_EXTRA: [u8; 30] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
];
const LENGTH_ORDER: [usize; LENGTH_CODES] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The length code of a match of `len` bytes.
pub(crate) fn length_code(len: u16) -> usize {
    LENGTH_BASE.partition_point(|&base| base <= len) - 1
}

/// The distance code of `dist`.
pub(crate) fn distance_code(dist: u16) -> usize {
    DISTANCE_BASE.partition_point(|&base| base <= dist) - 1
}

/// The code lengths of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) literals: Vec<u8>,
    pub(crate) distances: Vec<u8>,
}

impl Lengths {
    /// Those of a static block.
    pub(crate) fn fixed() -> Self {
        let mut literals = vec![8; 288];
        literals[144..256].fill(9);
        literals[256..280].fill(7);
        Self { literals, distances: vec![5; DISTANCES] }
    }
}

/// Codes to write: bits in the order of writing, and their number.
#[derive(Debug)]
pub(crate) struct Encoder(Vec<(u16, u8)>);

impl Encoder {
    pub(crate) fn new(lengths: &[u8]) -> Self {
        let mut next = first_codes(lengths);
        let codes = lengths.iter().map(|&len| {
            if len == 0 {
                return (0, 0);
            }
            let code = next[usize::from(len)];
            next[usize::from(len)] = code.wrapping_add(1);
            (code.reverse_bits() >> (16 - u32::from(len)), len)
        });
        Self(codes.collect())
    }

    /// Writes `symbol`. `Refused` if it has no code.
    pub(crate) fn put(&self, symbol: usize, out: &mut BitWriter) -> Result<(), Stop> {
        match self.0.get(symbol) {
            Some(&(code, len)) if len > 0 => {
                out.put(code.into(), len.into());
                Ok(())
            }
            _ => Err(Stop::Refused),
        }
    }
}

fn first_codes(lengths: &[u8]) -> [u16; CODE_BITS_MAX + 2] {
    let mut counts = [0u16; CODE_BITS_MAX + 1];
    for &len in lengths {
        counts[usize::from(len)] += 1;
    }
    counts[0] = 0;
    let mut next = [0u16; CODE_BITS_MAX + 2];
    for bits in 0..=CODE_BITS_MAX {
        next[bits + 1] = next[bits].wrapping_add(counts[bits]) << 1;
    }
    next
}

/// A decoding table, indexed with as many bits as the longest code has.
#[derive(Debug)]
pub(crate) struct Decoder {
    entries: Vec<u16>,
    mask: u64,
}

impl Decoder {
    pub(crate) fn new(lengths: &[u8]) -> Result<Self, Stop> {
        let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
        let size = 1usize << longest;
        let used: usize = lengths.iter().filter(|&&len| len > 0).map(|&len| size >> len).sum();
        if used > size {
            return Err(Stop::Refused);
        }
        let mut entries = vec![0u16; size];
        for (symbol, &(code, len)) in Encoder::new(lengths).0.iter().enumerate() {
            if len > 0 {
                let entry = u16::try_from(symbol << 4).map_err(|_| Stop::Refused)? | u16::from(len);
                entries[usize::from(code)..].iter_mut().step_by(1 << len).for_each(|e| *e = entry);
            }
        }
        Ok(Self { entries, mask: size as u64 - 1 })
    }

    /// Reads a symbol; the reader was refilled.
    pub(crate) fn symbol<R: Read>(&self, input: &mut BitReader<'_, R>) -> Result<usize, Stop> {
        let index = usize::try_from(input.peek() & self.mask).map_err(|_| Stop::Refused)?;
        let entry = self.entries[index];
        if entry == 0 {
            return Err(Stop::Refused);
        }
        input.drop_bits(u32::from(entry & 15))?;
        Ok(usize::from(entry >> 4))
    }
}

/// Reads the header of a dynamic block, and copies its bits to `copy`.
pub(crate) fn read_header<R: Read>(
    input: &mut BitReader<'_, R>,
    copy: &mut BitWriter,
) -> Result<Lengths, Stop> {
    let mut take = |input: &mut BitReader<'_, R>, count: u32| {
        let value = input.bits(count)?;
        copy.put(value, count);
        Ok::<_, Stop>(value as usize)
    };
    let literals = take(input, 5)? + 257;
    let distances = take(input, 5)? + 1;
    let lengths = take(input, 4)? + 4;
    if literals > LITERALS || distances > DISTANCES {
        return Err(Stop::Refused);
    }
    let mut code_lengths = [0u8; LENGTH_CODES];
    for &symbol in &LENGTH_ORDER[..lengths] {
        code_lengths[symbol] = take(input, 3)?.to_le_bytes()[0];
    }
    let decoder = Decoder::new(&code_lengths)?;
    let encoder = Encoder::new(&code_lengths);
    let mut all = Vec::with_capacity(literals + distances);
    while all.len() < literals + distances {
        input.refill()?;
        let symbol = decoder.symbol(input)?;
        encoder.put(symbol, copy)?;
        let mut extra = |count: u32| {
            let value = input.bits(count)?;
            copy.put(value, count);
            Ok::<_, Stop>(value as usize)
        };
        let (value, repeat) = match symbol {
            16 => (*all.last().ok_or(Stop::Refused)?, 3 + extra(2)?),
            17 => (0, 3 + extra(3)?),
            18 => (0, 11 + extra(7)?),
            _ => (symbol.to_le_bytes()[0], 1),
        };
        all.resize(all.len() + repeat, value);
    }
    if all.len() > literals + distances {
        return Err(Stop::Refused);
    }
    let distances = all.split_off(literals);
    Ok(Lengths { literals: all, distances })
}

/// How often each symbol of a block occurs.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) literals: [u32; LITERALS],
    pub(crate) distances: [u32; DISTANCES],
}

/// The header that zlib and gzip write for these counts, and its code lengths.
pub(crate) fn zlib_header(counts: &Counts) -> (BitWriter, Lengths) {
    let literals = zlib_lengths(&counts.literals, CODE_BITS_MAX);
    let distances = zlib_lengths(&counts.distances, CODE_BITS_MAX);
    let runs: Vec<Run> = zlib_runs(&literals).into_iter().chain(zlib_runs(&distances)).collect();
    let mut run_counts = [0u32; LENGTH_CODES];
    for run in &runs {
        run_counts[usize::from(run.symbol)] += 1;
    }
    let mut code_lengths = zlib_lengths(&run_counts, LENGTH_CODE_BITS_MAX);
    code_lengths.resize(LENGTH_CODES, 0);
    let shown = LENGTH_ORDER.iter().rposition(|&symbol| code_lengths[symbol] != 0);
    let shown = (shown.unwrap_or(0) + 1).max(4);
    let mut out = BitWriter::default();
    let small = |len: usize| u32::try_from(len).expect("counts of codes are small");
    out.put(small(literals.len() - 257), 5);
    out.put(small(distances.len() - 1), 5);
    out.put(small(shown - 4), 4);
    for &symbol in &LENGTH_ORDER[..shown] {
        out.put(code_lengths[symbol].into(), 3);
    }
    let encoder = Encoder::new(&code_lengths);
    for run in runs {
        encoder.put(run.symbol.into(), &mut out).expect("every run was counted and has a code");
        out.put(run.extra, run.extra_bits);
    }
    (out, Lengths { literals, distances })
}

/// A symbol of the code that code lengths are written in.
#[derive(Clone, Copy, Debug)]
struct Run {
    symbol: u8,
    extra: u32,
    extra_bits: u32,
}

/// Code lengths as zlib writes them: repeats are cut at its limits, and never cross its borders.
fn zlib_runs(lengths: &[u8]) -> Vec<Run> {
    let plain = |symbol| Run { symbol, extra: 0, extra_bits: 0 };
    let mut runs = Vec::new();
    let mut previous = None;
    let mut at = 0;
    while at < lengths.len() {
        let len = lengths[at];
        let (max, min) = match (len, previous) {
            (0, _) => (138, 3),
            (len, Some(before)) if len == before => (6, 3),
            _ => (7, 4),
        };
        let count = lengths[at..].iter().take(max).take_while(|&&other| other == len).count();
        let repeat = u32::try_from(count).expect("at most 138 lengths are one run");
        at += count;
        if count < min {
            runs.extend(std::iter::repeat_n(plain(len), count));
        } else if len != 0 {
            let first = u32::from(previous != Some(len));
            runs.extend((first == 1).then(|| plain(len)));
            runs.push(Run { symbol: 16, extra: repeat - first - 3, extra_bits: 2 });
        } else if count <= 10 {
            runs.push(Run { symbol: 17, extra: repeat - 3, extra_bits: 3 });
        } else {
            runs.push(Run { symbol: 18, extra: repeat - 11, extra_bits: 7 });
        }
        previous = Some(len);
    }
    runs
}

/// The nodes of the tree being built: leaves first, then inner nodes.
struct Tree {
    count: Vec<u32>,
    depth: Vec<u8>,
    parent: Vec<usize>,
    heap: Vec<usize>,
}

impl Tree {
    fn smaller(&self, a: usize, b: usize) -> bool {
        (self.count[a], self.depth[a]) <= (self.count[b], self.depth[b])
    }

    /// Lets the node at `place` (from 1) sink to where it belongs.
    fn sink(&mut self, mut place: usize) {
        let node = self.heap[place - 1];
        while place * 2 <= self.heap.len() {
            let mut child = place * 2;
            if child < self.heap.len() && self.smaller(self.heap[child], self.heap[child - 1]) {
                child += 1;
            }
            if self.smaller(node, self.heap[child - 1]) {
                break;
            }
            self.heap[place - 1] = self.heap[child - 1];
            place = child;
        }
        self.heap[place - 1] = node;
    }
}

/// Code lengths for `counts` as zlib and gzip choose them: ties in the heap and codes that are too
/// long are settled in their way. The result ends with the last symbol that has a code.
fn zlib_lengths(counts: &[u32], bits_max: usize) -> Vec<u8> {
    let symbols = counts.len();
    let mut tree = Tree {
        count: counts.to_vec(),
        depth: vec![0; symbols],
        parent: vec![0; symbols],
        heap: (0..symbols).filter(|&symbol| counts[symbol] > 0).collect(),
    };
    let mut last = tree.heap.last().copied();
    while tree.heap.len() < 2 {
        let symbol = match last {
            None => 0,
            Some(last) if last < 2 => last + 1,
            Some(_) => 0,
        };
        last = last.max(Some(symbol));
        tree.count[symbol] = 1;
        tree.heap.push(symbol);
    }
    for place in (1..=tree.heap.len() / 2).rev() {
        tree.sink(place);
    }
    let mut order = Vec::with_capacity(2 * symbols);
    while tree.heap.len() >= 2 {
        let first = tree.heap.swap_remove(0);
        tree.sink(1);
        let second = tree.heap[0];
        order.extend([first, second]);
        let node = tree.count.len();
        tree.count.push(tree.count[first].saturating_add(tree.count[second]));
        tree.depth.push(tree.depth[first].max(tree.depth[second]).saturating_add(1));
        tree.parent.push(0);
        tree.parent[first] = node;
        tree.parent[second] = node;
        tree.heap[0] = node;
        tree.sink(1);
    }
    order.push(tree.heap[0]);
    let lengths = tree_lengths(&tree, &order, symbols, bits_max);
    lengths[..=last.unwrap_or(0)].to_vec()
}

/// The lengths that follow from the tree; `order` has its nodes as they left the heap.
fn tree_lengths(tree: &Tree, order: &[usize], symbols: usize, bits_max: usize) -> Vec<u8> {
    let mut bits = vec![0usize; tree.count.len()];
    let mut counts = [0usize; CODE_BITS_MAX + 2];
    let mut overflow = 0usize;
    for &node in order.iter().rev().skip(1) {
        let depth = bits[tree.parent[node]] + 1;
        bits[node] = depth.min(bits_max);
        overflow += usize::from(depth > bits_max);
        if node < symbols {
            counts[bits[node]] += 1;
        }
    }
    let small = |len: usize| u8::try_from(len).expect("code lengths are at most 15");
    if overflow == 0 {
        return bits[..symbols].iter().map(|&len| small(len)).collect();
    }
    // Each step moves one leaf a level down and brings one that is too deep beside it.
    while overflow > 0 {
        let Some(from) = (1..bits_max).rev().find(|&len| counts[len] > 0) else { break };
        counts[from] -= 1;
        counts[from + 1] += 2;
        counts[bits_max] -= 1;
        overflow = overflow.saturating_sub(2);
    }
    let mut lengths = vec![0u8; symbols];
    let mut leaves = order.iter().filter(|&&node| node < symbols);
    for len in (1..=bits_max).rev() {
        for &leaf in leaves.by_ref().take(counts[len]) {
            lengths[leaf] = small(len);
        }
    }
    lengths
}
