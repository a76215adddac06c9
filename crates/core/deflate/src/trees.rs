//! The code lengths that zlib gives to symbols of known frequencies, and how it writes them.
//!
//! Many prefix codes of the same cost exist; which one an encoder takes depends on how it breaks
//! ties. zlib's way, as RFC 1951's companion code made it common: Huffman's algorithm with a binary
//! heap ordered by frequency, then by the height of the subtree; codes that come out too long are
//! shortened by lengthening the deepest of the others, and lengths are then given out anew in the
//! order in which the heap let the symbols go.

use crate::huffman::CODE_BITS_MAX;
use crate::token::{DISTANCES, LITERALS, Token};

/// Symbols of the largest code, as leaves; inner nodes come after.
const NODES: usize = 2 * LITERALS;

/// A heap of nodes, its first element at 1.
struct Heap {
    items: [u16; NODES],
    len: usize,
    weights: [u32; NODES],
    heights: [u8; NODES],
}

impl Heap {
    fn before(&self, a: u16, b: u16) -> bool {
        let key = |node: u16| (self.weights[usize::from(node)], self.heights[usize::from(node)]);
        key(a) <= key(b)
    }

    fn sink(&mut self, mut at: usize) {
        let item = self.items[at];
        loop {
            let mut below = at * 2;
            if below > self.len {
                break;
            }
            // Of two children that are alike the right one is taken; of a parent and a child that
            // are alike the parent stays.
            let (left, right) = (self.items[below], self.items[below + 1]);
            if below < self.len && self.before(right, left) {
                below += 1;
            }
            if self.before(item, self.items[below]) {
                break;
            }
            self.items[at] = self.items[below];
            at = below;
        }
        self.items[at] = item;
    }

    fn push_unsorted(&mut self, node: u16) {
        self.len += 1;
        self.items[self.len] = node;
    }

    fn pop(&mut self) -> u16 {
        let top = self.items[1];
        self.items[1] = self.items[self.len];
        self.len -= 1;
        self.sink(1);
        top
    }
}

/// Writes the lengths of a code for symbols of these frequencies to `lens`, and returns how many
/// symbols there are up to the last with a code. A code has at least two symbols.
pub(crate) fn code_lengths(freqs: &[u32], bits_max: u32, lens: &mut [u8]) -> usize {
    let mut heap = Heap { items: [0; NODES], len: 0, weights: [0; NODES], heights: [0; NODES] };
    let mut count = 0;
    lens.fill(0);
    for (symbol, &freq) in (0u16..).zip(freqs) {
        if freq > 0 {
            heap.weights[usize::from(symbol)] = freq;
            heap.push_unsorted(symbol);
            count = usize::from(symbol) + 1;
        }
    }
    while heap.len < 2 {
        // Symbols that do not occur: the next one while there are few, else the first.
        let symbol = if count <= 2 { count } else { 0 };
        count = count.max(symbol + 1);
        heap.weights[symbol] = 1;
        heap.push_unsorted(u16::try_from(symbol).expect("symbols are few"));
    }
    for at in (1..=heap.len / 2).rev() {
        heap.sink(at);
    }
    let leaves = freqs.len();
    let (order, parents, used) = merge(&mut heap, leaves);
    assign(&order[..used], &parents, leaves, bits_max, lens);
    count
}

/// Merges the two least nodes until one is left: all nodes in the order in which they were taken,
/// the root last, and the parent of each.
fn merge(heap: &mut Heap, leaves: usize) -> ([u16; NODES], [u16; NODES], usize) {
    let (mut order, mut parents) = ([0u16; NODES], [0u16; NODES]);
    let mut used = 0;
    let mut node = u16::try_from(leaves).expect("symbols are few");
    loop {
        let first = heap.pop();
        let second = heap.items[1];
        (order[used], order[used + 1]) = (first, second);
        used += 2;
        let (a, b) = (usize::from(first), usize::from(second));
        (parents[a], parents[b]) = (node, node);
        heap.weights[usize::from(node)] = heap.weights[a] + heap.weights[b];
        heap.heights[usize::from(node)] = heap.heights[a].max(heap.heights[b]) + 1;
        heap.items[1] = node;
        heap.sink(1);
        if heap.len < 2 {
            order[used] = node;
            return (order, parents, used + 1);
        }
        node += 1;
    }
}

