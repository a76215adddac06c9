use alloc::vec::Vec;

use super::*;

pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
}

pub(crate) fn tree(content: &[u8], piece: usize) -> ([u8; 32], Vec<Node>) {
    let mut hasher = TreeHasher::default();
    let mut nodes = Vec::new();
    for part in content.chunks(piece.max(1)) {
        hasher.update(part);
        nodes.extend(hasher.take_nodes());
    }
    let (root, rest) = hasher.finish();
    nodes.extend(rest);
    (root, nodes)
}

#[test]
fn the_root_is_blake3_and_the_node_count_is_groups_less_one() {
    for len in [0, 1, 16_383, 16_384, 16_385, 32_768, 49_152, 100_000, 1_048_576, 1_048_577] {
        let content = bytes(len);
        let (root, nodes) = tree(&content, 7001);
        assert_eq!(root, *blake3::hash(&content).as_bytes(), "{len}");
        assert_eq!(nodes.len() as u64, group_count(len as u64) - 1, "{len}");
    }
}
