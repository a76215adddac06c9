//! Commands made on a namespace: all in one transaction, tried again when others come before it.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_access::Use;
use cairn_env::Env;
use cairn_kv::{Kv, Namespace, Seq};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::command::{Command, Does};
use crate::error::Error;
use crate::keys::Keys;
use crate::limits::{ATTEMPTS_MAX, TURNS};
use crate::reply::Reply;
use crate::scans::Scans;

/// The first pause before another attempt, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(20)];

/// What all connections work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) kv: Kv,
    pub(crate) env: Env,
    pub(crate) scans: Arc<Scans>,
    pub(crate) turns: Arc<Turns>,
}

/// Changes of one key that depend on what was there, one after the other: of those that try at the same
/// time only one would succeed.
pub(crate) struct Turns(Vec<Arc<Mutex<()>>>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Arc::default()).collect())
    }
}

impl Turns {
    async fn turn(&self, namespace: &Namespace, key: &[u8]) -> OwnedMutexGuard<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((namespace, key));
        let places = self.0.len() as u64;
        let index = usize::try_from(hash % places).unwrap_or(0);
        Arc::clone(&self.0[index]).lock_owned().await
    }
}

/// A command with its words.
pub(crate) struct Given {
    pub(crate) command: &'static Command,
    pub(crate) words: Vec<Bytes>,
}

/// A key, and the commit that had written it when it was looked at.
pub(crate) type Watched = (Bytes, Option<Seq>);

/// Commands to be done together, for somebody who may.
pub(crate) struct Work {
    pub(crate) place: Place,
    pub(crate) namespace: Namespace,
    pub(crate) commands: Vec<Given>,
    pub(crate) watched: Vec<Watched>,
    /// What is told of a change (ACCESS-9); none when nothing is to change.
    pub(crate) used: Option<Use>,
}

impl Work {
    /// Does it: an answer to each command; none when what was watched has changed.
    pub(crate) async fn done(self) -> Result<Option<Vec<Reply>>, Error> {
        let _turn = self.turn().await;
        let mut pause = PAUSES[0];
        let mut attempt = 1;
        let done = loop {
            match self.attempt().await {
                // What came before may not be acknowledged yet: until then it is not seen.
                Err(error) if error.is_conflict() && attempt < ATTEMPTS_MAX => {
                    self.place.env.clock.sleep(pause).await;
                    pause = PAUSES[1].min(pause * 2);
                    attempt += 1;
                }
                done => break done,
            }
        };
        match (&done, &self.used) {
            (Ok((_, Some(commit))), Some(used)) => used.changed(commit.0)?,
            (Err(error), Some(used)) => used.failed(&error.to_string())?,
            _ => {}
        }
        Ok(done?.0)
    }

    /// The turn of its first key, when it may change something that depends on what is there.
    async fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        let Given { command, words } = self.commands.first()?;
        let alone = self.commands.len() == 1 && command.is_blind(words);
        if self.used.is_none() || alone {
            return None;
        }
        Some(self.place.turns.turn(&self.namespace, words.get(1)?).await)
    }

    async fn attempt(&self) -> Result<(Option<Vec<Reply>>, Option<Seq>), Error> {
        let now_ms = u64::try_from(self.place.env.clock.wall_ns() / 1_000_000).unwrap_or(0);
        let mut keys = Keys::begin(&self.place.kv, &self.namespace, now_ms).await?;
        for (key, expected) in &self.watched {
            if keys.seq(key).await? != *expected {
                return Ok((None, None));
            }
        }
        let mut replies = Vec::with_capacity(self.commands.len());
        for Given { command, words } in &self.commands {
            let Does::Keys(_, run) = command.does else {
                return Err(Error::said("only commands of keys are done together"));
            };
            match run(&mut keys, &self.place.scans, words).await {
                Ok(reply) => replies.push(reply),
                // As in Redis: the others are done all the same.
                Err(error) if error.is_of_one_command() => replies.push(error.into()),
                Err(error) => return Err(error),
            }
        }
        Ok((Some(replies), keys.commit().await?))
    }
}

/// What keys are now, to be watched.
pub(crate) async fn looked_at(
    place: &Place,
    namespace: &Namespace,
    words: &[Bytes],
) -> Result<Vec<Watched>, Error> {
    let now_ms = u64::try_from(place.env.clock.wall_ns() / 1_000_000).unwrap_or(0);
    let mut keys = Keys::begin(&place.kv, namespace, now_ms).await?;
    let mut watched = Vec::new();
    for key in words {
        watched.push((key.clone(), keys.seq(key).await?));
    }
    Ok(watched)
}
