use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use cairn_env::{Env, SeededRng};
use cairn_partition::{
    At, Commit, Committed, Durable, Entry, Error, KeyRange, Scan, Seq, Transaction,
};

use super::driver::{ACCOUNTS, Cluster, KEYS, Load, Reached, START};
use super::history::{Answer, Call, Number, Seen, parse, seen, value};
use super::recorder::Recorder;
use crate::trees::{below, one_in};

/// Tries to open the accounts.
const OPENS_MAX: usize = 100;

/// Someone who does one thing after the other.
pub(crate) struct Client<'a> {
    number: u32,
    cluster: &'a dyn Cluster,
    env: &'a Env,
    recorder: &'a Recorder,
    load: Load,
    rng: SeededRng,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        number: u32,
        cluster: &'a dyn Cluster,
        env: &'a Env,
        recorder: &'a Recorder,
        load: Load,
        seed: u64,
    ) -> Self {
        Self { number, cluster, env, recorder, load, rng: SeededRng::new(seed) }
    }

    /// Opens all accounts, each once.
    pub(crate) async fn open(&self) -> Result<(), Error> {
        let keys: Vec<Bytes> = (0..self.load.accounts).map(account).collect();
        let mut last = None;
        for _ in 0..OPENS_MAX {
            let reached = match self.cluster.reach(self.number).await {
                Ok(reached) => reached,
                Err(error) => {
                    last = Some(error);
                    self.rest(200).await;
                    continue;
                }
            };
            let begun = self.recorder.moment();
            let number = self.begin(&reached, begun, Durable::Bucket, Call::Open(keys.clone()));
            let open = |commit: Commit, key: &Bytes| {
                commit.put(key.clone(), value(number, START)).expect(key.clone(), None)
            };
            let commit = Commit { durable: Some(Durable::Bucket), ..Commit::new() };
            let commit = keys.iter().fold(commit, open);
            let made = reached.partition.commit(commit).await;
            let (answer, error) = (committed(&made), made.err());
            self.recorder.end(number, answer);
            match error {
                // Refused: one that was in doubt was made.
                None | Some(Error::Condition { .. }) => return Ok(()),
                error => last = error,
            }
            self.rest(200).await;
        }
        last.map_or(Ok(()), Err)
    }

    pub(crate) async fn live(&self) {
        for _ in 0..self.load.steps {
            self.rest(self.load.rest_ms).await;
            let Ok(reached) = self.cluster.reach(self.number).await else { continue };
            match below(&self.rng, 100) {
                0..30 => drop(self.get(&reached, self.key()).await),
                30..48 => self.put(&reached).await,
                48..56 => self.delete(&reached).await,
                56..72 => self.swap(&reached).await,
                72..90 => self.transfer(&reached).await,
                90..96 => self.audit(&reached).await,
                _ => self.delete_range(&reached).await,
            }
        }
    }

    async fn rest(&self, ms: usize) {
        let ms = below(&self.rng, ms) as u64;
        self.env.clock.sleep(Duration::from_millis(ms)).await;
    }

    fn key(&self) -> Bytes {
        if one_in(&self.rng, 6) {
            return account(below(&self.rng, self.load.accounts));
        }
        key(below(&self.rng, self.load.keys))
    }

    fn begin(&self, reached: &Reached, begun: u64, level: Durable, call: Call) -> Number {
        self.recorder.begin(self.number, reached.owner, level, begun, call)
    }

    /// Waits for an answer, and goes away when it takes too long.
    async fn patiently<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let over = self.env.clock.sleep(self.load.patience);
        tokio::select! {
            biased;
            answer = answer => answer,
            () = over => Err(Error::InDoubt { why: "it took too long".to_owned() }),
        }
    }

    async fn get(&self, reached: &Reached, key: Bytes) -> Result<Option<Seen>, Error> {
        let begun = self.recorder.moment();
        let number = self.begin(reached, begun, Durable::Log, Call::Get(key.clone()));
        let found = self.patiently(reached.partition.get(&key, At::Durable)).await;
        let found = found.map(|entry| entry.as_ref().and_then(seen));
        let answer = found.as_ref().map_or(Answer::Failed, |found| Answer::Found(*found));
        self.recorder.end(number, answer);
        found
    }

    async fn commit(&self, reached: &Reached, call: Call, make: impl FnOnce(Number) -> Commit) {
        let level = if one_in(&self.rng, 4) { Durable::Bucket } else { Durable::Log };
        let begun = self.recorder.moment();
        let number = self.begin(reached, begun, level, call);
        let commit = Commit { durable: Some(level), ..make(number) };
        let made = self.patiently(reached.partition.commit(commit)).await;
        self.recorder.end(number, committed(&made));
    }

    async fn put(&self, reached: &Reached) {
        let key = key(below(&self.rng, self.load.keys));
        let make = |number| Commit::new().put(key.clone(), value(number, START));
        self.commit(reached, Call::Put(key.clone()), make).await;
    }

    async fn delete(&self, reached: &Reached) {
        let key = key(below(&self.rng, self.load.keys));
        let make = |_| Commit::new().delete(key.clone());
        self.commit(reached, Call::Delete(key.clone()), make).await;
    }

    async fn delete_range(&self, reached: &Reached) {
        let from = key(below(&self.rng, self.load.keys));
        let last = one_in(&self.rng, 2);
        let range =
            if last { KeyRange::prefix(KEYS) } else { KeyRange::between(from, &b"k/~"[..]) };
        let make = |_| Commit::new().delete_range(range.clone());
        self.commit(reached, Call::DeleteRange(range.clone()), make).await;
    }

    async fn swap(&self, reached: &Reached) {
        let key = key(below(&self.rng, self.load.keys));
        let Ok(expected) = self.get(reached, key.clone()).await else { return };
        self.rest(20).await;
        let make = |number| {
            let commit = Commit::new().put(key.clone(), value(number, START));
            commit.expect(key.clone(), expected.map(|seen| seen.seq))
        };
        self.commit(reached, Call::Swap(key.clone(), expected), make).await;
    }

    async fn transfer(&self, reached: &Reached) {
        let from = below(&self.rng, self.load.accounts);
        let to = (from + 1 + below(&self.rng, self.load.accounts - 1)) % self.load.accounts;
        let keys = [account(from), account(to)];
        let amount = 1 + below(&self.rng, 20) as i64;
        let begun = self.recorder.moment();
        let mut transaction = Transaction::begin(reached.partition.clone());
        let mut found = Vec::new();
        for key in &keys {
            let read = self.patiently(transaction.get(key)).await;
            let Ok(Some((writer, balance))) = read.map(|read| read.and_then(|read| parse(&read)))
            else {
                return;
            };
            found.push(Seen { writer, seq: Seq(0), balance });
        }
        let seen = [found[0], found[1]];
        let call = Call::Transfer { keys: keys.clone(), seen, amount };
        let number = self.begin(reached, begun, Durable::Log, call);
        let [from, to] = keys;
        let puts = transaction
            .put(from, value(number, seen[0].balance - amount))
            .and_then(|()| transaction.put(to, value(number, seen[1].balance + amount)));
        let made = match puts {
            Ok(()) => self.patiently(transaction.commit()).await,
            Err(error) => Err(error),
        };
        self.recorder.end(number, committed(&made));
    }

    async fn audit(&self, reached: &Reached) {
        let begun = self.recorder.moment();
        let number = self.begin(reached, begun, Durable::Log, Call::Audit);
        // In pages, so that others write in between.
        let mut scan = Scan { limit: 2, ..Scan::of(KeyRange::prefix(ACCOUNTS)) };
        let mut accounts = Vec::new();
        let answer = loop {
            match self.patiently(reached.partition.scan(&scan)).await {
                Err(_) => break Answer::Failed,
                Ok(page) => {
                    let seen = |entry: &Entry| Some((entry.key.clone(), seen(entry)?));
                    accounts.extend(page.entries.iter().filter_map(seen));
                    scan.cursor = page.next;
                    if scan.cursor.is_none() {
                        break Answer::Accounts(page.at, accounts);
                    }
                }
            }
        };
        self.recorder.end(number, answer);
    }
}

fn key(number: usize) -> Bytes {
    [KEYS, number.to_string().as_bytes()].concat().into()
}

fn account(number: usize) -> Bytes {
    [ACCOUNTS, number.to_string().as_bytes()].concat().into()
}

/// What the answer to a commit means: only some errors say that nothing was changed.
fn committed(made: &Result<Committed, Error>) -> Answer {
    match made {
        Ok(committed) => Answer::Committed(committed.seq),
        Err(Error::Condition { .. } | Error::Conflict { .. }) => Answer::Refused,
        Err(
            Error::Busy { .. }
            | Error::Full { .. }
            | Error::Gone { .. }
            | Error::Future { .. }
            | Error::TooLarge { .. }
            | Error::EmptyKey
            | Error::Elsewhere { .. },
        ) => Answer::Failed,
        Err(_) => Answer::Doubt,
    }
}
