//! Those who ask for what functions are to do.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use cairn_blocks::OpenFrame;
use cairn_datasets::{Dataset, Publication, Store as _, Target};
use cairn_env::{Rng as _, SeededRng};
use cairn_functions::{
    Asked, Error, Missed, Plan, PlanInfo, PlanSpec, Settings, State, Step, TriggerSpec, call_id,
};
use cairn_kv::{Commit, Op};

use super::cluster::{
    CARTS, COUNTER, Cluster, HEARER, LATE, WORKER, dataset, function, namespace, project,
};
use super::fate::Run;
use super::guests;
use super::history::{Called, Lost, Planned, Scheduled, Told};
use crate::trees::{Built, Numbers, Pool, below, build, one_in};

/// The dataset that plans read, and its tags.
const TEXTS: &str = "texts";
const TAGS: usize = 2;
/// Longer files are read in parts.
const SPLIT_BYTES: u64 = 64 << 10;
/// How long a call or a plan is waited for in one go.
const WAIT: Duration = Duration::from_secs(20);
/// A caller.
const BY: &str = "root";
/// The trigger.
pub(super) const NEWS: &str = "news";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What is there before anything happens: functions, schedules, a trigger, a dataset with what is to be counted in
/// each of its tags.
pub(super) async fn prepare(
    cluster: &Cluster,
    rng: &SeededRng,
) -> Result<(Vec<Scheduled>, Vec<u64>), String> {
    for name in [WORKER, HEARER, COUNTER] {
        deploy(cluster, name).await?;
    }
    let mut schedules = Vec::new();
    for (name, seconds, missed) in
        [("skip", 10, Missed::Skip), ("once", 20, Missed::Once), ("all", 15, Missed::All)]
    {
        let mut plan = Plan::new(format!("*/{seconds} * * * * *"));
        (plan.missed, plan.arguments) = (missed, vec!["s".to_owned(), name.to_owned()]);
        let (key, plan) = (&(function(WORKER), dataset(name)), &plan);
        let made = cluster.ask(|engine| async move {
            match engine.functions.add_schedule(key, plan, BY).await {
                // The answer before was lost.
                Err(Error::ScheduleExists { .. }) => {
                    let all = engine.functions.schedules(&project()).await?;
                    let known = all.into_iter().find(|schedule| schedule.name == name);
                    known.ok_or_else(|| Error::Invalid { why: "it is gone".to_owned() })
                }
                made => made,
            }
        });
        let made_ms = made.await?.made_ms;
        let (name, every_ms, runs) = (name.to_owned(), seconds * 1000, Vec::new());
        schedules.push(Scheduled { name, every_ms, missed, made_ms, runs });
    }
    let spec =
        TriggerSpec { namespace: CARTS.to_owned(), prefix: String::new(), path: "/".to_owned() };
    let (key, spec) = (&(function(HEARER), dataset(NEWS)), &spec);
    let made = cluster.ask(|engine| async move {
        match engine.functions.add_trigger(key, spec, BY).await {
            Err(Error::TriggerExists { .. }) => Ok(()),
            made => made.map(drop),
        }
    });
    made.await?;
    let pool = Pool::default();
    let mut totals = Vec::new();
    for tag in 0..TAGS {
        totals.push(publish(cluster, &pool, rng, tag).await?);
    }
    Ok((schedules, totals))
}

/// Deploys a function, and waits until it can be called.
async fn deploy(cluster: &Cluster, name: &str) -> Result<(), String> {
    let (of, settings) = (&function(name), &Settings::default());
    let deployed = cluster.ask(|engine| async move {
        engine.functions.deploy(of, guests::upload(), settings, BY).await
    });
    let number = deployed.await?.number;
    let decided = cluster.ask(|engine| async move {
        let release = engine.functions.decided(of, number, WAIT).await?;
        match release.state {
            State::Compiling => Err(Error::NoneReady { function: of.clone() }),
            state => Ok(state),
        }
    });
    match decided.await? {
        State::Ready { .. } => Ok(()),
        // FUNCTIONS-3
        state => Err(format!("FUNCTIONS-3: {name} was deployed, and is {state:?}")),
    }
}

