//! Nodes with the functions engine, and what is in reach of all of them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_access::Access;
use cairn_base::{DatasetName, ErrorKind, ProjectName};
use cairn_bucket::{Bucket, Memory, Plain};
use cairn_datasets::Datasets;
use cairn_egress::Egress;
use cairn_env::{Env, Rng as _, SeededRng};
use cairn_functions::{Error, Function, Functions};
use cairn_kv::{Kv, Namespace};
use cairn_partition::limits::HISTORY_MAX;
use cairn_partition::{
    AnyPartitions, Durable, MemoryStore, Name, Partitions as _, Readers, Seq, Settings,
};

use super::beside::Beside;
use super::guests;
use super::history::{Effect, Ms};
use crate::partition::nodes::machine::{Loss, Machine};
use crate::partition::nodes::process::Life;
use crate::trees::{below, one_in};

/// The project of all functions.
pub(super) const PROJECT: &str = "main";
/// The function that schedules and callers ask.
pub(super) const WORKER: &str = "worker";
/// The function that is told of changes.
pub(super) const HEARER: &str = "hearer";
/// The function that plans are made of.
pub(super) const COUNTER: &str = "counter";
/// The function that is deployed while nodes end.
pub(super) const LATE: &str = "late";
/// The keys whose changes are told.
pub(super) const CARTS: &str = "carts";
/// What the engine keeps its own in.
const OWN: &str = "cairn.functions";
/// How long an answer is waited for, of one node and of all.
const ONE_MAX: Duration = Duration::from_secs(30);
const ALL_MAX: Duration = Duration::from_secs(600);
/// How often a node looks for what others have deployed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What kind of life nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One node, which comes back on its disk.
    Alone,
    /// Two, which take over from each other; what is acknowledged is in the bucket.
    Two,
}

impl Kind {
    /// The kind of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Alone } else { Self::Two }
    }

    fn settings(self) -> Settings {
        let durable = if self == Self::Two { Durable::Bucket } else { Durable::Log };
        Settings { durable, history_ms: history_ms() }
    }
}

fn history_ms() -> u64 {
    u64::try_from(HISTORY_MAX.as_millis()).unwrap_or(u64::MAX)
}

/// A process with its engine.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) functions: Functions,
    pub(super) kv: Kv,
    life: Arc<Life>,
}

/// All of it.
pub(super) struct Cluster {
    pub(super) world: Env,
    pub(super) kind: Kind,
    pub(super) machines: Vec<Machine>,
    pub(super) datasets: Datasets,
    engines: Mutex<BTreeMap<u32, Engine>>,
    /// What functions wrote down.
    shared: AnyPartitions,
    access: Access,
    egress: Egress,
    rng: SeededRng,
    /// The machine that answered last.
    last: AtomicU32,
    unrest: Mutex<Vec<RangeInclusive<Ms>>>,
    cut_off: Mutex<Vec<RangeInclusive<Ms>>>,
    kills: AtomicU64,
    pub(super) verbose: bool,
}

pub(super) fn function(name: &str) -> Function {
    Function { project: project(), name: dataset(name) }
}

pub(super) fn project() -> ProjectName {
    PROJECT.parse().expect("it is a name")
}

pub(super) fn dataset(name: &str) -> DatasetName {
    name.parse().expect("it is a name")
}

pub(super) fn namespace(name: &str) -> Namespace {
    Namespace { project: project(), name: dataset(name) }
}

fn guard<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

