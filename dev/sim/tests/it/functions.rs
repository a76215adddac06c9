//! Functions on nodes that end; and histories that must not be, each refused by the checker that is for it.

use std::path::Path;

use bytes::Bytes;
use cairn_functions::{
    CallInfo, CallState, Missed, Outcome, PlanInfo, PlanState, Run, StepInfo, StepState,
};
use cairn_partition::{Change, Entry, Seq, What};
use cairn_sim::functions::history::{Called, Effect, History, Planned, Scheduled, Told, Triggered};
use cairn_sim::functions::{Counts, Failure, Report, calls, check, plans, schedules, triggers};
use cairn_sim::partition::history::Broken;
use cairn_sim::partition::nodes::apart::{Said, each};

/// Seeds run on every change. `cargo run -p cairn-sim -- functions --seeds 1000` runs more.
const SEEDS: u64 = 8;
const PROGRAM: &str = env!("CARGO_BIN_EXE_cairn-sim");

fn run(seeds: std::ops::Range<u64>) -> Vec<Report> {
    let told: Vec<Said<Report>> = each(Path::new(PROGRAM), &["functions"], seeds.clone());
    let failure = |seed| move |broken| Failure { seed, broken };
    let all = seeds.zip(told);
    all.map(|(seed, told)| told.map_err(failure(seed)).unwrap_or_else(|f| panic!("{f}"))).collect()
}

/// FUNCTIONS-3, FUNCTIONS-6, FUNCTIONS-7, FUNCTIONS-8, FUNCTIONS-10, whatever nodes end meanwhile.
#[test]
fn functions_keep_their_promises_on_nodes_that_end() {
    let mut counts = Counts::default();
    run(0..SEEDS).iter().for_each(|report| counts.add(&report.counts));
    let Counts { kills, cut, ticks, calls, changes, plans, reused, .. } = counts;
    // The simulation does what it is for.
    assert!(kills > SEEDS * 5 && cut > SEEDS * 5, "{counts:?}");
    assert!(ticks > SEEDS * 20 && calls > SEEDS * 5 && changes > SEEDS * 10, "{counts:?}");
    assert!(plans > SEEDS * 2 && reused > SEEDS, "{counts:?}");
}

/// A seed decides everything.
#[test]
fn a_seed_of_functions_is_the_same_twice() {
    let traces = |reports: Vec<Report>| reports.iter().map(|one| one.trace).collect::<Vec<_>>();
    let first = traces(run(2..4));
    assert_eq!(first, traces(run(2..4)));
    assert_ne!(first[0], first[1]);
}

fn effect(at_ms: u64, end: bool, arguments: &[&str], input: &str) -> Effect {
    let arguments = arguments.iter().map(|&one| one.to_owned()).collect();
    let (function, input) = ("f".to_owned(), Bytes::copy_from_slice(input.as_bytes()));
    Effect { at_ms, function, end, arguments, tick: None, input }
}

fn tick(at_ms: u64, end: bool, tick: (u64, u32)) -> Effect {
    Effect { tick: Some(tick), ..effect(at_ms, end, &["s", "all"], "") }
}

fn ran(tick_ms: u64, attempt: u32) -> Run {
    let (began_ms, ended_ms, what) = (tick_ms + 1, tick_ms + 500, String::new());
    Run { tick_ms, began_ms, ended_ms, attempt, outcome: Outcome::Ok, what }
}

fn put(seq: u64, key: &str, value: &str) -> Change {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let (key, value) = (bytes(key), bytes(value));
    let entry = Entry { key, value, reference: None, seq: Seq(seq), expires_ms: None };
    Change { seq: Seq(seq), time_ms: seq, what: What::Put(entry) }
}

