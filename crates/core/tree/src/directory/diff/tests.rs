use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::directory::tests::{Pages, build, file};

type Tree = BTreeMap<u32, u8>;

fn entries(tree: &Tree) -> Vec<Entry> {
    tree.iter().map(|(n, seed)| file(&format!("some-name-{n:06}"), *seed)).collect()
}

/// All differences, and the number of pages that were needed.
fn diff(left: &[Entry], right: &[Entry]) -> (Vec<Step>, usize) {
    let mut pages = Pages::new();
    let (left, _) = build(left, &mut pages);
    let (right, _) = build(right, &mut pages);
    let mut diff = Diff::new(left, right);
    let mut steps = Vec::new();
    let mut needs = 0;
    loop {
        match diff.step() {
            Step::Need { side, page } => {
                assert_eq!(diff.step(), Step::Need { side, page });
                needs += 1;
                diff.supply(side, DirectoryPage::decode(&pages[&page]).unwrap()).unwrap();
            }
            Step::Done => return (steps, needs),
            step => steps.push(step),
        }
    }
}

fn model(left: &Tree, right: &Tree) -> Vec<Step> {
    let all: BTreeMap<u32, ()> = left.keys().chain(right.keys()).map(|n| (*n, ())).collect();
    let entry = |n: u32, seed: u8| entries(&Tree::from([(n, seed)])).remove(0);
    all.keys()
        .filter_map(|n| match (left.get(n), right.get(n)) {
            (Some(l), None) => Some(Step::Left(entry(*n, *l))),
            (None, Some(r)) => Some(Step::Right(entry(*n, *r))),
            (Some(l), Some(r)) if l != r => {
                Some(Step::Both { left: entry(*n, *l), right: entry(*n, *r) })
            }
            _ => None,
        })
        .collect()
}

fn check(left: &Tree, right: &Tree) -> usize {
    let (steps, needs) = diff(&entries(left), &entries(right));
    assert_eq!(steps, model(left, right));
    needs
}

#[test]
fn equal_directories_need_no_page() {
    let tree: Tree = (0..5000).map(|n| (n, 1)).collect();
    assert_eq!(check(&tree, &tree), 0);
    assert_eq!(check(&Tree::new(), &Tree::new()), 0);
}

#[test]
fn one_change_needs_the_pages_on_its_path() {
    let tree: Tree = (0..20_000).map(|n| (n, 1)).collect();
    let mut other = tree.clone();
    other.insert(12_345, 2);
    assert_eq!(check(&tree, &other), 4);
    other.remove(&1);
    other.insert(50_000, 1);
    assert!(check(&tree, &other) <= 12);
}

#[test]
fn one_side_may_be_empty_or_much_smaller() {
    let tree: Tree = (0..5000).map(|n| (n, 1)).collect();
    check(&tree, &Tree::new());
    check(&Tree::new(), &tree);
    check(&tree, &Tree::from([(2500, 1)]));
    check(&Tree::from([(2500, 2)]), &tree);
}

#[test]
fn a_page_that_is_not_the_one_named_is_refused() {
    let mut pages = Pages::new();
    let many: Vec<_> = (0..5000).map(|n| file(&format!("{n:05}"), 1)).collect();
    let (top, _) = build(&many, &mut pages);
    let top = top.unwrap();
    let mut diff = Diff::new(Some(top), None);
    let load = |id| DirectoryPage::decode(&pages[&id]).unwrap();
    assert_eq!(diff.step(), Step::Need { side: Side::Left, page: top });
    diff.supply(Side::Left, load(top)).unwrap();
    let Step::Need { page, .. } = diff.step() else { panic!("it needs the first leaf") };
    assert_ne!(page, top);
    let error = diff.supply(Side::Left, load(top)).unwrap_err();
    assert_eq!(error, Error::Child { what: "level" });
    assert_eq!(diff.step(), Step::Need { side: Side::Left, page });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn differences_are_those_of_a_naive_comparison(
        base in prop::collection::btree_map(0..4000_u32, 0..3_u8, 0..3000),
        removed in prop::collection::vec(0..4000_u32, 0..20),
        added in prop::collection::vec((0..4000_u32, 0..3_u8), 0..20),
        cut in 0..4000_u32,
    ) {
        let mut other = base.clone();
        for n in &removed {
            other.remove(n);
        }
        other.extend(added.iter().copied());
        check(&base, &other);
        other.retain(|n, _| *n < cut);
        check(&base, &other);
        check(&other, &base);
    }
}