impl Cluster {
    pub(super) async fn new(kind: Kind, world: &Env, rng: &SeededRng) -> Result<Self, String> {
        let store = Arc::new(Memory::new(world));
        let count = if kind == Kind::Alone { 1 } else { 2 };
        let machines = (0..count).map(|number| Machine::new(number, world, &store, rng)).collect();
        let calm = Bucket::memory(world);
        let (access, _) =
            Access::bootstrap(calm.clone(), world.clone(), Arc::new(Plain)).await.map_err(text)?;
        for line in [
            "worker writer worker",
            "hearer writer hearer",
            "hearer reader carts",
            "counter writer counter",
            "late writer late",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let grant = cairn_access::Grant {
                subject: format!("function/@{PROJECT}/{}", words[0]).parse().map_err(text)?,
                role: words[1].parse().map_err(text)?,
                pattern: format!("@{PROJECT}/{}", words[2]).parse().map_err(text)?,
            };
            access.add_grant(&grant).await.map_err(text)?;
        }
        let options = cairn_blocks::Options::default();
        let datasets = Datasets::open_or_init(calm, None, options, world).await.map_err(text)?;
        let shared = Arc::new(MemoryStore::new(world));
        let settings = Settings { durable: Durable::Log, history_ms: history_ms() };
        for name in names()?.iter() {
            shared.create(name, settings).await.map_err(text)?;
        }
        Ok(Self {
            world: world.clone(),
            kind,
            machines,
            datasets,
            engines: Mutex::default(),
            shared,
            access,
            egress: cairn_functions::egress(false, world).map_err(text)?,
            rng: SeededRng::new(rng.next_u64()),
            last: AtomicU32::new(0),
            unrest: Mutex::default(),
            cut_off: Mutex::default(),
            kills: AtomicU64::new(0),
            verbose: false,
        })
    }

    /// Starts all nodes, and makes the place for what is kept of functions and of carts.
    pub(super) async fn begin(&self) -> Result<(), String> {
        for machine in &self.machines {
            self.start(machine).await?;
        }
        let settings = self.kind.settings();
        for name in [OWN, CARTS] {
            let made = self.ask(|engine| async move {
                let own = name == OWN;
                let kv = if own { engine.kv.of_engines() } else { engine.kv };
                match kv.create(&namespace(name), settings).await {
                    Err(cairn_kv::Error::Exists { .. }) => Ok(()),
                    made => made.map(drop),
                }
                .map_err(Error::from)
            });
            made.await?;
        }
        Ok(())
    }

    pub(super) fn say(&self, who: &str, what: impl Display) {
        if self.verbose {
            let now = self.world.clock.monotonic().as_secs_f64();
            println!("{now:>12.3} {who}: {what}");
        }
    }

    pub(super) fn now_ms(&self) -> Ms {
        u64::try_from(self.world.clock.wall_ns() / 1_000_000).unwrap_or(0)
    }

    pub(super) async fn sleep_ms(&self, ms: u64) {
        self.world.clock.sleep(Duration::from_millis(ms)).await;
    }

    /// Starts a process with its engine.
    pub(super) async fn start(&self, machine: &Machine) -> Result<(), String> {
        machine.start().await?;
        let process = machine.process().ok_or("it ended as it began")?;
        let env = &process.env;
        let names = names()?;
        let kv = |node: AnyPartitions| {
            let (shared, names) = (Arc::clone(&self.shared), Arc::clone(&names));
            Kv::new(Arc::new(Beside { node, shared, names }), &self.datasets)
        };
        let readers = Readers::new(process.bucket.clone(), Arc::new(Plain), env);
        let (kv, in_bucket) = (kv(Arc::new(process.node.clone())), kv(Arc::new(readers)));
        let tiers = guests::tiers(env);
        let own = (&kv, &in_bucket, &self.datasets);
        let functions = Functions::new(own, &self.access, tiers, self.egress.clone(), env);
        let (kept, followed, clock) = (functions.clone(), functions.clone(), env.clock.clone());
        env.spawn.task(Box::pin(async move { kept.keep_running().await }));
        env.spawn.task(Box::pin(async move {
            loop {
                // What cannot be read now is read later.
                drop(followed.read().await);
                clock.sleep(LOOK_EVERY).await;
            }
        }));
        let engine = Engine { functions, kv, life: process.life };
        guard(&self.engines).insert(machine.number, engine);
        self.say(&machine.name(), "runs");
        Ok(())
    }

    /// Ends a process at once.
    pub(super) fn kill(&self, machine: &Machine, loss: Loss, rng: &SeededRng) {
        self.say(&machine.name(), format!("ends, and loses: {loss:?}"));
        self.kills.fetch_add(1, Ordering::Relaxed);
        machine.kill(loss, rng);
        guard(&self.engines).remove(&machine.number);
    }

    /// A node was not there since then.
    pub(super) fn was_away(&self, since: Ms) {
        guard(&self.unrest).push(since..=self.now_ms());
    }

