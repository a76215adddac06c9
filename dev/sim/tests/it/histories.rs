//! Histories that must not be, each refused by the checker that is for it.

use bytes::Bytes;
use cairn_partition::{Change, Changes, Durable, Entry, KeyRange, Seq, What};
use cairn_sim::partition::history::{
    Answer, Broken, Call, History, Operation, Owner, Seen, Watched, value,
};
use cairn_sim::partition::{START, check, commits, keys, owners, transfers, watches};

use Answer::{Accounts, Committed, Doubt, Found, Refused};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Operations one after the other, the first of which opens the accounts `a/0` and `a/1`.
fn begun() -> History {
    let mut history = History::default();
    let accounts = vec![bytes("a/0"), bytes("a/1")];
    did(&mut history, Call::Open(accounts), Committed(Seq(1)));
    for key in ["a/0", "a/1"] {
        tell(&mut history, 1, put(key, 0, START, 1));
    }
    history
}

fn did(history: &mut History, call: Call, answer: Answer) -> u64 {
    let number = history.operations.len() as u64;
    let (begun, ended) = (number * 2 + 1, number * 2 + 2);
    let owner = Owner { epoch: 1, node: 1 };
    let level = Durable::Log;
    history.operations.push(Operation { client: 1, owner, level, begun, ended, call, answer });
    number
}

fn put(key: &str, writer: u64, balance: i64, seq: u64) -> What {
    let (key, value) = (bytes(key), value(writer, balance));
    What::Put(Entry { key, value, reference: None, seq: Seq(seq), expires_ms: None })
}

/// A change that was made and told.
fn tell(history: &mut History, seq: u64, what: What) {
    match &what {
        What::Put(entry) => {
            history.entries.retain(|one| one.key != entry.key);
            history.entries.push(entry.clone());
            history.entries.sort_by(|one, other| one.key.cmp(&other.key));
        }
        What::Deleted { key, .. } => history.entries.retain(|one| one.key != *key),
        What::RangeDeleted(range) => history.entries.retain(|one| !range.contains(&one.key)),
    }
    history.truth.push(Change { seq: Seq(seq), time_ms: seq, what });
}

/// A put of `k/0` that was acknowledged and made.
fn puts(history: &mut History, seq: u64) -> u64 {
    let number = did(history, Call::Put(bytes("k/0")), Committed(Seq(seq)));
    tell(history, seq, put("k/0", number, START, seq));
    number
}

fn seen(writer: u64, balance: i64, seq: u64) -> Seen {
    Seen { writer, seq: Seq(seq), balance }
}

fn transfers_of(history: &mut History, seen: [Seen; 2], answer: Answer) -> u64 {
    let keys = [bytes("a/0"), bytes("a/1")];
    did(history, Call::Transfer { keys, seen, amount: 10 }, answer)
}

#[track_caller]
fn refused(found: Result<(), Broken>, part: &str) {
    let broken = found.unwrap_err();
    assert!(broken.detail.contains(part), "{broken}");
}

/// A history of everything, all of it as it should be.
fn good() -> History {
    let mut history = begun();
    let first = puts(&mut history, 2);
    did(&mut history, Call::Get(bytes("k/0")), Found(Some(seen(first, START, 2))));
    let moved = transfers_of(&mut history, [seen(0, START, 1); 2], Committed(Seq(3)));
    tell(&mut history, 3, put("a/0", moved, 90, 3));
    tell(&mut history, 3, put("a/1", moved, 110, 3));
    let accounts = vec![(bytes("a/0"), seen(moved, 90, 3)), (bytes("a/1"), seen(moved, 110, 3))];
    did(&mut history, Call::Audit, Accounts(Seq(3), accounts));
    did(&mut history, Call::DeleteRange(KeyRange::prefix("k/")), Committed(Seq(4)));
    tell(&mut history, 4, What::RangeDeleted(KeyRange::prefix("k/")));
    let never = did(&mut history, Call::Put(bytes("k/1")), Doubt);
    let later = did(&mut history, Call::Put(bytes("k/1")), Doubt);
    assert!(never < later);
    did(&mut history, Call::Get(bytes("k/1")), Found(None));
    tell(&mut history, 5, put("k/1", later, START, 5));
    did(&mut history, Call::Get(bytes("k/1")), Found(Some(seen(later, START, 5))));
    let stale = Call::Swap(bytes("k/1"), None);
    did(&mut history, stale, Refused);
    let part = |from: usize, to: usize, upto| Changes {
        changes: history.truth[from..to].to_vec(),
        upto: Seq(upto),
    };
    let whole = Watched { after: Seq(0), parts: vec![part(0, 3, 2), part(3, 6, 4), part(6, 7, 5)] };
    let late = Watched { after: Seq(3), parts: vec![part(0, 0, 3), part(5, 7, 5)] };
    history.watched = vec![whole, late, Watched::default()];
    history
}

