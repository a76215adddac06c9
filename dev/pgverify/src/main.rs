//! Replays a log of PostgreSQL over a copy and compares every image in it with our redo.

use std::path::PathBuf;

use anyhow::Result;
use cairn_databases::{Archive, Base, Report, VerifyOptions, verify};
use cairn_pgwal::{Lsn, Rmgr};
use clap::Parser;
use serde_json::json;

/// Replays a log over a copy of a stopped cluster and compares every image with our redo.
#[derive(Debug, Parser)]
struct Cli {
    /// The copy: a data directory taken while the server was stopped
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// All segments of WAL since then
    #[arg(long, value_name = "DIR")]
    wal: PathBuf,
    /// Begin here and not at the copy's last checkpoint
    #[arg(long, value_name = "LSN")]
    from: Option<Lsn>,
    /// Stop here
    #[arg(long, value_name = "LSN")]
    to: Option<Lsn>,
    /// Show so many mismatches with their pages
    #[arg(long, default_value_t = 5)]
    show: usize,
    /// Print the totals as one line of JSON at the end
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut base = Base::open(&cli.base)?;
    let archive = Archive::open(&cli.wal)?;
    let options = VerifyOptions { from: cli.from, to: cli.to, keep: cli.show };
    let report = verify(&mut base, &archive, &options)?;
    print(&report);
    let total = report.total();
    if cli.json {
        println!(
            "{}",
            json!({
                "records": report.records,
                "end": report.end.to_string(),
                "checked": total.equal + total.mismatches,
                "mismatches": total.mismatches,
                "errors": total.errors,
                "unimplemented": total.unimplemented,
            })
        );
    }
    anyhow::ensure!(
        total.mismatches + total.errors + total.unimplemented == 0,
        "redo is not what PostgreSQL's is"
    );
    Ok(())
}

fn print(report: &Report) {
    println!("{} records, to {}", report.records, report.end);
    println!(
        "{:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "record", "blocks", "images", "equal", "unchecked", "MISMATCH", "ERROR", "UNKNOWN"
    );
    for ((rmgr, kind), counts) in &report.kinds {
        let name = Rmgr::from_number(*rmgr).map_or("?", Rmgr::name);
        println!(
            "{:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
            format!("{name}/{kind:#04x}"),
            counts.blocks,
            counts.images,
            counts.equal,
            counts.unchecked,
            counts.mismatches,
            counts.errors,
            counts.unimplemented
        );
    }
    for found in &report.mismatches {
        let (id, relation, fork, number) = &found.block;
        let name = Rmgr::from_number(found.kind.0).map_or("?", Rmgr::name);
        println!(
            "\n{} {name}/{:#04x} block {id}: {}/{}/{} {fork:?} {number}: {}",
            found.at,
            found.kind.1,
            relation.tablespace,
            relation.database,
            relation.number,
            found.error.as_deref().unwrap_or("differs"),
        );
        let [before, ours, theirs] = &*found.pages;
        println!("before {before:?}\nours   {ours:?}\ntheirs {theirs:?}");
        if let Some(at) = found.first_difference {
            let from = at.saturating_sub(16) & !7;
            let to = (from + 64).min(ours.0.len());
            println!("byte {at}, from {from}:");
            println!("  ours   {:02x?}\n  theirs {:02x?}", &ours.0[from..to], &theirs.0[from..to]);
        }
    }
}
