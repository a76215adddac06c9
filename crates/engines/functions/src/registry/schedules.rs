//! Schedules as they are kept.

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_kv::{KeyRange, Scan, Transaction};
use futures::FutureExt as _;

use super::{Made, Registry, below, delete, delete_below, entry, put, row};
use crate::error::Error;
use crate::model::Function;
use crate::rows::{self, Begun, ScheduleRow, TickRow};
use crate::schedules::{
    ATTEMPTS_MAX, Due, Key, Outcome, Plan, RUNS_KEPT, Run, SCHEDULES_MAX, ScheduleInfo, Times, due,
};

/// What there is to do for a schedule.
pub(crate) enum Turn {
    /// This run, which is begun.
    Run(Begun, Plan),
    /// To look again at this time.
    Later(u64),
    /// There is no such schedule any more.
    Gone,
}

impl Registry {
    /// Adds a schedule of a function that is there; with `replace` one of that name is changed, and its runs stay.
    pub(crate) async fn add_schedule(
        &self,
        (function, name): &Key,
        plan: &Plan,
        by: &str,
        replace: bool,
    ) -> Result<Made<ScheduleInfo>, Error> {
        let now_ms = self.now_ms();
        plan.check(now_ms).map_err(|why| Error::Invalid { why })?;
        let made = self.transact(function, move |mut transaction: Transaction| {
            async move {
                if entry(&mut transaction, &rows::function(&function.name)).await?.is_none() {
                    return Err(Error::NoFunction { function: function.clone() });
                }
                let key = rows::schedule(&function.name, name);
                let before = row::<ScheduleRow>(&mut transaction, &key).await?;
                if before.is_some() && !replace {
                    let (function, name) = (function.clone(), name.to_string());
                    return Err(Error::ScheduleExists { function, name });
                }
                let all = below(&mut transaction, rows::SCHEDULES).await?.len();
                if before.is_none() && all >= SCHEDULES_MAX {
                    let why =
                        format!("a project has at most {SCHEDULES_MAX} schedules: remove some");
                    return Err(Error::Invalid { why });
                }
                let tick_key = rows::tick(&function.name, name);
                let tick: Option<TickRow> = row(&mut transaction, &tick_key).await?;
                let mut tick = tick.unwrap_or(TickRow { last_ms: now_ms, begun: None });
                let times = |plan: &Plan| (plan.schedule.clone(), plan.zone.clone());
                if before.as_ref().is_some_and(|before| times(&before.plan) != times(plan)) {
                    // Other times begin now.
                    tick.last_ms = tick.last_ms.max(now_ms);
                }
                let made_ms = before.map_or(now_ms, |before| before.made_ms);
                let made = ScheduleRow { plan: plan.clone(), made_ms, by: by.to_owned() };
                put(&mut transaction, key, rows::encode(&made))?;
                put(&mut transaction, tick_key, rows::encode(&tick))?;
                Ok((transaction, info(function, name, made, &tick)))
            }
            .boxed()
        });
        made.await
    }

