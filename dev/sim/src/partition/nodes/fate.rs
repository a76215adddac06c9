//! What happens to a machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_bucket::faulty::{Faults, PPM};
use cairn_env::{Rng as _, SeededRng};

use super::machine::{Loss, Machine};
use super::{Kind, Nodes};
use crate::trees::{below, one_in};

/// Things that happen to one machine at most.
const EVENTS_MAX: usize = 12;
/// Wall clocks jump up to so many seconds, there or back.
const JUMP_SECONDS_MAX: u64 = 300;
/// A node that closes in good order is waited for so long, and then killed.
const CLOSE_MAX: Duration = Duration::from_secs(20);

/// How often somebody looks after the process.
const LOOK: Duration = Duration::from_millis(500);

/// How far a run is.
#[derive(Default)]
pub(super) struct Run {
    /// Clients ask for nothing more but how it ended.
    pub(super) over: AtomicBool,
    /// They were told.
    pub(super) done: AtomicBool,
}

/// Lets things happen to a machine until all is over; then it runs, in good weather.
pub(super) async fn suffer(
    nodes: &Nodes,
    machine: &Machine,
    seed: u64,
    run: &Run,
) -> Result<(), String> {
    let rng = SeededRng::new(seed);
    let fate = Fate { nodes, machine, rng, run };
    for _ in 0..EVENTS_MAX {
        fate.rest(200, 6000).await;
        if run.over.load(Ordering::Relaxed) {
            break;
        }
        fate.look_after().await?;
        fate.event().await?;
    }
    machine.weather(Faults::default());
    if machine.process().is_none() {
        machine.start().await?;
    }
    while !run.done.load(Ordering::Relaxed) {
        fate.look_after().await?;
        nodes.world.clock.sleep(LOOK).await;
    }
    Ok(())
}

struct Fate<'a> {
    nodes: &'a Nodes,
    machine: &'a Machine,
    rng: SeededRng,
    run: &'a Run,
}

impl Fate<'_> {
    /// Waits from `from` to `to` milliseconds, less when all is over.
    async fn rest(&self, from: usize, to: usize) {
        let mut left = from + below(&self.rng, to - from);
        while left > 0 && !self.run.over.load(Ordering::Relaxed) {
            let step = left.min(500);
            self.nodes.world.clock.sleep(Duration::from_millis(step as u64)).await;
            left -= step;
        }
    }

    /// A node that another one has taken everything from is begun anew on its disk.
    async fn look_after(&self) -> Result<(), String> {
        let Some(process) = self.machine.process().filter(|process| process.node.is_deposed())
        else {
            return Ok(());
        };
        self.nodes.say(self.machine, "was deposed");
        process.node.end().await;
        self.machine.kill(Loss::Nothing, &self.rng);
        self.machine.start().await
    }

    async fn event(&self) -> Result<(), String> {
        let shared = self.nodes.kind != Kind::Alone;
        match below(&self.rng, 12) {
            0 => self.restart(Loss::Nothing, 0, 2000).await,
            1 => self.restart(Loss::Unsynced, 0, 3000).await,
            2 | 3 if shared => self.restart(Loss::Unsynced, 3000, 15_000).await,
            4 | 5 if shared => self.restart(Loss::Disk, 0, 6000).await,
            2..=5 => self.restart(Loss::Unsynced, 0, 500).await,
            6 | 7 => {
                self.stand_still().await;
                Ok(())
            }
            8 => self.close().await,
            9 => {
                self.jump();
                Ok(())
            }
            _ => {
                self.machine.weather(weather(&self.rng));
                Ok(())
            }
        }
    }

    async fn restart(&self, loss: Loss, from: usize, to: usize) -> Result<(), String> {
        self.nodes.kills.fetch_add(1, Ordering::Relaxed);
        self.nodes.say(self.machine, format!("is killed, and loses: {loss:?}"));
        self.machine.kill(loss, &self.rng);
        self.rest(from, to).await;
        self.machine.start().await?;
        self.nodes.say(self.machine, "is back");
        Ok(())
    }

    /// The bucket answers nothing for longer than a lease holds; the disk goes on.
    async fn stand_still(&self) {
        self.nodes.standstills.fetch_add(1, Ordering::Relaxed);
        let calm = calm();
        let faults = match below(&self.rng, 3) {
            0 => Faults { before_ppm: PPM, ..calm },
            1 => Faults { after_ppm: PPM / 2, before_ppm: PPM / 4, ..calm },
            _ => Faults {
                latency_min: Duration::from_secs(2),
                latency_max: Duration::from_secs(12),
                ..calm
            },
        };
        self.nodes.say(self.machine, format!("is cut off: {faults:?}"));
        self.machine.weather(faults);
        self.rest(1000, 14_000).await;
        self.machine.weather(weather(&self.rng));
        self.nodes.say(self.machine, "is not cut off any more");
    }

    async fn close(&self) -> Result<(), String> {
        if let Some(process) = self.machine.process() {
            let closed = process.life.answer(process.node.close());
            let over = self.nodes.world.clock.sleep(CLOSE_MAX);
            tokio::select! {
                biased;
                // Whether it could does not matter: it is killed now.
                closed = closed => self.nodes.say(self.machine, format!("closed: {closed:?}")),
                () = over => {}
            }
        }
        self.restart(Loss::Nothing, 0, 2000).await
    }

    fn jump(&self) {
        let span = i64::try_from(self.rng.next_u64() % (2 * JUMP_SECONDS_MAX)).unwrap_or(0);
        let seconds = span - i64::try_from(JUMP_SECONDS_MAX).unwrap_or(0);
        self.nodes.say(self.machine, format!("is {seconds} s off"));
        self.machine.jump(seconds * 1_000_000_000);
    }
}

fn calm() -> Faults {
    let (latency_min, latency_max) = (Duration::from_millis(1), Duration::from_millis(40));
    Faults { latency_min, latency_max, ..Faults::default() }
}

fn weather(rng: &SeededRng) -> Faults {
    let stall = Duration::from_secs(5 + rng.next_u64() % 20);
    match below(rng, 5) {
        0 => Faults::default(),
        1 | 2 => calm(),
        3 => Faults { truncate_ppm: 0, stall, ..Faults::usual() },
        _ => Faults {
            after_ppm: 150_000,
            before_ppm: 100_000,
            stall_ppm: if one_in(rng, 2) { 30_000 } else { 0 },
            stall,
            truncate_ppm: 0,
            ..Faults::usual()
        },
    }
}
