//! A tree of many small files.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use crate::cli::{Million, ToolName};
use crate::process::{self, Cost};
use crate::report::{MB, Report, table};
use crate::sample::Samples;
use crate::tool::Tool;
use crate::workbench::Workbench;
use crate::{corpus, disk, lookup, machine};

/// How often memory is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(200);
/// Of so many restored files one is compared: to read them all takes longer than all else.
const COMPARED_EVERY: usize = 50;
/// What listing one path of a warm index may take.
const LOOKUP_MS_MAX: f64 = 20.0;

/// Memory of a process over its time: seconds and bytes.
type Course = Vec<(f64, u64)>;

struct Taker {
    tool: Tool,
    samples: Samples,
    courses: Map<String, Value>,
}

pub(crate) fn main(args: &Million, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    eprintln!("preparing {} files", args.files);
    let tree = corpus::prepare(args.files, &bench.cache)?;
    let (files, bytes) = disk::usage(&tree)?;
    ensure!(files == args.files, "{} holds {files} files; remove it", tree.display());
    let mut takers: Vec<Taker> = args
        .tools
        .iter()
        .map(|name| Taker {
            tool: Tool::new(*name, &bench.cairn, &bench.work),
            samples: Samples::default(),
            courses: Map::new(),
        })
        .collect();
    for run in 0..args.common.runs {
        let count = takers.len();
        for position in 0..count {
            let taker = &mut takers[(position + run as usize) % count];
            eprintln!("run {}: {}", run + 1, taker.tool.name.label());
            one_run(taker, &bench, &tree, args.files, run)?;
        }
    }
    let body = body(&takers, files, bytes);
    let named = |taker: &Taker| {
        let data = json!({"samples": taker.samples.json(), "rss_over_time": taker.courses});
        (taker.tool.name.label().to_owned(), data)
    };
    Report {
        name: "million",
        title: "Many small files",
        machine,
        command_line: command_line.to_owned(),
        body,
        data: Value::Object(takers.iter().map(named).collect()),
    }
    .publish(&args.common)
}

fn one_run(
    taker: &mut Taker,
    bench: &Workbench,
    tree: &std::path::Path,
    files: u64,
    run: u32,
) -> Result<()> {
    let Taker { tool, samples, courses } = taker;
    tool.init()?;
    let mut add = |name: [&'static str; 3], cost: &Cost, course: Course| {
        samples.add(name[0], cost.wall.as_secs_f64());
        samples.add(name[1], cost.rss_max as f64);
        samples.add(name[2], cost.cpu.as_secs_f64());
        courses.insert(name[0].to_owned(), json!(course));
    };
    let (cost, course) = watched(&mut tool.push_command(tree, "first"))?;
    add(["push", "push_rss", "push_cpu"], &cost, course);
    let (objects, stored) = tool.stored()?;
    let (cost, course) = watched(&mut tool.push_command(tree, "again"))?;
    add(["unchanged", "unchanged_rss", "unchanged_cpu"], &cost, course);
    let to = bench.work.join("restored");
    disk::fresh(&to)?;
    let (cost, course) = watched(&mut tool.restore_command("first", &to))?;
    add(["restore", "restore_rss", "restore_cpu"], &cost, course);
    samples.add("stored", stored as f64);
    samples.add("objects", objects as f64);
    if run == 0 {
        let same = disk::same_by(tree, &to, COMPARED_EVERY)?;
        ensure!(same, "{} gave back something else", tool.name.label());
    }
    disk::set_aside(&to)?;
    if tool.name == ToolName::Cairn {
        lookup::measure(&tool.bucket(), files, run, samples)?;
        let day = corpus::path(u64::from(run) * 1009 % files);
        let day = day.parent().expect("it is in a directory").display();
        let cost = process::measure(tool.cairn().args(["ls", &format!("data:first/{day}")]))?;
        samples.add("ls_ms", cost.wall.as_secs_f64() * 1000.0);
    }
    disk::set_aside(&bench.work.join(tool.name.label()))
}

