//! A watch tells every change once, in the order of commits, each commit whole, and nothing else.

use cairn_partition::{Change, Seq};

use super::history::{Broken, History, Watched};

const CHECKER: &str = "watch without gap";

/// Fails when a watcher was told something twice, late, torn, or not at all.
///
/// # Errors
/// With the watcher's number.
pub fn check(history: &History) -> Result<(), Broken> {
    let truth = &history.truth;
    if let Some(pair) = truth.windows(2).find(|pair| pair[0].seq > pair[1].seq) {
        return Broken::err(CHECKER, format!("the order of commits goes back: {pair:?}"));
    }
    if let Some(pair) = truth.windows(2).find(|pair| pair[0].time_ms > pair[1].time_ms) {
        return Broken::err(CHECKER, format!("the time of commits goes back: {pair:?}"));
    }
    for (number, watched) in history.watched.iter().enumerate() {
        watcher(truth, number, watched)?;
    }
    Ok(())
}

fn watcher(truth: &[Change], number: usize, watched: &Watched) -> Result<(), Broken> {
    let mut after = watched.after;
    for part in &watched.parts {
        if part.upto < after {
            let detail = format!("watcher {number} was sent back from {after} to {}", part.upto);
            return Broken::err(CHECKER, detail);
        }
        let expected = between(truth, after, part.upto);
        if part.changes != expected {
            let detail = format!(
                "watcher {number} was told {:?} after {after} to {}, which is {expected:?}",
                part.changes, part.upto
            );
            return Broken::err(CHECKER, detail);
        }
        after = part.upto;
    }
    Ok(())
}

/// The changes after `after`, to `upto`.
fn between(truth: &[Change], after: Seq, upto: Seq) -> &[Change] {
    let first = truth.partition_point(|change| change.seq <= after);
    let last = truth.partition_point(|change| change.seq <= upto);
    truth.get(first..last).unwrap_or_default()
}