    /// A node could not reach the bucket in this time, or did not know yet what became of it.
    pub(super) fn was_cut_off(&self, time: RangeInclusive<Ms>) {
        guard(&self.cut_off).push(time);
    }

    pub(super) fn unrest(&self) -> [Vec<RangeInclusive<Ms>>; 2] {
        [guard(&self.unrest).clone(), guard(&self.cut_off).clone()]
    }

    pub(super) fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }

    fn choose(&self) -> Option<(u32, Engine)> {
        let last = usize::try_from(self.last.load(Ordering::Relaxed)).unwrap_or(0);
        let other = one_in(&self.rng, 6);
        let at = if other { below(&self.rng, self.machines.len()) } else { last };
        let number = self.machines[at].number;
        let engine = guard(&self.engines).get(&number).cloned();
        engine.map(|engine| (number, engine))
    }

    /// Asks one node after the other until one answers.
    pub(super) async fn ask<T, F>(&self, what: impl Fn(Engine) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let clock = &self.world.clock;
        let until = clock.monotonic() + ALL_MAX;
        let mut why = "no node runs".to_owned();
        while clock.monotonic() < until {
            match self.ask_one(&what).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => {
                    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal) {
                        return Err(format!("a wrong answer: {error}"));
                    }
                    why = error.to_string();
                }
                None => {}
            }
            clock.sleep(Duration::from_millis(200)).await;
        }
        Err(format!("nobody answers: {why}"))
    }

    /// Asks a node; nothing when it ends meanwhile, or takes too long.
    pub(super) async fn ask_one<T, F>(&self, what: impl Fn(Engine) -> F) -> Option<Result<T, Error>>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (number, engine) = self.choose()?;
        let life = Arc::clone(&engine.life);
        let answer = tokio::select! {
            biased;
            () = life.ended() => None,
            answer = what(engine) => Some(answer),
            () = self.world.clock.sleep(ONE_MAX) => None,
        };
        let next = match &answer {
            Some(Ok(_)) => number,
            _ => self.machines[below(&self.rng, self.machines.len())].number,
        };
        self.last.store(next, Ordering::Relaxed);
        match &answer {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.say("asked", format!("node {number} says: {error}")),
            None => self.say("asked", format!("node {number} says nothing")),
        }
        answer
    }

    /// Has a function fail for a while.
    pub(super) async fn mood(&self, name: &str, ms: u64) -> Result<RangeInclusive<Ms>, String> {
        let partition = self.shared.open(&namespace(name).partition().map_err(text)?).await;
        let kv = Kv::new(Arc::clone(&self.shared), &self.datasets);
        drop(partition.map_err(text)?);
        let begun = self.now_ms();
        let put = cairn_kv::Put { key: "mood".into(), value: "bad".into(), ..Default::default() };
        kv.put(&namespace(name), put).await.map_err(text)?;
        self.sleep_ms(ms).await;
        let delete = cairn_kv::Op::Delete { key: "mood".into() };
        let commit = cairn_kv::Commit { ops: vec![delete], ..Default::default() };
        kv.commit(&namespace(name), commit).await.map_err(text)?;
        Ok(begun..=self.now_ms())
    }

    /// What all functions wrote down, in the order of time.
    pub(super) async fn effects(&self) -> Result<Vec<Effect>, String> {
        let mut all = Vec::new();
        for of in [WORKER, HEARER, COUNTER, LATE] {
            let name = namespace(of).partition().map_err(text)?;
            let partition = self.shared.open(&name).await.map_err(text)?;
            let changes = partition.changes(Seq(0), Duration::ZERO).await.map_err(text)?;
            for change in changes.changes {
                if let cairn_partition::What::Put(entry) = &change.what {
                    all.extend(Effect::parse(change.time_ms, of, &entry.key, &entry.value));
                }
            }
        }
        // Those of one function keep their order.
        all.sort_by_key(|effect| effect.at_ms);
        Ok(all)
    }
}

fn names() -> Result<Arc<[Name]>, String> {
    let names = [WORKER, HEARER, COUNTER, LATE].map(|name| namespace(name).partition());
    names.into_iter().collect::<Result<_, _>>().map_err(text)
}