#[test]
fn a_good_history_passes() {
    check(&good()).unwrap();
}

/// LOG-1
#[test]
fn an_epoch_has_one_writer() {
    let mut history = good();
    history.operations[3].owner.node = 2;
    refused(owners::check(&history), "both acknowledged in epoch 1");
    // A new epoch, and the old one goes on.
    let mut history = good();
    history.operations[1].owner = Owner { epoch: 2, node: 2 };
    refused(owners::check(&history), "epoch 1 acknowledged 4, and epoch 2 2");
    // Two owners, one after the other, are as it should be.
    let mut history = good();
    history.operations[5].owner = Owner { epoch: 2, node: 2 };
    owners::check(&history).unwrap();
    check(&history).unwrap();
}

#[test]
fn watches_have_no_gap() {
    let broken: [fn(&mut Vec<Changes>); 6] = [
        // Left out, alone and with its part.
        |parts| drop(parts[1].changes.remove(1)),
        |parts| drop(parts.remove(1)),
        // Told twice, in one part and in two.
        |parts| {
            let again = parts[0].changes[2].clone();
            parts[0].changes.push(again);
        },
        |parts| parts.insert(1, parts[0].clone()),
        // Out of order, and a part that ends within a commit.
        |parts| parts[1].changes.swap(0, 2),
        |parts| {
            let torn = parts[1].changes.split_off(1);
            parts[1].upto = Seq(3);
            parts.insert(2, Changes { changes: torn, upto: Seq(4) });
        },
    ];
    for (number, change) in broken.iter().enumerate() {
        let mut history = good();
        change(&mut history.watched[0].parts);
        let found = watches::check(&history);
        assert!(found.is_err(), "{number}");
    }
    let mut history = good();
    history.truth[6].time_ms = 0;
    refused(watches::check(&history), "time of commits goes back");
}

#[test]
fn acknowledged_commits_are_there() {
    // Lost: nobody is told of it, and it is not there.
    let lost = |level| {
        let mut history = begun();
        did(&mut history, Call::Put(bytes("k/0")), Committed(Seq(2)));
        history.operations[1].level = level;
        history
    };
    refused(commits::check(&lost(Durable::Log)), "is not there");
    // A lost disk takes what was only in the log.
    let mut history = lost(Durable::Log);
    history.losses = vec![100];
    commits::check(&history).unwrap();
    keys::check(&history).unwrap();
    let mut history = lost(Durable::Bucket);
    history.losses = vec![100];
    refused(commits::check(&history), "is not there");
    let mut history = lost(Durable::Log);
    history.losses = vec![3];
    refused(commits::check(&history), "is not there");
    // A lost delete of a range.
    let mut history = good();
    history.truth[5].what = What::RangeDeleted(KeyRange::prefix("x/"));
    refused(commits::check(&history), "");
}

#[test]
fn commits_are_whole_once_and_in_order() {
    // Torn: one account of two was opened.
    let mut history = begun();
    history.truth.pop();
    history.entries.pop();
    refused(commits::check(&history), "operation 0 was acknowledged, and is not there");
    // At another position than it was told.
    let mut history = begun();
    did(&mut history, Call::Put(bytes("k/0")), Committed(Seq(3)));
    tell(&mut history, 2, put("k/0", 1, START, 2));
    refused(commits::check(&history), "another position");
    // Twice.
    let mut history = begun();
    puts(&mut history, 2);
    tell(&mut history, 3, put("k/0", 1, START, 3));
    refused(commits::check(&history), "made twice");
    // In doubt, and twice.
    history.operations[1].answer = Doubt;
    refused(commits::check(&history), "made twice");
    // Before one that was acknowledged when it began.
    let mut history = begun();
    let (first, second) = (2, 3);
    did(&mut history, Call::Put(bytes("k/0")), Committed(Seq(second)));
    did(&mut history, Call::Put(bytes("k/1")), Committed(Seq(first)));
    tell(&mut history, first, put("k/1", 2, START, first));
    tell(&mut history, second, put("k/0", 1, START, second));
    refused(commits::check(&history), "commit 2 began at 5, after 3 was acknowledged");
    // At the same time either may be first.
    history.operations[2].begun = 3;
    commits::check(&history).unwrap();
}

