//! `cairn-suites`: runs what `suites.toml` lists, and prints what came of it.

use anyhow::{Result, ensure};
use cairn_env::Env;
use cairn_suites::{Suite, Table};
use clap::Parser;

/// Runs tests that others wrote as functions.
#[derive(Debug, Parser)]
struct Cli {
    /// Run only these
    #[arg(long, value_name = "SUITE")]
    only: Vec<String>,
    /// Print which there are, with how many of their tests are left out and why
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let table = Table::read()?;
    let named: Result<Vec<Suite<'_>>> = cli.only.iter().map(|name| table.suite(name)).collect();
    let chosen = if cli.only.is_empty() { table.suites().collect() } else { named? };
    if cli.list {
        list(&table, &chosen);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let failed = runtime.block_on(run(&chosen));
    ensure!(failed == 0, "{failed} suites failed");
    Ok(())
}

fn list(table: &Table, chosen: &[Suite<'_>]) {
    for suite in chosen {
        let left_out = suite.left_out();
        let left_out: Vec<_> =
            left_out.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        println!("{:<24}{}", suite.name(), left_out.join(", "));
    }
    println!();
    for (reason, why) in &table.reasons {
        println!("{reason:<12}{why}");
    }
}

/// How many suites failed.
async fn run(chosen: &[Suite<'_>]) -> usize {
    let env = Env::real();
    let (mut passed, mut skipped, mut left_out, mut bad) = (0, 0, 0, 0);
    println!("{:<24}{:>8}{:>9}{:>10}", "suite", "passed", "skipped", "left out");
    for suite in chosen {
        let named: usize = suite.left_out().values().sum();
        left_out += named;
        match suite.run(&env).await {
            Ok(told) => {
                println!("{:<24}{:>8}{:>9}{named:>10}", suite.name(), told.passed, told.skipped);
                told.failed.iter().for_each(|test| println!("    FAILED {test}"));
                bad += usize::from(!told.failed.is_empty());
                passed += told.passed;
                skipped += told.skipped;
            }
            Err(error) => {
                println!("{:<24}FAILED {error:#}", suite.name());
                bad += 1;
            }
        }
    }
    println!("{:<24}{passed:>8}{skipped:>9}{left_out:>10}", format!("{} suites", chosen.len()));
    bad
}
