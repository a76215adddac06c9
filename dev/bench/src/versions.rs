//! Versions of real packages: what borg, casync and restic are made for, and Cairn is.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use crate::cli::{Datasets, Set, ToolName};
use crate::data::{self, Version};
use crate::report::{MB, Report, table};
use crate::sample::{Samples, Totals};
use crate::targets;
use crate::tool::Tool;
use crate::workbench::Workbench;
use crate::{disk, machine, process};

pub(crate) fn main(args: &Datasets, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    let (mut body, mut data) = (String::new(), Map::new());
    let tools: Vec<Tool> =
        args.tools.iter().map(|name| Tool::new(*name, &bench.cairn, &bench.work)).collect();
    for set in &args.set {
        let versions = data::prepare(*set, &bench.cache)?;
        let mut samples = vec![Samples::default(); tools.len()];
        for run in 0..args.common.runs as usize {
            for index in order(run, tools.len()) {
                let tool = &tools[index];
                eprintln!("set {set:?}, run {}: {}", run + 1, tool.name.label());
                one_run(tool, &versions, &mut samples[index], &bench.work, run == 0)?;
            }
        }
        body.push_str(&section(*set, &versions, &tools, &samples)?);
        let named = tools.iter().zip(&samples);
        let named: Map<String, Value> =
            named.map(|(tool, samples)| (tool.name.label().to_owned(), samples.json())).collect();
        data.insert(format!("{set:?}"), named.into());
    }
    body.push_str(&how(&tools)?);
    Report {
        name: "datasets",
        title: "Versions of real packages",
        machine,
        command_line: command_line.to_owned(),
        body,
        data: json!(data),
    }
    .publish(&args.common)
}

/// Who comes when: everybody is the first once, and every other run goes backwards, so that nobody
/// always follows the same neighbour.
fn order(run: usize, count: usize) -> impl Iterator<Item = usize> {
    let step = if run.is_multiple_of(2) { 1 } else { count - 1 };
    (0..count).map(move |position| (position * step + run) % count)
}

/// All versions into a fresh repository, the last one once more, and back.
fn one_run(
    tool: &Tool,
    versions: &[Version],
    samples: &mut Samples,
    work: &Path,
    check: bool,
) -> Result<()> {
    let (first, later) = versions.split_first().expect("a set has versions");
    let last = versions.last().expect("a set has versions");
    let mut run = Totals::default();
    for version in versions {
        process::warm(&version.dir)?;
    }
    tool.init()?;
    let cost = tool.push(&first.dir, &first.name)?;
    samples.add_cost("first", &cost, &mut run);
    samples.add("first_cpu", cost.cpu.as_secs_f64());
    let mut before = tool.stored()?.1;
    for version in later {
        let cost = tool.push(&version.dir, &version.name)?;
        samples.add_cost("later", &cost, &mut run);
        let now = tool.stored()?.1;
        if version.name == last.name {
            samples.add("last_delta", now.saturating_sub(before) as f64);
        }
        before = now;
    }
    let (objects, stored) = tool.stored()?;
    samples.add("stored", stored as f64);
    samples.add("objects", objects as f64);
    let cost = tool.push(&last.dir, "again")?;
    samples.add_cost("unchanged", &cost, &mut run);
    samples.add("rss", run.rss_max as f64);
    samples.add("cpu", run.cpu);

    let to = work.join("restored");
    tool.warm()?;
    let cost = tool.restore(&last.name, &to)?;
    samples.add("restore", cost.wall.as_secs_f64());
    samples.add("restore_rss", cost.rss_max as f64);
    samples.add("restore_cpu", cost.cpu.as_secs_f64());
    if check {
        let same = disk::same(&last.dir, &to)?;
        ensure!(same, "{} gave back something else", tool.name.label());
    }
    if process::drop_caches()? {
        let cost = tool.restore(&last.name, &to)?;
        samples.add("restore_cold", cost.wall.as_secs_f64());
    }
    disk::set_aside(&to)
}

fn section(set: Set, versions: &[Version], tools: &[Tool], samples: &[Samples]) -> Result<String> {
    let (mut files, mut bytes) = (0, 0);
    for version in versions {
        let (more, longer) = disk::usage(&version.dir)?;
        files += more;
        bytes += longer;
    }
    let what = match set {
        Set::A => "releases of the npm package next, unpacked",
        Set::B => "releases of the Python package numpy (wheels, unpacked)",
    };
    let mut text = format!(
        "### Set {set:?}: {} {what}, {:.0} MB in {files} files\n\n",
        versions.len(),
        bytes as f64 / MB
    );
    let head = [
        "",
        "stored MB",
        "objects",
        "first push s",
        "later push s",
        "unchanged s",
        "restore s",
        "restore cold s",
        "push RSS MB",
        "pushes CPU s",
        "restore RSS MB",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (tool, samples) in tools.iter().zip(samples) {
        let cell = |name: &str, scale: f64, digits: usize| {
            samples.summary(name).map_or("–".to_owned(), |summary| summary.show(scale, digits))
        };
        rows.push(vec![
            tool.name.label().to_owned(),
            cell("stored", MB, 1),
            cell("objects", 1.0, 0),
            cell("first", 1.0, 2),
            cell("later", 1.0, 2),
            cell("unchanged", 1.0, 2),
            cell("restore", 1.0, 2),
            cell("restore_cold", 1.0, 2),
            cell("rss", MB, 0),
            cell("cpu", 1.0, 1),
            cell("restore_rss", MB, 0),
        ]);
    }
    text.push_str(&table(&rows));
    text.push('\n');
    let targets: &[targets::Target] = match set {
        Set::A => &targets::SET_A,
        Set::B => &targets::SET_B,
    };
    let of = |name| tools.iter().position(|tool| tool.name == name).map(|at| &samples[at]);
    if let Some(own) = of(ToolName::Cairn) {
        let mut own = own.clone();
        if let Some(peer) = of(ToolName::Casync) {
            for (quantity, ratio) in targets::TO_CASYNC {
                own.add_ratios(quantity, peer, ratio);
            }
        }
        text.push_str(&targets::judge(targets, &own));
        text.push('\n');
    }
    Ok(text)
}

fn how(tools: &[Tool]) -> Result<String> {
    let mut text = String::from(
        "Medians (lowest–highest). Stored bytes are the lengths of all files of the repository. Each \
         push reads a directory of its own, so no files cache helps but in the unchanged push. Cairn \
         and borg make a push durable before they report it; casync does not sync. All that is dirty \
         is synced before each measured command.\n\n",
    );
    for tool in tools {
        text.push_str(&format!(
            "- {}: {}, {}\n",
            tool.name.label(),
            tool.version()?,
            tool.recipe()
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_takes_part_in_every_run() {
        for count in 1..7 {
            for run in 0..12 {
                let mut who: Vec<usize> = order(run, count).collect();
                assert_eq!(who[0], run % count);
                who.sort_unstable();
                assert_eq!(who, (0..count).collect::<Vec<_>>());
            }
        }
    }
}