/// Gives lengths to the leaves of `order`, at most `bits_max`.
fn assign(order: &[u16], parents: &[u16], leaves: usize, bits_max: u32, lens: &mut [u8]) {
    let mut depths = [0u32; NODES];
    let mut counts = [0u32; CODE_BITS_MAX as usize + 1];
    let mut over = 0i32;
    let (_root, below) = order.split_last().expect("the root is there");
    for &node in below.iter().rev() {
        let node = usize::from(node);
        let mut depth = depths[usize::from(parents[node])] + 1;
        if depth > bits_max {
            depth = bits_max;
            over += 1;
        }
        depths[node] = depth;
        if node < leaves {
            counts[depth as usize] += 1;
            lens[node] = (depth & 0xff) as u8;
        }
    }
    if over == 0 {
        return;
    }
    let longest = bits_max as usize;
    while over > 0 {
        let from = (1..longest).rev().find(|&bits| counts[bits] > 0);
        let from = from.expect("a code that is too long has a symbol that can be lengthened");
        counts[from] -= 1;
        counts[from + 1] += 2;
        counts[longest] -= 1;
        over -= 2;
    }
    let mut symbols = order.iter().map(|&node| usize::from(node)).filter(|&node| node < leaves);
    for bits in (1..=bits_max).rev() {
        for _ in 0..counts[bits as usize] {
            let symbol = symbols.next().expect("there are as many lengths as symbols");
            lens[symbol] = (bits & 0xff) as u8;
        }
    }
}

/// How often each symbol occurs in a block.
#[derive(Clone, Debug)]
pub(crate) struct Freqs {
    pub(crate) literals: [u32; LITERALS],
    pub(crate) distances: [u32; DISTANCES],
}

impl Freqs {
    pub(crate) const fn new() -> Self {
        Self { literals: [0; LITERALS], distances: [0; DISTANCES] }
    }

    pub(crate) fn count(&mut self, token: Token) {
        self.literals[token.symbol().0] += 1;
        if !token.is_literal() {
            self.distances[token.distance_symbol().0] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn lengths(freqs: &[u32], bits_max: u32) -> (Vec<u8>, usize) {
        let mut lens = vec![9; freqs.len()];
        let count = code_lengths(freqs, bits_max, &mut lens);
        (lens, count)
    }

    #[test]
    fn a_code_has_two_symbols() {
        assert_eq!(lengths(&[0; 30], 15).1, 2);
        assert_eq!(lengths(&[0, 0, 0, 7, 0], 15), (vec![1, 0, 0, 1, 0], 4));
        assert_eq!(lengths(&[3, 0, 0, 0, 0], 15), (vec![1, 1, 0, 0, 0], 2));
        assert_eq!(lengths(&[0, 3, 0, 0, 0], 15), (vec![0, 1, 1, 0, 0], 3));
    }

    #[test]
    fn codes_are_cut_to_the_limit_and_stay_complete() {
        let mut freqs = [0u32; 40];
        let (mut a, mut b) = (1, 1);
        for freq in freqs.iter_mut().take(28) {
            *freq = a;
            (a, b) = (b, a + b);
        }
        for limit in [7, 9, 15] {
            let (lens, count) = lengths(&freqs, limit);
            assert_eq!(count, 28);
            assert_eq!(lens.iter().copied().max(), u8::try_from(limit).ok());
            let sum: u32 = lens[..28].iter().map(|&len| 1 << (limit - u32::from(len))).sum();
            assert_eq!(sum, 1 << limit);
            assert!(lens[..28].is_sorted_by(|a, b| a >= b));
        }
    }
}
