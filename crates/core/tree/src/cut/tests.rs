use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn cuts(items: &[(u64, u64)]) -> Vec<usize> {
    let mut cut = Cut::default();
    (0..items.len()).filter(|&at| cut.after(items[at].0, items[at].1)).collect()
}

fn items(count: u64, weight: u64) -> Vec<(u64, u64)> {
    (0..count).map(|n| (weight, mix(n + 1))).collect()
}

/// These decide where stored directories are cut: another value makes every push rewrite them.
#[test]
fn the_hash_of_a_name_is_pinned() {
    assert_eq!(name_hash(b""), 0xefd0_1f60_ba99_2926);
    assert_eq!(name_hash(b"a"), 0x82a2_a958_a9be_ce5b);
    assert_eq!(name_hash(b"package.json"), 0x1956_3b82_9d3b_2989);
}

#[test]
fn pages_are_as_heavy_as_intended() {
    let items = items(1_000_000, 60);
    let cuts = cuts(&items);
    let mean = 60 * items.len() / cuts.len();
    assert!((18 * 1024..23 * 1024).contains(&mean), "mean {mean}");
    let gap_max = cuts.windows(2).map(|pair| (pair[1] - pair[0]) * 60).max().unwrap();
    assert!(gap_max < 48 * 1024, "a page of weight {gap_max}");
}

#[test]
fn the_first_page_is_not_shorter_than_the_minimum() {
    // Every item is a candidate, so each is too close to the one before, until pages are long.
    let items: Vec<_> = (0..1000).map(|_| (100, 0)).collect();
    assert_eq!(cuts(&items)[0], 266);
}

proptest! {
    /// Cuts behind a candidate are those of the same items elsewhere.
    #[test]
    fn cuts_agree_again_after_an_edit(seed: u64, at in 0..3000_usize, weight in 46..1068_u64) {
        let mut items: Vec<_> = (0..4000).map(|n| (weight, mix(seed.wrapping_add(n)))).collect();
        let before = cuts(&items);
        items.remove(at);
        let after = cuts(&items).into_iter().map(|cut| cut + usize::from(cut >= at));
        let after: Vec<_> = after.collect();
        let differ = before.iter().filter(|c| !after.contains(c)).count()
            + after.iter().filter(|c| !before.contains(c)).count();
        prop_assert!(differ <= 12, "{} cuts differ", differ);
        prop_assert_eq!(before.last(), after.last());
    }
}
