use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::hash_tree::tests::{bytes, tree};

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

/// Everything else follows from the tree's shape; of huge contents that is all there is to see.
#[test]
fn lengths_of_proofs_are_known_without_walking_them() {
    let group = GROUP_BYTES as u64;
    assert_eq!(proof_bytes(0, &(0..0)), 0);
    assert_eq!(proof_bytes(1, &(0..1)), 1);
    assert_eq!(proof_bytes(group + 1, &(group..group + 1)), 64 + 1);
    assert_eq!(proof_bytes(1 << 50, &(0..1 << 50)), ((1 << 36) - 1) * 64 + (1 << 50));
    assert_eq!(proof_bytes(1 << 50, &(77..78)), 36 * 64 + group);
    let most = CONTENT_BYTES_MAX;
    assert_eq!(proof_bytes(most, &(0..1)), 49 * 64 + group);
    assert_eq!(ProofParts::new(most, most - 1..most).count(), 50);
}

/// An empty content has a proof too: that its root is the hash of nothing.
#[test]
fn chunk_3_nothing_is_proved_of_an_empty_content_but_that_it_is_empty() {
    let root = *blake3::hash(b"").as_bytes();
    assert_eq!(verify_range(&root, 0, &(0..0), &[], &[]), Ok(()));
    let other = *blake3::hash(b"x").as_bytes();
    let refused = verify_range(&other, 0, &(0..0), &[], &[]);
    assert_eq!(refused, Err(ProofError::Mismatch { start: 0 }));
}

/// A wrong length gives another tree: bytes are then refused, or are those of the content all the
/// same, at the place where they are said to be.
#[test]
fn chunk_3_a_wrong_length_proves_nothing_false() {
    let content = bytes(200_000);
    let (root, nodes) = tree(&content, 9000);
    let range = 20_000..30_000;
    let data = groups_of(&content, &range);
    for len in [30_000, 199_999, 200_001, 212_992, 262_144, 1 << 40] {
        let path: Vec<Node> = nodes_for_range(200_000, &range)
            .into_iter()
            .map(|position| nodes[usize::try_from(position).unwrap()])
            .collect();
        let accepted = verify_range(&root, len, &range, &path, &data).is_ok();
        // The tree of these lengths has the same shape on the way to this range.
        assert_eq!(accepted, matches!(len, 199_999 | 200_001 | 212_992 | 262_144), "{len}");
    }
    // The last group tells them apart.
    let range = 199_000..200_000;
    let (data, path) = (groups_of(&content, &range), proof(&nodes, 200_000, &range));
    assert_eq!(verify_range(&root, 200_000, &range, &path, &data), Ok(()));
    assert!(verify_range(&root, 199_999, &range, &path, &data).is_err());
    assert!(verify_range(&root, 200_001, &range, &path, &data).is_err());
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
        let bytes = data.len() + path.len() * NODE_BYTES;
        prop_assert_eq!(proof_bytes(total, &range), bytes as u64);

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