    /// Removes a schedule with what is remembered of it.
    pub(crate) async fn remove_schedule(&self, (function, name): &Key) -> Result<Made<()>, Error> {
        let removed = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::schedule(&function.name, name);
                if entry(&mut transaction, &key).await?.is_none() {
                    return Err(no_schedule(function, name));
                }
                delete(&mut transaction, key)?;
                delete(&mut transaction, rows::tick(&function.name, name))?;
                delete_below(&mut transaction, &rows::runs(&function.name, name))?;
                Ok((transaction, ()))
            }
            .boxed()
        });
        removed.await
    }

    /// The schedules of a project, by function and name.
    pub(crate) async fn schedules(&self, of: &ProjectName) -> Result<Vec<ScheduleInfo>, Error> {
        let mut all = Vec::new();
        for (key, value) in self.rows(of, rows::SCHEDULES).await? {
            let Some((function, name)) = rows::scheduled(&key) else { continue };
            let made: ScheduleRow = rows::decode(&key, &value)?;
            let tick = self.get(of, &rows::tick(&function, &name)).await?;
            let tick = tick.unwrap_or(TickRow { last_ms: made.made_ms, begun: None });
            let last = self.last_run(of, &rows::runs(&function, &name)).await?;
            let function = Function { project: of.clone(), name: function };
            all.push(ScheduleInfo { last, ..info(&function, &name, made, &tick) });
        }
        Ok(all)
    }

    /// The newest of the runs below a prefix.
    async fn last_run(&self, of: &ProjectName, prefix: &str) -> Result<Option<Run>, Error> {
        let namespace = rows::namespace(of);
        let range = KeyRange::prefix(Bytes::copy_from_slice(prefix.as_bytes()));
        let scan = Scan { reverse: true, limit: 1, ..Scan::of(range) };
        let page = self.ask(|kv| kv.scan(&namespace, &scan).boxed()).await?;
        page.entries.first().map(|entry| rows::decode(prefix, &entry.value)).transpose()
    }

    /// What is remembered of the runs of a schedule, the newest first.
    pub(crate) async fn runs(&self, (function, name): &Key) -> Result<Vec<Run>, Error> {
        let key = rows::schedule(&function.name, name);
        if self.get::<ScheduleRow>(&function.project, &key).await?.is_none() {
            return Err(no_schedule(function, name));
        }
        let all = self.rows(&function.project, &rows::runs(&function.name, name)).await?;
        all.iter().rev().map(|(key, value)| rows::decode(key, value)).collect()
    }

    /// Begins what is due (FUNCTIONS-6). Whoever calls sees to it that nobody else of this node runs it.
    pub(crate) async fn begin_run(&self, (function, name): &Key) -> Result<Turn, Error> {
        let now_ms = self.now_ms();
        let begun = self.note(function, move |mut transaction: Transaction| {
            async move {
                let of = &function.name;
                let key = rows::schedule(of, name);
                let Some(made) = row::<ScheduleRow>(&mut transaction, &key).await? else {
                    return Ok((transaction, Turn::Gone));
                };
                let tick_key = rows::tick(of, name);
                let known = row::<TickRow>(&mut transaction, &tick_key).await?;
                let mut tick = known.unwrap_or(TickRow { last_ms: made.made_ms, begun: None });
                let known_begun = tick.begun.is_some();
                if let Some(before) = tick.begun {
                    if before.attempt < ATTEMPTS_MAX {
                        let begun = Begun { attempt: before.attempt + 1, at_ms: now_ms, ..before };
                        tick.begun = Some(begun);
                        put(&mut transaction, tick_key, rows::encode(&tick))?;
                        return Ok((transaction, Turn::Run(begun, made.plan)));
                    }
                    let what = "nodes ended in the middle of it, again and again".to_owned();
                    let run = ended(before, now_ms, Outcome::Failed, what);
                    put(&mut transaction, rows::ran(of, name, before.tick_ms), rows::encode(&run))?;
                    tick.begun = None;
                }
                let times = times(&made.plan)?;
                let before = tick.clone();
                let turn = match due(&times, made.plan.missed, tick.last_ms, now_ms) {
                    Due::Never => Turn::Later(u64::MAX),
                    Due::At(at_ms) => Turn::Later(at_ms),
                    Due::Tick(tick_ms) => {
                        let begun = Begun { tick_ms, attempt: 1, at_ms: now_ms };
                        (tick.last_ms, tick.begun) = (tick_ms, Some(begun));
                        Turn::Run(begun, made.plan)
                    }
                    Due::Missed(tick_ms) => {
                        let begun = Begun { tick_ms, attempt: 0, at_ms: now_ms };
                        let what = "no node was there, or the run before was under way".to_owned();
                        let run = ended(begun, now_ms, Outcome::Missed, what);
                        put(&mut transaction, rows::ran(of, name, tick_ms), rows::encode(&run))?;
                        tick.last_ms = tick_ms;
                        Turn::Later(0)
                    }
                };
                if tick != before || known_begun {
                    put(&mut transaction, tick_key, rows::encode(&tick))?;
                }
                Ok((transaction, turn))
            }
            .boxed()
        });
        Ok(begun.await?.what)
    }

    /// There was no room for a run: it counts as not begun, and is begun again.
    pub(crate) async fn let_be(&self, (function, name): &Key, begun: Begun) -> Result<(), Error> {
        let done = self.note(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::tick(&function.name, name);
                let tick: Option<TickRow> = row(&mut transaction, &key).await?;
                if let Some(tick) = tick.filter(|tick| tick.begun == Some(begun)) {
                    let begun = Some(Begun { attempt: begun.attempt - 1, ..begun });
                    put(&mut transaction, key, rows::encode(&TickRow { begun, ..tick }))?;
                }
                Ok((transaction, ()))
            }
            .boxed()
        });
        done.await.map(drop)
    }

    /// A run ended. What is remembered of too many is forgotten.
    pub(crate) async fn end_run(&self, (function, name): &Key, run: &Run) -> Result<(), Error> {
        let done = self.note(function, move |mut transaction: Transaction| {
            async move {
                let of = &function.name;
                let key = rows::tick(of, name);
                let Some(tick) = row::<TickRow>(&mut transaction, &key).await? else {
                    return Ok((transaction, ()));
                };
                let ours =
                    |begun: Begun| (begun.tick_ms, begun.attempt) == (run.tick_ms, run.attempt);
                if tick.begun.is_some_and(ours) {
                    put(&mut transaction, key, rows::encode(&TickRow { begun: None, ..tick }))?;
                    put(&mut transaction, rows::ran(of, name, run.tick_ms), rows::encode(run))?;
                    let all = below(&mut transaction, &rows::runs(of, name)).await?;
                    for (old, _) in &all[..all.len().saturating_sub(RUNS_KEPT)] {
                        delete(&mut transaction, old.clone())?;
                    }
                }
                Ok((transaction, ()))
            }
            .boxed()
        });
        done.await.map(drop)
    }
}

