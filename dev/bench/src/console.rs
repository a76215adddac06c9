//! The web console in a browser: what a first visit fetches, when it shows something on a slow line, and
//! what a large directory costs. The browser is asked by `console/scripts/measure.js`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cli;
use crate::node::Node;
use crate::report::{MB, Report, table};
use crate::sample::Samples;
use crate::targets::{self, CONSOLE};
use crate::workbench::{Workbench, repository};
use crate::{machine, process};

/// What the script says of a run.
const QUANTITIES: [&str; 8] = [
    "first_load_bytes",
    "first_paint_ms",
    "whole_ms",
    "directory_ms",
    "entries",
    "slowest_frame_ms",
    "heap_before",
    "heap_after",
];
const PASSWORD: &str = "only for this measurement";

pub(crate) fn main(args: &cli::Console, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    let node = Node::start(&bench, &bench.work.join("bucket"))?;
    fill(&bench, &node, args.entries)?;
    let mut samples = Samples::default();
    for run in 0..args.common.runs {
        eprintln!("run {}", run + 1);
        let said = measure(&node)?;
        ensure!(said["entries"] == args.entries, "not all entries were shown: {said}");
        for quantity in QUANTITIES {
            let value = said[quantity].as_f64().with_context(|| format!("no {quantity}"))?;
            samples.add(quantity, value);
        }
    }
    Report {
        name: "console",
        title: "The web console",
        machine,
        command_line: command_line.to_owned(),
        body: body(&samples, args.entries),
        data: samples.json(),
    }
    .publish(&args.common)
}

/// Somebody who logs in, and a directory with many entries.
fn fill(bench: &Workbench, node: &Node, entries: u64) -> Result<()> {
    let token = node.token.as_deref().context("a fresh bucket gives a root token")?;
    let tree = bench.work.join("tree");
    let many = tree.join("entries");
    std::fs::create_dir_all(&many)?;
    for index in 0..entries {
        std::fs::write(many.join(format!("entry-{index:07}.txt")), b"")?;
    }
    let password = bench.work.join("password");
    std::fs::write(&password, PASSWORD)?;
    let file = |path: &Path| path.to_string_lossy().into_owned();
    let commands = [
        vec!["user".into(), "add".into(), "ada".into(), "--password-file".into(), file(&password)],
        ["grant", "add", "ada", "admin", "@*/*"].map(str::to_owned).to_vec(),
        vec!["push".into(), file(&tree), "many:v1".into()],
    ];
    for arguments in commands {
        let mut command = Command::new(&bench.cairn);
        command.env_remove("CAIRN_BUCKET").env("CAIRN_TOKEN", token);
        command.env("CAIRN_URL", format!("http://{}", node.address));
        command.env("XDG_CACHE_HOME", bench.work.join("cache"));
        command.env("XDG_STATE_HOME", bench.work.join("state"));
        process::output(command.args(arguments))?;
    }
    Ok(())
}

fn measure(node: &Node) -> Result<Value> {
    let mut script = Command::new("node");
    script.current_dir(repository().join("console")).arg("scripts/measure.js");
    script.arg(format!("http://{}", node.address)).args(["ada", PASSWORD]);
    script.arg("/datasets/main/many/tags/v1/files/entries");
    let said = process::output(&mut script)
        .context("the browser was not measured; `cargo xtask console` installs what it takes")?;
    serde_json::from_str(said.trim()).context("the script prints one line of JSON")
}

fn body(samples: &Samples, entries: u64) -> String {
    let rows = [
        ("the console, fetched at a first visit, kB", "first_load_bytes", 1e3, 0),
        ("first paint on a slow line, ms", "first_paint_ms", 1.0, 0),
        ("home page whole on a slow line, ms", "whole_ms", 1.0, 0),
        ("large directory, first rows, ms", "directory_ms", 1.0, 0),
        ("scrolling to its end, slowest frame, ms", "slowest_frame_ms", 1.0, 0),
        ("heap of scripts before, MB", "heap_before", MB, 1),
        ("heap of scripts with all entries, MB", "heap_after", MB, 1),
    ];
    let mut cells = vec![vec![String::new(), "cairn".to_owned()]];
    for (title, quantity, scale, digits) in rows {
        let shown = samples.summary(quantity).map(|summary| summary.show(scale, digits));
        cells.push(vec![title.to_owned(), shown.unwrap_or_default()]);
    }
    format!(
        "{}\n{}\nMedians (lowest–highest). Debian's Chromium on the same two cores as the node. The slow line \
         has 1.44 Mbit/s and 150 ms of latency (the browsers' own \"slow 4G\"), nothing is cached. The large \
         directory has {entries} entries, all of which are fetched by scrolling to its end.\n",
        table(&cells),
        targets::judge(&CONSOLE, samples),
    )
}
