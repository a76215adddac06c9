//! The suite that every partition passes: what everything above relies on, and no more.
//!
//! Each case gets a store of its own, panics at the first thing that is wrong, and is named in the
//! output. [`random`] compares a partition with an oracle that keeps a copy of every state.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a case that fails panics"
)]

mod basic;
mod clones;
mod concurrent;
mod conditions;
mod edges;
mod expiry;
mod history;
mod oracle;
mod ranges;
mod scans;
mod script;
mod stores;
mod transactions;
mod watches;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_env::Env;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::{AnyPartition, AnyPartitions, At, Change, Commit, KeyRange, Name, Scan, Seq, Settings};

pub use script::{Step, play, random, steps};

/// A fresh store, and what is around it.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The store. After [`Subject::reopen`] it is another one.
    fn store(&self) -> AnyPartitions;

    /// Its clock.
    fn env(&self) -> Env;

    /// Whether time moves only while every task waits. What depends on time is left out otherwise.
    fn paused(&self) -> bool {
        true
    }

    /// Closes all that is open, and opens it again as after a crash: what was acknowledged is there.
    /// `false`, and nothing happens, where a store does not outlive its process.
    async fn reopen(&self) -> bool {
        false
    }
}

type Case = for<'a> fn(&'a dyn Subject) -> BoxFuture<'a, ()>;

macro_rules! cases {
    ($($module:ident: $($case:ident)*;)*) => {
        &[$($((
            concat!(stringify!($module), "::", stringify!($case)),
            (|subject| $module::$case(subject).boxed()) as Case,
        )),*),*]
    };
}

const CASES: &[(&str, Case)] = cases! {
    basic: put_get_delete references values_of_every_size order_of_keys batches_are_atomic_and_later_wins
        puts_deletes_and_ranges_in_every_order positions_count_commits settings_are_kept
        what_was_acknowledged_is_there_after_a_crash;
    clones: it_begins_as_its_source_is each_goes_its_own_way names_of_clones;
    conditions: absent_and_present a_failed_condition_changes_nothing all_or_none
        conditions_see_the_state_before;
    concurrent: counters_lose_no_update transactions_lose_no_update durable_reads_are_durable
        a_dropped_commit_is_whole;
    edges: keys values operations bytes_of_a_commit conditions reads entries_of_a_page
        bytes_of_a_page bytes_of_a_watch names history;
    expiry: exact_to_the_millisecond told_by_watch in_the_past put_over_what_is_over
        a_later_put_lifts_the_end absent_to_conditions past_reads_show_it a_long_sleep;
    history: reads_at_a_position reads_at_a_time what_is_old_is_gone what_is_young_is_kept
        shrinking_the_history;
    ranges: empty_and_inverted all_and_open_ends puts_after visible_before prefixes many_ranges;
    scans: forward_and_back limits_and_pages keys_only pages_show_one_state
        own_cursors_only garbage_is_no_cursor a_cursor_of_what_is_gone scans_at_a_position;
    stores: create_open_exists_missing listing remove_and_create_again two_handles
        partitions_are_apart changing_settings;
    transactions: snapshot_reads lost_update write_skew phantoms read_only_never_conflicts
        own_writes blind_writes_never_conflict dropping_changes_nothing too_many_changes;
    watches: order_without_gaps commits_are_whole waits_and_wakes waits_no_longer
        positions deletes_are_told replay_gives_the_state gone_after_the_window removal_ends_it;
};

/// Runs every case, each on a store that `make` gives.
///
/// # Panics
/// At the first case that fails; its name is the last that was printed.
pub async fn run<S: Subject>(make: impl AsyncFn() -> S) {
    for (name, case) in CASES {
        println!("case {name}");
        let subject = make().await;
        case(&subject).await;
    }
}

/// A new partition of this name with the usual settings.
async fn fresh(subject: &dyn Subject, name: &str) -> AnyPartition {
    with_history(subject, name, Settings::default().history_ms).await
}

async fn with_history(subject: &dyn Subject, name: &str, history_ms: u64) -> AnyPartition {
    let settings = Settings { history_ms, ..Settings::default() };
    subject.store().create(&Name::new(name).unwrap(), settings).await.unwrap()
}

fn now_ms(subject: &dyn Subject) -> u64 {
    u64::try_from(subject.env().clock.wall_ns() / 1_000_000).unwrap()
}

/// A commit that must succeed.
async fn make(partition: &AnyPartition, commit: Commit) -> Seq {
    partition.commit(commit).await.unwrap().seq
}

async fn put(partition: &AnyPartition, key: &str, value: &str) -> Seq {
    make(partition, Commit::new().put(key.to_owned(), value.to_owned())).await
}

/// The value of a key.
async fn value(partition: &AnyPartition, key: &[u8], at: At) -> Option<Bytes> {
    partition.get(key, at).await.unwrap().map(|entry| entry.value)
}

/// The keys and values of a range, over as many pages as it takes.
async fn all(partition: &AnyPartition, range: KeyRange, at: At) -> Vec<(Bytes, Bytes)> {
    let mut scan = Scan { at, ..Scan::of(range) };
    let mut found = Vec::new();
    loop {
        let page = partition.scan(&scan).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| (entry.key, entry.value)));
        scan.cursor = page.next;
        if scan.cursor.is_none() {
            return found;
        }
    }
}

/// `all` of everything, as text.
async fn texts(partition: &AnyPartition, at: At) -> Vec<(String, String)> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let found = all(partition, KeyRange::all(), at).await;
    found.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What was told after `after`, to `upto`.
async fn told(partition: &AnyPartition, after: Seq, upto: Seq) -> Vec<Change> {
    let (mut position, mut told) = (after, Vec::new());
    while position < upto {
        let wait = std::time::Duration::from_secs(30);
        let part = partition.changes(position, wait).await.unwrap();
        assert!(part.upto > position, "a watch does not go on after {position}, before {upto}");
        position = part.upto;
        told.extend(part.changes);
    }
    told.retain(|change| change.seq <= upto);
    told
}
