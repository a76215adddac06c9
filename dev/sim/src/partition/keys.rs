//! Linearisability, key by key: each key is an object of its own. What touches several keys is looked
//! at once for each; that it is atomic is what [`super::commits`] and [`super::transfers`] look at.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cairn_partition::{Seq, What};

use super::history::{Answer, Broken, Call, History, Number, Operation, Seen, parse};
use super::wgl::{self, Object, Timed, Verdict};

const CHECKER: &str = "linearisable per key";

/// A key: who wrote its entry, if it has one.
pub struct Key;

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was read, and this was found.
    Read(Option<Number>),
    /// It is written, or deleted.
    Write(Option<Number>),
    /// It was as expected, and is written.
    Swap(Option<Number>, Number),
    /// It was not as expected.
    Refused(Option<Number>),
}

impl Object for Key {
    type State = Option<Number>;
    type Action = Action;

    fn start(&self) -> Option<Number> {
        None
    }

    fn reads(&self, action: &Action) -> bool {
        matches!(action, Action::Read(_) | Action::Refused(_))
    }

    fn step(&self, state: &Option<Number>, action: &Action) -> Option<Option<Number>> {
        match *action {
            Action::Read(found) => (*state == found).then_some(*state),
            Action::Write(writer) => Some(writer),
            Action::Swap(expected, writer) => (*state == expected).then_some(Some(writer)),
            Action::Refused(expected) => (*state != expected).then_some(*state),
        }
    }
}

/// Fails when the answers about some key fit no order.
///
/// # Errors
/// With the key and what was done with it.
pub fn check(history: &History) -> Result<(), Broken> {
    let positions = positions(history);
    for key in keys(history) {
        let numbered = history.numbered();
        let timed = numbered.filter_map(|(number, one)| {
            let guess = positions.get(&number).map_or(u64::MAX, |seq| seq.0);
            timed(history, number, one, &key, guess)
        });
        let actions = that_matter(timed.collect());
        let name = key.escape_ascii();
        match wgl::check(&Key, &actions) {
            Verdict::Linearisable => {}
            Verdict::Not => {
                return Broken::err(CHECKER, format!("no order for {name}: {actions:?}"));
            }
            Verdict::Undecided => {
                return Broken::err(
                    CHECKER,
                    format!("{name} cannot be decided: use fewer clients"),
                );
            }
        }
    }
    Ok(())
}

/// Where commits stand, also those in doubt, as far as it can be guessed from what was told.
fn positions(history: &History) -> BTreeMap<Number, Seq> {
    let mut positions = BTreeMap::new();
    let mut untaken: BTreeMap<Seq, &What> =
        history.truth.iter().map(|change| (change.seq, &change.what)).collect();
    for (number, operation) in history.numbered() {
        if let Answer::Committed(seq) = operation.answer {
            positions.insert(number, seq);
            untaken.remove(&seq);
        }
    }
    for change in &history.truth {
        if let What::Put(entry) = &change.what
            && let Some((writer, _)) = parse(&entry.value)
        {
            positions.entry(writer).or_insert(change.seq);
            untaken.remove(&change.seq);
        }
    }
    for (number, operation) in history.numbered() {
        let same = |what: &What| match (&operation.call, what) {
            (Call::Delete(key), What::Deleted { key: found, .. }) => key == found,
            (Call::DeleteRange(range), What::RangeDeleted(found)) => range == found,
            _ => false,
        };
        let found = untaken.iter().find(|(_, what)| same(what)).map(|(seq, _)| *seq);
        if let Some(seq) = found.filter(|_| operation.answer == Answer::Doubt) {
            positions.insert(number, seq);
            untaken.remove(&seq);
        }
    }
    positions
}

/// Leaves out writes in doubt that nobody can have noticed: whether they were made or not, the others
/// have the same order. A refusal may come of any write.
fn that_matter(mut actions: Vec<Timed<Action>>) -> Vec<Timed<Action>> {
    let mut noticed: BTreeSet<Option<Number>> = BTreeSet::from([None]);
    for timed in &actions {
        match timed.action {
            Action::Refused(_) => return actions,
            Action::Read(found) | Action::Swap(found, _) => drop(noticed.insert(found)),
            Action::Write(_) => {}
        }
    }
    actions.retain(|timed| match timed.action {
        Action::Write(writer) => timed.ended.is_some() || noticed.contains(&writer),
        Action::Swap(_, writer) => timed.ended.is_some() || noticed.contains(&Some(writer)),
        Action::Read(_) | Action::Refused(_) => true,
    });
    actions
}

fn keys(history: &History) -> BTreeSet<Bytes> {
    let mut keys = BTreeSet::new();
    for operation in &history.operations {
        match &operation.call {
            Call::Get(key) | Call::Put(key) | Call::Delete(key) | Call::Swap(key, _) => {
                keys.insert(key.clone());
            }
            Call::Transfer { keys: both, .. } => keys.extend(both.iter().cloned()),
            Call::Open(accounts) => keys.extend(accounts.iter().cloned()),
            Call::DeleteRange(_) | Call::Audit => {}
        }
    }
    keys
}

/// What an operation did with one key.
fn timed(
    history: &History,
    number: Number,
    operation: &Operation,
    key: &Bytes,
    guess: u64,
) -> Option<Timed<Action>> {
    let action = action(number, operation, key)?;
    let doubt = operation.answer == Answer::Doubt || history.may_be_lost(operation);
    let writes = matches!(action, Action::Write(_) | Action::Swap(..));
    let ended = (!(doubt && writes)).then_some(operation.ended);
    Some(Timed { begun: operation.begun, ended, action, guess })
}

fn action(number: Number, operation: &Operation, key: &Bytes) -> Option<Action> {
    let writer = |seen: &Option<Seen>| seen.map(|seen| seen.writer);
    let made = matches!(operation.answer, Answer::Committed(_) | Answer::Doubt);
    match (&operation.call, &operation.answer) {
        (Call::Get(read), Answer::Found(found)) if read == key => Some(Action::Read(writer(found))),
        (Call::Open(accounts), _) if accounts.contains(key) && made => {
            Some(Action::Write(Some(number)))
        }
        (Call::Put(put), _) if put == key && made => Some(Action::Write(Some(number))),
        (Call::Delete(deleted), _) if deleted == key && made => Some(Action::Write(None)),
        (Call::DeleteRange(range), _) if range.contains(key) && made => Some(Action::Write(None)),
        (Call::Swap(put, expected), answer) if put == key => match answer {
            Answer::Refused => Some(Action::Refused(writer(expected))),
            _ if made => Some(Action::Swap(writer(expected), number)),
            _ => None,
        },
        (Call::Transfer { keys, seen, .. }, _) if made => {
            let at = keys.iter().position(|account| account == key)?;
            Some(Action::Swap(Some(seen[at].writer), number))
        }
        (Call::Audit, Answer::Accounts(_, found)) => {
            let accounts: BTreeMap<_, _> = found.iter().cloned().collect();
            let found = accounts.get(key).map(|seen| seen.writer);
            // Only accounts are audited.
            key.starts_with(super::driver::ACCOUNTS).then_some(Action::Read(found))
        }
        _ => None,
    }
}