/// Measures a command and its memory over time.
fn watched(command: &mut std::process::Command) -> Result<(Cost, Course)> {
    let start = Instant::now();
    let mut course = Course::new();
    let cost = process::measure_watched(command, &mut |pid| {
        let at = start.elapsed();
        // At its very begin it has no memory yet.
        let due = WATCH_EVERY * u32::try_from(course.len()).unwrap_or(u32::MAX);
        if at >= due
            && let Some(rss @ 1..) = process::status_bytes(pid, "VmRSS")
        {
            course.push((at.as_secs_f64(), rss));
        }
    })?;
    Ok((cost, course))
}

fn body(takers: &[Taker], files: u64, bytes: u64) -> String {
    let mut text = format!(
        "{files} files with {:.0} MB in directories of 1000, sizes log-normal with a median of \
         1.2 KB.\n\n",
        bytes as f64 / MB
    );
    let head = [
        "",
        "stored MB",
        "objects",
        "push s",
        "CPU s",
        "RSS MB",
        "unchanged s",
        "RSS MB",
        "restore s",
        "CPU s",
        "RSS MB",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for Taker { tool, samples, .. } in takers {
        let cell = |(name, scale, digits): (&str, f64, usize)| {
            samples.summary(name).map_or("–".to_owned(), |summary| summary.show(scale, digits))
        };
        let columns = [
            ("stored", MB, 0),
            ("objects", 1.0, 0),
            ("push", 1.0, 1),
            ("push_cpu", 1.0, 1),
            ("push_rss", MB, 0),
            ("unchanged", 1.0, 1),
            ("unchanged_rss", MB, 0),
            ("restore", 1.0, 1),
            ("restore_cpu", 1.0, 1),
            ("restore_rss", MB, 0),
        ];
        let name = std::iter::once(tool.name.label().to_owned());
        rows.push(name.chain(columns.map(cell)).collect());
    }
    text.push_str(&table(&rows));
    for taker in takers.iter().filter(|taker| taker.tool.name == ToolName::Cairn) {
        text.push_str(&own(taker));
    }
    text
}

/// What only Cairn is asked: memory over time, and looking one path up.
fn own(taker: &Taker) -> String {
    let mut text = String::from("\nMemory of Cairn over time:\n\n");
    let head = ["", "¼ of the time", "½", "¾", "end"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, course) in &taker.courses {
        let course = course.as_array().cloned().unwrap_or_default();
        let at = |part: usize| {
            let index = (course.len() * part / 4).min(course.len().saturating_sub(1));
            course.get(index).and_then(|point| point[1].as_f64())
        };
        let cells = (1..=4)
            .map(|part| at(part).map_or("–".to_owned(), |bytes| format!("{:.0} MB", bytes / MB)));
        rows.push(std::iter::once(name.clone()).chain(cells).collect());
    }
    text.push_str(&table(&rows));
    let say = |name: &str| {
        taker.samples.summary(name).map_or("–".to_owned(), |summary| summary.show(1.0, 2))
    };
    let p99 = taker.samples.summary("lookup_p99_ms").map_or(f64::NAN, |summary| summary.median);
    let verdict = if p99 < LOOKUP_MS_MAX { "met" } else { "missed" };
    text.push_str(&format!(
        "\nOne path of {LOOKUP_MS_MAX} ms at most on a warm index: {verdict}. Of 1000 random paths, \
         looked up one by one in one process: p50 {} ms, p99 {} ms, the very first {} ms; opening the \
         bucket and the version took {} ms. The command `cairn ls` of a directory of 1000, from its \
         start to its end: {} ms.\n",
        say("lookup_p50_ms"),
        say("lookup_p99_ms"),
        say("lookup_first_ms"),
        say("open_ms"),
        say("ls_ms"),
    ));
    text
}
