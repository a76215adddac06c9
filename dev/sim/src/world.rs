//! One run: epochs of actors on one bucket, and a look at everything between them.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use cairn_base::{DatasetName, ProjectName, TagName};
use cairn_blocks::{Options, Secret};
use cairn_bucket::faulty::Faults;
use cairn_bucket::{Bucket, Faulty, Memory};
use cairn_datasets::{Dataset, Datasets, Error, Store, Target};
use cairn_env::{Env, Rng as _, SeededRng};
use futures::future::join_all;

use crate::actor::Actor;
use crate::model::Model;
use crate::node::Node;
use crate::trees::{Pool, below, one_in};
use crate::{Plan, Report, check};

const EPOCHS: usize = 4;
const ACTORS_MAX: usize = 6;

/// A bucket with everything that is shared around it.
pub struct World {
    /// The seams.
    pub env: Env,
    /// The bucket's faults and log.
    pub faulty: Faulty,
    /// The bucket.
    pub bucket: Bucket,
    /// Chunks that trees are made of.
    pub pool: Pool,
    pub(crate) model: Model,
    pub(crate) verbose: bool,
    /// What opens the bucket, when it is encrypted.
    secret: Option<Secret>,
    options: Options,
}

/// A process's handle on the datasets.
#[derive(Clone)]
pub struct Handle {
    /// The engine.
    pub datasets: Datasets,
    /// Its face to its own process.
    pub store: Arc<dyn Store>,
    /// Its face to clients that are not trusted.
    pub node: Arc<dyn Store>,
}

impl World {
    /// An empty bucket without faults. Call within [`block_on`](crate::block_on).
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(seed, None, Options::default())
    }

    /// A bucket that may be encrypted, with packs of a size that makes sessions write several.
    fn random(seed: u64, rng: &SeededRng) -> Self {
        let key_file = (0..32).map(|_| rng.next_u64().to_le_bytes()[0]).collect::<Vec<u8>>();
        let secret = one_in(rng, 3).then(|| Secret::KeyFile(key_file.into()));
        let usual = Options::default();
        let options = Options {
            pack_bytes: [1, 4 << 10, 32 << 10, usual.pack_bytes][below(rng, 4)],
            register_bytes: [1, 16 << 10, usual.register_bytes][below(rng, 3)],
            ..usual
        };
        Self::with(seed, secret, options)
    }

    fn with(seed: u64, secret: Option<Secret>, options: Options) -> Self {
        let env = Env::simulated(seed);
        let faulty = Faulty::new(Arc::new(Memory::new(&env)), Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &env);
        let (pool, model) = (Pool::default(), Model::default());
        Self { env, faulty, bucket, pool, model, verbose: false, secret, options }
    }

    /// A handle of a process that has just started.
    ///
    /// # Errors
    /// As [`Datasets::open_or_init`].
    pub async fn open(&self) -> Result<Handle, Error> {
        let (bucket, options) = (self.bucket.clone(), self.options.clone());
        let secret = self.secret.as_ref();
        let datasets = Datasets::open_or_init(bucket, secret, options, &self.env).await?;
        let node = Arc::new(Node::new(datasets.clone()));
        Ok(Handle { store: Arc::new(datasets.clone()), node, datasets })
    }

    pub(crate) fn say(&self, who: &str, what: impl std::fmt::Display) {
        if self.verbose {
            println!("{:>12.3} {who}: {what}", self.env.clock.monotonic().as_secs_f64());
        }
    }
}

/// `[@PROJECT/]NAME:TAG`.
///
/// # Panics
/// When it is no such thing.
#[must_use]
pub fn target(text: &str) -> Target {
    let (project, rest) =
        text.strip_prefix('@').map_or(("main", text), |rest| rest.split_once('/').expect("a name"));
    let (name, tag) = rest.split_once(':').expect("a tag");
    let project = ProjectName::from_str(project).expect("a project");
    let name = DatasetName::from_str(name).expect("a name");
    Target { dataset: Dataset { project, name }, tag: TagName::from_str(tag).expect("a tag") }
}

/// How hard life is for the versions of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing is ever removed: all that was acknowledged must be there.
    Strict,
    /// Tags are removed, and histories trimmed.
    Wild,
    /// Tags expire and are removed by rules as well.
    Fleeting,
}

pub(crate) fn fate(dataset: &Dataset) -> Fate {
    match dataset.name.as_str() {
        "strict" => Fate::Strict,
        "wild" => Fate::Wild,
        _ => Fate::Fleeting,
    }
}

/// Every target that actors use.
pub(crate) fn targets() -> Vec<Target> {
    let names = ["strict:a", "strict:b", "wild:a", "wild:b", "fleeting:a", "fleeting:b"];
    names.into_iter().chain(["@other/strict:a", "@other/wild:a"]).map(target).collect()
}

/// The datasets of these.
#[must_use]
pub fn datasets() -> Vec<Dataset> {
    let mut datasets: Vec<Dataset> = targets().into_iter().map(|target| target.dataset).collect();
    datasets.sort();
    datasets.dedup();
    datasets
}

/// No faults, and answers that take some time.
#[must_use]
pub fn calm() -> Faults {
    let (latency_min, latency_max) = (Duration::from_millis(1), Duration::from_millis(40));
    Faults { latency_min, latency_max, ..Faults::default() }
}

fn weather(rng: &SeededRng) -> Faults {
    match rng.next_u64() % 8 {
        0 => Faults::default(),
        1 | 2 => calm(),
        3 | 4 => Faults::usual(),
        5 => Faults {
            after_ppm: 200_000,
            before_ppm: 100_000,
            stall_ppm: 30_000,
            stall: Duration::from_secs(45),
            ..Faults::usual()
        },
        6 => Faults { latency_max: Duration::from_secs(30), ..calm() },
        _ => Faults { corrupt_ppm: 60_000, truncate_ppm: 40_000, ..calm() },
    }
}

pub(crate) async fn run(plan: Plan) -> Result<Report, String> {
    let rng = SeededRng::new(plan.seed ^ 0x9e37_79b9_7f4a_7c15);
    let mut world = World::random(plan.seed, &rng);
    world.verbose = plan.verbose;
    let world = &world;
    world.say("world", format!("encrypted {} {:?}", world.secret.is_some(), world.options));
    let count = 2 + below(&rng, ACTORS_MAX - 1);
    let actors: Vec<Actor> = (0..count).map(|number| Actor::new(number, rng.next_u64())).collect();
    for epoch in 0..EPOCHS {
        let faults = weather(&rng);
        world.say("epoch", format!("{epoch} {faults:?}"));
        let corrupt = faults.corrupt_ppm > 0;
        world.faulty.set(faults);
        join_all(actors.iter().map(|actor| actor.live(world, plan.steps, corrupt))).await;
        world.faulty.set(calm());
        // What stalled may come late, on top of what is read now.
        world.env.clock.sleep(Duration::from_secs(rng.next_u64() % 900)).await;
        for actor in &actors {
            actor.is_well(world).await;
        }
        check::refs(world).await;
        broken(world)?;
    }
    world.env.clock.sleep(Duration::from_secs(3 * 3600)).await;
    check::refs(world).await;
    broken(world)?;
    check::progress(world).await;
    check::refs(world).await;
    check::verified(world).await;
    broken(world)?;
    let counts = world.model.state().counts;
    Ok(Report { trace: world.faulty.trace(), requests: world.faulty.count(), counts })
}

fn broken(world: &World) -> Result<(), String> {
    let broken = std::mem::take(&mut world.model.state().broken);
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}
