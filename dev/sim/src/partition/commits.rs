//! What became of commits. Those that were acknowledged are there, at their positions and whole, and
//! come after all that was acknowledged before they began; those that were refused are nowhere; those in
//! doubt are there once or not at all; and nothing is there that nobody wrote.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_partition::{Change, Entry, Seq, What};

use super::history::{Answer, Broken, Call, History, Number, Operation, parse};

const CHECKER: &str = "acknowledged commits";

/// Fails when a commit was lost, torn, moved, doubled or made up.
///
/// # Errors
/// With the operation or change.
pub fn check(history: &History) -> Result<(), Broken> {
    let mut truth: BTreeMap<Seq, Vec<&Change>> = BTreeMap::new();
    for change in &history.truth {
        truth.entry(change.seq).or_default().push(change);
    }
    replays(history)?;
    let positions = written(&truth, history)?;
    for (number, operation) in history.numbered() {
        there(history, &truth, number, operation, positions.get(&number).copied())?;
    }
    in_order(history, &positions)
}

/// What was told, applied from the beginning, is what is there.
fn replays(history: &History) -> Result<(), Broken> {
    let mut entries: BTreeMap<Bytes, Entry> = BTreeMap::new();
    for change in &history.truth {
        match &change.what {
            What::Put(entry) => drop(entries.insert(entry.key.clone(), entry.clone())),
            What::Deleted { key, .. } => drop(entries.remove(key)),
            What::RangeDeleted(range) => entries.retain(|key, _| !range.contains(key)),
        }
    }
    if !entries.values().eq(&history.entries) {
        let detail = format!("{entries:?} was told, and {:?} is there", history.entries);
        return Broken::err(CHECKER, detail);
    }
    Ok(())
}

/// Where each operation's entries are. Each has one position.
fn written(
    truth: &BTreeMap<Seq, Vec<&Change>>,
    history: &History,
) -> Result<BTreeMap<Number, Seq>, Broken> {
    let mut positions = BTreeMap::new();
    for change in truth.values().flatten() {
        let What::Put(entry) = &change.what else { continue };
        let writer = parse(&entry.value).map(|(writer, _)| writer);
        let operation = writer.and_then(|writer| history.operation(writer));
        let (Some(writer), Some(operation)) = (writer, operation) else {
            return Broken::err(CHECKER, format!("nobody wrote {entry:?}"));
        };
        if !writes(operation, writer, &entry.key) || entry.seq != change.seq {
            return Broken::err(CHECKER, format!("operation {writer} did not write {entry:?}"));
        }
        if *positions.entry(writer).or_insert(change.seq) != change.seq {
            return Broken::err(CHECKER, format!("operation {writer} was made twice"));
        }
    }
    Ok(positions)
}

fn writes(operation: &Operation, number: Number, key: &Bytes) -> bool {
    puts(operation, number).iter().any(|(put, _)| put == key)
}

/// What an operation puts.
fn puts(operation: &Operation, number: Number) -> Vec<(Bytes, Bytes)> {
    let value = |balance| super::history::value(number, balance);
    match &operation.call {
        Call::Open(accounts) => {
            accounts.iter().map(|key| (key.clone(), value(super::driver::START))).collect()
        }
        Call::Put(key) | Call::Swap(key, _) => vec![(key.clone(), value(super::driver::START))],
        Call::Transfer { keys, seen, amount } => {
            let [from, to] = keys;
            vec![
                (from.clone(), value(seen[0].balance - amount)),
                (to.clone(), value(seen[1].balance + amount)),
            ]
        }
        Call::Get(_) | Call::Delete(_) | Call::DeleteRange(_) | Call::Audit => Vec::new(),
    }
}

fn there(
    history: &History,
    truth: &BTreeMap<Seq, Vec<&Change>>,
    number: Number,
    operation: &Operation,
    found: Option<Seq>,
) -> Result<(), Broken> {
    let wrong =
        |what: &str| Broken::err(CHECKER, format!("operation {number} {what}: {operation:?}"));
    let position = match operation.answer {
        Answer::Committed(_) if found.is_none() && history.may_be_lost(operation) => return Ok(()),
        Answer::Committed(seq) if found.is_some_and(|found| found != seq) => {
            return wrong("is at another position");
        }
        Answer::Committed(seq) => seq,
        Answer::Doubt => match found {
            Some(seq) => seq,
            None => return Ok(()),
        },
        _ if found.is_some() => return wrong("was refused, and made"),
        _ => return Ok(()),
    };
    let changes = truth.get(&position).map_or(&[][..], Vec::as_slice);
    let whole = puts(operation, number).into_iter().all(|(key, value)| {
        let put = |change: &&Change| {
            matches!(&change.what, What::Put(entry) if entry.key == key && entry.value == value)
        };
        changes.iter().any(put)
    });
    let deletes = match &operation.call {
        Call::Delete(key) => {
            let is = |what: &What| matches!(what, What::Deleted { key: found, expired: false } if found == key);
            // What was not there may have gone untold.
            changes.is_empty() || changes.iter().any(|change| is(&change.what))
        }
        Call::DeleteRange(range) => {
            let is = |what: &What| matches!(what, What::RangeDeleted(found) if found == range);
            changes.is_empty() || changes.iter().any(|change| is(&change.what))
        }
        _ => true,
    };
    if whole && deletes { Ok(()) } else { wrong("was acknowledged, and is not there") }
}

/// Positions follow the clock: what was acknowledged before another one began is before it.
fn in_order(history: &History, positions: &BTreeMap<Number, Seq>) -> Result<(), Broken> {
    let mut acknowledged: Vec<(u64, Seq)> = Vec::new();
    let mut begun: Vec<(u64, Seq)> = Vec::new();
    for (number, operation) in history.numbered() {
        match operation.answer {
            // It was lost, and its position was given to another one.
            Answer::Committed(_)
                if history.may_be_lost(operation) && !positions.contains_key(&number) => {}
            Answer::Committed(seq) => {
                acknowledged.push((operation.ended, seq));
                begun.push((operation.begun, seq));
            }
            Answer::Doubt => {
                begun.extend(positions.get(&number).map(|seq| (operation.begun, *seq)));
            }
            _ => {}
        }
    }
    acknowledged.sort_unstable();
    begun.sort_unstable();
    let mut ended = acknowledged.into_iter().peekable();
    let mut last = Seq(0);
    for (moment, seq) in begun {
        while let Some((_, seq)) = ended.next_if(|(ended, _)| *ended < moment) {
            last = last.max(seq);
        }
        if seq <= last {
            let detail = format!("commit {seq} began at {moment}, after {last} was acknowledged");
            return Broken::err(CHECKER, detail);
        }
    }
    Ok(())
}
