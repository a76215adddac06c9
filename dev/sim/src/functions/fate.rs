//! What happens to nodes, and to functions.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::time::Duration;

use cairn_bucket::faulty::{Faults, PPM};
use cairn_env::{Rng as _, SeededRng};

use super::cluster::{COUNTER, Cluster, HEARER, Kind};
use super::history::Ms;
use crate::partition::nodes::machine::{Loss, Machine};
use crate::trees::{below, one_in};
use crate::world::calm;

/// A node that closes in good order is waited for so long, and then killed.
const CLOSE_MAX: Duration = Duration::from_secs(20);
/// How often somebody looks after a process.
const LOOK_MS: u64 = 500;
/// How long a node that was cut off may need until it knows what became of it.
const KNOWN_MS: usize = 15_000;

/// How far a run is.
#[derive(Default)]
pub(super) struct Run {
    /// Nothing bad happens any more.
    pub(super) calm: Cell<bool>,
    /// Machines that run and stay so.
    pub(super) safe: Cell<usize>,
    /// All was looked at.
    pub(super) done: Cell<bool>,
    /// When functions were made to fail.
    pub(super) moods: RefCell<Vec<(String, RangeInclusive<Ms>)>>,
}

/// Lets things happen to a machine until all is calm; then it runs.
pub(super) async fn suffer(
    cluster: &Cluster,
    machine: &Machine,
    seed: u64,
    run: &Run,
) -> Result<(), String> {
    let fate = Fate { cluster, machine, rng: SeededRng::new(seed), run };
    // How close together things happen.
    let pause = [4000, 12_000, 40_000][below(&fate.rng, 3)];
    machine.weather(calm());
    loop {
        fate.rest(500, pause).await?;
        if run.calm.get() {
            break;
        }
        fate.event().await?;
    }
    machine.weather(Faults::default());
    run.safe.set(run.safe.get() + 1);
    while !run.done.get() {
        fate.look_after().await?;
        cluster.sleep_ms(LOOK_MS).await;
    }
    Ok(())
}

struct Fate<'a> {
    cluster: &'a Cluster,
    machine: &'a Machine,
    rng: SeededRng,
    run: &'a Run,
}

impl Fate<'_> {
    /// Waits from `from` to `to` milliseconds, less when all is to be calm.
    async fn rest(&self, from: usize, to: usize) -> Result<(), String> {
        let mut left = (from + below(&self.rng, to - from)) as u64;
        while left > 0 && !self.run.calm.get() {
            let step = left.min(LOOK_MS);
            self.cluster.sleep_ms(step).await;
            left -= step;
            self.look_after().await?;
        }
        Ok(())
    }

    /// A node that another one has taken from is begun anew.
    async fn look_after(&self) -> Result<(), String> {
        let deposed = self.machine.process().filter(|process| process.node.is_deposed());
        let Some(process) = deposed else { return Ok(()) };
        self.cluster.say(&self.machine.name(), "was deposed");
        process.node.end().await;
        self.again(Loss::Nothing, 0).await
    }

    /// Its process ends, and another begins after so long.
    async fn again(&self, loss: Loss, ms: u64) -> Result<(), String> {
        let since = self.cluster.now_ms();
        self.cluster.kill(self.machine, loss, &self.rng);
        self.cluster.sleep_ms(ms).await;
        let started = self.cluster.start(self.machine).await;
        self.cluster.was_away(since);
        started
    }

    async fn event(&self) -> Result<(), String> {
        let two = self.cluster.kind == Kind::Two;
        let soon = below(&self.rng, 1500) as u64;
        match below(&self.rng, 8) {
            0 | 1 => self.again(Loss::Nothing, soon).await,
            2 | 3 => self.again(Loss::Unsynced, soon).await,
            // Another node takes over.
            4 if two => self.again(Loss::Disk, 15_000 + soon * 60).await,
            5 if two => self.stand_still().await,
            4 | 5 => self.again(Loss::Unsynced, 3000 + soon * 60).await,
            6 => self.close().await,
            _ => self.often().await,
        }
    }

    /// One end after the other, each at some await of what has just begun.
    async fn often(&self) -> Result<(), String> {
        for _ in 0..2 + below(&self.rng, 4) {
            self.again(Loss::Nothing, 0).await?;
            self.cluster.sleep_ms(20 + self.rng.next_u64() % 4000).await;
        }
        Ok(())
    }

    /// The bucket answers nothing for longer than a lease holds; the disk goes on.
    async fn stand_still(&self) -> Result<(), String> {
        let since = self.cluster.now_ms();
        self.cluster.say(&self.machine.name(), "is cut off");
        self.machine.weather(Faults { before_ppm: PPM, ..calm() });
        self.rest(1000, 14_000).await?;
        self.machine.weather(calm());
        // Until it knows what became of it meanwhile; when all is calm nobody waits for that here.
        let known = self.cluster.now_ms() + KNOWN_MS as u64;
        self.rest(KNOWN_MS, KNOWN_MS + 1).await?;
        self.cluster.was_cut_off(since..=known);
        self.cluster.say(&self.machine.name(), "is not cut off any more");
        Ok(())
    }

    /// It ends in good order.
    async fn close(&self) -> Result<(), String> {
        if let Some(process) = self.machine.process() {
            let closed = process.life.answer(process.node.close());
            let over = self.cluster.world.clock.sleep(CLOSE_MAX);
            let since = self.cluster.now_ms();
            tokio::select! {
                biased;
                // Whether it could does not matter: it is killed now.
                _ = closed => {}
                () = over => {}
            }
            // What it runs may go on until it is killed, and elsewhere too.
            self.cluster.was_cut_off(since..=self.cluster.now_ms());
        }
        self.again(Loss::Nothing, below(&self.rng, 2000) as u64).await
    }
}

/// Has functions fail now and then. One that does work of plans is tried again after its mood is over.
pub(super) async fn moods(cluster: &Cluster, seed: u64, run: &Run) -> Result<(), String> {
    let rng = SeededRng::new(seed);
    while !run.calm.get() {
        cluster.sleep_ms(15_000 + rng.next_u64() % 30_000).await;
        if run.calm.get() {
            break;
        }
        let of = if one_in(&rng, 2) { HEARER } else { COUNTER };
        let mood = cluster.mood(of, 1000 + rng.next_u64() % 4000).await?;
        cluster.say(of, format!("failed: {mood:?}"));
        run.moods.borrow_mut().push((of.to_owned(), mood));
    }
    Ok(())
}
