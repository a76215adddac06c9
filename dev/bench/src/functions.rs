//! Functions beside `wasmtime serve`: the same component, the same flags, one core for the server and one for
//! who asks; then what only a platform has: the first request after a start, a neighbour that computes
//! without end, many functions, many instances.

mod guest;
mod many;
pub(crate) mod peer;
mod table;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::guest::{Guest, TEMPLATES};
use self::peer::Peer;
use crate::cli::Functions;
use crate::node::Node;
use crate::report::Report;
use crate::sample::Samples;
use crate::workbench::Workbench;
use crate::{disk, machine, process, wrk};

/// The processor of the server, and of who asks.
const SERVER_CORE: u32 = 0;
const CLIENT_CORE: u32 = 1;
const CONNECTIONS: u32 = 32;
/// Starts of a run, for each first request.
const STARTS: u32 = 3;
/// Bytes of memory that are asked for before.
const MEMORY_BYTES: u64 = 2 << 30;
/// Requests that an instance answers, when it is reused.
const REUSE: u32 = 1_000_000;

/// How instances are used, and what their figures are called: requests a second and p50 of one client.
const MODES: [(&str, u32, [&str; 3]); 2] = [
    ("fresh", 1, ["fresh", "fresh p99", "fresh p50"]),
    ("reused", REUSE, ["reused", "reused p99", "reused p50"]),
];
/// Quantities, and what their ratios are called.
const RATIOS: [(&str, &str); 4] = [
    ("fresh", "fresh ratio"),
    ("reused", "reused ratio"),
    ("fresh p50", "fresh p50 ratio"),
    ("reused p50", "reused p50 ratio"),
];

pub(crate) fn main(args: &Functions, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    let peer = peer::version()?;
    let guest = Guest::built(&bench)?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for run in 0..args.common.runs {
        eprintln!("run {}", run + 1);
        one_run(&bench, args, run, &guest, (&mut ours, &mut theirs))?;
    }
    many::measure(&bench, args, &guest, &mut ours)?;
    for (name, ratio) in RATIOS {
        ours.add_ratios(name, &theirs, ratio);
    }
    Report {
        name: "functions",
        title: "Functions",
        machine,
        command_line: command_line.to_owned(),
        body: table::body(&ours, &theirs, args, &peer)?,
        data: serde_json::json!({"cairn": ours.json(), "wasmtime serve": theirs.json()}),
    }
    .publish(&args.common)
}

/// A program on one core.
fn pinned(core: u32, program: &Command) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program.get_program());
    command
}

fn up(bench: &Workbench, data: &Path) -> Result<Node> {
    let mut command = pinned(SERVER_CORE, &Command::new(&bench.cairn));
    command.args(["up", "--no-gc", "--web", "127.0.0.1:0"]).arg("--data-dir").arg(data);
    Node::started(command.env_remove("CAIRN_BUCKET"))
}

/// A command to a node.
fn tell(bench: &Workbench, node: &Node, token: &str, line: &str) -> Result<String> {
    let mut command = Command::new(&bench.cairn);
    command.env("CAIRN_URL", format!("http://{}", node.address)).env("CAIRN_TOKEN", token);
    process::output(command.args(line.split(' ')))
}

fn one_run(
    bench: &Workbench,
    args: &Functions,
    run: u32,
    guest: &Guest,
    (ours, theirs): (&mut Samples, &mut Samples),
) -> Result<()> {
    let data = bench.work.join("data");
    disk::fresh(&data)?;
    let node = up(bench, &data)?;
    let token = node.token.clone().context("a fresh bucket gives a root token")?;
    let hello = guest.module.display();
    for (mode, reuse, _) in MODES {
        let begun = Instant::now();
        tell(bench, &node, &token, &format!("fn deploy {hello} --name {mode} --reuse {reuse}"))?;
        if reuse == 1 {
            ours.add("deploy", begun.elapsed().as_secs_f64());
        }
        tell(bench, &node, &token, &format!("route add /{mode}/{{*rest}} {mode}"))?;
    }
    let authorization = format!("Authorization: Bearer {token}");
    for (mode, reuse, names) in MODES {
        let peer = Peer::start(&guest.component, reuse)?;
        let web = node.web.as_deref().context("the node has no door of functions")?;
        let mut sides =
            [(web, Some(authorization.as_str()), &mut *ours), (&peer.url, None, &mut *theirs)];
        // Each goes first every other time.
        sides.rotate_left(run as usize % 2);
        let asked = sides.each_ref().map(|(url, header, _)| (format!("{url}/{mode}/x"), *header));
        let [many, one] = [CONNECTIONS, 1].map(|connections| in_turn(&asked, connections, args));
        for ((_, _, samples), (many, one)) in sides.into_iter().zip(many?.iter().zip(&one?)) {
            samples.add(names[0], median(many, |found| found.requests_per_second));
            samples.add(names[1], median(many, |found| found.p99_ms));
            samples.add(names[2], median(one, |found| found.p50_ms));
        }
    }
    apart(bench, args, &node, (&token, &authorization), guest, ours)?;
    for ((name, _), file) in TEMPLATES.iter().zip(&guest.templates) {
        let deploy = format!("fn deploy {} --name {name} --env GREETING=hello", file.display());
        tell(bench, &node, &token, &deploy)?;
        tell(bench, &node, &token, &format!("route add /{name}/{{*rest}} {name}"))?;
    }
    neighbour(bench, args, &node, (&token, &authorization), guest, ours)?;
    drop(node);
    // What the deployments left to be written is not for the first request to wait for.
    process::output(&mut Command::new("sync"))?;
    for _ in 0..STARTS {
        for (name, quantity) in [("fresh", "first")].iter().chain(&TEMPLATES) {
            let node = up(bench, &data)?;
            // It listens already; what is measured is the function's own start.
            ask_for_memory()?;
            ours.add(quantity, first(&node, name, &authorization)?);
        }
    }
    Ok(())
}

