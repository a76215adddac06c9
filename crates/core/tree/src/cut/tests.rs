use alloc::vec::Vec;

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

/// Cuts behind a candidate are those of the same items elsewhere. How soon one comes is chance, so this
/// counts over many edits.
#[test]
fn cuts_agree_again_after_an_edit() {
    const EDITS: u64 = 300;
    let mut differ = 0;
    for seed in 0..EDITS {
        let (weight, at) = (46 + mix(seed) % 1022, usize::try_from(mix(!seed) % 3000).unwrap());
        let mut items: Vec<_> =
            (0..4000).map(|n| (weight, mix(mix(seed).wrapping_add(n)))).collect();
        let before = cuts(&items);
        items.remove(at);
        let after = cuts(&items).into_iter().map(|cut| cut + usize::from(cut >= at));
        let after: Vec<_> = after.collect();
        differ += before.iter().filter(|c| !after.contains(c)).count()
            + after.iter().filter(|c| !before.contains(c)).count();
        assert_eq!(before.last(), after.last(), "edit {seed}");
    }
    let mean = differ as f64 / EDITS as f64;
    assert!(mean < 3.0, "{mean} cuts differ for one edit");
}
