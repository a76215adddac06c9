use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;

use super::{Subject, fresh, make, put, value};
use crate::{AnyPartition, At, Commit, Error, KeyRange, Scan, Seq, Transaction};

const CLIENTS: usize = 100;

async fn count(partition: &AnyPartition, key: &[u8]) -> u64 {
    let found = value(partition, key, At::Durable).await.unwrap();
    std::str::from_utf8(&found).unwrap().parse().unwrap()
}

/// Many that read a counter and write it on condition: every success counts.
pub(super) async fn counters_lose_no_update(subject: &dyn Subject) {
    let partition = fresh(subject, "counters").await;
    make(&partition, Commit::new().put("0", "0").put("1", "0").put("2", "0")).await;
    let client = async |number: usize| {
        let key = (number % 3).to_string();
        for _ in 0..3 {
            loop {
                let found = partition.get(key.as_bytes(), At::Durable).await.unwrap().unwrap();
                let next = std::str::from_utf8(&found.value).unwrap().parse::<u64>().unwrap() + 1;
                let commit = Commit::new().expect(key.clone(), Some(found.seq));
                match partition.commit(commit.put(key.clone(), next.to_string())).await {
                    Ok(_) => break,
                    Err(Error::Condition { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    };
    join_all((0..CLIENTS).map(client)).await;
    for (key, clients) in [(b"0", 34), (b"1", 33), (b"2", 33)] {
        assert_eq!(count(&partition, key).await, clients * 3);
    }
    assert_eq!(partition.status().durable, Seq(1 + CLIENTS as u64 * 3));
}

/// Money goes round between accounts and is never more or less, whoever looks.
pub(super) async fn transactions_lose_no_update(subject: &dyn Subject) {
    const ACCOUNTS: usize = 5;
    let partition = fresh(subject, "accounts").await;
    let put = |commit: Commit, number| commit.put(format!("a{number}"), "100");
    make(&partition, (0..ACCOUNTS).fold(Commit::new(), put)).await;
    let total = async || {
        let found = super::all(&partition, KeyRange::prefix("a"), At::Durable).await;
        let amount = |value: &[u8]| std::str::from_utf8(value).unwrap().parse::<i64>().unwrap();
        found.iter().map(|(_, value)| amount(value)).sum::<i64>()
    };
    let client = async |number: usize| {
        let (from, to) = (number % ACCOUNTS, (number * 3 + 1) % ACCOUNTS);
        if from == to {
            assert_eq!(total().await, 500);
            return;
        }
        loop {
            let mut transaction = Transaction::begin(partition.clone());
            for (account, change) in [(from, -1), (to, 1)] {
                let key = format!("a{account}");
                let found = transaction.get(key.as_bytes()).await.unwrap().unwrap();
                let amount: i64 = std::str::from_utf8(&found).unwrap().parse().unwrap();
                transaction.put(key, (amount + change).to_string()).unwrap();
            }
            match transaction.commit().await {
                Ok(_) => return,
                Err(Error::Conflict { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    join_all((0..CLIENTS).map(client)).await;
    assert_eq!(total().await, 500);
    for account in 0..ACCOUNTS {
        let changed = |sign: bool| {
            let is = |number: &usize| {
                let (from, to) = (number % ACCOUNTS, (number * 3 + 1) % ACCOUNTS);
                from != to && account == if sign { to } else { from }
            };
            (0..CLIENTS).filter(is).count() as u64
        };
        let expected = 100 + changed(true) - changed(false);
        assert_eq!(count(&partition, format!("a{account}").as_bytes()).await, expected);
    }
}

/// What a read of what is acknowledged shows is covered by [`crate::Status::durable`], and what was
/// acknowledged is shown.
pub(super) async fn durable_reads_are_durable(subject: &dyn Subject) {
    let partition = fresh(subject, "durable").await;
    put(&partition, "0", "1").await;
    let writer = async {
        for _ in 0..50 {
            join_all(
                (0..4).map(|number| put(&partition, if number == 0 { "0" } else { "1" }, "x")),
            )
            .await;
        }
    };
    let reader = async {
        for round in 0..200 {
            let before = partition.status();
            assert!(before.durable <= before.newest && before.oldest <= before.durable);
            let found = partition.get(b"0", At::Durable).await.unwrap().unwrap();
            assert!(found.seq <= partition.status().durable, "it shows what is not durable");
            let page = partition.scan(&Scan::of(KeyRange::all())).await.unwrap();
            assert!(page.at >= before.durable, "what was acknowledged is not shown");
            assert!(page.at <= partition.status().durable);
            assert!(page.entries.iter().all(|entry| entry.seq <= page.at));
            let told = partition.changes(before.durable, Duration::ZERO).await.unwrap();
            assert!(told.upto <= partition.status().durable, "a watch tells what is not durable");
            if round % 10 == 0 {
                subject.env().clock.sleep(Duration::from_millis(1)).await;
            }
        }
    };
    futures::future::join(writer, reader).await;
    let seq = put(&partition, "0", "last").await;
    assert!(partition.status().durable >= seq);
    assert_eq!(partition.get(b"0", At::Durable).await.unwrap().unwrap().seq, seq);
}

/// A commit that nobody waits for any more is made whole or not at all.
pub(super) async fn a_dropped_commit_is_whole(subject: &dyn Subject) {
    let partition = fresh(subject, "dropped").await;
    for number in 0..50 {
        let value = number.to_string();
        let both = Commit::new().put("a", value.clone()).put("b", value);
        let mut commit = partition.commit(both);
        for _ in 0..number % 5 {
            if (&mut commit).now_or_never().is_some() {
                break;
            }
            subject.env().clock.sleep(Duration::from_millis(1)).await;
        }
    }
    let seq = put(&partition, "c", "1").await;
    assert!(seq.0 <= 51);
    for at in (0..=seq.0).map(|seq| At::Seq(Seq(seq))) {
        let (a, b) = (value(&partition, b"a", at).await, value(&partition, b"b", at).await);
        assert_eq!(a, b, "{at:?}");
    }
}
