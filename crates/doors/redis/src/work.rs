//! Commands made on a namespace: in one commit, tried again when others come before it.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_access::Use;
use cairn_env::Env;
use cairn_kv::{Kv, Namespace, Seq};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use crate::command::{Command, Does};
use crate::error::Error;
use crate::keys::{Heavy, Keys};
use crate::limits::{ATTEMPTS_MAX, TURN_WAIT, TURNS, WORD_COST_BYTES};
use crate::reply::Reply;
use crate::scans::Scans;

/// The first pause before another attempt, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(20)];

/// What all connections work with.
pub(crate) struct Place {
    pub(crate) kv: Kv,
    pub(crate) env: Env,
    pub(crate) scans: Scans,
    pub(crate) turns: Turns,
    /// Places of connections that hold much of answers.
    pub(crate) heavy: Arc<Semaphore>,
}

/// Changes of one key that depend on what was there, one after the other: of those that try at the same
/// time only one would succeed. Whoever waits too long goes on without: it takes more attempts then.
pub(crate) struct Turns {
    seed: u64,
    places: Vec<Arc<Mutex<()>>>,
}

impl Turns {
    pub(crate) fn new(env: &Env) -> Self {
        let places = (0..TURNS).map(|_| Arc::default()).collect();
        Self { seed: env.rng.next_u64(), places }
    }

    async fn turn(&self, env: &Env, of: &Namespace, key: &[u8]) -> Option<OwnedMutexGuard<()>> {
        let hashes = BuildHasherDefault::<DefaultHasher>::default();
        let hash = hashes.hash_one((self.seed, of, key));
        let index = usize::try_from(hash % self.places.len() as u64).unwrap_or(0);
        let place = Arc::clone(&self.places[index]);
        if let Ok(turn) = Arc::clone(&place).try_lock_owned() {
            return Some(turn);
        }
        tokio::select! {
            biased;
            turn = place.lock_owned() => Some(turn),
            () = env.clock.sleep(TURN_WAIT) => None,
        }
    }
}

/// A command with its words.
pub(crate) struct Given {
    pub(crate) command: &'static Command,
    pub(crate) words: Vec<Bytes>,
}

impl Given {
    /// What it takes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.words.iter().map(|word| word.len() + WORD_COST_BYTES).sum()
    }
}

/// A key, and the commit that had written it when it was looked at.
pub(crate) type Watched = (Bytes, Option<Seq>);

/// Commands to be done, for somebody who may.
pub(crate) struct Work {
    pub(crate) place: Arc<Place>,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) commands: Vec<Given>,
    pub(crate) watched: Vec<Watched>,
    /// Whether they are one transaction. Others are done together when that is possible, and else one after
    /// the other.
    pub(crate) transaction: bool,
    /// What is told of changes (ACCESS-9); none when nothing is to change.
    pub(crate) used: Option<Use>,
}

/// An answer to each, or none when what was watched has changed; and the commit, if there was something to be
/// changed.
type Attempted = (Option<Vec<Reply>>, Option<Seq>);

/// What became of commands.
pub(crate) struct Done {
    /// An answer to each; none when what was watched has changed.
    pub(crate) replies: Option<Vec<Reply>>,
    /// Kept as long as they are.
    pub(crate) heavy: Option<Heavy>,
}

impl Work {
    /// Does it. An error is the answer to all of it.
    pub(crate) async fn done(self) -> Result<Done, Error> {
        let mut heavy = None;
        let together = self.transaction || self.commands.len() == 1;
        let done = match together {
            true => self.attempts(&self.commands, &mut heavy).await,
            false => self.attempt(&self.commands, &mut heavy).await,
        };
        match done {
            // Nothing was changed, and what is in the way is one of them, or in the way of one.
            Err(error) if !together && (error.is_conflict() || error.is_of_one_command()) => {}
            done => return Ok(Done { replies: self.told(done)?, heavy }),
        }
        let mut replies = Vec::new();
        for given in &self.commands {
            let done = self.attempts(std::slice::from_ref(given), &mut heavy).await;
            match self.told(done) {
                Ok(told) => replies.extend(told.into_iter().flatten()),
                Err(error) => replies.push(error.into()),
            }
        }
        Ok(Done { replies: Some(replies), heavy })
    }

    /// Says what came of it.
    fn told(&self, done: Result<Attempted, Error>) -> Result<Option<Vec<Reply>>, Error> {
        match (&done, &self.used) {
            (Ok((_, Some(commit))), Some(used)) => used.changed(commit.0)?,
            (Ok(_), Some(used)) => used.unchanged()?,
            (Err(error), Some(used)) => used.failed(&error.to_string())?,
            (_, None) => {}
        }
        Ok(done?.0)
    }

    async fn attempts(
        &self,
        commands: &[Given],
        heavy: &mut Option<Heavy>,
    ) -> Result<Attempted, Error> {
        let _turn = self.turn(commands).await;
        let mut pause = PAUSES[0];
        let mut attempt = 1;
        loop {
            match self.attempt(commands, heavy).await {
                // What came before may not be acknowledged yet: until then it is not seen.
                Err(error) if error.is_conflict() && attempt < ATTEMPTS_MAX => {
                    self.place.env.clock.sleep(pause).await;
                    pause = PAUSES[1].min(pause * 2);
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// The turn of the first key, when something may change that depends on what is there.
    async fn turn(&self, commands: &[Given]) -> Option<OwnedMutexGuard<()>> {
        let Given { command, words } = commands.first()?;
        let alone = commands.len() == 1 && command.is_blind(words);
        if self.used.is_none() || alone {
            return None;
        }
        let Place { turns, env, .. } = &*self.place;
        turns.turn(env, &self.namespace, words.get(1)?).await
    }

    /// Does them in one commit, or nothing (REDIS-3).
    async fn attempt(
        &self,
        commands: &[Given],
        heavy: &mut Option<Heavy>,
    ) -> Result<Attempted, Error> {
        let mut keys = Keys::begin(&self.place, &self.namespace, heavy.take()).await?;
        for (key, expected) in &self.watched {
            if keys.seq(key).await? != *expected {
                return Ok((None, None));
            }
        }
        let mut replies = Vec::with_capacity(commands.len());
        for Given { command, words } in commands {
            let Does::Keys(_, run) = command.does else {
                return Err(Error::said("only commands of keys are done together"));
            };
            let before = keys.changes();
            match run(&mut keys, &self.place.scans, words).await {
                Ok(reply) => replies.push(reply),
                // As in Redis: the others are done all the same. Not when it has left something behind.
                Err(error) if error.is_of_one_command() && keys.changes() == before => {
                    replies.push(error.into());
                }
                Err(error) => return Err(error),
            }
        }
        let (seq, held) = keys.commit().await?;
        *heavy = held;
        Ok((Some(replies), seq))
    }
}

impl Place {
    /// What keys are now, to be watched.
    pub(crate) async fn look_at(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        words: &[Bytes],
    ) -> Result<Vec<Watched>, Error> {
        let mut keys = Keys::begin(self, namespace, None).await?;
        let mut watched = Vec::new();
        for key in words {
            watched.push((key.clone(), keys.seq(key).await?));
        }
        Ok(watched)
    }
}