/// Deploys one more function while nodes end, and calls it.
pub(super) async fn late(cluster: &Cluster, seed: u64) -> Result<(), String> {
    cluster.sleep_ms(SeededRng::new(seed).next_u64() % 60_000).await;
    deploy(cluster, LATE).await
}

/// Publishes some files under a tag; how many spaces they have.
async fn publish(
    cluster: &Cluster,
    pool: &Pool,
    rng: &SeededRng,
    tag: usize,
) -> Result<u64, String> {
    let mut numbers = Numbers::new();
    for file in 0..1 + below(rng, 4) {
        let chunks = [0, 1, 2, 5, 60][below(rng, 5)];
        let chunks = (0..chunks).map(|_| below(rng, 48)).collect();
        numbers.insert(format!("d{}/file{file}", file % 2), chunks);
    }
    let store = &cluster.datasets;
    let of = Dataset { project: project(), name: dataset(TEXTS) };
    let target = Target { dataset: of, tag: tag_name(tag).parse().map_err(text)? };
    let key = store.project(&project()).await.map_err(text)?.key;
    let built: Built = build(pool, &key, &numbers);
    let upload = store.upload(std::slice::from_ref(&target)).await.map_err(text)?;
    let ids: Vec<_> = built.chunks.iter().map(|(id, _)| *id).collect();
    let wanted = upload.claim(&ids).await.map_err(text)?;
    let mut open = OpenFrame::default();
    for ((id, bytes), _) in built.chunks.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
        open.push(*id, bytes);
    }
    if !open.is_empty() {
        upload.add(open.encode(1)).await.map_err(text)?;
    }
    let (by, message, expires_ns) = (BY.to_owned(), None, None);
    let (root, totals) = (built.root, built.totals);
    let publication = Publication { root, totals, by, message, expires_ns };
    upload.publish(&publication).await.map_err(text)?;
    let spaces = |file: &Bytes| file.iter().filter(|byte| **byte == b' ').count() as u64;
    Ok(built.files.values().map(spaces).sum())
}

fn tag_name(tag: usize) -> String {
    format!("v{tag}")
}

/// Calls the worker later, and looks what came of it.
pub(super) async fn call(
    cluster: &Cluster,
    caller: u32,
    seed: u64,
    run: &Run,
) -> Result<Vec<Called>, String> {
    let rng = SeededRng::new(seed);
    let mut calls = Vec::new();
    while !run.calm.get() {
        cluster.sleep_ms(rng.next_u64() % 9000).await;
        let number = format!("{caller}-{}", calls.len());
        let mut call = begin(cluster, number).await?;
        if one_in(&rng, 3) {
            let again = later(cluster, &call.number, &call.input).await?;
            call.again.push(again);
        }
        if one_in(&rng, 5) {
            call.taken_for_another = other(cluster, &call).await;
        }
        for _ in 0..below(&rng, 3) {
            cluster.sleep_ms(rng.next_u64() % 2000).await;
            let told = look(cluster, &call, Duration::ZERO).await?;
            call.told.push(told);
        }
        calls.push(call);
    }
    // All is calm: whatever was asked for is done, and told twice.
    for call in &mut calls {
        for _ in 0..2 {
            let told = done(cluster, call).await?;
            call.told.push(told);
        }
        let again = later(cluster, &call.number, &call.input).await?;
        call.again.push(again);
    }
    Ok(calls)
}

async fn begin(cluster: &Cluster, number: String) -> Result<Called, String> {
    let input = Bytes::from(format!("the input of {number}"));
    let id = later(cluster, &number, &input).await?;
    let acknowledged_ms = cluster.now_ms();
    let (again, told, taken_for_another) = (Vec::new(), Vec::new(), false);
    Ok(Called { number, id, input, acknowledged_ms, again, taken_for_another, told })
}

