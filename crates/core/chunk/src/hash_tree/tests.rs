use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
}

fn tree(content: &[u8], piece: usize) -> ([u8; 32], Vec<Node>) {
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

fn groups_of(content: &[u8], range: &Range<u64>) -> Vec<u8> {
    let group = GROUP_BYTES as u64;
    let first = usize::try_from(range.start / group * group).unwrap();
    let end = usize::try_from(range.end.div_ceil(group) * group).unwrap().min(content.len());
    content[first.min(end)..end].to_vec()
}

fn proof(nodes: &[Node], len: u64, range: &Range<u64>) -> Vec<Node> {
    nodes_for_range(len, range)
        .into_iter()
        .map(|position| nodes[usize::try_from(position).unwrap()])
        .collect()
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// CHUNK-3: a true range is accepted, and any flipped bit in data or proof is refused.
    #[test]
    fn chunk_3_only_true_ranges_are_accepted(
        len in 1_usize..400_000, a: u32, b: u32, flip: u32, piece in 1_usize..70_000,
    ) {
        let content = bytes(len);
        let total = len as u64;
        let (root, nodes) = tree(&content, piece);
        let start = u64::from(a) % total;
        let range = start..(start + 1 + u64::from(b) % (total - start));
        let data = groups_of(&content, &range);
        let path = proof(&nodes, total, &range);
        prop_assert_eq!(verify_range(&root, total, &range, &path, &data), Ok(()));

        let mut bad = data.clone();
        let at = flip as usize % bad.len();
        bad[at] ^= 1 << (flip % 8);
        prop_assert!(verify_range(&root, total, &range, &path, &bad).is_err());
        if !path.is_empty() {
            let mut bad = path.clone();
            let at = flip as usize % bad.len();
            bad[at][flip as usize % NODE_BYTES] ^= 1;
            prop_assert!(verify_range(&root, total, &range, &bad, &data).is_err());
            prop_assert!(verify_range(&root, total, &range, &path[1..], &data).is_err());
        }
        prop_assert!(verify_range(&root, total, &range, &path, &data[1..]).is_err());
    }
}
