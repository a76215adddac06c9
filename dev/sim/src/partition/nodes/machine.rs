//! A machine: a disk, a clock, a way to the bucket, and the process that runs on it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_bucket::faulty::{Crash, Faults};
use cairn_bucket::{Bucket, Faulty, Memory, Plain};
use cairn_env::{Env, SeededRng};
use cairn_partition::log::{LogOptions, SimDisk};
use cairn_partition::{LeaseTimes, Node, NodeOptions};
use futures::FutureExt as _;

use super::process::{self, Hands, Life};
use crate::trees::{below, one_in};

/// How long a process that could not start waits before it tries again.
const AGAIN: Duration = Duration::from_millis(300);
/// The clocks of machines differ by up to so many millionths from the world's: two of them by 4 %.
const DRIFT_PPM_MAX: usize = 19_500;

/// A node that runs.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) node: Node,
    pub(crate) life: Arc<Life>,
    pub(crate) faulty: Faulty,
    /// Its seams.
    pub(crate) env: Env,
    /// Its way to the bucket.
    pub(crate) bucket: Bucket,
}

/// What happens to what is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: only the process ends.
    Nothing,
    /// What was not synced may be lost.
    Unsynced,
    /// All of it.
    Disk,
}

pub(crate) struct Machine {
    pub(crate) number: u32,
    world: Env,
    store: Arc<Memory>,
    options: NodeOptions,
    hands: Hands,
    state: Mutex<State>,
}

struct State {
    disk: SimDisk,
    boot: u64,
    faults: Faults,
    process: Option<Process>,
    /// The traces of what its processes asked of the bucket.
    traces: Vec<Faulty>,
}

impl Machine {
    pub(crate) fn new(number: u32, world: &Env, store: &Arc<Memory>, rng: &SeededRng) -> Self {
        let drift = i64::try_from(below(rng, 2 * DRIFT_PPM_MAX)).unwrap_or(0);
        let drift_ppm = drift - i64::try_from(DRIFT_PPM_MAX).unwrap_or(0);
        let hands = Hands { drift_ppm, wall_off_ns: Arc::new(AtomicI64::new(0)) };
        let state = State {
            disk: SimDisk::new(),
            boot: 0,
            faults: Faults::default(),
            process: None,
            traces: Vec::new(),
        };
        Self {
            number,
            world: world.clone(),
            store: Arc::clone(store),
            options: options(number, rng),
            hands,
            state: Mutex::new(state),
        }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        format!("node {}", self.number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn process(&self) -> Option<Process> {
        self.state().process.clone()
    }

    /// Numbers that are the same when its processes asked the same of the bucket.
    pub(crate) fn traces(&self) -> Vec<u64> {
        self.state().traces.iter().map(Faulty::trace).collect()
    }

    /// What goes wrong on the way to the bucket from now on.
    pub(crate) fn weather(&self, faults: Faults) {
        let mut state = self.state();
        state.faults = faults.clone();
        if let Some(process) = &state.process {
            process.faulty.set(faults);
        }
    }

    /// Sets the wall clock to another time.
    pub(crate) fn jump(&self, ns: i64) {
        self.hands.wall_off_ns.store(ns, Ordering::Relaxed);
    }

    /// Starts a process; one that cannot start is started again.
    pub(crate) async fn start(&self) -> Result<(), String> {
        loop {
            let life = Life::new();
            let env = process::env(&self.world, &life, self.hands.clone());
            let (faulty, disk, boot) = {
                let mut state = self.state();
                let store = Arc::clone(&self.store) as Arc<_>;
                let faulty = Faulty::new(store, state.faults.clone(), &self.world);
                state.traces.push(faulty.clone());
                (faulty, state.disk.clone(), format!("{}-{}", self.number, state.boot))
            };
            let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &env);
            let options = NodeOptions { boot, ..self.options.clone() };
            let (disk, own) = (Arc::new(disk), bucket.clone());
            let opened = Node::open(own, Arc::new(Plain), disk, options, &env).await;
            match opened {
                Ok(node) => {
                    let mut state = self.state();
                    faulty.set(state.faults.clone());
                    state.process = Some(Process { node, life, faulty, env, bucket });
                    return Ok(());
                }
                Err(error) => {
                    life.end();
                    faulty.crash(Crash::Hang);
                    {
                        let mut state = self.state();
                        state.disk = state.disk.kill();
                    }
                    if matches!(
                        error.kind(),
                        ErrorKind::Corrupt | ErrorKind::Internal | ErrorKind::Invalid
                    ) {
                        return Err(format!("node {} does not start: {error}", self.number));
                    }
                    self.world.clock.sleep(AGAIN).await;
                }
            }
        }
    }

    /// Ends the process at once. What it had asked of the bucket may still happen, or not.
    pub(crate) fn kill(&self, loss: Loss, rng: &SeededRng) {
        let mut state = self.state();
        if let Some(Process { node, life, faulty, .. }) = state.process.take() {
            life.end();
            if one_in(rng, 2) {
                faulty.crash(Crash::Hang);
            } else {
                self.cut(&faulty);
            }
            node.kill();
        }
        state.disk = match loss {
            Loss::Nothing => state.disk.kill(),
            Loss::Unsynced => state.disk.crash(rng),
            Loss::Disk => {
                drop(state.disk.kill());
                SimDisk::new()
            }
        };
        state.boot += u64::from(loss != Loss::Nothing);
    }

    /// Nothing more is asked of the bucket; what is under way goes on.
    fn cut(&self, faulty: &Faulty) {
        faulty.crash_at(faulty.count().max(1), Crash::Hang);
        // The first operation after the cut may have an effect: this one has none.
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &self.world);
        drop(bucket.head("nothing").now_or_never());
    }
}

/// Small numbers, so that segments end, views are written and compacted, and leases are lost in a run.
fn options(number: u32, rng: &SeededRng) -> NodeOptions {
    let one_of = |of: &[u64]| of[below(rng, of.len())];
    let bytes = |of: &[u64]| usize::try_from(one_of(of)).unwrap_or(usize::MAX);
    NodeOptions {
        name: format!("node-{number}"),
        lease: LeaseTimes { busy: Duration::from_secs(3), idle: Duration::from_secs(10) },
        log: LogOptions {
            segment_bytes: one_of(&[4096, 8192, 65_536]),
            spares_max: bytes(&[0, 2]),
            local_bytes_max: one_of(&[8192, 32_768, 1 << 20]),
            buffered_bytes_max: 1 << 20,
        },
        ship_lag: Duration::from_millis(one_of(&[50, 300, 1000])),
        cache_bytes: one_of(&[1 << 14, 1 << 20]),
        values_bytes: one_of(&[1 << 10, 1 << 16]),
        memtable_bytes: bytes(&[2048, 8192, 1 << 18]),
        unflushed_bytes_max: 1 << 20,
        replay_bytes_max: one_of(&[4096, 32_768]),
        flush_idle: Duration::from_secs(2),
        commit_wait: Duration::from_secs(one_of(&[2, 10])),
        look_every: Duration::from_millis(500),
        tidy_every: Duration::from_secs(5),
        ..NodeOptions::default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(process) = self.state().process.take() {
            process.life.end();
            process.faulty.crash(Crash::Hang);
        }
    }
}