/// Asks with the key of this number; the id of the call.
async fn later(cluster: &Cluster, number: &str, input: &Bytes) -> Result<String, String> {
    let asked = &asked(number);
    let key = &(function(WORKER), call_id(&function(WORKER), BY, number.as_bytes()));
    let answer = cluster.ask(|engine| async move {
        engine.functions.call_later(key, asked, input.clone(), BY).await
    });
    Ok(answer.await?.id)
}

fn asked(number: &str) -> Asked {
    let arguments = vec!["c".to_owned(), number.to_owned()];
    Asked { path: "/".to_owned(), media_type: None, arguments }
}

/// Whether the key of a call is taken for another request.
async fn other(cluster: &Cluster, call: &Called) -> bool {
    let asked = &asked(&call.number);
    let key = &(function(WORKER), call.id.clone());
    let input = Bytes::from_static(b"another input");
    let answer = cluster.ask_one(|engine| {
        let input = input.clone();
        async move { engine.functions.call_later(key, asked, input, BY).await }
    });
    matches!(answer.await, Some(Ok(_)))
}

async fn look(cluster: &Cluster, call: &Called, wait: Duration) -> Result<Told, String> {
    let key = &(function(WORKER), call.id.clone());
    let told = cluster.ask(|engine| async move {
        let info = engine.functions.called(key, wait).await?;
        let is_done = matches!(info.state, cairn_functions::CallState::Done { .. });
        let output = if is_done { Some(engine.functions.output(key).await?) } else { None };
        Ok((info, output))
    });
    let (info, output) = told.await?;
    Ok(Told { at_ms: cluster.now_ms(), info, output })
}

async fn done(cluster: &Cluster, call: &Called) -> Result<Told, String> {
    for _ in 0..20 {
        let told = look(cluster, call, WAIT).await?;
        if told.is_done() {
            return Ok(told);
        }
    }
    look(cluster, call, WAIT).await
}

/// Changes carts.
pub(super) async fn change(cluster: &Cluster, seed: u64, run: &Run) -> Result<(), String> {
    let rng = SeededRng::new(seed);
    let mut number = 0;
    while !run.calm.get() {
        cluster.sleep_ms(rng.next_u64() % 6000).await;
        let mut ops = Vec::new();
        for _ in 0..1 + below(&rng, 3) {
            number += 1;
            let key = Bytes::from(format!("cart/{}", below(&rng, 5)));
            ops.push(match one_in(&rng, 4) {
                true => Op::Delete { key },
                false => {
                    let value = Bytes::from(format!("{number}"));
                    Op::Put { key, value, expires_ms: None }
                }
            });
        }
        let commit = &Commit { ops, ..Commit::default() };
        // One whose answer is lost may be made twice: what was made is told.
        let made = cluster.ask(|engine| async move {
            let made = engine.kv.commit(&namespace(CARTS), commit.clone()).await;
            made.map(drop).map_err(Error::from)
        });
        made.await?;
    }
    Ok(())
}

/// Asks for plans, one after the other, and looks what came of them.
pub(super) async fn plan(
    cluster: &Cluster,
    totals: &[u64],
    seed: u64,
    run: &Run,
) -> Result<(Vec<Planned>, Vec<Lost>), String> {
    let rng = SeededRng::new(seed);
    let (series, lost) = (RefCell::default(), RefCell::default());
    let planner = Planner { cluster, rng, totals, series, lost };
    let mut plans = Vec::new();
    while !run.calm.get() {
        cluster.sleep_ms(planner.rng.next_u64() % 20_000).await;
        let made = planner.plan().await?;
        plans.push(made.clone());
        // The same once more.
        if one_in(&planner.rng, 2) && made.makes.is_some() {
            let fresh = one_in(&planner.rng, 3);
            let tag = made.info.name.parse::<usize>().unwrap_or(0);
            plans.extend(planner.one(&made.series, tag, false, fresh).await?);
        }
    }
    Ok((plans, planner.lost.into_inner()))
}

