//! Starts PostgreSQL at random positions of a workload's log, made by our restore, and compares each
//! with what PostgreSQL's own recovery makes of the same.

mod check;
mod cluster;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cairn_databases::{Archive, RestoreOptions, Restored, Role, Server, Target, restore};
use cairn_env::{Env, Rng as _, SeededRng};
use cairn_pgwal::Lsn;
use clap::Parser;
use serde_json::json;

use crate::check::Stock;
use crate::cluster::{Cluster, Programs};

const PAGES: usize = 32_768;
const PORT: u16 = 5432;

/// Starts PostgreSQL at random positions of a log, and compares with its own recovery.
#[derive(Debug, Parser)]
struct Cli {
    /// How many positions
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// What the positions follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of so many positions one is compared with stock recovery
    #[arg(long, default_value_t = 1)]
    compare_every: usize,
    /// Pages carry checksums
    #[arg(long)]
    checksums: bool,
    /// Print the totals as one line of JSON at the end
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let programs = Programs::find()?;
    let work = tempfile::Builder::new().prefix("pgstarts").tempdir()?;
    // Another user works in it.
    let path = work.path().join("work");
    std::fs::set_permissions(work.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    programs.directory(&path)?;
    let totals = Campaign::new(&cli, &programs, &path)?.run()?;
    let failed = totals.failed;
    if cli.json {
        println!("{}", totals.json());
    }
    anyhow::ensure!(failed == 0, "{failed} of {} starts failed", cli.count);
    Ok(())
}

/// What came of the starts.
#[derive(Debug, Default)]
struct Totals {
    starts: usize,
    compared: usize,
    failed: usize,
    restoring: Duration,
    starting: Vec<Duration>,
    records: u64,
}

impl Totals {
    fn json(&self) -> serde_json::Value {
        let mut starting = self.starting.clone();
        starting.sort_unstable();
        let at =
            |share: usize| starting.get(starting.len() * share / 100).map(Duration::as_secs_f64);
        json!({
            "starts": self.starts,
            "compared": self.compared,
            "failed": self.failed,
            "records": self.records,
            "restore_seconds": self.restoring.as_secs_f64(),
            "start_seconds_median": at(50),
            "start_seconds_p99": at(99),
        })
    }
}

struct Campaign<'a> {
    cli: &'a Cli,
    programs: &'a Programs,
    path: &'a Path,
    base: PathBuf,
    archive: Archive,
    stock: Stock,
    server: Server,
    env: Env,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Campaign<'a> {
    fn new(cli: &'a Cli, programs: &'a Programs, path: &'a Path) -> Result<Self> {
        eprintln!("a workload runs");
        let made = workload::make(programs, path, cli.checksums)?;
        let stock = path.join("stock");
        cluster::run(std::process::Command::new("cp").arg("-a").arg(&made.base).arg(&stock))?;
        let stock = Cluster { programs: programs.clone(), data: stock };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let env = runtime.block_on(async { Env::real() });
        Ok(Self {
            cli,
            programs,
            path,
            base: made.base,
            archive: Archive::open(&made.archive)?,
            stock: Stock::new(stock, &made.archive)?,
            server: Server::find(None)?,
            env,
            runtime,
        })
    }

    fn run(&self) -> Result<Totals> {
        let mut totals = Totals::default();
        for (number, at) in self.positions()?.into_iter().enumerate() {
            totals.starts += 1;
            match self.one(number, at, &mut totals) {
                Ok(restored) => eprintln!("{:>4}  {:<14} ok", number + 1, restored.at),
                Err(error) => {
                    totals.failed += 1;
                    eprintln!("{:>4}  {at:<14} FAILED: {error:#}", number + 1);
                }
            }
        }
        Ok(totals)
    }

    /// Random positions, ascending, between the copy and the end.
    fn positions(&self) -> Result<Vec<Lsn>> {
        let options = cairn_databases::InspectOptions::default();
        let mut ends = Vec::new();
        let inspected = cairn_databases::inspect(&self.archive, &options, &mut |line| {
            ends.extend(line.end.parse::<Lsn>());
            std::ops::ControlFlow::Continue(())
        });
        inspected?;
        let rng = SeededRng::new(self.cli.seed);
        let pick = |_| {
            let at = rng.next_u64() % ends.len() as u64;
            ends[usize::try_from(at).expect("it is an index")]
        };
        let mut positions: Vec<Lsn> = (0..self.cli.count).map(pick).collect();
        positions.sort_unstable();
        Ok(positions)
    }

    fn one(&self, number: usize, at: Lsn, totals: &mut Totals) -> Result<Restored> {
        let out = self.path.join(format!("start-{number}"));
        let options = RestoreOptions {
            base: self.base.clone(),
            out: out.clone(),
            target: Target::Lsn(at),
            role: Role::Primary,
            pages: PAGES,
        };
        let begun = self.env.clock.monotonic();
        let restored = restore(&self.archive, &options, &|_| ())?;
        totals.restoring += self.env.clock.monotonic().saturating_sub(begun);
        totals.records += restored.records;
        let running =
            self.runtime.block_on(self.server.start(&out, PORT, self.env.clock.as_ref()))?;
        totals.starting.push(running.took);
        let cluster = Cluster { programs: self.programs.clone(), data: out.clone() };
        let checked = self.check(&cluster, number, &restored, totals);
        cluster.stop("immediate")?;
        std::fs::remove_dir_all(&out).context("cannot remove what was started")?;
        checked.map(|()| restored)
    }

    fn check(
        &self,
        cluster: &Cluster,
        number: usize,
        restored: &Restored,
        totals: &mut Totals,
    ) -> Result<()> {
        check::sums(cluster)?;
        if number.is_multiple_of(self.cli.compare_every) {
            let ours = check::dump(cluster)?;
            let theirs = self.stock.at(&restored.at, &self.path.join("promoted"))?;
            check::same(&ours, &theirs)?;
            totals.compared += 1;
        }
        check::amcheck(cluster)
    }
}
