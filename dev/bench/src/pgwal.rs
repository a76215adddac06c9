//! PostgreSQL's log: our redo beside PostgreSQL's own recovery of the same, and how long a start takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cairn_testkit::postgres::{Cluster, Programs, run};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::Pgwal;
use crate::machine;
use crate::process::{self, Cost};
use crate::report::{MB, Report, table};
use crate::sample::Samples;
use crate::workbench::Workbench;

/// Memory for pages, of both.
const MEMORY_MIB: u32 = 256;
/// A database that is copied once only.
const LARGE_BYTES: u64 = 5 << 30;

/// A log and the copy from before it.
struct Log {
    base: PathBuf,
    wal: PathBuf,
    end: String,
}

pub(crate) fn main(args: &Pgwal, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let place = Place::new(args.common.dir.as_deref())?;
    let machine = machine::describe(&place.path)?;
    eprintln!("a workload runs");
    let log = place.log(args)?;
    let (mut ours, mut stock) = (Samples::default(), Samples::default());
    let mut said = Value::Null;
    for number in 0..args.common.runs {
        eprintln!("run {}", number + 1);
        // Each goes first every other time.
        for mine in [number % 2 == 0, number % 2 == 1] {
            if mine {
                let (cost, document) = place.ours(&bench.cairn, &log, number)?;
                add(&mut ours, &cost);
                said = document;
            } else {
                add(&mut stock, &place.stock(&log, number)?);
            }
        }
    }
    let mut body = redo_table(&ours, &stock, &said, args)?;
    std::fs::remove_dir_all(&log.base)?;
    std::fs::remove_dir_all(&log.wal)?;
    let mut starts = Vec::new();
    for scale in &args.starts {
        eprintln!("a start of scale {scale}");
        starts.push(place.start(&bench.cairn, *scale, args.common.runs)?);
    }
    body.push_str(&starts_table(&starts));
    let starts: Vec<Value> = starts
        .iter()
        .map(|start| json!({"bytes": start.bytes, "samples": start.samples.json()}))
        .collect();
    Report {
        name: "pgwal",
        title: "PostgreSQL's log",
        machine,
        command_line: command_line.to_owned(),
        body,
        data: json!({"cairn": ours.json(), "stock": stock.json(), "starts": starts}),
    }
    .publish(&args.common)
}

fn add(samples: &mut Samples, cost: &Cost) {
    samples.add("wall", cost.wall.as_secs_f64());
    samples.add("cpu", cost.cpu.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
    samples.add("rss", cost.rss_max as f64);
}

/// Where servers of another user may work.
struct Place {
    programs: Programs,
    path: PathBuf,
    _dir: TempDir,
}

/// One size of database: its bytes, and seconds to make the directory and to start on it.
struct Start {
    bytes: u64,
    samples: Samples,
}

impl Place {
    fn new(dir: Option<&Path>) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let mut builder = tempfile::Builder::new();
        builder.prefix("cairn-pgwal").permissions(std::fs::Permissions::from_mode(0o755));
        let dir = match dir {
            Some(dir) => builder.tempdir_in(dir)?,
            None => builder.tempdir()?,
        };
        let programs = Programs::find()?;
        let path = dir.path().join("work");
        programs.directory(&path)?;
        Ok(Self { programs, path, _dir: dir })
    }

    fn cluster(&self, name: &str, settings: &str) -> Result<Cluster> {
        let cluster = Cluster::init(&self.programs, &self.path.join(name), &["-N"])?;
        cluster.configure("fsync = off\nmax_wal_size = 4GB\nshared_buffers = 512MB\n")?;
        cluster.configure(settings)?;
        Ok(cluster)
    }

    fn log(&self, args: &Pgwal) -> Result<Log> {
        let kept = "wal_keep_size = 100GB\ncheckpoint_timeout = 30s\n";
        let cluster = self.cluster("data", kept)?;
        let base = self.path.join("base");
        run(Command::new("cp").arg("-a").arg(&cluster.data).arg(&base))?;
        cluster.start()?;
        let scale = args.scale.to_string();
        run(cluster.client("pgbench").args(["-i", "-q", "-s", &scale, "postgres"]))?;
        let seconds = args.seconds.to_string();
        run(cluster
            .client("pgbench")
            .args(["-n", "-c", "4", "-M", "prepared", "-T", &seconds])
            .arg("postgres"))?;
        let end = cluster.sql("postgres", "select pg_current_wal_flush_lsn()")?;
        cluster.stop("fast")?;
        let wal = self.path.join("wal");
        std::fs::rename(cluster.data.join("pg_wal"), &wal)?;
        std::fs::remove_dir_all(&cluster.data)?;
        Ok(Log { base, wal, end })
    }

    fn ours(&self, cairn: &Path, log: &Log, number: u32) -> Result<(Cost, Value)> {
        let out = self.path.join(format!("ours-{number}"));
        let document = self.path.join("said");
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" > said"]).arg(cairn).current_dir(&self.path);
        command.args(["pg", "start", "--no-start", "--json", "--memory", &MEMORY_MIB.to_string()]);
        command.arg("--base").arg(&log.base).arg("--wal").arg(&log.wal);
        command.arg("--out").arg(&out).args(["--at", &log.end]);
        let cost = process::measure(&mut command)?;
        std::fs::remove_dir_all(&out)?;
        Ok((cost, serde_json::from_slice(&std::fs::read(document)?)?))
    }

    /// PostgreSQL's recovery: it copies the base and finds the log in its own directory, as it would
    /// in a restore.
    fn stock(&self, log: &Log, number: u32) -> Result<Cost> {
        let data = self.path.join(format!("stock-{number}"));
        run(Command::new("cp").arg("-a").arg(&log.base).arg(&data))?;
        run(Command::new("sh").arg("-c").arg(format!(
            "cp {}/0* {}/pg_wal/ && chown -R --reference={1} {1}",
            log.wal.display(),
            data.display()
        )))?;
        let cluster = Cluster { programs: self.programs.clone(), data: data.clone() };
        std::fs::write(data.join("recovery.signal"), "")?;
        cluster.configure(&format!(
            "restore_command = 'false'\nrecovery_target_lsn = '{}'\nhot_standby = off\n\
             recovery_target_action = 'shutdown'\nshared_buffers = {MEMORY_MIB}MB\n",
            log.end
        ))?;
        let mut server = self.programs.command("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(&data).args(["-c", "listen_addresses="]);
        let cost = process::measure(&mut server)?;
        std::fs::remove_dir_all(&data)?;
        Ok(cost)
    }

    fn start(&self, cairn: &Path, scale: u32, runs: u32) -> Result<Start> {
        // Tables are loaded without a log, which would take as much room again.
        let bare = "wal_level = minimal\nmax_wal_senders = 0\n";
        let cluster = self.cluster(&format!("scale-{scale}"), bare)?;
        cluster.start()?;
        let size = scale.to_string();
        run(cluster.client("pgbench").args(["-i", "-q", "-s", &size, "postgres"]))?;
        cluster.sql("postgres", "checkpoint")?;
        cluster.stop("fast")?;
        let (_, bytes) = crate::disk::usage(&cluster.data.join("base"))?;
        let mut samples = Samples::default();
        // Little else can be learnt from a second copy of something large.
        let runs = if bytes > LARGE_BYTES { 1 } else { runs };
        for _ in 0..runs {
            let out = self.path.join("started");
            let mut command = Command::new(cairn);
            command.args(["pg", "start", "--json", "--base"]).arg(&cluster.data);
            command.arg("--wal").arg(cluster.data.join("pg_wal")).arg("--out").arg(&out);
            let said: Value = serde_json::from_str(&process::output(&mut command)?)?;
            let number = |value: &Value| value.as_f64().context("no number was said");
            samples.add("make", number(&said["seconds"])?);
            samples.add("start", number(&said["server"]["seconds"])?);
            let started = Cluster { programs: self.programs.clone(), data: out.clone() };
            started.stop("immediate")?;
            std::fs::remove_dir_all(&out)?;
        }
        std::fs::remove_dir_all(&cluster.data)?;
        Ok(Start { bytes, samples })
    }
}