#[test]
fn nothing_is_there_that_nobody_wrote() {
    let mut history = begun();
    did(&mut history, Call::Put(bytes("k/0")), Refused);
    tell(&mut history, 2, put("k/0", 1, START, 2));
    refused(commits::check(&history), "was refused, and made");
    let mut history = begun();
    tell(&mut history, 2, put("k/0", 99, START, 2));
    refused(commits::check(&history), "nobody wrote");
    let mut history = begun();
    puts(&mut history, 2);
    tell(&mut history, 3, put("k/1", 1, START, 3));
    refused(commits::check(&history), "did not write");
    // What is there is what was told.
    let mut history = begun();
    puts(&mut history, 2);
    history.entries.pop();
    refused(commits::check(&history), "is there");
}

#[test]
fn money_neither_comes_nor_goes() {
    let open = || [seen(0, START, 1); 2];
    // Two transfers that read the same state: an update is lost.
    let mut history = begun();
    for seq in 2..4 {
        let number = transfers_of(&mut history, open(), Committed(Seq(seq)));
        tell(&mut history, seq, put("a/0", number, 90, seq));
        tell(&mut history, seq, put("a/1", number, 110, seq));
    }
    commits::check(&history).unwrap();
    refused(transfers::check(&history), "operation 2 wrote");
    // One account of two was written.
    let mut history = begun();
    let number = transfers_of(&mut history, open(), Committed(Seq(2)));
    tell(&mut history, 2, put("a/0", number, 90, 2));
    refused(transfers::check(&history), "leaves 190 of Some(200)");
    // A deleted account.
    let mut history = begun();
    tell(&mut history, 2, What::RangeDeleted(KeyRange::prefix("a/1")));
    refused(transfers::check(&history), "leaves 100");
}

#[test]
fn audits_see_one_state() {
    let audited = |accounts: [Seen; 2], at| {
        let mut history = begun();
        let number = transfers_of(&mut history, [seen(0, START, 1); 2], Committed(Seq(2)));
        tell(&mut history, 2, put("a/0", number, 90, 2));
        tell(&mut history, 2, put("a/1", number, 110, 2));
        let [from, to] = accounts;
        let found = vec![(bytes("a/0"), from), (bytes("a/1"), to)];
        did(&mut history, Call::Audit, Accounts(Seq(at), found));
        history
    };
    let (old, from, to) = (seen(0, START, 1), seen(1, 90, 2), seen(1, 110, 2));
    transfers::check(&audited([from, to], 2)).unwrap();
    refused(transfers::check(&audited([from, old], 2)), "of no state");
    refused(transfers::check(&audited([old, old], 2)), "of no state");
    refused(transfers::check(&audited([old, old], 1)), "older than what was acknowledged");
    // While the transfer was under way it may be seen or not.
    let mut history = audited([old, old], 1);
    history.operations[2].begun = 3;
    transfers::check(&history).unwrap();
}

#[test]
fn reads_fit_an_order() {
    let cases: [(&[(Call, Answer)], bool); 5] = [
        (&[(Call::Get(bytes("k/0")), Found(Some(seen(1, START, 2))))], true),
        (&[(Call::Get(bytes("k/0")), Found(None))], false),
        (&[(Call::Get(bytes("k/0")), Found(Some(seen(7, START, 2))))], false),
        (&[(Call::Swap(bytes("k/0"), None), Refused)], true),
        (&[(Call::Swap(bytes("k/0"), Some(seen(1, START, 2))), Refused)], false),
    ];
    for (number, (operations, good)) in cases.into_iter().enumerate() {
        let mut history = begun();
        puts(&mut history, 2);
        for (call, answer) in operations {
            did(&mut history, call.clone(), answer.clone());
        }
        assert_eq!(keys::check(&history).is_ok(), good, "{number}");
    }
    // What was in doubt and seen does not go away by itself.
    let mut history = begun();
    let writer = did(&mut history, Call::Put(bytes("k/0")), Doubt);
    did(&mut history, Call::Get(bytes("k/0")), Found(Some(seen(writer, START, 2))));
    keys::check(&history).unwrap();
    did(&mut history, Call::Get(bytes("k/0")), Found(None));
    refused(keys::check(&history), "no order for k/0");
}