/// What a run was that ended now.
pub(crate) fn ended(begun: Begun, now_ms: u64, outcome: Outcome, what: String) -> Run {
    let Begun { tick_ms, attempt, at_ms } = begun;
    Run { tick_ms, began_ms: at_ms, ended_ms: now_ms, attempt, outcome, what }
}

fn times(plan: &Plan) -> Result<Times, Error> {
    Times::of(&plan.schedule, &plan.zone).map_err(|why| Error::Invalid { why })
}

fn info(
    function: &Function,
    name: &DatasetName,
    made: ScheduleRow,
    tick: &TickRow,
) -> ScheduleInfo {
    let next_ms = times(&made.plan).ok().and_then(|times| times.after(tick.last_ms));
    ScheduleInfo {
        name: name.to_string(),
        project: function.project.to_string(),
        function: function.name.to_string(),
        plan: made.plan,
        made_ms: made.made_ms,
        by: made.by,
        next_ms,
        running: tick.begun.is_some(),
        last: None,
    }
}

fn no_schedule(function: &Function, name: &DatasetName) -> Error {
    Error::NoSchedule { function: function.clone(), name: name.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use cairn_bucket::Bucket;
    use cairn_datasets::Datasets;
    use cairn_env::Env;
    use cairn_kv::Kv;
    use cairn_partition::MemoryStore;

    use super::*;
    use crate::model::Settings;

    /// A function, and a schedule that is due.
    async fn registry(plan: Plan) -> (Registry, Key) {
        let env = Env::real();
        let options = cairn_blocks::Options::default();
        let datasets =
            Datasets::open_or_init(Bucket::memory(&env), None, options, &env).await.unwrap();
        let kv = Kv::new(Arc::new(MemoryStore::new(&env)), &datasets);
        let registry = Registry::new(&kv, &kv, &env);
        let function = Function { project: "main".parse().unwrap(), name: "f".parse().unwrap() };
        registry.ensure(&function.project).await.unwrap();
        registry.keep_code(&function.project, "00", &Bytes::from_static(b"x")).await.unwrap();
        let settings = Settings::default();
        registry.add_release(&function, ("00", 1), &settings, "root").await.unwrap().unwrap();
        let key = (function, "default".parse().unwrap());
        registry.add_schedule(&key, &plan, "root", false).await.unwrap();
        let tick = TickRow { last_ms: registry.now_ms() - 120_000, begun: None };
        set(&registry, &key, &tick).await;
        (registry, key)
    }

    async fn set(registry: &Registry, (function, name): &Key, tick: &TickRow) {
        let set = registry.note(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::tick(&function.name, name);
                put(&mut transaction, key, rows::encode(tick))?;
                Ok((transaction, ()))
            }
            .boxed()
        });
        set.await.unwrap();
    }

    fn begun(turn: Turn) -> Begun {
        match turn {
            Turn::Run(begun, _) => begun,
            Turn::Later(at) => panic!("later: {at}"),
            Turn::Gone => panic!("gone"),
        }
    }

    /// FUNCTIONS-6: the same tick is begun again when nobody has ended it, at most three times, and then the next.
    #[tokio::test]
    async fn functions_6_what_was_begun_is_begun_again_until_it_ends() {
        let (registry, key) = registry(Plan::new("* * * * * *".to_owned())).await;
        let first = begun(registry.begin_run(&key).await.unwrap());
        for attempt in 2..=ATTEMPTS_MAX {
            let again = begun(registry.begin_run(&key).await.unwrap());
            assert_eq!((again.tick_ms, again.attempt), (first.tick_ms, attempt));
            // What an earlier attempt says counts no more.
            let late = ended(first, registry.now_ms(), Outcome::Ok, String::new());
            registry.end_run(&key, &late).await.unwrap();
        }
        assert_eq!(registry.runs(&key).await.unwrap(), []);
        while let Turn::Later(at) = registry.begin_run(&key).await.unwrap() {
            assert!(at <= registry.now_ms() + 1000, "{at}");
        }
        let runs = registry.runs(&key).await.unwrap();
        assert_eq!((runs[0].tick_ms, runs[0].outcome), (first.tick_ms, Outcome::Failed));
    }

    /// FUNCTIONS-6: a tick that is left out is in the history; of the history the last hundred are kept.
    #[tokio::test]
    async fn functions_6_history_tells_what_was_run_and_left_out() {
        let (registry, key) = registry(Plan::new("0 0 1 1 *".to_owned())).await;
        let year_ms = 366 * 24 * 3_600_000;
        let long_ago = TickRow { last_ms: registry.now_ms() - year_ms, begun: None };
        set(&registry, &key, &long_ago).await;
        assert!(matches!(registry.begin_run(&key).await.unwrap(), Turn::Later(0)));
        assert_eq!(registry.runs(&key).await.unwrap()[0].outcome, Outcome::Missed);
        let now_ms = registry.now_ms();
        for tick_ms in 0..RUNS_KEPT as u64 + 5 {
            let begun = Begun { tick_ms, attempt: 1, at_ms: 0 };
            set(&registry, &key, &TickRow { last_ms: now_ms, begun: Some(begun) }).await;
            let run = ended(begun, now_ms, Outcome::Ok, String::new());
            registry.end_run(&key, &run).await.unwrap();
        }
        assert_eq!(registry.runs(&key).await.unwrap().len(), RUNS_KEPT);
        registry.remove_schedule(&key).await.unwrap();
        assert!(matches!(registry.runs(&key).await, Err(Error::NoSchedule { .. })));
        assert!(registry.rows(&key.0.project, "ran/").await.unwrap().is_empty());
    }
}