fn redo_table(ours: &Samples, stock: &Samples, said: &Value, args: &Pgwal) -> Result<String> {
    let number = |name: &str| said["restored"][name].as_f64().context("no number was said");
    let (records, bytes) = (number("records")?, number("wal_bytes")?);
    let head = ["", "s", "CPU s", "records/s", "MB/s", "RSS MB"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, samples) in [("cairn, one thread", ours), ("PostgreSQL's recovery", stock)] {
        let show = |quantity: &str, scale: f64, digits| {
            samples.summary(quantity).map_or(String::new(), |summary| summary.show(scale, digits))
        };
        let wall = samples.summary("wall").context("nothing was measured")?.median;
        rows.push(vec![
            name.to_owned(),
            show("wall", 1.0, 2),
            show("cpu", 1.0, 2),
            format!("{:.0}", records / wall),
            format!("{:.0}", bytes / wall / 1e6),
            show("rss", MB, 0),
        ]);
    }
    let mut ratios = ours.clone();
    ratios.add_ratios("wall", stock, "speed");
    let ratio = ratios.summary("speed").context("nothing was measured")?.median;
    Ok(format!(
        "{:.0} MB of WAL with {records:.0} records: pgbench's initialisation at scale {}, then {} s \
         of its TPC-B with 4 clients, from a fresh cluster's copy to the end. Both with {MEMORY_MIB} \
         MiB for pages; ours copies the base and writes and syncs the whole directory, PostgreSQL's \
         runs without fsync and finds base and log in place.\n\n{}\nCairn takes {ratio:.2} × the \
         time of PostgreSQL's recovery (goal: at most 1).\n\n",
        bytes / 1e6,
        args.scale,
        args.seconds,
        table(&rows),
    ))
}

fn starts_table(starts: &[Start]) -> String {
    let head = ["database MB", "directory made in s", "server ready in s"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for Start { bytes, samples } in starts {
        let show = |name: &str, digits| {
            samples.summary(name).map_or(String::new(), |summary| summary.show(1.0, digits))
        };
        #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
        let size = *bytes as f64 / MB;
        rows.push(vec![format!("{size:.0}"), show("make", 2), show("start", 3)]);
    }
    format!(
        "A start on a database of a size: its files are copied now, so that part grows with them; the \
         server itself does no recovery.\n\n{}\n",
        table(&rows)
    )
}