struct Planner<'a> {
    cluster: &'a Cluster,
    rng: SeededRng,
    totals: &'a [u64],
    series: RefCell<u32>,
    lost: RefCell<Vec<Lost>>,
}

impl Planner<'_> {
    /// A plan of a series of its own. One whose answer is lost is another series, which may be done all the same.
    async fn plan(&self) -> Result<Planned, String> {
        let (tag, fails) = (below(&self.rng, TAGS), one_in(&self.rng, 4));
        for _ in 0..2000 {
            let number = {
                let mut series = self.series.borrow_mut();
                *series += 1;
                *series
            };
            if let Some(made) = self.one(&format!("s{number}"), tag, fails, false).await? {
                return Ok(made);
            }
            self.cluster.sleep_ms(300).await;
        }
        Err("no plan is taken".to_owned())
    }

    /// A plan, once it has ended; nothing where it was not acknowledged.
    async fn one(
        &self,
        series: &str,
        tag: usize,
        fails: bool,
        fresh: bool,
    ) -> Result<Option<Planned>, String> {
        let cluster = self.cluster;
        // The same for a series.
        let together = u32::try_from(2 + series.len() % 3).ok();
        let spec = &spec(series, tag, fails, together);
        // Of its name it is seen what it reads.
        let key = &(function(&tag.to_string()), format!("{:016x}", self.rng.next_u64()));
        let asked_ms = cluster.now_ms();
        let taken = cluster
            .ask_one(|engine| async move { engine.functions.add_plan(key, spec, fresh, BY).await });
        let Some(Ok(_)) = taken.await else {
            self.lost.borrow_mut().push(Lost { series: series.to_owned(), fresh, asked_ms });
            return Ok(None);
        };
        cluster.say("plan", format!("{series} begins, fresh: {fresh}, fails: {fails}"));
        let info = self.ended(key).await?;
        let made = match info.state {
            cairn_functions::PlanState::Done => {
                let made = cluster.ask(|engine| async move {
                    engine.functions.plan_output(key, None, None).await
                });
                Some(made.await?)
            }
            _ => None,
        };
        cluster.say("plan", format!("{series} is {:?}, {}", info.state, info.what));
        let makes = (!fails).then(|| Bytes::from(format!("{:08}", self.totals[tag])));
        let series = series.to_owned();
        Ok(Some(Planned { series, fresh, asked_ms, makes, info, made }))
    }

    async fn ended(&self, key: &(cairn_functions::Function, String)) -> Result<PlanInfo, String> {
        let open = |info: &PlanInfo| info.ended_ms.is_none();
        let look =
            || self.cluster.ask(|engine| async move { engine.functions.plan(key, WAIT).await });
        let mut info = look().await?;
        for _ in 0..60 {
            if !open(&info) {
                break;
            }
            info = look().await?;
        }
        Ok(info)
    }
}

fn spec(series: &str, tag: usize, fails: bool, together: Option<u32>) -> PlanSpec {
    let step = |arguments: &[&str]| {
        let arguments = arguments.iter().chain([&series]).map(|one| (*one).to_owned()).collect();
        Step { function: COUNTER.to_owned(), arguments, ..Step::default() }
    };
    let count = Step {
        files: Some(format!("{TEXTS}:{}", tag_name(tag))),
        split_bytes: Some(SPLIT_BYTES),
        ..step(&["w"])
    };
    let each = step(&[if fails { "w!" } else { "t" }, "each"]);
    let each = Step { inputs: vec!["count".to_owned()], each: true, ..each };
    let total = Step { inputs: vec!["each".to_owned()], together, ..step(&["t", "total"]) };
    let steps = [("count", count), ("each", each), ("total", total)];
    PlanSpec { steps: steps.into_iter().map(|(name, step)| (name.to_owned(), step)).collect() }
}
