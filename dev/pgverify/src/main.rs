//! Replays a log of PostgreSQL over a copy and compares every image in it with our redo.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use cairn_databases::{Archive, Base, Comparison, Report, Side, VerifyOptions, verify_against};
use cairn_pgwal::{Lsn, Page, Rmgr};
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
    /// In the end compare every page with this data directory: a stock server's that recovered the
    /// same copy by the same log, and was stopped
    #[arg(long, value_name = "DIR")]
    stock: Option<PathBuf>,
    /// In the end compare every page with this data directory: that of the server that wrote the log,
    /// and was stopped
    #[arg(long, value_name = "DIR")]
    writer: Option<PathBuf>,
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
    let stock = cli.stock.iter().map(|path| (Side::Stock, path.as_path()));
    let writer = cli.writer.iter().map(|path| (Side::Writer, path.as_path()));
    let servers: Vec<_> = stock.chain(writer).collect();
    let (report, comparisons) = verify_against(&mut base, &archive, &options, &servers)?;
    print(&report);
    comparisons.iter().for_each(print_comparison);
    if cli.json {
        println!("{}", as_json(&report, &comparisons));
    }
    let total = report.total();
    let different: u64 = comparisons.iter().map(|comparison| comparison.different).sum();
    anyhow::ensure!(
        total.mismatches + total.errors + total.unimplemented + different == 0,
        "redo is not what PostgreSQL's is"
    );
    Ok(())
}

fn as_json(report: &Report, comparisons: &[Comparison]) -> serde_json::Value {
    let total = report.total();
    let mut kinds: BTreeSet<String> = report.seen.keys().map(|kind| operation(*kind)).collect();
    kinds.extend(report.features.iter().map(ToString::to_string));
    json!({
        "records": report.records,
        "end": report.end.to_string(),
        "redone": total.blocks - total.images,
        "checked": total.equal + total.mismatches,
        "mismatches": total.mismatches,
        "errors": total.errors,
        "unimplemented": total.unimplemented,
        "pages": comparisons.iter().map(Comparison::compared).sum::<u64>(),
        "different": comparisons.iter().map(|comparison| comparison.different).sum::<u64>(),
        "excepted": comparisons.iter().flat_map(|c| c.excepted.values()).sum::<u64>(),
        "comparisons": comparisons,
        "kinds": kinds,
    })
}

/// A kind of record without the flags that some resource managers have in it.
fn operation((number, kind): (u8, u8)) -> String {
    let rmgr = Rmgr::from_number(number);
    let flagged = [Rmgr::Heap, Rmgr::Heap2, Rmgr::Brin, Rmgr::Transaction].map(Some);
    let kind = if flagged.contains(&rmgr) { kind & 0x70 } else { kind };
    format!("{}/{kind:#04x}", rmgr.map_or("?", Rmgr::name))
}

fn print_comparison(comparison: &Comparison) {
    println!(
        "\npages of {:?}: {} identical, {} equal under masks, {} different",
        comparison.side, comparison.identical, comparison.equal, comparison.different
    );
    for (name, count) in &comparison.excepted {
        println!("not compared: {count} ({name})");
    }
    for found in &comparison.differences {
        let (relation, fork, number) = &found.block;
        let [ours, theirs] = &*found.pages;
        println!(
            "\n{}/{}/{} {fork:?} {number}, as {:?}:\nours   {ours:?}\ntheirs {theirs:?}",
            relation.tablespace, relation.database, relation.number, found.kind,
        );
        print_bytes(found.first, ours, theirs);
    }
}

/// The bytes around the first that differs.
fn print_bytes(at: usize, ours: &Page, theirs: &Page) {
    let from = at.saturating_sub(16) & !7;
    let to = (from + 64).min(ours.0.len());
    println!("byte {at}, from {from}:");
    println!("  ours   {:02x?}\n  theirs {:02x?}", &ours.0[from..to], &theirs.0[from..to]);
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
            print_bytes(at, ours, theirs);
        }
    }
}
