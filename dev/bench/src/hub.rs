//! A hub beside servers that others wrote: `/fs` beside nginx on the same disk, a pull beside
//! `rclone copy` from nginx, and what the process itself takes.

mod load;
mod nginx;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::load::{Load, get_large};
use self::nginx::Nginx;
use crate::cli::{Hub, Set};
use crate::corpus::{self, Rng};
use crate::node::Node;
use crate::report::{MB, Report, table};
use crate::sample::Samples;
use crate::workbench::Workbench;
use crate::{data, disk, machine, process, wrk};

const SMALL_FILES: u64 = 10_000;
/// Connections of the measurement of small files, and of the one with many.
const CONNECTIONS: u32 = 16;
const CONNECTIONS_MANY: u32 = 1000;
/// A hub is idle when it was left alone for so long.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// Goals: parts of nginx's rate, and of rclone's time.
const SMALL_MIN: f64 = 0.7;
const LARGE_MIN: f64 = 0.9;
const PULL_MAX: f64 = 1.0;

/// Quantities, and what their ratios are called.
const RATIOS: [(&str, &str); 5] = [
    ("small", "small ratio"),
    ("cold", "cold ratio"),
    ("warm", "warm ratio"),
    ("many", "many ratio"),
    ("pull", "pull ratio"),
];

/// What is served, by both from the same disk.
struct Served {
    /// The root of nginx: `small`, `large.bin` and `many`.
    root: PathBuf,
    /// The files of the small tree, as paths of a URL.
    paths: PathBuf,
    /// How many bytes of the large file are asked for; it is longer by a little.
    large_bytes: u64,
}

/// Who answers.
struct Side<'a> {
    url: String,
    header: Option<String>,
    /// What stands before a path of the root.
    small: &'static str,
    large: &'static str,
    samples: &'a mut Samples,
}

pub(crate) fn main(args: &Hub, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    let versions = data::prepare(Set::A, &bench.cache)?;
    let many = versions.last().context("the set has versions")?;
    let served = prepare(&bench, args, &many.dir)?;
    let bucket = bench.work.join("bucket");
    let token = fill(&bench, &served, &bucket)?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    ours.add("binary", std::fs::metadata(&bench.cairn)?.len() as f64);
    for run in 0..args.common.runs {
        eprintln!("run {}", run + 1);
        one_run(&bench, args, run, (&served, &bucket, &token), (&mut ours, &mut theirs))?;
    }
    for (name, ratio) in RATIOS {
        ours.add_ratios(name, &theirs, ratio);
    }
    Report {
        name: "hub",
        title: "A hub",
        machine,
        command_line: command_line.to_owned(),
        body: body(&ours, &theirs, args)?,
        data: serde_json::json!({"cairn": ours.json(), "peers": theirs.json()}),
    }
    .publish(&args.common)
}

/// Puts all that is served below one directory.
fn prepare(bench: &Workbench, args: &Hub, many: &Path) -> Result<Served> {
    let root = bench.work.join("root");
    std::fs::create_dir_all(&root)?;
    let small = corpus::prepare(SMALL_FILES, &bench.cache)?;
    symlink(&small, root.join("small"))?;
    symlink(many, root.join("many"))?;
    let paths = bench.work.join("paths");
    let mut list = BufWriter::new(File::create(&paths)?);
    for file in disk::files(&small)? {
        writeln!(list, "/{}", file.strip_prefix(&small)?.display())?;
    }
    list.flush()?;
    let large_bytes = args.large_mib << 20;
    let mut large = BufWriter::with_capacity(1 << 20, File::create(root.join("large.bin"))?);
    let mut rng = Rng::new(7);
    for _ in 0..(large_bytes + (1 << 20)) / 8 {
        large.write_all(&rng.next().to_le_bytes())?;
    }
    large.flush()?;
    Ok(Served { root, paths, large_bytes })
}