fn line(seq: u64, key: &str, value: &str) -> String {
    format!(r#"{{"type":"put","seq":{seq},"key":"{key}","value":"{value}"}}"#) + "\n"
}

fn told(at_ms: u64, output: &'static str) -> Told {
    let state = CallState::Done {
        attempt: 2,
        began_ms: 3000,
        ended_ms: 4000,
        outcome: Outcome::Ok,
        what: "exit code 0".to_owned(),
        status: None,
        exit: Some(0),
        media_type: None,
    };
    let (project, function, by) = ("main".to_owned(), "f".to_owned(), "root".to_owned());
    let info = CallInfo { id: "1".to_owned(), project, function, made_ms: 0, by, state };
    Told { at_ms, info, output: Some(Bytes::from_static(output.as_bytes())) }
}

fn step(name: &str, state: StepState, reused: u32) -> StepInfo {
    StepInfo {
        name: name.to_owned(),
        function: "f".to_owned(),
        inputs: Vec::new(),
        runs: (state != StepState::Waiting).then_some(1),
        done: u32::from(state == StepState::Done),
        reused,
        state,
        began_ms: None,
        ended_ms: None,
    }
}

fn planned(asked_ms: u64, reused: u32) -> Planned {
    let info = PlanInfo {
        id: asked_ms.to_string(),
        project: "main".to_owned(),
        name: "p".to_owned(),
        made_ms: asked_ms,
        by: "root".to_owned(),
        state: PlanState::Done,
        what: String::new(),
        ended_ms: Some(asked_ms + 2000),
        steps: vec![step("count", StepState::Done, reused), step("total", StepState::Done, reused)],
    };
    let made = || Some(Bytes::from_static(b"00000007"));
    Planned { series: "s1".to_owned(), fresh: false, asked_ms, makes: made(), info, made: made() }
}

fn failing(asked_ms: u64) -> Planned {
    let mut plan = planned(asked_ms, 0);
    (plan.series, plan.makes, plan.made) = ("s2".to_owned(), None, None);
    plan.info.state = PlanState::Failed;
    plan.info.what = "run 0 of step count: it ended with exit code 1".to_owned();
    plan.info.steps =
        vec![step("count", StepState::Failed, 0), step("total", StepState::Waiting, 0)];
    plan
}

/// A node ended at 2500: a run of a schedule and a call were begun again. A plan was asked for twice, and one fails.
fn good() -> History {
    let call = ["c", "1"];
    let mut effects = vec![
        tick(1001, false, (1000, 1)),
        tick(1500, true, (1000, 1)),
        tick(2001, false, (2000, 1)),
        effect(2100, false, &call, "x"),
        // The end of the node.
        tick(2600, false, (2000, 2)),
        tick(2900, true, (2000, 2)),
        effect(3000, false, &call, "x"),
        tick(3001, false, (3000, 1)),
        tick(3400, true, (3000, 1)),
        effect(3900, true, &call, "x"),
        effect(5000, false, &["news"], &line(1, "a", "1")),
        effect(5100, true, &["news"], &line(1, "a", "1")),
        effect(5200, false, &["news"], &(line(2, "a", "2") + &line(3, "b", "3"))),
        effect(5300, true, &["news"], &(line(2, "a", "2") + &line(3, "b", "3"))),
    ];
    for (at_ms, what) in [(6000, "w"), (6500, "t")] {
        effects.push(effect(at_ms, false, &[what, "s1"], "hash"));
        effects.push(effect(at_ms + 400, true, &[what, "s1"], "hash"));
    }
    effects.extend([10_000, 10_100, 10_200].map(|at| effect(at, false, &["w!", "s2"], "hash")));
    let (name, runs) = ("all".to_owned(), vec![ran(1000, 1), ran(2000, 2), ran(3000, 1)]);
    let schedule = Scheduled { name, every_ms: 1000, missed: Missed::All, made_ms: 500, runs };
    let call = Called {
        number: "1".to_owned(),
        id: "1".to_owned(),
        input: Bytes::from_static(b"x"),
        acknowledged_ms: 1,
        again: vec!["1".to_owned()],
        taken_for_another: false,
        told: vec![told(4100, "x"), told(4200, "x")],
    };
    let truth = vec![put(1, "a", "1"), put(2, "a", "2"), put(3, "b", "3")];
    History {
        effects,
        unrest: vec![2500..=2550],
        schedules: vec![schedule],
        calls: vec![call],
        triggers: vec![Triggered { name: "news".to_owned(), truth, told: 3 }],
        plans: vec![planned(5900, 0), planned(9000, 1), failing(9900)],
        looked_ms: 18_900,
        ..History::default()
    }
}

#[track_caller]
fn refused(checked: fn(&History) -> Result<(), Broken>, change: impl Fn(&mut History), why: &str) {
    let mut history = good();
    change(&mut history);
    let broken = checked(&history).expect_err(why);
    assert!(broken.detail.contains(why), "{broken}, not {why}");
    assert!(check(&history).is_err());
}

/// Removes the effect at a time.
fn without(history: &mut History, at_ms: u64) {
    history.effects.retain(|effect| effect.at_ms != at_ms);
}

#[test]
fn a_good_history_of_functions_passes() {
    check(&good()).unwrap();
}

/// FUNCTIONS-6
#[test]
fn functions_6_what_schedules_must_not_do_is_seen() {
    let check = schedules::check;
    refused(check, |h| h.unrest.clear(), "had ended");
    refused(check, |h| without(h, 1500), "was begun before");
    refused(check, |h| h.effects.swap(5, 7), "had ended");
    refused(check, |h| h.effects[5].tick = Some((1000, 1)), "at the same time");
    refused(check, |h| h.effects[4].tick = Some((2000, 4)), "begun too often");
    refused(check, |h| h.effects[7].tick = Some((2000, 2)), "came after");
    refused(check, |h| without(h, 3400), "its history says");
    refused(check, |h| drop(h.schedules[0].runs.remove(1)), "does not know");
    refused(check, |h| h.looked_ms = 19_100, "nothing became of its tick 4000");
    refused(check, |h| h.schedules[0].runs[0].tick_ms = 1200, "its history says");
}

/// FUNCTIONS-7
#[test]
fn functions_7_what_calls_must_not_do_is_seen() {
    let check = calls::check;
    refused(check, |h| h.calls[0].told.clear(), "never done");
    refused(check, |h| h.calls[0].told[1] = told(4200, "y"), "told twice");
    refused(check, |h| h.calls[0].told = vec![told(4200, "y")], "it made");
    refused(check, |h| h.calls[0].again.push("2".to_owned()), "another call");
    refused(check, |h| h.calls[0].taken_for_another = true, "another request");
    refused(check, |h| without(h, 3900), "never ended");
    refused(check, |h| h.unrest.clear(), "for no reason");
    let again = |at| move |h: &mut History| h.effects.push(effect(at, false, &["c", "1"], "x"));
    refused(check, again(4150), "begun again");
    refused(check, |h| [3950, 3960].map(again).iter().for_each(|again| again(h)), "4 times");
    refused(check, |h| h.effects[3].input = Bytes::from_static(b"z"), "another input");
}

/// FUNCTIONS-10
#[test]
fn functions_10_what_triggers_must_not_do_is_seen() {
    let check = triggers::check;
    refused(check, |h| h.triggers[0].truth.push(put(4, "c", "4")), "never told");
    refused(check, |h| h.triggers[0].told = 2, "says that it has told");
    // One that it left out, or never was.
    refused(check, |h| h.triggers[0].truth.insert(1, put(2, "x", "0")), "left something out");
    refused(check, |h| drop(h.triggers[0].truth.remove(2)), "left something out");
    refused(check, |h| drop(h.triggers[0].truth.remove(0)), "what never was");
    // Before the function took what came before.
    refused(check, |h| without(h, 5100), "before the function took");
    // Again, where nothing had happened.
    let again =
        |h: &mut History| h.effects.push(effect(5400, false, &["news"], &line(1, "a", "1")));
    refused(check, again, "again for no reason");
    // A commit in two.
    refused(
        check,
        |h| {
            for change in &mut h.triggers[0].truth[..2] {
                change.seq = Seq(1);
            }
        },
        "left something out",
    );
}

/// FUNCTIONS-8
#[test]
fn functions_8_what_plans_must_not_do_is_seen() {
    let check = plans::check;
    refused(check, |h| h.plans[0].made = Some(Bytes::from_static(b"00000008")), "instead of");
    refused(check, |h| h.plans[0].info.state = PlanState::Failed, "instead of");
    refused(check, |h| h.plans[0].info.steps[0].done = 0, "and its step is");
    refused(check, |h| h.plans[1].info.steps[0].reused = 0, "all was done before");
    let at =
        |at| move |h: &mut History| h.effects.insert(18, effect(at, false, &["w", "s1"], "hash"));
    refused(check, at(9100), "done before, and again");
    refused(check, at(7000), "for no reason");
    refused(check, at(8500), "and went on");
    refused(check, |h| h.plans[2].info.state = PlanState::Done, "it must fail");
    refused(check, |h| h.plans[2].info.what.clear(), "it must fail");
    refused(check, |h| without(h, 10_200), "after Some(2) tries");
    let all = |h: &mut History| h.plans[2].info.steps[1] = step("total", StepState::Running, 0);
    refused(check, all, "none after it is begun");
}
