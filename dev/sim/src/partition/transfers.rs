//! Transfers are serialisable: each read what the one before it in the order of commits had left, so
//! that no money comes or goes; and an audit sees the state of one commit, no older than what was
//! acknowledged when it began.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_partition::{Change, Seq, What};

use super::driver::ACCOUNTS;
use super::history::{Answer, Broken, Call, History, Number, parse};

const CHECKER: &str = "serialisable transfers";

type Accounts = BTreeMap<Bytes, (Number, i64)>;

/// Fails when a transfer read what was not there, or an audit saw what never was.
///
/// # Errors
/// With the transfer or the audit.
pub fn check(history: &History) -> Result<(), Broken> {
    let states = states(history)?;
    let mut acknowledged: Vec<(u64, Seq)> = Vec::new();
    for operation in &history.operations {
        if let Answer::Committed(seq) = operation.answer
            && !history.may_be_lost(operation)
        {
            acknowledged.push((operation.ended, seq));
        }
    }
    for (number, operation) in history.numbered() {
        let (Call::Audit, Answer::Accounts(at, found)) = (&operation.call, &operation.answer)
        else {
            continue;
        };
        if history.may_be_lost(operation) {
            continue;
        }
        let wrong =
            |what: &str| Broken::err(CHECKER, format!("audit {number} {what}: {operation:?}"));
        let before = acknowledged.iter().filter(|(ended, _)| *ended < operation.begun);
        if before.map(|(_, seq)| *seq).max().is_some_and(|last| last > *at) {
            return wrong("is older than what was acknowledged");
        }
        let state = states.range(..=at).next_back().map(|(_, state)| state);
        let found: Accounts =
            found.iter().map(|(key, seen)| (key.clone(), (seen.writer, seen.balance))).collect();
        if state.is_none_or(|state| *state != found) {
            return wrong("is of no state");
        }
    }
    Ok(())
}

/// The accounts after each commit that changed one.
fn states(history: &History) -> Result<BTreeMap<Seq, Accounts>, Broken> {
    let mut states: BTreeMap<Seq, Accounts> = BTreeMap::from([(Seq(0), Accounts::new())]);
    let mut accounts = Accounts::new();
    let mut total: Option<i64> = None;
    for group in history.truth.chunk_by(|one, other| one.seq == other.seq) {
        let before = accounts.clone();
        group.iter().for_each(|change| apply(&mut accounts, change));
        if accounts == before {
            continue;
        }
        let Some(seq) = group.first().map(|change| change.seq) else { continue };
        for (key, (writer, _)) in
            accounts.iter().filter(|(key, now)| before.get(*key) != Some(*now))
        {
            reads(history, &before, key, *writer)?;
        }
        let now: i64 = accounts.values().map(|(_, balance)| balance).sum();
        // The first commit opens all accounts.
        if *total.get_or_insert(now) != now {
            return Broken::err(CHECKER, format!("commit {seq} leaves {now} of {total:?}"));
        }
        states.insert(seq, accounts.clone());
    }
    Ok(states)
}

fn apply(accounts: &mut Accounts, change: &Change) {
    match &change.what {
        What::Put(entry) if entry.key.starts_with(ACCOUNTS) => {
            accounts.insert(entry.key.clone(), parse(&entry.value).unwrap_or_default());
        }
        What::Put(_) => {}
        What::Deleted { key, .. } => drop(accounts.remove(key)),
        What::RangeDeleted(range) => accounts.retain(|key, _| !range.contains(key)),
    }
}

/// The transfer that wrote an account had read what was there before it.
fn reads(history: &History, before: &Accounts, key: &Bytes, writer: Number) -> Result<(), Broken> {
    let Some(operation) = history.operation(writer) else { return Ok(()) };
    let Call::Transfer { keys, seen, .. } = &operation.call else { return Ok(()) };
    for (account, seen) in keys.iter().zip(seen) {
        if before.get(account) != Some(&(seen.writer, seen.balance)) {
            let detail = format!(
                "operation {writer} wrote {key:?} after reading {seen:?} of {account:?}, which was {:?}",
                before.get(account)
            );
            return Broken::err(CHECKER, detail);
        }
    }
    Ok(())
}
