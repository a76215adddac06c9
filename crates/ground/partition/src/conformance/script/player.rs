use std::time::Duration;

use super::super::oracle::{Oracle, Own, Shown, Span};
use super::super::{Subject, now_ms};
use super::reads::OpenScan;
use super::transactions::OpenTransaction;
use super::{Expect, Make, Step, When, key};
use crate::{AnyPartition, At, Commit, Committed, Error, KeyRange, Name, Op, Seq, Settings};

const NAME: &str = "random/partition";
const HISTORY_MS: u64 = 15_000;
/// Scans, and transactions, that are open at once.
pub(super) const OPEN_MAX: usize = 4;

/// A partition, what it should be, and what is open in it.
pub(super) struct Player<'a> {
    pub(super) subject: &'a dyn Subject,
    pub(super) partition: AnyPartition,
    pub(super) oracle: Oracle,
    pub(super) scans: Vec<OpenScan>,
    pub(super) transactions: Vec<OpenTransaction>,
}

/// Plays a script on a new partition.
///
/// # Errors
/// What the partition did, and the oracle does not.
pub async fn play(subject: &dyn Subject, script: &[Step]) -> Result<(), String> {
    let name = Name::new(NAME).unwrap();
    let settings = Settings { history_ms: HISTORY_MS, ..Settings::default() };
    let partition = subject.store().create(&name, settings).await.map_err(text)?;
    let (scans, transactions) = (Vec::new(), Vec::new());
    let oracle = Oracle::new();
    let mut player = Player { subject, partition, oracle, scans, transactions };
    for (number, step) in script.iter().enumerate() {
        let told = |why| format!("step {number}, {step:?}: {why}");
        player.step(step).await.map_err(told)?;
        player.catch_up(None).await.map_err(told)?;
        player.kept().map_err(told)?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(super) fn text(error: Error) -> String {
    error.to_string()
}

impl Player<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Commit(makes, conditions) => self.commit(makes, conditions).await,
            Step::Get(key, when) => self.get(*key, *when).await,
            Step::Scan(from, to, reverse, limit, keys_only, when) => {
                let range = super::range(*from, *to);
                self.scan(range, *reverse, *limit, *keys_only, *when).await
            }
            Step::More(which) => self.more(*which).await,
            Step::Begin => self.begin(),
            Step::Act(which, act) => self.act(*which, act).await,
            Step::Watch(back) => self.watch(*back).await,
            Step::SeqAt(ago) => self.seq_at(*ago).await,
            Step::Sleep(ms) => {
                self.subject.env().clock.sleep(Duration::from_millis((*ms).into())).await;
                Ok(())
            }
            Step::Reopen => self.reopen().await,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        now_ms(self.subject)
    }

    /// Learns all that is acknowledged; of it, `own` was made by the player.
    pub(super) async fn catch_up(&mut self, own: Option<Own<'_>>) -> Result<(), String> {
        loop {
            let upto = self.partition.status().durable;
            let after = self.oracle.newest();
            let wanted = own.as_ref().is_some_and(|own| own.seq > after) || upto > after;
            if !wanted {
                return Ok(());
            }
            let part = self.partition.changes(after, Duration::from_secs(1)).await.map_err(text)?;
            if part.upto <= after {
                return Err(format!("a watch after {after} does not go on to {upto}"));
            }
            self.oracle.learn(&part.changes, part.upto, own.as_ref())?;
        }
    }

    /// Whether a state lies before the window.
    pub(super) fn may_be_gone(&self, seq: Seq) -> bool {
        self.oracle.may_be_gone(seq, self.now_ms().saturating_sub(HISTORY_MS))
    }

    /// Nothing within the window is forgotten.
    fn kept(&self) -> Result<(), String> {
        let oldest = self.partition.status().oldest;
        if oldest > Seq(0) && !self.may_be_gone(Seq(oldest.0 - 1)) {
            return Err(format!("{oldest} is the oldest already"));
        }
        Ok(())
    }

    /// What a state is called, and which it is.
    pub(super) fn when(&self, when: When) -> (At, Option<Seq>) {
        let newest = self.oracle.newest();
        match when {
            When::Durable => (At::Durable, Some(newest)),
            When::Newest => (At::Newest, Some(newest)),
            When::Back(count) => {
                let seq = Seq(newest.0.saturating_sub(count.into()));
                (At::Seq(seq), Some(seq))
            }
            When::Ago(ms) => (At::TimeMs(self.now_ms().saturating_sub(ms.into())), None),
        }
    }

    async fn commit(&mut self, makes: &[Make], on: &[(u8, Expect)]) -> Result<(), String> {
        let now_ms = self.now_ms();
        let ops: Vec<Op> = makes.iter().map(|make| make.op(now_ms)).collect();
        let mut commit = Commit { ops: ops.clone(), ..Commit::default() };
        let newest = self.oracle.newest();
        for (number, expect) in on {
            let seen = |seq| self.oracle.entries(seq).get(&key(*number)).map(|entry| entry.seq);
            let expected = match expect {
                Expect::Right => seen(newest),
                Expect::Absent => None,
                Expect::Stale(back) => seen(Seq(newest.0.saturating_sub((*back).into()))),
            };
            commit = commit.expect(key(*number), expected);
        }
        let conditions = commit.conditions.clone();
        let made = self.partition.commit(commit).await;
        let span = Span { before_ms: now_ms, after_ms: self.now_ms() };
        // What holds for sure, and what may hold.
        let holds = |sure: bool| {
            conditions.iter().all(|condition| {
                let range = KeyRange::one(&condition.key);
                let found = self.oracle.view(newest, true, &range, span);
                match found.first() {
                    None | Some((_, Shown::No)) => condition.expected.is_none(),
                    Some((entry, Shown::Yes)) => condition.expected == Some(entry.seq),
                    Some((entry, Shown::Either)) => {
                        let expected = condition.expected;
                        !sure && expected.is_none_or(|expected| expected == entry.seq)
                    }
                }
            })
        };
        match made {
            Err(Error::Condition { .. }) if !holds(true) => Ok(()),
            Ok(_) if !holds(false) => Err("it was made although a condition fails".to_owned()),
            made => self.made(made, &ops, span).await,
        }
    }

    /// Takes a commit that must have succeeded.
    pub(super) async fn made(
        &mut self,
        made: Result<Committed, Error>,
        ops: &[Op],
        span: Span,
    ) -> Result<(), String> {
        let seq = made.map_err(text)?.seq;
        let nothing = |op: &Op| matches!(op, Op::DeleteRange(range) if range.is_empty());
        if ops.iter().all(nothing) {
            return Ok(());
        }
        if seq <= self.oracle.newest() {
            return Err(format!("it took position {seq}, which was taken"));
        }
        self.catch_up(Some(Own { seq, ops, span })).await
    }

    async fn watch(&mut self, back: u8) -> Result<(), String> {
        let newest = self.oracle.newest();
        let after = Seq(newest.0.saturating_sub(back.into()));
        let oldest = self.partition.status().oldest;
        match self.partition.changes(after, Duration::ZERO).await {
            Err(Error::Gone { .. }) if self.may_be_gone(after) => Ok(()),
            Ok(_) if after < oldest => Err(format!("it tells what is older than {oldest}")),
            Err(error) => Err(text(error)),
            Ok(mut part) => {
                let upto = part.upto.min(newest);
                part.changes.retain(|change| change.seq <= upto);
                let expected = self.oracle.told(after, upto);
                if part.changes != expected || (upto <= after && after < newest) {
                    return Err(format!("it tells {:?}, and told {expected:?}", part.changes));
                }
                Ok(())
            }
        }
    }

    async fn seq_at(&mut self, ago: u16) -> Result<(), String> {
        let time_ms = self.now_ms().saturating_sub(ago.into()).saturating_sub(1);
        let (first, last) = self.oracle.at_time(time_ms);
        let oldest = self.partition.status().oldest;
        match self.partition.seq_at(time_ms).await {
            Err(Error::Gone { .. }) if self.may_be_gone(first) => Ok(()),
            Ok(_) if last < oldest => Err(format!("it knows what is older than {oldest}")),
            Ok(seq) if seq >= first && seq <= last => Ok(()),
            other => Err(format!("{other:?} instead of {first} to {last}")),
        }
    }

    /// Transactions end with their process; scans go on.
    async fn reopen(&mut self) -> Result<(), String> {
        if self.subject.reopen().await {
            self.transactions.clear();
            self.partition =
                self.subject.store().open(&Name::new(NAME).unwrap()).await.map_err(text)?;
        }
        Ok(())
    }
}
