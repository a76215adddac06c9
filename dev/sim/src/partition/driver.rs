//! Clients that put, read, swap, move money, delete ranges and watch, all at the same time, and write
//! down what they asked and were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::{Env, Rng as _, SeededRng};
use cairn_partition::{AnyPartition, At, Error, KeyRange, Scan, Seq};
use futures::future::{join, join_all};

use super::client::Client;
use super::history::{History, Owner, Watched};
use super::recorder::Recorder;
use crate::trees::below;

/// What accounts begin with.
pub const ACCOUNTS: &[u8] = b"a/";
/// What the keys begin with that come and go.
pub const KEYS: &[u8] = b"k/";
/// What an account holds at first.
pub const START: i64 = 100;
/// Answers that are waited for before the driver gives up at the end.
const TRIES_MAX: usize = 1000;

/// The partition as a client reaches it, and who answers.
#[derive(Clone)]
pub struct Reached {
    /// Who owns the partition, as far as the client was told.
    pub owner: Owner,
    /// It.
    pub partition: AnyPartition,
}

/// Nodes, of which one owns the partition.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Where the next operation of a client goes. Asked before each.
    ///
    /// # Errors
    /// When nobody owns the partition just now. The client tries again in a moment.
    async fn reach(&self, client: u32) -> Result<Reached, Error>;
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Decides what clients do.
    pub seed: u64,
    /// Clients.
    pub clients: u32,
    /// Watchers.
    pub watchers: u32,
    /// Operations of each client.
    pub steps: u32,
    /// Keys that come and go.
    pub keys: usize,
    /// Accounts, at least two.
    pub accounts: usize,
    /// How long a client rests at most between two operations, in milliseconds.
    pub rest_ms: usize,
    /// How long an answer is waited for.
    pub patience: Duration,
}

impl Load {
    /// A load of a seed: now few clients, now more.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let rng = SeededRng::new(seed ^ 0x2545_f491_4f6c_dd1d);
        Self {
            seed,
            clients: u32::try_from(2 + below(&rng, 7)).unwrap_or(2),
            watchers: u32::try_from(1 + below(&rng, 3)).unwrap_or(1),
            steps: 60,
            rest_ms: 60,
            keys: 1 + below(&rng, 6),
            accounts: 2 + below(&rng, 4),
            patience: Duration::from_millis([60, 2000, 10_000][below(&rng, 3)]),
        }
    }
}

/// Runs the load to its end, and takes down what is there then. The partition must be empty, and keep
/// its history for as long as the run takes. `calm` is called when all clients have ended.
///
/// # Errors
/// When the end cannot be read.
pub async fn drive(
    cluster: &dyn Cluster,
    env: &Env,
    load: Load,
    calm: impl Fn(),
) -> Result<History, Error> {
    let recorder = Recorder::default();
    let rng = SeededRng::new(load.seed);
    let client = |number| Client::new(number, cluster, env, &recorder, load, rng.next_u64());
    client(0).open().await?;
    let over = AtomicBool::new(false);
    let clients: Vec<Client> = (1..=load.clients).map(client).collect();
    let lives = async {
        join_all(clients.iter().map(Client::live)).await;
        calm();
        // What is still to be made is made.
        env.clock.sleep(Duration::from_secs(30)).await;
        over.store(true, Ordering::Relaxed);
    };
    let pauses: Vec<u64> = (0..load.watchers).map(|_| rng.next_u64() % 3000).collect();
    let watchers = pauses.iter().map(|pause| watch(cluster, env, *pause, &over));
    let ((), watched) = join(lives, join_all(watchers)).await;
    let operations = recorder.done();
    let mut history = History { operations, watched, ..History::default() };
    look(cluster, env, &mut history).await?;
    Ok(history)
}

/// Reads every change and every entry.
async fn look(cluster: &dyn Cluster, env: &Env, history: &mut History) -> Result<(), Error> {
    let mut tries = 0;
    let mut after = Seq(0);
    loop {
        let Reached { partition, .. } = reach(cluster, env).await?;
        let last = partition.status().durable;
        let part = partition.changes(after, Duration::ZERO).await;
        match part {
            Ok(part) => {
                after = part.upto;
                history.truth.extend(part.changes);
                if after >= last {
                    break;
                }
            }
            Err(error) if tries >= TRIES_MAX => return Err(error),
            Err(_) => tries += 1,
        }
    }
    let mut scan = Scan { at: At::Seq(after), ..Scan::of(KeyRange::all()) };
    loop {
        let Reached { partition, .. } = reach(cluster, env).await?;
        match partition.scan(&scan).await {
            Ok(page) => {
                history.entries.extend(page.entries);
                scan.cursor = page.next;
                if scan.cursor.is_none() {
                    return Ok(());
                }
            }
            Err(error) if tries >= TRIES_MAX => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

async fn reach(cluster: &dyn Cluster, env: &Env) -> Result<Reached, Error> {
    for _ in 0..TRIES_MAX {
        if let Ok(reached) = cluster.reach(0).await {
            return Ok(reached);
        }
        env.clock.sleep(Duration::from_millis(100)).await;
    }
    cluster.reach(0).await
}

/// Follows the partition until all is over, from its beginning or from where it is after `pause`
/// milliseconds.
async fn watch(cluster: &dyn Cluster, env: &Env, pause: u64, over: &AtomicBool) -> Watched {
    env.clock.sleep(Duration::from_millis(pause)).await;
    let mut watched = Watched::default();
    let mut after = None;
    while !over.load(Ordering::Relaxed) {
        let Ok(Reached { partition, .. }) = cluster.reach(0).await else {
            env.clock.sleep(Duration::from_millis(100)).await;
            continue;
        };
        let position = *after.get_or_insert_with(|| {
            let late = pause.is_multiple_of(2);
            watched.after = if late { partition.status().durable } else { Seq(0) };
            watched.after
        });
        match partition.changes(position, Duration::from_secs(1)).await {
            Ok(part) => {
                after = Some(part.upto);
                watched.parts.push(part);
            }
            Err(_) => env.clock.sleep(Duration::from_millis(50)).await,
        }
    }
    watched
}

/// One node, which keeps the partition for ever.
pub struct Alone(pub AnyPartition);

#[async_trait]
impl Cluster for Alone {
    async fn reach(&self, _: u32) -> Result<Reached, Error> {
        let owner = Owner { epoch: 1, node: 1 };
        Ok(Reached { owner, partition: Arc::clone(&self.0) })
    }
}
