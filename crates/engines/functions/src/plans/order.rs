//! The order in which steps are done.

use std::collections::{BTreeMap, BTreeSet};

use super::Step;

/// Names in an order in which each comes after those it waits for; or names that wait for each other in a circle, the
/// first one again at its end.
pub(super) fn order(steps: &BTreeMap<String, Step>) -> Result<Vec<&str>, Vec<&str>> {
    let (mut ordered, mut seen) = (Vec::new(), BTreeSet::new());
    for name in steps.keys() {
        visit(steps, name, &mut Vec::new(), &mut seen, &mut ordered)?;
    }
    Ok(ordered)
}

/// Depth first; `open` is the way from where it began. Bounded by the number of steps.
fn visit<'a>(
    steps: &'a BTreeMap<String, Step>,
    name: &'a str,
    open: &mut Vec<&'a str>,
    seen: &mut BTreeSet<&'a str>,
    ordered: &mut Vec<&'a str>,
) -> Result<(), Vec<&'a str>> {
    if let Some(at) = open.iter().position(|one| *one == name) {
        let circle = open[at..].iter().copied();
        return Err(circle.chain([name]).collect());
    }
    if !seen.insert(name) {
        return Ok(());
    }
    open.push(name);
    let inputs = steps.get(name).map_or(&[][..], |step| &step.inputs);
    for input in inputs {
        visit(steps, input, open, seen, ordered)?;
    }
    open.pop();
    ordered.push(name);
    Ok(())
}