/// The same function in a process of its own.
fn apart(
    bench: &Workbench,
    args: &Functions,
    node: &Node,
    (token, authorization): (&str, &str),
    guest: &Guest,
    ours: &mut Samples,
) -> Result<()> {
    let hello = guest.module.display();
    tell(bench, node, token, &format!("fn deploy {hello} --name apart --isolation process"))?;
    tell(bench, node, token, "route add /apart/{*rest} apart")?;
    let web = node.web.as_deref().context("the node has no door of functions")?;
    let url = format!("{web}/apart/x");
    let many = ask(&url, Some(authorization), CONNECTIONS, args.seconds)?;
    ours.add("apart", many.requests_per_second);
    ours.add("apart p50", ask(&url, Some(authorization), 1, args.seconds)?.p50_ms);
    Ok(())
}

/// What came of asking both for a second each, again and again: the host has other guests, and is not as fast all the
/// time.
fn in_turn(
    asked: &[(String, Option<&str>); 2],
    connections: u32,
    args: &Functions,
) -> Result<[Vec<wrk::Found>; 2]> {
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..args.seconds {
        for ((url, header), found) in asked.iter().zip(&mut found) {
            found.push(ask(url, *header, connections, 1)?);
        }
    }
    Ok(found)
}

fn median(found: &[wrk::Found], of: fn(&wrk::Found) -> f64) -> f64 {
    let mut values: Vec<f64> = found.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ask(url: &str, header: Option<&str>, connections: u32, seconds: u32) -> Result<wrk::Found> {
    let mut command = pinned(CLIENT_CORE, &Command::new("wrk"));
    if let Some(header) = header {
        command.args(["--header", header]);
    }
    wrk::run(&mut command, url, connections, seconds)
}

/// What others wait when a function computes without end beside them.
fn neighbour(
    bench: &Workbench,
    args: &Functions,
    node: &Node,
    (token, authorization): (&str, &str),
    guest: &Guest,
    ours: &mut Samples,
) -> Result<()> {
    let hello = guest.module.display();
    let deploy = format!("fn deploy {hello} --name loop --cpu-ms 600000 --wall-ms 600000");
    tell(bench, node, token, &deploy)?;
    tell(bench, node, token, "route add /loop loop")?;
    let web = node.web.as_deref().context("the node has no door of functions")?;
    let url = format!("{web}/fresh/x");
    ours.add("alone p99", ask(&url, Some(authorization), CONNECTIONS, args.seconds)?.p99_ms);
    let looping = requested(node, "localhost/loop", authorization)?;
    ours.add("beside p99", ask(&url, Some(authorization), CONNECTIONS, args.seconds)?.p99_ms);
    drop(looping);
    Ok(())
}

/// Has memory that the host took back from this machine, because nobody used it, given again: that takes longer than the
/// whole first request, and where the machine is no guest it does not happen.
fn ask_for_memory() -> Result<()> {
    let held = format!("head -c {MEMORY_BYTES} /dev/zero | tail -c {MEMORY_BYTES} > /dev/null");
    process::output(Command::new("sh").args(["-c", &held]))?;
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// The first answer of a function after a start, in milliseconds.
fn first(node: &Node, name: &str, authorization: &str) -> Result<f64> {
    let begun = Instant::now();
    let mut stream = requested(node, &format!("localhost/{name}/x"), authorization)?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer)?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let said = String::from_utf8_lossy(&answer[..read]).into_owned();
    ensure!(said.starts_with("HTTP/1.1 200"), "the first answer is {said}");
    Ok(took)
}

/// A request that was sent, for a host and a path.
fn requested(node: &Node, what: &str, authorization: &str) -> Result<TcpStream> {
    let (host, path) = what.split_once('/').context("it has a path")?;
    let web = node.web.as_deref().context("the node has no door of functions")?;
    let mut stream = TcpStream::connect(web.trim_start_matches("http://"))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n\r\n")?;
    Ok(stream)
}