/// Pushes it all into a bucket of a hub; the hub's token.
fn fill(bench: &Workbench, served: &Served, bucket: &Path) -> Result<String> {
    let node = Node::start(bench, bucket)?;
    let token = node.token.clone().context("a fresh bucket gives a root token")?;
    for name in ["small", "many", "large.bin"] {
        let from = served.root.join(name).canonicalize()?;
        let mut push = cairn(bench, &node, &token);
        process::output(push.arg("push").arg(from).arg(format!("{}:v1", dataset(name))))?;
    }
    Ok(token)
}

fn dataset(name: &str) -> &str {
    name.trim_end_matches(".bin")
}

fn cairn(bench: &Workbench, node: &Node, token: &str) -> Command {
    let mut command = Command::new(&bench.cairn);
    command.env_remove("CAIRN_BUCKET");
    command.env("CAIRN_URL", format!("http://{}", node.address)).env("CAIRN_TOKEN", token);
    command.env("XDG_CACHE_HOME", bench.work.join("cache"));
    command.env("XDG_STATE_HOME", bench.work.join("state"));
    command
}

fn one_run(
    bench: &Workbench,
    args: &Hub,
    run: u32,
    (served, bucket, token): (&Served, &Path, &str),
    (ours, theirs): (&mut Samples, &mut Samples),
) -> Result<()> {
    let nginx = Nginx::start(&bench.work.join("nginx"), &served.root)?;
    let node = Node::start(bench, bucket)?;
    ours.add("start_ms", node.started_ms);
    std::thread::sleep(IDLE_AFTER);
    ours.add("idle_rss", node.rss());
    let mut sides = [
        Side {
            url: format!("http://{}", node.address),
            header: Some(format!("Bearer {token}")),
            small: "/fs/small/v1",
            large: "/fs/large/v1/large.bin",
            samples: ours,
        },
        Side {
            url: format!("http://{}", nginx.address),
            header: None,
            small: "/small",
            large: "/large.bin",
            samples: theirs,
        },
    ];
    // Each goes first every other time.
    sides.rotate_left(run as usize % 2);
    for side in &mut sides {
        small(side, args, served, CONNECTIONS, ["small", "small_p99"])?;
    }
    for side in &mut sides {
        large(side, served)?;
    }
    for side in &mut sides {
        small(side, args, served, CONNECTIONS_MANY, ["many", "many_p99"])?;
        if side.header.is_some() {
            side.samples.add("many_rss", node.rss());
        }
    }
    let to = bench.work.join("pulled");
    disk::fresh(&to)?;
    let mut pull = cairn(bench, &node, token);
    let mut copy = rclone(&nginx, &to.join("rclone"));
    pull.arg("pull").arg("many:v1").arg(to.join("cairn"));
    let mine = |side: &Side<'_>| side.header.is_some();
    for side in &mut sides {
        let command = if mine(side) { &mut pull } else { &mut copy };
        side.samples.add("pull", process::measure(command)?.wall.as_secs_f64());
    }
    let many = served.root.join("many").canonicalize()?;
    for tool in ["cairn", "rclone"] {
        ensure!(disk::same(&many, &to.join(tool))?, "{tool} gave back something else");
    }
    Ok(())
}

