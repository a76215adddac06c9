//! An epoch has one writer, and what it acknowledged lies before all that later epochs did.

use std::collections::BTreeMap;

use cairn_partition::Seq;

use super::history::{Answer, Broken, History};

const CHECKER: &str = "one writer per epoch";

/// Fails when two nodes acknowledged commits in one epoch, or an epoch went on after its end.
///
/// # Errors
/// With the epochs and nodes.
pub fn check(history: &History) -> Result<(), Broken> {
    let mut epochs: BTreeMap<u64, (u32, Seq, Seq)> = BTreeMap::new();
    for operation in &history.operations {
        let Answer::Committed(seq) = operation.answer else { continue };
        let (epoch, node) = (operation.owner.epoch, operation.owner.node);
        let (owner, first, last) = epochs.entry(epoch).or_insert((node, seq, seq));
        if *owner != node {
            let detail = format!("nodes {owner} and {node} both acknowledged in epoch {epoch}");
            return Broken::err(CHECKER, detail);
        }
        (*first, *last) = ((*first).min(seq), (*last).max(seq));
    }
    let mut before: Option<(u64, Seq)> = None;
    for (epoch, (_, first, last)) in epochs {
        if let Some((old, end)) = before.filter(|(_, end)| first <= *end) {
            let detail = format!("epoch {old} acknowledged {end}, and epoch {epoch} {first}");
            return Broken::err(CHECKER, detail);
        }
        before = Some((epoch, last));
    }
    Ok(())
}