fn small(
    side: &mut Side<'_>,
    args: &Hub,
    served: &Served,
    connections: u32,
    names: [&'static str; 2],
) -> Result<()> {
    let load = Load {
        url: &side.url,
        prefix: side.small,
        header: side.header.as_deref(),
        paths: &served.paths,
        connections,
    };
    // The first second fills caches.
    load.run(1)?;
    let found = load.run(args.seconds)?;
    side.samples.add(names[0], found.requests_per_second);
    side.samples.add(names[1], found.p99_ms);
    Ok(())
}

fn large(side: &mut Side<'_>, served: &Served) -> Result<()> {
    let url = format!("{}{}", side.url, side.large);
    let get = || get_large(&url, side.header.as_deref(), served.large_bytes);
    if process::drop_caches()? {
        let seconds = get()?;
        side.samples.add("cold", served.large_bytes as f64 / seconds);
    }
    get()?;
    let seconds = get()?;
    side.samples.add("warm", served.large_bytes as f64 / seconds);
    Ok(())
}

fn rclone(nginx: &Nginx, to: &Path) -> Command {
    let mut command = Command::new("rclone");
    command.args(["copy", "--config", "", "--transfers", "16", "--checkers", "16", "--http-url"]);
    command.arg(format!("http://{}/many/", nginx.address)).arg(":http:").arg(to);
    command
}

fn body(ours: &Samples, theirs: &Samples, args: &Hub) -> Result<String> {
    let say = |samples: &Samples, name: &str, scale: f64, digits: usize| {
        samples.summary(name).map_or("–".to_owned(), |summary| summary.show(scale, digits))
    };
    let mut rows = vec![["", "cairn", "peer", "ratio"].map(str::to_owned).to_vec()];
    let large = format!("a range of {} MiB", args.large_mib);
    for (what, name, ratio, scale, digits) in [
        ("small files, requests/s", "small", "small ratio", 1.0, 0),
        ("the same, 99 % within ms", "small_p99", "", 1.0, 2),
        (&format!("{large} from the disk, MB/s"), "cold", "cold ratio", MB, 0),
        (&format!("{large} from memory, MB/s"), "warm", "warm ratio", MB, 0),
        ("1000 connections, requests/s", "many", "many ratio", 1.0, 0),
        ("the same, 99 % within ms", "many_p99", "", 1.0, 1),
        ("pull and `rclone copy`, s", "pull", "pull ratio", 1.0, 2),
    ] {
        let mut row = vec![what.to_owned()];
        row.extend([say(ours, name, scale, digits), say(theirs, name, scale, digits)]);
        row.push(say(ours, ratio, 1.0, 2));
        rows.push(row);
    }
    let mut text = table(&rows);
    text.push_str(&format!(
        "\nMemory with 1000 connections: {} MB. Idle: {} MB. Start: {} ms. Binary: {} MB.\n\nGoals:\n\n",
        say(ours, "many_rss", MB, 0),
        say(ours, "idle_rss", MB, 1),
        say(ours, "start_ms", 1.0, 0),
        say(ours, "binary", MB, 1),
    ));
    for (what, ratio, least, bound) in [
        ("cached small files", "small ratio", true, SMALL_MIN),
        ("a large range from the disk", "cold ratio", true, LARGE_MIN),
        ("a large range from memory", "warm ratio", true, LARGE_MIN),
        ("pull", "pull ratio", false, PULL_MAX),
    ] {
        text.push_str(&goal(ours, what, ratio, least, bound));
    }
    text.push_str(&format!(
        "\nMedians (lowest–highest). The peer is nginx, for the pull rclone from nginx; both read the same \
         files from the same disk. Small files: {SMALL_FILES} of a KiB or two, asked for by `wrk` over \
         {CONNECTIONS} connections for {} s. Large: noise, one `curl` at a time. nginx sends with \
         `sendfile` and logs nothing; cairn asks for a token and verifies what it reads. The load and the \
         servers share the processors.\n\n- {}\n- {}\n- {}\n",
        args.seconds,
        nginx::version()?,
        wrk::version()?,
        process::output(Command::new("rclone").arg("version"))?.lines().next().unwrap_or_default(),
    ));
    Ok(text)
}

fn goal(samples: &Samples, what: &str, ratio: &str, least: bool, bound: f64) -> String {
    let Some(found) = samples.summary(ratio) else {
        return format!("- {what}: not measured\n");
    };
    let (word, met, best) = if least {
        ("at least", found.median >= bound, found.max >= bound)
    } else {
        ("at most", found.median <= bound, found.min <= bound)
    };
    let verdict = match (met, best) {
        (true, _) => "met",
        (false, true) => "missed in the median, met in the best run",
        (false, false) => "missed",
    };
    format!("- {what}: {:.2} of the peer's, {word} {bound}: {verdict}\n", found.median)
}
